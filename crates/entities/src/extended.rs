//! BSON as Extended JSON and back, in the order in which it is written: the first key of a command is its name,
//! and an index's keys have an order. Numbers keep their types: a whole one that fits is of 32 bits, whatever its
//! sign, unless it says `$numberLong`.

use std::fmt;

use bson::{Bson, Document};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};

/// What an object is that begins so.
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

/// JSON that keeps the order of its keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ordered {
    /// Anything but these.
    Plain(Value),
    Array(Vec<Ordered>),
    Object(Vec<(String, Ordered)>),
}

impl Ordered {
    /// The same, of which the order is not asked for.
    fn into_value(self) -> Value {
        match self {
            Self::Plain(value) => value,
            Self::Array(items) => items.into_iter().map(Self::into_value).collect(),
            Self::Object(fields) => {
                let fields = fields.into_iter();
                Value::Object(
                    fields
                        .map(|(key, value)| (key, value.into_value()))
                        .collect(),
                )
            }
        }
    }

    /// As BSON; `None` for what is no Extended JSON.
    fn into_bson(self) -> Option<Bson> {
        Some(match self {
            Self::Plain(Value::Number(number)) => match number.as_i64() {
                Some(whole) => i32::try_from(whole).map_or(Bson::Int64(whole), Bson::Int32),
                None => Bson::Double(number.as_f64()?),
            },
            Self::Plain(Value::String(text)) => Bson::String(text),
            Self::Plain(Value::Bool(flag)) => Bson::Boolean(flag),
            Self::Plain(_) => Bson::Null,
            Self::Array(items) => {
                let items = items.into_iter().map(Self::into_bson);
                Bson::Array(items.collect::<Option<_>>()?)
            }
            Self::Object(fields) => {
                if fields
                    .first()
                    .is_some_and(|(key, _)| TYPES.contains(&key.as_str()))
                {
                    return serde_json::from_value(Self::Object(fields).into_value()).ok();
                }
                let mut document = Document::new();
                for (key, value) in fields {
                    document.insert(key, value.into_bson()?);
                }
                Bson::Document(document)
            }
        })
    }

    /// As a document.
    pub(crate) fn into_document(self) -> Option<Document> {
        match self.into_bson()? {
            Bson::Document(document) => Some(document),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered::Plain(Value::Null))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Ordered, E> {
                Ok(Ordered::Plain(flag.into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Ordered, E> {
                Ok(Ordered::Plain(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Ordered, E> {
                Ok(Ordered::Plain(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Ordered, E> {
                let number = Number::from_f64(number).map_or(Value::Null, Value::Number);
                Ok(Ordered::Plain(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Ordered, E> {
                Ok(Ordered::Plain(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Ordered, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(Ordered::Array(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Ordered, A::Error> {
                let mut all = Vec::new();
                while let Some(field) = fields.next_entry()? {
                    all.push(field);
                }
                Ok(Ordered::Object(all))
            }
        }

        from.deserialize_any(Reader)
    }
}

/// A document as text, of which [`Ordered`] makes the same.
pub(crate) fn write_document(document: &Document, text: &mut String) {
    text.push('{');
    for (at, (key, value)) in document.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(key.as_str()).to_string());
        text.push(':');
        write_bson(value, text);
    }
    text.push('}');
}

fn write_bson(value: &Bson, text: &mut String) {
    match value {
        Bson::Document(document) => write_document(document, text),
        Bson::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write_bson(item, text);
            }
            text.push(']');
        }
        Bson::Int64(number) if i32::try_from(*number).is_ok() => {
            text.push_str(&format!("{{\"$numberLong\":\"{number}\"}}"));
        }
        other => {
            let other = serde_json::to_value(other).unwrap_or_default();
            text.push_str(&other.to_string());
        }
    }
}

/// A document for whoever reads JSON.
pub(crate) fn document_to_json(document: &Document) -> Value {
    let mut text = String::new();
    write_document(document, &mut text);
    serde_json::from_str(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bson::{DateTime, Decimal128, doc, oid::ObjectId};

    use super::*;

    fn read(text: &str) -> Option<Document> {
        serde_json::from_str::<Ordered>(text)
            .unwrap()
            .into_document()
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let decimal: Decimal128 = "1.50".parse().unwrap();
        let document = doc! {
            "zero": 0, "minus": -1, "long": -1_i64, "large": 1_i64 << 40, "half": 0.5, "one": 1.0,
            "at": DateTime::from_millis(1), "id": ObjectId::new(), "decimal": decimal,
            "none": Bson::Null, "many": [1, "a", { "$set": { "b": true, "a": 1 } }], "$inc": { "n": 1 },
        };
        let mut text = String::new();
        write_document(&document, &mut text);
        assert_eq!(read(&text).as_ref(), Some(&document));
        let keys = |document: &Document| document.keys().cloned().collect::<Vec<_>>();
        assert_eq!(read(&text).map(|read| keys(&read)), Some(keys(&document)));
    }

    #[test]
    fn what_is_no_extended_json_is_told() {
        for text in [
            r#"{"a": {"$oid": "x"}}"#,
            r#"{"a": {"$date": []}}"#,
            "[1]",
            "1",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
