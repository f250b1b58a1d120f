//! A request as a route's handler is given it: one JSON array with one object, written without a detour.

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, header, request};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http::{client_address::ClientAddress, error::ApiError};
use mozaiks_auth::Principal;
use mozaiks_plugins::{HostError, routes::Route};

/// Whose request it is and which.
pub(super) struct Origin<'a> {
    pub(super) principal: Option<&'a Principal>,
    pub(super) app_id: &'a str,
    pub(super) request_id: &'a str,
    pub(super) client: ClientAddress,
}

/// What a path and a query say.
pub(super) struct Names<'a> {
    /// The path below the plugin's own.
    pub(super) path: &'a str,
    pub(super) params: Vec<(String, String)>,
}

/// The handler's arguments; the body in them is JSON as it came, text, or bytes.
///
/// # Errors
/// A body that is declared to be JSON and is none, and what does not fit the route's schema.
pub(super) fn arguments(
    route: &Route,
    head: &request::Parts,
    names: &Names<'_>,
    origin: &Origin<'_>,
    body: &Bytes,
    max_depth: usize,
) -> Result<Bytes, ApiError> {
    if let Some(encoding) = head.headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        && !body.is_empty()
    {
        return Err(ApiError::UnsupportedEncoding);
    }
    let json = declares_json(&head.headers) && !body.is_empty();
    if json {
        mozaiks_plugins::body::check_value(body, max_depth).map_err(ApiError::InvalidJson)?;
    }
    let query = head.uri.query().unwrap_or_default();
    if route.checks_requests() {
        check_schema(route, query, names, json.then_some(&**body))?;
    }
    let mut out = Object(Vec::with_capacity(1024 + body.len()));
    out.0.extend_from_slice(b"[{");
    out.field("method", &head.method.as_str());
    out.field("path", &names.path);
    if !names.params.is_empty() {
        out.object("params", |params| {
            for (name, value) in &names.params {
                params.field(name, value);
            }
        });
    }
    if !query.is_empty() {
        out.field("query", &query_of(query));
    }
    out.object("headers", |headers| {
        write_headers(headers, &head.headers, origin.client);
    });
    out.field("app_id", &origin.app_id);
    out.field("request_id", &origin.request_id);
    out.field("client_ip", &origin.client.ip.to_string());
    if let Some(principal) = origin.principal {
        out.object("context", |context| {
            context.field("app_id", &origin.app_id);
            context.field("user_id", &principal.user_id);
            context.field("username", &principal.username);
            context.field("roles", &principal.roles);
            context.field("is_superadmin", &principal.is_superadmin);
            context.field("request_id", &origin.request_id);
        });
    }
    if route.spec.raw_body {
        out.field("raw", &encoded(body));
    }
    if json {
        out.name("body");
        out.0.extend_from_slice(body);
    } else if let Ok(text) = std::str::from_utf8(body) {
        if !text.is_empty() {
            out.field("text", &text);
        }
    } else {
        out.field("bytes", &encoded(body));
    }
    out.0.extend_from_slice(b"}]");
    Ok(out.0.into())
}

fn encoded(body: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(body)
}

/// A JSON object that is being written.
struct Object(Vec<u8>);

impl Object {
    fn name(&mut self, name: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.value(&name);
        self.0.push(b':');
    }

    fn field(&mut self, name: &str, value: &impl Serialize) {
        self.name(name);
        self.value(value);
    }

    fn object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.name(name);
        self.0.push(b'{');
        fill(self);
        self.0.push(b'}');
    }

    fn value(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.0, value)
            .expect("invariant: strings, booleans and lists of them have a JSON form");
    }
}

/// Headers by name, without the credentials; those given more than once are joined.
fn write_headers(out: &mut Object, headers: &HeaderMap, client: ClientAddress) {
    for name in headers.keys() {
        let is_secret = name == header::AUTHORIZATION || name == header::PROXY_AUTHORIZATION;
        if is_secret || !client.vouches_for(name) {
            continue;
        }
        let mut values = headers.get_all(name).iter();
        let first = values.next().map(|value| value.as_bytes());
        let mut text = String::from_utf8_lossy(first.unwrap_or_default());
        let between = if name == header::COOKIE { "; " } else { ", " };
        for value in values {
            let text = text.to_mut();
            text.push_str(between);
            text.push_str(&String::from_utf8_lossy(value.as_bytes()));
        }
        out.field(name.as_str(), &text);
    }
}

fn declares_json(headers: &HeaderMap) -> bool {
    let content = headers.get(header::CONTENT_TYPE);
    let content = content.and_then(|value| value.to_str().ok());
    content.is_some_and(|content| {
        let essence = content.split(';').next().unwrap_or_default().trim();
        let lower = essence.to_ascii_lowercase();
        lower == "application/json" || lower.ends_with("+json")
    })
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

fn check_schema(
    route: &Route,
    query: &str,
    names: &Names<'_>,
    body: Option<&[u8]>,
) -> Result<(), ApiError> {
    let body: Value = match body {
        Some(body) => serde_json::from_slice(body)
            .map_err(|error| ApiError::InvalidJson(error.to_string()))?,
        None => Value::Null,
    };
    let params = names.params.iter();
    let params = params.map(|(name, value)| (name.clone(), Value::from(&**value)));
    let request = json!({
        "body": body,
        "query": query_of(query),
        "params": Value::Object(params.collect()),
    });
    let Some(misfit) = route.check_request(&request) else {
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_name_given_twice_has_a_list() {
        let query = Value::Object(query_of("a=1&b=x%20y&a=2&a=3&c"));
        assert_eq!(query, json!({"a": ["1", "2", "3"], "b": "x y", "c": ""}));
    }

    #[test]
    fn headers_come_without_credentials_and_without_what_only_proxies_know() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer x"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("accept", "x"),
            ("accept", "y \"z\""),
            ("x-forwarded-for", "9.9.9.9"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let written = |through_proxy| {
            let mut out = Object(b"{".to_vec());
            let ip = IpAddr::from([127, 0, 0, 1]);
            write_headers(&mut out, &headers, ClientAddress { ip, through_proxy });
            out.0.push(b'}');
            serde_json::from_slice::<Value>(&out.0).unwrap()
        };
        let direct = json!({"cookie": "a=1; b=2", "accept": "x, y \"z\""});
        assert_eq!(written(false), direct);
        assert_eq!(written(true)["x-forwarded-for"], "9.9.9.9");
    }

    #[test]
    fn json_is_recognised() {
        let is_json = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(text));
            declares_json(&headers)
        };
        assert!(is_json("application/json") && is_json("Application/JSON; charset=utf-8"));
        assert!(is_json("application/vnd.api+json"));
        assert!(!is_json("text/plain") && !is_json("application/jsonp"));
    }
}
