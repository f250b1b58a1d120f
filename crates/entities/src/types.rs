//! The types of columns: read as SQL writes them, given as the part of `$jsonSchema` that keeps them.

use bson::{Bson, Document, doc};
use serde::Serialize;

/// Characters that a `VARCHAR` may have at most.
const MAX_LENGTH: u32 = 10_485_760;
/// Values of an `ENUM`.
const MAX_VALUES: usize = 500;
/// Arrays of arrays.
const MAX_DEPTH: usize = 4;

const UUID: &str = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ColumnType {
    /// A UUID as a string.
    Uuid,
    /// A string, of so many characters at most where it says.
    Text {
        /// Characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_length: Option<u32>,
    },
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    Bigint,
    /// A decimal number.
    Decimal,
    /// A floating-point number.
    Double,
    /// True or false.
    Boolean,
    /// A moment.
    Date,
    /// An object or an array.
    Json,
    /// Several values of one type.
    Array {
        /// Of which.
        items: Box<ColumnType>,
    },
    /// One of some texts.
    Enum {
        /// Which.
        values: Vec<String>,
    },
}

impl ColumnType {
    /// Reads a type as SQL writes it.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(written: &str) -> Result<Self, String> {
        Self::parse_at(written.trim(), 0)
    }

    fn parse_at(written: &str, depth: usize) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err(format!("arrays are nested over {MAX_DEPTH} levels"));
        }
        if let Some(items) = written.strip_suffix("[]") {
            let items = Box::new(Self::parse_at(items.trim_end(), depth + 1)?);
            return Ok(Self::Array { items });
        }
        let unknown = || {
            format!(
                "the type {written:?} is not known; there are UUID, VARCHAR(n), CHAR(n), TEXT, INTEGER, BIGINT, \
                 DECIMAL(p,s), FLOAT, BOOLEAN, TIMESTAMP, DATE, JSONB, ENUM(…) and arrays of these, T[]"
            )
        };
        let (name, inner) = match written.split_once('(') {
            None => (written, None),
            Some((name, rest)) => {
                let Some((inner, after)) = rest.rsplit_once(')') else {
                    return Err(unknown());
                };
                // `TIMESTAMP(3) WITH TIME ZONE`
                let zone = words(after);
                if !zone.is_empty() && !ZONES.contains(&&*zone) {
                    return Err(unknown());
                }
                (name, Some(inner.trim()))
            }
        };
        let name = words(name);
        match (&*name, inner) {
            ("UUID", None) => Ok(Self::Uuid),
            ("TEXT", None) => Ok(Self::Text { max_length: None }),
            ("VARCHAR" | "CHARACTER VARYING" | "CHAR" | "CHARACTER" | "STRING", inner) => {
                let max_length = match inner {
                    None if matches!(&*name, "CHAR" | "CHARACTER") => Some(1),
                    None => None,
                    Some(length) => match length.parse() {
                        Ok(length) if (1..=MAX_LENGTH).contains(&length) => Some(length),
                        _ => {
                            return Err(format!(
                                "the length of {written:?} must be 1 to {MAX_LENGTH}"
                            ));
                        }
                    },
                };
                Ok(Self::Text { max_length })
            }
            ("INTEGER" | "INT" | "INT4" | "SMALLINT" | "INT2", None) => Ok(Self::Integer),
            ("BIGINT" | "INT8", None) => Ok(Self::Bigint),
            ("DECIMAL" | "NUMERIC", inner) => {
                let is_sized = inner.is_none_or(|inner| {
                    let parts: Vec<_> = inner.split(',').map(str::trim).collect();
                    parts.len() <= 2 && parts.iter().all(|part| part.parse::<u16>().is_ok())
                });
                if is_sized {
                    Ok(Self::Decimal)
                } else {
                    Err(unknown())
                }
            }
            ("FLOAT" | "REAL" | "DOUBLE" | "DOUBLE PRECISION" | "FLOAT8" | "FLOAT4", None) => {
                Ok(Self::Double)
            }
            ("BOOLEAN" | "BOOL", None) => Ok(Self::Boolean),
            ("DATE", None) => Ok(Self::Date),
            (
                "TIMESTAMP"
                | "TIMESTAMPTZ"
                | "TIMESTAMP WITH TIME ZONE"
                | "TIMESTAMP WITHOUT TIME ZONE",
                inner,
            ) => {
                if inner.is_none_or(|inner| inner.parse::<u8>().is_ok_and(|digits| digits <= 6)) {
                    Ok(Self::Date)
                } else {
                    Err(unknown())
                }
            }
            ("JSONB" | "JSON", None) => Ok(Self::Json),
            ("ENUM", Some(inner)) => Self::of_values(quoted(inner).ok_or_else(unknown)?),
            _ => Err(unknown()),
        }
    }

    /// An `ENUM` of these.
    ///
    /// # Errors
    /// A sentence.
    pub fn of_values(values: Vec<String>) -> Result<Self, String> {
        if values.is_empty() || values.len() > MAX_VALUES {
            return Err(format!("an ENUM has 1 to {MAX_VALUES} values"));
        }
        for (at, value) in values.iter().enumerate() {
            if values[..at].contains(value) {
                return Err(format!("the value {value:?} stands twice"));
            }
        }
        Ok(Self::Enum { values })
    }

    /// The names of the types of BSON that a value has.
    pub fn bson_types(&self) -> Vec<&'static str> {
        match self {
            Self::Uuid | Self::Text { .. } | Self::Enum { .. } => vec!["string"],
            Self::Integer => vec!["int"],
            Self::Bigint => vec!["int", "long"],
            Self::Decimal => vec!["decimal"],
            Self::Double => vec!["double"],
            Self::Boolean => vec!["bool"],
            Self::Date => vec!["date"],
            Self::Json => vec!["object", "array"],
            Self::Array { .. } => vec!["array"],
        }
    }

    /// The rule that keeps it.
    pub fn rule(&self, nullable: bool) -> Document {
        let mut types = self.bson_types();
        if nullable {
            types.push("null");
        }
        let types = match &*types {
            [one] => Bson::from(*one),
            many => Bson::from(many.to_vec()),
        };
        let mut rule = doc! { "bsonType": types };
        match self {
            Self::Uuid => {
                rule.insert("pattern", UUID);
            }
            Self::Text {
                max_length: Some(length),
            } => {
                rule.insert("maxLength", i64::from(*length));
            }
            Self::Array { items } => {
                rule.insert("items", items.rule(false));
            }
            Self::Enum { values } => {
                let mut all: Vec<Bson> = values.iter().map(Bson::from).collect();
                if nullable {
                    all.push(Bson::Null);
                }
                return doc! { "enum": all };
            }
            Self::Text { max_length: None }
            | Self::Integer
            | Self::Bigint
            | Self::Decimal
            | Self::Double
            | Self::Boolean
            | Self::Date
            | Self::Json => {}
        }
        rule
    }
}

