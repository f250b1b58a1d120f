//! BSON as Extended JSON and back. Numbers keep their types: a whole one that fits is of 32 bits, whatever its
//! sign, unless it says `$numberLong`.

use bson::{Bson, Document};
use serde_json::{Map, Value, json};

/// What an object is that has nothing else in it.
const TYPES: [&str; 14] = [
    "$oid",
    "$date",
    "$numberInt",
    "$numberLong",
    "$numberDouble",
    "$numberDecimal",
    "$uuid",
    "$binary",
    "$timestamp",
    "$regularExpression",
    "$minKey",
    "$maxKey",
    "$undefined",
    "$symbol",
];

/// JSON as BSON; `None` for what is no Extended JSON.
pub(crate) fn of_json(value: Value) -> Option<Bson> {
    Some(match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(flag),
        Value::String(text) => Bson::String(text),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => i32::try_from(whole).map_or(Bson::Int64(whole), Bson::Int32),
            None => Bson::Double(number.as_f64()?),
        },
        Value::Array(items) => Bson::Array(items.into_iter().map(of_json).collect::<Option<_>>()?),
        Value::Object(object) => {
            if object
                .keys()
                .next()
                .is_some_and(|key| TYPES.contains(&key.as_str()))
            {
                return serde_json::from_value(Value::Object(object)).ok();
            }
            let mut document = Document::new();
            for (key, value) in object {
                document.insert(key, of_json(value)?);
            }
            Bson::Document(document)
        }
    })
}

/// A document, of an object.
pub(crate) fn document_of(value: Value) -> Option<Document> {
    match of_json(value)? {
        Bson::Document(document) => Some(document),
        _ => None,
    }
}

/// BSON as JSON, of which [`of_json`] makes the same.
pub(crate) fn to_json(value: &Bson) -> Value {
    match value {
        Bson::Document(document) => document_to_json(document),
        Bson::Array(items) => Value::Array(items.iter().map(to_json).collect()),
        Bson::Int64(number) if i32::try_from(*number).is_ok() => {
            json!({ "$numberLong": number.to_string() })
        }
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}

/// As [`to_json`], of a document.
pub(crate) fn document_to_json(document: &Document) -> Value {
    let fields = document
        .iter()
        .map(|(key, value)| (key.clone(), to_json(value)));
    Value::Object(fields.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use bson::{DateTime, Decimal128, doc, oid::ObjectId};

    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let decimal: Decimal128 = "1.50".parse().unwrap();
        let document = doc! {
            "zero": 0, "minus": -1, "long": -1_i64, "large": 1_i64 << 40, "half": 0.5, "one": 1.0,
            "at": DateTime::from_millis(1), "id": ObjectId::new(), "decimal": decimal,
            "none": Bson::Null, "many": [1, "a", { "$set": { "a.b": true } }], "$inc": { "n": 1 },
        };
        let text = document_to_json(&document).to_string();
        let read = document_of(serde_json::from_str(&text).unwrap());
        assert_eq!(read, Some(document));
    }

    #[test]
    fn what_is_no_extended_json_is_told() {
        for value in [
            json!({ "$oid": "x" }),
            json!({ "$numberLong": 1, "more": 2 }),
            json!([{ "$date": [] }]),
        ] {
            assert_eq!(of_json(value.clone()), None, "{value}");
        }
        assert_eq!(document_of(json!([1])), None);
    }
}
