//! Files as rows.

use bytes::Bytes;
use futures_util::{TryStreamExt as _, future::try_join_all};
use mongodb::bson::{Binary, Bson, DateTime, Document, Uuid, doc, spec::BinarySubtype};
use serde_json::Value;

use super::{Repository, Whose, text, time};
use crate::{
    digest::checksum,
    error::CatalogError,
    kinds::Kind,
    paths,
    rows::{FileRow, NewFile},
    tree::MAX_FILES,
};
use mozaiks_store::StoreError;

impl Repository {
    /// All files of a plugin, by path.
    pub(crate) async fn files(&self, whose: Whose<'_>) -> Result<Vec<FileRow>, StoreError> {
        let all = Kind::ALL.map(|kind| self.files_of(whose, kind));
        let mut files: Vec<FileRow> = try_join_all(all).await?.into_iter().flatten().collect();
        files.sort_by(|one, other| one.file.path.cmp(&other.file.path));
        Ok(files)
    }

    /// The files of one kind.
    pub(crate) async fn files_of(
        &self,
        whose: Whose<'_>,
        kind: Kind,
    ) -> Result<Vec<FileRow>, StoreError> {
        let documents: Vec<Document> = self
            .of_kind(kind)?
            .find(filter(whose))
            .limit(i64::try_from(MAX_FILES).unwrap_or(i64::MAX))
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(documents.iter().map(|row| read(kind, row)).collect())
    }

    /// One file.
    pub(crate) async fn file(
        &self,
        whose: Whose<'_>,
        kind: Kind,
        path: &str,
    ) -> Result<Option<FileRow>, StoreError> {
        let mut filter = filter(whose);
        filter.insert("path_key", paths::key(path));
        let found = self.of_kind(kind)?.find_one(filter).await;
        let found = found.map_err(|error| self.store.failed(error))?;
        Ok(found.map(|row| read(kind, &row)))
    }

