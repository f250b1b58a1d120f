//! What admins see of a pool.

use crate::confine::Enforced;

/// A pool as admins see it.
#[derive(Debug, Clone)]
pub struct PoolView {
    /// Its workers that live.
    pub workers: Vec<WorkerView>,
    /// What their kernel sees to; of the first, as all are alike.
    pub enforced: Vec<Enforced>,
    /// Calls that wait for a worker.
    pub waiting: usize,
    /// Whether it has no worker because nobody needs one.
    pub resting: bool,
}

/// A worker as admins see it.
#[derive(Debug, Clone)]
pub struct WorkerView {
    /// The process.
    pub pid: u32,
    /// Since when, in seconds.
    pub up_seconds: f64,
    /// Calls it has had.
    pub calls: u64,
    /// Calls it has now.
    pub running: usize,
    /// Seconds on a processor.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// Lines of its log that found no room.
    pub log_lines_lost: u64,
}
