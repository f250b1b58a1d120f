//! `/demo/{plugin}/`: the static pages of plugins, in development mode only.
//!
//! Which files there are is `plugins::static_files`' to say; here is only what a browser may do with
//! them. In production pages come from a web server or a CDN, so these routes do not exist there.

use axum::{
    Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderValue, Uri,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY},
};

use super::error::ApiError;
use crate::http::state::{App, AppState};
use mozaiks_plugins::static_files;

/// The file behind the address of the directory.
const INDEX: &str = "index.html";

/// The routes that development mode has beside all others.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/demo/{plugin}", get(redirect_to_page))
        .route("/demo/{plugin}/", get(get_page))
        .route("/demo/{plugin}/{file}", get(get_file))
}

/// Whether a plugin has a page, and at which path it is.
pub fn page_of(app: &App, plugin: &str) -> Option<String> {
    let plugin = app.registry.find(plugin)?;
    static_files::find(&plugin.dir(), INDEX)?;
    Some(format!("/demo/{}/", plugin.name))
}

/// `GET /demo/{plugin}`: what a page names beside itself is relative to the address with the slash.
async fn redirect_to_page(
    State(AppState(app)): State<AppState>,
    plugin: Result<Path<String>, PathRejection>,
) -> Result<Redirect, ApiError> {
    let Path(plugin) = plugin.map_err(|_| ApiError::NotFound)?;
    let page = read_disk(move || page_of(&app, &plugin)).await?;
    Ok(Redirect::temporary(&page.ok_or(ApiError::NotFound)?))
}

/// `GET /demo/{plugin}/`
async fn get_page(
    State(AppState(app)): State<AppState>,
    plugin: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Path(plugin) = plugin.map_err(|_| ApiError::NotFound)?;
    answer_file(&app, &plugin, INDEX.to_owned(), &uri, &headers).await
}

/// `GET /demo/{plugin}/{file}`
async fn get_file(
    State(AppState(app)): State<AppState>,
    names: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Path((plugin, file)) = names.map_err(|_| ApiError::NotFound)?;
    answer_file(&app, &plugin, file, &uri, &headers).await
}

async fn answer_file(
    app: &App,
    plugin: &str,
    name: String,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let plugin = app.registry.find(plugin).ok_or(ApiError::NotFound)?;
    let read = move || {
        let file = static_files::find(&plugin.dir(), &name)?;
        // Between listing and reading a file may go; then there is none.
        Some((file.content_type, file.read().ok()?))
    };
    let (content_type, bytes) = read_disk(read).await?.ok_or(ApiError::NotFound)?;
    let host = uri
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| headers.get(HOST)?.to_str().ok());
    // `nosniff` and `no-store` are on every answer of the gateway.
    Ok((
        [
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (CONTENT_SECURITY_POLICY, policy(host)),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ],
        Body::from(bytes),
    )
        .into_response())
}

/// Off the I/O threads: a disk may be slow.
async fn read_disk<T: Send + 'static>(
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| ApiError::Internal(format!("a static file was not read: {error}")))
}

/// A page may load and reach its own gateway and nothing else. Older browsers do not take a
/// WebSocket to the same host for `'self'`, so that host is named.
fn policy(host: Option<&str>) -> HeaderValue {
    let sockets = match host.filter(|host| is_plain_host(host)) {
        Some(host) => format!(" ws://{host} wss://{host}"),
        None => String::new(),
    };
    let policy = format!(
        "default-src 'self'; connect-src 'self'{sockets}; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    );
    // The host has only characters that a header takes.
    HeaderValue::try_from(policy)
        .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

/// A name or an address with a port, and nothing that would end the directive it stands in.
fn is_plain_host(host: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    (1..=255).contains(&host.len()) && host.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_reach_its_own_gateway_only() {
        for host in ["127.0.0.1:8000", "localhost", "[::1]:80"] {
            let policy = policy(Some(host));
            let policy = policy.to_str().unwrap();
            assert!(policy.starts_with("default-src 'self'; "), "{policy}");
            assert!(policy.contains(&format!("connect-src 'self' ws://{host} wss://{host};")));
        }
    }

    #[test]
    fn a_host_cannot_widen_the_policy() {
        for host in ["x; script-src *", "x *", "x,y", "*", "", "a'b", "é"] {
            let policy = policy(Some(host));
            assert!(
                policy
                    .to_str()
                    .unwrap()
                    .contains("connect-src 'self'; object-src"),
                "{host}"
            );
        }
        assert_eq!(policy(None), policy(Some("*")));
    }
}
