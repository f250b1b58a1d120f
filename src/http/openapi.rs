//! What the routes are, for machines (`/openapi.json`) and people (`/docs`).
//!
//! Both are made once from the [`routes`](super::routes); the routes of plugins are added as they are now.

mod plugin_paths;

use std::sync::LazyLock;

use axum::{
    extract::State,
    response::{Html, IntoResponse},
};
use bytes::Bytes;
use http::header;
use serde_json::{Map, Value, json};

pub use self::plugin_paths::PluginDocument;
use super::{
    routes::{Operation, Who, operations},
    state::AppState,
};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());
static PAGE: LazyLock<String> = LazyLock::new(page);

/// `GET /openapi.json`
pub(super) async fn get_openapi(State(AppState(app)): State<AppState>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        app.plugin_document.of(&app, &DOCUMENT),
    )
}

/// `GET /docs`: one page that needs nothing else and runs nothing.
pub(super) async fn get_docs() -> impl IntoResponse {
    (
        [(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        )],
        Html(PAGE.as_str()),
    )
}

fn document() -> Value {
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths
            .entry(operation.path)
            .or_insert_with(|| Value::Object(Map::new()));
        path[operation.method] = describe(operation);
    }
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
            "schemas": { "Error": error_schema(), "Plugin": plugin_schema() },
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for (status, meaning) in operation.answers {
        let mut response = json!({ "description": meaning });
        if let Some(content) = content_of(operation, status) {
            response["content"] = content;
        }
        responses.insert((*status).into(), response);
    }
    let parameters: Vec<_> = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let schema = match name {
                "user_id" | "id" => json!({ "type": "string" }),
                _ => json!({ "type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$" }),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
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
    if matches!(operation.method, "post" | "put") {
        described["requestBody"] = json!({
            "content": { "application/json": { "schema": { "type": "object" } } },
        });
    }
    described
}

fn content_of(operation: &Operation, status: &str) -> Option<Value> {
    let schema = match (operation.path, status) {
        ("/metrics" | "/docs", _) | (_, "101") | ("/api/stream", "200") => return None,
        ("/api/plugins/{name}", "200") => json!({ "$ref": "#/components/schemas/Plugin" }),
        ("/api/plugins", "200") => json!({
            "type": "object",
            "required": ["plugins", "count"],
            "properties": {
                "plugins": { "type": "array", "items": { "$ref": "#/components/schemas/Plugin" } },
                "count": { "type": "integer" },
            },
        }),
        (_, "200") | ("/ready", _) => json!({ "type": "object" }),
        _ => json!({ "$ref": "#/components/schemas/Error" }),
    };
    Some(json!({ "application/json": { "schema": schema } }))
}

fn operation_id(operation: &Operation) -> String {
    let words: Vec<_> = operation
        .path
        .split(['/', '.', '{', '}'])
        .filter(|word| !word.is_empty())
        .collect();
    format!("{}_{}", operation.method, words.join("_"))
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error", "error_code", "request_id"],
        "properties": {
            "error": { "type": "string", "description": "One sentence." },
            "error_code": { "type": "string" },
            "request_id": { "type": "string" },
            "details": { "type": "object" },
        },
    })
}

fn plugin_schema() -> Value {
    json!({
        "type": "object",
        "required": ["name", "display_name", "version", "description", "enabled", "status"],
        "properties": {
            "name": { "type": "string" },
            "display_name": { "type": "string" },
            "version": { "type": "string" },
            "description": { "type": ["string", "null"] },
            "enabled": { "type": "boolean" },
            "status": { "enum": ["loading", "active", "disabled", "error"] },
            "error": { "type": "string", "description": "To admins only." },
        },
    })
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
            operation.path,
            operation.summary,
            answers.join("<br>"),
        ));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>mozaiks-gateway</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;\
         padding:0 1rem}}h2{{font-size:1.1rem;border-top:1px solid #ccc;padding-top:1rem}}\
         </style></head><body>\n<h1>mozaiks-gateway {}</h1>\n\
         <p>Send <code>Authorization: Bearer &lt;jwt&gt;</code>. Errors have the body \
         <code>{{\"error\", \"error_code\", \"request_id\"}}</code>. For machines: \
         <a href=\"/openapi.json\">/openapi.json</a>.</p>\n{rows}</body></html>\n",
        env!("CARGO_PKG_VERSION"),
    )
}
