//! The only place where errors become responses.
//!
//! Every error has a status, an `error_code`, a sentence for the client and, where there is more to
//! know, one for the log: all of it stands in its one declaration.

mod conversions;
mod declarations;
mod response;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};

pub(super) use self::response::refusal_answer;
use mozaiks_auth::AuthError;
use mozaiks_lifecycle::error::LifeError;
use mozaiks_plugins::{HostError, runtime::CrashReason};

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
    /// A plugin of that name does not exist, but a folder that was to be one.
    PluginMisnamed {
        /// What is wrong with it, for admins and developers.
        hint: Arc<str>,
        /// Whether this client is an admin.
        tell: bool,
    },
    /// Switched off.
    PluginDisabled,
    /// Not loaded.
    PluginUnavailable {
        /// Why, for admins and the log.
        reason: Arc<str>,
        /// Whether this client is one.
        tell: bool,
    },
    /// The process that ran the call has died.
    WorkerCrashed {
        /// Why, for admins and the log.
        reason: CrashReason,
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
    /// The plugin asked for what it may not do.
    PermissionDenied {
        /// The entry that is missing, for admins and the log.
        permission: Box<str>,
        /// Whether this client is one.
        tell: bool,
    },
    /// What the plugin may store is used up.
    QuotaExceeded,
    /// The plugin needs an entity whose collection is not there yet.
    EntityNotMigrated,
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
    /// The plugin has lifecycle functions, routes and the like, and no `execute`.
    NoExecute,
    /// More calls than allowed.
    RateLimited {
        /// How long to wait.
        wait: Duration,
    },
    /// A step of a plugin's life was not taken.
    Life(LifeError),
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
        let declared = self.declaration();
        (declared.status, declared.code)
    }

    /// Something of a body that does not fit, and where.
    pub(super) fn invalid(message: &str, path: &str) -> Self {
        let details = serde_json::json!({ "path": path }).to_string();
        Self::Host(HostError {
            code: "VALIDATION_ERROR",
            message: message.to_owned(),
            details: Some(details.into()),
        })
    }

    /// Whether a plugin has answered, and with nothing that a client could be given, or not in time.
    pub(super) fn is_of_an_answer(&self) -> bool {
        matches!(
            self,
            Self::PluginBadResult(_)
                | Self::OutputNotSerializable { .. }
                | Self::OutputTooLarge { .. }
                | Self::PluginTimeout(_)
        )
    }

    /// The sentence for the client.
    pub fn message(&self) -> String {
        self.declaration().message.into_owned()
    }

    /// What the log should know beside the code, where that is more than the client is told.
    pub fn internal(&self) -> Option<&str> {
        self.declaration().internal
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
        "DATABASE_UNAVAILABLE" | "FEATURE_DISABLED" | "OVERLOADED" => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        "PAYLOAD_TOO_LARGE" => StatusCode::PAYLOAD_TOO_LARGE,
        "STORAGE_FULL" | "QUOTA_EXCEEDED" => StatusCode::INSUFFICIENT_STORAGE,
        "RELOAD_FAILED" | "CHECKSUM_MISMATCH" | "MIGRATION_RUNNING" | "MIGRATION_DONE"
        | "NO_ROLLBACK" => StatusCode::CONFLICT,
        "WIDGET_NOT_FOUND" => StatusCode::NOT_FOUND,
        "ENTITY_NOT_MIGRATED" => StatusCode::FAILED_DEPENDENCY,
        "INTERNAL_ERROR" | "HOOK_FAILED" => StatusCode::INTERNAL_SERVER_ERROR,
        domain => domain_status(Some(domain)),
    }
}

#[cfg(test)]
mod tests;
