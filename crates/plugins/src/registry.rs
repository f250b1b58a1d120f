//! The plugins that exist and the state each is in.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    discovery::{self, Found},
    generation::{CallLimits, Generation, LiveGeneration},
    host::Caller,
    manifest::{self, Manifest},
    runtime::{LoadError, PluginRuntime, PluginSource},
};
use mozaiks_config::PluginsConfig;

/// Plugins imported at the same time.
const LOADS_AT_A_TIME: usize = 8;

/// A plugin as users see it. States change; the entry stays.
#[derive(Debug)]
pub struct Plugin {
    /// Its name: the directory's, checked.
    pub name: Arc<str>,
    /// Its directory.
    pub dir: PathBuf,
    /// Replaced whole at each load.
    current: RwLock<Current>,
    /// Every generation that somebody holds: also the one being loaded, whose code registers things
    /// already, and older ones whose calls still run. Touched at load and by registrations only.
    generations: Mutex<Vec<Weak<LiveGeneration>>>,
    /// Calls running or waiting; see [`LiveGeneration::acquire`].
    in_flight: Arc<AtomicUsize>,
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
            dir,
            current: RwLock::new(Current {
                state: PluginState::Loading,
                manifest: Arc::new(Manifest::of(name)),
            }),
            generations: Mutex::default(),
            in_flight: Arc::default(),
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

    /// Calls running or waiting.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The generation of that id, while somebody holds it.
    pub fn generation(&self, id: Generation) -> Option<Arc<LiveGeneration>> {
        let generations = self.generations.lock();
        generations
            .iter()
            .filter_map(Weak::upgrade)
            .find(|generation| generation.id() == id)
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
            Arc::clone(&self.in_flight),
        );
        let mut generations = self.generations.lock();
        generations.retain(|known| known.strong_count() > 0);
        generations.push(Arc::downgrade(&generation));
        generation
    }

    pub(super) fn set_state(&self, state: PluginState) {
        let old = std::mem::replace(&mut self.current.write().state, state);
        // After the lock: the last holder of a generation unloads it.
        drop(old);
    }

    fn fail(&self, reason: &str) {
        self.set_state(PluginState::Failed(reason.into()));
    }

    fn describe(&self, manifest: Manifest) {
        self.current.write().manifest = Arc::new(manifest);
    }
}

/// Wants to know what the manifests of loaded plugins say.
pub trait ManifestObserver: Send + Sync + 'static {
    /// The plugin of that name has been loaded with this manifest, for the first time or again.
    fn manifest_read(&self, plugin: &str, manifest: &Manifest);
}

/// All plugins by name.
pub struct Registry {
    /// Set once, before plugins are loaded.
    observer: OnceLock<Arc<dyn ManifestObserver>>,
    config: PluginsConfig,
    runtime: Arc<dyn PluginRuntime>,
    /// Read for every call, written when plugins are found.
    plugins: RwLock<BTreeMap<Arc<str>, Arc<Plugin>>>,
}

impl Registry {
    /// An empty registry over the plugins directory.
    pub fn new(config: &PluginsConfig, runtime: Arc<dyn PluginRuntime>) -> Arc<Self> {
        Arc::new(Self {
            observer: OnceLock::new(),
            config: config.clone(),
            runtime,
            plugins: RwLock::default(),
        })
    }

    /// Tells of the manifests of plugins that are loaded from now on; there is one observer.
    pub fn observe_manifests(&self, observer: Arc<dyn ManifestObserver>) {
        let _ = self.observer.set(observer);
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
                registry.load(&plugin, found).await;
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

    async fn load(&self, plugin: &Arc<Plugin>, found: Found) {
        let read = match manifest::read(&found.dir, &found.name) {
            Ok(read) => read,
            Err(reason) => {
                tracing::error!(
                    plugin.name = &*plugin.name,
                    reason,
                    "plugin.manifest_invalid"
                );
                plugin.fail(&reason);
                return;
            }
        };
        for warning in read.warnings {
            tracing::warn!(plugin.name = &*plugin.name, warning, "plugin.manifest_odd");
        }
        let mut manifest = read.manifest;
        let limits = CallLimits {
            timeout: manifest.timeout.unwrap_or(self.config.call_timeout),
            max_concurrency: manifest
                .max_concurrency
                .unwrap_or(self.config.max_concurrency),
        };
        let generation = plugin.new_generation(Arc::clone(&self.runtime), limits);
        let source = PluginSource {
            generation: generation.id(),
            name: plugin.name.clone(),
            dir: found.dir,
            entry: found.entry,
        };
        let started = std::time::Instant::now();
        let loaded = self
            .runtime
            .load(source)
            .await
            .unwrap_or(Err(LoadError::Stopped));
        match loaded {
            Ok(loaded) => {
                manifest.description = manifest.description.or(loaded.doc);
                if let Some(observer) = self.observer.get() {
                    observer.manifest_read(&plugin.name, &manifest);
                }
                plugin.describe(manifest);
                let number = generation.id().0;
                plugin.set_state(PluginState::Active(generation));
                tracing::info!(
                    plugin.name = &*plugin.name,
                    generation = number,
                    elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                    "plugin.loaded"
                );
            }
            Err(error) => {
                let reason = match &error {
                    LoadError::Raised { traceback, .. } => format!("{error}\n{traceback}"),
                    LoadError::TimedOut { .. }
                    | LoadError::NoEntryPoint(_)
                    | LoadError::Stopped => error.to_string(),
                };
                tracing::error!(plugin.name = &*plugin.name, reason, "plugin.not_loaded");
                plugin.describe(manifest);
                plugin.fail(&reason);
            }
        }
    }
}
