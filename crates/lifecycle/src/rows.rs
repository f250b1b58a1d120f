//! The registry in the database: one document a plugin. Files decide code, version and endpoints; the
//! database decides whether it is enabled, and whether it was removed.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc, oid::ObjectId},
};

use crate::error::LifeError;
use mozaiks_plugins::manifest::{Manifest, PluginKind};
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError};

/// The collection and its indexes, for [`Store::open`].
pub const COLLECTION: CollectionSpec = CollectionSpec {
    name: "plugins",
    indexes: &[IndexSpec {
        name: "app_name",
        keys: &[("app_id", 1), ("name", 1)],
        unique: true,
        expire_after: None,
        only_where_present: None,
    }],
};

/// What the database says of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The plugin.
    pub name: String,
    /// Whether it is to run.
    pub enabled: bool,
    /// Apps in which it is not to run, of a gateway of many.
    pub disabled_apps: Vec<String>,
    /// Set once it was removed: it comes back by an explicit discovery only.
    pub removed: bool,
    /// Goes up whenever it is to be loaded anew.
    pub reload: i64,
}

/// What a gateway has found out about a plugin and tells the others.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The plugin.
    pub name: &'a str,
    /// What it says about itself.
    pub manifest: &'a Manifest,
    /// Its directory's name below the plugins directory.
    pub source_path: &'a str,
    /// `active`, `disabled`, `error`, `loading`.
    pub status: &'a str,
    /// Why it does not run: one line and the whole.
    pub error: Option<(&'a str, &'a str)>,
}

/// Reads and writes rows.
pub struct Rows {
    store: Arc<Store>,
}

impl Rows {
    /// Over the gateway's database.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// All rows of plugins in directories. A row that makes no sense is left out and told.
    ///
    /// # Errors
    /// What the database says.
    pub async fn all(&self) -> Result<Vec<Row>, LifeError> {
        let documents: Vec<Document> = self
            .collection()?
            .find(doc! { "app_id": Bson::Null })
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(documents.iter().filter_map(readable).collect())
    }

    /// Writes down what was found; what the database decides stays.
    ///
    /// # Errors
    /// What the database says.
    pub async fn report(&self, report: Report<'_>, enable_new: bool) -> Result<(), LifeError> {
        let manifest = report.manifest;
        let kind = match manifest.kind {
            PluginKind::Dynamic => "dynamic",
            PluginKind::Static => "static",
        };
        let error = report.error.map(|(summary, traceback)| {
            doc! { "at": DateTime::now(), "summary": summary, "traceback": traceback }
        });
        let update = doc! {
            "$set": {
                "display_name": &manifest.display_name,
                "version": &manifest.version,
                "description": manifest.description.as_deref(),
                "author": manifest.author.as_deref(),
                "type": kind,
                "source": { "kind": "directory", "ref": report.source_path },
                "source_path": report.source_path,
                "status": report.status,
                "last_error": error,
                "loaded_at": DateTime::now(),
                "updated_at": DateTime::now(),
            },
            "$setOnInsert": {
                "_id": ObjectId::new().to_hex(),
                "enabled": enable_new,
                "created_at": DateTime::now(),
            },
        };
        self.update(report.name, update, true).await.map(drop)
    }

    /// Says whether a plugin is to run, everywhere or in one app; `false` where there is no row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_enabled(
        &self,
        name: &str,
        app_id: Option<&str>,
        enabled: bool,
    ) -> Result<bool, LifeError> {
        let mut update = doc! { "$set": { "updated_at": DateTime::now() } };
        match (app_id, enabled) {
            (None, enabled) => {
                update.insert(
                    "$set",
                    doc! { "enabled": enabled, "updated_at": DateTime::now() },
                );
            }
            (Some(app_id), true) => {
                update.insert("$pull", doc! { "disabled_apps": app_id });
            }
            (Some(app_id), false) => {
                update.insert("$addToSet", doc! { "disabled_apps": app_id });
            }
        }
        self.update(name, update, false).await
    }

    /// Asks every gateway to load a plugin anew.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ask_reload(&self, name: &str) -> Result<bool, LifeError> {
        let update =
            doc! { "$inc": { "reload": 1_i64 }, "$set": { "updated_at": DateTime::now() } };
        self.update(name, update, false).await
    }

    /// Marks a plugin as removed, or as back again.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_removed(&self, name: &str, removed: bool) -> Result<bool, LifeError> {
        let at = if removed {
            Bson::from(DateTime::now())
        } else {
            Bson::Null
        };
        let update = doc! { "$set": { "removed_at": at, "updated_at": DateTime::now() } };
        self.update(name, update, false).await
    }

    /// Writes down how a plugin says that it is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_health(
        &self,
        name: &str,
        status: &str,
        reason: Option<&str>,
    ) -> Result<bool, LifeError> {
        let health = doc! { "status": status, "reason": reason, "at": DateTime::now() };
        self.update(name, doc! { "$set": { "health": health } }, false)
            .await
    }

    async fn update(&self, name: &str, update: Document, upsert: bool) -> Result<bool, LifeError> {
        let done = self
            .collection()?
            .update_one(doc! { "app_id": Bson::Null, "name": name }, update)
            .upsert(upsert)
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(done.matched_count > 0 || done.upserted_id.is_some())
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

/// Rows are written by strangers too: one that makes no sense changes nothing.
fn readable(document: &Document) -> Option<Row> {
    let name = document.get_str("name").unwrap_or_default();
    let odd = |what: &str| {
        tracing::warn!(plugin.name = name, reason = what, "plugin.row_odd");
        None
    };
    if mozaiks_plugins::names::refusal(name).is_some() {
        return odd("its name cannot be a plugin's");
    }
    let Ok(enabled) = document.get_bool("enabled") else {
        return odd("`enabled` is no boolean");
    };
    let disabled_apps = match document.get("disabled_apps") {
        None | Some(Bson::Null) => Vec::new(),
        Some(Bson::Array(apps)) => apps
            .iter()
            .filter_map(|app| app.as_str().map(str::to_owned))
            .collect(),
        Some(_) => return odd("`disabled_apps` is no array"),
    };
    Some(Row {
        name: name.to_owned(),
        enabled,
        disabled_apps,
        removed: !matches!(document.get("removed_at"), None | Some(Bson::Null)),
        reload: match document.get("reload") {
            Some(Bson::Int64(count)) => *count,
            Some(Bson::Int32(count)) => i64::from(*count),
            _ => 0,
        },
    })
}
