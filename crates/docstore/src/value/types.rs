//! Type names and numbers (`$type`), and the brackets that comparisons stay within.

use bson::Bson;

use crate::{
    error::Result,
    value::{exact_i64, number::Number},
};

/// MongoDB's name of a value's type, as `$type` answers it.
pub fn type_name(value: &Bson) -> &'static str {
    match value {
        Bson::Double(_) => "double",
        Bson::String(_) => "string",
        Bson::Document(_) => "object",
        Bson::Array(_) => "array",
        Bson::Binary(_) => "binData",
        Bson::Undefined => "undefined",
        Bson::ObjectId(_) => "objectId",
        Bson::Boolean(_) => "bool",
        Bson::DateTime(_) => "date",
        Bson::Null => "null",
        Bson::RegularExpression(_) => "regex",
        Bson::DbPointer(_) => "dbPointer",
        Bson::JavaScriptCode(_) => "javascript",
        Bson::Symbol(_) => "symbol",
        Bson::JavaScriptCodeWithScope(_) => "javascriptWithScope",
        Bson::Int32(_) => "int",
        Bson::Timestamp(_) => "timestamp",
        Bson::Int64(_) => "long",
        Bson::Decimal128(_) => "decimal",
        Bson::MinKey => "minKey",
        Bson::MaxKey => "maxKey",
    }
}

/// BSON's number of a value's type; -1 is MinKey.
pub fn type_number(value: &Bson) -> i32 {
    match value {
        Bson::MinKey => -1,
        other => other.element_type() as u8 as i32,
    }
}

/// The rank of strings.
pub(super) const STRING_RANK: u8 = 15;

/// The place of a type in the canonical order. Types of equal rank compare with each other by value.
pub fn canonical_rank(value: &Bson) -> u8 {
    match value {
        Bson::MinKey => 1,
        Bson::Undefined => 2,
        Bson::Null => 5,
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => 10,
        Bson::String(_) | Bson::Symbol(_) => STRING_RANK,
        Bson::Document(_) => 20,
        Bson::Array(_) => 25,
        Bson::Binary(_) => 30,
        Bson::ObjectId(_) => 35,
        Bson::Boolean(_) => 40,
        Bson::DateTime(_) => 45,
        Bson::Timestamp(_) => 47,
        Bson::RegularExpression(_) => 50,
        Bson::DbPointer(_) => 55,
        Bson::JavaScriptCode(_) => 60,
        Bson::JavaScriptCodeWithScope(_) => 65,
        Bson::MaxKey => 127,
    }
}

/// Whether a range condition may compare the two.
pub fn same_bracket(a: &Bson, b: &Bson) -> bool {
    canonical_rank(a) == canonical_rank(b)
}

const TYPES: [(&str, i32); 21] = [
    ("double", 1),
    ("string", 2),
    ("object", 3),
    ("array", 4),
    ("binData", 5),
    ("undefined", 6),
    ("objectId", 7),
    ("bool", 8),
    ("date", 9),
    ("null", 10),
    ("regex", 11),
    ("dbPointer", 12),
    ("javascript", 13),
    ("symbol", 14),
    ("javascriptWithScope", 15),
    ("int", 16),
    ("timestamp", 17),
    ("long", 18),
    ("decimal", 19),
    ("minKey", -1),
    ("maxKey", 127),
];

const NUMERIC: [i32; 4] = [1, 16, 18, 19];

/// A set of BSON types, as `$type` and `bsonType` take it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeSet {
    numbers: Vec<i32>,
}

impl TypeSet {
    /// Parses one alias, one number, or an array of them. `what` names the operator in errors.
    pub fn parse(value: &Bson, what: &str) -> Result<Self> {
        let mut set = Self::default();
        match value {
            Bson::Array(items) if items.is_empty() => {
                crate::bail!(FailedToParse, "{what} must match at least one type")
            }
            Bson::Array(items) => {
                for item in items {
                    set.add(item, what)?;
                }
            }
            single => set.add(single, what)?,
        }
        Ok(set)
    }

    /// Adds a type by its alias; false where there is none of that name.
    pub fn add_alias(&mut self, alias: &str) -> bool {
        if alias == "number" {
            self.numbers.extend(NUMERIC);
            return true;
        }
        let found = TYPES.iter().find(|(name, _)| *name == alias);
        self.numbers.extend(found.map(|(_, number)| number));
        found.is_some()
    }

    fn add(&mut self, item: &Bson, what: &str) -> Result<()> {
        match item {
            Bson::String(alias) => {
                if !self.add_alias(alias) {
                    crate::bail!(BadValue, "Unknown type name alias: {alias}");
                }
            }
            number if Number::from_bson(number).is_some() => {
                let known = exact_i64(number)
                    .and_then(|n| i32::try_from(n).ok())
                    .filter(|n| TYPES.iter().any(|(_, known)| known == n));
                match known {
                    Some(n) => self.numbers.push(n),
                    None => crate::bail!(BadValue, "Invalid numerical type code: {number}"),
                }
            }
            _ => crate::bail!(
                TypeMismatch,
                "type must be represented as a number or a string ({what})"
            ),
        }
        Ok(())
    }

    /// Whether the value's type is in the set.
    pub fn contains(&self, value: &Bson) -> bool {
        self.numbers.contains(&type_number(value))
    }

    /// Whether arrays themselves are asked for.
    pub fn contains_array(&self) -> bool {
        self.numbers.contains(&4)
    }
}
