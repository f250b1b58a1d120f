//! Being enabled and disabled in each app of a gateway of many: `on_enable` and `on_disable` once for each
//! app in which the plugin is on. What fails in one app concerns that app alone.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use mozaiks_plugins::{
    LiveGeneration,
    app_gate::{AppEnabler, AppGate, AppHooks, AppPlace, AppState},
    registry::{PluginState, Prepared},
};
use serde_json::json;

use super::{Failure, Life, PluginManager, steps::has_hook};
use crate::{error::LifeError, rows::Scope};

/// Apps in which a load takes a step at the same time.
const APPS_AT_A_TIME: usize = 8;
/// Before a full plugin, or one whose worker begins anew, is asked again.
const PAUSE: Duration = Duration::from_millis(50);

impl PluginManager {
    /// With many apps a load serves each once it has been enabled there, where that does something.
    pub(super) fn put_gate(&self, load: &Prepared) {
        let hooks = AppHooks {
            on_enable: has_hook(load, "on_enable"),
            on_disable: has_hook(load, "on_disable"),
        };
        if self.config.app_id.is_some() || hooks == AppHooks::default() {
            return;
        }
        let me: Weak<Self> = Weak::clone(&self.me);
        load.generation.set_gate(Arc::new(AppGate::new(me, hooks)));
    }

    /// Runs `on_enable` of a load that is to serve: for the one app, or in each that is known.
    ///
    /// # Errors
    /// With many apps only where the load would take the place of another and no app could have it.
    pub(super) async fn run_enabling(
        &self,
        load: &Prepared,
        replaces: bool,
    ) -> Result<(), Failure> {
        let Some(gate) = load.generation.gate() else {
            if self.config.app_id.is_some() && has_hook(load, "on_enable") {
                let app_id = self.config.app_id.clone();
                self.step(load, json!({"name": "on_enable"}), app_id)
                    .await?;
            }
            return Ok(());
        };
        gate.begin_round();
        let mut apps = self.parts.apps.all();
        apps.retain(|app_id| load.generation.is_on_for(app_id));
        let outcomes: Vec<_> = stream::iter(apps)
            .map(|app_id| self.enable_in(&load.generation, app_id))
            .buffer_unordered(APPS_AT_A_TIME)
            .collect()
            .await;
        match outcomes.iter().find_map(|outcome| outcome.clone().err()) {
            Some(failure) if replaces && outcomes.iter().all(Result::is_err) => Err(failure),
            Some(_) | None => Ok(()),
        }
    }

    /// Runs `on_disable` of a load that serves no more, in each app in which it was enabled; `for_good`
    /// where it will not be again.
    pub(super) async fn run_disabling(&self, load: &Prepared, for_good: bool) {
        let Some(gate) = load.generation.gate() else {
            if self.config.app_id.is_some() && has_hook(load, "on_disable") {
                self.quietly(load, json!({"name": "on_disable"})).await;
            }
            return;
        };
        if for_good {
            gate.close();
        }
        stream::iter(gate.apps())
            .for_each_concurrent(APPS_AT_A_TIME, |(app_id, place)| {
                self.disable_in(&load.generation, gate, app_id, place)
            })
            .await;
    }

    /// Takes the steps that the word on single apps asks for, of a load that serves on.
    pub(super) async fn follow_apps_of(&self, life: &Life) {
        let load = life.state.lock().load.clone();
        let Some(load) = load else { return };
        let generation = &load.generation;
        let Some(gate) = generation.gate() else {
            return;
        };
        let mut ended = gate.apps();
        ended.retain(|(app_id, _)| !generation.is_on_for(app_id));
        stream::iter(ended)
            .for_each_concurrent(APPS_AT_A_TIME, |(app_id, place)| {
                self.disable_in(generation, gate, app_id, place)
            })
            .await;
        let mut apps = self.parts.apps.all();
        apps.retain(|app_id| generation.is_on_for(app_id) && !gate.is_open(app_id));
        self.enable_in_all(generation, &apps).await;
    }

    /// Enables whatever serves in apps that were not known before, for as long as the gateway runs.
    pub async fn follow_apps(self: Arc<Self>) {
        let manager = &*self;
        manager.until_loaded().await;
        loop {
            let apps = &manager.parts.apps.next().await;
            let plugins = manager.parts.registry.list();
            let loads = plugins.iter().filter_map(|plugin| match plugin.state() {
                PluginState::Active(generation) => {
                    generation.gate().is_some().then_some(generation)
                }
                PluginState::Loading | PluginState::Disabled | PluginState::Failed(_) => None,
            });
            // Each plugin at its own pace: one that hangs keeps none of the others.
            stream::iter(loads)
                .for_each_concurrent(None, |generation| async move {
                    manager.enable_in_all(&generation, apps).await;
                })
                .await;
        }
    }

