//! `mozaiks worker`: a process that runs plugins for the gateway that has started it.

use std::{path::PathBuf, sync::Arc};

use super::Failure;
use mozaiks_config::PluginsConfig;
use mozaiks_plugins::{HostServices, PluginRuntime};
use mozaiks_python::{PythonRuntime, Turns};
use mozaiks_worker::child::{self, Interpreter};

pub(super) fn run() -> Result<(), Failure> {
    // As in the gateway.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    // The link and the calls of one interpreter are work for one thread.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let turns = Turns::of(&mut builder);
    child::run(&Python { turns }, builder).map_err(|error| {
        // The gateway, which reads this, says whose worker it was.
        Failure::Failed(anyhow::Error::msg(error))
    })
}

struct Python {
    turns: Turns,
}

impl Interpreter for Python {
    fn prepare(&self, config: &PluginsConfig, database: bool) -> Result<(), String> {
        let (python, sdk) = (config.python.as_deref(), config.sdk_path.as_deref());
        mozaiks_python::prepare(python, sdk, database)
    }

    fn readable(&self) -> Vec<PathBuf> {
        mozaiks_python::readable_dirs()
    }

    fn start(
        &self,
        config: &PluginsConfig,
        host: Arc<dyn HostServices>,
    ) -> Result<Arc<dyn PluginRuntime>, String> {
        Ok(PythonRuntime::start(config, host, &self.turns)?)
    }
}
