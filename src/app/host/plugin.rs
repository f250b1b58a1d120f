//! `plugin.*`: which plugin runs, for which app, and its configuration.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use mozaiks_lifecycle::configs::{Declared, PluginConfigs};
use mozaiks_plugins::{Caller, HostError, manifest::Manifest};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Apps, HostFuture, HostPart, RegistrySlot, host_error, life_error, read_json, unknown,
    write_json,
};

/// `plugin.*`: which plugin runs, and its configuration.
pub struct PluginPart {
    registry: RegistrySlot,
    configs: Arc<PluginConfigs>,
    changes: Arc<dyn ConfigChanges>,
    apps: Apps,
    data_dir: PathBuf,
}

/// Is told of configurations that have changed.
pub trait ConfigChanges: Send + Sync + 'static {
    /// These keys of a plugin's configuration have other values now.
    fn config_changed(&self, app_id: &Arc<str>, plugin: &str, changed: Vec<String>);
}

impl PluginPart {
    /// Over the gateway's configurations; each plugin has a directory of its own below `data_dir`.
    pub fn new(
        registry: RegistrySlot,
        configs: Arc<PluginConfigs>,
        changes: Arc<dyn ConfigChanges>,
        apps: Apps,
        data_dir: PathBuf,
    ) -> Self {
        Self {
            registry,
            configs,
            changes,
            apps,
            data_dir,
        }
    }

    /// What the load that asks says about itself: during a reload another one than that which serves.
    fn manifest(&self, caller: &Caller) -> Result<Arc<Manifest>, HostError> {
        self.registry
            .get()
            .and_then(|registry| registry.find(&caller.plugin))
            .map(|plugin| plugin.manifest_of(caller.generation))
            .ok_or_else(|| host_error("NOT_FOUND", "this load of the plugin has ended"))
    }
}

impl HostPart for PluginPart {
    fn prefix(&self) -> &'static str {
        "plugin."
    }

    fn query(&self, caller: &Caller, operation: &str, _: &[u8]) -> Result<Bytes, HostError> {
        let manifest = self.manifest(caller)?;
        match operation {
            "plugin.describe" => {
                // The name follows the rule of names, which is safe as a part of a path.
                let dir = self.data_dir.join("plugins").join(&*caller.plugin);
                if let Err(error) = std::fs::create_dir_all(&dir) {
                    tracing::warn!(dir = %dir.display(), %error, "plugin.no_data_dir");
                }
                write_json(&json!({
                    "name": &*caller.plugin,
                    "version": manifest.version,
                    "generation": caller.generation.0,
                    "data_dir": dir,
                }))
            }
            "plugin.config" => {
                let app_id = self.apps.require(caller)?;
                let plugin = &caller.plugin;
                write_json(&self.configs.effective(&app_id, plugin, &manifest.config))
            }
            "plugin.app" => write_json(&self.apps.require(caller).ok()),
            other => Err(unknown(other)),
        }
    }

    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        #[derive(Deserialize)]
        struct Set {
            key: String,
            value: Value,
        }
        if operation != "plugin.config_set" {
            let error = unknown(operation);
            return Box::pin(async move { Err(error) });
        }
        let found = self
            .manifest(&caller)
            .and_then(|manifest| Ok((manifest, self.apps.require(&caller)?)));
        let (configs, changes) = (Arc::clone(&self.configs), Arc::clone(&self.changes));
        Box::pin(async move {
            let (manifest, app_id) = found?;
            let Set { key, value } = read_json(&payload)?;
            let declared = Declared {
                defaults: &manifest.config,
                schema: manifest.config_schema.as_ref(),
            };
            let by = caller
                .principal
                .as_ref()
                .map(|whose| whose.user_id.to_string());
            let values = Map::from_iter([(key, value)]);
            let (_, changed) = configs
                .merge(&app_id, &caller.plugin, declared, &values, by.as_deref())
                .await
                .map_err(life_error)?;
            if !changed.is_empty() {
                changes.config_changed(&app_id, &caller.plugin, changed);
            }
            write_json(&true)
        })
    }
}
