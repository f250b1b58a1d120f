//! The plugins that exist and the state each is in.

mod cache;
mod call_limits;
mod misnamed;
mod permissions;
mod places;
mod prepare;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, OnceLock, Weak},
};

use parking_lot::{Mutex, RwLock};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    apps::AppSwitch,
    bytecode::{BytecodeCache, ModuleCounts},
    discovery::{self, Found, Skipped},
    findings::Findings,
    generation::{CallLimits, Generation, GenerationPhase, LiveGeneration},
    host::Caller,
    manifest::Manifest,
    permissions::Permissions,
    placement::{OperatorWord, Runtimes},
    runtime::PluginRuntime,
    site::Sites,
    traffic::Traffic,
};
use mozaiks_config::PluginsConfig;

pub use prepare::{NotPrepared, Prepared};

/// Plugins imported at the same time.
const LOADS_AT_A_TIME: usize = 8;

/// A plugin as users see it. States change; the entry stays.
#[derive(Debug)]
pub struct Plugin {
    /// Its name: the directory's, checked.
    pub name: Arc<str>,
    /// Its directory, which is another for each revision of a stored plugin.
    dir: RwLock<PathBuf>,
    /// The app of a stored plugin: to others it is not there.
    owner: OnceLock<Arc<str>>,
    /// Replaced whole at each load.
    current: RwLock<Current>,
    /// Every generation that somebody holds: also the one being loaded, whose code registers things
    /// already, and older ones whose calls still run. Touched at load and by registrations only.
    generations: Mutex<Vec<Weak<LiveGeneration>>>,
    /// Held while a generation is loaded: one at a time, so that the newest source wins.
    loading: tokio::sync::Mutex<()>,
    /// Its calls, of all loads.
    traffic: Arc<Traffic>,
    /// In which apps it is on.
    apps: Arc<AppSwitch>,
    /// What the operator has said of where it runs. Read for every load.
    operator: RwLock<Arc<OperatorWord>>,
}

#[derive(Debug)]
struct Current {
    state: PluginState,
    manifest: Arc<Manifest>,
}

/// What a plugin is at the moment.
#[derive(Debug, Clone)]
pub enum PluginState {
    /// Being imported for the first time.
    Loading,
    /// Runs.
    Active(Arc<LiveGeneration>),
    /// Switched off by an admin.
    Disabled,
    /// Could not be loaded; the sentence (with traceback) is for admins.
    Failed(Arc<str>),
}

impl Plugin {
    pub(super) fn new(name: &str, dir: PathBuf) -> Self {
        Self {
            name: name.into(),
            dir: RwLock::new(dir),
            owner: OnceLock::new(),
            current: RwLock::new(Current {
                state: PluginState::Loading,
                manifest: Arc::new(Manifest::of(name)),
            }),
            generations: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            traffic: Arc::default(),
            apps: Arc::default(),
            operator: RwLock::default(),
        }
    }

    /// What the operator has said of where it runs.
    pub fn operator_word(&self) -> Arc<OperatorWord> {
        Arc::clone(&self.operator.read())
    }

    /// The operator's word, for loads from here on.
    pub fn set_operator_word(&self, word: OperatorWord) {
        *self.operator.write() = Arc::new(word);
    }

    /// In which apps it is on.
    pub fn apps(&self) -> &AppSwitch {
        &self.apps
    }

    /// What a load says that does not serve; where another serves, that one's word counts.
    pub fn describe_as(&self, manifest: Arc<Manifest>) {
        let mut current = self.current.write();
        if !matches!(current.state, PluginState::Active(_)) {
            current.manifest = manifest;
        }
    }

    /// The state now.
    pub fn state(&self) -> PluginState {
        self.current.read().state.clone()
    }

    /// What the plugin says about itself.
    pub fn manifest(&self) -> Arc<Manifest> {
        self.current.read().manifest.clone()
    }

    /// Its calls.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Calls running or waiting.
    pub fn in_flight(&self) -> usize {
        self.traffic.in_flight()
    }

    /// The generation of that id, while somebody holds it.
    pub fn generation(&self, id: Generation) -> Option<Arc<LiveGeneration>> {
        let generations = self.generations.lock();
        generations
            .iter()
            .filter_map(Weak::upgrade)
            .find(|generation| generation.id() == id)
    }

