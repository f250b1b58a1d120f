//! The same files as rows of their kind: created, read, changed and taken away in the words of each.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    activation::Saved,
    catalog::{Catalog, whose},
    error::CatalogError,
    files::NewContent,
    kinds::{CONTENT_ALIASES, Kind, doc_type},
    live::Author,
    manifest_file::{self, snake_case as snake},
    paths,
    rows::{FileRow, PluginRow},
    source::shown,
    tree::check_path,
};

/// A row: what every one has, and beside it what its kind has, with the code under the kind's own name.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PartView {
    /// A UUID.
    pub id: String,
    /// The file's path below the plugin's directory.
    pub file_path: String,
    /// The file's name in its folder.
    pub file_name: String,
    /// Whether it counts.
    pub is_enabled: bool,
    /// Goes up with each save.
    pub revision: i64,
    /// SHA-256 of the file.
    pub checksum: String,
    /// When, in ISO 8601.
    pub created_at: Option<String>,
    /// When, in ISO 8601.
    pub updated_at: Option<String>,
    /// The user.
    pub updated_by: Option<String>,
    /// What its kind has.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Catalog {
    /// The rows of one kind, by path.
    ///
    /// # Errors
    /// Where there is no plugin that the caller may read.
    pub async fn parts(
        &self,
        by: &Author,
        id: &str,
        kind: Kind,
    ) -> Result<Vec<PartView>, CatalogError> {
        let plugin = self.readable(by, id).await?;
        let mut rows = self.repository.files_of(whose(&plugin), kind).await?;
        rows.sort_by(|one, other| one.file.path.cmp(&other.file.path));
        Ok(rows.iter().map(view).collect())
    }

    /// One of them, by its id or its file's name.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn part(
        &self,
        by: &Author,
        id: &str,
        kind: Kind,
        row: &str,
    ) -> Result<PartView, CatalogError> {
        let plugin = self.readable(by, id).await?;
        Ok(view(&self.row(&plugin, kind, row).await?))
    }

    /// A new row: `file_name` names its file, or what the kind is named by.
    ///
    /// # Errors
    /// A file that is there, and values that cannot be.
    pub async fn create_part(
        &self,
        by: &Author,
        id: &str,
        kind: Kind,
        mut fields: Map<String, Value>,
    ) -> Result<(PartView, Saved), CatalogError> {
        let file_name = file_name(kind, &mut fields)?;
        let path = kind.path_of(&file_name);
        check_path(&path)?;
        check_kind(kind, &path)?;
        let content = content(kind, &mut fields, None)?;
        let enabled = take_enabled(&mut fields)?;
        fields.remove("revision");
        let new = NewContent {
            path: path.clone(),
            content: Some(content.unwrap_or_default()),
            revision: None,
            said: fields,
            enabled,
        };
        let saved = self.save(by, id, new).await?.saved;
        let part = self.part(by, id, kind, kind.file_name(&path)).await?;
        Ok((part, saved))
    }

    /// Changes a row: what is given is set, null takes back, the rest stays.
    ///
    /// # Errors
    /// Where there is none, and `Conflict` where another revision is there than `revision` says.
    pub async fn update_part(
        &self,
        by: &Author,
        id: &str,
        kind: Kind,
        row: &str,
        mut fields: Map<String, Value>,
    ) -> Result<(PartView, Saved), CatalogError> {
        let plugin = self.writable(by, id).await?;
        let before = self.row(&plugin, kind, row).await?;
        let revision = match fields.remove("revision") {
            None | Some(Value::Null) => before.revision,
            Some(value) => value
                .as_i64()
                .ok_or_else(|| CatalogError::invalid("/revision", "revision is a number"))?,
        };
        let path = before.file.path.clone();
        let content = content(kind, &mut fields, Some(&before))?;
        let enabled = take_enabled(&mut fields)?;
        let new = NewContent {
            path: path.clone(),
            content,
            revision: Some(revision),
            said: fields,
            enabled,
        };
        let saved = self.save(by, id, new).await?.saved;
        let part = self.part(by, id, kind, kind.file_name(&path)).await?;
        Ok((part, saved))
    }

    /// Takes a row away, and its file with it.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn delete_part(
        &self,
        by: &Author,
        id: &str,
        kind: Kind,
        row: &str,
    ) -> Result<Saved, CatalogError> {
        let plugin = self.writable(by, id).await?;
        let before = self.row(&plugin, kind, row).await?;
        let (path, revision) = (&before.file.path, Some(before.revision));
        Ok(self.delete_file(by, id, path, revision).await?.saved)
    }

    async fn row(
        &self,
        plugin: &PluginRow,
        kind: Kind,
        row: &str,
    ) -> Result<FileRow, CatalogError> {
        let rows = self.repository.files_of(whose(plugin), kind).await?;
        let mut rows = rows.into_iter();
        rows.find(|one| one.id == row || one.file.path == row || one.file.file_name() == row)
            .ok_or_else(|| {
                CatalogError::NotFound(format!("there is no such row of {}", kind.name()))
            })
    }
}

