//! Files of a stored plugin: what there is, saving, taking away, renaming, and what was there before.

use base64::{Engine as _, engine::general_purpose::STANDARD};
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

/// A file among the plugin's, with the badges that lists of files show.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SourceFile {
    /// Its path below the plugin's directory.
    pub path: String,
    /// What it is.
    pub kind: String,
    /// As text; in base64 where `encoding` says so.
    pub content: String,
    /// `base64` of what is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<&'static str>,
    /// Goes up with each save.
    pub revision: i64,
    /// SHA-256.
    pub checksum: String,
    /// Whether it counts.
    pub is_enabled: bool,
    /// Of a listener.
    #[serde(rename = "eventName", skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// Of a hook.
    #[serde(rename = "hookName", skip_serializing_if = "Option::is_none")]
    pub hook_name: Option<String>,
    /// Of a controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Of a controller: below the plugin's own.
    #[serde(rename = "routePath", skip_serializing_if = "Option::is_none")]
    pub route_path: Option<String>,
    /// When, in ISO 8601.
    pub updated_at: Option<String>,
    /// The user.
    pub updated_by: Option<String>,
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

/// A file as it was.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RevisionView {
    /// Its number.
    pub revision: i64,
    /// As text; in base64 where `encoding` says so.
    pub content: String,
    /// `base64` of what is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<&'static str>,
    /// SHA-256.
    pub checksum: String,
    /// Whether the file was taken away with it.
    pub deleted: bool,
    /// When, in ISO 8601.
    pub at: Option<String>,
    /// The user.
    pub by: Option<String>,
}