    /// Its generations that somebody holds.
    pub(super) fn generations(&self) -> Vec<Arc<LiveGeneration>> {
        let generations = self.generations.lock();
        generations.iter().filter_map(Weak::upgrade).collect()
    }

    /// What each load's code may do beyond its own is asked of `permit`, by the load's manifest.
    pub fn permit(&self, permit: impl Fn(&Manifest) -> Permissions) {
        for generation in self.generations() {
            if let Some(manifest) = generation.manifest() {
                generation.permit(permit(manifest));
            }
        }
    }

    /// A generation to be loaded by `runtime`.
    pub(super) fn new_generation(
        &self,
        runtime: Arc<dyn PluginRuntime>,
        limits: CallLimits,
    ) -> Arc<LiveGeneration> {
        let generation = LiveGeneration::new(
            Arc::clone(&self.name),
            Generation::next(),
            runtime,
            limits,
            Arc::clone(&self.traffic),
        );
        generation.set_apps(Arc::clone(&self.apps));
        let mut generations = self.generations.lock();
        generations.retain(|known| known.strong_count() > 0);
        generations.push(Arc::downgrade(&generation));
        generation
    }

    /// Changes the state and gives back the load that served until now.
    pub fn replace(&self, state: PluginState) -> Option<Arc<LiveGeneration>> {
        match std::mem::replace(&mut self.current.write().state, state) {
            PluginState::Active(generation) => Some(generation),
            PluginState::Loading | PluginState::Disabled | PluginState::Failed(_) => None,
        }
    }

    /// What one load of the plugin says about it: during a reload there are two.
    pub fn manifest_of(&self, generation: Generation) -> Arc<Manifest> {
        self.generation(generation)
            .and_then(|generation| generation.manifest().cloned())
            .unwrap_or_else(|| self.manifest())
    }

    /// From now on new calls go to this generation. Gives the one that it replaces, whose running calls
    /// go on.
    pub(super) fn activate(
        &self,
        generation: Arc<LiveGeneration>,
        manifest: Arc<Manifest>,
    ) -> Option<Arc<LiveGeneration>> {
        generation.enter(GenerationPhase::Active);
        let old = {
            let mut current = self.current.write();
            current.manifest = manifest;
            std::mem::replace(&mut current.state, PluginState::Active(generation))
        };
        let PluginState::Active(old) = old else {
            return None;
        };
        old.enter(GenerationPhase::Retired);
        Some(old)
    }

    /// A load has failed: an older generation goes on serving, where there is one.
    pub fn fail(&self, reason: &Arc<str>, manifest: Option<Manifest>) {
        let mut current = self.current.write();
        if matches!(current.state, PluginState::Active(_)) {
            return;
        }
        current.state = PluginState::Failed(Arc::clone(reason));
        if let Some(manifest) = manifest {
            current.manifest = Arc::new(manifest);
        }
    }

    #[cfg(test)]
    pub(super) fn set_state(&self, state: PluginState) {
        let old = std::mem::replace(&mut self.current.write().state, state);
        // After the lock: the last holder of a generation unloads it.
        drop(old);
    }
}

/// Wants to know what the manifests of loaded plugins say.
pub trait ManifestObserver: Send + Sync + 'static {
    /// The plugin of that name has been loaded with this manifest, for the first time or again.
    fn manifest_read(&self, plugin: &str, manifest: &Manifest);
}

/// Wants to know which generations are called, to call what they have registered and no other.
pub trait GenerationObserver: Send + Sync + 'static {
    /// New calls go to this generation; the one that it replaces finishes what has begun on it, and
    /// what that one has registered ends now.
    fn generation_activated(&self, generation: Generation, replaced: Option<Generation>);
}

/// Why a plugin was not loaded anew.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReloadError {
    /// No such plugin.
    #[error("there is no plugin of this name")]
    NotFound,
    /// The new generation could not be loaded; the old one goes on serving, where there is one. The
    /// sentence (with traceback) is for admins.
    #[error("{0}")]
    Failed(Arc<str>),
}

