//! The rows of stored plugins, which are rows of the registry like those of all plugins.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, DateTime, Document, Uuid, doc};
use serde_json::Value;

use super::{MAX_PLUGINS, Repository, text, time};
use crate::{error::CatalogError, rows::PluginRow};
use mozaiks_store::StoreError;

/// The registry's collection, which the life of plugins declares.
const PLUGINS: &str = "plugins";

/// A plugin that is to be stored.
pub(crate) struct NewPlugin<'a> {
    pub(crate) name: &'a str,
    pub(crate) app_id: &'a str,
    pub(crate) creator_id: &'a str,
    pub(crate) manifest: &'a str,
    pub(crate) category: Option<&'a str>,
    pub(crate) template_of: Option<&'a str>,
}

impl Repository {
    /// A new id.
    pub(crate) fn new_id() -> String {
        Uuid::new().to_string()
    }

    /// Writes the row; a duplicate says that the name is taken, by whatever kind of plugin.
    pub(crate) async fn insert_plugin(
        &self,
        id: &str,
        new: &NewPlugin<'_>,
    ) -> Result<(), CatalogError> {
        let mut row = doc! {
            "_id": id,
            "app_id": Bson::Null,
            "name": new.name,
            "type": "dynamic",
            "source": { "kind": "database", "ref": id },
            "owner_app": new.app_id,
            "creator_id": new.creator_id,
            "is_template": false,
            "template_of": new.template_of,
            "category": new.category,
            "artifact": Bson::Null,
            "status": "disabled",
            "enabled": false,
            "enabled_apps": [new.app_id],
            "disabled_apps": [],
            "permissions_granted": Bson::Null,
            "last_error": Bson::Null,
            "health": Bson::Null,
            "isolation": Bson::Null,
            "limits": Bson::Null,
            "quarantine": Bson::Null,
            "removed_at": Bson::Null,
            "reload": 0_i64,
            "revision": 1_i64,
            "created_at": DateTime::now(),
        };
        row.extend(said(new.manifest));
        let inserted = self.collection(PLUGINS)?.insert_one(row).await;
        inserted.map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    /// A stored plugin of an app, by its id or its name.
    pub(crate) async fn plugin(
        &self,
        app_id: &str,
        id_or_name: &str,
    ) -> Result<Option<PluginRow>, StoreError> {
        let mut filter = stored(app_id);
        filter.insert(
            "$or",
            vec![doc! { "_id": id_or_name }, doc! { "name": id_or_name }],
        );
        let found = self.collection(PLUGINS)?.find_one(filter).await;
        Ok(found
            .map_err(|error| self.store.failed(error))?
            .as_ref()
            .map(read))
    }

    /// The stored plugins of an app, by name.
    pub(crate) async fn plugins(
        &self,
        app_id: &str,
        creator_id: Option<&str>,
        is_template: Option<bool>,
    ) -> Result<Vec<PluginRow>, StoreError> {
        let mut filter = stored(app_id);
        if let Some(creator_id) = creator_id {
            filter.insert("creator_id", creator_id);
        }
        if let Some(is_template) = is_template {
            filter.insert("is_template", is_template);
        }
        let rows: Vec<Document> = self
            .collection(PLUGINS)?
            .find(filter)
            .sort(doc! { "name": 1 })
            .limit(MAX_PLUGINS)
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(rows.iter().map(read).collect())
    }

    /// Writes `plugin.json` in the place of its revision; whether that was still there.
    pub(crate) async fn replace_manifest(
        &self,
        before: &PluginRow,
        manifest: &str,
    ) -> Result<bool, CatalogError> {
        let mut filter = stored(&before.app_id);
        filter.extend(doc! { "_id": &before.id, "revision": before.revision });
        let update = doc! { "$set": said(manifest), "$inc": { "revision": 1_i64 } };
        let done = self.collection(PLUGINS)?.update_one(filter, update).await;
        let done = done.map_err(|error| self.store.failed(error))?;
        Ok(done.matched_count > 0)
    }

    /// Says whether others may copy it, and where it stands in lists.
    pub(crate) async fn describe(
        &self,
        plugin: &PluginRow,
        is_template: Option<bool>,
        category: Option<&str>,
    ) -> Result<(), CatalogError> {
        let mut set = doc! { "updated_at": DateTime::now() };
        if let Some(is_template) = is_template {
            set.insert("is_template", is_template);
        }
        if let Some(category) = category {
            set.insert("category", category);
        }
        let mut filter = stored(&plugin.app_id);
        filter.insert("_id", &plugin.id);
        let update = doc! { "$set": set };
        let done = self.collection(PLUGINS)?.update_one(filter, update).await;
        done.map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    /// Notes that somebody who is no admin has changed it.
    pub(crate) async fn set_waiting(&self, plugin: &PluginRow) -> Result<(), CatalogError> {
        let mut filter = stored(&plugin.app_id);
        filter.extend(doc! { "_id": &plugin.id, "waiting": { "$ne": true } });
        let update = doc! { "$set": { "waiting": true } };
        let done = self.collection(PLUGINS)?.update_one(filter, update).await;
        done.map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    /// Takes the row away, and with it the name.
    pub(crate) async fn delete_plugin(&self, plugin: &PluginRow) -> Result<(), CatalogError> {
        let mut filter = stored(&plugin.app_id);
        filter.insert("_id", &plugin.id);
        let done = self.collection(PLUGINS)?.delete_one(filter).await;
        done.map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    /// Whether any plugin of the gateway has this name.
    pub(crate) async fn is_taken(&self, name: &str) -> Result<bool, StoreError> {
        let filter = doc! { "app_id": Bson::Null, "name": name };
        let found = self
            .collection(PLUGINS)?
            .find_one(filter)
            .projection(doc! { "_id": 1 })
            .await;
        Ok(found.map_err(|error| self.store.failed(error))?.is_some())
    }
}

fn stored(app_id: &str) -> Document {
    doc! { "app_id": Bson::Null, "source.kind": "database", "owner_app": app_id }
}

/// What a row has of `plugin.json`.
fn said(manifest: &str) -> Document {
    let object: Value = serde_json::from_str(manifest).unwrap_or_default();
    let text = |key: &str| object[key].as_str().map(str::to_owned);
    doc! {
        "manifest": manifest,
        "display_name": text("display_name"),
        "version": text("version"),
        "description": text("description"),
        "updated_at": DateTime::now(),
    }
}

fn read(row: &Document) -> PluginRow {
    let digest = row.get_document("artifact").ok();
    PluginRow {
        id: text(row, "_id").unwrap_or_default(),
        name: text(row, "name").unwrap_or_default(),
        app_id: text(row, "owner_app").unwrap_or_default(),
        creator_id: text(row, "creator_id").unwrap_or_default(),
        manifest: text(row, "manifest").unwrap_or_else(|| "{}\n".into()),
        revision: row.get_i64("revision").unwrap_or_default(),
        is_template: row.get_bool("is_template").unwrap_or_default(),
        template_of: text(row, "template_of"),
        category: text(row, "category"),
        enabled: row.get_bool("enabled").unwrap_or_default(),
        digest: digest.and_then(|artifact| text(artifact, "digest")),
        waiting: row.get_bool("waiting").unwrap_or_default(),
        status: text(row, "status").unwrap_or_default(),
        created_at: time(row, "created_at"),
        updated_at: time(row, "updated_at"),
    }
}
