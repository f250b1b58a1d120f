//! Indexes and foreign keys of an entity.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    Entity,
    columns::{Column, name_of, unknown_key},
    get, is_word, place,
};
use crate::error::EntityError;

/// Columns of one index.
const MAX_INDEXED: usize = 16;

/// One column of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The column.
    pub column: String,
    /// Whether the largest comes first.
    pub descending: bool,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Part>,
    /// Whether no two documents may have the same in all of them.
    pub unique: bool,
}

impl Index {
    pub(super) fn read(
        written: &Value,
        at: usize,
        columns: &[Column],
    ) -> Result<Self, EntityError> {
        let Value::Object(object) = written else {
            let path = format!("indexes.{at}");
            return Err(EntityError::invalid(path, "an index is an object"));
        };
        let path = place("indexes", object, "name", at);
        let wrong = |message: String| EntityError::invalid(path.clone(), message);
        unknown_key(object, &path, &["name", "columns", "order", "unique"])?;
        let name = name_of(object, "name").ok_or_else(|| wrong("has no name".into()))?;
        if !is_word(name, 100) {
            return Err(wrong(
                "an index's name begins with a letter and has up to 100 letters, digits and _"
                    .into(),
            ));
        }
        let names = match get(object, "columns") {
            Some(Value::Array(names)) if (1..=MAX_INDEXED).contains(&names.len()) => names,
            _ => return Err(wrong(format!("an index has 1 to {MAX_INDEXED} columns"))),
        };
        let orders: Vec<bool> = match get(object, "order") {
            None => vec![false; names.len()],
            Some(Value::Array(orders)) if orders.len() == names.len() => orders
                .iter()
                .map(|order| {
                    descending(order).ok_or_else(|| wrong("`order` is ASC or DESC".into()))
                })
                .collect::<Result<_, _>>()?,
            Some(order) => match descending(order) {
                Some(order) => vec![order; names.len()],
                None => {
                    return Err(wrong(
                        "`order` is ASC or DESC, or one for each column".into(),
                    ));
                }
            },
        };
        let mut parts: Vec<Part> = Vec::with_capacity(names.len());
        for (name, descending) in names.iter().zip(orders) {
            let column = name.as_str().unwrap_or_default();
            if !columns.iter().any(|known| known.name == column) {
                return Err(wrong(format!("there is no column {name}")));
            }
            if parts.iter().any(|part| part.column == column) {
                return Err(wrong(format!("the column {column} stands twice")));
            }
            parts.push(Part {
                column: column.to_owned(),
                descending,
            });
        }
        let unique = match get(object, "unique") {
            None => false,
            Some(Value::Bool(unique)) => *unique,
            Some(_) => return Err(wrong("`unique` must be true or false".into())),
        };
        Ok(Self {
            name: name.to_owned(),
            columns: parts,
            unique,
        })
    }
}

fn descending(order: &Value) -> Option<bool> {
    match order.as_str()?.to_ascii_uppercase().as_str() {
        "ASC" => Some(false),
        "DESC" => Some(true),
        _ => None,
    }
}

/// What becomes of a document whose target is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The target cannot be deleted.
    Restrict,
    /// Its column is emptied.
    SetNull,
    /// It is deleted too.
    Cascade,
}

/// A column that refers to another entity's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForeignKey {
    /// The column.
    pub column: String,
    /// The table that it refers to.
    pub table: String,
    /// The column there.
    pub target: String,
    /// What happens when that is deleted.
    pub on_delete: OnDelete,
}

impl ForeignKey {
    pub(super) fn read(
        written: &Value,
        at: usize,
        columns: &[Column],
    ) -> Result<Self, EntityError> {
        let Value::Object(object) = written else {
            let path = format!("foreignKeys.{at}");
            return Err(EntityError::invalid(path, "a foreign key is an object"));
        };
        let path = place("foreignKeys", object, "column", at);
        let wrong = |message: String| EntityError::invalid(path.clone(), message);
        unknown_key(
            object,
            &path,
            &["column", "references", "on_delete", "on_update", "name"],
        )?;
        let column = name_of(object, "column").unwrap_or_default();
        let Some(known) = columns.iter().find(|known| known.name == column) else {
            return Err(wrong(format!("there is no column {column:?}")));
        };
        let (table, target) = match get(object, "references") {
            Some(Value::String(text)) => {
                let parts = text
                    .trim()
                    .strip_suffix(')')
                    .and_then(|text| text.split_once('('));
                parts
                    .map(|(table, target)| (table.trim().to_owned(), target.trim().to_owned()))
                    .ok_or_else(|| wrong("`references` is written `table(column)`".into()))?
            }
            Some(Value::Object(target)) => (
                name_of(target, "table").unwrap_or_default().to_owned(),
                name_of(target, "column").unwrap_or("id").to_owned(),
            ),
            _ => return Err(wrong("`references` is written `table(column)`".into())),
        };
        if super::check_table_name(&table).is_err() || !is_word(&target, 64) {
            return Err(wrong("`references` names no table and column".into()));
        }
        let on_delete = match name_of(object, "on_delete") {
            None if get(object, "on_delete").is_none() => OnDelete::Restrict,
            Some(word) => match words(word).as_str() {
                "RESTRICT" | "NO ACTION" => OnDelete::Restrict,
                "SET NULL" => OnDelete::SetNull,
                "CASCADE" => OnDelete::Cascade,
                _ => return Err(wrong(on_delete_words())),
            },
            None => return Err(wrong(on_delete_words())),
        };
        if on_delete == OnDelete::SetNull && !known.nullable {
            return Err(wrong(format!("SET NULL, but {column} is not nullable")));
        }
        Ok(Self {
            column: column.to_owned(),
            table,
            target,
            on_delete,
        })
    }
}

fn on_delete_words() -> String {
    "`onDelete` is SET NULL, CASCADE, RESTRICT or NO ACTION".into()
}

fn words(text: &str) -> String {
    let words: Vec<_> = text
        .split([' ', '_'])
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").to_ascii_uppercase()
}

/// What entities of one plugin say of each other: names and tables are there once, and a foreign key to one
/// of them names a column that tells its documents apart. A target elsewhere is recorded and not looked at.
/// Gives what is wrong with the entity at a place, beside all others.
///
/// # Errors
/// [`EntityError::Invalid`].
pub fn check_links(entities: &[Entity], at: usize) -> Result<(), EntityError> {
    let entity = &entities[at];
    for other in &entities[..at] {
        if other.entity_name == entity.entity_name {
            let what = format!("there are two entities {:?}", entity.entity_name);
            return Err(EntityError::invalid("entity_name", what));
        }
        if other.table_name == entity.table_name {
            let what = format!(
                "{:?} is the table of {} too",
                entity.table_name, other.entity_name
            );
            return Err(EntityError::invalid("table_name", what));
        }
    }
    for key in &entity.foreign_keys {
        let Some(to) = entities.iter().find(|other| other.table_name == key.table) else {
            continue;
        };
        let is_known = to
            .column(&key.target)
            .is_some_and(|target| target.primary_key || target.unique);
        if !is_known {
            let path = format!("foreignKeys.{}", key.column);
            let what = format!(
                "{}({}) is no primary key and no unique column",
                key.table, key.target
            );
            return Err(EntityError::invalid(path, what));
        }
    }
    Ok(())
}
