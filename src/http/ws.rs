//! `GET /ws` and `GET /ws/notifications/{user_id}`: from a request to a WebSocket.
//!
//! Everything that can be refused is refused here, as an HTTP answer. What comes after the upgrade
//! is [`crate::realtime`]'s: this module only says who is behind the socket.

mod credentials;
mod upgrade;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

pub(super) use credentials::{Presented, QueryParameters};
pub use mozaiks_realtime::Wire;
pub use upgrade::SocketUpgrade;

use super::{error::ApiError, exchange::RequestContext, typed::Upgrade};
use crate::http::state::{App, AppState};
use mozaiks_realtime::{
    Resume,
    socket::{Credentials, SocketRequest, may_connect_as},
};

/// The only subprotocol that is ever chosen; it carries a token.
const BEARER: &str = "bearer";
/// Length of a `Sec-WebSocket-Key`: 16 bytes in base64.
const KEY_BYTES: usize = 24;

/// `GET /ws`: a socket of the token's user.
pub(super) async fn get_socket(
    State(AppState(app)): State<AppState>,
    request: Request,
) -> Result<Upgrade, ApiError> {
    open_socket(app, request, None).await.map(Upgrade)
}

/// What stands for oneself in the path, as existing frontends write.
const ONESELF: &str = "_";

/// `GET /ws/notifications/{user_id}`: a socket of the user named, who must be the token's; `_` is
/// whoever the token is of.
pub(super) async fn get_user_socket(
    State(AppState(app)): State<AppState>,
    user_id: Result<Path<String>, axum::extract::rejection::PathRejection>,
    request: Request,
) -> Result<Upgrade, ApiError> {
    let Path(user_id) = user_id.map_err(|_| ApiError::NotFound)?;
    let named = (user_id != ONESELF).then(|| user_id.into());
    open_socket(app, request, named).await.map(Upgrade)
}

async fn open_socket(
    app: Arc<App>,
    mut request: Request,
    path_user: Option<Arc<str>>,
) -> Result<axum::response::Response, ApiError> {
    let accept = check_handshake(&request)?;
    check_origin(&app, request.headers())?;
    let query = QueryParameters::parse(request.uri().query().unwrap_or_default());
    let presented = Presented::find(request.headers(), &query, app.realtime.config.query_tokens)?;
    let offers_bearer = credentials::offers_bearer(request.headers());
    let identified = presented.identify(&app, request.extensions()).await?;
    let credentials = match identified {
        Some(identity) => {
            if let Some(context) = request.extensions().get::<Arc<RequestContext>>() {
                // Nobody else sets it on this route.
                let _ = context.principal.set(Arc::clone(&identity.principal));
            }
            if !may_connect_as(&identity, path_user.as_deref()) {
                return Err(ApiError::Forbidden("this is another user's socket"));
            }
            Credentials::Verified(identity)
        }
        None => Credentials::Awaited(app.realtime.unauthenticated_slot().ok_or(
            ApiError::Overloaded("too many sockets wait for their credentials"),
        )?),
    };
    let socket = SocketRequest {
        path_user,
        credentials,
        tracked: query.flag("recover"),
        resume: resume(&query, query.get("since").as_deref()),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    Ok(switch_protocols(
        &app,
        upgrade,
        &accept,
        offers_bearer,
        socket,
    ))
}

/// Where a client goes on, and in the place of which connection, where it says so.
pub(super) fn resume(query: &QueryParameters<'_>, position: Option<&str>) -> Option<Resume> {
    let resume = Resume::parse(position?);
    Some(resume.in_place_of(query.get("connection").as_deref()))
}

fn switch_protocols(
    app: &App,
    upgrade: OnUpgrade,
    accept: &HeaderValue,
    offers_bearer: bool,
    socket: SocketRequest,
) -> axum::response::Response {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.clone());
    if offers_bearer {
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(BEARER),
        );
    }
    let realtime = Arc::clone(&app.realtime);
    let serve = move |wire: Wire, leftover: Bytes| -> BoxFuture<'static, ()> {
        Box::pin(realtime.serve_socket(wire, leftover, socket))
    };
    SocketUpgrade::new(upgrade, Box::new(serve)).attach(&mut response);
    response
}

/// Checks what RFC 6455 wants of a handshake; gives the `Sec-WebSocket-Accept` of the answer.
fn check_handshake(request: &Request) -> Result<HeaderValue, ApiError> {
    let headers = request.headers();
    let is_handshake = request.version() == Version::HTTP_11
        && has_token(headers, &header::CONNECTION, "upgrade")
        && has_token(headers, &header::UPGRADE, "websocket");
    let is_known_version = headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_some_and(|version| version == "13");
    if !is_handshake || !is_known_version {
        return Err(ApiError::UpgradeRequired);
    }
    headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key.as_bytes()))
        .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())
        .ok_or_else(|| ApiError::InvalidRequest("Sec-WebSocket-Key is missing or odd".into()))
}

fn is_key(key: &[u8]) -> bool {
    key.len() == KEY_BYTES
        && key.ends_with(b"==")
        && key[..KEY_BYTES - 2]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// Whether a comma-separated header names something, in any case.
fn has_token(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// Browsers say which page asks, and no other check stands between such a page and the user.
fn check_origin(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(header::ORIGIN) {
        Some(origin) if !app.origins.allows(origin) => {
            Err(ApiError::Forbidden("this origin is not admitted"))
        }
        _ => Ok(()),
    }
}
