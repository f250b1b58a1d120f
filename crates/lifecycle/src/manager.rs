//! The life of a plugin, step by step: discovered → loaded → enabled ⇄ disabled → unloaded, or error.
//!
//! The one file in which states change. Each plugin takes one step at a time; what a load registered
//! goes with it, whatever fails.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mozaiks_events::{EventBus, EventDraft};
use mozaiks_plugins::{
    CallError, CallKind, Generation, GenerationPhase, HostError, Input, Target,
    discovery::Found,
    dispatch::{Call, DispatchError, Dispatcher},
    manifest::{Manifest, PluginKind},
    registry::{Plugin, PluginState, Prepared, Registry},
};
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};

use crate::{
    audit::{Actor, AuditLog},
    configs::{Declared, PluginConfigs},
    error::LifeError,
    order,
    rows::{Report, Rows},
};

/// Plugins loaded at the same time.
const LOADS_AT_A_TIME: usize = 8;

/// What loads have registered with the gateway. While a load has not served yet it is held back.
pub trait Registrations: Send + Sync + 'static {
    /// From here on what the load registers belongs to its being enabled, and goes when it is disabled.
    fn begin_enabling(&self, generation: Generation);

    /// A load that was suspended listens again.
    ///
    /// # Errors
    /// What was refused; then it does not listen.
    fn resume(&self, generation: Generation) -> Result<(), HostError>;

    /// Nothing is listened to any more; what was registered while loading is kept.
    fn suspend(&self, generation: Generation);

    /// The load is gone, and all it registered.
    fn forget(&self, generation: Generation);
}

/// Settings.
#[derive(Debug, Clone)]
pub struct ManagerConfig {
    /// One lifecycle function.
    pub hook_timeout: Duration,
    /// Whether a plugin that is found for the first time is enabled.
    pub enable_new: bool,
    /// The only app, where there is one: background steps work for it.
    pub app_id: Option<Arc<str>>,
}

/// What the manager works with.
pub struct Parts {
    /// The plugins and their states.
    pub registry: Arc<Registry>,
    /// Calls lifecycle functions.
    pub dispatcher: Arc<Dispatcher>,
    /// What loads have registered.
    pub registrations: Arc<dyn Registrations>,
    /// What the database says of plugins.
    pub rows: Arc<Rows>,
    /// Configurations.
    pub configs: Arc<PluginConfigs>,
    /// Who did what.
    pub audit: Arc<AuditLog>,
    /// Hears of every step.
    pub events: Arc<EventBus>,
}

/// Takes plugins through their life.
pub struct PluginManager {
    parts: Parts,
    config: ManagerConfig,
    // Written when a plugin is found or removed; never held across an await.
    lives: RwLock<HashMap<Arc<str>, Arc<Life>>>,
}

/// Where one plugin is in its life.
#[derive(Default)]
struct Life {
    /// Held for the length of a step.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<LifeState>,
}

impl Life {
    /// A load that was held is held no more.
    fn forget(&self, load: &Arc<Prepared>) {
        let held = {
            let mut state = self.state.lock();
            let is_it = (state.load.as_ref()).is_some_and(|held| Arc::ptr_eq(held, load));
            is_it.then(|| state.load.take())
        };
        // After the lock: the last holder of a load ends it.
        drop(held);
    }
}

#[derive(Default)]
struct LifeState {
    /// The load that serves, or waits to be enabled.
    load: Option<Arc<Prepared>>,
    error: Option<Failure>,
}

/// Why a step failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which step: `load`, `on_load`, `on_enable`, …
    pub step: String,
    /// One line.
    pub summary: String,
    /// The whole, for admins.
    pub traceback: String,
}

/// What admins see of a plugin's life.
#[derive(Debug, Clone, Default)]
pub struct LifeView {
    /// The load's number.
    pub generation: Option<u64>,
    /// Lifecycle functions of the load.
    pub hooks: Vec<String>,
    /// Whether it has `execute`.
    pub has_execute: bool,
    /// What seemed odd about the manifest.
    pub warnings: Vec<String>,
    /// The last step that failed.
    pub error: Option<Failure>,
}

impl PluginManager {
    /// A manager without plugins; see [`Self::load_all`].
    pub fn new(parts: Parts, config: ManagerConfig) -> Arc<Self> {
        Arc::new(Self {
            parts,
            config,
            lives: RwLock::default(),
        })
    }

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

