//! What the routes are, for machines (`/openapi.json`) and people (`/docs`).
//!
//! Both are made once from the [`routes`](super::routes); what plugins have is added as it is now, to the page
//! by its script, which reads the document.

mod plugin_actions;
mod plugin_paths;

use std::sync::LazyLock;

use axum::{
    extract::State,
    response::{Html, IntoResponse as _},
};
use bytes::Bytes;
use http::header;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

pub use self::plugin_paths::PluginDocument;
use super::{
    routes::{Operation, Who, operations},
    state::AppState,
    typed::{Description, Document, Page, Script},
};

/// Makes forms of the actions that the document lists.
const SCRIPT: &str = include_str!("openapi/docs.js");
/// The page runs its own script, which reaches its own gateway.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());
static PAGE: LazyLock<String> = LazyLock::new(page);

/// `GET /openapi.json`
pub(super) async fn get_openapi(State(AppState(app)): State<AppState>) -> Document {
    Document(app.plugin_document.of(&app, &DOCUMENT))
}

/// `GET /docs`: one page, whole without its script.
pub(super) async fn get_docs() -> Page {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Page((headers, Html(PAGE.as_str())).into_response())
}

/// `GET /docs/actions.js`
pub(super) async fn get_docs_script() -> Script {
    Script(SCRIPT)
}

/// The body of every error.
#[derive(JsonSchema)]
#[schemars(rename = "Error")]
#[expect(
    dead_code,
    reason = "written by hand on the way out, so that no error can fail"
)]
struct ErrorBody {
    /// One sentence.
    error: String,
    error_code: String,
    request_id: String,
    #[schemars(skip_serializing_if = "Option::is_none")]
    details: Option<Map<String, Value>>,
}

fn document() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        })
    };
    let mut taken = settings().into_generator();
    let mut given = settings().for_serialize().into_generator();
    let error = given.subschema_for::<ErrorBody>().to_value();
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths
            // What stands for the rest of a path is a parameter like others.
            .entry(operation.path.replace("{*", "{"))
            .or_insert_with(|| Value::Object(Map::new()));
        path[operation.method] = describe(operation, &mut taken, &mut given, &error);
    }
    let mut schemas = taken.take_definitions(true);
    schemas.extend(given.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mozaiks-gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Runs Python plugins for apps behind verified identity.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
            "schemas": schemas,
        },
    })
}

fn describe(
    operation: &Operation,
    taken: &mut SchemaGenerator,
    given: &mut SchemaGenerator,
    error: &Value,
) -> Value {
    let mut description = Description {
        taken,
        given,
        query: None,
        body: None,
        answer: None,
    };
    (operation.handler.describe)(&mut description);
    let Description {
        query,
        body,
        answer,
        ..
    } = description;
    let mut responses = Map::new();
    for (status, meaning) in operation.answers {
        let is_good = status.starts_with('2') || operation.path == "/ready";
        let mut response = json!({ "description": meaning });
        let content = match &answer {
            Some((media_type, schema)) if is_good => Some((*media_type, schema.clone().to_value())),
            _ if is_good || *status == "101" => None,
            _ => Some(("application/json", error.clone())),
        };
        if let Some((media_type, schema)) = content {
            response["content"] = json!({ media_type: { "schema": schema } });
        }
        responses.insert((*status).into(), response);
    }
    let mut parameters: Vec<_> = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let name = name.trim_start_matches('*');
            let schema = match name {
                "user_id" | "id" | "part" | "row" | "path" | "key" | "file" | "event_name"
                | "hook_name" | "widget_id" | "page" | "checksum" => json!({ "type": "string" }),
                _ => json!({ "type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$" }),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    let query = query.map(|schema| schema.to_value()).unwrap_or_default();
    for (name, schema) in query["properties"].as_object().into_iter().flatten() {
        parameters.push(json!({ "name": name, "in": "query", "schema": schema }));
    }
    let mut described = json!({
        "operationId": operation_id(operation),
        "summary": operation.summary,
        "responses": responses,
    });
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if operation.who != Who::Anyone {
        described["security"] = json!([{ "bearer": [] }]);
    }
    if let Some(schema) = body {
        described["requestBody"] = json!({
            "content": { "application/json": { "schema": schema.to_value() } },
        });
    }
    described
}

fn operation_id(operation: &Operation) -> String {
    let words: Vec<_> = operation
        .path
        .split(['/', '.', '{', '}', '*'])
        .filter(|word| !word.is_empty())
        .collect();
    format!("{}_{}", operation.method, words.join("_"))
}

fn page() -> String {
    let mut rows = String::new();
    for operation in operations() {
        let answers: Vec<_> = operation
            .answers
            .iter()
            .map(|(status, meaning)| format!("<b>{status}</b> {meaning}"))
            .collect();
        let who = match operation.who {
            Who::Anyone => "anyone",
            Who::User => "a verified user",
            Who::Admin => "an admin",
        };
        rows.push_str(&format!(
            "<section><h2><code>{} {}</code></h2><p>{} For {who}.</p><p>{}</p></section>\n",
            operation.method.to_uppercase(),
            operation.path.replace("{*", "{"),
            operation.summary,
            answers.join("<br>"),
        ));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>mozaiks-gateway</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;\
         padding:0 1rem}}h2{{font-size:1.1rem;border-top:1px solid #ccc;padding-top:1rem}}\
         form label{{display:block;margin:.6rem 0}}form small{{color:#666;display:block}}\
         form input:not([type=checkbox]),select,textarea{{display:block;width:100%;box-sizing:border-box;\
         font:inherit;padding:.3rem}}textarea{{font-family:monospace}}button{{font:inherit;padding:.3rem 1rem}}\
         pre{{background:#f4f4f4;color:#111;padding:.6rem;overflow:auto;max-height:24rem}}\
         [aria-invalid=true]{{outline:2px solid #b00}}summary{{cursor:pointer}}\
         </style><script type=\"module\" src=\"docs/actions.js\"></script></head><body>\n\
         <h1>mozaiks-gateway {}</h1>\n\
         <p>Send <code>Authorization: Bearer &lt;jwt&gt;</code>. Errors have the body \
         <code>{{\"error\", \"error_code\", \"request_id\"}}</code>. For machines: \
         <a href=\"/openapi.json\">/openapi.json</a>.</p>\n<div id=\"actions\"></div>{rows}</body></html>\n",
        env!("CARGO_PKG_VERSION"),
    )
}
