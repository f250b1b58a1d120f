//! The table of calls under way: those that have suspended, and those asked to stop.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use pyo3::prelude::*;

use mozaiks_plugins::CallId;

/// Calls of one runtime.
#[derive(Default)]
pub(super) struct CallTable {
    /// Tasks that have suspended, for cancelling. Never held while Python code may run.
    tasks: Mutex<HashMap<CallId, Py<PyAny>, RandomState>>,
    /// How many were asked to stop. Read before the lock is taken: nearly always zero.
    asked: AtomicUsize,
    /// Asked to stop, and the loop or the pool has not come to it yet.
    asked_to_stop: Mutex<HashSet<CallId>>,
}

impl CallTable {
    /// A call has suspended in its first step.
    pub(super) fn suspend(&self, call: CallId, task: Py<PyAny>) {
        self.tasks.lock().insert(call, task);
    }

    /// The task of a call that has suspended.
    pub(super) fn task(&self, py: Python<'_>, call: CallId) -> Option<Py<PyAny>> {
        let tasks = self.tasks.lock();
        tasks.get(&call).map(|task| task.clone_ref(py))
    }

    /// Whether the call has a task that has not ended.
    pub(super) fn is_suspended(&self, call: CallId) -> bool {
        self.tasks.lock().contains_key(&call)
    }

    /// A call has ended; its task is dropped after the lock.
    #[must_use]
    pub(super) fn end(&self, call: CallId) -> Option<Py<PyAny>> {
        self.tasks.lock().remove(&call)
    }

    /// All calls have ended.
    pub(super) fn end_all(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        drop(tasks);
    }

    /// A call is to stop.
    pub(super) fn ask_to_stop(&self, call: CallId) {
        let mut calls = self.asked_to_stop.lock();
        calls.insert(call);
        self.asked.store(calls.len(), Ordering::Release);
    }

    /// Forgets that the call is to stop; `true` if it was asked to.
    pub(super) fn take_asked(&self, call: CallId) -> bool {
        if self.asked.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut calls = self.asked_to_stop.lock();
        let found = calls.remove(&call);
        self.asked.store(calls.len(), Ordering::Release);
        found
    }

    /// Whether the call is to stop.
    pub(super) fn is_asked(&self, call: CallId) -> bool {
        self.asked.load(Ordering::Acquire) != 0 && self.asked_to_stop.lock().contains(&call)
    }
}
