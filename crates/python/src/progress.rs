//! What a Python thread is running at the moment, readable without the interpreter lock.
//!
//! The thread writes, the watchdog reads and may interrupt: see [`Progress::interrupt`].

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use pyo3::{ffi, prelude::*};

use crate::{asked::Asked, frames};
use mozaiks_plugins::{CallId, Generation};

/// One Python thread's position. Written by that thread while it holds the interpreter.
#[derive(Default)]
pub(super) struct Progress {
    /// Python's number of the thread; 0 before it runs.
    thread: AtomicU64,
    /// Python's state of the thread; null before it runs and once it is about to end. Changed and used
    /// only by threads that hold the interpreter.
    state: AtomicPtr<ffi::PyThreadState>,
    /// The call whose code runs, plus one; 0 for none.
    call: AtomicU64,
    /// That call's generation.
    generation: AtomicU64,
    /// Goes up with each step, so that a long one can be told from many short ones.
    steps: AtomicU64,
    /// Whether an interruption was sent and may not have arrived yet.
    interrupted: AtomicBool,
    /// The running step is to end at the next function that looks.
    asked: Asked,
}

/// One step of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub call: CallId,
    pub generation: Generation,
    number: u64,
}

/// What came of an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interruption {
    /// The exception is on its way.
    Sent,
    /// The thread is in code that is not the plugin's: try again.
    Elsewhere,
    /// That step has ended.
    Over,
}

/// A thread that says where it is.
pub(super) struct ThreadHere<'a, 'py> {
    progress: &'a Progress,
    _attached: Python<'py>,
}

impl Drop for ThreadHere<'_, '_> {
    fn drop(&mut self) {
        self.progress
            .state
            .store(std::ptr::null_mut(), Ordering::Release);
    }
}

impl Progress {
    /// Tells which thread this is about, for as long as the result lives; called on it, attached.
    pub(super) fn bind<'py>(&self, py: Python<'py>) -> ThreadHere<'_, 'py> {
        // SAFETY: attached, as the token shows.
        let thread = unsafe { ffi::PyThread_get_thread_ident() };
        // SAFETY: as above.
        let state = unsafe { ffi::PyThreadState_Get() };
        self.thread.store(thread as u64, Ordering::Release);
        self.state.store(state, Ordering::Release);
        self.asked.bind();
        ThreadHere {
            progress: self,
            _attached: py,
        }
    }

    /// A call's code starts; gives what ran before, for [`Self::leave`].
    pub(super) fn enter(&self, call: CallId, generation: Generation) -> (u64, u64) {
        let before = (
            self.call.load(Ordering::Relaxed),
            self.generation.load(Ordering::Relaxed),
        );
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.generation.store(generation.0, Ordering::Relaxed);
        self.call.store(call.number() + 1, Ordering::Release);
        before
    }

    /// A call's code has returned. An interruption that came too late for it is taken back, so
    /// that it hits nobody else.
    pub(super) fn leave(&self, _py: Python<'_>, before: (u64, u64)) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.generation.store(before.1, Ordering::Relaxed);
        self.call.store(before.0, Ordering::Release);
        self.asked.clear();
        if self.interrupted.swap(false, Ordering::AcqRel) {
            self.set_exception(std::ptr::null_mut());
        }
    }

    /// What runs now.
    pub(super) fn current(&self) -> Option<Step> {
        let call = self.call.load(Ordering::Acquire).checked_sub(1)?;
        Some(Step {
            call: CallId::of_number(call),
            generation: Generation(self.generation.load(Ordering::Relaxed)),
            number: self.steps.load(Ordering::Relaxed),
        })
    }

    /// Python's number of the thread.
    pub(super) fn thread(&self) -> u64 {
        self.thread.load(Ordering::Acquire)
    }

    /// Steps begun and ended so far.
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Raises `exception` in the thread, but only if it is still in that very step (or in none, if that
    /// is asked for) and in code of which `own` says, by module and file, that it may be interrupted. The
    /// thread goes on only while it holds the interpreter, which the caller holds now. `insisting`:
    /// see [`frames::may_stop`].
    pub(super) fn interrupt(
        &self,
        step: Option<Step>,
        own: &dyn Fn(&str, &str) -> bool,
        exception: &Bound<'_, PyAny>,
        insisting: bool,
    ) -> Interruption {
        if self.current() != step {
            return Interruption::Over;
        }
        if self.asked.take() {
            return Interruption::Sent;
        }
        let state = self.state.load(Ordering::Acquire);
        // SAFETY: the thread takes its state away before it ends, and the interpreter is held for both.
        if state.is_null() || !unsafe { frames::may_stop(exception.py(), state, own, insisting) } {
            // Whose the code of no step is, nobody knows when it looks.
            if step.is_some() {
                self.asked.ask();
            }
            return Interruption::Elsewhere;
        }
        self.interrupted.store(true, Ordering::Release);
        self.set_exception(exception.as_ptr());
        Interruption::Sent
    }

    /// The thread is between two jobs: nothing may arrive late.
    pub(super) fn settle(&self, _py: Python<'_>) {
        if self.interrupted.swap(false, Ordering::AcqRel) {
            self.set_exception(std::ptr::null_mut());
        }
    }

    fn set_exception(&self, exception: *mut ffi::PyObject) {
        let thread = self.thread.load(Ordering::Acquire);
        // SAFETY: all callers hold the interpreter. Python takes its own reference; null takes a
        // waiting exception back. An unknown thread is ignored.
        unsafe { ffi::PyThreadState_SetAsyncExc(thread as std::ffi::c_long, exception) };
    }
}
