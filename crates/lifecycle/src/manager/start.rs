//! The start: every plugin that is found, those that others need first.

use std::{collections::BTreeMap, sync::Arc};

use super::PluginManager;
use crate::{
    order,
    rows::{OddRow, Row},
};

/// Plugins loaded at the same time.
pub(super) const LOADS_AT_A_TIME: usize = 8;

impl PluginManager {
    /// Finds the plugins, and loads and enables each that the database does not forbid; dependencies
    /// come first. Returns when each serves, rests or has failed. A database that does not answer
    /// forbids nothing: then each plugin is what a new one is.
    pub async fn load_all(self: &Arc<Self>) {
        self.load_what_is_there().await;
        self.loaded.send_replace(true);
    }

    async fn load_what_is_there(self: &Arc<Self>) {
        let (found, skipped) = match self.parts.registry.discover() {
            Ok(found) => found,
            // Those that are rows are there all the same.
            Err(error) => {
                tracing::warn!(%error, "plugins.directory_unreadable");
                Default::default()
            }
        };
        for skipped in skipped {
            tracing::warn!(dir = %skipped.dir.display(), reason = skipped.reason, "plugin.skipped");
        }
        // Nothing is known of manifests yet; what does not fit one is told when it is loaded.
        if let Err(error) = self.parts.configs.refresh_all(|_, _| Ok(())).await {
            tracing::warn!(%error, "plugins.configs_unread");
        }
        if self.parts.apps.are_many()
            && let Err(error) = self.parts.apps.refresh().await
        {
            tracing::warn!(%error, "plugins.apps_unread");
        }
        let (mut rows, odd) = self.rows_at_start().await;
        let found: Vec<_> = found
            .into_iter()
            .filter(|found| rows.get(&found.name).is_none_or(is_for_a_directory))
            .collect();
        for found in &found {
            // Listed from the start, as loading.
            drop(self.parts.registry.entry(found));
        }
        for level in order::levels(found) {
            let turns = Arc::new(tokio::sync::Semaphore::new(LOADS_AT_A_TIME));
            let mut loads = tokio::task::JoinSet::new();
            for found in level {
                let row = rows.remove(&found.name);
                let odd = odd.iter().find(|odd| odd.name == found.name).cloned();
                let (manager, turns) = (Arc::clone(self), Arc::clone(&turns));
                loads.spawn(async move {
                    // Never closed, so there is always a turn to come.
                    let _place = turns.acquire().await;
                    let life = manager.life(&found.name);
                    let _turn = life.turn.lock().await;
                    life.state.lock().has_row = row.is_some();
                    let mut row = row.unwrap_or_else(|| manager.new_row(&found.name));
                    if let Some(odd) = odd {
                        // Nobody knows what it was to say: better off than on.
                        row.enabled = false;
                        manager.note_odd_row(&life, odd);
                    }
                    // A failure is in the plugin's state, and told.
                    manager.bring_up(&life, &found, row).await.ok();
                });
            }
            while let Some(ended) = loads.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "plugin.load_panicked");
                }
            }
        }
        // What is left has a row and no files.
        for (name, row) in rows {
            let life = self.life(&name);
            let _turn = life.turn.lock().await;
            life.state.lock().has_row = true;
            if row.removed {
                life.state.lock().row = Some(row);
            } else if row.stored.is_some() {
                self.appear_stored(&life, &name, row).await;
            } else {
                self.appear(&life, &name, row).await;
            }
        }
    }

    async fn rows_at_start(&self) -> (BTreeMap<String, Row>, Vec<OddRow>) {
        match self.parts.rows.all().await {
            Ok((rows, odd)) => {
                let rows = rows.into_iter().map(|row| (row.name.clone(), row));
                (rows.collect(), odd)
            }
            Err(error) => {
                tracing::warn!(%error, "plugins.rows_unread");
                Default::default()
            }
        }
    }
}

/// Whether a row is that of a plugin in a directory, and is not of one that was removed.
fn is_for_a_directory(row: &Row) -> bool {
    !row.removed && row.stored.is_none()
}
