//! Where plugins lie, and whose those are that an app has stored.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Plugin, Registry};
use crate::{
    discovery::{self, Found, Skipped},
    origin::Origin,
};

impl Plugin {
    /// Its directory.
    pub fn dir(&self) -> PathBuf {
        self.dir.read().clone()
    }

    /// Its files lie there from now on.
    pub fn set_dir(&self, dir: PathBuf) {
        *self.dir.write() = dir;
    }

    /// It is stored, by this app: what is said first counts.
    pub fn set_owner(&self, app_id: &str) {
        let _ = self.owner.set(app_id.into());
    }

    /// Whether it is there for an app: a stored plugin is for its own alone.
    pub fn is_of(&self, app_id: &str) -> bool {
        self.owner.get().is_none_or(|owner| **owner == *app_id)
    }
}

impl Registry {
    /// Where plugins lie, and what looks like one and is none.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn discover(&self) -> std::io::Result<(Vec<Found>, Vec<Skipped>)> {
        let (found, skipped) = discovery::discover(&self.config.dir)?;
        self.skipped.write().clone_from(&skipped);
        Ok((found, skipped))
    }

    /// Looks at a plugin's directory again.
    ///
    /// # Errors
    /// A sentence that says why it holds no plugin any more.
    pub fn locate(&self, plugin: &Plugin) -> Result<Found, String> {
        discovery::locate(&self.config.dir, &plugin.dir(), &plugin.name)
    }

    /// Looks for a plugin that is not listed yet, by its name.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub fn look_for(&self, name: &str) -> Result<Found, String> {
        if let Some(reason) = crate::names::refusal(name) {
            return Err(reason);
        }
        let root = self
            .config
            .dir
            .canonicalize()
            .map_err(|error| format!("the plugins directory cannot be resolved: {error}"))?;
        // The name follows the rule of names, which is safe as a part of a path.
        discovery::locate(&root, &root.join(name), name)
    }

    /// The entry of a plugin whose files are not there, made where there is none yet.
    pub fn entry_without_files(&self, name: &str) -> Arc<Plugin> {
        self.entry(&Found {
            name: name.to_owned(),
            dir: self.config.dir.join(name),
            entry: None,
            origin: Origin::Directory,
        })
    }

    /// The plugins directory.
    pub fn dir(&self) -> &Path {
        &self.config.dir
    }
}
