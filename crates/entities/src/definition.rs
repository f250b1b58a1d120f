//! One entity: a name for people and code, a collection, and what its documents look like. Read from
//! `entities/*.json`; what is read is a stranger's.

mod columns;
mod links;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

pub use columns::Column;
use columns::{name_of, unknown_key};
pub use links::{ForeignKey, Index, OnDelete, Part, check_links};

use crate::error::EntityError;

/// Columns of an entity.
const MAX_COLUMNS: usize = 200;
/// Indexes of an entity; a collection has 64, one of which is that of `_id`.
const MAX_INDEXES: usize = 48;
/// Foreign keys of an entity.
const MAX_FOREIGN_KEYS: usize = 32;
/// Bytes of the code of a model.
const MAX_MODEL_BYTES: usize = 64 * 1024;
/// Bytes of a description.
const MAX_DESCRIPTION_BYTES: usize = 4 * 1024;

/// What an entity is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entity {
    /// `HamidCart`
    pub entity_name: String,
    /// `hamid_cart`
    pub table_name: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// Its indexes, beside those of unique columns.
    pub indexes: Vec<Index>,
    /// What its columns refer to.
    pub foreign_keys: Vec<ForeignKey>,
    /// A class of pydantic's, run where the plugin runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_code: Option<String>,
}

/// How far an entity has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntityStatus {
    /// Its collection is not there yet, or not as it says now.
    Pending,
    /// Its collection is as it says.
    Migrated,
    /// Making it so has failed.
    Failed,
}

impl EntityStatus {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Migrated => "migrated",
            Self::Failed => "failed",
        }
    }

    /// As it was stored.
    pub fn of(text: &str) -> Self {
        match text {
            "migrated" => Self::Migrated,
            "failed" => Self::Failed,
            _ => Self::Pending,
        }
    }
}

impl Entity {
    /// Reads an entity: `{entity_name, table_name, description, schema_definition, model_code}`.
    ///
    /// # Errors
    /// [`EntityError::Invalid`] that names the column, the index or the key.
    pub fn read(written: &Value) -> Result<Self, EntityError> {
        let Value::Object(object) = written else {
            return Err(EntityError::invalid("", "an entity is an object"));
        };
        unknown_key(
            object,
            "",
            &[
                "entity_name",
                "table_name",
                "description",
                "schema_definition",
                "model_code",
                "is_enabled",
            ],
        )?;
        let entity_name = text(object, "entity_name")?
            .ok_or_else(|| EntityError::invalid("entity_name", "is missing"))?;
        if !is_word(&entity_name, 64) {
            return Err(EntityError::invalid(
                "entity_name",
                "must begin with a letter and have up to 64 letters, digits and _",
            ));
        }
        let table_name = text(object, "table_name")?
            .ok_or_else(|| EntityError::invalid("table_name", "is missing"))?;
        check_table_name(&table_name)?;
        let description = text(object, "description")?;
        if (description.as_ref()).is_some_and(|text| text.len() > MAX_DESCRIPTION_BYTES) {
            let what = format!("must have at most {MAX_DESCRIPTION_BYTES} bytes");
            return Err(EntityError::invalid("description", what));
        }
        let model_code = text(object, "model_code")?.filter(|code| !code.trim().is_empty());
        if (model_code.as_ref()).is_some_and(|code| code.len() > MAX_MODEL_BYTES) {
            let what = format!("must have at most {MAX_MODEL_BYTES} bytes");
            return Err(EntityError::invalid("model_code", what));
        }
        let schema = match get(object, "schema_definition") {
            Some(Value::Object(schema)) => schema,
            _ => {
                return Err(EntityError::invalid(
                    "schema_definition",
                    "must be an object with columns",
                ));
            }
        };
        unknown_key(
            schema,
            "schema_definition",
            &["columns", "indexes", "foreign_keys"],
        )?;
        let columns = list(schema, "columns", MAX_COLUMNS)?
            .iter()
            .enumerate()
            .map(|(at, column)| Column::read(column, at))
            .collect::<Result<Vec<_>, _>>()?;
        check_columns(&columns)?;
        let indexes = list(schema, "indexes", MAX_INDEXES)?
            .iter()
            .enumerate()
            .map(|(at, index)| Index::read(index, at, &columns))
            .collect::<Result<Vec<_>, _>>()?;
        for (at, index) in indexes.iter().enumerate() {
            if indexes[..at].iter().any(|other| other.name == index.name) {
                let path = format!("indexes.{}", index.name);
                return Err(EntityError::invalid(path, "there are two of this name"));
            }
        }
        let foreign_keys = list(schema, "foreign_keys", MAX_FOREIGN_KEYS)?
            .iter()
            .enumerate()
            .map(|(at, key)| ForeignKey::read(key, at, &columns))
            .collect::<Result<Vec<_>, _>>()?;
        let entity = Self {
            entity_name,
            table_name,
            description,
            columns,
            indexes,
            foreign_keys,
            model_code,
        };
        if entity.all_indexes().len() > MAX_INDEXES {
            let what = format!("there are over {MAX_INDEXES}, with those of unique columns");
            return Err(EntityError::invalid("indexes", what));
        }
        Ok(entity)
    }