/// All plugins by name.
pub struct Registry {
    /// Set once, before plugins are loaded.
    activations: OnceLock<Arc<dyn GenerationObserver>>,
    /// Set once, before plugins are loaded.
    observer: OnceLock<Arc<dyn ManifestObserver>>,
    config: PluginsConfig,
    runtime: Arc<dyn PluginRuntime>,
    /// Set once, before plugins are loaded, where not all run in `runtime`.
    runtimes: OnceLock<Arc<dyn Runtimes>>,
    /// Set once, before plugins are loaded, where what they need can be installed.
    sites: OnceLock<Arc<dyn Sites>>,
    /// Held while a load's site is compared with those of the others: of two that do not go together one is first.
    placing: Mutex<()>,
    findings: Arc<Findings>,
    /// Directories that look like plugins and are none, as they were last seen.
    skipped: RwLock<Vec<Skipped>>,
    /// Read for every call, written when plugins are found.
    plugins: RwLock<BTreeMap<Arc<str>, Arc<Plugin>>>,
    /// Set once, before plugins are loaded, where bytecode is kept.
    cache: OnceLock<Arc<dyn BytecodeCache>>,
    modules: ModuleCounts,
}

impl Registry {
    /// An empty registry over the plugins directory.
    pub fn new(config: &PluginsConfig, runtime: Arc<dyn PluginRuntime>) -> Arc<Self> {
        Arc::new(Self {
            activations: OnceLock::new(),
            observer: OnceLock::new(),
            config: config.clone(),
            runtime,
            runtimes: OnceLock::new(),
            sites: OnceLock::new(),
            placing: Mutex::default(),
            findings: Arc::default(),
            skipped: RwLock::default(),
            plugins: RwLock::default(),
            cache: OnceLock::new(),
            modules: ModuleCounts::default(),
        })
    }

    /// From now on these say what runs a load.
    pub fn place_by(&self, runtimes: Arc<dyn Runtimes>) {
        let _ = self.runtimes.set(runtimes);
    }

    /// From now on these see to what loads need.
    pub fn provide_by(&self, sites: Arc<dyn Sites>) {
        let _ = self.sites.set(sites);
    }

    /// Tells of the manifests of plugins that are loaded from now on; there is one observer.
    pub fn observe_manifests(&self, observer: Arc<dyn ManifestObserver>) {
        let _ = self.observer.set(observer);
    }

    /// Tells of generations that are activated from now on; there is one observer.
    pub fn observe_generations(&self, observer: Arc<dyn GenerationObserver>) {
        let _ = self.activations.set(observer);
    }

