//! `mozaiks plugin types`: the actions of a running gateway's plugins, as types for the JavaScript client.
//!
//! They come from `/openapi.json`, which is open to anyone: the gateway has read the signatures, so nothing of
//! a plugin runs here.

mod typescript;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use self::typescript::Module;
use super::super::{
    Failure, print,
    remote::{OpenRemoteArgs, printable},
};

/// Where the operations of plugins with actions are.
const PREFIX: &str = "/api/execute/";

#[derive(Debug, clap::Args)]
pub(super) struct TypesArgs {
    /// The plugins; all that have actions where none is named.
    names: Vec<String>,
    /// The file to write [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    remote: OpenRemoteArgs,
}

pub(super) fn run(args: &TypesArgs) -> Result<(), Failure> {
    let document = args.remote.connect()?.get("/openapi.json")?;
    let text = types(&document, &args.names).map_err(|reason| anyhow!(printable(&reason)))?;
    match &args.out {
        Some(path) => {
            let shown = path.display();
            fs::write(path, text).with_context(|| format!("cannot write {shown}"))?;
            Ok(print(&format!("wrote {shown}\n"))?)
        }
        None => Ok(print(&text)?),
    }
}

/// The module, or which plugin there is nothing to say of.
fn types(document: &Value, wanted: &[String]) -> Result<String, String> {
    let empty = serde_json::Map::new();
    let paths = document["paths"].as_object().unwrap_or(&empty);
    let mut plugins: Vec<(&str, &Vec<Value>)> = paths
        .iter()
        .filter_map(|(path, item)| {
            let name = path.strip_prefix(PREFIX)?;
            Some((name, item["post"]["x-actions"].as_array()?))
        })
        .collect();
    plugins.sort_unstable_by_key(|(name, _)| *name);
    for name in wanted {
        if !plugins.iter().any(|(found, _)| found == name) {
            let found: Vec<_> = plugins.iter().map(|(name, _)| *name).collect();
            let known = match found.as_slice() {
                [] => "no plugin has any".to_owned(),
                found => format!("these have: {}", found.join(", ")),
            };
            return Err(format!(
                "no plugin {name:?} with typed actions is active there; {known}"
            ));
        }
    }
    let mut module = Module::new(&document["components"]["schemas"]);
    for (name, actions) in plugins {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            module.add_plugin(name, actions);
        }
    }
    Ok(module.text())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
        json!({
            "paths": {
                "/api/execute/{plugin}": { "post": {} },
                "/api/execute/task-list": { "post": { "x-actions": [
                    {"name": "create", "description": "Makes one. */ evil()\nAnd more.",
                     "input": reference("t.create.input"), "result": reference("t.create.result")},
                    {"name": "Create", "input": reference("t.Create.input"), "result": {}},
                ] } },
                "/api/execute/other": { "post": { "x-actions": [
                    {"name": "a", "input": {}, "result": {}},
                ] } },
            },
            "components": { "schemas": {
                "t.create.input": {
                    "type": "object",
                    "required": ["action", "title", "tree"],
                    "additionalProperties": false,
                    "properties": {
                        "action": {"const": "create"},
                        "title": {"type": "string", "description": "what */ it is"},
                        "a-b\"": {"type": ["number", "string"]},
                        "due": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                        "tags": {"type": "array", "items": {"enum": ["x", 1, null]}},
                        "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {}]},
                        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
                        "tree": reference("t.create.input.Tree"),
                        "lost": reference("nowhere"),
                    },
                },
                "t.create.input.Tree": {"type": "object", "properties": {
                    "children": {"type": "array", "items": reference("t.create.input.Tree")},
                }, "additionalProperties": true},
                "t.create.result": {"allOf": [{"type": "boolean"}, true]},
                "t.Create.input": {"type": "object"},
            } },
        })
    }

    #[test]
    fn schemas_become_types() {
        let text = types(&document(), &["task-list".into()]).unwrap();
        for line in [
            "export type TCreateInput = {\n",
            "  \"action\": \"create\";\n",
            "  /** what *\\/ it is */\n  \"title\": string;\n",
            "  \"a-b\\\"\"?: number | string;\n",
            "  \"due\"?: string | null;\n",
            "  \"tags\"?: Array<\"x\" | 1 | null>;\n",
            "  \"pair\"?: [number, unknown, ...unknown[]];\n",
            "  \"counts\"?: { [name: string]: number };\n",
            "  \"tree\": TCreateInputTree;\n",
            "  \"lost\"?: unknown;\n",
            "export type TCreateInputTree = {\n  \"children\"?: Array<TCreateInputTree>;\n  [name: string]: unknown;\n};\n",
            "export type TCreateResult = boolean & unknown;\n",
            "export type TCreateInput_2 = { [name: string]: unknown };\n",
            "  \"task-list\": {\n",
            "    /** Makes one. *\\/ evil()\n     * And more. */\n    \"create\": { input: TCreateInput; result: TCreateResult };\n",
            "    \"Create\": { input: TCreateInput_2; result: unknown };\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("\"other\""), "{text}");
        assert!(types(&document(), &[]).unwrap().contains("\"other\""));
    }

    #[test]
    fn a_plugin_that_is_not_there_is_named() {
        let error = types(&document(), &["tasks".into()]).unwrap_err();
        assert!(
            error.contains("\"tasks\"") && error.contains("other, task-list"),
            "{error}"
        );
        let error = types(&json!({}), &["tasks".into()]).unwrap_err();
        assert!(error.contains("no plugin has any"), "{error}");
        assert!(types(&json!({}), &[]).unwrap().contains("Plugins = {\n};"));
    }
}
