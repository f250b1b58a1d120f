//! What plugins need installed: reads it, and keeps a directory of packages (a site) for each plugin,
//! which pip or uv makes.
//!
//! Knows nothing of how a plugin is loaded. Everything here blocks.

mod installer;
mod interpreter;
mod process;
mod site;
mod specifier;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use mozaiks_config::RequirementsConfig;

pub use site::Site;
pub use specifier::{Requirement, read};

use installer::{Installation, Installer};
use interpreter::Look;
use site::{PluginSites, Staged};

/// How long a look at the environment may take.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// Why a plugin does not have what it needs.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequirementsError {
    /// It asks for something that is no plain requirement.
    #[error("{0}")]
    Refused(String),
    /// Nobody has installed it.
    #[error(
        "its requirements are not installed ({missing}): `mozaiks plugin install-requirements {plugin}` \
         installs them, then `mozaiks plugin reload {plugin}` loads it"
    )]
    NotInstalled {
        /// The plugin.
        plugin: String,
        /// What is missing.
        missing: String,
    },
    /// Installing it failed.
    #[error("its requirements could not be installed: {reason}")]
    NotInstallable {
        /// One line.
        reason: String,
        /// The end of what the installer said, and where the whole stands.
        output: String,
    },
    /// The interpreter's own environment has another version, and its packages come first.
    #[error(
        "it needs {wanted}, and the gateway's environment has {found}, which all plugins in one process \
         share: \"isolation\": \"dedicated\" in its manifest gives it a process, and versions, of its own"
    )]
    Environment {
        /// What is needed.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// The machine did not do it.
    #[error("its requirements cannot be looked at: {0}")]
    Failed(String),
}

/// Whether what is missing may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is.
    Install,
    /// It is an error.
    Refuse,
}

/// In whose process a plugin's packages are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The plugin's own: its packages come before those of the environment.
    Own,
    /// One that others share: the environment's come first.
    Common,
}

/// What a plugin has been given.
#[derive(Debug, Default)]
pub struct Provided {
    /// Its site; `None` where the environment has all it needs.
    pub site: Option<Site>,
    /// Whether it was installed just now.
    pub is_new: bool,
}

/// The sites below a data directory.
pub struct Sites {
    config: RequirementsConfig,
    root: PathBuf,
    python: PathBuf,
    /// `3.11`; packages of one version do not serve another.
    version: String,
    installed: AtomicU64,
    failed: AtomicU64,
}

