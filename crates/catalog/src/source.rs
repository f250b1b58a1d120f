//! Files of a stored plugin as JSON carries them, with the badges that lists of files show.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    catalog::Catalog, digest::checksum, error::CatalogError, live::Author, rows::FileRow,
    tree::MANIFEST,
};

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
}

pub(crate) fn source_file(row: &FileRow) -> SourceFile {
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