    /// A file that was not there; a duplicate is an error of the store.
    pub(crate) async fn insert_file(
        &self,
        whose: Whose<'_>,
        file: &NewFile,
        revision: i64,
        by: &str,
    ) -> Result<(), CatalogError> {
        let mut row = doc! {
            "_id": Uuid::new().to_string(),
            "app_id": whose.app_id,
            "plugin_id": whose.plugin_id,
            "created_at": DateTime::now(),
            "revision": revision,
        };
        row.extend(fields(file, by));
        let inserted = self.of_kind(file.kind)?.insert_one(row).await;
        inserted.map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    /// A file in the place of its revision; whether that was still there.
    pub(crate) async fn replace_file(
        &self,
        whose: Whose<'_>,
        before: &FileRow,
        file: &NewFile,
        by: &str,
    ) -> Result<bool, CatalogError> {
        let mut unset = Document::new();
        for name in COLUMNS {
            unset.insert(name, "");
        }
        let set = fields(file, by);
        for name in set.keys() {
            unset.remove(name);
        }
        let mut filter = filter(whose);
        filter.extend(doc! { "_id": &before.id, "revision": before.revision });
        let mut update = doc! { "$set": set, "$inc": { "revision": 1_i64 } };
        if !unset.is_empty() {
            update.insert("$unset", unset);
        }
        let done = self.of_kind(file.kind)?.update_one(filter, update).await;
        let done = done.map_err(|error| self.store.failed(error))?;
        Ok(done.matched_count > 0)
    }

    /// Takes a revision of a file away; whether it was still there.
    pub(crate) async fn delete_file(
        &self,
        whose: Whose<'_>,
        before: &FileRow,
    ) -> Result<bool, CatalogError> {
        let mut filter = filter(whose);
        filter.extend(doc! { "_id": &before.id, "revision": before.revision });
        let done = self.of_kind(before.file.kind)?.delete_one(filter).await;
        let done = done.map_err(|error| self.store.failed(error))?;
        Ok(done.deleted_count > 0)
    }

    /// Whether a widget of an app has this id.
    pub(crate) async fn has_widget(
        &self,
        app_id: &str,
        widget_id: &str,
    ) -> Result<bool, StoreError> {
        let filter = doc! { "app_id": app_id, "widget_id": widget_id };
        let found = self.of_kind(Kind::Widgets)?.find_one(filter).await;
        Ok(found.map_err(|error| self.store.failed(error))?.is_some())
    }

    /// Takes everything of a plugin away but its own row.
    pub(crate) async fn delete_all_of(&self, whose: Whose<'_>) -> Result<(), CatalogError> {
        let names = Kind::ALL.map(Kind::collection).into_iter();
        for name in names.chain(["plugin_revisions", "plugin_trees", "plugin_dependencies"]) {
            let done = self.collection(name)?.delete_many(filter(whose)).await;
            done.map_err(|error| self.store.failed(error))?;
        }
        Ok(())
    }
}

/// What may stand beside what is said, so that it can be looked up.
const COLUMNS: [&str; 24] = [
    "controller_name",
    "description",
    "method",
    "path",
    "requires_auth",
    "rate_limit",
    "hook_name",
    "hook_type",
    "priority",
    "scope",
    "required",
    "public",
    "event_name",
    "client",
    "load_priority",
    "script_type",
    "widget_id",
    "widget_name",
    "category",
    "icon",
    "entity_name",
    "table_name",
    "phase",
    "cron",
];

/// Texts beside what is said are cut to what an index takes.
const MAX_COLUMN_BYTES: usize = 512;

pub(super) fn filter(whose: Whose<'_>) -> Document {
    doc! { "app_id": whose.app_id, "plugin_id": whose.plugin_id }
}

fn fields(file: &NewFile, by: &str) -> Document {
    let said = file.said();
    let mut fields = doc! {
        "path_key": paths::key(&file.path),
        "file_path": &file.path,
        "file_name": file.file_name(),
        file.kind.code(): content(&file.content),
        "meta": Value::Object(file.meta.clone()).to_string(),
        "is_enabled": file.enabled,
        "checksum": checksum(&file.content),
        "updated_at": DateTime::now(),
        "updated_by": by,
    };
    if file.kind == Kind::Controllers {
        fields.insert("controller_name", paths::stem(&file.path));
    }
    for name in COLUMNS {
        let column = match said.get(name) {
            Some(Value::String(text)) if text.len() <= MAX_COLUMN_BYTES => Bson::from(text),
            Some(Value::Bool(is)) => Bson::from(*is),
            Some(Value::Number(number)) => match number.as_i64() {
                Some(number) => Bson::from(number),
                None => continue,
            },
            _ => continue,
        };
        fields.insert(name, column);
    }
    fields
}

/// Text where it is one, so that it can be read in the database too.
pub(super) fn content(bytes: &Bytes) -> Bson {
    match std::str::from_utf8(bytes) {
        Ok(text) => Bson::from(text),
        Err(_) => Binary {
            subtype: BinarySubtype::Generic,
            bytes: bytes.to_vec(),
        }
        .into(),
    }
}

pub(super) fn bytes_of(value: Option<&Bson>) -> Bytes {
    match value {
        Some(Bson::String(text)) => Bytes::copy_from_slice(text.as_bytes()),
        Some(Bson::Binary(binary)) => Bytes::copy_from_slice(&binary.bytes),
        _ => Bytes::new(),
    }
}

fn read(kind: Kind, row: &Document) -> FileRow {
    let meta = text(row, "meta").and_then(|meta| serde_json::from_str(&meta).ok());
    FileRow {
        id: text(row, "_id").unwrap_or_default(),
        file: NewFile {
            kind,
            path: text(row, "file_path").unwrap_or_default(),
            content: bytes_of(row.get(kind.code())),
            meta: meta.unwrap_or_default(),
            enabled: row.get_bool("is_enabled").unwrap_or(true),
        },
        revision: row.get_i64("revision").unwrap_or_default(),
        checksum: text(row, "checksum").unwrap_or_default(),
        created_at: time(row, "created_at"),
        updated_at: time(row, "updated_at"),
        updated_by: text(row, "updated_by"),
    }
}
