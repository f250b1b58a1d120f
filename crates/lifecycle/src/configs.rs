//! The configuration of plugins: the manifest's defaults under what was set for an app.
//!
//! Read at once from memory, since plugin code asks for it without waiting; what another gateway has
//! changed comes in by [`PluginConfigs::refresh_all`].

use std::{collections::HashMap, sync::Arc};

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{DateTime, Document, doc},
    options::ReturnDocument,
};
use parking_lot::RwLock;
use serde_json::{Map, Value};

use crate::error::LifeError;
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError, StoreErrorKind};

/// The collection and its indexes, for [`Store::open`].
pub const COLLECTION: CollectionSpec = CollectionSpec {
    name: "plugin_config",
    indexes: &[IndexSpec {
        name: "app_plugin",
        keys: &[("app_id", 1), ("plugin", 1)],
        unique: true,
        expire_after: None,
        only_where_present: None,
    }],
};

/// Bytes of one plugin's configuration in one app, as JSON.
const MAX_CONFIG_BYTES: usize = 256 * 1024;

/// What was set for a plugin in an app.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredConfig {
    /// The values that differ from the manifest's.
    pub values: Map<String, Value>,
    /// Goes up with each change.
    pub revision: i64,
}

/// What the manifest says of a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The defaults.
    pub defaults: &'a Map<String, Value>,
    /// The JSON Schema, where there is one.
    pub schema: Option<&'a Value>,
}

type Key = (Arc<str>, Arc<str>);

/// Reads and writes configurations.
pub struct PluginConfigs {
    store: Arc<Store>,
    // Read by plugin code at any time, written when something changes; never held across an await.
    known: RwLock<HashMap<Key, Arc<StoredConfig>>>,
}

