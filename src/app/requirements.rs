//! What plugins need installed, for the registry: with `--dev` it is installed when a plugin is loaded, else
//! what is missing is an error that names the command.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use mozaiks_config::PluginsConfig;
use mozaiks_plugins::{
    LoadError,
    manifest::{Isolation, Manifest},
    site::{Site, SitePath},
};
use mozaiks_python::{BUILD_VERSION, executable};
use mozaiks_requirements::{Missing, Process, RequirementsError, Sites, read};

/// The sites below the data directory.
pub(super) struct InstalledSites {
    config: PluginsConfig,
    data_dir: PathBuf,
    missing: Missing,
    /// Made with the first plugin that needs something: until then nobody asks which interpreter it is.
    sites: OnceLock<Result<Sites, String>>,
}

impl InstalledSites {
    /// Those of a gateway, which in development mode installs what is missing.
    pub(super) fn new(config: &PluginsConfig, data_dir: &Path, dev: bool) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            data_dir: data_dir.to_owned(),
            missing: if dev {
                Missing::Install
            } else {
                Missing::Refuse
            },
            sites: OnceLock::new(),
        })
    }

    fn sites(&self) -> Result<&Sites, LoadError> {
        let made = self.sites.get_or_init(|| {
            let python = executable(self.config.python.as_deref())?;
            let config = &self.config.requirements;
            Ok(Sites::new(config, &self.data_dir, python, BUILD_VERSION))
        });
        made.as_ref()
            .map_err(|reason| LoadError::requirements(reason.clone()))
    }
}

impl mozaiks_plugins::site::Sites for InstalledSites {
    fn provide(
        &self,
        plugin: &str,
        dir: &Path,
        manifest: &Manifest,
        mode: Isolation,
    ) -> Result<Option<Site>, LoadError> {
        let requirements = read(dir, &manifest.requirements).map_err(LoadError::Manifest)?;
        if requirements.is_empty() {
            return Ok(None);
        }
        let process = match mode {
            Isolation::Dedicated => Process::Own,
            Isolation::Inline | Isolation::Shared => Process::Common,
        };
        let provided = self
            .sites()?
            .provide(plugin, &requirements, self.missing, process)
            .map_err(load_error)?;
        if provided.is_new {
            tracing::info!(plugin.name = plugin, "plugin.requirements_installed");
        }
        Ok(provided.site.map(|site| {
            let path = SitePath {
                dir: site.path.clone(),
                first: process == Process::Own,
            };
            Site::new(path, mode, site.distributions.clone(), Box::new(site))
        }))
    }

    fn counts(&self) -> (u64, u64) {
        match self.sites.get() {
            Some(Ok(sites)) => sites.counts(),
            Some(Err(_)) | None => (0, 0),
        }
    }
}

fn load_error(error: RequirementsError) -> LoadError {
    match error {
        RequirementsError::Refused(reason) => LoadError::Manifest(reason),
        RequirementsError::NotInstallable { ref output, .. } => LoadError::Requirements {
            whole: format!("its requirements could not be installed: {output}"),
            summary: error.to_string(),
        },
        RequirementsError::NotInstalled { .. }
        | RequirementsError::Environment { .. }
        | RequirementsError::Failed(_) => LoadError::requirements(error.to_string()),
    }
}
