//! Asks the running step of a thread to end at the next function that may fail anyway.
//!
//! Code that calls such functions again and again without end is hardly ever seen in the plugin's own
//! lines, where an exception could be raised in it.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use pyo3::prelude::*;

use crate::runtime_types::Kinds;

const NOT_ASKED: u8 = 0;
const ASKED_TO_END: u8 = 1;
/// The exception has been raised.
const HAS_ENDED: u8 = 2;

thread_local! {
    /// What is asked of this thread.
    static ASKED: RefCell<Option<Arc<AtomicU8>>> = const { RefCell::new(None) };
}

/// What is asked of one thread. Read and written by threads that hold the interpreter.
#[derive(Default)]
pub(super) struct Asked(Arc<AtomicU8>);

impl Asked {
    /// It is about the calling thread.
    pub(super) fn bind(&self) {
        ASKED.replace(Some(self.0.clone()));
    }

    /// The running step is to end.
    pub(super) fn ask(&self) {
        self.0.store(ASKED_TO_END, Ordering::Relaxed);
    }

    /// The step has ended.
    pub(super) fn clear(&self) {
        self.0.store(NOT_ASKED, Ordering::Relaxed);
    }

    /// Takes it back; `true` where the exception has been raised.
    pub(super) fn take(&self) -> bool {
        self.0.swap(NOT_ASKED, Ordering::Relaxed) == HAS_ENDED
    }
}

/// For functions that may fail anyway: ends the step that they are called in, if it is over its time.
///
/// # Errors
/// `PluginInterrupted`.
pub(super) fn end_if_asked(py: Python<'_>) -> PyResult<()> {
    // A thread that is ending has no such place any more, and no call.
    let asked = ASKED.try_with(|asked| {
        let asked = asked.borrow();
        let asked = asked.as_ref();
        asked.is_some_and(|asked| {
            let asks = asked.load(Ordering::Relaxed) == ASKED_TO_END;
            if asks {
                asked.store(HAS_ENDED, Ordering::Relaxed);
            }
            asks
        })
    });
    if !asked.unwrap_or(false) {
        return Ok(());
    }
    let interrupted = Kinds::get(py).interrupted.bind(py);
    Err(PyErr::from_value(interrupted.call0()?))
}
