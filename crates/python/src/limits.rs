//! Bounds from the configuration that are not one part's own.

use std::time::Duration;

/// Bounds that the loading of plugins, the loop and the watchdog keep.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// An import that takes longer is answered with its failure.
    pub import_timeout: Duration,
    /// A loop held for longer is told of in the log.
    pub hold_warning: Duration,
    /// A loop that plugin code of no known call holds for longer is freed by the watchdog.
    pub stall_limit: Duration,
}
