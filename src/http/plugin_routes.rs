//! Requests to the routes of plugins, `/api/plugins/{name}/…`: who may, how often, with what; and the
//! answer, which may come in pieces.

use std::{collections::BTreeMap, sync::Arc};

use axum::body::Body;
use base64::Engine as _;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    body::{BodyLimits, GatewayBody, read_body},
    error::{ApiError, domain_status},
    exchange::Exchange,
    execute::{refusal, starting_or_draining},
    identify::authenticate,
    request_body::RequestBody,
    state::App,
};
use mozaiks_auth::Principal;
use mozaiks_plugins::{
    CallKind, CallReply, HostError, Input, Target,
    dispatch::Call,
    names::{RESERVED_NAMES, RESERVED_SEGMENTS},
    registry::PluginState,
    routes::{Lookup, Matched, Route},
};

/// Where routes of plugins begin.
const PREFIX: &str = "/api/plugins/";

/// Nesting of bodies.
const MAX_DEPTH: usize = 64;

/// Headers that belong to the connection or to the gateway, and are no plugin's to set.
const REFUSED_HEADERS: [&str; 13] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-content-type-options",
    "x-request-id",
    "content-security-policy",
];

/// What browsers take for a page, and would run on the gateway's origin.
const ACTIVE_TYPES: [&str; 4] = [
    "text/html",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/xml",
];

/// The plugin and the path below it, where a path is a plugin's route and not the gateway's own.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(PREFIX)?;
    let slash = rest.find('/')?;
    let (name, below) = rest.split_at(slash);
    let first = below[1..].split('/').next().unwrap_or_default();
    let is_ours = RESERVED_NAMES.contains(&name) || RESERVED_SEGMENTS.contains(&first);
    (!is_ours).then_some((name, below))
}

/// Answers a request to a route of a plugin.
pub(super) async fn serve(
    app: &Arc<App>,
    exchange: &mut Exchange<'_>,
    request: Request<RequestBody>,
) -> Result<Response<GatewayBody>, ApiError> {
    let (head, body) = request.into_parts();
    let (name, below) = split(head.uri.path()).ok_or(ApiError::NotFound)?;
    starting_or_draining(app)?;
    let plugin = app.registry.find(name).ok_or(ApiError::PluginNotFound)?;
    exchange.plugin = Some(Arc::clone(&plugin.name));
    let matched = match plugin.state() {
        PluginState::Active(generation) => {
            let routes = app.plugin_routes.of(generation.id());
            routes.map(|routes| routes.find(head.method.as_str(), below))
        }
        PluginState::Disabled => return Err(ApiError::PluginDisabled),
        PluginState::Loading | PluginState::Failed(_) => {
            let principal = authenticate(app, &head.headers).await?;
            let error = app.dispatcher.check(&plugin, &principal.app_id);
            let error = error.map_err(|error| refusal(app, &plugin.name, error, Some(&principal)));
            return Err(error.err().unwrap_or(ApiError::NotFound));
        }
    };
    let Matched { route, params } = match matched {
        Some(Lookup::Found(matched)) => matched,
        Some(Lookup::OtherMethods(methods)) => {
            // Names of methods are letters.
            let allow = HeaderValue::from_str(&methods.join(", "));
            return Err(ApiError::MethodNotAllowed {
                allow: allow.unwrap_or(HeaderValue::from_static("")),
            });
        }
        Some(Lookup::Unknown) | None => return Err(ApiError::NotFound),
    };
    let principal = identify(app, &route, &head.headers).await?;
    if let Some(principal) = &principal {
        let _ = exchange.context().principal.set(Arc::clone(principal));
    }
    check_roles(&route, principal.as_deref())?;
    let app_id = match (&principal, &*app.public_app_id) {
        (Some(principal), _) => Arc::clone(&principal.app_id),
        // Nobody says which app a call without a token is for.
        (None, "*") => return Err(ApiError::AuthRequired),
        (None, _) => Arc::clone(&app.public_app_id),
    };
    if !plugin.apps().is_on_for(&app_id) {
        return Err(ApiError::PluginDisabled);
    }
    let whose = match &principal {
        Some(principal) => format!("u:{app_id}:{}", principal.user_id),
        None => "anybody".to_owned(),
    };
    route
        .count(&whose)
        .map_err(|wait| ApiError::RateLimited { wait })?;
    let body = read_body(body, BodyLimits::of(&app.server), &app.bodies).await?;

    let head_json = describe(
        &head,
        below,
        params,
        principal.as_deref(),
        &app_id,
        exchange,
    );
    let arguments = arguments(&route, head_json, &head.headers, body)?;
    let call = Call {
        kind: CallKind::Route,
        target: Target::Handler(route.function.handler),
        input: Input::Arguments(arguments),
        principal: principal.clone(),
        app_id: Some(app_id),
        request_id: Arc::clone(exchange.request_id()),
        timeout: route.timeout(),
    };
    let generation = Arc::clone(&route.function.generation);
    let called = match app.dispatcher.invoke(generation, call) {
        Ok(pending) => pending.await,
        Err(error) => Err(error),
    };
    let reply = called.map_err(|error| refusal(app, &plugin.name, error, principal.as_deref()))?;
    respond(app, exchange, &route, &head.method, reply)
}

