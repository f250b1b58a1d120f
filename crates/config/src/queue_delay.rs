//! How long calls may wait before no more are taken.

use std::time::Duration;

/// When a queue stands: it has not been short, that is empty or with a call that began within the target, for
/// the target and the interval. A target of 0 is no limit. The defaults are well within the time a call may
/// wait (60 s) and well above what a plugin of plain functions takes to work off a burst.
#[derive(Debug, Clone)]
pub struct QueueDelayConfig {
    /// Of one plugin. `MOZAIKS_PLUGIN_QUEUE_DELAY_SECONDS`
    pub plugin_target: Duration,
    /// For how long it may be exceeded. `MOZAIKS_PLUGIN_QUEUE_INTERVAL_SECONDS`
    pub plugin_interval: Duration,
    /// Of all calls together. `MOZAIKS_GATEWAY_QUEUE_DELAY_SECONDS`
    pub gateway_target: Duration,
    /// For how long it may be exceeded. `MOZAIKS_GATEWAY_QUEUE_INTERVAL_SECONDS`
    pub gateway_interval: Duration,
}

impl Default for QueueDelayConfig {
    fn default() -> Self {
        Self {
            plugin_target: Duration::from_secs(5),
            plugin_interval: Duration::from_secs(5),
            gateway_target: Duration::from_secs(5),
            gateway_interval: Duration::from_secs(5),
        }
    }
}
