//! The steps of a plugin's life. The one file in which states change.

use std::{sync::Arc, time::Instant};

use mozaiks_plugins::{
    CallError, CallKind, GenerationPhase, Input, Target,
    discovery::Found,
    dispatch::{Call, DispatchError},
    manifest::Manifest,
    registry::{Plugin, PluginState, Prepared},
};
use serde_json::{Value, json};

use super::{Failure, Life, PluginManager, is_active};
use crate::{error::LifeError, order};

impl PluginManager {
    /// Loads a plugin for the first time.
    pub(super) async fn bring_up(&self, found: &Found, enabled: bool) -> Result<(), LifeError> {
        let plugin = self.parts.registry.entry(found);
        let life = self.life(&found.name);
        let _turn = life.turn.lock().await;
        self.load_found(&plugin, &life, found, enabled).await
    }

    pub(super) async fn load_anew(
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
    pub(super) async fn load_found(
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

    pub(super) async fn load(
        &self,
        plugin: &Arc<Plugin>,
        found: &Found,
    ) -> Result<Arc<Prepared>, Failure> {
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
    pub(super) async fn start_serving(
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

    pub(super) async fn stop_serving(&self, plugin: &Arc<Plugin>, life: &Life) {
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

    /// A step whose failure stops nothing.
    pub(super) async fn quietly(&self, load: &Arc<Prepared>, step: Value) {
        if let Err(failure) = self.step(load, step, self.config.app_id.clone()).await {
            self.tell_failure(load.generation.plugin(), &failure);
        }
    }

    /// Runs a lifecycle function.
    pub(super) async fn step(
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
    pub(super) async fn failed(
        &self,
        plugin: &Arc<Plugin>,
        life: &Life,
        failure: Failure,
    ) -> LifeError {
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
}

pub(super) fn has_hook(load: &Prepared, name: &str) -> bool {
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
