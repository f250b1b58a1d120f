//! The plugins that exist and the state each is in.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    discovery::{self, Found},
    manifest::{self, Manifest},
    runtime::{Generation, LoadError, PluginRuntime, PluginSource},
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
    /// How long a call may wait before it runs.
    queue_timeout: Duration,
    /// Replaced whole at each load.
    current: RwLock<Current>,
    /// Calls running or waiting; see [`Plugin::enter`].
    in_flight: AtomicUsize,
}

#[derive(Debug)]
struct Current {
    state: PluginState,
    manifest: Arc<Manifest>,
    timeout: Duration,
    max_concurrency: usize,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimits {
    /// From its start.
    pub running: Duration,
    /// Until its start.
    pub waiting: Duration,
}

/// What a plugin is at the moment.
#[derive(Debug, Clone)]
pub enum PluginState {
    /// Being imported for the first time.
    Loading,
    /// Runs.
    Active(Generation),
    /// Switched off by an admin.
    Disabled,
    /// Could not be loaded; the sentence (with traceback) is for admins.
    Failed(Arc<str>),
}

impl Plugin {
    pub(super) fn new(name: &str, dir: PathBuf, config: &PluginsConfig) -> Self {
        Self {
            name: name.into(),
            dir,
            queue_timeout: config.queue_timeout,
            current: RwLock::new(Current {
                state: PluginState::Loading,
                manifest: Arc::new(Manifest::of(name)),
                timeout: config.call_timeout,
                max_concurrency: config.max_concurrency,
            }),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// The state now.
    pub fn state(&self) -> PluginState {
        self.current.read().state.clone()
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.current.read().timeout
    }

    /// What the plugin says about itself.
    pub fn manifest(&self) -> Arc<Manifest> {
        self.current.read().manifest.clone()
    }

    /// Calls running or waiting.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// State and time limits in one look, for the call path.
    pub(super) fn for_call(&self) -> (PluginState, TimeLimits) {
        let current = self.current.read();
        let limits = TimeLimits {
            running: current.timeout,
            waiting: self.queue_timeout,
        };
        (current.state.clone(), limits)
    }

    /// Takes one of the plugin's places; `None` where all are taken.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let limit = self.current.read().max_concurrency;
        let before = self.in_flight.fetch_add(1, Ordering::AcqRel);
        let place = Place(self.clone());
        // A place over the limit is given back when it is dropped.
        (before < limit).then_some(place)
    }

    pub(super) fn set_state(&self, state: PluginState) {
        self.current.write().state = state;
    }

    fn fail(&self, reason: &str) {
        self.set_state(PluginState::Failed(reason.into()));
    }

    fn describe(&self, manifest: Manifest, config: &PluginsConfig) {
        let mut current = self.current.write();
        current.timeout = manifest.timeout.unwrap_or(config.call_timeout);
        current.max_concurrency = manifest.max_concurrency.unwrap_or(config.max_concurrency);
        current.manifest = Arc::new(manifest);
    }
}

/// One of a plugin's places, given back when dropped. It goes with its call for as long as that runs:
/// also past the deadline, so that code which does not end fills the plugin and not the memory.
#[derive(Debug)]
pub struct Place(Arc<Plugin>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
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
            let plugin = Arc::new(Plugin::new(&found.name, found.dir.clone(), &self.config));
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
        let source = PluginSource {
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
                plugin.describe(manifest, &self.config);
                plugin.set_state(PluginState::Active(loaded.generation));
                tracing::info!(
                    plugin.name = &*plugin.name,
                    generation = loaded.generation.0,
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
                plugin.describe(manifest, &self.config);
                plugin.fail(&reason);
            }
        }
    }
}