/// Whose call it is; `None` for a public route without a token.
async fn identify(
    app: &App,
    route: &Route,
    headers: &HeaderMap,
) -> Result<Option<Arc<Principal>>, ApiError> {
    if !route.spec.requires_auth && !headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    authenticate(app, headers).await.map(Some)
}

fn check_roles(route: &Route, principal: Option<&Principal>) -> Result<(), ApiError> {
    let wanted = &route.spec.roles;
    if wanted.is_empty() {
        return Ok(());
    }
    let Some(principal) = principal else {
        return Err(ApiError::AuthRequired);
    };
    let has_one = principal.is_superadmin
        || (principal.roles.iter()).any(|role| wanted.iter().any(|wanted| **wanted == **role));
    if has_one {
        Ok(())
    } else {
        Err(ApiError::Forbidden("this needs another role"))
    }
}

/// The head of a request as the handler gets it.
fn describe(
    head: &request::Parts,
    below: &str,
    params: Vec<(String, String)>,
    principal: Option<&Principal>,
    app_id: &str,
    exchange: &Exchange<'_>,
) -> Map<String, Value> {
    let mut described = Map::new();
    described.insert("method".into(), head.method.as_str().into());
    described.insert("path".into(), below.into());
    if !params.is_empty() {
        let params = params.into_iter().map(|(name, value)| (name, value.into()));
        described.insert("params".into(), Value::Object(params.collect()));
    }
    if let Some(query) = head.uri.query().filter(|query| !query.is_empty()) {
        described.insert("query".into(), Value::Object(query_of(query)));
    }
    described.insert("headers".into(), Value::Object(headers_of(&head.headers)));
    described.insert("app_id".into(), app_id.into());
    described.insert("request_id".into(), (**exchange.request_id()).into());
    if let Some(principal) = principal {
        let context = json!({
            "app_id": app_id,
            "user_id": &*principal.user_id,
            "username": principal.username.as_deref(),
            "roles": principal.roles.iter().map(|role| &**role).collect::<Vec<_>>(),
            "is_superadmin": principal.is_superadmin,
            "request_id": &**exchange.request_id(),
        });
        described.insert("context".into(), context);
    }
    described
}

