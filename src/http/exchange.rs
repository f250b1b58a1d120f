//! One request and its answer: id, time, the headers every answer has, counters, log line.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Instant,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
};

use super::{
    body::GatewayBody,
    error::ApiError,
    rates::Counting,
    request_body::MustClose,
    request_id::{RequestId, X_REQUEST_ID},
};
use crate::http::state::App;
use mozaiks_auth::Principal;
use mozaiks_telemetry::{access::AccessRecord, metrics::Route, plugin_logs::PluginFailure};

/// In development mode, what was noticed about the plugin that was called; a header each.
static X_MOZAIKS_FINDING: HeaderName = HeaderName::from_static("x-mozaiks-finding");
/// Of more findings the newest are told.
const TOLD_FINDINGS: usize = 4;

/// What handlers of the router may know about the request, and tell about it. In its extensions.
#[derive(Debug)]
pub struct RequestContext {
    /// The request's id.
    pub request_id: Arc<str>,
    /// Who asks, once that has been verified.
    pub principal: OnceLock<Arc<Principal>>,
    /// Whether somebody has been counted for it.
    pub(super) counting: Counting,
    /// Whether the connection cannot be used after the answer.
    pub must_close: MustClose,
}

/// A request on its way to an answer. Dropped without one, its client has gone away: that is counted
/// and logged as status 499.
pub(super) struct Exchange<'a> {
    app: &'a App,
    started: Instant,
    is_http1: bool,
    method: Method,
    uri: Uri,
    origin: Option<HeaderValue>,
    id_header: HeaderValue,
    context: Arc<RequestContext>,
    /// The other end of the connection.
    pub(super) peer: IpAddr,
    /// The plugin called, for the log.
    pub(super) plugin: Option<Arc<str>>,
    /// `action` of the request, for the log.
    pub(super) action: Option<Box<str>>,
    /// `error_code` of a domain failure, for the log.
    pub(super) domain_code: Option<Box<str>>,
    finished: bool,
}

impl<'a> Exchange<'a> {
    pub(super) fn begin<B>(app: &'a App, request: &Request<B>, peer: IpAddr) -> Self {
        let id = RequestId::of(request.headers());
        Self {
            app,
            started: Instant::now(),
            is_http1: request.version() < Version::HTTP_2,
            method: request.method().clone(),
            uri: request.uri().clone(),
            origin: request.headers().get(header::ORIGIN).cloned(),
            id_header: id.header,
            context: Arc::new(RequestContext {
                request_id: id.text,
                principal: OnceLock::new(),
                counting: Counting::of(app, peer, request.headers()),
                must_close: MustClose::default(),
            }),
            peer,
            plugin: None,
            action: None,
            domain_code: None,
            finished: false,
        }
    }

    pub(super) fn context(&self) -> &Arc<RequestContext> {
        &self.context
    }

    pub(super) fn request_id(&self) -> &Arc<str> {
        &self.context.request_id
    }

    /// Writes errors out, adds the headers every answer has, counts and logs.
    pub(super) fn finish(
        mut self,
        result: Result<Response<GatewayBody>, ApiError>,
    ) -> Response<GatewayBody> {
        self.finished = true;
        let (mut response, error) = match result {
            Ok(response) => (response, None),
            Err(error) => (
                error.to_response(self.request_id(), self.app.dev),
                Some(error),
            ),
        };
        self.record(response.status().as_u16(), error.as_ref());
        let id_header = std::mem::replace(&mut self.id_header, HeaderValue::from_static(""));
        let origin = self.origin.take();
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID.clone(), id_header);
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if self.is_http1 && self.context.must_close.get() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.app.dev {
            self.tell_findings(headers);
        }
        self.app.origins.mark(origin.as_ref(), headers);
        response
    }

    /// What was noticed about the plugin, for whoever works on it.
    fn tell_findings(&self, headers: &mut HeaderMap) {
        let Some(plugin) = &self.plugin else {
            return;
        };
        let findings = self.app.registry.findings().of(plugin);
        for finding in findings.iter().take(TOLD_FINDINGS) {
            // Headers are ASCII; what is not stands in the log as it is.
            let plain = |letter: char| {
                if letter.is_ascii_graphic() {
                    letter
                } else {
                    ' '
                }
            };
            let sentence: String = finding
                .sentence
                .replace('…', "...")
                .chars()
                .map(plain)
                .collect();
            if let Ok(value) = HeaderValue::try_from(sentence) {
                headers.append(X_MOZAIKS_FINDING.clone(), value);
            }
        }
    }

    fn record(&self, status: u16, error: Option<&ApiError>) {
        let time = self.started.elapsed();
        let path = self.uri.path();
        self.app
            .metrics
            .request_finished(route_of(path, status), status, time);
        let principal = self.context.principal.get();
        // What a plugin raised is logged with its traceback; this is why its answer could not be used.
        if let (Some(plugin), Some(error)) = (&self.plugin, error)
            && error.is_of_an_answer()
        {
            self.app.plugin_logs.note_failure(&PluginFailure {
                plugin,
                app_id: principal.map(|principal| &*principal.app_id),
                request_id: &self.context.request_id,
                error_code: error.status_and_code().1,
                reason: error.internal().unwrap_or(&error.message()),
            });
        }
        self.app.access.write(&AccessRecord {
            request_id: &self.context.request_id,
            method: self.method.as_str(),
            path,
            status,
            time,
            user_id: principal.map(|principal| &*principal.user_id),
            app_id: principal.map(|principal| &*principal.app_id),
            plugin: self.plugin.as_deref(),
            // The one word of a body that is logged, and only where it is one.
            action: self.action.as_deref().filter(|action| is_name(action)),
            error_code: error
                .map(|error| error.status_and_code().1)
                .or(self.domain_code.as_deref()),
            internal: error.and_then(ApiError::internal),
        });
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.record(499, None);
        }
    }
}

/// Takes the error out of a router's response: ours from its extensions, axum's own by its status.
pub(super) fn open(
    mut response: axum::response::Response,
) -> Result<Response<GatewayBody>, ApiError> {
    if let Some(error) = response.extensions_mut().remove::<Arc<ApiError>>() {
        let mut error = Arc::unwrap_or_clone(error);
        if let ApiError::MethodNotAllowed { allow } = &mut error
            && let Some(known) = response.headers_mut().remove(header::ALLOW)
        {
            *allow = known;
        }
        return Err(error);
    }
    if response.status() >= StatusCode::BAD_REQUEST && !is_json(response.headers()) {
        return Err(ApiError::of_foreign_status(response.status()));
    }
    Ok(response.map(GatewayBody::Streaming))
}

/// Whether an `action` is a name as code has them: neither a sentence nor a secret.
fn is_name(action: &str) -> bool {
    const LONGEST: usize = 64;
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    (1..=LONGEST).contains(&action.len()) && action.bytes().all(allowed)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

fn route_of(path: &str, status: u16) -> Route {
    if path.starts_with(super::EXECUTE) {
        Route::Execute
    } else if status == 404 && !path.starts_with("/api/") {
        Route::Unknown
    } else if path.starts_with("/api/") {
        Route::Api
    } else if path.starts_with("/__mozaiks/") {
        Route::Admin
    } else if path == "/ws" || path.starts_with("/ws/") {
        Route::WebSocket
    } else {
        Route::Operations
    }
}
