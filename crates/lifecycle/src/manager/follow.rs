//! What the database says of plugins, where another gateway or a script has changed it: each row that
//! differs from what is known here is read again in the plugin's turn, and followed.

use std::{collections::BTreeSet, sync::Arc};

use super::{Life, PluginManager, start::LOADS_AT_A_TIME};
use crate::{
    configs::{Declared, EVERY_APP},
    error::LifeError,
    rows::Row,
};
use mozaiks_plugins::registry::PluginState;

impl PluginManager {
    /// Follows whatever the database says of plugins by now.
    ///
    /// # Errors
    /// What the database says; then nothing was followed, or not all of it.
    pub async fn reconcile(self: &Arc<Self>) -> Result<(), LifeError> {
        let (rows, odd) = self.parts.rows.all().await?;
        for one in &odd {
            if self.parts.registry.find(&one.name).is_some() {
                self.note_odd_row(&self.life(&one.name), one.clone());
            }
        }
        let turns = Arc::new(tokio::sync::Semaphore::new(LOADS_AT_A_TIME));
        let mut followed = tokio::task::JoinSet::new();
        for name in self.changed_names(&rows, odd.iter().map(|odd| odd.name.as_str())) {
            let (manager, turns) = (Arc::clone(self), Arc::clone(&turns));
            followed.spawn(async move {
                // Never closed, so there is always a turn to come.
                let _place = turns.acquire().await;
                manager.follow_row(&name).await
            });
        }
        let mut outcome = Ok(());
        while let Some(ended) = followed.join_next().await {
            match ended {
                Ok(one) => outcome = outcome.and(one),
                Err(error) => tracing::error!(%error, "plugin.follow_panicked"),
            }
        }
        outcome
    }