fn view(row: &FileRow) -> PartView {
    let file = &row.file;
    let mut fields = file.said();
    let (content, encoding) = shown(&file.content);
    fields.insert(file.kind.code().to_owned(), content.into());
    if let Some(encoding) = encoding {
        fields.insert("encoding".into(), encoding.into());
    }
    match file.kind {
        Kind::Controllers => {
            fields.insert("controller_name".into(), paths::stem(&file.path).into());
        }
        Kind::Docs => {
            let doc_type = doc_type(&file.path).into();
            fields.entry("doc_type").or_insert(doc_type);
            let format = if file.path.ends_with(".md") {
                "markdown"
            } else {
                "text"
            };
            fields.entry("format").or_insert(format.into());
        }
        _ => {}
    }
    PartView {
        id: row.id.clone(),
        file_path: file.path.clone(),
        file_name: file.file_name().to_owned(),
        is_enabled: file.enabled,
        revision: row.revision,
        checksum: row.checksum.clone(),
        created_at: row.created_at.clone(),
        updated_at: row.updated_at.clone(),
        updated_by: row.updated_by.clone(),
        fields,
    }
}

/// The name of a new row's file, as it is given or made of what the kind is named by.
pub(crate) fn file_name(
    kind: Kind,
    fields: &mut Map<String, Value>,
) -> Result<String, CatalogError> {
    let given = ["file_name", "fileName", "file_path", "filePath"]
        .into_iter()
        .find_map(|key| fields.remove(key));
    let (naming, ending) = kind.naming();
    let is_said = kind.fields().contains(&naming);
    let key = fields.keys().find(|key| snake(key) == naming).cloned();
    let named = key.and_then(|key| {
        if is_said {
            fields.get(&key).cloned()
        } else {
            fields.remove(&key)
        }
    });
    match (given, named) {
        (Some(Value::String(name)), _) => Ok(name),
        (None, Some(Value::String(name))) => {
            // `cart.viewed` becomes `cart_viewed`; which event it is stands beside it.
            Ok(format!("{}.{ending}", name.replace(['.', ':', '/'], "_")))
        }
        _ => Err(CatalogError::invalid(
            format!("/{naming}"),
            format!("a row of {} has a {naming} or a file_name", kind.name()),
        )),
    }
}

fn check_kind(kind: Kind, path: &str) -> Result<(), CatalogError> {
    use crate::kinds::{Place, place};
    match place(path)? {
        Place::Row(other) if other == kind => Ok(()),
        Place::Row(other) => Err(CatalogError::invalid(
            "/file_name",
            format!("{path} is kept among {}", other.name()),
        )),
        Place::Manifest => Err(CatalogError::invalid(
            "/file_name",
            format!("{path} is what the plugin says of itself: change the plugin"),
        )),
    }
}

/// The code of a row, under whatever name it is given. An entity is what is said of it.
pub(crate) fn content(
    kind: Kind,
    fields: &mut Map<String, Value>,
    before: Option<&FileRow>,
) -> Result<Option<Bytes>, CatalogError> {
    let encoding = fields.remove("encoding");
    let encoding = encoding.as_ref().and_then(Value::as_str);
    let keys: Vec<String> = fields
        .keys()
        .filter(|key| CONTENT_ALIASES.contains(&snake(key).as_str()))
        .cloned()
        .collect();
    let mut given = None;
    for key in keys {
        match fields.remove(&key) {
            Some(Value::String(text)) => given = Some(NewContent::decode(&text, encoding)?),
            Some(object @ Value::Object(_)) => given = Some(format!("{object:#}\n").into()),
            _ => {
                return Err(CatalogError::invalid(
                    format!("/{key}"),
                    format!("{key} is a text"),
                ));
            }
        }
    }
    if kind != Kind::Entities || given.is_some() {
        return Ok(given);
    }
    let mut whole: Map<String, Value> = match before {
        Some(row) => serde_json::from_slice(&row.file.content).unwrap_or_default(),
        None => Map::new(),
    };
    let named: Vec<String> = fields
        .keys()
        .filter(|key| manifest_file::field(kind, key).is_some() && *key != "is_enabled")
        .cloned()
        .collect();
    let is_said = !named.is_empty();
    for key in named {
        let name = manifest_file::field(kind, &key).unwrap_or_else(|| key.clone());
        match fields.remove(&key) {
            None | Some(Value::Null) => drop(whole.remove(&name)),
            Some(value) => drop(whole.insert(name, value)),
        }
    }
    Ok(is_said.then(|| manifest_file::canonical(&whole).into()))
}

pub(crate) fn take_enabled(fields: &mut Map<String, Value>) -> Result<Option<bool>, CatalogError> {
    let given = ["is_enabled", "isEnabled"]
        .into_iter()
        .find_map(|key| fields.remove(key));
    match given {
        None => Ok(None),
        Some(Value::Bool(enabled)) => Ok(Some(enabled)),
        Some(_) => Err(CatalogError::invalid(
            "/is_enabled",
            "is_enabled must be true or false",
        )),
    }
}
