//! The declaration of every error: status, code, sentence, and what more is told to whom. One arm an
//! error, and no `_`: a new error must say how it looks.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;
use serde_json::{Value, json};

use super::{ApiError, host_status};
use mozaiks_auth::AuthError;
use mozaiks_plugins::findings::RETURNED_NONE;

/// All there is to say of an error.
pub(super) struct Declaration<'e> {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    /// For the client.
    pub(super) message: Cow<'e, str>,
    /// For the log, where that is more.
    pub(super) internal: Option<&'e str>,
    /// `WWW-Authenticate`: RFC 6750 names the error only where credentials were sent.
    pub(super) challenge: Option<&'static str>,
    /// Whether the client should come back soon.
    pub(super) retry: Option<Duration>,
    details: Option<(Audience, Box<dyn Fn() -> Value + 'e>)>,
}

/// Who is given an error's details.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Everyone,
    /// Whoever works on plugins, in development mode.
    Developers,
}

impl<'e> Declaration<'e> {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'e, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            internal: None,
            challenge: None,
            retry: None,
            details: None,
        }
    }

    fn internal(mut self, what: &'e str) -> Self {
        self.internal = Some(what);
        self
    }

    fn challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    fn retry(self) -> Self {
        self.retry_after(Duration::from_secs(1))
    }

    fn retry_after(mut self, wait: Duration) -> Self {
        self.retry = Some(wait);
        self
    }

    fn told(mut self, to: Audience, details: impl Fn() -> Value + 'e) -> Self {
        self.details = Some((to, Box::new(details)));
        self
    }

    /// `details` of the body.
    pub(super) fn details(&self, dev: bool) -> Option<Value> {
        let (audience, details) = self.details.as_ref()?;
        (dev || *audience == Audience::Everyone).then(details)
    }
}

impl ApiError {
    /// What it is.
    pub(super) fn declaration(&self) -> Declaration<'_> {
        use Audience::{Developers, Everyone};
        use Declaration as D;
        use StatusCode as S;