    /// What admins see of a plugin's life.
    pub fn view(&self, name: &str) -> LifeView {
        let life = self.lives.read().get(name).cloned();
        let Some(life) = life else {
            return LifeView::default();
        };
        let state = life.state.lock();
        let load = state.load.as_ref();
        LifeView {
            generation: load.map(|load| load.generation.id().0),
            hooks: load
                .map(|load| load.loaded.hooks.clone())
                .unwrap_or_default(),
            has_execute: load.is_some_and(|load| load.loaded.has_execute),
            warnings: load.map(|load| load.warnings.clone()).unwrap_or_default(),
            error: state.error.clone(),
        }
    }

    /// Switches a plugin on.
    ///
    /// # Errors
    /// [`LifeError`] where there is no such plugin or its lifecycle functions fail; then it is off.
    pub async fn enable(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        let was_on = is_active(&plugin);
        self.parts.rows.set_enabled(name, None, true).await?;
        if !was_on {
            let waiting = life.state.lock().load.clone();
            match waiting {
                Some(load) => self.start_serving(&plugin, &life, &load, None).await?,
                None => self.load_anew(&plugin, &life, true).await?,
            }
        }
        self.note(
            actor,
            name,
            "enable",
            &json!({"enabled": was_on}),
            &json!({"enabled": true}),
        )
        .await;
        Ok(())
    }

    /// Switches a plugin off: what it registered rests, running calls finish.
    ///
    /// # Errors
    /// [`LifeError`] where there is no such plugin, or another that is on needs it.
    pub async fn disable(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        self.check_dependants(name, "disabled")?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        let was_on = is_active(&plugin);
        self.parts.rows.set_enabled(name, None, false).await?;
        self.stop_serving(&plugin, &life).await;
        self.note(
            actor,
            name,
            "disable",
            &json!({"enabled": was_on}),
            &json!({"enabled": false}),
        )
        .await;
        Ok(())
    }

    /// Loads a plugin anew: the new load first; the one before serves until then, and goes on where the
    /// new one fails.
    ///
    /// # Errors
    /// [`LifeError::ReloadFailed`].
    pub async fn reload(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        let enabled = !matches!(plugin.state(), PluginState::Disabled);
        let before = life
            .state
            .lock()
            .load
            .as_ref()
            .map(|load| load.generation.id().0);
        self.load_anew(&plugin, &life, enabled).await?;
        let after = life
            .state
            .lock()
            .load
            .as_ref()
            .map(|load| load.generation.id().0);
        let (before, after) = (json!({"generation": before}), json!({"generation": after}));
        self.note(actor, name, "reload", &before, &after).await;
        self.publish("plugin_reloaded", json!({"plugin": name}));
        Ok(())
    }

    /// Unloads a plugin and marks it as removed; its files and its data stay.
    ///
    /// # Errors
    /// `CONFLICT` for a plugin that comes with the gateway, or that another needs.
    pub async fn remove(&self, name: &str, actor: &Actor) -> Result<(), LifeError> {
        let plugin = self.find(name)?;
        if plugin.manifest().kind == PluginKind::Static {
            return Err(LifeError::Conflict {
                message: format!("{name} comes with the gateway and cannot be removed"),
                list: Vec::new(),
            });
        }
        self.check_dependants(name, "removed")?;
        let life = self.life(name);
        let _turn = life.turn.lock().await;
        self.parts.rows.set_removed(name, true).await?;
        self.stop_serving(&plugin, &life).await;
        let load = life.state.lock().load.take();
        if let Some(load) = load {
            self.unload(&load).await;
        }
        self.parts.registry.remove(name);
        self.lives.write().remove(name);
        self.note(actor, name, "remove", &json!({}), &Value::Null)
            .await;
        Ok(())
    }

