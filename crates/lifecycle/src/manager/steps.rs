//! The steps of a plugin's life. The one file in which states change.

use std::{sync::Arc, time::Instant};

use mozaiks_plugins::{
    GenerationPhase,
    discovery::Found,
    registry::{Plugin, PluginState, Prepared},
    tree,
};
use serde_json::json;

use super::{Failure, Life, PluginManager, is_active};
use crate::{error::LifeError, order, rows::Row};

impl PluginManager {
    /// Loads a plugin for the first time.
    pub(super) async fn bring_up(
        &self,
        life: &Life,
        found: &Found,
        row: Row,
    ) -> Result<(), LifeError> {
        let plugin = self.entry_of(found, &row);
        let wanted = self.wants(&row);
        let quarantine = row.quarantine.clone();
        life.state.lock().row = Some(row);
        if let Some(reason) = quarantine {
            self.stand_still(&plugin, life, &reason);
            return Ok(());
        }
        self.load_found(&plugin, life, found, wanted).await
    }

    /// Takes the steps that the database's word on a plugin asks for.
    pub(super) async fn obey(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        row: Row,
    ) -> Result<(), LifeError> {
        let wanted = self.wants(&row);
        plugin.apps().set(row.apps.clone());
        plugin.set_operator_word(row.word.clone());
        let before = {
            let mut state = life.state.lock();
            (state.has_row, state.row_error) = (true, None);
            state.row.replace(row.clone())
        };
        self.tell_apps(plugin, before.as_ref(), &row);
        if let Some(reason) = &row.quarantine {
            self.stand_still(plugin, life, reason);
            return Ok(());
        }
        let load = life.state.lock().load.clone();
        if wanted
            && let Some(load) = load
            && let Some(list) = self.unconsented(&load.manifest, Some(&row))
        {
            let manifest = Arc::clone(&load.manifest);
            drop(load);
            return Err(self.withhold(plugin, life, manifest, list).await);
        }
        let placed_anew = (before.as_ref()).is_some_and(|before| {
            before.word != row.word || before.quarantine.is_some() || before.stored != row.stored
        });
        if placed_anew {
            return self.load_anew(plugin, life, wanted).await;
        }
        if before.is_some_and(|before| before.reload < row.reload) {
            self.load_anew(plugin, life, wanted).await?;
            self.publish("plugin_reloaded", json!({"plugin": &*plugin.name}));
            return Ok(());
        }
        if !wanted {
            self.stop_serving(plugin, life).await;
            return Ok(());
        }
        if is_active(plugin) {
            self.follow_apps_of(life).await;
            return Ok(());
        }
        let waiting = life.state.lock().load.clone();
        match waiting {
            Some(load) => self.start_serving(plugin, life, &load, None).await,
            None => self.load_anew(plugin, life, true).await,
        }
    }

    /// A plugin whose workers have died too often: nothing of it runs, and its calls are told that it is
    /// not available.
    pub(super) fn stand_still(&self, plugin: &Arc<Plugin>, life: &Life, reason: &str) {
        let sentence = format!("quarantined: {reason}");
        let served = plugin.replace(PluginState::Failed(sentence.into()));
        let load = life.state.lock().load.take();
        if let Some(load) = &load {
            // Its code is gone; what it had registered goes too.
            self.parts.registrations.forget(load.generation.id());
        }
        drop((served, load));
    }

    /// Unloads a plugin and takes it off the list.
    pub(super) async fn take_away(&self, plugin: &Arc<Plugin>, life: &Life) {
        self.stop_serving(plugin, life).await;
        let load = {
            let mut state = life.state.lock();
            let (row, has_row) = (state.row.take(), state.has_row);
            let old = std::mem::take(&mut *state);
            (state.row, state.has_row) = (row, has_row);
            old.load
        };
        if let Some(load) = load {
            self.unload(&load).await;
        }
        self.parts.registry.remove(&plugin.name);
        if let Err(error) = self.parts.endpoints.clear(&plugin.name).await {
            tracing::warn!(plugin.name = &*plugin.name, %error, "plugin.endpoints_not_written");
        }
    }

