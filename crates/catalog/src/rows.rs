//! A stored plugin and its files as the database has them.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::kinds::Kind;

/// A stored plugin.
#[derive(Debug, Clone)]
pub struct PluginRow {
    /// A UUID.
    pub id: String,
    /// Its name, which no other plugin of the gateway has.
    pub name: String,
    /// Its app.
    pub app_id: String,
    /// The user who has made it.
    pub creator_id: String,
    /// `plugin.json`, as it was last written.
    pub manifest: String,
    /// Goes up with each change of `plugin.json`.
    pub revision: i64,
    /// Whether others may copy it.
    pub is_template: bool,
    /// What it is a copy of.
    pub template_of: Option<String>,
    /// For lists.
    pub category: Option<String>,
    /// Whether it is switched on.
    pub enabled: bool,
    /// The revision of all its files that serves.
    pub digest: Option<String>,
    /// Whether somebody who is no admin has changed it since an admin has let it serve.
    pub waiting: bool,
    /// How the gateway that has loaded it last says that it is.
    pub status: String,
    /// When, in ISO 8601.
    pub created_at: Option<String>,
    /// When, in ISO 8601.
    pub updated_at: Option<String>,
}

/// A stored plugin as its authors see it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PluginView {
    /// A UUID.
    pub id: String,
    /// In addresses.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// Semantic version.
    pub version: String,
    /// One sentence or more.
    pub description: Option<String>,
    /// The user who has made it.
    pub creator_id: String,
    /// `draft` before it was ever activated, else as its life is.
    pub status: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// The revision of all its files that serves.
    pub digest: Option<String>,
    /// Whether what authors have saved waits for an admin, who lets it serve by `activate`.
    pub waiting: bool,
    /// Goes up with each change of `plugin.json`.
    pub revision: i64,
    /// Whether others may copy it.
    pub is_template: bool,
    /// What it is a copy of.
    pub template_of: Option<String>,
    /// For lists.
    pub category: Option<String>,
    /// `plugin.json`.
    pub manifest: Map<String, Value>,
    /// When, in ISO 8601.
    pub created_at: Option<String>,
    /// When, in ISO 8601.
    pub updated_at: Option<String>,
}

impl PluginRow {
    /// What `plugin.json` says; it was checked when it was written.
    pub fn says(&self) -> Map<String, Value> {
        serde_json::from_str(&self.manifest).unwrap_or_default()
    }

    /// As its authors see it.
    pub fn view(&self) -> PluginView {
        let manifest = self.says();
        let text = |key: &str| {
            let value = manifest.get(key)?.as_str()?;
            Some(value.to_owned())
        };
        let status = match &self.digest {
            None => "draft",
            Some(_) => &self.status,
        };
        PluginView {
            id: self.id.clone(),
            name: self.name.clone(),
            display_name: text("display_name").unwrap_or_else(|| self.name.clone()),
            version: text("version").unwrap_or_else(|| "0.0.0".into()),
            description: text("description"),
            creator_id: self.creator_id.clone(),
            status: status.to_owned(),
            enabled: self.enabled && self.digest.is_some(),
            digest: self.digest.clone(),
            waiting: self.waiting,
            revision: self.revision,
            is_template: self.is_template,
            template_of: self.template_of.clone(),
            category: self.category.clone(),
            manifest,
            created_at: self.created_at.clone(),
            updated_at: self.updated_at.clone(),
        }
    }
}

/// A file of a stored plugin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileRow {
    pub(crate) id: String,
    pub(crate) file: NewFile,
    pub(crate) revision: i64,
    pub(crate) checksum: String,
    pub(crate) created_at: Option<String>,
    pub(crate) updated_at: Option<String>,
    pub(crate) updated_by: Option<String>,
}

/// What a file is, without the database's part of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewFile {
    pub(crate) kind: Kind,
    pub(crate) path: String,
    pub(crate) content: Bytes,
    /// What is said of it beside its content, in the words of the wire.
    pub(crate) meta: Map<String, Value>,
    pub(crate) enabled: bool,
}

impl NewFile {
    /// The name within its folder.
    pub(crate) fn file_name(&self) -> &str {
        self.kind.file_name(&self.path)
    }

    /// What is said of it, with what an entity says in itself.
    pub(crate) fn said(&self) -> Map<String, Value> {
        if self.kind != Kind::Entities {
            return self.meta.clone();
        }
        let whole: Option<Map<String, Value>> = serde_json::from_slice(&self.content).ok();
        let mut said = whole.unwrap_or_default();
        said.retain(|key, _| self.kind.fields().contains(&key.as_str()));
        said
    }
}
