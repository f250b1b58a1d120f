//! What goes on with the calls of one plugin, over all its loads: one place that its generations share, so
//! that no call has to look it up.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{queue_delay::CallQueue, usage::UsageCounts};
use mozaiks_telemetry::metrics::{PluginFigures, PluginMetrics};

/// The calls of one plugin.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Calls running or waiting, of all its loads.
    pub(crate) in_flight: AtomicUsize,
    /// Those that wait.
    pub queue: CallQueue,
    /// What is counted of them.
    pub metrics: Arc<PluginMetrics>,
    /// What they use in each app.
    pub usage: UsageCounts,
}

impl Traffic {
    /// Calls running or waiting.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// As it is now.
    pub fn figures(&self) -> PluginFigures {
        let waiting = self.queue.waiting();
        PluginFigures {
            metrics: Arc::clone(&self.metrics),
            waiting: waiting as u64,
            running: self.in_flight().saturating_sub(waiting) as u64,
        }
    }
}