    /// A plugin's files are gone: that is shown, and what was loaded goes on until it is unloaded.
    pub(super) async fn lose_source(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        reason: &str,
    ) -> LifeError {
        let summary = format!("SOURCE_MISSING: {reason}");
        let known = std::mem::replace(&mut life.state.lock().source_missing, true);
        let failure = Failure {
            step: "source".into(),
            traceback: summary.clone(),
            summary,
        };
        if known {
            return failure.into();
        }
        self.failed(plugin, life, failure).await
    }

    pub(super) async fn load_anew(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        on: bool,
    ) -> Result<(), LifeError> {
        match self.locate(plugin, life).await {
            Ok(found) => self.load_found(plugin, life, &found, on).await,
            Err(reason) => Err(self.lose_source(plugin, life, &reason).await),
        }
    }

    /// Imports, runs `on_load`, and where the plugin is to be on, `on_enable`; then it serves in the
    /// place of the load before.
    pub(super) async fn load_found(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        found: &Found,
        enabled: bool,
    ) -> Result<(), LifeError> {
        let started = Instant::now();
        if let Some((manifest, list)) = self.check_consent(life, found) {
            return Err(self.withhold(plugin, life, manifest, list).await);
        }
        let loaded = self.load(plugin, life, found).await;
        let load = match loaded {
            Ok(load) => load,
            Err(failure) => return Err(self.failed(plugin, life, failure).await),
        };
        let before = life.state.lock().load.clone();
        if enabled {
            self.start_serving(plugin, life, &load, before).await?;
        } else {
            self.parts.registry.rest(plugin, &load);
            self.holds(life, &load);
            if let Some(old) = before {
                self.unload(&old).await;
            }
        }
        self.check_endpoints(plugin, life, &load);
        tracing::info!(
            plugin.name = &*plugin.name,
            generation = load.generation.id().0,
            elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "plugin.loaded"
        );
        self.let_go(life, &plugin.name).await;
        self.publish(
            "plugin_loaded",
            json!({"plugin": &*plugin.name, "version": load.manifest.version}),
        );
        self.report(plugin, life).await;
        Ok(())
    }

    /// This load is the plugin's from here on.
    fn holds(&self, life: &Life, load: &Arc<Prepared>) {
        let old = {
            let mut state = life.state.lock();
            (state.error, state.source_missing) = (None, false);
            state.load.replace(Arc::clone(load))
        };
        // After the lock: the last holder of a load ends it.
        drop(old);
    }

    /// What a plugin's code is made of; `None` where that cannot be said.
    pub(super) async fn checksum(&self, found: &Found) -> Option<String> {
        let dir = found.dir.clone();
        let number = tokio::task::spawn_blocking(move || tree::checksum(&dir)).await;
        match number {
            Ok(Ok(number)) => number,
            Ok(Err(error)) => {
                tracing::warn!(plugin.name = found.name, %error, "plugin.files_unread");
                None
            }
            Err(_) => None,
        }
    }

    pub(super) async fn load(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        found: &Found,
    ) -> Result<Arc<Prepared>, Failure> {
        // Before the import: what is saved while that runs is a change.
        let checksum = self.checksum(found).await;
        {
            let mut state = life.state.lock();
            (state.checksum, state.source_missing) = (checksum, false);
        }
        let prepared = self.parts.registry.prepare(plugin, found, None).await;
        let load = Arc::new(prepared.map_err(|not| {
            if let Some(manifest) = not.manifest {
                plugin.describe_as(Arc::new(manifest));
            }
            Failure {
                step: not.error.step().into(),
                summary: not.error.to_string(),
                traceback: not.error.whole(),
            }
        })?);
        let checked = order::check(&load.manifest, |name| {
            let other = self.parts.registry.find(name)?;
            is_active(&other).then(|| other.manifest().version.clone())
        });
        let stepped = match checked {
            Err(summary) => Err(Failure {
                step: "load".into(),
                traceback: summary.clone(),
                summary,
            }),
            Ok(()) if has_life(&load) => {
                let step = json!({"name": "on_load", "parts": load.manifest.parts.for_code()});
                self.step(&load, step, self.config.app_id.clone())
                    .await
                    .map(drop)
            }
            Ok(()) => Ok(()),
        };
        match stepped {
            Ok(()) => {
                plugin.set_dir(found.dir.clone());
                self.put_gate(&load);
                Ok(load)
            }
            Err(failure) => {
                plugin.describe_as(Arc::clone(&load.manifest));
                self.parts.registrations.forget(load.generation.id());
                Err(failure)
            }
        }
    }

