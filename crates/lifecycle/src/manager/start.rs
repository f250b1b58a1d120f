//! The start: every plugin that is found, those that others need first.

use std::sync::Arc;

use super::PluginManager;
use crate::order;

/// Plugins loaded at the same time.
const LOADS_AT_A_TIME: usize = 8;

impl PluginManager {
    /// Finds the plugins, and loads and enables each that the database does not forbid; dependencies
    /// come first. Returns when each serves, rests or has failed. A database that does not answer
    /// forbids nothing: then each plugin is what a new one is.
    pub async fn load_all(self: &Arc<Self>) {
        let (found, skipped) = match self.parts.registry.discover() {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "plugins.directory_unreadable");
                return;
            }
        };
        for skipped in skipped {
            tracing::warn!(dir = %skipped.dir.display(), reason = skipped.reason, "plugin.skipped");
        }
        if let Err(error) = self.parts.configs.refresh_all().await {
            tracing::warn!(%error, "plugins.configs_unread");
        }
        let rows = match self.parts.rows.all().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "plugins.rows_unread");
                Vec::new()
            }
        };
        let row = |name: &str| rows.iter().find(|row| row.name == name);
        let found: Vec<_> = found
            .into_iter()
            .filter(|found| row(&found.name).is_none_or(|row| !row.removed))
            .collect();
        for found in &found {
            // Listed from the start, as loading.
            drop(self.parts.registry.entry(found));
        }
        for level in order::levels(found) {
            let turns = Arc::new(tokio::sync::Semaphore::new(LOADS_AT_A_TIME));
            let mut loads = tokio::task::JoinSet::new();
            for found in level {
                let enabled = row(&found.name).map_or(self.config.enable_new, |row| row.enabled);
                let (manager, turns) = (Arc::clone(self), Arc::clone(&turns));
                loads.spawn(async move {
                    // Never closed, so there is always a turn to come.
                    let _turn = turns.acquire().await;
                    // A failure is in the plugin's state, and told.
                    manager.bring_up(&found, enabled).await.ok();
                });
            }
            while let Some(ended) = loads.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "plugin.load_panicked");
                }
            }
        }
    }
}
