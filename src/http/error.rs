//! The only place where errors become responses.
//!
//! Every error has a status, an `error_code`, a sentence for the client and, where there is more to
//! know, one for the log. All matches are exhaustive on purpose: a new error must say how it looks.

use std::{sync::Arc, time::Duration};

use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    body::GatewayBody,
    request_id::{RequestId, X_REQUEST_ID},
};
use crate::{
    auth::AuthError,
    plugins::{CallError, HostError, dispatch::DispatchError},
};

/// When a client should come back after an overload.
const RETRY_AFTER_SECONDS: &str = "1";

/// Everything that a client can be told instead of what it asked for.
#[derive(Debug, Clone)]
pub enum ApiError {
    /// No `Authorization`.
    AuthRequired,
    /// An `Authorization` that is none: two of them, another scheme, no token.
    AuthInvalid(&'static str),
    /// A token that was not accepted.
    Token(AuthError),
    /// Known, but not allowed.
    Forbidden(&'static str),
    /// A plugin of that name does not exist.
    PluginNotFound,
    /// Switched off.
    PluginDisabled,
    /// Not loaded.
    PluginUnavailable {
        /// Why, for admins and the log.
        reason: Arc<str>,
        /// Whether this client is one.
        tell: bool,
    },
    /// No such route or resource.
    NotFound,
    /// The route has other methods.
    MethodNotAllowed {
        /// Those, as `Allow` takes them.
        allow: HeaderValue,
    },
    /// A WebSocket's address, and no WebSocket handshake as RFC 6455 wants it.
    UpgradeRequired,
    /// Not JSON by its content type.
    UnsupportedMediaType,
    /// Compressed.
    UnsupportedEncoding,
    /// Not JSON as the contract takes it.
    InvalidJson(String),
    /// JSON, but not what the route takes.
    InvalidRequest(String),
    /// The body is too large.
    PayloadTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The head or the body did not come in time.
    RequestTimeout,
    /// The URI is too long.
    UriTooLong,
    /// Too many headers, or too large ones.
    HeadTooLarge,
    /// Not HTTP as we speak it.
    MalformedRequest,
    /// The plugin raised.
    PluginRaised {
        /// `ValueError: …`, one line.
        summary: String,
        /// The whole traceback.
        traceback: String,
    },
    /// The plugin cancelled its own call, or shutdown did.
    PluginCancelled,
    /// The plugin returned no dict.
    PluginBadResult(String),
    /// The plugin's dict has no JSON form.
    OutputNotSerializable {
        /// Path of the offending value.
        path: String,
        /// What it is.
        reason: String,
    },
    /// The plugin's dict is too large.
    OutputTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The plugin took too long.
    PluginTimeout(Duration),
    /// Too much to do, or not ready, or no longer.
    Overloaded(&'static str),
    /// The database does not answer.
    DatabaseUnavailable,
    /// The disk is full.
    StorageFull,
    /// A part of the gateway refused, with a code of the contract.
    Host(HostError),
    /// A bug of the gateway, said in one sentence for the log.
    Internal(String),
}

impl ApiError {
    /// The status and the `error_code`.
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::AuthRequired => (StatusCode::UNAUTHORIZED, "AUTH_REQUIRED"),
            Self::AuthInvalid(_) => (StatusCode::UNAUTHORIZED, "AUTH_INVALID"),
            Self::Token(AuthError::Invalid(_)) => (StatusCode::UNAUTHORIZED, "TOKEN_INVALID"),
            Self::Token(AuthError::Expired) => (StatusCode::UNAUTHORIZED, "TOKEN_EXPIRED"),
            Self::Token(AuthError::NotYetValid) => {
                (StatusCode::UNAUTHORIZED, "TOKEN_NOT_YET_VALID")
            }
            Self::Token(AuthError::TooLarge) => (StatusCode::UNAUTHORIZED, "TOKEN_TOO_LARGE"),
            Self::Token(AuthError::AppMismatch) => (StatusCode::FORBIDDEN, "APP_MISMATCH"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "FORBIDDEN"),
            Self::PluginNotFound => (StatusCode::NOT_FOUND, "PLUGIN_NOT_FOUND"),
            Self::PluginDisabled => (StatusCode::NOT_FOUND, "PLUGIN_DISABLED"),
            Self::PluginUnavailable { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "PLUGIN_UNAVAILABLE")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
            Self::UpgradeRequired => (StatusCode::UPGRADE_REQUIRED, "UPGRADE_REQUIRED"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE")
            }
            Self::UnsupportedEncoding => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_ENCODING")
            }
            Self::InvalidJson(_) => (StatusCode::BAD_REQUEST, "INVALID_JSON"),
            Self::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "INVALID_REQUEST"),
            Self::PayloadTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "URI_TOO_LONG"),
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "HEADERS_TOO_LARGE",
            ),
            Self::MalformedRequest => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
            Self::PluginRaised { .. } | Self::PluginCancelled => {
                (StatusCode::INTERNAL_SERVER_ERROR, "PLUGIN_ERROR")
            }
            Self::PluginBadResult(_) => (StatusCode::INTERNAL_SERVER_ERROR, "PLUGIN_BAD_RESULT"),
            Self::OutputNotSerializable { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "OUTPUT_NOT_SERIALIZABLE")
            }
            Self::OutputTooLarge { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "OUTPUT_TOO_LARGE"),
            Self::PluginTimeout(_) => (StatusCode::GATEWAY_TIMEOUT, "PLUGIN_TIMEOUT"),
            Self::Overloaded(_) => (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED"),
            Self::DatabaseUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "DATABASE_UNAVAILABLE"),
            Self::StorageFull => (StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL"),
            Self::Host(error) => (host_status(error.code), error.code),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
        }
    }

    /// The sentence for the client.
    pub fn message(&self) -> String {
        match self {
            Self::AuthRequired => "authentication is required".into(),
            Self::AuthInvalid(what) => format!("the Authorization header is not valid: {what}"),
            Self::Token(error) => error.to_string(),
            Self::Forbidden(what) => (*what).into(),
            Self::PluginNotFound => "there is no plugin of this name".into(),
            Self::PluginDisabled => "the plugin is disabled".into(),
            Self::PluginUnavailable { .. } => "the plugin is not available".into(),
            Self::NotFound => "there is nothing at this path".into(),
            Self::MethodNotAllowed { .. } => "the path does not take this method".into(),
            Self::UpgradeRequired => "this is the address of a WebSocket".into(),
            Self::UnsupportedMediaType => {
                "the body must be JSON in UTF-8, with content type application/json".into()
            }
            Self::UnsupportedEncoding => "compressed bodies are not taken".into(),
            Self::InvalidJson(what) => format!("the body is not valid JSON: {what}"),
            Self::InvalidRequest(what) => what.clone(),
            Self::PayloadTooLarge { limit_bytes } => {
                format!("the body is larger than {limit_bytes} bytes")
            }
            Self::RequestTimeout => "the request did not arrive in time".into(),
            Self::UriTooLong => "the URI is too long".into(),
            Self::HeadTooLarge => "the request has too many headers, or too large ones".into(),
            Self::MalformedRequest => "the request is malformed".into(),
            Self::PluginRaised { .. } => "the plugin failed".into(),
            Self::PluginCancelled => "the call was cancelled".into(),
            Self::PluginBadResult(_) => "the plugin returned something other than a dict".into(),
            Self::OutputNotSerializable { path, .. } => {
                format!("the plugin's result cannot be sent as JSON: {path}")
            }
            Self::OutputTooLarge { limit_bytes } => {
                format!("the plugin's result is larger than {limit_bytes} bytes")
            }
            Self::PluginTimeout(limit) => {
                format!("the plugin did not answer within {} s", limit.as_secs_f64())
            }
            Self::Overloaded(what) => (*what).into(),
            Self::DatabaseUnavailable => "the database does not answer".into(),
            Self::StorageFull => "there is no room left to store this".into(),
            Self::Host(error) => error.message.clone(),
            Self::Internal(_) => "something went wrong in the gateway".into(),
        }
    }

    /// What the log should know beside the code, where that is more than the client is told.
    pub fn internal(&self) -> Option<&str> {
        match self {
            // The rest of it, a traceback, was logged when loading failed.
            Self::PluginUnavailable { reason, .. } => reason.lines().next(),
            Self::PluginRaised { summary, .. } => Some(summary),
            Self::PluginBadResult(what) => Some(what),
            Self::OutputNotSerializable { reason, .. } => Some(reason),
            Self::Internal(what) => Some(what),
            Self::AuthRequired
            | Self::AuthInvalid(_)
            | Self::Token(_)
            | Self::Forbidden(_)
            | Self::PluginNotFound
            | Self::PluginDisabled
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::UpgradeRequired
            | Self::UnsupportedMediaType
            | Self::UnsupportedEncoding
            | Self::InvalidJson(_)
            | Self::InvalidRequest(_)
            | Self::PayloadTooLarge { .. }
            | Self::RequestTimeout
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::MalformedRequest
            | Self::PluginCancelled
            | Self::OutputTooLarge { .. }
            | Self::PluginTimeout(_)
            | Self::Overloaded(_)
            | Self::DatabaseUnavailable
            | Self::StorageFull
            | Self::Host(_) => None,
        }
    }

    /// `details` of the body. Tracebacks are for developers only.
    fn details(&self, dev: bool) -> Option<Value> {
        match self {
            Self::PluginUnavailable { reason, tell } => {
                (dev || *tell).then(|| json!({ "reason": &**reason }))
            }
            Self::PluginRaised { summary, traceback } => {
                dev.then(|| json!({ "exception": summary, "traceback": traceback }))
            }
            Self::PluginBadResult(what) => dev.then(|| json!({ "returned": what })),
            Self::OutputNotSerializable { path, reason } => {
                Some(json!({ "path": path, "reason": reason }))
            }
            Self::PayloadTooLarge { limit_bytes } | Self::OutputTooLarge { limit_bytes } => {
                Some(json!({ "limit_bytes": limit_bytes }))
            }
            Self::PluginTimeout(limit) => Some(json!({ "timeout_seconds": limit.as_secs_f64() })),
            Self::Host(error) => error
                .details
                .as_ref()
                .and_then(|details| serde_json::from_slice(details).ok()),
            Self::AuthRequired
            | Self::AuthInvalid(_)
            | Self::Token(_)
            | Self::Forbidden(_)
            | Self::PluginNotFound
            | Self::PluginDisabled
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::UpgradeRequired
            | Self::UnsupportedMediaType
            | Self::UnsupportedEncoding
            | Self::InvalidJson(_)
            | Self::InvalidRequest(_)
            | Self::RequestTimeout
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::MalformedRequest
            | Self::PluginCancelled
            | Self::Overloaded(_)
            | Self::DatabaseUnavailable
            | Self::StorageFull
            | Self::Internal(_) => None,
        }
    }

    /// The challenge of a 401 (RFC 6750: the error is named only where credentials were sent).
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::AuthRequired => Some("Bearer realm=\"mozaiks\""),
            Self::AuthInvalid(_) => Some("Bearer realm=\"mozaiks\", error=\"invalid_request\""),
            Self::Token(
                AuthError::Invalid(_)
                | AuthError::Expired
                | AuthError::NotYetValid
                | AuthError::TooLarge,
            ) => Some("Bearer realm=\"mozaiks\", error=\"invalid_token\""),
            Self::Token(AuthError::AppMismatch)
            | Self::Forbidden(_)
            | Self::PluginNotFound
            | Self::PluginDisabled
            | Self::PluginUnavailable { .. }
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::UpgradeRequired
            | Self::UnsupportedMediaType
            | Self::UnsupportedEncoding
            | Self::InvalidJson(_)
            | Self::InvalidRequest(_)
            | Self::PayloadTooLarge { .. }
            | Self::RequestTimeout
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::MalformedRequest
            | Self::PluginRaised { .. }
            | Self::PluginCancelled
            | Self::PluginBadResult(_)
            | Self::OutputNotSerializable { .. }
            | Self::OutputTooLarge { .. }
            | Self::PluginTimeout(_)
            | Self::Overloaded(_)
            | Self::DatabaseUnavailable
            | Self::StorageFull
            | Self::Host(_)
            | Self::Internal(_) => None,
        }
    }

    /// The body every error has.
    fn body(&self, request_id: &str, dev: bool) -> Bytes {
        let (_, code) = self.status_and_code();
        let mut body = json!({
            "error": self.message(),
            "error_code": code,
            "request_id": request_id,
        });
        if let Some(details) = self.details(dev) {
            body["details"] = details;
        }
        body.to_string().into()
    }

    /// The whole response, but for the headers that every response gets.
    pub fn to_response(&self, request_id: &str, dev: bool) -> Response<GatewayBody> {
        let mut response = Response::new(GatewayBody::from(self.body(request_id, dev)));
        *response.status_mut() = self.status_and_code().0;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(challenge) = self.challenge() {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        if let Self::Overloaded(_) = self {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from_static(RETRY_AFTER_SECONDS),
            );
        }
        if let Self::UpgradeRequired = self {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            );
        }
        if let Self::MethodNotAllowed { allow } = self {
            headers.insert(header::ALLOW, allow.clone());
        }
        response
    }

    /// The error for a handler's rejection by axum itself, by its status.
    pub(super) fn of_foreign_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge { limit_bytes: 0 },
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            status if status.is_client_error() => {
                Self::InvalidRequest("the request is not what this route takes".into())
            }
            other => Self::Internal(format!("a handler answered {other} without saying why")),
        }
    }
}

