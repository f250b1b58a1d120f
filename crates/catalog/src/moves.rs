//! Files of a stored plugin that are taken away, renamed, and brought back as they were.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    catalog::{Catalog, whose},
    digest::checksum,
    error::CatalogError,
    files::{FileView, NewContent, stale},
    kinds::{Place, place},
    live::Author,
    rows::{FileRow, NewFile, PluginRow},
    source::shown,
    tree::check_path,
};

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

fn no_file(path: &str) -> CatalogError {
    CatalogError::NotFound(format!("there is no file {path}"))
}
