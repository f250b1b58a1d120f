//! The set of all connections: how many there may be, and how they are closed.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Instant,
};

use parking_lot::{Condvar, Mutex};

use super::{stream::Stream, workers::Workers};

/// All connections.
#[derive(Debug)]
pub struct Connections {
    /// By number: a handle to close the socket with, and whether a command runs.
    open: Mutex<HashMap<i64, Handle>>,
    /// Told when the last one ended.
    none_left: Condvar,
    next: AtomicI64,
    max: usize,
    /// No new commands: the server ends.
    closing: AtomicBool,
    pub(super) workers: Arc<Workers>,
}

#[derive(Debug)]
struct Handle {
    stream: Arc<Stream>,
    busy: Arc<AtomicBool>,
}

impl Connections {
    /// At most `max` at a time.
    pub fn new(max: usize) -> Self {
        Self {
            open: Mutex::default(),
            none_left: Condvar::new(),
            next: AtomicI64::new(1),
            max,
            closing: AtomicBool::new(false),
            workers: Arc::default(),
        }
    }

    /// Whether the server ends.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// How many threads have ended since the start.
    pub fn threads_ended(&self) -> u64 {
        self.workers.ended()
    }

    /// Closes those that run no command; the others close after their answer.
    pub fn close_idle(&self) {
        self.closing.store(true, Ordering::SeqCst);
        for handle in self.open.lock().values() {
            if !handle.busy.load(Ordering::SeqCst) {
                handle.stream.close();
            }
        }
    }

    /// Closes all.
    pub fn close_all(&self) {
        self.closing.store(true, Ordering::SeqCst);
        for handle in self.open.lock().values() {
            handle.stream.close();
        }
    }

    /// Waits until none is left; false where some were left at `until`.
    pub fn wait_until_none(&self, until: Instant) -> bool {
        let mut open = self.open.lock();
        while !open.is_empty() {
            if self.none_left.wait_until(&mut open, until).timed_out() {
                return open.is_empty();
            }
        }
        true
    }

    pub(super) fn add(&self, stream: &Arc<Stream>) -> Option<(i64, Arc<AtomicBool>)> {
        let busy = Arc::new(AtomicBool::new(false));
        let mut open = self.open.lock();
        if open.len() >= self.max || self.closing.load(Ordering::SeqCst) {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        open.insert(
            id,
            Handle {
                stream: Arc::clone(stream),
                busy: Arc::clone(&busy),
            },
        );
        Some((id, busy))
    }

    pub(super) fn remove(&self, id: i64) {
        let mut open = self.open.lock();
        open.remove(&id);
        if open.is_empty() {
            self.none_left.notify_all();
        }
    }
}
