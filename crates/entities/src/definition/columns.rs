//! One column of an entity.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{get, is_word, place};
use crate::{defaults::ColumnDefault, error::EntityError, types::ColumnType};

/// The field that says whose a document is. The gateway sets it where users are kept apart, and what the
/// id of a user looks like the identity provider decides: no rule of the column's type holds for it.
pub(crate) const OWNER: &str = "user_id";

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub kind: ColumnType,
    /// Whether it is `_id`.
    pub primary_key: bool,
    /// Whether it may hold nothing.
    pub nullable: bool,
    /// Whether no two documents may have the same.
    pub unique: bool,
    /// What it holds where nothing is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<ColumnDefault>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Column {
    pub(super) fn read(written: &Value, at: usize) -> Result<Self, EntityError> {
        let Value::Object(object) = written else {
            return Err(EntityError::invalid(
                format!("columns.{at}"),
                "a column is an object",
            ));
        };
        let path = place("columns", object, "name", at);
        let wrong = |message: String| EntityError::invalid(path.clone(), message);
        unknown_key(
            object,
            &path,
            &[
                "name",
                "type",
                "values",
                "primary_key",
                "default",
                "nullable",
                "unique",
                "comment",
            ],
        )?;
        let name = name_of(object, "name").ok_or_else(|| wrong("has no name".into()))?;
        if !(is_word(name, 64) || (name.starts_with('_') && is_word(&name[1..], 63)))
            || name == "_id"
        {
            return Err(wrong(
                "a column's name begins with a letter and has up to 64 letters, digits and _; `_id` is the \
                 primary key's in any case"
                    .into(),
            ));
        }
        let Some(Value::String(kind)) = get(object, "type") else {
            return Err(wrong("has no type".into()));
        };
        let kind = match get(object, "values") {
            Some(Value::Array(values)) if kind.trim().eq_ignore_ascii_case("enum") => {
                let texts: Option<Vec<String>> = (values.iter())
                    .map(|value| value.as_str().map(str::to_owned))
                    .collect();
                let texts = texts.ok_or_else(|| wrong("the values of an ENUM are texts".into()))?;
                ColumnType::of_values(texts).map_err(wrong)?
            }
            None => ColumnType::parse(kind).map_err(wrong)?,
            Some(_) => return Err(wrong("`values` is an array, beside the type ENUM".into())),
        };
        let flag = |key: &str| match get(object, key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(wrong(format!("`{key}` must be true or false"))),
        };
        let primary_key = flag("primary_key")?.unwrap_or(false);
        let nullable = flag("nullable")?;
        if primary_key {
            if nullable == Some(true) {
                return Err(wrong("a primary key cannot be nullable".into()));
            }
            if matches!(kind, ColumnType::Array { .. } | ColumnType::Json) {
                return Err(wrong("a primary key holds one value".into()));
            }
        }
        let default = match object.get("default") {
            None => None,
            Some(default) => ColumnDefault::parse(default, &kind).map_err(wrong)?,
        };
        let comment = match get(object, "comment") {
            None => None,
            Some(Value::String(comment)) => Some(comment.clone()),
            Some(_) => return Err(wrong("`comment` must be a text".into())),
        };
        Ok(Self {
            name: name.to_owned(),
            kind,
            primary_key,
            nullable: nullable.unwrap_or(!primary_key),
            unique: flag("unique")?.unwrap_or(false) && !primary_key,
            default,
            comment,
        })
    }

    /// The rule that keeps it.
    pub fn rule(&self) -> bson::Document {
        if self.name == OWNER {
            return ColumnType::Text { max_length: None }.rule(self.nullable);
        }
        self.kind.rule(self.nullable)
    }
}

/// The text under a key.
pub(super) fn name_of<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    get(object, key)?.as_str()
}

/// An unknown key is a slip that would be passed over in silence, also one that stands twice, in two
/// spellings.
pub(super) fn unknown_key(
    object: &Map<String, Value>,
    path: &str,
    known: &[&str],
) -> Result<(), EntityError> {
    let mut seen = Vec::with_capacity(object.len());
    for key in object.keys() {
        let normal = snake(key);
        if !known.contains(&&*normal) {
            let what = format!("{key:?} is not known here; there are {}", known.join(", "));
            return Err(EntityError::invalid(path, what));
        }
        if seen.contains(&normal) {
            return Err(EntityError::invalid(
                path,
                format!("{key:?} is given twice"),
            ));
        }
        seen.push(normal);
    }
    Ok(())
}

/// `primaryKey` is `primary_key`.
pub(super) fn snake(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 2);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