    async fn enable_in_all(&self, generation: &Arc<LiveGeneration>, apps: &[Arc<str>]) {
        stream::iter(apps)
            .for_each_concurrent(APPS_AT_A_TIME, |app_id| async move {
                // A failure is in the app's place, and told.
                self.enable_in(generation, Arc::clone(app_id)).await.ok();
            })
            .await;
    }

    /// Enables a load in an app, where it is on and that has not been done, nor failed, before.
    async fn enable_in(
        &self,
        generation: &Arc<LiveGeneration>,
        app_id: Arc<str>,
    ) -> Result<(), Failure> {
        let Some((gate, place)) =
            (generation.gate()).and_then(|gate| Some((gate, gate.place(&app_id)?)))
        else {
            // One too many: its calls are told so.
            return Ok(());
        };
        let _turn = place.turn.lock().await;
        match place.state() {
            AppState::Off | AppState::Wanted => {}
            AppState::On | AppState::Failed(_) => return Ok(()),
        }
        if gate.is_closed() || !generation.is_on_for(&app_id) {
            place.set(AppState::Off);
            return Ok(());
        }
        // Never closed, so there is always a turn to come.
        let _step = gate.steps.acquire().await;
        let outcome = if gate.hooks().on_enable {
            self.run_on_enable(generation, gate.round(), &app_id).await
        } else {
            Ok(())
        };
        match &outcome {
            Ok(()) => place.set(AppState::On),
            Err((failure, true)) => {
                tracing::warn!(
                    plugin.name = &**generation.plugin(),
                    app.id = &*app_id,
                    reason = failure.summary,
                    "plugin.not_enabled_yet"
                );
                place.set(AppState::Off);
            }
            Err((failure, false)) => {
                place.set(AppState::Failed(failure.whole().into()));
                self.tell_failure_in(&app_id, generation.plugin(), failure);
            }
        }
        outcome.map_err(|(failure, _)| failure)
    }

    /// Runs `on_enable` in an app. Where there is no room for it, or its worker dies of something else, it
    /// is tried again within its time; a failure says whether it may yet go well.
    async fn run_on_enable(
        &self,
        generation: &Arc<LiveGeneration>,
        round: u64,
        app_id: &Arc<str>,
    ) -> Result<(), (Failure, bool)> {
        let step = json!({"name": "on_enable", "round": round});
        let end = Instant::now() + self.config.hook_timeout;
        let mut crashes = 0;
        loop {
            let taken = self.take_step(generation, step.clone(), Some(Arc::clone(app_id)));
            let not = match taken.await {
                Ok(_) => return Ok(()),
                Err(not) => not,
            };
            crashes += u32::from(not.has_crashed);
            let is_passing = not.is_passing || (not.has_crashed && crashes < 2);
            if !is_passing || Instant::now() + PAUSE >= end {
                return Err((not.failure, is_passing));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn disable_in(
        &self,
        generation: &Arc<LiveGeneration>,
        gate: &AppGate,
        app_id: Arc<str>,
        place: Arc<AppPlace>,
    ) {
        let _turn = place.turn.lock().await;
        let was_on = place.state() == AppState::On;
        place.set(AppState::Off);
        if !was_on || !gate.hooks().on_disable {
            return;
        }
        // Never closed, so there is always a turn to come.
        let _step = gate.steps.acquire().await;
        let step = json!({"name": "on_disable"});
        if let Err(not) = (self.take_step(generation, step, Some(Arc::clone(&app_id)))).await {
            self.tell_failure_in(&app_id, generation.plugin(), &not.failure);
        }
    }
}

impl AppEnabler for PluginManager {
    fn enable(&self, generation: Arc<LiveGeneration>, app_id: Arc<str>) {
        self.parts.apps.see(&app_id);
        let Some(manager) = self.me.upgrade() else {
            return;
        };
        // One for each app of a load: the place says that it is wanted.
        tokio::spawn(async move {
            // A failure is in the app's place, and told.
            manager.enable_in(&generation, app_id).await.ok();
        });
    }
}

impl Life {
    /// Where enabling has failed in the apps of whom somebody speaks, it is tried again.
    pub(super) fn forgive(&self, scope: Scope<'_>) {
        let load = self.state.lock().load.clone();
        if let Some(gate) = load.as_ref().and_then(|load| load.generation.gate()) {
            gate.forgive(match scope {
                Scope::Gateway => None,
                Scope::App(app_id) => Some(app_id),
            });
        }
    }

    /// Why the load does not serve the one app of which somebody speaks, though it is on there.
    pub(super) fn failure_in(&self, scope: Scope<'_>) -> Option<LifeError> {
        let Scope::App(app_id) = scope else {
            return None;
        };
        let load = self.state.lock().load.clone();
        let reason = load?.generation.failure_in(app_id)?;
        Some(LifeError::ReloadFailed {
            summary: reason.lines().next().unwrap_or_default().to_owned(),
            traceback: Some(reason.to_string()),
        })
    }
}
