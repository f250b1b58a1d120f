//! The only place where errors become responses.
//!
//! Every error has a status, an `error_code`, a sentence for the client and, where there is more to
//! know, one for the log. All matches are exhaustive on purpose: a new error must say how it looks.

mod conversions;
mod response;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

pub(super) use self::response::refusal_answer;
use mozaiks_auth::AuthError;
use mozaiks_plugins::HostError;

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
    /// A `Transfer-Encoding` other than `chunked` alone.
    UnsupportedTransferEncoding,
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
            Self::Token(AuthError::KeysUnavailable) => {
                (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED")
            }
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
            Self::UnsupportedTransferEncoding => {
                (StatusCode::NOT_IMPLEMENTED, "UNSUPPORTED_TRANSFER_ENCODING")
            }
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
            Self::UnsupportedTransferEncoding => {
                "the only transfer encoding taken is chunked".into()
            }
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
            | Self::UnsupportedTransferEncoding
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
            | Self::UnsupportedTransferEncoding
            | Self::PluginCancelled
            | Self::Overloaded(_)
            | Self::DatabaseUnavailable
            | Self::StorageFull
            | Self::Internal(_) => None,
        }
    }
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

#[cfg(test)]
mod tests;
