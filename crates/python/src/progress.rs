//! What a Python thread is running at the moment, readable without the interpreter lock.
//!
//! The thread writes, the watchdog reads and may interrupt: see [`Progress::interrupt`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::{ffi, prelude::*};

use mozaiks_plugins::{CallId, Generation};

/// One Python thread's position. Written by that thread while it holds the interpreter.
#[derive(Default)]
pub(super) struct Progress {
    /// Python's number of the thread; 0 before it runs.
    thread: AtomicU64,
    /// The call whose code runs, plus one; 0 for none.
    call: AtomicU64,
    /// That call's generation.
    generation: AtomicU64,
    /// Goes up with each step, so that a long one can be told from many short ones.
    steps: AtomicU64,
    /// Whether an interruption was sent and may not have arrived yet.
    interrupted: AtomicBool,
}

/// One step of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub call: CallId,
    pub generation: Generation,
    number: u64,
}

impl Progress {
    /// Tells which thread this is about; called on it, attached.
    pub(super) fn bind(&self, _py: Python<'_>) {
        // SAFETY: attached, as the token shows.
        let thread = unsafe { ffi::PyThread_get_thread_ident() };
        self.thread.store(thread as u64, Ordering::Release);
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

    /// Raises `exception` in the thread, but only if it is still in that very step. The thread
    /// changes its step only while it holds the interpreter, which the caller holds now.
    pub(super) fn interrupt(&self, step: Step, exception: &Bound<'_, PyAny>) -> bool {
        if self.current() != Some(step) {
            return false;
        }
        self.interrupted.store(true, Ordering::Release);
        self.set_exception(exception.as_ptr());
        true
    }

    /// Raises `exception` whatever the thread runs: for code that belongs to no call.
    pub(super) fn interrupt_any(&self, exception: &Bound<'_, PyAny>) {
        self.interrupted.store(true, Ordering::Release);
        self.set_exception(exception.as_ptr());
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