impl Catalog {
    /// All files of a plugin, by path.
    ///
    /// # Errors
    /// Where there is none that the caller may read.
    pub async fn source(&self, by: &Author, id: &str) -> Result<Vec<SourceFile>, CatalogError> {
        let plugin = self.readable(by, id).await?;
        let (pieces, rows) = self.pieces(&plugin).await?;
        let manifest = pieces.manifest()?;
        let mut files = vec![SourceFile {
            path: MANIFEST.to_owned(),
            kind: "manifest".to_owned(),
            checksum: checksum(manifest.as_bytes()),
            content: manifest,
            encoding: None,
            revision: plugin.revision,
            is_enabled: true,
            event_name: None,
            hook_name: None,
            method: None,
            route_path: None,
            updated_at: plugin.updated_at.clone(),
            updated_by: None,
        }];
        files.extend(rows.iter().map(source_file));
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

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

    async fn keep(
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

    /// Takes a file away; its revisions stay.
    ///
    /// # Errors
    /// Where there is none, and `Conflict` where another revision is there than the caller has seen.
    pub async fn delete_file(
        &self,
        by: &Author,
        id: &str,
        path: &str,
        revision: Option<i64>,
    ) -> Result<FileView, CatalogError> {
        let plugin = self.writable(by, id).await?;
        let _turn = self.turn(&plugin).await;
        let before = self.row_at(&plugin, path).await?;
        if revision.is_some_and(|revision| revision != before.revision) {
            return Err(stale(Some(&before), &unseen(path, revision)));
        }
        if !self.repository.delete_file(whose(&plugin), &before).await? {
            return Err(stale(Some(&before), &unseen(path, revision)));
        }
        self.keep(by, &plugin, &before.file, before.revision + 1, true)
            .await?;
        self.note_file(by, &plugin, "delete", Some(&before), None)
            .await;
        Ok(FileView {
            path: before.file.path.clone(),
            revision: 0,
            checksum: before.checksum.clone(),
            saved: self.settle(by, &plugin).await?,
        })
    }

    /// Gives a file another path; what is said of it goes with it where it stays what it is.
    ///
    /// # Errors
    /// Where there is no such file, or another has the path.
    pub async fn rename(
        &self,
        by: &Author,
        id: &str,
        from: &str,
        to: &str,
        revision: Option<i64>,
    ) -> Result<FileView, CatalogError> {
        let plugin = self.writable(by, id).await?;
        check_path(to)?;
        let Place::Row(kind) = place(to)? else {
            return Err(CatalogError::invalid(
                to,
                "there is one plugin.json already",
            ));
        };
        let _turn = self.turn(&plugin).await;
        let before = self.row_at(&plugin, from).await?;
        if revision.is_some_and(|revision| revision != before.revision) {
            return Err(stale(Some(&before), &unseen(from, revision)));
        }
        let same_kind = kind == before.file.kind;
        let file = NewFile {
            kind,
            path: to.to_owned(),
            meta: if same_kind {
                before.file.meta.clone()
            } else {
                Map::new()
            },
            ..before.file.clone()
        };
        let (mut pieces, _) = self.pieces(&plugin).await?;
        pieces.files.retain(|other| other.path != from);
        let is_there = pieces.files.iter().any(|other| other.path == to);
        if is_there {
            return Err(CatalogError::conflict(
                format!("{to} is there already"),
                None,
            ));
        }
        pieces.files.push(file.clone());
        drop(pieces.tree()?);
        let whose = whose(&plugin);
        // Of one kind the row stays, so that what must be unique is there once.
        let revision = if same_kind {
            self.write(by, &plugin, Some(&before), &file).await?
        } else {
            let revision = self.write(by, &plugin, None, &file).await?;
            self.repository.delete_file(whose, &before).await?;
            revision
        };
        self.keep(by, &plugin, &before.file, before.revision + 1, true)
            .await?;
        self.note_file(
            by,
            &plugin,
            "rename",
            Some(&before),
            Some((&file, revision)),
        )
        .await;
        Ok(FileView {
            path: to.to_owned(),
            revision,
            checksum: checksum(&file.content),
            saved: self.settle(by, &plugin).await?,
        })
    }

    /// What a file was, newest first; also of one that is gone.
    ///
    /// # Errors
    /// Where there never was such a file.
    pub async fn revisions(
        &self,
        by: &Author,
        id: &str,
        path: &str,
    ) -> Result<Vec<RevisionView>, CatalogError> {
        let plugin = self.readable(by, id).await?;
        let all = self.repository.revisions(whose(&plugin), path).await?;
        if all.is_empty() {
            return Err(no_file(path));
        }
        let all = all.into_iter().map(|one| {
            let (content, encoding) = shown(&one.content);
            RevisionView {
                revision: one.revision,
                content,
                encoding,
                checksum: one.checksum,
                deleted: one.deleted,
                at: one.at,
                by: one.by,
            }
        });
        Ok(all.collect())
    }

    /// Saves a file as it was.
    ///
    /// # Errors
    /// Where there is no such revision.
    pub async fn restore(
        &self,
        by: &Author,
        id: &str,
        path: &str,
        revision: i64,
    ) -> Result<FileView, CatalogError> {
        let plugin = self.writable(by, id).await?;
        let all = self.repository.revisions(whose(&plugin), path).await?;
        let wanted = all.into_iter().find(|one| one.revision == revision);
        let Some(wanted) = wanted else {
            return Err(CatalogError::NotFound("there is no such revision".into()));
        };
        let now = match place(path)? {
            Place::Manifest => Some(plugin.revision),
            Place::Row(kind) => {
                let now = self.repository.file(whose(&plugin), kind, path).await?;
                // What was not said then is said no more.
                now.map(|row| row.revision)
            }
        };
        let mut said = wanted.meta;
        if let Place::Row(kind) = place(path)? {
            for name in kind.fields() {
                said.entry(*name).or_insert(Value::Null);
            }
        }
        let new = NewContent {
            path: wanted.path,
            content: Some(wanted.content),
            revision: now,
            said,
            enabled: Some(wanted.enabled),
        };
        self.save(by, id, new).await
    }

    /// Takes a row away and keeps that it was there.
    pub(crate) async fn drop_row(
        &self,
        by: &Author,
        plugin: &PluginRow,
        row: &FileRow,
    ) -> Result<(), CatalogError> {
        if !self.repository.delete_file(whose(plugin), row).await? {
            return Err(stale(
                Some(row),
                &unseen(&row.file.path, Some(row.revision)),
            ));
        }
        self.keep(by, plugin, &row.file, row.revision + 1, true)
            .await
    }

    pub(crate) async fn row_at(
        &self,
        plugin: &PluginRow,
        path: &str,
    ) -> Result<FileRow, CatalogError> {
        check_path(path)?;
        let Place::Row(kind) = place(path)? else {
            return Err(CatalogError::invalid(
                path,
                "a plugin is nothing without it",
            ));
        };
        let row = self.repository.file(whose(plugin), kind, path).await?;
        row.filter(|row| row.file.path == path)
            .ok_or_else(|| no_file(path))
    }

    async fn note_file(
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

fn source_file(row: &FileRow) -> SourceFile {
    let (content, encoding) = shown(&row.file.content);
    let said = |name: &str| {
        let value = row.file.meta.get(name)?.as_str()?;
        Some(value.to_owned())
    };
    SourceFile {
        path: row.file.path.clone(),
        kind: row.file.kind.name().to_owned(),
        content,
        encoding,
        revision: row.revision,
        checksum: row.checksum.clone(),
        is_enabled: row.file.enabled,
        event_name: said("event_name"),
        hook_name: said("hook_name"),
        method: said("method"),
        route_path: said("path"),
        updated_at: row.updated_at.clone(),
        updated_by: row.updated_by.clone(),
    }
}

/// Bytes as JSON can carry them.
pub(crate) fn shown(content: &Bytes) -> (String, Option<&'static str>) {
    match std::str::from_utf8(content) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (STANDARD.encode(content), Some("base64")),
    }
}

/// The bytes of what JSON has carried.
pub(crate) fn unshown(content: &str, encoding: Option<&str>) -> Result<Bytes, String> {
    match encoding {
        None => Ok(Bytes::copy_from_slice(content.as_bytes())),
        Some("base64") => STANDARD
            .decode(content)
            .map(Bytes::from)
            .map_err(|error| format!("it is no base64: {error}")),
        Some(other) => Err(format!("{other:?} is no encoding known here")),
    }
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

fn stale(now: Option<&FileRow>, yours: &NewContent) -> CatalogError {
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

fn unseen(path: &str, revision: Option<i64>) -> NewContent {
    NewContent {
        path: path.to_owned(),
        content: None,
        revision,
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

fn no_file(path: &str) -> CatalogError {
    CatalogError::NotFound(format!("there is no file {path}"))
}
