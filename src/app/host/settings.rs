//! `settings.*`: what users of the caller's app have set.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Apps, HostFuture, HostPart, read_json, unknown, write_json};
use crate::refusals::settings_error;
use mozaiks_plugins::{Caller, registry::Registry};
use mozaiks_settings::{SettingsManager, SettingsSchemas, Whose};

/// Joins plugins and the settings manager.
pub struct SettingsPart {
    manager: Arc<SettingsManager>,
    apps: Apps,
}

impl SettingsPart {
    /// Over the gateway's manager.
    pub fn new(manager: Arc<SettingsManager>, apps: Apps) -> Self {
        Self { manager, apps }
    }
}

#[derive(Deserialize)]
struct OfUser {
    user_id: String,
}

#[derive(Deserialize)]
struct OfPlugin {
    user_id: String,
    plugin: String,
}

#[derive(Deserialize)]
struct Save {
    user_id: String,
    plugin: String,
    settings: Map<String, Value>,
}

impl HostPart for SettingsPart {
    fn prefix(&self) -> &'static str {
        "settings."
    }

    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        let manager = Arc::clone(&self.manager);
        let app_id = self.apps.require(&caller);
        let operation = operation.to_owned();
        Box::pin(async move {
            let app_id = app_id?;
            match operation.as_str() {
                "settings.get" => {
                    let of: OfPlugin = read_json(&payload)?;
                    let whose = Whose {
                        app_id: &app_id,
                        user_id: &of.user_id,
                    };
                    write_json(
                        &manager
                            .get(whose, &of.plugin)
                            .await
                            .map_err(settings_error)?,
                    )
                }
                "settings.get_all" => {
                    let of: OfUser = read_json(&payload)?;
                    let whose = Whose {
                        app_id: &app_id,
                        user_id: &of.user_id,
                    };
                    write_json(&manager.get_all(whose).await.map_err(settings_error)?)
                }
                "settings.save" => {
                    let save: Save = read_json(&payload)?;
                    let whose = Whose {
                        app_id: &app_id,
                        user_id: &save.user_id,
                    };
                    manager
                        .save(
                            whose,
                            &save.plugin,
                            &save.settings,
                            caller.principal,
                            caller.request_id,
                        )
                        .await
                        .map_err(settings_error)?;
                    write_json(&true)
                }
                other => Err(unknown(other)),
            }
        })
    }
}

/// The schemas in the manifests of plugins. The registry exists only after the runtime, which needs
/// the host: hence the slot.
pub struct ManifestSchemas(pub Arc<std::sync::OnceLock<Arc<Registry>>>);

impl SettingsSchemas for ManifestSchemas {
    fn settings_schema(&self, plugin: &str) -> Option<Value> {
        let plugin = self.0.get()?.find(plugin)?;
        plugin.manifest().settings_schema.clone()
    }
}
