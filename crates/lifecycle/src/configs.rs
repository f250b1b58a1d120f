//! The configuration of plugins: the manifest's defaults under what was set for all apps, under what was
//! set for one.
//!
//! Read at once from memory, since plugin code asks for it without waiting; what another gateway has
//! changed comes in by [`PluginConfigs::refresh_all`].

use std::{collections::HashMap, sync::Arc};

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc},
    options::ReturnDocument,
};
use parking_lot::RwLock;
use serde_json::{Map, Value};

use crate::error::LifeError;
use mozaiks_plugins::schema::{self, Misfit};
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

/// Stands in the place of an app for what is set for all of them; no app has an empty name.
pub const EVERY_APP: &str = "";

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

/// A configuration that somebody else has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedConfig {
    /// The app; [`EVERY_APP`] stands for all.
    pub app_id: Arc<str>,
    /// The plugin.
    pub plugin: Arc<str>,
    /// Keys that have other values now.
    pub keys: Vec<String>,
}

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

    /// Reads everything there is. What `fits` refuses is told by it, and what was known stays. Gives
    /// what has changed.
    ///
    /// # Errors
    /// What the database says; then what was known stays.
    pub async fn refresh_all(
        &self,
        fits: impl Fn(&str, &Map<String, Value>) -> Result<(), LifeError>,
    ) -> Result<Vec<ChangedConfig>, LifeError> {
        let documents: Vec<Document> = self
            .collection()?
            .find(doc! {})
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        let mut read: HashMap<Key, StoredConfig> = documents
            .iter()
            .filter_map(|document| {
                let (app_id, plugin) = key_of(document)?;
                let stored = stored(document, plugin)?;
                Some(((app_id.into(), plugin.into()), stored))
            })
            .collect();
        let mut changed = Vec::new();
        let mut known = self.known.write();
        known.retain(|key, old| {
            let stays = read.contains_key(key);
            if !stays {
                changed.push(ChangedConfig::new(key, old.values.keys()));
            }
            stays
        });
        for (key, config) in read.drain() {
            let old = known.get(&key).cloned().unwrap_or_default();
            // Written here since it was read.
            if config.revision < old.revision || (*old == config && known.contains_key(&key)) {
                continue;
            }
            let mut config = config;
            if fits(&key.1, &config.values).is_err() {
                // Looked at once: the revision says that it was.
                config.values.clone_from(&old.values);
            }
            let keys = (config.values.iter())
                .filter(|(name, value)| old.values.get(*name) != Some(*value))
                .map(|(name, _)| name)
                .chain(
                    old.values
                        .keys()
                        .filter(|name| !config.values.contains_key(*name)),
                );
            let one = ChangedConfig::new(&key, keys);
            if !one.keys.is_empty() {
                changed.push(one);
            }
            known.insert(key, Arc::new(config));
        }
        Ok(changed)
    }

    /// Whether the database has other revisions than those that are known.
    ///
    /// # Errors
    /// What the database says.
    pub async fn is_behind(&self) -> Result<bool, LifeError> {
        let documents: Vec<Document> = self
            .collection()?
            .find(doc! {})
            .projection(doc! { "app_id": 1, "plugin": 1, "revision": 1 })
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        let known = self.known.read();
        let mut readable = 0;
        for document in &documents {
            let Some((app_id, plugin)) = key_of(document) else {
                continue;
            };
            readable += 1;
            let key: Key = (app_id.into(), plugin.into());
            if known.get(&key).map(|known| known.revision) != Some(revision(document)) {
                return Ok(true);
            }
        }
        Ok(readable != known.len())
    }

    /// The configuration in force.
    pub fn effective(
        &self,
        app_id: &str,
        plugin: &str,
        defaults: &Map<String, Value>,
    ) -> Map<String, Value> {
        let mut config = defaults.clone();
        for of in [EVERY_APP, app_id] {
            if let Some(stored) = self.stored(of, plugin) {
                for (key, value) in &stored.values {
                    config.insert(key.clone(), value.clone());
                }
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

    /// Sets some values, for an app or for [`EVERY_APP`]; gives the configuration in force and the keys
    /// that have changed.
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
        declared.check(plugin, &after)?;
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
        let filter = doc! { "app_id": stored_app(app_id), "plugin": plugin };
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
            .delete_one(doc! { "app_id": stored_app(app_id), "plugin": plugin })
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

impl ChangedConfig {
    fn new<'a>(key: &Key, keys: impl Iterator<Item = &'a String>) -> Self {
        Self {
            app_id: Arc::clone(&key.0),
            plugin: Arc::clone(&key.1),
            keys: keys.cloned().collect(),
        }
    }
}

/// An app as it is stored; no app is null.
fn stored_app(app_id: &str) -> Bson {
    if app_id == EVERY_APP {
        Bson::Null
    } else {
        app_id.into()
    }
}

fn key_of(document: &Document) -> Option<(&str, &str)> {
    let app_id = match document.get("app_id")? {
        Bson::Null => EVERY_APP,
        Bson::String(app_id) if !app_id.is_empty() => app_id,
        _ => return None,
    };
    Some((app_id, document.get_str("plugin").ok()?))
}

fn revision(document: &Document) -> i64 {
    match document.get("revision") {
        Some(Bson::Int64(revision)) => *revision,
        Some(Bson::Int32(revision)) => i64::from(*revision),
        Some(Bson::Double(revision)) => *revision as i64,
        _ => 0,
    }
}

/// A configuration as it is stored, as text or, where a script wrote it, as a document; one that is
/// damaged counts as none, and is told.
fn stored(document: &Document, plugin: &str) -> Option<StoredConfig> {
    let read = match document.get("config") {
        Some(Bson::String(text)) => serde_json::from_str(text).map_err(|error| error.to_string()),
        Some(Bson::Document(values)) => match serde_json::to_value(values) {
            Ok(Value::Object(values)) => Ok(values),
            _ => Err("it has no form in JSON".into()),
        },
        _ => Err("it is neither text nor a document".into()),
    };
    match read {
        Ok(values) => Some(StoredConfig {
            values,
            revision: revision(document),
        }),
        Err(error) => {
            tracing::error!(plugin.name = plugin, error, "plugin.config_damaged");
            None
        }
    }
}

impl Declared<'_> {
    /// Whether a configuration, with the defaults in it, fits the schema.
    ///
    /// # Errors
    /// [`LifeError::Invalid`] with the place of what does not.
    pub fn check(&self, plugin: &str, config: &Map<String, Value>) -> Result<(), LifeError> {
        let Some(schema) = self.schema else {
            return Ok(());
        };
        let config = Value::Object(config.clone());
        match schema::check(plugin, "config_schema", schema, &config, 1).pop() {
            None => Ok(()),
            Some(Misfit { path, message }) => Err(LifeError::Invalid {
                message: format!("the configuration does not fit its schema: {message}"),
                path: Some(path),
            }),
        }
    }
}
