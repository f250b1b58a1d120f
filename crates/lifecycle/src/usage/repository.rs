//! Usage in the database: one document a plugin, app and hour.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc},
};

use super::UsageHour;
use crate::error::LifeError;
use mozaiks_plugins::usage::Used;
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError, StoreErrorKind};

pub(super) const COLLECTION: CollectionSpec = CollectionSpec {
    name: "plugin_usage",
    indexes: &[
        IndexSpec {
            name: "app_plugin_hour",
            keys: &[("app_id", 1), ("plugin", 1), ("hour", -1)],
            unique: true,
            expire_after: None,
            only_where_present: None,
        },
        IndexSpec {
            name: "expires_at",
            keys: &[("expires_at", 1)],
            unique: false,
            expire_after: Some(Duration::ZERO),
            only_where_present: None,
        },
    ],
};

const HOUR_MS: i64 = 3_600_000;

pub(super) struct Repository {
    store: Arc<Store>,
    retention: Duration,
}

impl Repository {
    pub(super) fn new(store: Arc<Store>, retention: Duration) -> Self {
        Self { store, retention }
    }

    /// Adds to this hour's document, and notes what is stored, where that is known.
    pub(super) async fn add(
        &self,
        app_id: &str,
        plugin: &str,
        used: &Used,
        stored: Option<u64>,
    ) -> Result<(), LifeError> {
        let hour = this_hour();
        let filter = doc! { "app_id": app_id, "plugin": plugin, "hour": hour };
        let retention = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
        let expires = hour.timestamp_millis().saturating_add(retention);
        let mut set = doc! { "expires_at": DateTime::from_millis(expires) };
        if let Some(bytes) = stored {
            set.insert("storage_bytes", number(bytes));
        }
        let mut add = doc! {
            "calls": number(used.calls),
            "errors": number(used.errors),
            "bytes": number(used.bytes),
            "connections": number(used.connections),
        };
        if used.cpu_ms > 0 {
            add.insert("cpu_ms", number(used.cpu_ms));
        }
        let update = doc! { "$inc": add, "$set": set };
        let collection = self.collection()?;
        let once = || {
            let write = collection.update_one(filter.clone(), update.clone());
            write.upsert(true)
        };
        match once().await.map_err(|error| self.store.failed(error)) {
            // The first of an hour, by two gateways at once: the document exists now.
            Err(error) if error.kind == StoreErrorKind::Conflict => {
                once().await.map_err(|error| self.store.failed(error))?;
            }
            other => {
                other?;
            }
        }
        Ok(())
    }

    pub(super) async fn hours(
        &self,
        app_id: &str,
        plugin: &str,
        hours: u32,
    ) -> Result<Vec<UsageHour>, LifeError> {
        let back = i64::from(hours.saturating_sub(1)) * HOUR_MS;
        let from = DateTime::from_millis(this_hour().timestamp_millis() - back);
        let filter = doc! { "app_id": app_id, "plugin": plugin, "hour": { "$gte": from } };
        let documents: Vec<Document> = self
            .collection()?
            .find(filter)
            .sort(doc! { "hour": -1 })
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(documents.iter().map(hour_of).collect())
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

fn this_hour() -> DateTime {
    let now = DateTime::now().timestamp_millis();
    DateTime::from_millis(now - now.rem_euclid(HOUR_MS))
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn hour_of(document: &Document) -> UsageHour {
    let known = |name: &str| match document.get(name) {
        Some(Bson::Int64(count)) => u64::try_from(*count).ok(),
        Some(Bson::Int32(count)) => u64::try_from(*count).ok(),
        _ => None,
    };
    let count = |name: &str| known(name).unwrap_or(0);
    UsageHour {
        hour: document
            .get_datetime("hour")
            .ok()
            .and_then(|at| at.try_to_rfc3339_string().ok())
            .unwrap_or_default(),
        calls: count("calls"),
        errors: count("errors"),
        cpu_ms: known("cpu_ms"),
        bytes: count("bytes"),
        storage_bytes: known("storage_bytes"),
        connections: count("connections"),
    }
}