/// Handlers of the router answer with the error itself: it waits in the response's extensions until
/// [`super::Gateway::answer`], which knows the request id, writes it out.
impl IntoResponse for ApiError {
    fn into_response(self) -> axum::response::Response {
        let mut response = self.status_and_code().0.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The whole answer, head and body, to a request that never became one. The connection ends with it.
pub fn refusal_answer(error: &ApiError) -> Vec<u8> {
    let id = RequestId::generate();
    let (status, _) = error.status_and_code();
    let body = error.body(&id.text, false);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         {}: {}\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n\
         connection: close\r\n\r\n",
        body.len(),
        X_REQUEST_ID,
        id.text,
    );
    let mut answer = head.into_bytes();
    answer.extend_from_slice(&body);
    answer
}

/// The status of a domain failure, by its `error_code`.
pub fn domain_status(error_code: Option<&str>) -> StatusCode {
    match error_code {
        Some("VALIDATION_ERROR") => StatusCode::UNPROCESSABLE_ENTITY,
        Some("NOT_FOUND") => StatusCode::NOT_FOUND,
        Some("FORBIDDEN" | "FEATURE_GATED") => StatusCode::FORBIDDEN,
        Some("CONFLICT") => StatusCode::CONFLICT,
        Some("LIMIT_EXCEEDED") => StatusCode::TOO_MANY_REQUESTS,
        Some(_) | None => StatusCode::BAD_REQUEST,
    }
}

fn host_status(code: &str) -> StatusCode {
    match code {
        "DATABASE_UNAVAILABLE" | "OVERLOADED" => StatusCode::SERVICE_UNAVAILABLE,
        "STORAGE_FULL" => StatusCode::INSUFFICIENT_STORAGE,
        "INTERNAL_ERROR" => StatusCode::INTERNAL_SERVER_ERROR,
        domain => domain_status(Some(domain)),
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        Self::Token(error)
    }
}

impl From<HostError> for ApiError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl From<DispatchError> for ApiError {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::Disabled => Self::PluginDisabled,
            DispatchError::Unavailable(reason) => Self::PluginUnavailable {
                reason,
                tell: false,
            },
            DispatchError::Overloaded => Self::Overloaded("too many calls are waiting"),
            DispatchError::TimedOut(limit) => Self::PluginTimeout(limit),
            DispatchError::Call(error) => error.into(),
        }
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::InvalidJson(what) => Self::InvalidJson(what),
            CallError::NotAnObject(what) => {
                Self::InvalidRequest(format!("the body must be a JSON object, not {what}"))
            }
            CallError::Raised {
                summary, traceback, ..
            } => Self::PluginRaised { summary, traceback },
            CallError::BadResult(what) => Self::PluginBadResult(what),
            CallError::NotSerializable { path, reason } => {
                Self::OutputNotSerializable { path, reason }
            }
            CallError::OutputTooLarge { limit_bytes } => Self::OutputTooLarge { limit_bytes },
            CallError::Cancelled => Self::PluginCancelled,
            CallError::NotLoaded => Self::PluginUnavailable {
                reason: "its module is not loaded".into(),
                tell: false,
            },
            CallError::Internal(what) => Self::Internal(what),
        }
    }
}

#[cfg(test)]
mod tests;