    /// The column that is the primary key.
    pub fn primary_key(&self) -> Option<&Column> {
        self.columns.iter().find(|column| column.primary_key)
    }

    /// A column of a name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The field of documents that a column is.
    pub fn field<'a>(&self, column: &'a str) -> &'a str {
        match self.column(column) {
            Some(found) if found.primary_key => "_id",
            _ => column,
        }
    }
}

/// A table's name is a collection's: none of the server's own, none with signs that mean something.
pub(crate) fn check_table_name(name: &str) -> Result<(), EntityError> {
    if is_word(name, 64) || (name.starts_with('_') && is_word(name.trim_start_matches('_'), 60)) {
        return Ok(());
    }
    Err(EntityError::invalid(
        "table_name",
        "must have up to 64 letters, digits and _, and begin with none of the digits",
    ))
}

fn check_columns(columns: &[Column]) -> Result<(), EntityError> {
    if columns.is_empty() {
        return Err(EntityError::invalid("columns", "an entity has columns"));
    }
    for (at, column) in columns.iter().enumerate() {
        let path = format!("columns.{}", column.name);
        if columns[..at].iter().any(|other| other.name == column.name) {
            return Err(EntityError::invalid(path, "there are two of this name"));
        }
        if column.primary_key && columns[..at].iter().any(|other| other.primary_key) {
            return Err(EntityError::invalid(
                path,
                "there are two primary keys; a key of several columns is not offered",
            ));
        }
    }
    Ok(())
}

fn is_word(text: &str, most: usize) -> bool {
    (text.bytes().next()).is_some_and(|first| first.is_ascii_alphabetic())
        && text.len() <= most
        && (text.bytes()).all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What stands under a key, in snake case or in camel case.
fn get<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    (object.iter())
        .find(|(written, _)| columns::snake(written) == key)
        .map(|(_, value)| value)
        .filter(|value| !value.is_null())
}

fn text(object: &Map<String, Value>, key: &str) -> Result<Option<String>, EntityError> {
    match get(object, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(EntityError::invalid(key, "must be a text")),
    }
}

fn list<'a>(
    schema: &'a Map<String, Value>,
    key: &str,
    most: usize,
) -> Result<&'a [Value], EntityError> {
    match get(schema, key) {
        None => Ok(&[]),
        Some(Value::Array(items)) if items.len() <= most => Ok(items),
        Some(Value::Array(_)) => Err(EntityError::invalid(
            key,
            format!("has over {most} entries"),
        )),
        Some(_) => Err(EntityError::invalid(key, "must be an array")),
    }
}

/// The name of an item in a list, else its place, for what is wrong with it.
fn place(kind: &str, item: &Map<String, Value>, key: &str, at: usize) -> String {
    match name_of(item, key) {
        Some(name) => format!("{kind}.{name}"),
        None => format!("{kind}.{at}"),
    }
}

#[cfg(test)]
mod tests;