    /// Looks for plugins that are new, and for removed ones whose files are there; loads them and gives
    /// their names.
    ///
    /// # Errors
    /// What the directory or the database says.
    pub async fn discover(&self, actor: &Actor) -> Result<Vec<String>, LifeError> {
        let (found, _) = self
            .parts
            .registry
            .discover()
            .map_err(|error| LifeError::invalid(format!("the plugins directory: {error}")))?;
        let rows = self.parts.rows.all().await?;
        let mut names = Vec::new();
        for found in found {
            if self.parts.registry.find(&found.name).is_some() {
                continue;
            }
            let row = rows.iter().find(|row| row.name == found.name);
            if row.is_some_and(|row| row.removed) {
                self.parts.rows.set_removed(&found.name, false).await?;
            }
            let enabled = row.map_or(self.config.enable_new, |row| row.enabled);
            names.push(found.name.clone());
            // A failure is in the plugin's state, and told.
            self.bring_up(&found, enabled).await.ok();
            self.note(actor, &found.name, "discover", &Value::Null, &json!({}))
                .await;
        }
        Ok(names)
    }

    /// Sets values of a plugin's configuration and tells the plugin.
    ///
    /// # Errors
    /// [`LifeError::Invalid`] where they do not fit.
    pub async fn set_config(
        self: &Arc<Self>,
        name: &str,
        values: &serde_json::Map<String, Value>,
        actor: &Actor,
    ) -> Result<serde_json::Map<String, Value>, LifeError> {
        let plugin = self.find(name)?;
        let manifest = plugin.manifest();
        let declared = Declared {
            defaults: &manifest.config,
            schema: manifest.config_schema.as_ref(),
        };
        let before = self
            .parts
            .configs
            .effective(&actor.app_id, name, &manifest.config);
        let (after, changed) = self
            .parts
            .configs
            .merge(
                &actor.app_id,
                name,
                declared,
                values,
                actor.user_id.as_deref(),
            )
            .await?;
        let (old, new) = (Value::Object(before), Value::Object(after.clone()));
        self.note(actor, name, "config", &old, &new).await;
        if !changed.is_empty() {
            self.tell_config(&actor.app_id, name, changed).await;
        }
        Ok(after)
    }

    /// Tells a plugin which keys of its configuration have changed.
    pub async fn tell_config(&self, app_id: &Arc<str>, name: &str, changed: Vec<String>) {
        let data = json!({"plugin": name, "changed": changed});
        self.publish_in(app_id, "plugin_config_updated", data);
        let load = self.lives.read().get(name).cloned();
        let load = load.and_then(|life| life.state.lock().load.clone());
        if let Some(load) = load.filter(|load| has_hook(load, "on_config_change")) {
            let step = json!({"name": "on_config_change", "changed": changed});
            if let Err(failure) = self.step(&load, step, Some(Arc::clone(app_id))).await {
                self.tell_failure(name, &failure);
            }
        }
    }

    // Steps

    /// Loads a plugin for the first time.
    async fn bring_up(&self, found: &Found, enabled: bool) -> Result<(), LifeError> {
        let plugin = self.parts.registry.entry(found);
        let life = self.life(&found.name);
        let _turn = life.turn.lock().await;
        self.load_found(&plugin, &life, found, enabled).await
    }

    async fn load_anew(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        on: bool,
    ) -> Result<(), LifeError> {
        let found = self.parts.registry.locate(plugin);
        let found = found.map_err(|reason| LifeError::ReloadFailed {
            summary: format!("SOURCE_MISSING: {reason}"),
            traceback: None,
        })?;
        self.load_found(plugin, life, &found, on).await
    }

    /// Imports, runs `on_load`, and where the plugin is to be on, `on_enable`; then it serves in the
    /// place of the load before.
    async fn load_found(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        found: &Found,
        enabled: bool,
    ) -> Result<(), LifeError> {
        let started = Instant::now();
        let loaded = self.load(plugin, found).await;
        let load = match loaded {
            Ok(load) => load,
            Err(failure) => return Err(self.failed(plugin, life, failure).await),
        };
        let before = life.state.lock().load.clone();
        if enabled {
            self.start_serving(plugin, life, &load, before).await?;
        } else {
            self.parts.registry.rest(plugin, &load);
            let mut state = life.state.lock();
            state.load = Some(Arc::clone(&load));
            state.error = None;
        }
        tracing::info!(
            plugin.name = &*plugin.name,
            generation = load.generation.id().0,
            elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "plugin.loaded"
        );
        self.publish(
            "plugin_loaded",
            json!({"plugin": &*plugin.name, "version": load.manifest.version}),
        );
        self.report(plugin, found, None).await;
        Ok(())
    }

