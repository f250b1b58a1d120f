//! What the parts of the gateway fail with, as code and sentence: the same whether a plugin asked or a
//! client did. What the database says stays in the log.

use bytes::Bytes;

use mozaiks_hooks::HookError;
use mozaiks_notifications::NotificationError;
use mozaiks_plugins::HostError;
use mozaiks_settings::SettingsError;
use mozaiks_store::StoreErrorKind;

/// An error without details.
pub fn host_error(code: &'static str, message: impl Into<String>) -> HostError {
    HostError {
        code,
        message: message.into(),
        details: None,
    }
}

/// A refusal with the contract's code; what the database says stays in the log.
pub fn notification_error(error: NotificationError) -> HostError {
    let store = match &error {
        NotificationError::Invalid { .. }
        | NotificationError::NotFound(_)
        | NotificationError::Conflict(_)
        | NotificationError::TooMany(_)
        | NotificationError::NotSent(_) => {
            return host_error(error.error_code(), error.to_string());
        }
        NotificationError::Internal(what) => {
            tracing::error!(error = what, "the notifications failed");
            return host_error("INTERNAL_ERROR", "the notifications failed");
        }
        NotificationError::Store(store) => store,
    };
    tracing::warn!(error = %store, "notifications were not read or written");
    match store.kind {
        StoreErrorKind::Unavailable => {
            host_error(store.error_code(), "the database does not answer")
        }
        StoreErrorKind::Full => host_error(store.error_code(), "the database has no room left"),
        StoreErrorKind::Conflict | StoreErrorKind::Invalid | StoreErrorKind::Other => {
            host_error("INTERNAL_ERROR", "the database refused")
        }
    }
}

/// A refusal with the contract's code; why a function has failed is in the log.
pub fn hook_error(error: HookError) -> HostError {
    let code = match &error {
        HookError::BadName | HookError::TooLarge(_) => "VALIDATION_ERROR",
        HookError::NotPublic => "NOT_FOUND",
        HookError::TooDeep(_) | HookError::TooMany(_) => "LIMIT_EXCEEDED",
        HookError::Failed { .. } => "HOOK_FAILED",
    };
    host_error(code, error.to_string())
}

/// A refusal with the contract's code; what does not fit is in the details.
pub fn settings_error(error: SettingsError) -> HostError {
    let (code, details) = match &error {
        SettingsError::BadPluginName(_) => ("VALIDATION_ERROR", None),
        SettingsError::Invalid(problems) => (
            "VALIDATION_ERROR",
            serde_json::to_vec(&serde_json::json!({ "problems": problems })).ok(),
        ),
        SettingsError::TooLarge { limit_bytes, .. } => (
            "VALIDATION_ERROR",
            serde_json::to_vec(&serde_json::json!({ "limit_bytes": limit_bytes })).ok(),
        ),
        SettingsError::Store(store) => match store.kind {
            StoreErrorKind::Unavailable | StoreErrorKind::Full => (store.error_code(), None),
            StoreErrorKind::Conflict | StoreErrorKind::Invalid | StoreErrorKind::Other => {
                ("INTERNAL_ERROR", None)
            }
        },
    };
    let message = match &error {
        // What the driver says names hosts; clients are not to know them.
        SettingsError::Store(store) => {
            tracing::warn!(error = %store, "settings were not read or written");
            match store.kind {
                StoreErrorKind::Unavailable => "the database does not answer".into(),
                StoreErrorKind::Full => "the database has no room left".into(),
                StoreErrorKind::Conflict | StoreErrorKind::Invalid | StoreErrorKind::Other => {
                    "the database refused".into()
                }
            }
        }
        other => other.to_string(),
    };
    HostError {
        code,
        message,
        details: details.map(Bytes::from),
    }
}
