//! Where the bytecode of plugins is kept, so that a later start does not compile it again.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use mozaiks_config::PluginsConfig;

/// Fills the cache.
pub trait BytecodeCache: Send + Sync + 'static {
    /// Something of the plugin in `dir` is not in its `folder` yet. Returns at once.
    fn fill(&self, dir: &Path, folder: &Path);
}

/// The folder of one plugin in the cache, which is there; `None` where nothing is kept. The name has been
/// checked: it is safe as a part of a path.
pub fn folder_of(config: &PluginsConfig, plugin: &str) -> Option<PathBuf> {
    let folder = config.cache_dir.as_ref()?.join(plugin);
    if config.cache_bytes == 0 {
        return None;
    }
    // For nobody else's eyes or hands.
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder);
    match made {
        Ok(()) => Some(folder),
        Err(error) => {
            tracing::warn!(dir = %folder.display(), %error, "plugin.no_cache_dir");
            None
        }
    }
}

/// Modules of plugins that have been imported, since the start.
#[derive(Debug, Default)]
pub struct ModuleCounts {
    cached: AtomicU64,
    compiled: AtomicU64,
}

impl ModuleCounts {
    pub(crate) fn add(&self, cached: u64, compiled: u64) {
        self.cached.fetch_add(cached, Relaxed);
        self.compiled.fetch_add(compiled, Relaxed);
    }

    /// From kept bytecode, and from their source.
    pub fn get(&self) -> (u64, u64) {
        (self.cached.load(Relaxed), self.compiled.load(Relaxed))
    }
}
