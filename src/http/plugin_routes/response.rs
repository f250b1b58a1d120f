//! What a route's handler answers, as a response.

use std::collections::BTreeMap;

use axum::body::Body;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::{
    body::GatewayBody,
    error::{ApiError, domain_status},
    exchange::Exchange,
    state::App,
};
use mozaiks_plugins::{CallReply, routes::Route};

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
const ACTIVE_TYPES: [&str; 5] = [
    "text/html",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/xml",
    "application/xml",
];

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
    /// A stream that there was no room for.
    Overloaded,
}

/// Status, headers, kind, payload.
type Parts<'r> = (
    Option<u16>,
    Option<BTreeMap<String, String>>,
    Kind,
    &'r RawValue,
);

/// The response for a handler's answer.
///
/// # Errors
/// `PLUGIN_BAD_RESULT` for an answer that none can be made of, `OVERLOADED` for one more that comes in
/// pieces than there may be.
pub(super) fn respond(
    app: &App,
    exchange: &mut Exchange<'_>,
    route: &Route,
    method: &Method,
    reply: &CallReply,
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
            // A part of what came: nothing is copied.
            GatewayBody::from(reply.body.slice_ref(payload.get().as_bytes())),
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
        Kind::Overloaded => {
            return Err(ApiError::Overloaded(
                "too many answers of the plugin are being streamed",
            ));
        }
    };
    let status = match (status, &kind) {
        (Some(status), _) => StatusCode::from_u16(status)
            .ok()
            .filter(|status| (200..600).contains(&status.as_u16()))
            .ok_or_else(|| bad(format!("{status}, which is no status of an answer")))?,
        (None, Kind::Empty) => StatusCode::NO_CONTENT,
        (None, Kind::Failure) => failure_status(app, exchange, payload),
        (None, _) => StatusCode::OK,
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
    Ok(without_body(response, method))
}

/// Leaves the body out where HTTP has none; a stream that nobody reads ends.
fn without_body(mut response: Response<GatewayBody>, method: &Method) -> Response<GatewayBody> {
    let has_none = matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if has_none {
        response.headers_mut().remove(header::CONTENT_TYPE);
    } else if method == Method::HEAD {
        // What `GET` would send is still said.
        if let Some(length) = response.body().size_hint().exact() {
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length.into());
        }
    } else {
        return response;
    }
    *response.body_mut() = GatewayBody::from(Bytes::new());
    response
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
    // Who may read an answer across origins is the operator's to say.
    if REFUSED_HEADERS.contains(&lower.as_str()) || lower.starts_with("access-control-") {
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
        .trim()
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
    fn headers_of_the_connection_are_not_a_plugins() {
        assert!(header_of("X-Colour", "red").is_ok());
        for (name, value) in [
            ("Set-Cookie", "a=b"),
            ("transfer-encoding", "chunked"),
            ("X-Request-Id", "1"),
            ("Access-Control-Allow-Origin", "*"),
            ("a b", "c"),
            ("x", "a\r\nb: c"),
        ] {
            assert!(header_of(name, value).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn pages_are_sandboxed_however_their_type_is_written() {
        for (content, is_active) in [
            ("text/html", true),
            (" Text/HTML; charset=utf-8", true),
            ("image/svg+xml", true),
            ("application/xml", true),
            ("application/json", false),
            ("image/png", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
            sandbox(&mut headers);
            let sandboxed = headers.contains_key(header::CONTENT_SECURITY_POLICY);
            assert_eq!(sandboxed, is_active, "{content}");
        }
    }

    #[test]
    fn an_answer_without_a_body_has_none() {
        let answer = |status: u16, method: Method| {
            let mut response = Response::new(GatewayBody::from(Bytes::from_static(b"four")));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let response = without_body(response, &method);
            let length = response.headers().get(header::CONTENT_LENGTH).cloned();
            (response.body().size_hint().exact(), length)
        };
        assert_eq!(answer(200, Method::GET), (Some(4), None));
        assert_eq!(answer(204, Method::GET), (Some(0), None));
        assert_eq!(answer(200, Method::HEAD), (Some(0), Some(4.into())));
    }
}
