//! A new load of a plugin: its manifest, what it needs installed, where it runs, its import.

use std::sync::Arc;

use super::{Plugin, Registry};
use crate::{
    bytecode,
    discovery::Found,
    findings::{FindingKind, MISSING_INIT},
    generation::{GenerationPhase, LiveGeneration},
    manifest::{Isolation, Manifest},
    runtime::{LoadError, LoadedPlugin, PluginRuntime, PluginSource},
    site::Site,
};

impl Registry {
    /// Imports a plugin as a new load beside the one that serves, which goes on; in a certain runtime, or
    /// in that which is chosen for it.
    ///
    /// # Errors
    /// Why it cannot be loaded, with the manifest as far as it could be read; nothing of it is left.
    pub async fn prepare(
        &self,
        plugin: &Plugin,
        found: &Found,
        runtime: Option<Arc<dyn PluginRuntime>>,
    ) -> Result<Prepared, NotPrepared> {
        let wrong = |reason, manifest| NotPrepared {
            error: LoadError::Manifest(reason),
            manifest,
        };
        let read = found.manifest().map_err(|reason| wrong(reason, None))?;
        for warning in &read.warnings {
            tracing::warn!(plugin.name = &*plugin.name, warning, "plugin.manifest_odd");
        }
        let mut manifest = read.manifest;
        if let Some(name) = read.other_name
            && let Some(first) = self.find(&name)
        {
            let (first, second) = (first.dir(), found.dir.display());
            let reason = format!(
                "name: two plugins are named {name:?}: {} and {second}",
                first.display()
            );
            return Err(wrong(reason, Some(manifest)));
        }
        let entry = found
            .entry_for(&manifest)
            .map_err(|reason| wrong(reason, Some(manifest.clone())))?;
        let failed = |error, manifest: &Manifest| NotPrepared {
            error,
            manifest: Some(manifest.clone()),
        };
        let mode = match (&runtime, self.runtimes.get()) {
            (None, Some(runtimes)) => runtimes.mode(plugin, &manifest),
            _ => Isolation::Inline,
        };
        let site = self.site(plugin, found, &manifest, mode).await;
        let site = site.map_err(|error| failed(error, &manifest))?;
        // Before a worker is made, which may read what is there.
        let cache = bytecode::folder_of(&self.config, &plugin.name);
        let chosen = match (runtime, self.runtimes.get()) {
            (Some(runtime), _) => Ok(runtime),
            (None, None) => Ok(Arc::clone(&self.runtime)),
            (None, Some(runtimes)) => {
                runtimes.choose(plugin, found, &manifest, mode, site.as_deref())
            }
        };
        let runtime = chosen.map_err(|error| failed(error, &manifest))?;
        let limits = self.call_limits(plugin, &manifest);
        let generation = plugin.new_generation(Arc::clone(&runtime), limits);
        if let Some(site) = &site {
            let placed = self.place(plugin, &generation, site);
            placed.map_err(|error| failed(error, &manifest))?;
        }
        // What is stored has one folder and a loader that makes the package.
        if found.origin.is_operators() && !found.dir.join("__init__.py").is_file() {
            let (id, kind) = (generation.id(), FindingKind::MissingInit);
            self.findings.note(&plugin.name, id, kind, MISSING_INIT);
        }
        generation.set_manifest(Arc::new(manifest.clone()));
        generation.permit(self.wanted(&manifest));
        let source = PluginSource {
            generation: generation.id(),
            name: plugin.name.clone(),
            dir: found.dir.clone(),
            entry,
            has_parts: !manifest.parts.is_empty(),
            parts: manifest.parts.modules(),
            cache: cache.clone(),
            site: site.map(|site| site.path.clone()),
        };
        let loaded = runtime.load(source).await;
        let loaded = loaded.unwrap_or(Err(LoadError::Stopped));
        match loaded.and_then(|loaded| generation.answers_calls(&loaded).map(|()| loaded)) {
            Ok(loaded) => {
                self.note_modules(&loaded, found, cache.as_deref());
                manifest.description = manifest.description.or_else(|| loaded.doc.clone());
                Ok(Prepared {
                    generation,
                    manifest: Arc::new(manifest),
                    loaded,
                    warnings: read.warnings,
                })
            }
            Err(error) => Err(NotPrepared {
                error,
                manifest: Some(manifest),
            }),
        }
    }

    /// What the plugin needs installed, in a thread of its own: installing takes its time.
    async fn site(
        &self,
        plugin: &Plugin,
        found: &Found,
        manifest: &Manifest,
        mode: Isolation,
    ) -> Result<Option<Arc<Site>>, LoadError> {
        let Some(sites) = self.sites.get().map(Arc::clone) else {
            return Ok(None);
        };
        let (name, dir) = (Arc::clone(&plugin.name), found.dir.clone());
        let manifest = manifest.clone();
        let provided =
            tokio::task::spawn_blocking(move || sites.provide(&name, &dir, &manifest, mode)).await;
        let site = provided.unwrap_or(Err(LoadError::Stopped))?;
        Ok(site.map(Arc::new))
    }

    /// From here on the load counts with its site, unless that does not go with another plugin's.
    fn place(
        &self,
        plugin: &Plugin,
        generation: &LiveGeneration,
        site: &Arc<Site>,
    ) -> Result<(), LoadError> {
        let _one_at_a_time = self.placing.lock();
        let others = self.list().into_iter();
        let clash = others
            .filter(|other| other.name != plugin.name)
            .find_map(|other| {
                let mut loads = other.generations().into_iter();
                loads.find_map(|load| {
                    let counts = load.phase() != GenerationPhase::Retired;
                    let theirs = load.site().filter(|_| counts)?;
                    site.clash(&plugin.name, theirs, &other.name)
                })
            });
        match clash {
            Some(clash) => Err(LoadError::requirements(clash)),
            None => {
                generation.set_site(Arc::clone(site));
                Ok(())
            }
        }
    }

    /// How often something was installed for plugins, and how often that failed.
    pub fn installations(&self) -> (u64, u64) {
        self.sites.get().map_or((0, 0), |sites| sites.counts())
    }
}

/// A load that has been imported and does not serve yet.
#[derive(Debug)]
pub struct Prepared {
    /// The load.
    pub generation: Arc<LiveGeneration>,
    /// What it says about itself.
    pub manifest: Arc<Manifest>,
    /// What was found in it.
    pub loaded: LoadedPlugin,
    /// What seemed odd about the manifest.
    pub warnings: Vec<String>,
}

/// Why there is no new load.
#[derive(Debug)]
pub struct NotPrepared {
    /// What is wrong.
    pub error: LoadError,
    /// The manifest, where it could be read.
    pub manifest: Option<Manifest>,
}
