//! What others may know of the loop thread without the interpreter: what it runs, whether it turns, when
//! it lets replies go.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::{outbox::Outbox, progress::Progress};

/// The loop thread, seen from outside.
pub(super) struct LoopState {
    /// What the loop thread runs at the moment.
    pub progress: Progress,
    /// The asyncio loop, once it runs.
    pub event_loop: OnceLock<Py<PyAny>>,
    outbox: Arc<Outbox>,
    /// Set once the runtime is to end.
    stopping: AtomicBool,
    /// The thread is in a batch, at whose end replies are flushed.
    in_batch: AtomicBool,
    /// The loop has been asked to flush after the tasks that a batch has woken.
    turn_will_flush: AtomicBool,
    /// When the ping that the loop has not answered was sent.
    ping_sent: Mutex<Option<Instant>>,
    /// Whether there is one, for a look without the lock.
    ping_waits: AtomicBool,
    /// How often a plugin has been seen to hold the loop.
    holds: AtomicU64,
}

impl LoopState {
    /// Of a loop whose replies leave through this outbox.
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        Self {
            progress: Progress::default(),
            event_loop: OnceLock::new(),
            outbox,
            stopping: false.into(),
            in_batch: false.into(),
            turn_will_flush: false.into(),
            ping_sent: Mutex::default(),
            ping_waits: false.into(),
            holds: 0.into(),
        }
    }

    /// The runtime is to end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the runtime is to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Lets replies and requests go, unless the running batch or turn is about to.
    pub(super) fn flush_if_idle(&self) {
        if !self.in_batch.load(Ordering::Relaxed) && !self.turn_will_flush.load(Ordering::Relaxed) {
            self.outbox.flush();
        }
    }

    /// A batch begins: nothing leaves before [`Self::end_batch`].
    pub(super) fn begin_batch(&self) {
        self.in_batch.store(true, Ordering::Relaxed);
    }

    /// A batch has ended.
    pub(super) fn end_batch(&self) {
        self.in_batch.store(false, Ordering::Relaxed);
        self.outbox.flush();
    }

    /// What the woken tasks reply waits for [`Self::end_turn`]; `false` where that was so already.
    pub(super) fn begin_turn(&self) -> bool {
        !self.turn_will_flush.swap(true, Ordering::Relaxed)
    }

    /// The woken tasks have run.
    pub(super) fn end_turn(&self) {
        self.give_up_turn();
        self.outbox.flush();
    }

    /// There will be no end of the turn.
    pub(super) fn give_up_turn(&self) {
        self.turn_will_flush.store(false, Ordering::Relaxed);
    }

    /// The watchdog asks for a sign of life; `false` where one is asked for already.
    pub(super) fn ping(&self, now: Instant) -> bool {
        let mut sent = self.ping_sent.lock();
        if sent.is_some() {
            return false;
        }
        *sent = Some(now);
        self.ping_waits.store(true, Ordering::Relaxed);
        true
    }

    /// Since when the watchdog waits for a sign of life.
    pub(super) fn pinged(&self) -> Option<Instant> {
        *self.ping_sent.lock()
    }

    /// The loop has turned: it answers the watchdog's ping.
    pub(super) fn turned(&self) {
        if self.ping_waits.load(Ordering::Relaxed) {
            let mut sent = self.ping_sent.lock();
            self.ping_waits.store(false, Ordering::Relaxed);
            *sent = None;
        }
    }

    /// A plugin was seen to hold the loop.
    pub(super) fn count_hold(&self) {
        self.holds.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    pub(super) fn holds(&self) -> u64 {
        self.holds.load(Ordering::Relaxed)
    }
}
