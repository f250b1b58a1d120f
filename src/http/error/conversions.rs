//! What the parts of the gateway fail with, as [`ApiError`].

use serde_json::{Value, json};

use super::ApiError;
use mozaiks_auth::AuthError;
use mozaiks_catalog::CatalogError;
use mozaiks_entities::error::EntityError;
use mozaiks_lifecycle::error::LifeError;
use mozaiks_plugins::{CallError, HostError, dispatch::DispatchError, runtime::HostTrouble};

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        Self::Token(error)
    }
}

impl From<LifeError> for ApiError {
    fn from(error: LifeError) -> Self {
        Self::Life(error)
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let refused = |code, message: String, details: Option<Value>| {
            Self::Host(HostError {
                code,
                message,
                details: details.map(|details| details.to_string().into()),
            })
        };
        let message = error.to_string();
        match error {
            CatalogError::Invalid { path, .. } => {
                refused("VALIDATION_ERROR", message, Some(json!({ "path": path })))
            }
            CatalogError::NoPlugin => Self::PluginNotFound,
            CatalogError::NotFound(_) => refused("NOT_FOUND", message, None),
            CatalogError::Forbidden(why) => Self::Forbidden(why),
            CatalogError::Conflict { details, .. } => refused("CONFLICT", message, details),
            CatalogError::TooLarge { .. } => refused("PAYLOAD_TOO_LARGE", message, None),
            CatalogError::Disabled => refused("FEATURE_DISABLED", message, None),
            CatalogError::Life { code, details, .. } => refused(code, message, details),
            CatalogError::Store(error) => Self::Life(LifeError::Store(error)),
        }
    }
}

impl From<EntityError> for ApiError {
    fn from(error: EntityError) -> Self {
        match &error {
            EntityError::Unavailable(reason) => {
                return Self::PluginUnavailable {
                    reason: reason.as_str().into(),
                    tell: true,
                };
            }
            EntityError::Store(store) => {
                tracing::warn!(error = %store, "entities or migrations were not read or written");
            }
            _ => {}
        }
        Self::Host(HostError {
            code: error.code(),
            message: error.public_message(),
            details: error.details().map(|details| details.to_string().into()),
        })
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
            DispatchError::Misfit(error) => Self::Host(error),
            DispatchError::NoExecute => Self::NoExecute,
            DispatchError::Overloaded => Self::Overloaded("too many calls are waiting"),
            DispatchError::NotStarted(_) => Self::Overloaded("the call has waited for too long"),
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
                trouble: Some(HostTrouble::DatabaseUnavailable),
                ..
            } => Self::DatabaseUnavailable,
            CallError::Raised {
                trouble: Some(HostTrouble::StorageFull),
                ..
            } => Self::StorageFull,
            CallError::Raised {
                trouble: Some(HostTrouble::QuotaExceeded),
                ..
            } => Self::QuotaExceeded,
            CallError::Raised {
                trouble: Some(HostTrouble::EntityNotMigrated),
                ..
            } => Self::EntityNotMigrated,
            CallError::Raised {
                trouble: Some(HostTrouble::PermissionDenied(permission)),
                ..
            } => Self::PermissionDenied {
                permission,
                tell: false,
            },
            CallError::Raised {
                summary,
                traceback,
                trouble: None,
                ..
            } => Self::PluginRaised { summary, traceback },
            CallError::BadResult(what) => Self::PluginBadResult(what),
            CallError::NotSerializable { path, reason } => {
                Self::OutputNotSerializable { path, reason }
            }
            CallError::OutputTooLarge { limit_bytes } => Self::OutputTooLarge { limit_bytes },
            CallError::Cancelled => Self::PluginCancelled,
            CallError::WorkerCrashed(reason) => Self::WorkerCrashed {
                reason,
                tell: false,
            },
            CallError::NotLoaded => Self::PluginUnavailable {
                reason: "its module is not loaded".into(),
                tell: false,
            },
            CallError::Internal(what) => Self::Internal(what),
        }
    }
}
