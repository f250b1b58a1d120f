//! Which plugin runs where: in the gateway, in workers that are shared, in one of its own.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use mozaiks_config::{PluginsConfig, WorkersConfig};
use mozaiks_plugins::{
    HostServices, LoadError, PluginRuntime, bytecode,
    discovery::Found,
    limits::ResourceLimits,
    manifest::{Isolation, Manifest},
    origin::Origin,
    placement::Runtimes,
    registry::Plugin,
    runtime::CrashReason,
    site::Site,
};
use parking_lot::Mutex;

use crate::{
    confine::Confinement,
    crashes::Crashes,
    description::DescriptionFile,
    pool::{PoolObserver, PoolSettings, PoolView, WorkerPool},
    program,
    sampler::Watched,
    spawner::Spawner,
};

mod effective;

use effective::Effective;
pub use effective::LimitView;

/// What workers that share are called; no plugin can be.
const SHARED: &str = "(shared)";
/// Descriptors of a worker that is shared: files and connections of all its plugins.
const SHARED_OPEN_FILES: u64 = 65_536;
/// Threads of a worker that are not its plugin's: I/O, loop, watchdog, an import, the allocator's.
const OWN_THREADS: u64 = 8;

/// Places plugins.
pub struct Isolations {
    config: WorkersConfig,
    plugins: PluginsConfig,
    log_filter: String,
    /// Each plugin has a directory of its own below it.
    data_dir: PathBuf,
    inline: Arc<dyn PluginRuntime>,
    host: Arc<dyn HostServices>,
    observer: Arc<dyn PoolObserver>,
    crashes: Arc<Crashes>,
    // Looked at for loads and by admins; never held across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Made with the first plugin that needs it: a gateway whose plugins are its own needs no processes.
    spawner: Option<Arc<Spawner>>,
    shared: Option<Arc<WorkerPool>>,
    /// The latest of each plugin; during a reload there are two.
    dedicated: HashMap<Arc<str>, Weak<WorkerPool>>,
    /// Plugins that have held the loop too often, and run in processes of their own since.
    moved: HashMap<Arc<str>, String>,
}

/// Where a plugin is to run, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decision {
    mode: Isolation,
    reason: String,
}

/// What admins see of where a plugin runs.
#[derive(Debug, Clone)]
pub struct IsolationView {
    /// Where a load from now on runs.
    pub mode: Isolation,
    /// What the manifest wishes.
    pub wanted: Option<Isolation>,
    /// Who decided: `operator`, `manifest`, `default`, or why it was moved.
    pub reason: String,
    /// Its workers, where it has some.
    pub pool: Option<PoolView>,
    /// Workers that have died, since the gateway's start.
    pub restarts: u64,
    /// Why the last one did.
    pub last_exit: Option<CrashReason>,
    /// Its limits, one by one.
    pub limits: Vec<LimitView>,
}

impl Isolations {
    /// Places plugins as configured; `inline` runs those that stay in the gateway. Inside tokio.
    pub fn new(
        config: &WorkersConfig,
        plugins: &PluginsConfig,
        log_filter: &str,
        data_dir: &Path,
        inline: Arc<dyn PluginRuntime>,
        host: Arc<dyn HostServices>,
        observer: Arc<dyn PoolObserver>,
    ) -> Arc<Self> {
        Arc::new(Self {
            crashes: Crashes::new(config.crash_limit, config.crash_window),
            config: config.clone(),
            plugins: plugins.clone(),
            log_filter: log_filter.to_owned(),
            data_dir: data_dir.to_owned(),
            inline,
            host,
            observer,
            state: Mutex::default(),
        })
    }

    /// Crashes by plugin.
    pub fn crashes(&self) -> &Arc<Crashes> {
        &self.crashes
    }

    /// From the next load on a plugin has a process of its own, whatever else is said.
    pub fn move_out(&self, plugin: &Arc<str>, why: String) {
        self.state.lock().moved.insert(Arc::clone(plugin), why);
    }

    /// Replaces a plugin's workers: new ones first. `false` where it has none.
    pub fn restart(&self, plugin: &Plugin) -> bool {
        match self.pool_of(plugin, &plugin.manifest()) {
            Some(pool) => {
                pool.restart();
                true
            }
            None => false,
        }
    }

