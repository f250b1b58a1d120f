//! `plugin.*`, `storage.*` and `stream.*`: what a plugin's context asks for; registrations of routes and
//! of what goes round `execute`.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use mozaiks_lifecycle::{
    configs::{Declared, PluginConfigs},
    error::LifeError,
    storage::{Owner, PluginStorage},
};
use mozaiks_plugins::{
    Caller, Generation, HostError, PluginFunction,
    host::{Registration, RegistrationId},
    manifest::Manifest,
    routes::{PluginRoutes, RouteError, RouteSpec},
    streams::Streams,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Apps, HostFuture, HostPart, RegistrySlot, host_error, read_json, unknown, write_json};

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
            "plugin.config" => match self.apps.require(caller) {
                Ok(app_id) => {
                    let plugin = &caller.plugin;
                    write_json(&self.configs.effective(&app_id, plugin, &manifest.config))
                }
                // While it loads in a gateway of many apps: what all of them begin with.
                Err(_) => write_json(&manifest.config),
            },
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

/// `storage.*`: values of JSON under keys.
pub struct StoragePart {
    storage: Arc<PluginStorage>,
    apps: Apps,
}

impl StoragePart {
    /// Over the gateway's storage.
    pub fn new(storage: Arc<PluginStorage>, apps: Apps) -> Self {
        Self { storage, apps }
    }
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

#[derive(Deserialize)]
struct Keep {
    key: String,
    value: Value,
    ttl: Option<f64>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    prefix: String,
    #[serde(default = "hundred")]
    limit: usize,
    cursor: Option<String>,
}

fn hundred() -> usize {
    100
}

#[derive(Deserialize)]
struct Increment {
    key: String,
    by: serde_json::Number,
}

impl HostPart for StoragePart {
    fn prefix(&self) -> &'static str {
        "storage."
    }

    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        let (storage, app_id) = (Arc::clone(&self.storage), self.apps.require(&caller));
        let operation = operation.to_owned();
        Box::pin(async move {
            let app_id = app_id?;
            let owner = Owner {
                app_id: &app_id,
                plugin: &caller.plugin,
            };
            match operation.as_str() {
                "storage.get" => {
                    let Key { key } = read_json(&payload)?;
                    let found = storage.get(owner, &key).await.map_err(life_error)?;
                    write_json(&json!({ "found": found.is_some(), "value": found }))
                }
                "storage.set" => {
                    let Keep { key, value, ttl } = read_json(&payload)?;
                    let kept = storage.set(owner, &key, &value, ttl).await;
                    kept.map_err(life_error)?;
                    write_json(&true)
                }
                "storage.delete" => {
                    let Key { key } = read_json(&payload)?;
                    write_json(&storage.delete(owner, &key).await.map_err(life_error)?)
                }
                "storage.list" => {
                    let list: List = read_json(&payload)?;
                    let cursor = list.cursor.as_deref();
                    let page = storage.list(owner, &list.prefix, list.limit, cursor).await;
                    write_json(&page.map_err(life_error)?)
                }
                "storage.increment" => {
                    let Increment { key, by } = read_json(&payload)?;
                    let number = storage.increment(owner, &key, &by).await;
                    write_json(&number.map_err(life_error)?)
                }
                other => Err(unknown(other)),
            }
        })
    }
}

/// `stream.*`: answers of routes that come in pieces.
pub struct StreamPart {
    streams: Arc<Streams>,
}

impl StreamPart {
    /// Over the gateway's streams.
    pub fn new(streams: Arc<Streams>) -> Self {
        Self { streams }
    }
}

impl HostPart for StreamPart {
    fn prefix(&self) -> &'static str {
        "stream."
    }

    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        #[derive(Deserialize)]
        struct Close {
            stream: u64,
            failure: Option<String>,
        }
        let (streams, operation) = (Arc::clone(&self.streams), operation.to_owned());
        Box::pin(async move {
            match operation.as_str() {
                "stream.open" => match streams.open(caller.generation) {
                    Ok(id) => write_json(&id),
                    Err(error) => Err(host_error("OVERLOADED", error.to_string())),
                },
                // The stream's number in eight bytes, then the piece itself.
                "stream.write" => {
                    let Some(number) = payload.first_chunk::<8>() else {
                        return Err(host_error(
                            "VALIDATION_ERROR",
                            "a stream's number is missing",
                        ));
                    };
                    let id = u64::from_be_bytes(*number);
                    write_json(
                        &streams
                            .write(caller.generation, id, payload.slice(8..))
                            .await,
                    )
                }
                "stream.close" => {
                    let Close { stream, failure } = read_json(&payload)?;
                    streams.close(caller.generation, stream, failure).await;
                    write_json(&true)
                }
                other => Err(unknown(other)),
            }
        })
    }

    fn forget_generation(&self, generation: Generation) {
        self.streams.forget_generation(generation);
    }
}

/// Registrations of routes, and of what goes round `execute`.
pub struct RoutesPart {
    routes: Arc<PluginRoutes>,
}

impl RoutesPart {
    /// Over the gateway's routes of plugins.
    pub fn new(routes: Arc<PluginRoutes>) -> Self {
        Self { routes }
    }
}

impl HostPart for RoutesPart {
    fn prefix(&self) -> &'static str {
        "route."
    }

    fn register(
        &self,
        _: RegistrationId,
        registration: &Registration,
        function: &PluginFunction,
    ) -> Option<Result<(), HostError>> {
        let generation = function.generation.id();
        match &*registration.kind {
            "route" => Some(read_json::<RouteSpec>(&registration.spec).and_then(|spec| {
                let added = self.routes.entry(generation).add(spec, function.clone());
                added.map_err(|error| {
                    let code = match &error {
                        RouteError::Invalid(_) => "VALIDATION_ERROR",
                        RouteError::Taken { .. } => "CONFLICT",
                    };
                    host_error(code, error.to_string())
                })
            })),
            "execute" => {
                function.generation.go_around_execute(function.handler);
                Some(Ok(()))
            }
            _ => None,
        }
    }

    fn forget_generation(&self, generation: Generation) {
        self.routes.forget_generation(generation);
    }
}

pub(super) fn life_error(error: LifeError) -> HostError {
    if let LifeError::Store(store) = &error {
        tracing::warn!(error = %store, "a plugin's data was not read or written");
    }
    HostError {
        code: error.code(),
        message: error.public_message(),
        details: error
            .details(false)
            .and_then(|details| serde_json::to_vec(&details).ok())
            .map(Bytes::from),
    }
}
