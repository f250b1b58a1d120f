//! Bytecode of what the registry loads.

use std::{path::Path, sync::Arc};

use super::Registry;
use crate::{
    bytecode::{BytecodeCache, ModuleCounts},
    discovery::Found,
    runtime::LoadedPlugin,
};

impl Registry {
    /// What loads from now on find missing is kept by this.
    pub fn keep_bytecode(&self, cache: Arc<dyn BytecodeCache>) {
        let _ = self.cache.set(cache);
    }

    /// Modules that have been imported.
    pub fn modules(&self) -> &ModuleCounts {
        &self.modules
    }

    pub(super) fn note_modules(&self, loaded: &LoadedPlugin, found: &Found, folder: Option<&Path>) {
        // What a worker says of them is for the counters, and asks at most for what is safe to do.
        self.modules
            .add(loaded.cached_modules, loaded.compiled_modules);
        if let (Some(cache), Some(folder)) = (self.cache.get(), folder)
            && loaded.compiled_modules > 0
        {
            cache.fill(&found.dir, folder);
        }
    }
}
