//! Counters of a queue.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use schemars::JsonSchema;
use serde::Serialize;

/// What has become of a queue's jobs in this process, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QueueStats {
    /// Taken by a worker.
    pub claimed: u64,
    /// Under way now.
    pub running: u64,
    /// Done.
    pub done: u64,
    /// Failed for a passing reason, to be tried again.
    pub retried: u64,
    /// Failed for good.
    pub failed: u64,
    /// Put back because the gateway stopped.
    pub released: u64,
    /// Let go of because the lease had ended: another has it.
    pub lost: u64,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Documents that are no jobs.
    pub malformed: u64,
    /// Claims that the database did not answer.
    pub claim_errors: u64,
}

/// The same, counting.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) claimed: AtomicU64,
    pub(crate) running: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) released: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) claim_errors: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a job as running until it is dropped, however its worker ends.
    pub(crate) fn run(&self) -> Run<'_> {
        Self::add(&self.running);
        Run(&self.running)
    }

    pub(crate) fn read(&self) -> QueueStats {
        QueueStats {
            claimed: self.claimed.load(Relaxed),
            running: self.running.load(Relaxed),
            done: self.done.load(Relaxed),
            retried: self.retried.load(Relaxed),
            failed: self.failed.load(Relaxed),
            released: self.released.load(Relaxed),
            lost: self.lost.load(Relaxed),
            panicked: self.panicked.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            claim_errors: self.claim_errors.load(Relaxed),
        }
    }
}

/// A job under way.
pub(crate) struct Run<'a>(&'a AtomicU64);

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