impl Sites {
    /// Sites for an interpreter of a version such as `3.11`; nothing is touched yet.
    pub fn new(
        config: &RequirementsConfig,
        data_dir: &Path,
        python: PathBuf,
        version: &str,
    ) -> Self {
        // Installers work elsewhere; a program without a folder is looked for on PATH.
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let is_a_name = python.components().count() == 1;
        Self {
            config: config.clone(),
            root: absolute(data_dir).join("sites"),
            python: if is_a_name { python } else { absolute(&python) },
            version: version.to_owned(),
            installed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// How often something was installed, and how often that failed.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.installed.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }

    /// Where a plugin's packages are, if they have been installed.
    pub fn find(&self, plugin: &str, requirements: &[Requirement]) -> Option<PathBuf> {
        let dir = self.of(plugin).dir(&self.key(requirements));
        dir.is_dir().then_some(dir)
    }

    /// Sees to it that a plugin has what it needs. `plugin` is a name by the rule of plugins' names, which is
    /// safe as a part of a path.
    ///
    /// # Errors
    /// [`RequirementsError`].
    pub fn provide(
        &self,
        plugin: &str,
        requirements: &[Requirement],
        missing: Missing,
        process: Process,
    ) -> Result<Provided, RequirementsError> {
        if requirements.is_empty() {
            return Ok(Provided::default());
        }
        let sites = self.of(plugin);
        let key = self.key(requirements);
        let (mut site, is_new) = match sites.open(&key) {
            Some(site) => (site, false),
            None => {
                let look = self.look(requirements, None)?;
                if look.unmet.is_empty() {
                    return Ok(Provided::default());
                }
                if missing == Missing::Refuse {
                    return Err(RequirementsError::NotInstalled {
                        plugin: plugin.to_owned(),
                        missing: look.names(),
                    });
                }
                tracing::info!(
                    plugin.name = plugin,
                    missing = look.names(),
                    "plugin.requirements_missing"
                );
                self.install(&sites, &key, requirements, &look)?
            }
        };
        if process == Process::Common {
            self.share(&mut site, requirements)?;
        }
        sites.clear_others(&key);
        Ok(Provided {
            site: Some(site),
            is_new,
        })
    }

    fn of(&self, plugin: &str) -> PluginSites {
        PluginSites::new(self.root.join(plugin))
    }

    /// Names what is asked for, and for which interpreter: other requirements are another directory.
    fn key(&self, requirements: &[Requirement]) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [std::env::consts::OS, std::env::consts::ARCH, &self.version] {
            context.update(part.as_bytes());
            context.update(b"\n");
        }
        let texts: BTreeSet<&str> = requirements.iter().map(Requirement::text).collect();
        for text in texts {
            context.update(text.as_bytes());
            context.update(b"\n");
        }
        let number = context.finish();
        let hex = number.as_ref()[..16].iter();
        hex.map(|byte| format!("{byte:02x}")).collect()
    }

    fn look(
        &self,
        requirements: &[Requirement],
        site: Option<&Path>,
    ) -> Result<Look, RequirementsError> {
        let end = Instant::now() + LOOK_LIMIT;
        let look = interpreter::look(&self.python, requirements, site, end)
            .map_err(RequirementsError::Failed)?;
        match look.invalid.first() {
            Some(invalid) => Err(RequirementsError::Refused(invalid.clone())),
            None => Ok(look),
        }
    }

    fn install(
        &self,
        sites: &PluginSites,
        key: &str,
        requirements: &[Requirement],
        look: &Look,
    ) -> Result<(Site, bool), RequirementsError> {
        let end = Instant::now() + self.config.timeout;
        let failed = |reason: String| RequirementsError::NotInstallable {
            output: reason.clone(),
            reason,
        };
        let lock = sites.lock(end).map_err(failed)?;
        // Another gateway, or the command, may have been first.
        if let Some(site) = sites.open(key) {
            return Ok((site, false));
        }
        let made = self.make(sites, &lock, key, requirements, look, end);
        let counter = if made.is_ok() {
            &self.installed
        } else {
            &self.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok((made?, true))
    }

    fn make(
        &self,
        sites: &PluginSites,
        lock: &site::Locked,
        key: &str,
        requirements: &[Requirement],
        look: &Look,
        end: Instant,
    ) -> Result<Site, RequirementsError> {
        let io = |error: std::io::Error| RequirementsError::NotInstallable {
            reason: format!("the data directory cannot be written: {error}"),
            output: error.to_string(),
        };
        let installer = Installer::choose(&self.config.installer, &self.python, look.has_pip)
            .map_err(|reason| RequirementsError::NotInstallable {
                output: reason.clone(),
                reason,
            })?;
        let staged = Staged::new(sites, lock).map_err(io)?;
        let installation = Installation {
            python: &self.python,
            installer: &installer,
            requirements,
            build: self.config.build,
            staged: &staged,
            end,
            limit: self.config.timeout,
        };
        installation.run(&look.distributions)?;
        staged.finish(key, requirements).map_err(io)
    }

    /// In a process that several share the environment's packages come first: they must do for the plugin too.
    /// What the site is then needed for is what it has beside them.
    fn share(
        &self,
        site: &mut Site,
        requirements: &[Requirement],
    ) -> Result<(), RequirementsError> {
        let look = self.look(requirements, Some(&site.path))?;
        site.distributions
            .retain(|name, _| !look.distributions.contains_key(name));
        match look.unmet.into_iter().next() {
            None => Ok(()),
            Some(unmet) => Err(RequirementsError::Environment {
                wanted: unmet.requirement,
                found: unmet.found.unwrap_or_else(|| "none".into()),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
