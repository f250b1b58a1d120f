//! What a column holds where nothing is given: a new id, the moment, or a literal. No expression.

use serde::Serialize;
use serde_json::Value;

use crate::types::ColumnType;

/// What a column holds where nothing is given.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum ColumnDefault {
    /// A new UUID.
    Uuid,
    /// The moment.
    Now,
    /// Always this.
    Literal(Value),
}

impl ColumnDefault {
    /// Reads a default for a column of a type; `None` where there is none.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(written: &Value, column: &ColumnType) -> Result<Option<Self>, String> {
        let text = match written {
            Value::Null => return Ok(None),
            Value::String(text) => text,
            literal => return fitting(literal.clone(), column).map(Some),
        };
        let bare = text.trim();
        if bare.eq_ignore_ascii_case("null") {
            return Ok(None);
        }
        if bare.eq_ignore_ascii_case("gen_random_uuid()") {
            return match column {
                ColumnType::Uuid | ColumnType::Text { .. } => Ok(Some(Self::Uuid)),
                _ => Err("gen_random_uuid() is for columns of UUID or text".into()),
            };
        }
        if bare.eq_ignore_ascii_case("now()") {
            return match column {
                ColumnType::Date => Ok(Some(Self::Now)),
                _ => Err("NOW() is for columns of TIMESTAMP or DATE".into()),
            };
        }
        if let Some(inner) = sql_literal(bare) {
            return fitting(Value::String(inner), column).map(Some);
        }
        if is_expression(bare) {
            return Err(format!(
                "the default {text:?} is an expression; there are gen_random_uuid(), NOW() and literals"
            ));
        }
        fitting(Value::String(text.clone()), column).map(Some)
    }
}

/// `'pending'`, with quotes within written twice.
fn sql_literal(text: &str) -> Option<String> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let without_doubled = inner.replace("''", "");
    (!without_doubled.contains('\'')).then(|| inner.replace("''", "'"))
}

