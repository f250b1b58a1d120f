//! Files of a stored plugin: saving one in the place of the revision that its author has seen.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    activation::Saved,
    assembly::Pieces,
    catalog::{Catalog, check_manifest, stale_manifest, whose},
    digest::checksum,
    error::CatalogError,
    kinds::{Kind, Place, place},
    live::Author,
    manifest_file,
    repository::Revision,
    rows::{FileRow, NewFile, PluginRow},
    source::{shown, source_file, unshown},
    tree::{MANIFEST, check_path, check_size},
};

/// A file to be saved.
#[derive(Debug, Clone)]
pub struct NewContent {
    /// Its path below the plugin's directory.
    pub path: String,
    /// Its bytes; what is there stays where they are missing.
    pub content: Option<Bytes>,
    /// The revision that it takes the place of; none of a file that is new.
    pub revision: Option<i64>,
    /// What is said of it beside its content; null takes back, what is missing stays.
    pub said: Map<String, Value>,
    /// Whether it counts.
    pub enabled: Option<bool>,
}

/// A file after something was done to it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FileView {
    /// Its path below the plugin's directory.
    pub path: String,
    /// What it is by now; 0 of one that is gone.
    pub revision: i64,
    /// SHA-256.
    pub checksum: String,
    /// What became of it.
    #[serde(flatten)]
    pub saved: Saved,
}

impl Catalog {
    /// Saves a file in the place of the revision that the caller has seen.
    ///
    /// # Errors
    /// `Conflict` with both versions where another is there; paths, sizes and values that cannot be.
    pub async fn save(
        &self,
        by: &Author,
        id: &str,
        new: NewContent,
    ) -> Result<FileView, CatalogError> {
        let plugin = self.writable(by, id).await?;
        check_path(&new.path)?;
        if let Some(content) = &new.content {
            check_size(&new.path, content.len())?;
        }
        let _turn = self.turn(&plugin).await;
        match place(&new.path)? {
            Place::Manifest => self.save_manifest(by, &plugin, new).await,
            Place::Row(kind) => self.save_row(by, &plugin, kind, new).await,
        }
    }

    async fn save_row(
        &self,
        by: &Author,
        plugin: &PluginRow,
        kind: Kind,
        new: NewContent,
    ) -> Result<FileView, CatalogError> {
        let (mut pieces, rows) = self.pieces(plugin).await?;
        let before = rows.iter().find(|row| row.file.path == new.path);
        if before.map(|row| row.revision) != new.revision.filter(|revision| *revision != 0) {
            return Err(stale(before, &new));
        }
        let file = merged(kind, before, &new)?;
        pieces.files.retain(|other| other.path != file.path);
        pieces.files.push(file.clone());
        // The limits of the whole, before anything is written.
        drop(pieces.tree()?);
        let revision = self.write(by, plugin, before, &file).await?;
        self.note_file(by, plugin, "save", before, Some((&file, revision)))
            .await;
        Ok(FileView {
            path: file.path.clone(),
            revision,
            checksum: checksum(&file.content),
            saved: self.settle(by, plugin).await?,
        })
    }

    /// Writes a row in the place of another, and keeps what it is; gives its revision.
    pub(crate) async fn write(
        &self,
        by: &Author,
        plugin: &PluginRow,
        before: Option<&FileRow>,
        file: &NewFile,
    ) -> Result<i64, CatalogError> {
        let whose = whose(plugin);
        let (written, revision) = match before {
            Some(before) => {
                let replaced = self
                    .repository
                    .replace_file(whose, before, file, &by.user_id);
                (replaced.await, before.revision + 1)
            }
            None => {
                let last = self.repository.last_revision(whose, &file.path).await?;
                let inserted = self
                    .repository
                    .insert_file(whose, file, last + 1, &by.user_id);
                (inserted.await.map(|()| true), last + 1)
            }
        };
        match written {
            Ok(true) => {}
            Err(error) if !error.is_duplicate() => return Err(error),
            // Another gateway was quicker, or another row has what must be unique.
            Ok(false) | Err(_) => {
                let now = self.repository.file(whose, file.kind, &file.path).await?;
                let is_another =
                    now.as_ref().map(|row| row.revision) != before.map(|row| row.revision);
                return Err(if is_another {
                    stale(now.as_ref(), &as_new(file, before))
                } else {
                    taken(file)
                });
            }
        }
        self.keep(by, plugin, file, revision, false).await?;
        Ok(revision)
    }

    pub(crate) async fn keep(
        &self,
        by: &Author,
        plugin: &PluginRow,
        file: &NewFile,
        revision: i64,
        deleted: bool,
    ) -> Result<(), CatalogError> {
        let revision = Revision {
            path: file.path.clone(),
            revision,
            content: file.content.clone(),
            meta: file.meta.clone(),
            enabled: file.enabled,
            checksum: String::new(),
            at: None,
            by: Some(by.user_id.to_string()),
            deleted,
        };
        self.repository
            .keep_revision(whose(plugin), &revision)
            .await
    }

