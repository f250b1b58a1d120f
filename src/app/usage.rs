//! How long the processes of plugins have been on a processor.

use std::sync::Arc;

use mozaiks_lifecycle::usage::ProcessorMeter;
use mozaiks_plugins::{manifest::Isolation, registry::Plugin};
use mozaiks_worker::Isolations;

/// Knows the workers.
pub(super) struct WorkerProcessors(pub(super) Arc<Isolations>);

impl ProcessorMeter for WorkerProcessors {
    fn seconds(&self, plugin: &Plugin) -> Vec<(u32, f64)> {
        let view = self.0.view(plugin);
        // In a process that it shares it is not the only one.
        let own = view.pool.filter(|_| view.mode == Isolation::Dedicated);
        let workers = own.map(|pool| pool.workers).unwrap_or_default();
        let times = workers
            .iter()
            .map(|worker| (worker.pid, worker.cpu_seconds));
        times.collect()
    }
}
