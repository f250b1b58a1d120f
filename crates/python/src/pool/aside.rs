//! A function that the event loop has given to another thread.
//!
//! `asyncio` wraps a thread-safe future in one of the loop's, with a lock, a condition and two callbacks
//! each, and wakes the loop once a function. Here the loop's own future is carried along, touched by the
//! loop's thread alone, and the loop is woken once for all that have ended meanwhile.

use std::sync::Arc;

use pyo3::{intern, prelude::*, types::PyTuple};

use crate::{
    aside::Ended,
    job::{Job, LoopQueue},
};

/// A function, and who waits for it.
pub(crate) struct Aside {
    /// Whose it is; empty for nobody's.
    pub plugin: Arc<str>,
    /// Of the event loop.
    pub future: Py<PyAny>,
    /// In which the function runs, so that it works for the same plugin and user.
    pub context: Py<PyAny>,
    /// The function and what it is called with.
    pub call: Py<PyTuple>,
}

impl Aside {
    /// Runs the function unless nobody waits for it any more.
    pub(super) fn run(self, py: Python<'_>, queue: &LoopQueue) {
        let given_up = self.future.call_method0(py, intern!(py, "cancelled"));
        if given_up.is_ok_and(|given_up| given_up.is_truthy(py).unwrap_or(false)) {
            return;
        }
        let run = self.context.getattr(py, intern!(py, "run"));
        let outcome = run.and_then(|run| run.call1(py, self.call));
        let future = self.future;
        // Refused only by a loop that has ended, and with it whoever waited.
        drop(
            queue
                .inbox
                .push_control(Job::Aside(Ended { future, outcome })),
        );
    }
}
