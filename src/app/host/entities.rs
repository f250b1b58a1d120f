//! `entities.*`: the entities of the caller's plugin, for models.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{Apps, HostPart, read_json, unknown, write_json};
use mozaiks_entities::tables::Tables;
use mozaiks_plugins::{Caller, HostError};

/// Tells plugins of their entities.
pub struct EntitiesPart {
    tables: Arc<Tables>,
    apps: Apps,
}

impl EntitiesPart {
    /// Over what the gateway knows of all of them.
    pub fn new(tables: Arc<Tables>, apps: Apps) -> Self {
        Self { tables, apps }
    }
}

#[derive(Deserialize)]
struct Known {
    /// Of the answer before.
    revision: Option<String>,
}

impl HostPart for EntitiesPart {
    fn prefix(&self) -> &'static str {
        "entities."
    }

    fn query(&self, caller: &Caller, operation: &str, payload: &[u8]) -> Result<Bytes, HostError> {
        match operation {
            "entities.models" => {
                let known: Known = read_json(payload)?;
                let app_id = self.apps.require(caller)?;
                match self.tables.models(&app_id, &caller.plugin) {
                    None => write_json(&json!({ "revision": "", "entities": {} })),
                    Some(models) if known.revision.as_ref() == Some(&models.revision) => {
                        write_json(&json!({ "revision": models.revision }))
                    }
                    Some(models) => write_json(&*models),
                }
            }
            other => Err(unknown(other)),
        }
    }
}