    /// The plugins of which something else is known here than what the rows say.
    fn changed_names<'a>(
        &self,
        rows: &'a [Row],
        odd: impl Iterator<Item = &'a str>,
    ) -> BTreeSet<String> {
        let lives = self.lives.read();
        let mut changed = BTreeSet::new();
        let mut named: BTreeSet<&str> = odd.collect();
        for row in rows {
            named.insert(&row.name);
            let known = lives.get(&*row.name).is_some_and(|life| {
                let state = life.state.lock();
                state.has_row && state.row_error.is_none() && state.row.as_ref() == Some(row)
            });
            if !known {
                changed.insert(row.name.clone());
            }
        }
        for (name, life) in lives.iter() {
            if named.contains(&**name) {
                continue;
            }
            let listed = self.parts.registry.find(name);
            let has_row = life.state.lock().has_row;
            let loading = listed
                .as_ref()
                .is_some_and(|plugin| matches!(plugin.state(), PluginState::Loading));
            if has_row || (listed.is_some() && !loading) {
                changed.insert(name.to_string());
            }
        }
        changed
    }

    /// Follows one row, as it is when the plugin's turn has come.
    async fn follow_row(&self, name: &str) -> Result<(), LifeError> {
        let life = self.life(name);
        let followed = {
            let _turn = life.turn.lock().await;
            match self.parts.rows.one(name).await? {
                Some(Ok(row)) => self.follow_readable(&life, name, row).await,
                Some(Err(odd)) => {
                    self.note_odd_row(&life, odd);
                    false
                }
                None => self.follow_absence(&life, name).await?,
            }
        };
        if followed {
            self.follow_up(name, false).await;
        }
        Ok(())
    }

    /// Whether something was done.
    async fn follow_readable(&self, life: &Life, name: &str, row: Row) -> bool {
        let (before, had_row) = {
            let mut state = life.state.lock();
            (
                state.row.clone(),
                std::mem::replace(&mut state.has_row, true),
            )
        };
        life.state.lock().row_error = None;
        if before.as_ref() == Some(&row) {
            return false;
        }
        let fields = (before.as_ref().filter(|_| had_row)).map(|before| row.differences(before));
        let operation = if fields.is_some() { "update" } else { "insert" };
        tracing::info!(plugin.name = name, operation, ?fields, "plugin.row_changed");
        let plugin = self.parts.registry.find(name);
        match plugin {
            Some(plugin) if row.removed => {
                self.take_away(&plugin, life).await;
                life.state.lock().row = Some(row);
            }
            None if row.removed => life.state.lock().row = Some(row),
            None if row.stored.is_some() => self.appear_stored(life, name, row).await,
            // A failure is in the plugin's state, and told.
            Some(plugin) => {
                if let Err(error) = self.obey(&plugin, life, row).await {
                    tracing::warn!(plugin.name = name, %error, "plugin.row_not_followed");
                }
                self.report(&plugin, life).await;
            }
            None => self.appear(life, name, row).await,
        }
        self.publish_changed(operation, name, &fields.unwrap_or_default());
        true
    }

    /// A plugin that was not there: its files are looked for.
    pub(super) async fn appear(&self, life: &Life, name: &str, row: Row) {
        match self.parts.registry.look_for(name) {
            // A failure is in the plugin's state, and told.
            Ok(found) => drop(self.bring_up(life, &found, row).await),
            Err(reason) => {
                let plugin = self.parts.registry.entry_without_files(name);
                plugin.apps().set(row.apps.clone());
                life.state.lock().row = Some(row);
                let summary = format!("SOURCE_MISSING: {reason}");
                self.miss_source(&plugin, life, &summary);
                if let Err(error) = self.parts.rows.report_missing(name, &summary).await {
                    tracing::warn!(plugin.name = name, %error, "plugin.row_not_written");
                }
            }
        }
    }

    /// A row is not there: it was deleted, or could not be written yet.
    async fn follow_absence(&self, life: &Life, name: &str) -> Result<bool, LifeError> {
        let had_row = life.state.lock().has_row;
        let plugin = self.parts.registry.find(name);
        if !had_row {
            if let Some(plugin) = plugin {
                self.report(&plugin, life).await;
            }
            return Ok(false);
        }
        let was_stored = {
            let state = life.state.lock();
            state.row.as_ref().is_some_and(|row| row.stored.is_some())
        };
        if was_stored {
            // Its files were rows as well: nothing could bring it back.
            self.drop_stored(life, name).await;
            return Ok(true);
        }
        self.parts.rows.bury(name).await?;
        tracing::info!(plugin.name = name, "plugin.row_deleted");
        if let Some(plugin) = plugin {
            self.take_away(&plugin, life).await;
        }
        if let Some(Ok(row)) = self.parts.rows.one(name).await? {
            life.state.lock().row = Some(row);
        }
        self.publish_changed("delete", name, &[]);
        Ok(true)
    }

    /// Follows what the database says of configurations by now; `told` says that something has changed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn reconcile_configs(&self, told: bool) -> Result<(), LifeError> {
        if !told && !self.parts.configs.is_behind().await? {
            return Ok(());
        }
        let fits = |name: &str, values: &serde_json::Map<String, serde_json::Value>| {
            let Some(plugin) = self.parts.registry.find(name) else {
                return Ok(());
            };
            let manifest = plugin.manifest();
            let declared = Declared {
                defaults: &manifest.config,
                schema: manifest.config_schema.as_ref(),
            };
            let mut whole = manifest.config.clone();
            whole.extend(values.clone());
            let fits = declared.check(name, &whole);
            let error = fits.as_ref().err().map(LifeError::to_string);
            if let Some(error) = &error {
                tracing::error!(plugin.name = name, error, "plugin.config_refused");
            }
            self.life(name).state.lock().config_error = error;
            fits
        };
        for changed in self.parts.configs.refresh_all(fits).await? {
            self.tell_config(&changed.app_id, &changed.plugin, changed.keys)
                .await;
            if &*changed.app_id == EVERY_APP || self.config.app_id.is_some() {
                self.publish_changed("update", &changed.plugin, &["config"]);
            }
        }
        Ok(())
    }
}
