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

impl crate::plugins::PluginRuntime for PythonRuntime {
    fn load(
        &self,
        _source: crate::plugins::PluginSource,
    ) -> tokio::sync::oneshot::Receiver<
        Result<crate::plugins::LoadedPlugin, crate::plugins::LoadError>,
    > {
        unimplemented!()
    }
    fn unload(&self, _generation: crate::plugins::runtime::Generation) {
        unimplemented!()
    }
    fn submit(
        &self,
        _call: crate::plugins::PluginCall,
    ) -> Result<
        tokio::sync::oneshot::Receiver<crate::plugins::CallResult>,
        crate::plugins::SubmitError,
    > {
        unimplemented!()
    }
    fn cancel(&self, _call: crate::plugins::runtime::CallId) {
        unimplemented!()
    }
    fn invoke(
        &self,
        _call: crate::plugins::runtime::HandlerCall,
    ) -> Result<
        tokio::sync::oneshot::Receiver<crate::plugins::CallResult>,
        crate::plugins::SubmitError,
    > {
        unimplemented!()
    }
    fn status(&self) -> crate::plugins::runtime::RuntimeStatus {
        unimplemented!()
    }
}