    async fn load(&self, plugin: &Arc<Plugin>, found: &Found) -> Result<Arc<Prepared>, Failure> {
        let runtime = Arc::clone(self.parts.registry.runtime());
        let prepared = self.parts.registry.prepare(plugin, found, runtime).await;
        let load = Arc::new(prepared.map_err(|not| Failure {
            step: "load".into(),
            summary: not.error.to_string(),
            traceback: not.error.whole(),
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
                let step = json!({"name": "on_load", "parts": parts_of(&load.manifest)});
                self.step(&load, step, self.config.app_id.clone())
                    .await
                    .map(drop)
            }
            Ok(()) => Ok(()),
        };
        match stepped {
            Ok(()) => Ok(load),
            Err(failure) => {
                self.parts.registrations.forget(load.generation.id());
                Err(failure)
            }
        }
    }

    /// Runs `on_enable` and swaps; where that fails, what served goes on.
    async fn start_serving(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        load: &Arc<Prepared>,
        before: Option<Arc<Prepared>>,
    ) -> Result<(), LifeError> {
        let id = load.generation.id();
        self.parts.registrations.begin_enabling(id);
        let mut enabled = Ok(());
        if has_hook(load, "on_enable") {
            let step = json!({"name": "on_enable"});
            enabled = self
                .step(load, step, self.config.app_id.clone())
                .await
                .map(drop);
        }
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
        {
            let mut state = life.state.lock();
            state.load = Some(Arc::clone(load));
            state.error = None;
        }
        self.publish("plugin_enabled", json!({"plugin": &*plugin.name}));
        if let Some(old) = before.filter(|old| !Arc::ptr_eq(old, load)) {
            if has_hook(&old, "on_disable") {
                self.quietly(&old, json!({"name": "on_disable"})).await;
            }
            self.unload(&old).await;
        }
        Ok(())
    }

    async fn stop_serving(&self, plugin: &Arc<Plugin>, life: &Life) {
        let served = plugin.replace(PluginState::Disabled);
        let load = life.state.lock().load.clone();
        if let (Some(_), Some(load)) = (served, load) {
            self.parts.registrations.suspend(load.generation.id());
            if has_hook(&load, "on_disable") {
                self.quietly(&load, json!({"name": "on_disable"})).await;
            }
            self.publish("plugin_disabled", json!({"plugin": &*plugin.name}));
        }
    }

    /// Runs `on_unload`; then everything of the load ends, whatever that gave.
    async fn unload(&self, load: &Arc<Prepared>) {
        if has_life(load) {
            self.quietly(load, json!({"name": "on_unload"})).await;
        }
        self.parts.registrations.forget(load.generation.id());
        self.publish(
            "plugin_unloaded",
            json!({"plugin": &**load.generation.plugin()}),
        );
    }

    /// A step whose failure stops nothing.
    async fn quietly(&self, load: &Arc<Prepared>, step: Value) {
        if let Err(failure) = self.step(load, step, self.config.app_id.clone()).await {
            self.tell_failure(load.generation.plugin(), &failure);
        }
    }

    /// Runs a lifecycle function.
    async fn step(
        &self,
        load: &Arc<Prepared>,
        step: Value,
        app_id: Option<Arc<str>>,
    ) -> Result<Value, Failure> {
        let name = step["name"].as_str().unwrap_or_default().to_owned();
        let call = Call {
            kind: CallKind::Life,
            target: Target::Life(load.generation.id()),
            input: Input::Arguments(json!([step]).to_string().into()),
            principal: None,
            app_id,
            request_id: format!("{name}-{}", load.generation.id().0).into(),
            timeout: Some(self.config.hook_timeout),
        };
        let pending = self
            .parts
            .dispatcher
            .invoke(Arc::clone(&load.generation), call);
        let outcome = match pending {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(reply) => Ok(serde_json::from_slice(&reply.body).unwrap_or_default()),
            Err(error) => {
                let summary = format!("{name}: {error}");
                let traceback = match &error {
                    DispatchError::Call(CallError::Raised { traceback, .. }) => traceback.clone(),
                    other => other.to_string(),
                };
                Err(Failure {
                    step: name,
                    summary,
                    traceback,
                })
            }
        }
    }

    /// Notes a failed step. Where a load serves it goes on.
    async fn failed(&self, plugin: &Arc<Plugin>, life: &Life, failure: Failure) -> LifeError {
        self.tell_failure(&plugin.name, &failure);
        life.state.lock().error = Some(failure.clone());
        if !is_active(plugin) {
            let reason = if failure.traceback.starts_with(&failure.summary) {
                failure.traceback.clone()
            } else {
                format!("{}\n{}", failure.summary, failure.traceback)
            };
            plugin.fail(&reason.into(), None);
        }
        self.report_failure(plugin, &failure).await;
        LifeError::ReloadFailed {
            summary: failure.summary,
            traceback: Some(failure.traceback),
        }
    }

    fn tell_failure(&self, plugin: &str, failure: &Failure) {
        tracing::error!(
            plugin.name = plugin,
            step = failure.step,
            reason = failure.traceback,
            "plugin.not_loaded"
        );
        let data = json!({"plugin": plugin, "step": failure.step, "error": failure.summary});
        self.publish("plugin_failed", data);
    }

    async fn report(&self, plugin: &Plugin, found: &Found, error: Option<(&str, &str)>) {
        let manifest = plugin.manifest();
        let status = match plugin.state() {
            PluginState::Active(_) => "active",
            PluginState::Disabled => "disabled",
            PluginState::Loading => "loading",
            PluginState::Failed(_) => "error",
        };
        let source_path = found
            .dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let report = Report {
            name: &plugin.name,
            manifest: &manifest,
            source_path: source_path.as_deref().unwrap_or_default(),
            status,
            error,
        };
        if let Err(error) = self.parts.rows.report(report, self.config.enable_new).await {
            tracing::warn!(plugin.name = &*plugin.name, %error, "plugin.row_not_written");
        }
    }

    async fn report_failure(&self, plugin: &Plugin, failure: &Failure) {
        let found = Found {
            name: plugin.name.to_string(),
            dir: plugin.dir.clone(),
            entry: None,
        };
        let error = (failure.summary.as_str(), failure.traceback.as_str());
        self.report(plugin, &found, Some(error)).await;
    }

    async fn note(&self, actor: &Actor, name: &str, action: &str, before: &Value, after: &Value) {
        self.parts
            .audit
            .write(actor, name, action, Some(before), Some(after))
            .await;
    }

    fn publish(&self, event: &str, data: Value) {
        // With many apps a step belongs to none of them, and nobody hears of it but the log.
        if let Some(app_id) = &self.config.app_id {
            self.publish_in(app_id, event, data);
        }
    }

    fn publish_in(&self, app_id: &Arc<str>, event: &str, data: Value) {
        let draft = EventDraft {
            app_id: Arc::clone(app_id),
            principal: None,
            request_id: None,
            name: event.into(),
            data: data.to_string().into(),
        };
        if let Err(error) = self.parts.events.publish(draft) {
            tracing::error!(error = %error, event, "plugin.event_not_published");
        }
    }

    fn find(&self, name: &str) -> Result<Arc<Plugin>, LifeError> {
        self.parts
            .registry
            .find(name)
            .ok_or_else(|| LifeError::NotFound("there is no such plugin".into()))
    }

    fn life(&self, name: &str) -> Arc<Life> {
        let known = self.lives.read().get(name).cloned();
        known.unwrap_or_else(|| Arc::clone(self.lives.write().entry(name.into()).or_default()))
    }

    fn check_dependants(&self, name: &str, what: &str) -> Result<(), LifeError> {
        let list: Vec<String> = self
            .parts
            .registry
            .list()
            .iter()
            .filter(|other| is_active(other) && other.manifest().dependencies.contains_key(name))
            .map(|other| other.name.to_string())
            .collect();
        if list.is_empty() {
            return Ok(());
        }
        Err(LifeError::Conflict {
            message: format!("{name} cannot be {what}: {} need it", list.join(", ")),
            list,
        })
    }
}

fn is_active(plugin: &Plugin) -> bool {
    matches!(plugin.state(), PluginState::Active(_))
}

fn has_hook(load: &Prepared, name: &str) -> bool {
    load.loaded.hooks.iter().any(|hook| hook == name)
}

/// Whether the load has a context: lifecycle functions, or files that are parts.
fn has_life(load: &Prepared) -> bool {
    !load.loaded.hooks.is_empty() || load.manifest.has_parts()
}

fn parts_of(manifest: &Manifest) -> Value {
    json!({
        "controllers": manifest.controllers,
        "events": manifest.events,
        "middleware": manifest.middleware,
        "jobs": manifest.jobs,
    })
}
