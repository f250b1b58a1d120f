//! `storage.*`: what a plugin keeps in its app under keys.

use std::sync::Arc;

use bytes::Bytes;
use mozaiks_lifecycle::{
    quotas::Quotas,
    storage::{Owner, PluginStorage},
};
use mozaiks_plugins::Caller;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Apps, HostFuture, HostPart, life_error, read_json, unknown, write_json};

/// `storage.*`: values of JSON under keys.
pub struct StoragePart {
    storage: Arc<PluginStorage>,
    quotas: Arc<Quotas>,
    apps: Apps,
}

impl StoragePart {
    /// Over the gateway's storage.
    pub fn new(storage: Arc<PluginStorage>, quotas: Arc<Quotas>, apps: Apps) -> Self {
        Self {
            storage,
            quotas,
            apps,
        }
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
        let quotas = Arc::clone(&self.quotas);
        let operation = operation.to_owned();
        Box::pin(async move {
            let app_id = app_id?;
            let owner = Owner {
                app_id: &app_id,
                plugin: &caller.plugin,
            };
            // More than the key and the value have, by a little: what was there before is not known here.
            let bytes = payload.len() as u64;
            match operation.as_str() {
                "storage.get" => {
                    let Key { key } = read_json(&payload)?;
                    let found = storage.get(owner, &key).await.map_err(life_error)?;
                    write_json(&json!({ "found": found.is_some(), "value": found }))
                }
                "storage.set" => {
                    let Keep { key, value, ttl } = read_json(&payload)?;
                    let charge = quotas.charge(&caller.plugin, &app_id, bytes).await;
                    let charge = charge.map_err(life_error)?;
                    if let Err(error) = storage.set(owner, &key, &value, ttl).await {
                        charge.give_back();
                        return Err(life_error(error));
                    }
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
                    let charge = quotas.charge(&caller.plugin, &app_id, bytes).await;
                    let charge = charge.map_err(life_error)?;
                    match storage.increment(owner, &key, &by).await {
                        Ok(number) => write_json(&number),
                        Err(error) => {
                            charge.give_back();
                            Err(life_error(error))
                        }
                    }
                }
                other => Err(unknown(other)),
            }
        })
    }
}
