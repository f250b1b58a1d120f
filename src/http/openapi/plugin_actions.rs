//! The typed actions of plugins in `/openapi.json`: for each plugin one operation with its actions as
//! alternatives, and for each action its schemas.

use serde_json::{Map, Value, json};

use super::plugin_paths::error;
use mozaiks_plugins::actions::{Action, Actions};

/// Where the document has schemas.
const COMPONENTS: &str = "#/components/schemas/";

/// Adds what answers a plugin's calls.
pub(super) fn add_actions(document: &mut Value, plugin: &str, actions: &Actions) {
    let mut schemas = Map::new();
    let described: Vec<Described<'_>> = actions
        .list()
        .iter()
        .map(|action| Described {
            action,
            input: add(
                &mut schemas,
                document,
                &name(plugin, action, "input"),
                &action.input,
            ),
            result: add(
                &mut schemas,
                document,
                &name(plugin, action, "result"),
                &action.result,
            ),
        })
        .collect();
    document["paths"][format!("/api/execute/{plugin}")] =
        json!({ "post": operation(plugin, actions, &described) });
    if let Some(components) = document["components"]["schemas"].as_object_mut() {
        components.extend(schemas);
    }
}

/// An action with the names of its schemas.
struct Described<'a> {
    action: &'a Action,
    input: String,
    result: String,
}

fn operation(plugin: &str, actions: &Actions, described: &[Described<'_>]) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("{COMPONENTS}{name}") });
    let mut inputs: Vec<Value> = described
        .iter()
        .map(|each| reference(&each.input))
        .collect();
    let mut results: Vec<Value> = described
        .iter()
        .map(|each| reference(&each.result))
        .collect();
    let mapping: Map<String, Value> = described
        .iter()
        .map(|each| {
            (
                each.action.name.to_string(),
                format!("{COMPONENTS}{}", each.input).into(),
            )
        })
        .collect();
    let input = if actions.has_execute() {
        // What names no action is `execute`'s, which says nothing of what it takes.
        let anything = json!({ "type": "object", "additionalProperties": true });
        inputs.push(anything.clone());
        results.push(anything);
        json!({ "anyOf": inputs })
    } else {
        let discriminator = json!({ "propertyName": "action", "mapping": mapping });
        json!({ "oneOf": inputs, "discriminator": discriminator })
    };
    let listed: Vec<Value> = described
        .iter()
        .map(|each| {
            let mut listed = json!({
                "name": each.action.name,
                "input": reference(&each.input),
                "result": reference(&each.result),
            });
            if let Some(description) = &each.action.description {
                listed["description"] = description.as_str().into();
            }
            listed
        })
        .collect();
    let answer = json!({ "application/json": { "schema": { "anyOf": results } } });
    json!({
        "operationId": format!("execute_{plugin}"),
        "tags": [plugin],
        "summary": format!("Calls an action of the plugin {plugin}."),
        "security": [{ "bearer": [] }],
        "x-actions": listed,
        "requestBody": {
            "required": !actions.has_execute(),
            "content": { "application/json": { "schema": input } },
        },
        "responses": {
            "200": { "description": "What the action answers.", "content": answer },
            "401": error("Not authenticated."),
            "422": error("VALIDATION_ERROR: the input does not fit its action; `details.path`."),
            "default": error("A failure of the plugin, or any other."),
        },
    })
}

fn name(plugin: &str, action: &Action, part: &str) -> String {
    format!("{plugin}.{}.{part}", action.name.replace(':', "_"))
}

/// Puts a schema and what it defines among those of the document; gives its name.
fn add(schemas: &mut Map<String, Value>, document: &Value, name: &str, schema: &Value) -> String {
    let known = &document["components"]["schemas"];
    let mut free = name.to_owned();
    let mut number = 1;
    // `a:b` and `a_b` have one name here.
    while schemas.contains_key(&free) || known.get(&free).is_some() {
        number += 1;
        free = format!("{name}_{number}");
    }
    let mut schema = schema.clone();
    let definitions = schema
        .as_object_mut()
        .and_then(|schema| schema.remove("$defs"));
    let within = |mut schema: Value| {
        refer(&mut schema, &free);
        schema
    };
    if let Some(Value::Object(definitions)) = definitions {
        for (key, definition) in definitions {
            schemas.insert(format!("{free}.{}", component(&key)), within(definition));
        }
    }
    let whole = within(schema);
    schemas.insert(free.clone(), whole);
    free
}

/// A definition's name with the signs that one of a document may have.
fn component(name: &str) -> String {
    let sign = |sign: char| match sign {
        sign if sign.is_ascii_alphanumeric() => sign,
        '-' | '_' | '.' => sign,
        _ => '_',
    };
    name.chars().map(sign).collect()
}

/// Makes references to a schema's own definitions references into the document.
fn refer(schema: &mut Value, within: &str) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| refer(item, within)),
        Value::Object(parts) => {
            for (key, part) in parts {
                if matches!(&**key, "const" | "enum" | "default" | "examples") {
                    continue;
                }
                match part {
                    Value::String(reference) if key == "$ref" => {
                        if let Some(name) = reference.strip_prefix("#/$defs/") {
                            *reference = format!("{COMPONENTS}{within}.{}", component(name));
                        }
                    }
                    part => refer(part, within),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use mozaiks_plugins::actions::DeclaredAction;

    use super::*;

    #[test]
    fn schemas_keep_their_definitions_apart() {
        let declared = |name: &str, kind: &str| {
            DeclaredAction {
            name: name.into(),
            description: None,
            input: json!({
                "type": "object",
                "properties": { "line": { "$ref": "#/$defs/Line" }, "$ref": { "const": "#/$defs/Line" } },
                "default": { "$ref": "#/$defs/Line" },
                "$defs": { "Line": { "type": kind } },
            })
            .to_string(),
            result: "{}".into(),
        }
        };
        let declared = [declared("a:b", "string"), declared("a_b", "integer")];
        let actions = Actions::of(&declared, false).unwrap();
        let mut document = json!({ "paths": {}, "components": { "schemas": { "Error": {} } } });
        add_actions(&mut document, "shop", &actions);
        let schemas = &document["components"]["schemas"];
        for (name, kind) in [
            ("shop.a_b.input", "string"),
            ("shop.a_b.input_2", "integer"),
        ] {
            let schema = &schemas[name];
            let reference = format!("{COMPONENTS}{name}.Line");
            assert_eq!(schema["properties"]["line"]["$ref"], *reference);
            assert_eq!(schema["properties"]["$ref"]["const"], "#/$defs/Line");
            assert_eq!(schema["default"]["$ref"], "#/$defs/Line");
            assert_eq!(schemas[&format!("{name}.Line")]["type"], kind);
        }
        let body = &document["paths"]["/api/execute/shop"]["post"]["requestBody"];
        let schema = &body["content"]["application/json"]["schema"];
        assert_eq!(schema["oneOf"].as_array().unwrap().len(), 2);
        assert_eq!(
            schema["discriminator"]["mapping"]["a_b"],
            format!("{COMPONENTS}shop.a_b.input_2")
        );
    }
}
