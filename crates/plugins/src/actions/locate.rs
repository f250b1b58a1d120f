//! Where a value does not fit, at a cost that a client cannot drive up.
//!
//! Whether a value fits is remembered by the library for each part of it. Why it does not is not: of a union
//! it collects what is wrong with the value for each of its types, and where those hold the union again that
//! doubles with each level of the value. So unions that are large when written out say no more than that
//! nothing of them fits.

use std::collections::HashMap;

use jsonschema::{Validator, error::ValidationErrorKind};
use serde_json::{Map, Value, json};

use crate::schema::Misfit;

/// Parts that a union may have, written out, to be looked into.
const MAX_PARTS: u64 = 500;
/// Longest message, in characters.
const MAX_MESSAGE: usize = 300;
/// Longest place, in bytes.
const MAX_PATH: usize = 1000;

/// A schema that fits what the given one does, and whose refusals are cheap.
pub(super) fn cheap_to_refuse(schema: &Value) -> Value {
    let empty = Map::new();
    let definitions = schema["$defs"].as_object().unwrap_or(&empty);
    let mut weights = Weights {
        definitions,
        known: HashMap::new(),
    };
    rewritten(schema, &mut weights)
}

fn rewritten(schema: &Value, weights: &mut Weights<'_>) -> Value {
    let parts = match schema {
        Value::Array(items) => {
            return items.iter().map(|item| rewritten(item, weights)).collect();
        }
        Value::Object(parts) => parts,
        other => return other.clone(),
    };
    let mut cheap = Map::new();
    let mut closed = Vec::new();
    for (key, part) in parts {
        let is_union = matches!(&**key, "anyOf" | "oneOf") && part.is_array();
        if is_union && weights.of(part) > MAX_PARTS {
            closed.push(json!({ "not": { "not": { key: part } } }));
        } else if is_data(key) {
            cheap.insert(key.clone(), part.clone());
        } else {
            cheap.insert(key.clone(), rewritten(part, weights));
        }
    }
    if !closed.is_empty() {
        let all = cheap.entry("allOf").or_insert_with(|| json!([]));
        if let Value::Array(all) = all {
            all.extend(closed);
        }
    }
    Value::Object(cheap)
}

/// What holds values, and no schemas.
fn is_data(key: &str) -> bool {
    matches!(key, "const" | "enum" | "default" | "examples")
}

/// How many parts schemas have when their references are written out.
struct Weights<'a> {
    definitions: &'a Map<String, Value>,
    /// By definition; what is being counted weighs more than anything.
    known: HashMap<&'a str, u64>,
}

impl<'a> Weights<'a> {
    fn of(&mut self, schema: &Value) -> u64 {
        match schema {
            Value::Array(items) => {
                let sum = |sum: u64, item| sum.saturating_add(self.of(item));
                items.iter().fold(0, sum)
            }
            Value::Object(parts) => {
                let mut sum: u64 = 1;
                for (key, part) in parts {
                    let weight = match part.as_str() {
                        Some(reference) if key.ends_with("$ref") || key == "$dynamicRef" => {
                            self.of_reference(reference)
                        }
                        _ if is_data(key) => 0,
                        _ => self.of(part),
                    };
                    sum = sum.saturating_add(weight);
                }
                sum
            }
            _ => 0,
        }
    }

    fn of_reference(&mut self, reference: &str) -> u64 {
        let name = reference.strip_prefix("#/$defs/").unwrap_or_default();
        let Some((name, definition)) = self.definitions.get_key_value(name) else {
            // Somewhere else: it may lead back.
            return u64::MAX;
        };
        if let Some(known) = self.known.get(name.as_str()) {
            return *known;
        }
        self.known.insert(name, u64::MAX);
        let weight = self.of(definition);
        self.known.insert(name, weight);
        weight
    }
}

/// The first thing that does not fit in a value that does not fit.
pub(super) fn misfit(validator: &Validator, value: &Value) -> Misfit {
    let Err(error) = validator.validate(value) else {
        return Misfit {
            path: String::new(),
            message: "it does not fit the schema".into(),
        };
    };
    let mut path = error.instance_path().to_string();
    let message = match error.kind() {
        ValidationErrorKind::Required { property } => {
            step(&mut path, property.as_str().unwrap_or_default());
            "it is missing".to_owned()
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            step(&mut path, unexpected.first().map_or("", |name| name));
            "it is not known here".to_owned()
        }
        ValidationErrorKind::Not { .. } => "it is nothing of what may stand here".to_owned(),
        // Without the value, which may be large and is the client's own.
        _ => error.masked().to_string(),
    };
    Misfit {
        path: cut(path, MAX_PATH),
        message: cut(message, MAX_MESSAGE),
    }
}

fn step(path: &mut String, name: &str) {
    path.push('/');
    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}
