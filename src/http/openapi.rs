//! What the routes are, for machines (`/openapi.json`) and people (`/docs`).
//!
//! Both are made once from [`OPERATIONS`]. A test compares that table with the route list and calls
//! every entry.

mod notifications;

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse};
use bytes::Bytes;
use http::header;
use serde_json::{Map, Value, json};

use self::notifications::NOTIFICATIONS;

/// Who may call an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Anyone,
    User,
    Admin,
}

/// One operation of one route.
struct Operation {
    method: &'static str,
    path: &'static str,
    who: Who,
    summary: &'static str,
    /// Statuses and what each means.
    answers: &'static [(&'static str, &'static str)],
}

/// What a handshake can come to.
const SOCKET_ANSWERS: &[(&str, &str)] = &[
    ("101", "A WebSocket."),
    ("401", "The credentials presented were not accepted."),
    (
        "403",
        "FORBIDDEN: another user's socket, or an origin that is not admitted; APP_MISMATCH.",
    ),
    ("426", "UPGRADE_REQUIRED: no WebSocket handshake."),
    ("503", "OVERLOADED: too many sockets wait for credentials."),
];

const OPERATIONS: &[Operation] = &[
    Operation {
        method: "post",
        path: "/api/execute/{plugin}",
        who: Who::User,
        summary: "Calls a plugin with a JSON object and answers the dict it returns.",
        answers: &[
            ("200", "The plugin's dict."),
            (
                "400",
                "INVALID_JSON, INVALID_REQUEST, or a domain failure of the plugin.",
            ),
            (
                "401",
                "AUTH_REQUIRED, AUTH_INVALID, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_NOT_YET_VALID, TOKEN_TOO_LARGE.",
            ),
            ("403", "APP_MISMATCH, FORBIDDEN, FEATURE_GATED."),
            (
                "404",
                "PLUGIN_NOT_FOUND, PLUGIN_DISABLED, or a domain failure NOT_FOUND.",
            ),
            ("408", "REQUEST_TIMEOUT: the body did not arrive in time."),
            ("409", "A domain failure CONFLICT."),
            ("413", "PAYLOAD_TOO_LARGE."),
            ("415", "UNSUPPORTED_MEDIA_TYPE, UNSUPPORTED_ENCODING."),
            ("422", "A domain failure VALIDATION_ERROR."),
            ("429", "A domain failure LIMIT_EXCEEDED."),
            (
                "500",
                "PLUGIN_ERROR, PLUGIN_BAD_RESULT, OUTPUT_NOT_SERIALIZABLE, OUTPUT_TOO_LARGE, INTERNAL_ERROR.",
            ),
            (
                "503",
                "OVERLOADED (with Retry-After), PLUGIN_UNAVAILABLE, DATABASE_UNAVAILABLE.",
            ),
            ("504", "PLUGIN_TIMEOUT."),
            ("507", "STORAGE_FULL."),
        ],
    },
    Operation {
        method: "get",
        path: "/api/plugins",
        who: Who::User,
        summary: "Lists the plugins and the state of each.",
        answers: &[("200", "The plugins."), ("401", "Not authenticated.")],
    },
    Operation {
        method: "get",
        path: "/api/plugins/{name}",
        who: Who::User,
        summary: "Describes one plugin.",
        answers: &[
            ("200", "The plugin."),
            ("401", "Not authenticated."),
            ("404", "PLUGIN_NOT_FOUND."),
        ],
    },
    Operation {
        method: "get",
        path: "/ws",
        who: Who::User,
        summary: "Opens a WebSocket of the token's user.",
        answers: SOCKET_ANSWERS,
    },
    Operation {
        method: "get",
        path: "/ws/notifications/{user_id}",
        who: Who::User,
        summary: "Opens a WebSocket of the user named, who is the token's unless a superadmin asks.",
        answers: SOCKET_ANSWERS,
    },
    Operation {
        method: "get",
        path: "/api/stream",
        who: Who::User,
        summary: "The user's messages as server-sent events; `Last-Event-ID` resumes.",
        answers: &[
            ("200", "A stream of events that does not end by itself."),
            ("401", "Not authenticated."),
            ("429", "LIMIT_EXCEEDED: the user has too many connections."),
        ],
    },
    Operation {
        method: "post",
        path: "/api/ws/ticket",
        who: Who::User,
        summary: "A credential for one connection: `{ticket, expires_in}`, for `?ticket=`.",
        answers: &[
            ("200", "The ticket."),
            ("401", "Not authenticated."),
            ("429", "LIMIT_EXCEEDED: too many tickets are open."),
        ],
    },
];

const REST: &[Operation] = &[
    Operation {
        method: "get",
        path: "/health",
        who: Who::Anyone,
        summary: "Whether the process is alive.",
        answers: &[("200", "It is.")],
    },
    Operation {
        method: "get",
        path: "/ready",
        who: Who::Anyone,
        summary: "Whether calls are taken.",
        answers: &[
            ("200", "They are."),
            ("503", "Not yet (starting), or no longer (draining)."),
        ],
    },
    Operation {
        method: "get",
        path: "/metrics",
        who: Who::Anyone,
        summary: "Counters in Prometheus' text format.",
        answers: &[("200", "The counters.")],
    },
    Operation {
        method: "get",
        path: "/openapi.json",
        who: Who::Anyone,
        summary: "This description.",
        answers: &[("200", "OpenAPI 3.1.")],
    },
    Operation {
        method: "get",
        path: "/docs",
        who: Who::Anyone,
        summary: "This description, for people.",
        answers: &[("200", "A page.")],
    },
];

/// All of them, in the order of the documentation.
fn operations() -> impl Iterator<Item = &'static Operation> {
    [OPERATIONS, NOTIFICATIONS, REST].into_iter().flatten()
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());
static PAGE: LazyLock<String> = LazyLock::new(page);

/// `GET /openapi.json`
pub(super) async fn get_openapi() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        DOCUMENT.clone(),
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
