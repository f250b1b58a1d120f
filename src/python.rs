//! The embedded interpreter: the only pyo3. No Python type leaves this module.

use std::sync::Arc;

use crate::{config::PluginsConfig, plugins::HostServices};

/// The embedded CPython with its one event loop thread; implements
/// [`PluginRuntime`](crate::plugins::PluginRuntime).
pub struct PythonRuntime {}

impl PythonRuntime {
    /// Initialises CPython (once in a process) and starts the loop thread.
    ///
    /// # Errors
    /// A sentence that says what is missing (interpreter home, standard library, package) and
    /// what to do.
    pub fn start(
        _config: &PluginsConfig,
        _host: Arc<dyn HostServices>,
    ) -> Result<Arc<Self>, String> {
        unimplemented!()
    }
}
