//! JSON Schemas as types of TypeScript. What is not understood is `unknown`; every name and text that comes
//! from a schema is quoted.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// Where the document has schemas.
const COMPONENTS: &str = "#/components/schemas/";

/// A module that is being written.
pub(super) struct Module<'a> {
    schemas: &'a Value,
    /// The type's name by that of its schema.
    names: HashMap<&'a str, String>,
    taken: HashSet<String>,
    /// Schemas whose types are still to be written.
    waiting: Vec<&'a str>,
    types: String,
    plugins: String,
}

impl<'a> Module<'a> {
    /// An empty one over the schemas of a document.
    pub(super) fn new(schemas: &'a Value) -> Self {
        Self {
            schemas,
            names: HashMap::new(),
            taken: HashSet::from(["Plugins".to_owned()]),
            waiting: Vec::new(),
            types: String::new(),
            plugins: String::new(),
        }
    }

    /// Adds the actions of a plugin.
    pub(super) fn add_plugin(&mut self, plugin: &str, actions: &'a [Value]) {
        let mut lines = String::new();
        for action in actions {
            let name = quoted(action["name"].as_str().unwrap_or_default());
            let input = self.type_of(&action["input"]);
            let result = self.type_of(&action["result"]);
            lines.push_str(&comment(&action["description"], "    "));
            lines.push_str(&format!(
                "    {name}: {{ input: {input}; result: {result} }};\n"
            ));
            self.write_waiting();
        }
        self.plugins
            .push_str(&format!("  {}: {{\n{lines}  }};\n", quoted(plugin)));
    }

    /// The whole module.
    pub(super) fn text(&self) -> String {
        format!(
            "// Made by `mozaiks plugin types`; made anew, not changed.\n\n{}\
             /** What actions take and give, by plugin: `new MozaiksClient<Plugins>(…)`. */\n\
             export type Plugins = {{\n{}}};\n",
            self.types, self.plugins
        )
    }

    fn write_waiting(&mut self) {
        while let Some(schema) = self.waiting.pop() {
            let written = self.type_of(&self.schemas[schema]);
            let about = comment(&self.schemas[schema]["description"], "");
            let name = &self.names[schema];
            self.types
                .push_str(&format!("{about}export type {name} = {written};\n\n"));
        }
    }

    fn type_of(&mut self, schema: &'a Value) -> String {
        let Some(schema) = schema.as_object() else {
            return "unknown".into();
        };
        if let Some(Value::String(reference)) = schema.get("$ref") {
            return self.reference(reference);
        }
        if let Some(value) = schema.get("const") {
            return literal(value);
        }
        if let Some(Value::Array(values)) = schema.get("enum") {
            return joined(values.iter().map(literal), " | ", "never");
        }
        for (key, sign) in [("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")] {
            if let Some(Value::Array(parts)) = schema.get(key) {
                let of_union = |written: String| match sign {
                    " & " if written.contains(" | ") => format!("({written})"),
                    _ => written,
                };
                let parts: Vec<_> = parts
                    .iter()
                    .map(|part| of_union(self.type_of(part)))
                    .collect();
                return joined(parts.into_iter(), sign, "unknown");
            }
        }
        match schema.get("type") {
            Some(Value::Array(kinds)) => {
                let kinds: Vec<_> = kinds
                    .iter()
                    .map(|kind| self.of_kind(kind, schema))
                    .collect();
                joined(kinds.into_iter(), " | ", "never")
            }
            Some(kind) => self.of_kind(kind, schema),
            None if schema.contains_key("properties") => self.object(schema),
            None => "unknown".into(),
        }
    }

    fn of_kind(&mut self, kind: &Value, schema: &'a Map<String, Value>) -> String {
        match kind.as_str().unwrap_or_default() {
            "string" => "string".into(),
            "integer" | "number" => "number".into(),
            "boolean" => "boolean".into(),
            "null" => "null".into(),
            "array" => self.array(schema),
            "object" => self.object(schema),
            _ => "unknown".into(),
        }
    }

