//! Scheduled jobs and health checks of plugins: how many, how long, how often.

use std::time::Duration;

/// The bounds of plugins' jobs and health checks.
#[derive(Debug, Clone)]
pub struct PluginJobsConfig {
    /// Jobs of one plugin. `MOZAIKS_PLUGIN_MAX_JOBS`
    pub max_per_plugin: usize,
    /// Runs of all plugins at a time; one plugin may have half. `MOZAIKS_PLUGIN_JOB_CONCURRENCY`
    pub concurrency: usize,
    /// One run of a job that does not say. `MOZAIKS_PLUGIN_JOB_TIMEOUT_SECONDS`
    pub timeout: Duration,
    /// A run that begins later than this was missed. `MOZAIKS_PLUGIN_JOB_GRACE_SECONDS`
    pub grace: Duration,
    /// How long a gateway that runs a job may go without a sign of life. `MOZAIKS_PLUGIN_JOB_LEASE_SECONDS`
    pub lease: Duration,
    /// Looking for runs that other gateways have left. `MOZAIKS_PLUGIN_JOB_POLL_SECONDS`
    pub poll: Duration,
    /// How long runs are kept. `MOZAIKS_PLUGIN_JOB_HISTORY_SECONDS`
    pub history_age: Duration,
    /// Runs kept of one job in one app. `MOZAIKS_PLUGIN_JOB_HISTORY_RUNS`
    pub history_runs: usize,
    /// Between two health checks of a plugin. `MOZAIKS_PLUGIN_HEALTH_INTERVAL_SECONDS`
    pub health_interval: Duration,
    /// One health check. `MOZAIKS_PLUGIN_HEALTH_TIMEOUT_SECONDS`
    pub health_timeout: Duration,
}

impl Default for PluginJobsConfig {
    fn default() -> Self {
        Self {
            max_per_plugin: 100,
            concurrency: 16,
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(60),
            lease: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            history_age: Duration::from_secs(7 * 24 * 3600),
            history_runs: 1000,
            health_interval: Duration::from_secs(30),
            health_timeout: Duration::from_secs(5),
        }
    }
}
