//! Where a plugin runs: the operator's word, and who follows it.

use std::sync::Arc;

use crate::{
    discovery::Found,
    limits::ResourceLimits,
    manifest::{Isolation, Manifest},
    registry::Plugin,
    runtime::{LoadError, PluginRuntime},
    site::Site,
};

/// What an operator has said of one plugin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperatorWord {
    /// Where it runs.
    pub isolation: Option<Isolation>,
    /// What it may use.
    pub limits: ResourceLimits,
}

/// Chooses what runs a load of a plugin.
pub trait Runtimes: Send + Sync + 'static {
    /// Where a load of it is to run.
    fn mode(&self, plugin: &Plugin, manifest: &Manifest) -> Isolation;

    /// The runtime of that mode that is to load it, with what is installed for it.
    ///
    /// # Errors
    /// Where there is none that it may run in.
    fn choose(
        &self,
        plugin: &Plugin,
        found: &Found,
        manifest: &Manifest,
        mode: Isolation,
        site: Option<&Site>,
    ) -> Result<Arc<dyn PluginRuntime>, LoadError>;
}