const ZONES: [&str; 2] = ["WITH TIME ZONE", "WITHOUT TIME ZONE"];

/// Words in capitals with one space between them.
fn words(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").to_ascii_uppercase()
}

/// `'a', 'b'`; a quote within is written twice.
fn quoted(text: &str) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut rest = text.trim();
    loop {
        rest = rest.strip_prefix('\'')?;
        let mut value = String::new();
        loop {
            let (before, after) = rest.split_once('\'')?;
            value.push_str(before);
            rest = after;
            match rest.strip_prefix('\'') {
                Some(after) => {
                    value.push('\'');
                    rest = after;
                }
                None => break,
            }
        }
        values.push(value);
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(values);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_table_is_read() {
        let text = |max_length| ColumnType::Text { max_length };
        for (written, read) in [
            ("UUID", ColumnType::Uuid),
            ("varchar(255)", text(Some(255))),
            ("VARCHAR", text(None)),
            ("character varying (7)", text(Some(7))),
            ("CHAR(2)", text(Some(2))),
            ("CHAR", text(Some(1))),
            ("TEXT", text(None)),
            ("INTEGER", ColumnType::Integer),
            ("int", ColumnType::Integer),
            ("BIGINT", ColumnType::Bigint),
            ("DECIMAL(10, 2)", ColumnType::Decimal),
            ("NUMERIC", ColumnType::Decimal),
            ("FLOAT", ColumnType::Double),
            ("double  precision", ColumnType::Double),
            ("BOOLEAN", ColumnType::Boolean),
            ("TIMESTAMP", ColumnType::Date),
            ("TIMESTAMP WITH TIME ZONE", ColumnType::Date),
            ("timestamp(3) without time zone", ColumnType::Date),
            ("DATE", ColumnType::Date),
            ("JSONB", ColumnType::Json),
        ] {
            assert_eq!(ColumnType::parse(written), Ok(read.clone()), "{written}");
            let items = Box::new(read);
            let array = ColumnType::Array { items };
            assert_eq!(ColumnType::parse(&format!("{written}[]")), Ok(array));
        }
        assert_eq!(
            ColumnType::parse("ENUM('a', 'it''s',  'c,d')"),
            ColumnType::of_values(vec!["a".into(), "it's".into(), "c,d".into()])
        );
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for written in [
            "",
            "SERIAL",
            "BLOB",
            "BYTEA",
            "MONEY",
            "POINT",
            "UUID(4)",
            "TEXT(3)",
            "VARCHAR(0)",
            "VARCHAR(-1)",
            "VARCHAR(x)",
            "VARCHAR(99999999999)",
            "VARCHAR(5",
            "VARCHAR(5); DROP TABLE users",
            "VARCHAR(5)) x",
            "INTEGER(3)",
            "DECIMAL(a)",
            "DECIMAL(1,2,3)",
            "TIMESTAMP(9)",
            "TIMESTAMP WITH A ZONE",
            "ENUM",
            "ENUM()",
            "ENUM(a)",
            "ENUM('a', 'a')",
            "ENUM('a'",
            "INTEGER[][][][][][]",
            "[]",
        ] {
            assert!(ColumnType::parse(written).is_err(), "{written}");
        }
    }
}
