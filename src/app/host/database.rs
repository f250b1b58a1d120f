//! `db.*`: the database of the caller's app.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::{
    Apps, Guard, HostFuture, HostPart, access::PluginAccess, guard::PERMISSION_DENIED,
    meter::added_bytes, unknown, write_json,
};
use mozaiks_entities::running::RunningMigrations;
use mozaiks_lifecycle::{error::LifeError, quotas::Quotas};
use mozaiks_plugins::{Caller, Generation, HostError};
use mozaiks_store::{CommandCaller, Store, StoreError};

/// Sends commands of plugins to the database.
pub struct DatabasePart {
    store: Arc<Store>,
    apps: Apps,
    guard: Arc<Guard>,
    quotas: Arc<Quotas>,
    migrations: Arc<RunningMigrations>,
}

impl DatabasePart {
    /// Over the gateway's connection. What `migrations` runs has a database of its own.
    pub fn new(
        store: Arc<Store>,
        apps: Apps,
        guard: Arc<Guard>,
        quotas: Arc<Quotas>,
        migrations: Arc<RunningMigrations>,
    ) -> Self {
        Self {
            migrations,
            store,
            apps,
            guard,
            quotas,
        }
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
        let app_id = match self.apps.require(&caller) {
            Ok(app_id) => app_id,
            Err(error) => return Box::pin(async move { Err(error) }),
        };
        if let Some(migration) = self.migrations.of(caller.call) {
            return Box::pin(async move {
                let done = migration.command(caller.generation.0, payload).await;
                done.map_err(with_response)
            });
        }
        let store = Arc::clone(&self.store);
        let guard = Arc::clone(&self.guard);
        let access = PluginAccess::of(&guard, &caller, &app_id);
        let sender = CommandCaller {
            generation: caller.generation.0,
            app_id,
            plugin: Arc::clone(&caller.plugin),
            user_id: access.owner(),
        };
        let added = added_bytes(&payload, |name| {
            guard.owns_collection(&sender.app_id, &caller.plugin, name)
        });
        let quotas = Arc::clone(&self.quotas);
        Box::pin(async move {
            let charge = match added {
                None => None,
                Some(bytes) => match quotas.charge(&caller.plugin, &sender.app_id, bytes).await {
                    Ok(charge) => Some(charge),
                    Err(LifeError::QuotaExceeded { limit_bytes }) => {
                        return Err(used_up(limit_bytes));
                    }
                    // The database, which says so itself.
                    Err(_) => None,
                },
            };
            let done = store.run_command(&sender, &access, payload).await;
            if let (Err(_), Some(charge)) = (&done, charge) {
                charge.give_back();
            }
            match done {
                Ok(answer) => Ok(answer),
                Err(StoreError {
                    denied: Some(permission),
                    message,
                    ..
                }) => {
                    guard.note(&caller, "db.command", &permission);
                    Err(denied(&permission, message))
                }
                Err(error) => Err(with_response(error)),
            }
        })
    }

    fn query(&self, caller: &Caller, operation: &str, _payload: &[u8]) -> Result<Bytes, HostError> {
        match operation {
            "db.name" => {
                let app_id = self.apps.require(caller)?;
                let database = self.store.database_name(&app_id).map_err(with_response)?;
                write_json(&json!({ "database": database }))
            }
            other => Err(unknown(other)),
        }
    }

    fn forget_generation(&self, generation: Generation) {
        self.store.forget_generation(generation.0);
    }
}

/// The refusal of a command, in the form that answers of the database have.
fn denied(permission: &str, message: String) -> HostError {
    let details = bson::doc! { "permission": permission };
    HostError {
        code: PERMISSION_DENIED,
        message,
        details: bson::serialize_to_vec(&details).ok().map(Bytes::from),
    }
}

/// The refusal of a write, in the form that answers of the database have.
fn used_up(limit_bytes: u64) -> HostError {
    let error = LifeError::QuotaExceeded { limit_bytes };
    let details = bson::doc! { "limit_bytes": i64::try_from(limit_bytes).unwrap_or(i64::MAX) };
    HostError {
        code: error.code(),
        message: error.public_message(),
        details: bson::serialize_to_vec(&details).ok().map(Bytes::from),
    }
}

/// The error with the server's answer, from which the SDK makes PyMongo's exceptions. Where the
/// database is stays here, in the log.
fn with_response(error: StoreError) -> HostError {
    let mut answer = match (&error.response, error.code) {
        (Some(response), _) => bson::Document::try_from(&**response).ok(),
        (None, Some(code)) => {
            Some(bson::doc! { "ok": 0.0, "code": code, "errmsg": &error.message })
        }
        (None, None) => None,
    };
    if !error.labels.is_empty() {
        let answer = answer.get_or_insert_with(|| bson::doc! { "ok": 0.0 });
        answer.insert("errorLabels", &error.labels);
    }
    HostError {
        code: error.error_code(),
        message: error.for_plugins(),
        details: answer.and_then(|answer| bson::serialize_to_vec(&answer).ok().map(Bytes::from)),
    }
}

#[cfg(test)]
mod tests {
    use mozaiks_store::StoreErrorKind;

    use super::*;

    #[test]
    fn an_outage_does_not_tell_where_the_database_is() {
        let mut error = StoreError::new(
            StoreErrorKind::Unavailable,
            "no servers: { Address: db.internal:27017 }",
        );
        error.labels.push("TransientTransactionError".into());
        let said = with_response(error);
        assert_eq!(said.code, "DATABASE_UNAVAILABLE");
        assert!(!said.message.contains("internal"), "{}", said.message);
        let details = said.details.expect("labels");
        let details: bson::Document = bson::deserialize_from_slice(&details).expect("BSON");
        assert!(!details.to_string().contains("internal"));
        assert_eq!(details.get_array("errorLabels").map(Vec::len).ok(), Some(1));
    }
}
