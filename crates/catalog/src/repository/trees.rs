//! Whole trees that serve, or did a while ago: what another gateway lays down is what was activated,
//! whatever has been written to the rows since.

use futures_util::TryStreamExt as _;
use mongodb::bson::{Bson, DateTime, Document, Uuid, doc};

use super::{
    KEPT_TREES, Repository, Whose,
    files::{bytes_of, content, filter},
    text,
};
use crate::{error::CatalogError, tree::Tree};

const TREES: &str = "plugin_trees";

impl Repository {
    /// Keeps a tree by its digest; the oldest but `serving` go.
    pub(crate) async fn keep_tree(
        &self,
        whose: Whose<'_>,
        plugin: &str,
        digest: &str,
        tree: &Tree,
        serving: Option<&str>,
    ) -> Result<(), CatalogError> {
        let files = tree.files();
        let files: Vec<Bson> = files
            .map(|(path, bytes)| doc! { "path": path, "content": content(bytes) }.into())
            .collect();
        let collection = self.collection(TREES)?;
        let row = doc! {
            "_id": Uuid::new().to_string(),
            "app_id": whose.app_id,
            "plugin_id": whose.plugin_id,
            "files": files,
        };
        // One that comes back is new again.
        let update = doc! { "$set": { "at": DateTime::now() }, "$setOnInsert": row };
        let kept = collection
            .update_one(doc! { "plugin": plugin, "digest": digest }, update)
            .upsert(true)
            .await;
        kept.map_err(|error| self.store.failed(error))?;
        let rows: Vec<Document> = collection
            .find(filter(whose))
            .projection(doc! { "digest": 1 })
            .sort(doc! { "at": -1, "_id": 1 })
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        let old = rows.iter().filter_map(|row| text(row, "digest"));
        let old: Vec<String> = old
            .skip(KEPT_TREES)
            .filter(|old| old != digest && Some(&**old) != serving)
            .collect();
        if !old.is_empty() {
            let mut filter = filter(whose);
            filter.insert("digest", doc! { "$in": old });
            let gone = collection.delete_many(filter).await;
            gone.map_err(|error| self.store.failed(error))?;
        }
        Ok(())
    }

    /// A tree by its digest.
    pub(crate) async fn tree(
        &self,
        plugin: &str,
        digest: &str,
    ) -> Result<Option<Tree>, CatalogError> {
        let found = self
            .collection(TREES)?
            .find_one(doc! { "plugin": plugin, "digest": digest })
            .await;
        let Some(row) = found.map_err(|error| self.store.failed(error))? else {
            return Ok(None);
        };
        let files = row
            .get_array("files")
            .map(Vec::as_slice)
            .unwrap_or_default();
        let files = files.iter().filter_map(|file| {
            let file = file.as_document()?;
            Some((text(file, "path")?, bytes_of(file.get("content"))))
        });
        // Rows are written by strangers too: what is read here is checked again.
        Tree::new(files).map(Some)
    }
}
