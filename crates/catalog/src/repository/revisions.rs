//! What files have been before.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mongodb::bson::{DateTime, Document, Uuid, doc};
use serde_json::{Map, Value};

use super::{
    KEPT_REVISIONS, Repository, Whose,
    files::{bytes_of, content, filter},
    text, time,
};
use crate::{digest::checksum, error::CatalogError, paths};
use mozaiks_store::StoreError;

const REVISIONS: &str = "plugin_revisions";

/// A file as it was.
pub(crate) struct Revision {
    pub(crate) path: String,
    pub(crate) revision: i64,
    pub(crate) content: Bytes,
    pub(crate) meta: Map<String, Value>,
    pub(crate) enabled: bool,
    pub(crate) checksum: String,
    pub(crate) at: Option<String>,
    pub(crate) by: Option<String>,
    /// The file was taken away with this.
    pub(crate) deleted: bool,
}

impl Repository {
    /// Keeps what a file is by now. One that is kept already stays as it is.
    pub(crate) async fn keep_revision(
        &self,
        whose: Whose<'_>,
        revision: &Revision,
    ) -> Result<(), CatalogError> {
        let row = doc! {
            "_id": Uuid::new().to_string(),
            "app_id": whose.app_id,
            "plugin_id": whose.plugin_id,
            "path_key": paths::key(&revision.path),
            "path": &revision.path,
            "revision": revision.revision,
            "content": content(&revision.content),
            "meta": Value::Object(revision.meta.clone()).to_string(),
            "is_enabled": revision.enabled,
            "checksum": checksum(&revision.content),
            "deleted": revision.deleted,
            "at": DateTime::now(),
            "by": revision.by.as_deref(),
        };
        let collection = self.collection(REVISIONS)?;
        let inserted = collection.insert_one(row).await;
        let inserted: Result<_, CatalogError> = inserted
            .map(drop)
            .map_err(|error| self.store.failed(error).into());
        if let Err(error) = inserted
            && !error.is_duplicate()
        {
            return Err(error);
        }
        let mut old = filter(whose);
        old.insert("path_key", paths::key(&revision.path));
        old.insert(
            "revision",
            doc! { "$lte": revision.revision - KEPT_REVISIONS },
        );
        let trimmed = collection.delete_many(old).await;
        trimmed.map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    /// The number of the last revision of a path, also of one that was taken away; 0 where there is none.
    pub(crate) async fn last_revision(
        &self,
        whose: Whose<'_>,
        path: &str,
    ) -> Result<i64, StoreError> {
        let mut filter = filter(whose);
        filter.insert("path_key", paths::key(path));
        let found = self
            .collection(REVISIONS)?
            .find_one(filter)
            .sort(doc! { "revision": -1 })
            .projection(doc! { "revision": 1 })
            .await;
        let found = found.map_err(|error| self.store.failed(error))?;
        Ok(found
            .and_then(|row| row.get_i64("revision").ok())
            .unwrap_or_default())
    }

    /// The revisions of a file, newest first.
    pub(crate) async fn revisions(
        &self,
        whose: Whose<'_>,
        path: &str,
    ) -> Result<Vec<Revision>, StoreError> {
        let mut filter = filter(whose);
        filter.insert("path_key", paths::key(path));
        let rows: Vec<Document> = self
            .collection(REVISIONS)?
            .find(filter)
            .sort(doc! { "revision": -1 })
            .limit(KEPT_REVISIONS)
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(rows.iter().map(read).collect())
    }
}

fn read(row: &Document) -> Revision {
    let meta = text(row, "meta").and_then(|meta| serde_json::from_str(&meta).ok());
    Revision {
        path: text(row, "path").unwrap_or_default(),
        revision: row.get_i64("revision").unwrap_or_default(),
        content: bytes_of(row.get("content")),
        meta: meta.unwrap_or_default(),
        enabled: row.get_bool("is_enabled").unwrap_or(true),
        checksum: text(row, "checksum").unwrap_or_default(),
        at: time(row, "at"),
        by: text(row, "by"),
        deleted: row.get_bool("deleted").unwrap_or_default(),
    }
}