    /// Finds the plugins under the directory and imports each; a broken one is listed as failed.
    /// Returns when every one is active or failed. Only so many are imported at a time: they share one
    /// interpreter, and each import's deadline runs while it waits for it.
    pub async fn load_all(self: &Arc<Self>) {
        let root = self.config.dir.clone();
        let (found, skipped) = match discovery::discover(&root) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(dir = %root.display(), %error, "plugins.directory_unreadable");
                return;
            }
        };
        for skipped in skipped {
            tracing::warn!(dir = %skipped.dir.display(), reason = skipped.reason, "plugin.skipped");
        }
        let turns = Arc::new(Semaphore::new(LOADS_AT_A_TIME));
        let mut loads = JoinSet::new();
        for found in found {
            let plugin = Arc::new(Plugin::new(&found.name, found.dir.clone()));
            self.plugins
                .write()
                .insert(plugin.name.clone(), plugin.clone());
            let (registry, turns) = (self.clone(), turns.clone());
            loads.spawn(async move {
                // Never closed, so there is always a turn to come.
                let _turn = turns.acquire().await;
                let runtime = Arc::clone(&registry.runtime);
                // What is wrong with it has been logged and is its state.
                drop(registry.load(&plugin, found, runtime).await);
            });
        }
        while let Some(ended) = loads.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "plugin.load_panicked");
            }
        }
    }

    /// The plugin of that name. Names that break the rule are simply unknown.
    pub fn find(&self, name: &str) -> Option<Arc<Plugin>> {
        self.plugins.read().get(name).cloned()
    }

    /// All plugins, sorted by name.
    pub fn list(&self) -> Vec<Arc<Plugin>> {
        self.plugins.read().values().cloned().collect()
    }

    /// The generation whose code asks, while somebody holds it.
    pub fn generation_of(&self, caller: &Caller) -> Option<Arc<LiveGeneration>> {
        self.find(&caller.plugin)?.generation(caller.generation)
    }

    /// Loads a plugin anew from its directory, in the runtime that it is in: the new generation first,
    /// then the swap. Calls that run finish on the old one, which is unloaded when the last has ended;
    /// what it has registered goes at the swap.
    ///
    /// # Errors
    /// [`ReloadError`]; an old generation serves on.
    pub async fn reload(&self, name: &str) -> Result<Generation, ReloadError> {
        let plugin = self.find(name).ok_or(ReloadError::NotFound)?;
        let runtime = match plugin.state() {
            PluginState::Active(generation) => Arc::clone(generation.runtime()),
            PluginState::Loading | PluginState::Disabled | PluginState::Failed(_) => {
                Arc::clone(&self.runtime)
            }
        };
        self.reload_in(&plugin, runtime).await
    }

    /// As [`Self::reload`], in a certain runtime: a plugin moves there with the swap.
    ///
    /// # Errors
    /// [`ReloadError::Failed`].
    pub async fn reload_in(
        &self,
        plugin: &Arc<Plugin>,
        runtime: Arc<dyn PluginRuntime>,
    ) -> Result<Generation, ReloadError> {
        let found = discovery::locate(&self.config.dir, &plugin.dir(), &plugin.name)
            .map_err(|reason| ReloadError::Failed(reason.into()))?;
        self.load(plugin, found, runtime)
            .await
            .map_err(ReloadError::Failed)
    }

    /// What was noticed about the plugins.
    pub fn findings(&self) -> &Arc<Findings> {
        &self.findings
    }

    /// The entry of a plugin, made where there is none yet.
    pub fn entry(&self, found: &Found) -> Arc<Plugin> {
        let mut plugins = self.plugins.write();
        if let Some(plugin) = plugins.get(&*found.name) {
            return Arc::clone(plugin);
        }
        let plugin = Arc::new(Plugin::new(&found.name, found.dir.clone()));
        plugins.insert(plugin.name.clone(), Arc::clone(&plugin));
        plugin
    }

    /// Takes a plugin off the list.
    pub fn remove(&self, name: &str) {
        let removed = self.plugins.write().remove(name);
        self.findings.forget(name);
        if let Some(plugin) = removed {
            drop(plugin.replace(PluginState::Disabled));
        }
    }

    /// The runtime that plugins are loaded into which have none yet.
    pub fn runtime(&self) -> &Arc<dyn PluginRuntime> {
        &self.runtime
    }

    async fn load(
        &self,
        plugin: &Arc<Plugin>,
        found: Found,
        runtime: Arc<dyn PluginRuntime>,
    ) -> Result<Generation, Arc<str>> {
        let _one_at_a_time = plugin.loading.lock().await;
        let started = std::time::Instant::now();
        let prepared = match self.prepare(plugin, &found, Some(runtime)).await {
            Ok(prepared) => prepared,
            Err(failed) => {
                let reason: Arc<str> = failed.error.whole().into();
                tracing::error!(
                    plugin.name = &*plugin.name,
                    reason = &*reason,
                    "plugin.not_loaded"
                );
                plugin.fail(&reason, failed.manifest);
                return Err(reason);
            }
        };
        let id = prepared.generation.id();
        let replaced = self.serve(plugin, &prepared);
        tracing::info!(
            plugin.name = &*plugin.name,
            generation = id.0,
            replaced = replaced.as_ref().map(|old| old.id().0),
            elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "plugin.loaded"
        );
        Ok(id)
    }

    /// Lets a load serve in the place of the one before, which is given back: what that has registered
    /// ends now, and it ends with its last holder.
    pub fn serve(&self, plugin: &Plugin, prepared: &Prepared) -> Option<Arc<LiveGeneration>> {
        if let Some(observer) = self.observer.get() {
            observer.manifest_read(&plugin.name, &prepared.manifest);
        }
        let generation = Arc::clone(&prepared.generation);
        let id = generation.id();
        self.findings.keep_only(&plugin.name, id);
        let replaced = plugin.activate(generation, Arc::clone(&prepared.manifest));
        if let Some(observer) = self.activations.get() {
            observer.generation_activated(id, replaced.as_ref().map(|old| old.id()));
        }
        replaced
    }

    /// A load that is switched off: it waits, and nothing is served.
    pub fn rest(&self, plugin: &Plugin, prepared: &Prepared) {
        let old = {
            let mut current = plugin.current.write();
            current.manifest = Arc::clone(&prepared.manifest);
            std::mem::replace(&mut current.state, PluginState::Disabled)
        };
        // After the lock: the last holder of a generation unloads it.
        drop(old);
    }
}

#[cfg(test)]
mod tests;
