//! One load of one plugin: what runs it, what it may use, and how long it lives.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{
    actions::Actions,
    app_gate::AppGate,
    apps::AppSwitch,
    host::HandlerId,
    invocation::Target,
    manifest::Manifest,
    permissions::Permissions,
    runtime::{LoadError, LoadedPlugin, PluginRuntime},
    site::Site,
    traffic::Traffic,
};

/// Names one load of one plugin. Unique in the process, whichever runtime holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Generation(pub u64);

impl Generation {
    /// An id that no other load in this process has. The only source of new ones.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What the calls of a generation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// How long a call may take from its start.
    pub timeout: Duration,
    /// How long it may wait for its start.
    pub queue_timeout: Duration,
    /// Calls of the plugin at a time, those of its older generations included.
    pub max_concurrency: usize,
    /// Bytes of a result, where that is less than what all may have.
    pub max_output_bytes: Option<usize>,
}

/// Where in its life a generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GenerationPhase {
    /// Being imported: what its code registers is held until the import has ended well.
    Loading,
    /// New calls go to it, and what it has registered is called.
    Active,
    /// Another has taken its place: it finishes what has begun and registers nothing any more.
    Retired,
}

/// A generation that can be called, or is about to. Whoever calls it or may call it holds it; when the
/// last lets go its runtime unloads it, so that a call which began on it ends on it.
pub struct LiveGeneration {
    plugin: Arc<str>,
    id: Generation,
    runtime: Arc<dyn PluginRuntime>,
    limits: CallLimits,
    phase: AtomicU8,
    /// The calls of the plugin: one place for all its generations.
    traffic: Arc<Traffic>,
    /// What the plugin said about itself when this load began.
    manifest: OnceLock<Arc<Manifest>>,
    /// Set where it turned out to have no `execute`.
    without_execute: AtomicBool,
    /// What its calls may hold, where it has typed actions.
    actions: OnceLock<Arc<Actions>>,
    /// What is called in the place of `execute`, where middleware goes round it.
    around_execute: OnceLock<HandlerId>,
    /// In which apps the plugin is on: one switch for all its generations.
    apps: OnceLock<Arc<AppSwitch>>,
    /// In which apps it has been enabled, where that is a step of its own in each of many.
    gate: OnceLock<Arc<AppGate>>,
    /// What its code may do beyond its own; replaced when an admin says otherwise.
    permissions: RwLock<Arc<Permissions>>,
    /// Where what it needs is installed: not cleared while this lives.
    site: OnceLock<Arc<Site>>,
}

impl LiveGeneration {
    /// A generation that `runtime` is to load or has loaded. `traffic` is the plugin's own.
    pub fn new(
        plugin: Arc<str>,
        id: Generation,
        runtime: Arc<dyn PluginRuntime>,
        limits: CallLimits,
        traffic: Arc<Traffic>,
    ) -> Arc<Self> {
        Arc::new(Self {
            plugin,
            id,
            runtime,
            limits,
            phase: AtomicU8::new(GenerationPhase::Loading as u8),
            traffic,
            manifest: OnceLock::new(),
            without_execute: AtomicBool::new(false),
            actions: OnceLock::new(),
            around_execute: OnceLock::new(),
            apps: OnceLock::new(),
            gate: OnceLock::new(),
            permissions: RwLock::new(Arc::new(Permissions::own())),
            site: OnceLock::new(),
        })
    }

    /// What the plugin said about itself when this load began: during a reload there are two.
    pub fn manifest(&self) -> Option<&Arc<Manifest>> {
        self.manifest.get()
    }

    pub(crate) fn set_manifest(&self, manifest: Arc<Manifest>) {
        // Set once, by whoever makes the load.
        self.manifest.set(manifest).ok();
    }

    /// Where what it needs is installed, where that is a place of its own.
    pub fn site(&self) -> Option<&Arc<Site>> {
        self.site.get()
    }

    pub(crate) fn set_site(&self, site: Arc<Site>) {
        // Set once, by whoever makes the load.
        self.site.set(site).ok();
    }

    pub(crate) fn set_apps(&self, apps: Arc<AppSwitch>) {
        // Set once, by whoever makes the load.
        self.apps.set(apps).ok();
    }

    /// What its code may do beyond its own.
    pub fn permissions(&self) -> Arc<Permissions> {
        Arc::clone(&self.permissions.read())
    }

