//! Counters of plugins' jobs in this process.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::PluginJobs;

/// What has become of runs in this process, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobStats {
    /// Jobs that are live now.
    pub live: u64,
    /// Runs under way now, those past their limit included.
    pub running: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Raised, or could not be called.
    pub failed: u64,
    /// Stopped at their limit.
    pub timed_out: u64,
    /// Left out because their time had passed.
    pub missed: u64,
    /// Let go of because the lease had ended.
    pub lost: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub running: AtomicU64,
    pub succeeded: AtomicU64,
    pub failed: AtomicU64,
    pub timed_out: AtomicU64,
    pub missed: AtomicU64,
    pub lost: AtomicU64,
}

impl Counters {
    /// Counts a run as under way until it is dropped.
    pub(super) fn run(&self) -> Running<'_> {
        self.running.fetch_add(1, Relaxed);
        Running(&self.running)
    }
}

pub(super) struct Running<'a>(&'a AtomicU64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl PluginJobs {
    /// What has become of runs in this process.
    pub fn stats(&self) -> JobStats {
        let counters = &self.counters;
        JobStats {
            live: self.table.count() as u64,
            running: counters.running.load(Relaxed),
            succeeded: counters.succeeded.load(Relaxed),
            failed: counters.failed.load(Relaxed),
            timed_out: counters.timed_out.load(Relaxed),
            missed: counters.missed.load(Relaxed),
            lost: counters.lost.load(Relaxed),
        }
    }
}