        match self {
            Self::AuthRequired => D::new(
                S::UNAUTHORIZED,
                "AUTH_REQUIRED",
                "authentication is required",
            )
            .challenge("Bearer realm=\"mozaiks\""),
            Self::AuthInvalid(what) => D::new(
                S::UNAUTHORIZED,
                "AUTH_INVALID",
                format!("the Authorization header is not valid: {what}"),
            )
            .challenge("Bearer realm=\"mozaiks\", error=\"invalid_request\""),
            Self::Token(error) => declare_token(error),
            Self::Forbidden(what) => D::new(S::FORBIDDEN, "FORBIDDEN", *what),
            Self::PluginNotFound => D::new(
                S::NOT_FOUND,
                "PLUGIN_NOT_FOUND",
                "there is no plugin of this name",
            ),
            Self::PluginMisnamed { hint, tell } => D::new(
                S::NOT_FOUND,
                "PLUGIN_NOT_FOUND",
                "there is no plugin of this name",
            )
            .told(
                if *tell { Everyone } else { Developers },
                move || json!({ "hint": &**hint }),
            ),
            Self::PluginDisabled => {
                D::new(S::NOT_FOUND, "PLUGIN_DISABLED", "the plugin is disabled")
            }
            Self::PluginUnavailable { reason, tell } => D::new(
                S::SERVICE_UNAVAILABLE,
                "PLUGIN_UNAVAILABLE",
                "the plugin is not available",
            )
            // The rest of it, a traceback, was logged when loading failed.
            .internal(reason.lines().next().unwrap_or_default())
            .told(
                if *tell { Everyone } else { Developers },
                move || json!({ "reason": &**reason }),
            ),
            Self::WorkerCrashed { reason, tell } => D::new(
                S::BAD_GATEWAY,
                "WORKER_CRASHED",
                "the process that ran the call has ended; whether the call was carried out is not known",
            )
            .told(
                if *tell { Everyone } else { Developers },
                move || json!({ "reason": reason.to_string() }),
            ),
            Self::NotFound => D::new(S::NOT_FOUND, "NOT_FOUND", "there is nothing at this path"),
            Self::MethodNotAllowed { .. } => D::new(
                S::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "the path does not take this method",
            ),
            Self::UpgradeRequired => D::new(
                S::UPGRADE_REQUIRED,
                "UPGRADE_REQUIRED",
                "this is the address of a WebSocket",
            ),
            Self::UnsupportedMediaType => D::new(
                S::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                "the body must be JSON in UTF-8, with content type application/json",
            ),
            Self::UnsupportedEncoding => D::new(
                S::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_ENCODING",
                "compressed bodies are not taken",
            ),
            Self::InvalidJson(what) => D::new(
                S::BAD_REQUEST,
                "INVALID_JSON",
                format!("the body is not valid JSON: {what}"),
            ),
            Self::InvalidRequest(what) => D::new(S::BAD_REQUEST, "INVALID_REQUEST", what.as_str()),
            Self::PayloadTooLarge { limit_bytes } => D::new(
                S::PAYLOAD_TOO_LARGE,
                "PAYLOAD_TOO_LARGE",
                format!("the body is larger than {limit_bytes} bytes"),
            )
            .told(Everyone, move || json!({ "limit_bytes": limit_bytes })),
            Self::RequestTimeout => D::new(
                S::REQUEST_TIMEOUT,
                "REQUEST_TIMEOUT",
                "the request did not arrive in time",
            ),
            Self::UriTooLong => D::new(S::URI_TOO_LONG, "URI_TOO_LONG", "the URI is too long"),
            Self::HeadTooLarge => D::new(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "HEADERS_TOO_LARGE",
                "the request has too many headers, or too large ones",
            ),
            Self::MalformedRequest => {
                D::new(S::BAD_REQUEST, "BAD_REQUEST", "the request is malformed")
            }
            Self::UnsupportedTransferEncoding => D::new(
                S::NOT_IMPLEMENTED,
                "UNSUPPORTED_TRANSFER_ENCODING",
                "the only transfer encoding taken is chunked",
            ),
            Self::PluginRaised { summary, traceback } => D::new(
                S::INTERNAL_SERVER_ERROR,
                "PLUGIN_ERROR",
                "the plugin failed",
            )
            .internal(summary)
            .told(
                Developers,
                move || json!({ "exception": summary, "traceback": traceback }),
            ),
            Self::PermissionDenied { permission, tell } => D::new(
                S::INTERNAL_SERVER_ERROR,
                "PERMISSION_DENIED",
                "the plugin lacks a permission",
            )
            .internal(permission)
            .told(
                if *tell { Everyone } else { Developers },
                move || json!({ "permission": permission }),
            ),
            Self::QuotaExceeded => D::new(
                S::INSUFFICIENT_STORAGE,
                "QUOTA_EXCEEDED",
                "what the plugin may store is used up",
            ),
            Self::EntityNotMigrated => D::new(
                S::FAILED_DEPENDENCY,
                "ENTITY_NOT_MIGRATED",
                "an entity that the plugin needs is not migrated",
            ),
            Self::PluginCancelled => D::new(
                S::INTERNAL_SERVER_ERROR,
                "PLUGIN_ERROR",
                "the call was cancelled",
            ),
            Self::PluginBadResult(what) => D::new(
                S::INTERNAL_SERVER_ERROR,
                "PLUGIN_BAD_RESULT",
                "the plugin returned something other than a dict",
            )
            .internal(what)
            .told(Developers, move || match what.as_str() {
                "NoneType" => json!({ "returned": what, "hint": RETURNED_NONE }),
                _ => json!({ "returned": what }),
            }),
            Self::OutputNotSerializable { path, reason } => D::new(
                S::INTERNAL_SERVER_ERROR,
                "OUTPUT_NOT_SERIALIZABLE",
                format!("the plugin's result cannot be sent as JSON: {path}"),
            )
            .internal(reason)
            .told(Everyone, move || json!({ "path": path, "reason": reason })),
            Self::OutputTooLarge { limit_bytes } => D::new(
                S::INTERNAL_SERVER_ERROR,
                "OUTPUT_TOO_LARGE",
                format!("the plugin's result is larger than {limit_bytes} bytes"),
            )
            .told(Everyone, move || json!({ "limit_bytes": limit_bytes })),
            Self::PluginTimeout(limit) => D::new(
                S::GATEWAY_TIMEOUT,
                "PLUGIN_TIMEOUT",
                format!("the plugin did not answer within {} s", limit.as_secs_f64()),
            )
            .told(
                Everyone,
                move || json!({ "timeout_seconds": limit.as_secs_f64() }),
            ),
            Self::NoExecute => D::new(S::NOT_FOUND, "NOT_FOUND", "the plugin has no execute"),
            Self::RateLimited { wait } => D::new(
                S::TOO_MANY_REQUESTS,
                "RATE_LIMITED",
                "too many calls: come back later",
            )
            .retry_after(*wait),
            // Only admins get here.
            Self::Life(error) => {
                let declared = D::new(
                    host_status(error.code()),
                    error.code(),
                    error.public_message(),
                );
                match error.details(true) {
                    Some(details) => declared.told(Everyone, move || details.clone()),
                    None => declared,
                }
            }
            Self::Overloaded(what) => D::new(S::SERVICE_UNAVAILABLE, "OVERLOADED", *what).retry(),
            Self::DatabaseUnavailable => D::new(
                S::SERVICE_UNAVAILABLE,
                "DATABASE_UNAVAILABLE",
                "the database does not answer",
            ),
            Self::StorageFull => D::new(
                S::INSUFFICIENT_STORAGE,
                "STORAGE_FULL",
                "there is no room left to store this",
            ),
            Self::Host(error) => {
                let declared = D::new(host_status(error.code), error.code, error.message.as_str());
                match &error.details {
                    None => declared,
                    Some(details) => declared.told(Everyone, move || {
                        serde_json::from_slice(details).unwrap_or_default()
                    }),
                }
            }
            Self::Internal(what) => D::new(
                S::INTERNAL_SERVER_ERROR,
                "INTERNAL_ERROR",
                "something went wrong in the gateway",
            )
            .internal(what),
        }
    }
}

fn declare_token(error: &AuthError) -> Declaration<'_> {
    let refused = |code| {
        Declaration::new(StatusCode::UNAUTHORIZED, code, error.to_string())
            .challenge("Bearer realm=\"mozaiks\", error=\"invalid_token\"")
    };
    match error {
        AuthError::Invalid(_) | AuthError::InvalidClaim(_) => refused("TOKEN_INVALID"),
        AuthError::Expired => refused("TOKEN_EXPIRED"),
        AuthError::NotYetValid => refused("TOKEN_NOT_YET_VALID"),
        AuthError::TooLarge => refused("TOKEN_TOO_LARGE"),
        AuthError::KeysUnavailable => Declaration::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "OVERLOADED",
            error.to_string(),
        )
        .retry(),
        AuthError::AppMismatch => {
            Declaration::new(StatusCode::FORBIDDEN, "APP_MISMATCH", error.to_string())
        }
        AuthError::ScopeMissing(scope) => {
            Declaration::new(StatusCode::FORBIDDEN, "FORBIDDEN", error.to_string())
                .challenge("Bearer realm=\"mozaiks\", error=\"insufficient_scope\"")
                .told(Audience::Everyone, move || json!({ "scope": &**scope }))
        }
    }
}