    /// All pools that live, by name.
    pub fn pools(&self) -> Vec<(Arc<str>, PoolView)> {
        let pools: Vec<Arc<WorkerPool>> = {
            let state = self.state.lock();
            let own = state.dedicated.values().filter_map(Weak::upgrade);
            state.shared.iter().cloned().chain(own).collect()
        };
        let views = pools.iter();
        views
            .map(|pool| (Arc::clone(&pool.settings.name), pool.view()))
            .collect()
    }

    /// What admins see of a plugin.
    pub fn view(&self, plugin: &Plugin) -> IsolationView {
        let manifest = plugin.manifest();
        let decision = self.decide(plugin, &manifest);
        let pool = self.pool_of(plugin, &manifest).map(|pool| pool.view());
        let crashes = self.crashes.of(match decision.mode {
            Isolation::Shared => SHARED,
            Isolation::Inline | Isolation::Dedicated => &plugin.name,
        });
        let limits = self.effective(plugin, &manifest);
        IsolationView {
            mode: decision.mode,
            wanted: manifest.isolation,
            reason: decision.reason,
            limits: limits.view(&manifest.limits, decision.mode, pool.as_ref()),
            pool,
            restarts: crashes.total,
            last_exit: crashes.last,
        }
    }

    fn pool_of(&self, plugin: &Plugin, manifest: &Manifest) -> Option<Arc<WorkerPool>> {
        let mode = self.decide(plugin, manifest).mode;
        let state = self.state.lock();
        match mode {
            Isolation::Inline => None,
            Isolation::Shared => state.shared.clone(),
            Isolation::Dedicated => state.dedicated.get(&plugin.name)?.upgrade(),
        }
    }

    /// The operator's word on the plugin; else the stricter of what the operator has for all and what
    /// the plugin wishes.
    fn decide(&self, plugin: &Plugin, manifest: &Manifest) -> Decision {
        let decided = |mode, reason: &str| Decision {
            mode,
            reason: reason.to_owned(),
        };
        if let Some(why) = self.state.lock().moved.get(&plugin.name) {
            return decided(Isolation::Dedicated, why);
        }
        if let Some(mode) = plugin.operator_word().isolation {
            return decided(mode, "operator");
        }
        let usual = match Origin::of(manifest) {
            Origin::Database | Origin::Generated => &self.config.default_database,
            Origin::Directory | Origin::Builtin | Origin::Package | Origin::Git => {
                &self.config.default_directory
            }
        };
        let usual = match usual.as_str() {
            "dedicated" => Isolation::Dedicated,
            "shared" => Isolation::Shared,
            _ => Isolation::Inline,
        };
        match manifest.isolation {
            Some(wish) if wish > usual => decided(wish, "manifest"),
            _ => decided(usual, "default"),
        }
    }

    fn effective(&self, plugin: &Plugin, manifest: &Manifest) -> Effective {
        let word: ResourceLimits = plugin.operator_word().limits.or(&manifest.limits);
        Effective::of(&word, &self.config)
    }

    fn spawner(&self) -> Result<Arc<Spawner>, LoadError> {
        let mut state = self.state.lock();
        if let Some(spawner) = &state.spawner {
            return Ok(Arc::clone(spawner));
        }
        let spawner = Spawner::new(
            &self.plugins,
            &self.log_filter,
            self.config.start_timeout,
            self.config.queue_bytes,
            self.config.spare,
        )
        .map_err(|error| refused(format!("no thread makes workers: {error}")))?;
        state.spawner = Some(Arc::clone(&spawner));
        Ok(spawner)
    }

    fn shared(&self) -> Result<Arc<WorkerPool>, LoadError> {
        let spawner = self.spawner()?;
        let mut state = self.state.lock();
        if let Some(pool) = &state.shared {
            return Ok(Arc::clone(pool));
        }
        let settings = PoolSettings {
            size: self.config.shared_count(),
            confinement: Confinement {
                open_files: SHARED_OPEN_FILES,
                ..Confinement::default()
            },
            ..self.settings(SHARED.into())
        };
        let pool = self.pool(settings, spawner);
        state.shared = Some(Arc::clone(&pool));
        Ok(pool)
    }

