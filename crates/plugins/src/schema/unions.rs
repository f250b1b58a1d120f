//! Schemas whose refusals cost no more than a client's value is large.
//!
//! Whether a value fits is remembered by the library for each part of it. Why it does not is not: of a union
//! it collects what is wrong with the value for each of its types, and where those hold the union again that
//! doubles with each level of the value. So unions that are large when written out say no more than that
//! nothing of them fits.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// Parts that a union may have, written out, to be looked into.
const MAX_PARTS: u64 = 500;

/// A schema that fits what the given one does, and whose refusals are cheap.
pub(crate) fn cheap_to_refuse(schema: &Value) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_unions_say_what_is_wrong_and_large_ones_that_nothing_fits() {
        let small = json!({"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}});
        assert_eq!(cheap_to_refuse(&small), small);
        let data = json!({"const": {"anyOf": [{"$ref": "#"}]}});
        assert_eq!(cheap_to_refuse(&data), data);
        let itself = json!({"anyOf": [{"type": "null"}, {"items": {"$ref": "#/$defs/A"}}]});
        let schema = json!({"$ref": "#/$defs/A", "$defs": {"A": itself}, "allOf": [true]});
        let cheap = cheap_to_refuse(&schema);
        assert_eq!(cheap["allOf"], json!([true]));
        assert_eq!(
            cheap["$defs"]["A"],
            json!({"allOf": [{"not": {"not": itself}}]})
        );
        // Also where it leads out of what is known, or only seems small.
        for reference in ["#", "#/definitions/A", "other.json"] {
            let schema = json!({"oneOf": [{"$ref": reference}]});
            assert!(
                cheap_to_refuse(&schema).get("oneOf").is_none(),
                "{reference}"
            );
        }
        let level = |below: &str| json!({"anyOf": [{"$ref": below}, {"items": {"$ref": below}}]});
        let mut definitions: Map<String, Value> = (1..20)
            .map(|at| (format!("L{at}"), level(&format!("#/$defs/L{}", at - 1))))
            .collect();
        definitions.insert("L0".into(), json!({"type": "string"}));
        let cheap = cheap_to_refuse(&json!({"$ref": "#/$defs/L19", "$defs": definitions}));
        assert!(cheap["$defs"]["L19"].get("anyOf").is_none());
        assert!(cheap["$defs"]["L2"].get("anyOf").is_some());
    }
}
