//! Settings in the database: one document a user of an app, one field a plugin.
//!
//! A plugin's settings are kept as JSON text: they come back exactly as they were saved, whatever
//! their keys and numbers look like.

use std::sync::Arc;

use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc},
};
use serde_json::{Map, Value};

use super::{PluginSettings, Whose};
use mozaiks_store::{
    CollectionSpec, FieldType, IndexSpec, Moved, Store, StoreError, StoreErrorKind,
};

pub(super) const COLLECTION: CollectionSpec = CollectionSpec {
    name: "settings",
    indexes: &[IndexSpec {
        name: "app_user",
        keys: &[("app_id", 1), ("user_id", 1)],
        unique: true,
        expire_after: None,
        only_where_present: None,
    }],
};

/// What earlier versions kept among the plugins' data.
pub(super) const MOVED: Moved = Moved {
    collection: "settings",
    required: &[
        ("_id", FieldType::ObjectId),
        ("app_id", FieldType::Text),
        ("user_id", FieldType::Text),
        ("plugins", FieldType::Texts),
        ("updated_at", FieldType::DateTime),
        ("created_at", FieldType::DateTime),
    ],
    optional: &[],
    indexes: &[("app_user", &[("app_id", 1), ("user_id", 1)])],
};

pub(super) struct Repository {
    store: Arc<Store>,
}

impl Repository {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    pub(super) async fn find_plugin(
        &self,
        whose: Whose<'_>,
        plugin: &str,
    ) -> Result<PluginSettings, StoreError> {
        let mut all = self.find(whose, doc! { field(plugin): 1 }).await?;
        Ok(match all.remove(plugin) {
            Some(Value::Object(settings)) => settings,
            _ => Map::new(),
        })
    }

    pub(super) async fn find_all(
        &self,
        whose: Whose<'_>,
    ) -> Result<Map<String, Value>, StoreError> {
        self.find(whose, doc! { "plugins": 1 }).await
    }

    pub(super) async fn save_plugin(
        &self,
        whose: Whose<'_>,
        plugin: &str,
        settings: &str,
    ) -> Result<(), StoreError> {
        let update = doc! {
            "$set": { field(plugin): settings, "updated_at": DateTime::now() },
            "$setOnInsert": { "created_at": DateTime::now() },
        };
        let collection = self.collection()?;
        let once = || {
            collection
                .update_one(filter(whose), update.clone())
                .upsert(true)
        };
        match once().await.map_err(|error| self.store.failed(error)) {
            // Two first saves of a user met; the document exists now.
            Err(error) if error.kind == StoreErrorKind::Conflict => {
                once().await.map_err(|error| self.store.failed(error))?;
            }
            other => {
                other?;
            }
        }
        Ok(())
    }

    async fn find(
        &self,
        whose: Whose<'_>,
        projection: Document,
    ) -> Result<Map<String, Value>, StoreError> {
        let found = self
            .collection()?
            .find_one(filter(whose))
            .projection(projection)
            .await
            .map_err(|error| self.store.failed(error))?;
        let plugins = match found.and_then(|mut document| document.remove("plugins")) {
            Some(Bson::Document(plugins)) => plugins,
            _ => return Ok(Map::new()),
        };
        let mut settings = Map::new();
        for (plugin, text) in plugins {
            let Bson::String(text) = text else {
                continue;
            };
            match serde_json::from_str(&text) {
                Ok(value) => {
                    settings.insert(plugin, value);
                }
                Err(error) => self.store.skip_malformed(COLLECTION.name, error),
            }
        }
        Ok(settings)
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

fn filter(whose: Whose<'_>) -> Document {
    doc! { "app_id": whose.app_id, "user_id": whose.user_id }
}

/// Plugin names hold no dots, so this names one field.
fn field(plugin: &str) -> String {
    format!("plugins.{plugin}")
}
