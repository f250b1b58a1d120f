//! The plugins that exist and the state each is in.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    config::PluginsConfig,
    plugins::runtime::{Generation, PluginRuntime},
};

/// A plugin as users see it. States change; the entry stays.
#[derive(Debug)]
pub struct Plugin {
    /// Its name: the directory's, checked.
    pub name: Arc<str>,
    /// Its directory.
    pub dir: PathBuf,
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
    /// The state now.
    pub fn state(&self) -> PluginState {
        unimplemented!()
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        unimplemented!()
    }
}

/// All plugins by name.
pub struct Registry {}

impl Registry {
    /// An empty registry over the plugins directory.
    pub fn new(_config: &PluginsConfig, _runtime: Arc<dyn PluginRuntime>) -> Arc<Self> {
        unimplemented!()
    }

    /// Finds the plugins under the directory and imports each; a broken one is listed as failed.
    /// Returns when every one is active or failed, at the latest after the import deadline.
    pub async fn load_all(&self) {
        unimplemented!()
    }

    /// The plugin of that name. Names that break the rule are simply unknown.
    pub fn find(&self, _name: &str) -> Option<Arc<Plugin>> {
        unimplemented!()
    }

    /// All plugins, sorted by name.
    pub fn list(&self) -> Vec<Arc<Plugin>> {
        unimplemented!()
    }
}