    /// Saves `plugin.json`: what it says of parts goes into their rows.
    async fn save_manifest(
        &self,
        by: &Author,
        plugin: &PluginRow,
        new: NewContent,
    ) -> Result<FileView, CatalogError> {
        let content = new.content.clone().unwrap_or_default();
        let text = String::from_utf8(content.to_vec())
            .map_err(|_| CatalogError::invalid(MANIFEST, "it is not UTF-8"))?;
        if new.revision != Some(plugin.revision) {
            let yours = json!({ "revision": new.revision, "content": text });
            return Err(stale_manifest(plugin, yours));
        }
        check_manifest(&text, &plugin.name)?;
        let (pieces, rows) = self.pieces(plugin).await?;
        let mut tree = pieces.tree()?;
        tree.0.insert(MANIFEST.to_owned(), content);
        let wanted = Pieces::of(&tree)?;
        if !self.repository.replace_manifest(plugin, &text).await? {
            let now = self.repository.plugin(&plugin.app_id, &plugin.id).await?;
            let yours = json!({ "revision": new.revision, "content": text });
            return Err(stale_manifest(now.as_ref().unwrap_or(plugin), yours));
        }
        for file in &wanted.files {
            let before = rows.iter().find(|row| row.file.path == file.path);
            if before.is_some_and(|row| row.file != *file) {
                self.write(by, plugin, before, file).await?;
            }
        }
        let manifest = NewFile {
            kind: Kind::Scripts,
            path: MANIFEST.to_owned(),
            content: Bytes::from(text),
            meta: Map::new(),
            enabled: true,
        };
        let revision = plugin.revision + 1;
        self.keep(by, plugin, &manifest, revision, false).await?;
        self.note_file(by, plugin, "save", None, Some((&manifest, revision)))
            .await;
        Ok(FileView {
            path: MANIFEST.to_owned(),
            revision,
            checksum: checksum(&manifest.content),
            saved: self.settle(by, plugin).await?,
        })
    }

    pub(crate) async fn note_file(
        &self,
        by: &Author,
        plugin: &PluginRow,
        action: &str,
        before: Option<&FileRow>,
        after: Option<(&NewFile, i64)>,
    ) {
        let before = before.map(|row| {
            json!({ "path": row.file.path, "revision": row.revision, "checksum": row.checksum })
        });
        let after = after.map(|(file, revision)| {
            let sum = checksum(&file.content);
            json!({ "path": file.path, "revision": revision, "checksum": sum })
        });
        let side = |side: Option<Value>| side.unwrap_or_default();
        self.note(by, &plugin.name, action, side(before), side(after))
            .await;
    }
}

/// What a file is to be: what is there, with what is given.
fn merged(kind: Kind, before: Option<&FileRow>, new: &NewContent) -> Result<NewFile, CatalogError> {
    let mut file = match before {
        Some(row) => row.file.clone(),
        None => NewFile {
            kind,
            path: new.path.clone(),
            content: Bytes::new(),
            meta: Map::new(),
            enabled: true,
        },
    };
    if let Some(content) = &new.content {
        file.content = content.clone();
    }
    if let Some(enabled) = new.enabled {
        if !enabled && !kind.has_section() {
            let message = format!("{} cannot be switched off", kind.name());
            return Err(CatalogError::invalid("/is_enabled", message));
        }
        file.enabled = enabled;
    }
    for (key, value) in &new.said {
        let Some(name) = manifest_file::field(kind, key) else {
            let message = format!("{key} is nothing that {} have", kind.name());
            return Err(CatalogError::invalid(format!("/{key}"), message));
        };
        if value.is_null() {
            file.meta.remove(&name);
        } else {
            file.meta.insert(name, value.clone());
        }
    }
    if new.content.is_none() && before.is_none() {
        return Err(CatalogError::invalid("/content", "a new file has content"));
    }
    Ok(file)
}

impl NewContent {
    /// Content as JSON carries it.
    ///
    /// # Errors
    /// Where it cannot be decoded.
    pub fn decode(content: &str, encoding: Option<&str>) -> Result<Bytes, CatalogError> {
        unshown(content, encoding).map_err(|message| CatalogError::invalid("/content", message))
    }
}

pub(crate) fn stale(now: Option<&FileRow>, yours: &NewContent) -> CatalogError {
    let content = yours.content.as_ref().map(|content| shown(content).0);
    let yours_view = json!({ "path": yours.path, "revision": yours.revision, "content": content });
    let current = now.map(source_file);
    let message = match now {
        Some(row) => format!(
            "{} was changed meanwhile: revision {} is there",
            yours.path, row.revision
        ),
        None => format!("{} is not there any more", yours.path),
    };
    let details = json!({ "current": current, "yours": yours_view });
    CatalogError::conflict(message, Some(details))
}

fn as_new(file: &NewFile, before: Option<&FileRow>) -> NewContent {
    NewContent {
        path: file.path.clone(),
        content: Some(file.content.clone()),
        revision: before.map(|row| row.revision),
        said: Map::new(),
        enabled: None,
    }
}

fn taken(file: &NewFile) -> CatalogError {
    let what = match file.kind {
        Kind::Controllers => "method and path are those of another controller",
        Kind::Widgets => "widget_id is that of another widget of this app",
        Kind::Entities => "entity_name is that of another entity",
        _ => "a file of this name is there",
    };
    CatalogError::conflict(format!("{}: {what}", file.path), None)
}
