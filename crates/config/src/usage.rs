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
}

impl Default for UsageConfig {
    fn default() -> Self {
        Self {
            flush: Duration::from_secs(60),
            retention: Duration::from_secs(90 * 24 * 3600),
            apps: 10_000,
        }
    }
}