    /// From now on its code may do this beyond its own.
    pub fn permit(&self, permissions: Permissions) {
        *self.permissions.write() = Arc::new(permissions);
    }

    /// Whether it may be called for an app.
    pub fn is_on_for(&self, app_id: &str) -> bool {
        (self.apps.get()).is_none_or(|apps| apps.is_on_for(app_id))
    }

    /// From now on it serves an app once it has been enabled there.
    pub fn set_gate(&self, gate: Arc<AppGate>) {
        // Set once, before it serves.
        self.gate.set(gate).ok();
    }

    /// In which apps it has been enabled; `None` where it serves whoever it is on for.
    pub fn gate(&self) -> Option<&Arc<AppGate>> {
        self.gate.get()
    }

    /// Whether it is on for an app and has been enabled there.
    pub fn serves(&self, app_id: &str) -> bool {
        self.is_on_for(app_id) && self.gate().is_none_or(|gate| gate.is_open(app_id))
    }

    /// Why it does not serve an app that it is on for, where it could not be enabled there.
    pub fn failure_in(&self, app_id: &str) -> Option<Arc<str>> {
        self.gate()?.failure(app_id)
    }

    /// What a client's call of `execute` calls; `None` where the plugin has none.
    pub fn execute(&self) -> Option<Target> {
        if self.without_execute.load(Ordering::Relaxed) {
            return None;
        }
        Some(match self.around_execute.get() {
            Some(handler) => Target::Handler(*handler),
            None => Target::Execute(self.id),
        })
    }

    /// Puts a function of the load in the place of its `execute`; the first one stays.
    pub fn go_around_execute(&self, handler: HandlerId) {
        self.around_execute.set(handler).ok();
    }

    /// Its typed actions, where it has any.
    pub fn actions(&self) -> Option<&Arc<Actions>> {
        self.actions.get()
    }

    /// Takes what was found when it was imported: what a client's call may call, and with what.
    pub(crate) fn answers_calls(&self, loaded: &LoadedPlugin) -> Result<(), LoadError> {
        if loaded.actions.is_empty() {
            self.without_execute
                .store(!loaded.has_execute, Ordering::Relaxed);
            return Ok(());
        }
        let actions = Actions::of(&loaded.actions, loaded.has_execute);
        // Set once, by whoever makes the load.
        self.actions
            .set(Arc::new(actions.map_err(LoadError::Actions)?))
            .ok();
        Ok(())
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &Arc<str> {
        &self.plugin
    }

    /// Its id.
    pub fn id(&self) -> Generation {
        self.id
    }

    /// The calls of its plugin.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// What its calls may use.
    pub fn limits(&self) -> CallLimits {
        self.limits
    }

    /// What runs it.
    pub fn runtime(&self) -> &Arc<dyn PluginRuntime> {
        &self.runtime
    }

    /// Where in its life it is.
    pub fn phase(&self) -> GenerationPhase {
        match self.phase.load(Ordering::Acquire) {
            0 => GenerationPhase::Loading,
            1 => GenerationPhase::Active,
            _ => GenerationPhase::Retired,
        }
    }

    /// Takes the next step of its life; there is no way back.
    pub fn enter(&self, phase: GenerationPhase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// One more call of the plugin; `None` where it has as many as it may.
    pub(crate) fn acquire(self: &Arc<Self>) -> Option<Permit> {
        let before = self.traffic.in_flight.fetch_add(1, Ordering::AcqRel);
        let permit = Permit(Arc::clone(self));
        // A permit over the limit is given back when it is dropped.
        (before < self.limits.max_concurrency).then_some(permit)
    }
}

impl Drop for LiveGeneration {
    fn drop(&mut self) {
        self.runtime.unload(self.id);
    }
}

impl std::fmt::Debug for LiveGeneration {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LiveGeneration")
            .field("plugin", &self.plugin)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Leave to run one call of a plugin, given back when dropped. It goes with its call for as long as that
/// runs: also past the deadline, so that code which does not end fills the plugin and not the memory.
#[derive(Debug)]
pub struct Permit(Arc<LiveGeneration>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.traffic.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A function that a plugin has registered, with what keeps its code loaded.
#[derive(Debug, Clone)]
pub struct PluginFunction {
    /// The load that it belongs to.
    pub generation: Arc<LiveGeneration>,
    /// Its number in that load's runtime.
    pub handler: HandlerId,
}
