//! `db.*`: the database of the caller's app.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::{Apps, HostFuture, HostPart, unknown, write_json};
use mozaiks_plugins::{Caller, Generation, HostError};
use mozaiks_store::{CommandCaller, Store, StoreError};

/// Sends commands of plugins to the database.
pub struct DatabasePart {
    store: Arc<Store>,
    apps: Apps,
}

impl DatabasePart {
    /// Over the gateway's connection.
    pub fn new(store: Arc<Store>, apps: Apps) -> Self {
        Self { store, apps }
    }
}

impl HostPart for DatabasePart {
    fn prefix(&self) -> &'static str {
        "db."
    }

    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        if operation != "db.command" {
            let error = unknown(operation);
            return Box::pin(async move { Err(error) });
        }
        let store = Arc::clone(&self.store);
        let app_id = self.apps.require(&caller);
        Box::pin(async move {
            let sender = CommandCaller {
                generation: caller.generation.0,
                app_id: Some(app_id?),
            };
            store
                .run_command(&sender, payload)
                .await
                .map_err(with_response)
        })
    }

    fn query(&self, caller: &Caller, operation: &str, _payload: &[u8]) -> Result<Bytes, HostError> {
        match operation {
            "db.uri" => {
                let app_id = self.apps.require(caller)?;
                let database = self.store.database_name(Some(&app_id));
                write_json(&json!({ "uri": self.store.uri(), "database": database }))
            }
            other => Err(unknown(other)),
        }
    }

    fn forget_generation(&self, generation: Generation) {
        self.store.forget_generation(generation.0);
    }
}

/// The error with the server's answer, from which the SDK makes PyMongo's exceptions.
fn with_response(error: StoreError) -> HostError {
    let response = match (&error.response, error.code) {
        (Some(response), _) => Some(Bytes::copy_from_slice(response.as_bytes())),
        (None, Some(code)) => {
            let answer = bson::doc! { "ok": 0.0, "code": code, "errmsg": &error.message };
            bson::serialize_to_vec(&answer).ok().map(Bytes::from)
        }
        (None, None) => None,
    };
    HostError {
        code: error.error_code(),
        message: error.message,
        details: response,
    }
}