    /// Runs `on_enable` and swaps; where that fails, what served goes on.
    pub(super) async fn start_serving(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        load: &Arc<Prepared>,
        before: Option<Arc<Prepared>>,
    ) -> Result<(), LifeError> {
        let id = load.generation.id();
        self.parts.registrations.begin_enabling(id);
        let mut enabled = self.run_enabling(load, before.is_some()).await;
        if enabled.is_ok() && load.generation.phase() == GenerationPhase::Active {
            // It has served before, and was disabled since.
            enabled = self
                .parts
                .registrations
                .resume(id)
                .map_err(|error| Failure {
                    step: "on_enable".into(),
                    summary: format!("a registration was refused: {}", error.message),
                    traceback: error.message,
                });
        }
        if let Err(failure) = enabled {
            self.unload(load).await;
            life.forget(load);
            return Err(self.failed(plugin, life, failure).await);
        }
        drop(self.parts.registry.serve(plugin, load));
        self.holds(life, load);
        self.publish("plugin_enabled", json!({"plugin": &*plugin.name}));
        if let Some(old) = before.filter(|old| !Arc::ptr_eq(old, load)) {
            self.run_disabling(&old, true).await;
            self.unload(&old).await;
        }
        Ok(())
    }

    pub(super) async fn stop_serving(&self, plugin: &Arc<Plugin>, life: &Life) {
        let served = plugin.replace(PluginState::Disabled);
        let load = life.state.lock().load.clone();
        if let (Some(_), Some(load)) = (served, load) {
            self.parts.registrations.suspend(load.generation.id());
            self.run_disabling(&load, false).await;
            self.publish("plugin_disabled", json!({"plugin": &*plugin.name}));
        }
    }

    /// Runs `on_unload`; then everything of the load ends, whatever that gave.
    pub(super) async fn unload(&self, load: &Arc<Prepared>) {
        if has_life(load) {
            self.quietly(load, json!({"name": "on_unload"})).await;
        }
        self.parts.registrations.forget(load.generation.id());
        self.publish(
            "plugin_unloaded",
            json!({"plugin": &**load.generation.plugin()}),
        );
    }

    /// Notes a failed step. Where a load serves it goes on.
    pub(super) async fn failed(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        failure: Failure,
    ) -> LifeError {
        self.settle(plugin, life, &failure);
        self.report(plugin, life).await;
        failure.into()
    }

    /// A plugin that somebody has written of, and whose files are not here.
    pub(super) fn miss_source(&self, plugin: &Plugin, life: &Life, summary: &str) {
        life.state.lock().source_missing = true;
        let failure = Failure {
            step: "source".into(),
            summary: summary.to_owned(),
            traceback: summary.to_owned(),
        };
        self.settle(plugin, life, &failure);
    }

    fn settle(&self, plugin: &Plugin, life: &Life, failure: &Failure) {
        self.tell_failure(&plugin.name, failure);
        let wanted = {
            let mut state = life.state.lock();
            state.error = Some(failure.clone());
            state.row.as_ref().is_none_or(|row| self.wants(row))
        };
        if is_active(plugin) {
            return;
        }
        if !wanted {
            // What is switched off stays so, whatever is wrong with it.
            drop(plugin.replace(PluginState::Disabled));
            return;
        }
        plugin.fail(&failure.whole().into(), None);
    }
}

pub(super) fn has_hook(load: &Prepared, name: &str) -> bool {
    load.loaded.hooks.iter().any(|hook| hook == name)
}

/// Whether the load has a context: lifecycle functions, or files that are parts.
fn has_life(load: &Prepared) -> bool {
    !load.loaded.hooks.is_empty() || !load.manifest.parts.is_empty()
}
