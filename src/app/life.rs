//! Joins what plugins do to their own configuration with the manager of their life, which comes later.

use std::sync::{Arc, OnceLock, Weak};

use mozaiks_lifecycle::manager::PluginManager;
use mozaiks_plugins::runtime::CrashReason;
use mozaiks_worker::PoolObserver;

use super::host::ConfigChanges;

/// The manager, once there is one. Weak: it holds the host, which holds this.
#[derive(Default)]
pub(super) struct LifeSlot(OnceLock<Weak<PluginManager>>);

impl LifeSlot {
    /// Filled once, before any plugin is loaded.
    pub(super) fn fill(&self, manager: &Arc<PluginManager>) {
        let _ = self.0.set(Arc::downgrade(manager));
    }
}

impl PoolObserver for LifeSlot {
    fn worker_died(&self, pool: &str, reason: CrashReason) {
        tracing::debug!(pool, %reason, "worker.died");
    }

    fn quarantined(&self, plugin: &str, reason: CrashReason, crashes: usize) {
        tracing::error!(plugin.name = plugin, %reason, crashes, "plugin.quarantined");
        let Some(manager) = self.0.get().and_then(Weak::upgrade) else {
            return;
        };
        let (plugin, reason) = (plugin.to_owned(), reason.to_string());
        // Whoever looked after the worker does not wait for the database.
        tokio::spawn(async move { manager.quarantine(&plugin, &reason, crashes).await });
    }
}

impl ConfigChanges for LifeSlot {
    fn config_changed(&self, app_id: &Arc<str>, plugin: &str, changed: Vec<String>) {
        let Some(manager) = self.0.get().and_then(Weak::upgrade) else {
            return;
        };
        let (app_id, plugin) = (Arc::clone(app_id), plugin.to_owned());
        // Whoever has set it does not wait for the plugin to hear of it.
        tokio::spawn(async move { manager.tell_config(&app_id, &plugin, changed).await });
    }
}