    fn dedicated(
        &self,
        plugin: &Plugin,
        found: &Found,
        manifest: &Manifest,
        site: Option<&Site>,
    ) -> Result<Arc<WorkerPool>, LoadError> {
        // The name follows the rule of names, which is safe as a part of a path.
        let data = self.data_dir.join("plugins").join(&*plugin.name);
        let data = std::fs::create_dir_all(&data)
            .and_then(|()| data.canonicalize())
            .map_err(|error| refused(format!("no directory for its files: {error}")))?;
        if self.crashes.are_too_many(&plugin.name) {
            // Whoever loads it anew gives it another chance, and not a last one.
            self.crashes.forgive(&plugin.name);
        }
        let limits = self.effective(plugin, manifest);
        let threads = self.plugins.thread_pool_size
            + self.plugins.executor_threads
            + self.plugins.resolver_threads;
        let is_stored = !Origin::of(manifest).is_operators();
        let idle = match is_stored {
            true => self.config.stored_idle,
            false => self.config.idle,
        };
        let settings = PoolSettings {
            quarantine: true,
            idle: (!idle.is_zero()).then_some(idle),
            description: is_stored.then(|| {
                // A stored tree lies in a directory that is named by its digest and never changes.
                let site = site.map(|site| site.path.dir.as_path());
                let code = (found.dir.as_path(), site, program::stamp());
                let dir = self.data_dir.join("loads");
                DescriptionFile::new(&dir, &plugin.name, format!("{code:?}").into())
            }),
            confinement: Confinement {
                wall: true,
                strict: self.config.strict,
                memory_bytes: Some(limits.memory),
                open_files: limits.open_files,
                file_bytes: Some(limits.storage),
                // Of what is kept of plugins, its own.
                readable: std::iter::once(found.dir.clone())
                    .chain(bytecode::folder_of(&self.plugins, &plugin.name))
                    .chain(site.map(|site| site.path.dir.clone()))
                    .collect(),
                writable: Some(data),
            },
            watched: Watched {
                memory_bytes: Some(limits.memory),
                cpu_percent: Some(limits.cpu),
                disk_bytes_per_second: Some(limits.disk_io),
                threads: Some(limits.threads + threads as u64 + OWN_THREADS),
            },
            ..self.settings(Arc::clone(&plugin.name))
        };
        let pool = self.pool(settings, self.spawner()?);
        let mut state = self.state.lock();
        let old = state
            .dedicated
            .insert(Arc::clone(&plugin.name), Arc::downgrade(&pool));
        drop(state);
        drop(old);
        Ok(pool)
    }

    fn pool(&self, settings: PoolSettings, spawner: Arc<Spawner>) -> Arc<WorkerPool> {
        WorkerPool::new(
            settings,
            spawner,
            Arc::clone(&self.host),
            Arc::clone(&self.crashes),
            Arc::clone(&self.observer),
        )
    }

    fn settings(&self, name: Arc<str>) -> PoolSettings {
        PoolSettings {
            name,
            size: 1,
            confinement: Confinement::default(),
            watched: Watched::default(),
            quarantine: false,
            heartbeat: self.config.heartbeat,
            heartbeat_timeout: self.config.heartbeat_timeout,
            kill_grace: self.config.kill_grace,
            recycle_calls: self.config.recycle_calls as u64,
            recycle_bytes: self.config.recycle_bytes as u64,
            queue_size: self.plugins.queue_size,
            max_requests: self.plugins.max_requests,
            drain_timeout: self.config.drain_timeout,
            max_depth: self.plugins.max_depth,
            idle: None,
            description: None,
        }
    }
}

impl Runtimes for Isolations {
    fn mode(&self, plugin: &Plugin, manifest: &Manifest) -> Isolation {
        self.decide(plugin, manifest).mode
    }

    fn choose(
        &self,
        plugin: &Plugin,
        found: &Found,
        manifest: &Manifest,
        mode: Isolation,
        site: Option<&Site>,
    ) -> Result<Arc<dyn PluginRuntime>, LoadError> {
        Ok(match mode {
            Isolation::Inline => Arc::clone(&self.inline),
            Isolation::Shared => self.shared()?,
            Isolation::Dedicated => self.dedicated(plugin, found, manifest, site)?,
        })
    }
}

fn refused(summary: String) -> LoadError {
    LoadError::Raised {
        traceback: summary.clone(),
        summary,
    }
}