    fn array(&mut self, schema: &'a Map<String, Value>) -> String {
        let item = |module: &mut Self| match schema.get("items") {
            Some(items) => module.type_of(items),
            None => "unknown".into(),
        };
        let Some(Value::Array(first)) = schema.get("prefixItems") else {
            return match schema.get("maxItems").and_then(Value::as_u64) {
                Some(0) => "[]".into(),
                _ => format!("Array<{}>", item(self)),
            };
        };
        let mut items: Vec<_> = first.iter().map(|part| self.type_of(part)).collect();
        if schema.get("maxItems").and_then(Value::as_u64) != Some(items.len() as u64) {
            items.push(format!("...{}[]", item(self)));
        }
        format!("[{}]", items.join(", "))
    }

    fn object(&mut self, schema: &'a Map<String, Value>) -> String {
        let further = match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(part) => Some(self.type_of(part)),
            None => Some("unknown".into()),
        };
        let empty = Map::new();
        let properties = match schema.get("properties") {
            Some(Value::Object(properties)) if !properties.is_empty() => properties,
            _ => {
                let further = further.unwrap_or_else(|| "never".into());
                return format!("{{ [name: string]: {further} }}");
            }
        };
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|wanted| wanted == name));
        let mut lines = String::new();
        for (name, part) in properties {
            let held = part.as_object().unwrap_or(&empty);
            lines.push_str(&comment(
                held.get("description").unwrap_or(&Value::Null),
                "  ",
            ));
            let mark = if is_required(name) { "" } else { "?" };
            let written = self.type_of(part);
            lines.push_str(&format!("  {}{mark}: {written};\n", quoted(name)));
        }
        // Names that are not listed must have a type that those which are have too.
        if schema.get("additionalProperties").is_some() && further.is_some() {
            lines.push_str("  [name: string]: unknown;\n");
        }
        format!("{{\n{lines}}}")
    }

    fn reference(&mut self, reference: &'a str) -> String {
        let name = reference.strip_prefix(COMPONENTS).unwrap_or_default();
        let Some((name, _)) = self
            .schemas
            .as_object()
            .and_then(|all| all.get_key_value(name))
        else {
            return "unknown".into();
        };
        if let Some(known) = self.names.get(name.as_str()) {
            return known.clone();
        }
        let free = self.free(name);
        self.names.insert(name, free.clone());
        self.waiting.push(name);
        free
    }

    /// A name for a type that no other has.
    fn free(&mut self, schema: &str) -> String {
        let words = schema.split(|sign: char| !sign.is_ascii_alphanumeric());
        let mut name: String = words.map(capitalised).collect();
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            name.insert(0, 'T');
        }
        let mut free = name.clone();
        let mut number = 1;
        while !self.taken.insert(free.clone()) {
            number += 1;
            free = format!("{name}_{number}");
        }
        free
    }
}

fn capitalised(word: &str) -> String {
    let mut signs = word.chars();
    match signs.next() {
        Some(first) => first.to_ascii_uppercase().to_string() + signs.as_str(),
        None => String::new(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn literal(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => "unknown".into(),
        scalar => scalar.to_string(),
    }
}

fn joined(parts: impl Iterator<Item = String>, sign: &str, nothing: &str) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for part in parts {
        if !distinct.contains(&part) {
            distinct.push(part);
        }
    }
    if distinct.is_empty() {
        return nothing.into();
    }
    distinct.join(sign)
}

fn comment(text: &Value, indent: &str) -> String {
    let Some(text) = text.as_str().filter(|text| !text.trim().is_empty()) else {
        return String::new();
    };
    let safe = text.trim().replace("*/", "*\\/");
    let lines: Vec<_> = safe.lines().map(str::trim_end).collect();
    format!("{indent}/** {} */\n", lines.join(&format!("\n{indent} * ")))
}