impl PluginConfigs {
    /// Over the gateway's database; empty until [`Self::refresh_all`].
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            known: RwLock::default(),
        }
    }

    /// Reads everything there is. Gives the plugins whose configuration has changed, with the app.
    ///
    /// # Errors
    /// What the database says; then what was known stays.
    pub async fn refresh_all(&self) -> Result<Vec<Key>, LifeError> {
        let documents: Vec<Document> = self
            .collection()?
            .find(doc! {})
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        let read: HashMap<Key, Arc<StoredConfig>> = documents
            .iter()
            .filter_map(|document| {
                let app_id = document.get_str("app_id").ok()?;
                let plugin = document.get_str("plugin").ok()?;
                let stored = stored(document, plugin)?;
                Some(((app_id.into(), plugin.into()), Arc::new(stored)))
            })
            .collect();
        let mut known = self.known.write();
        let mut changed: Vec<Key> = read
            .iter()
            .filter(|(key, config)| {
                known
                    .get(*key)
                    .is_none_or(|old| old.values != config.values)
            })
            .map(|(key, _)| key.clone())
            .collect();
        changed.extend(known.keys().filter(|key| !read.contains_key(*key)).cloned());
        *known = read;
        Ok(changed)
    }

    /// The configuration in force.
    pub fn effective(
        &self,
        app_id: &str,
        plugin: &str,
        defaults: &Map<String, Value>,
    ) -> Map<String, Value> {
        let mut config = defaults.clone();
        if let Some(stored) = self.stored(app_id, plugin) {
            for (key, value) in &stored.values {
                config.insert(key.clone(), value.clone());
            }
        }
        config
    }

    /// What was set.
    pub fn stored(&self, app_id: &str, plugin: &str) -> Option<Arc<StoredConfig>> {
        // Two allocations, on a path that is taken when a plugin asks.
        let key: Key = (app_id.into(), plugin.into());
        self.known.read().get(&key).cloned()
    }

    /// Sets some values; gives the configuration in force and the keys that have changed.
    ///
    /// # Errors
    /// Where the whole does not fit the schema or is too large, and what the database says; then
    /// nothing was changed.
    pub async fn merge(
        &self,
        app_id: &str,
        plugin: &str,
        declared: Declared<'_>,
        values: &Map<String, Value>,
        by: Option<&str>,
    ) -> Result<(Map<String, Value>, Vec<String>), LifeError> {
        let before = self.effective(app_id, plugin, declared.defaults);
        let mut after = before.clone();
        for (key, value) in values {
            after.insert(key.clone(), value.clone());
        }
        check(plugin, declared.schema, &after)?;
        if Value::Object(after.clone()).to_string().len() > MAX_CONFIG_BYTES {
            return Err(LifeError::invalid(format!(
                "the configuration has more than {MAX_CONFIG_BYTES} bytes"
            )));
        }
        self.write(app_id, plugin, values, by).await?;
        let changed = after
            .iter()
            .filter(|(key, value)| before.get(*key) != Some(*value))
            .map(|(key, _)| key.clone())
            .collect();
        Ok((after, changed))
    }

    /// Sets each key by itself, so that two who set different ones lose nothing.
    async fn write(
        &self,
        app_id: &str,
        plugin: &str,
        values: &Map<String, Value>,
        by: Option<&str>,
    ) -> Result<(), LifeError> {
        let collection = self.collection()?;
        let filter = doc! { "app_id": app_id, "plugin": plugin };
        for _ in 0..5 {
            let current = collection
                .find_one(filter.clone())
                .await
                .map_err(|error| self.store.failed(error))?;
            let current = current.as_ref().and_then(|found| stored(found, plugin));
            let revision = current.as_ref().map(|current| current.revision);
            let mut merged = current.map(|current| current.values).unwrap_or_default();
            for (key, value) in values {
                merged.insert(key.clone(), value.clone());
            }
            let mut wanted = filter.clone();
            match revision {
                Some(revision) => wanted.insert("revision", revision),
                None => wanted.insert("revision", doc! { "$exists": false }),
            };
            let update = doc! {
                "$set": {
                    "config": Value::Object(merged.clone()).to_string(),
                    "updated_by": by,
                    "updated_at": DateTime::now(),
                },
                "$inc": { "revision": 1_i64 },
            };
            let written = collection
                .find_one_and_update(wanted, update)
                .upsert(revision.is_none())
                .return_document(ReturnDocument::After)
                .await
                .map_err(|error| self.store.failed(error));
            match written {
                Ok(Some(document)) => {
                    if let Some(config) = stored(&document, plugin) {
                        let key = (app_id.into(), plugin.into());
                        self.known.write().insert(key, Arc::new(config));
                    }
                    return Ok(());
                }
                // Somebody else was quicker: once more on top of theirs.
                Ok(None) => {}
                Err(error) if error.kind == StoreErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::new(
            StoreErrorKind::Conflict,
            "the configuration changes all the time",
        )
        .into())
    }

    /// Takes away what was set for a plugin in an app.
    ///
    /// # Errors
    /// What the database says.
    pub async fn clear(&self, app_id: &str, plugin: &str) -> Result<(), LifeError> {
        self.collection()?
            .delete_one(doc! { "app_id": app_id, "plugin": plugin })
            .await
            .map_err(|error| self.store.failed(error))?;
        let key: Key = (app_id.into(), plugin.into());
        self.known.write().remove(&key);
        Ok(())
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

/// A configuration as it is stored; one that is damaged counts as none, and is told.
fn stored(document: &Document, plugin: &str) -> Option<StoredConfig> {
    let text = document.get_str("config").ok()?;
    match serde_json::from_str(text) {
        Ok(values) => Some(StoredConfig {
            values,
            revision: document.get_i64("revision").unwrap_or(0),
        }),
        Err(error) => {
            tracing::error!(plugin.name = plugin, error = %error, "plugin.config_damaged");
            None
        }
    }
}

fn check(
    plugin: &str,
    schema: Option<&Value>,
    config: &Map<String, Value>,
) -> Result<(), LifeError> {
    let Some(schema) = schema else {
        return Ok(());
    };
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => {
            tracing::warn!(
                plugin.name = plugin,
                error = %error,
                "the plugin's config_schema is no JSON Schema; its configuration is not checked"
            );
            return Ok(());
        }
    };
    let config = Value::Object(config.clone());
    let first = validator.iter_errors(&config).next();
    match first {
        None => Ok(()),
        Some(error) => Err(LifeError::Invalid {
            message: format!("the configuration does not fit its schema: {error}"),
            path: Some(error.instance_path().to_string()),
        }),
    }
}