/// A name that is given more than once has a list.
fn query_of(query: &str) -> Map<String, Value> {
    let mut found = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = Value::from(value.into_owned());
        match found.get_mut(&*name) {
            None => {
                found.insert(name.into_owned(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    found
}

/// Headers by name, without the credentials; those given more than once are joined.
fn headers_of(headers: &HeaderMap) -> Map<String, Value> {
    let mut found: Map<String, Value> = Map::new();
    for (name, value) in headers {
        if name == header::AUTHORIZATION || name == header::PROXY_AUTHORIZATION {
            continue;
        }
        let text = String::from_utf8_lossy(value.as_bytes());
        match found.get_mut(name.as_str()) {
            Some(Value::String(joined)) => {
                joined.push_str(if name == header::COOKIE { "; " } else { ", " });
                joined.push_str(&text);
            }
            _ => {
                found.insert(name.as_str().into(), text.into());
            }
        }
    }
    found
}

/// The handler's one argument, with the body in it: JSON as it came, text, or bytes.
fn arguments(
    route: &Route,
    head: Map<String, Value>,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Bytes, ApiError> {
    let content = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_json = content.starts_with("application/json") || content.contains("+json");
    if is_json && !body.is_empty() {
        check_json(&body)?;
    }
    check_schema(
        route,
        &head,
        is_json.then_some(&*body).filter(|body| !body.is_empty()),
    )?;
    let mut out = b"[".to_vec();
    let head = serde_json::to_vec(&head).map_err(|error| ApiError::Internal(error.to_string()))?;
    out.reserve(head.len() + body.len() + 32);
    out.extend_from_slice(&head);
    if !body.is_empty() {
        out.pop();
        if is_json {
            out.extend_from_slice(b",\"body\":");
            out.extend_from_slice(&body);
        } else if let Ok(text) = std::str::from_utf8(&body) {
            out.extend_from_slice(b",\"text\":");
            out.extend_from_slice(Value::from(text).to_string().as_bytes());
        } else {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&body);
            out.extend_from_slice(b",\"bytes\":\"");
            out.extend_from_slice(encoded.as_bytes());
            out.push(b'"');
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(out.into())
}

fn check_json(body: &[u8]) -> Result<(), ApiError> {
    mozaiks_plugins::body::check_value(body, MAX_DEPTH).map_err(ApiError::InvalidJson)
}

fn check_schema(
    route: &Route,
    head: &Map<String, Value>,
    body: Option<&[u8]>,
) -> Result<(), ApiError> {
    if !route.checks_requests() {
        return Ok(());
    }
    let body: Value = match body {
        Some(body) => serde_json::from_slice(body)
            .map_err(|error| ApiError::InvalidJson(error.to_string()))?,
        None => Value::Null,
    };
    let empty = || Value::Object(Map::new());
    let mut request = Map::new();
    request.insert("body".into(), body);
    for part in ["query", "params"] {
        let value = head.get(part).cloned().unwrap_or_else(empty);
        request.insert(part.into(), value);
    }
    let Some(misfit) = route.check_request(&Value::Object(request)) else {
        return Ok(());
    };
    Err(ApiError::Host(HostError {
        code: "VALIDATION_ERROR",
        message: format!(
            "the request does not fit: {}: {}",
            misfit.path, misfit.message
        ),
        details: Some(json!({ "path": misfit.path }).to_string().into()),
    }))
}

/// What kind of answer it is.
#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Json,
    Failure,
    Text,
    Bytes,
    Empty,
    Stream,
}

/// Status, headers, kind, payload.
type Parts<'r> = (
    Option<u16>,
    Option<BTreeMap<String, String>>,
    Kind,
    &'r RawValue,
);

fn respond(
    app: &App,
    exchange: &mut Exchange<'_>,
    route: &Route,
    method: &Method,
    reply: CallReply,
) -> Result<Response<GatewayBody>, ApiError> {
    let bad = |reason: String| ApiError::PluginBadResult(reason);
    let (status, headers, kind, payload): Parts<'_> = serde_json::from_slice(&reply.body)
        .map_err(|error| bad(format!("an answer that cannot be read: {error}")))?;
    if matches!(kind, Kind::Json)
        && let Some(misfit) =
            route.check_response(|| serde_json::from_str(payload.get()).unwrap_or_default())
    {
        return Err(bad(format!(
            "an answer that does not fit its schema: {}: {}",
            misfit.path, misfit.message
        )));
    }
    let unreadable = |error: serde_json::Error| bad(format!("a body that cannot be read: {error}"));
    let (body, content_type) = match kind {
        Kind::Json | Kind::Failure => (
            GatewayBody::from(Bytes::copy_from_slice(payload.get().as_bytes())),
            Some("application/json"),
        ),
        Kind::Text => {
            let text: String = serde_json::from_str(payload.get()).map_err(unreadable)?;
            (
                GatewayBody::from(Bytes::from(text)),
                Some("text/plain; charset=utf-8"),
            )
        }
        Kind::Bytes => {
            let text: String = serde_json::from_str(payload.get()).map_err(unreadable)?;
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|error| bad(error.to_string()))?;
            (
                GatewayBody::from(Bytes::from(bytes)),
                Some("application/octet-stream"),
            )
        }
        Kind::Empty => (GatewayBody::from(Bytes::new()), None),
        Kind::Stream => {
            let id: u64 = serde_json::from_str(payload.get()).map_err(unreadable)?;
            (stream(app, id)?, Some("application/octet-stream"))
        }
    };
    let status = match (status, &kind) {
        (Some(status), _) => StatusCode::from_u16(status)
            .ok()
            .filter(|status| status.as_u16() >= 200)
            .ok_or_else(|| bad(format!("{status}, which is no status of an answer")))?,
        (None, Kind::Empty) => StatusCode::NO_CONTENT,
        (None, Kind::Failure) => failure_status(app, exchange, payload),
        (None, _) => StatusCode::OK,
    };
    // Only the head goes out; a stream that nobody reads ends.
    let body = if method == Method::HEAD {
        GatewayBody::from(Bytes::new())
    } else {
        body
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        let value = HeaderValue::from_static(content_type);
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    for (name, value) in headers.into_iter().flatten() {
        let (name, value) = header_of(&name, &value).map_err(bad)?;
        response.headers_mut().insert(name, value);
    }
    sandbox(response.headers_mut());
    Ok(response)
}

fn failure_status(app: &App, exchange: &mut Exchange<'_>, payload: &RawValue) -> StatusCode {
    #[derive(Deserialize)]
    struct Failure {
        error_code: Option<Box<str>>,
    }
    let failure: Option<Failure> = serde_json::from_str(payload.get()).ok();
    exchange.domain_code = failure.and_then(|failure| failure.error_code);
    if app.server.domain_errors_as_200 {
        return StatusCode::OK;
    }
    domain_status(exchange.domain_code.as_deref())
}

fn header_of(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let lower = name.to_ascii_lowercase();
    if REFUSED_HEADERS.contains(&lower.as_str()) {
        return Err(format!("the header {name}, which is not a plugin's to set"));
    }
    let name = HeaderName::from_bytes(lower.as_bytes())
        .map_err(|_| format!("{name:?}, which is no header's name"))?;
    let value = HeaderValue::from_str(value)
        .map_err(|_| format!("a value of {name} that no header has"))?;
    Ok((name, value))
}

/// A page of a plugin on the gateway's origin could act as whoever is signed in there.
fn sandbox(headers: &mut HeaderMap) {
    let content = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    if ACTIVE_TYPES
        .iter()
        .any(|active| content.starts_with(active))
    {
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("sandbox"),
        );
    }
}

/// A stream of a plugin as a body: its pieces as they come. Where it breaks off, so does the answer.
fn stream(app: &App, id: u64) -> Result<GatewayBody, ApiError> {
    let reader = app.streams.take_reader(id);
    let reader =
        reader.ok_or_else(|| ApiError::PluginBadResult("a stream that is not open".into()))?;
    let pieces = futures_util::stream::unfold(reader, |mut reader| async move {
        let piece = reader.recv().await?;
        Some((piece.map_err(std::io::Error::other), reader))
    });
    Ok(GatewayBody::Streaming(Body::from_stream(pieces)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_gateways_own_is_no_route_of_a_plugin() {
        assert_eq!(split("/api/plugins/tasks/a/b"), Some(("tasks", "/a/b")));
        assert_eq!(split("/api/plugins/tasks/"), Some(("tasks", "/")));
        for own in [
            "/api/plugins",
            "/api/plugins/tasks",
            "/api/plugins/tasks/enable",
            "/api/plugins/tasks/config/x",
            "/api/plugins/registry/tasks/audit",
            "/api/execute/tasks",
        ] {
            assert_eq!(split(own), None, "{own}");
        }
    }

    #[test]
    fn headers_of_the_connection_are_not_a_plugins() {
        assert!(header_of("X-Colour", "red").is_ok());
        for (name, value) in [
            ("Set-Cookie", "a=b"),
            ("transfer-encoding", "chunked"),
            ("X-Request-Id", "1"),
            ("a b", "c"),
            ("x", "a\r\nb: c"),
        ] {
            assert!(header_of(name, value).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn a_name_given_twice_has_a_list() {
        let query = Value::Object(query_of("a=1&b=x%20y&a=2&a=3&c"));
        assert_eq!(query, json!({"a": ["1", "2", "3"], "b": "x y", "c": ""}));
    }
}
