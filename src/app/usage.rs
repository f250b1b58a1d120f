//! What plugins use that is not counted call by call.

use std::sync::Arc;

use mozaiks_lifecycle::{quotas::Quotas, usage::Meter};
use mozaiks_plugins::{manifest::Isolation, registry::Plugin};
use mozaiks_worker::Isolations;

/// Knows the workers, and what is kept.
pub(super) struct Meters {
    pub workers: Arc<Isolations>,
    pub quotas: Arc<Quotas>,
}

impl Meter for Meters {
    fn seconds(&self, plugin: &Plugin) -> Vec<(u32, f64)> {
        let view = self.workers.view(plugin);
        // In a process that it shares it is not the only one.
        let own = view.pool.filter(|_| view.mode == Isolation::Dedicated);
        let workers = own.map(|pool| pool.workers).unwrap_or_default();
        let times = workers
            .iter()
            .map(|worker| (worker.pid, worker.cpu_seconds));
        times.collect()
    }

    fn stored_bytes(&self, plugin: &str, app_id: &str) -> Option<u64> {
        self.quotas.known_bytes(plugin, app_id)
    }
}
