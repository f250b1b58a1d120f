//! `settings.*`: what users of the caller's app have set.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Apps, HostFuture, HostPart, read_json, unknown, write_json};
use mozaiks_plugins::{Caller, HostError, registry::Registry};
use mozaiks_settings::{SettingsError, SettingsManager, SettingsSchemas, Whose};
use mozaiks_store::StoreErrorKind;

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
                            .map_err(to_host_error)?,
                    )
                }
                "settings.get_all" => {
                    let of: OfUser = read_json(&payload)?;
                    let whose = Whose {
                        app_id: &app_id,
                        user_id: &of.user_id,
                    };
                    write_json(&manager.get_all(whose).await.map_err(to_host_error)?)
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
                        .map_err(to_host_error)?;
                    write_json(&true)
                }
                other => Err(unknown(other)),
            }
        })
    }
}

/// A refusal with the contract's code; what does not fit is in the details.
pub fn to_host_error(error: SettingsError) -> HostError {
    let (code, details) = match &error {
        SettingsError::BadPluginName(_) => ("VALIDATION_ERROR", None),
        SettingsError::Invalid(problems) => (
            "VALIDATION_ERROR",
            serde_json::to_vec(&serde_json::json!({ "problems": problems })).ok(),
        ),
        SettingsError::TooLarge { limit_bytes, .. } => (
            "VALIDATION_ERROR",
            serde_json::to_vec(&serde_json::json!({ "limit_bytes": limit_bytes })).ok(),
        ),
        SettingsError::Store(store) => match store.kind {
            StoreErrorKind::Unavailable | StoreErrorKind::Full => (store.error_code(), None),
            StoreErrorKind::Conflict | StoreErrorKind::Invalid | StoreErrorKind::Other => {
                ("INTERNAL_ERROR", None)
            }
        },
    };
    let message = match &error {
        // What the driver says names hosts; clients are not to know them.
        SettingsError::Store(store) => {
            tracing::warn!(error = %store, "settings were not read or written");
            match store.kind {
                StoreErrorKind::Unavailable => "the database does not answer".into(),
                StoreErrorKind::Full => "the database has no room left".into(),
                StoreErrorKind::Conflict | StoreErrorKind::Invalid | StoreErrorKind::Other => {
                    "the database refused".into()
                }
            }
        }
        other => other.to_string(),
    };
    HostError {
        code,
        message,
        details: details.map(Bytes::from),
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
