//! Plugins and where each is in its life: discovered → loaded → enabled ⇄ disabled → unloaded, or error.
//!
//! Here is what there is; `steps` is the one file in which states change. Each plugin takes one step at
//! a time; what a load registered goes with it, whatever fails.

mod acts;
mod consent;
mod files;
mod follow;
mod hooks;
mod in_apps;
mod quarantine;
mod start;
mod steps;
mod stored;
mod tell;

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

pub use consent::{GrantView, PermissionsView};
pub use files::Look;

use mozaiks_events::EventBus;
use mozaiks_plugins::{
    Generation, HostError,
    dispatch::Dispatcher,
    registry::{Plugin, PluginState, Prepared, Registry},
    routes::PluginRoutes,
    stored::StoredTrees,
};
use parking_lot::{Mutex, RwLock};

use crate::{
    apps::KnownApps,
    audit::AuditLog,
    configs::PluginConfigs,
    endpoints::Endpoints,
    error::LifeError,
    rows::{Row, Rows, Scope},
};

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
    /// What loads have registered as routes.
    pub routes: Arc<PluginRoutes>,
    /// Where these are written down.
    pub endpoints: Arc<Endpoints>,
    /// Configurations.
    pub configs: Arc<PluginConfigs>,
    /// Who did what.
    pub audit: Arc<AuditLog>,
    /// Hears of every step.
    pub events: Arc<EventBus>,
    /// The apps there are.
    pub apps: Arc<KnownApps>,
    /// Lays down plugins that are rows; none where those are switched off.
    pub stored: Option<Arc<dyn StoredTrees>>,
}

/// Takes plugins through their life.
pub struct PluginManager {
    parts: Parts,
    config: ManagerConfig,
    // Written when a plugin is found or removed; never held across an await.
    lives: RwLock<HashMap<Arc<str>, Arc<Life>>>,
    /// Whether every plugin has been loaded, or has failed, for the first time.
    loaded: tokio::sync::watch::Sender<bool>,
    /// For steps that calls wait for.
    me: Weak<Self>,
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
    /// What was decided of it, as this gateway has last read it, or assumed of a new one.
    row: Option<Row>,
    /// Whether the database has a row.
    has_row: bool,
    /// What is wrong with its row; what that says is not followed.
    row_error: Option<String>,
    /// What is wrong with a configuration in the database; the one before is in force.
    config_error: Option<String>,
    /// What its code was made of when it was last loaded, or was to be.
    checksum: Option<String>,
    /// Its files are gone; what was loaded goes on.
    source_missing: bool,
    /// Where its routes are not those that its manifest declares.
    odd_endpoints: Vec<String>,
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
    /// What is wrong with its row in the database.
    pub row_error: Option<String>,
    /// What is wrong with a configuration in the database.
    pub config_error: Option<String>,
    /// What its code is made of, as one number.
    pub checksum: Option<String>,
    /// Its files are gone.
    pub source_missing: bool,
    /// Why it stands still, where its workers have died too often.
    pub quarantine: Option<String>,
}

impl PluginManager {
    /// A manager without plugins; see [`Self::load_all`].
    pub fn new(parts: Parts, config: ManagerConfig) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            parts,
            config,
            lives: RwLock::default(),
            loaded: tokio::sync::watch::Sender::new(false),
            me: Weak::clone(me),
        })
    }

    /// Waits until [`Self::load_all`] has come to its end.
    pub async fn until_loaded(&self) {
        // The sender is here, so there is no other end of waiting.
        self.loaded
            .subscribe()
            .wait_for(|loaded| *loaded)
            .await
            .ok();
    }

    /// Whom the word of an admin is for: the app, in a gateway of many, or the whole gateway.
    pub fn scope<'a>(&self, app_id: &'a str, whole_gateway: bool) -> Scope<'a> {
        if whole_gateway || self.config.app_id.is_some() {
            Scope::Gateway
        } else {
            Scope::App(app_id)
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
            warnings: load
                .map(|load| load.warnings.clone())
                .into_iter()
                .flatten()
                .chain(state.odd_endpoints.iter().cloned())
                .collect(),
            error: state.error.clone(),
            row_error: state.row_error.clone(),
            config_error: state.config_error.clone(),
            checksum: state.checksum.clone(),
            source_missing: state.source_missing,
            quarantine: state.row.as_ref().and_then(|row| row.quarantine.clone()),
        }
    }

    /// Whether files are missing of a plugin: it is shown as an error, whatever else it is.
    pub fn is_source_missing(&self, name: &str) -> bool {
        let life = self.lives.read().get(name).cloned();
        life.is_some_and(|life| life.state.lock().source_missing)
    }

    /// Whether a plugin stands still because its workers have died too often.
    pub fn is_quarantined(&self, name: &str) -> bool {
        let life = self.lives.read().get(name).cloned();
        life.is_some_and(|life| life.quarantine().is_some())
    }

    /// What is decided of a plugin that is found for the first time. In a gateway of many apps one that
    /// is not enabled waits for the admins of each.
    fn new_row(&self, name: &str) -> Row {
        match (&self.config.app_id, self.config.enable_new) {
            (Some(_), enabled) => Row::new(name, enabled, None),
            (None, true) => Row::new(name, true, None),
            (None, false) => Row::new(name, true, Some(Default::default())),
        }
    }

    /// Whether there is an app here in which the plugin is to run.
    fn wants(&self, row: &Row) -> bool {
        let for_somebody = match &self.config.app_id {
            Some(app_id) => row.apps.allow(app_id),
            None => row.apps.allow_any(),
        };
        row.enabled && !row.removed && for_somebody
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
}

fn is_active(plugin: &Plugin) -> bool {
    matches!(plugin.state(), PluginState::Active(_))
}
