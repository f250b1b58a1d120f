//! Where bytecode of plugins is kept, settled before anything is loaded.

use std::{
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use mozaiks_config::PluginsConfig;

/// The folder of the cache, made where there is none yet, in its whole length: a worker works in another
/// directory. `None` where nothing is to be kept.
///
/// # Errors
/// Where it cannot be made, or lies where plugins write: what one leaves there another would run.
pub(super) fn settle(config: &PluginsConfig, data_dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    if config.cache_bytes == 0 {
        return Ok(None);
    }
    let dir = match &config.cache_dir {
        Some(dir) => dir.clone(),
        None => data_dir.join("plugin_cache"),
    };
    let dir = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .and_then(|()| dir.canonicalize())
        .with_context(|| format!("plugin_cache_dir {} cannot be used", dir.display()))?;
    // Each plugin may write below it.
    let plugins = data_dir.join("plugins").canonicalize();
    if plugins.is_ok_and(|plugins| dir.starts_with(plugins)) {
        bail!(
            "plugin_cache_dir {} lies where plugins have their own files",
            dir.display()
        );
    }
    Ok(Some(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_where_plugins_write() {
        let data = tempfile::tempdir().unwrap();
        let plugins = data.path().join("plugins");
        std::fs::create_dir_all(plugins.join("shop")).unwrap();
        let mut config = PluginsConfig::default();
        let settled = settle(&config, data.path()).unwrap().unwrap();
        assert!(settled.ends_with("plugin_cache") && settled.is_dir());
        for odd in [
            plugins.join("shop/cache"),
            data.path().join("plugins/../plugins/x"),
        ] {
            config.cache_dir = Some(odd);
            let refused = settle(&config, data.path()).unwrap_err().to_string();
            assert!(refused.contains("own files"), "{refused}");
        }
        config.cache_bytes = 0;
        assert_eq!(settle(&config, data.path()).unwrap(), None);
    }
}
