//! What is kept of what plugins use.

use std::time::Duration;

/// How usage is counted and kept.
#[derive(Debug, Clone)]
pub struct UsageConfig {
    /// Between two times of writing it down. `MOZAIKS_USAGE_FLUSH_SECONDS`
    pub flush: Duration,
    /// How long an hour is kept. `MOZAIKS_USAGE_RETENTION_SECONDS`
    pub retention: Duration,
    /// Apps of one plugin that are counted between two times of writing it down. `MOZAIKS_USAGE_APPS`
    pub apps: usize,
    /// Between two times of writing down calls of parts. `MOZAIKS_EXECUTION_FLUSH_SECONDS`
    pub executions_flush: Duration,
    /// How long a call of a part is kept. `MOZAIKS_EXECUTION_RETENTION_SECONDS`
    pub executions_retention: Duration,
    /// Calls of parts that wait to be written down. `MOZAIKS_EXECUTION_QUEUE`
    pub executions_queue: usize,
}

impl Default for UsageConfig {
    fn default() -> Self {
        Self {
            flush: Duration::from_secs(60),
            retention: Duration::from_secs(90 * 24 * 3600),
            apps: 10_000,
            executions_flush: Duration::from_secs(1),
            executions_retention: Duration::from_secs(7 * 24 * 3600),
            executions_queue: 10_000,
        }
    }
}