/// What a database would calculate: a call, a cast, an operator on a quoted text, a word of SQL's.
fn is_expression(text: &str) -> bool {
    const WORDS: [&str; 7] = [
        "CURRENT_TIMESTAMP",
        "CURRENT_DATE",
        "CURRENT_TIME",
        "LOCALTIMESTAMP",
        "LOCALTIME",
        "CURRENT_USER",
        "SESSION_USER",
    ];
    let is_call = text.split_once('(').is_some_and(|(name, rest)| {
        let name = name.trim_end();
        rest.trim_end().contains(')')
            && !name.is_empty()
            && (name.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
    });
    is_call
        || text.starts_with('\'')
        || text.starts_with('(')
        || text.contains("::")
        || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
        || text.to_ascii_uppercase().starts_with("INTERVAL ")
        || text.to_ascii_uppercase().starts_with("SELECT ")
}

fn fitting(value: Value, column: &ColumnType) -> Result<ColumnDefault, String> {
    if fits(&value, column) {
        Ok(ColumnDefault::Literal(value))
    } else {
        Err(format!(
            "the default {value} is no value of the column's type"
        ))
    }
}

fn fits(value: &Value, column: &ColumnType) -> bool {
    match (column, value) {
        (ColumnType::Uuid, Value::String(text)) => is_uuid(text),
        (ColumnType::Text { max_length }, Value::String(text)) => {
            max_length.is_none_or(|most| text.chars().count() <= most as usize)
        }
        (ColumnType::Integer, Value::Number(number)) => number
            .as_i64()
            .is_some_and(|number| i32::try_from(number).is_ok()),
        (ColumnType::Bigint, Value::Number(number)) => number.as_i64().is_some(),
        (ColumnType::Decimal, Value::Number(_))
        | (ColumnType::Double, Value::Number(_))
        | (ColumnType::Boolean, Value::Bool(_))
        | (ColumnType::Json, Value::Object(_) | Value::Array(_)) => true,
        (ColumnType::Decimal, Value::String(text)) => text.parse::<bson::Decimal128>().is_ok(),
        (ColumnType::Date, Value::String(text)) => is_date(text),
        (ColumnType::Array { items }, Value::Array(values)) => {
            values.iter().all(|value| fits(value, items))
        }
        (ColumnType::Enum { values }, Value::String(text)) => values.contains(text),
        _ => false,
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A day, or a moment with its zone.
fn is_date(text: &str) -> bool {
    bson::DateTime::parse_rfc3339_str(text).is_ok()
        || bson::DateTime::parse_rfc3339_str(format!("{text}T00:00:00Z")).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(column: &str, written: Value) -> Result<Option<ColumnDefault>, String> {
        ColumnDefault::parse(&written, &ColumnType::parse(column).unwrap())
    }

    #[test]
    fn ids_moments_and_literals_are_read() {
        use ColumnDefault::{Literal, Now, Uuid};
        for (column, written, expected) in [
            ("UUID", json!("gen_random_uuid()"), Some(Uuid)),
            ("VARCHAR(36)", json!("GEN_RANDOM_UUID()"), Some(Uuid)),
            ("TIMESTAMP", json!("NOW()"), Some(Now)),
            ("TIMESTAMP", json!("now()"), Some(Now)),
            (
                "DATE",
                json!("2026-01-01"),
                Some(Literal(json!("2026-01-01"))),
            ),
            ("INTEGER", json!(0), Some(Literal(json!(0)))),
            ("INTEGER", json!(null), None),
            ("TEXT", json!("NULL"), None),
            ("TEXT", json!("'pending'"), Some(Literal(json!("pending")))),
            ("TEXT", json!("'it''s'"), Some(Literal(json!("it's")))),
            ("TEXT", json!("pending"), Some(Literal(json!("pending")))),
            ("BOOLEAN", json!(true), Some(Literal(json!(true)))),
            ("JSONB", json!({}), Some(Literal(json!({})))),
            ("INTEGER[]", json!([1, 2]), Some(Literal(json!([1, 2])))),
            ("ENUM('a','b')", json!("b"), Some(Literal(json!("b")))),
            ("DECIMAL(4,2)", json!("1.50"), Some(Literal(json!("1.50")))),
        ] {
            assert_eq!(
                read(column, written.clone()),
                Ok(expected),
                "{column} {written}"
            );
        }
    }

    #[test]
    fn any_other_expression_is_refused() {
        for (column, written) in [
            ("UUID", "uuid_generate_v4()"),
            ("TIMESTAMP", "CURRENT_TIMESTAMP"),
            ("TIMESTAMP", "NOW() + INTERVAL '1 day'"),
            ("TIMESTAMP", "now() AT TIME ZONE 'utc'"),
            ("TEXT", "nextval('seq')"),
            ("TEXT", "lower('A')"),
            ("TEXT", "pg_catalog.version()"),
            ("TEXT", "'a'::text"),
            ("TEXT", "'a' || 'b'"),
            ("TEXT", "(SELECT 1)"),
            ("TEXT", "current_user"),
            ("JSONB", "'{}'::jsonb"),
            ("INTEGER", "1 + 1"),
            ("INTEGER", "0"),
        ] {
            assert!(read(column, json!(written)).is_err(), "{column} {written}");
        }
        for (column, written) in [
            ("INTEGER", json!("gen_random_uuid()")),
            ("INTEGER", json!(1.5)),
            ("INTEGER", json!(1_u64 << 40)),
            ("TEXT", json!(1)),
            ("VARCHAR(2)", json!("abc")),
            ("TEXT", json!("NOW()")),
            ("BOOLEAN", json!("true")),
            ("DATE", json!("soon")),
            ("UUID", json!("1234")),
            ("ENUM('a')", json!("b")),
            ("INTEGER[]", json!(["a"])),
        ] {
            assert!(read(column, written.clone()).is_err(), "{column} {written}");
        }
    }
}
