//! Why something about a plugin's life was not done.

use mozaiks_jobs::JobError;
use mozaiks_store::{StoreError, StoreErrorKind};
use serde_json::{Value, json};

use crate::manager::Failure;

/// What is wrong, with a code of the contract.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LifeError {
    /// What was given does not fit.
    #[error("{message}")]
    Invalid {
        /// A sentence.
        message: String,
        /// Where, as a JSON Pointer or a name.
        path: Option<String>,
    },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done as things are; the list says what is in the way.
    #[error("{message}")]
    Conflict {
        /// A sentence.
        message: String,
        /// What is in the way.
        list: Vec<String>,
    },
    /// A new load failed; the one before serves.
    #[error("{summary}")]
    ReloadFailed {
        /// One line.
        summary: String,
        /// The whole, for admins.
        traceback: Option<String>,
    },
    /// There are as many as there may be.
    #[error("{0}")]
    LimitExceeded(String),
    /// What the plugin may store is used up.
    #[error("the plugin's storage is used up: {limit_bytes} bytes are allowed")]
    QuotaExceeded {
        /// The limit.
        limit_bytes: u64,
    },
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Failure> for LifeError {
    fn from(failure: Failure) -> Self {
        Self::ReloadFailed {
            summary: failure.summary,
            traceback: Some(failure.traceback),
        }
    }
}

impl LifeError {
    /// Something that does not fit.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            path: None,
        }
    }

    /// Something that does not fit, with its name.
    pub fn invalid_at(path: &str, message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            path: Some(path.into()),
        }
    }

    /// The contract's code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "VALIDATION_ERROR",
            Self::NotFound(_) => "NOT_FOUND",
            Self::Conflict { .. } => "CONFLICT",
            Self::ReloadFailed { .. } => "RELOAD_FAILED",
            Self::LimitExceeded(_) => "LIMIT_EXCEEDED",
            Self::QuotaExceeded { .. } => "QUOTA_EXCEEDED",
            Self::Store(store) => match store.kind {
                StoreErrorKind::Unavailable | StoreErrorKind::Full => store.error_code(),
                StoreErrorKind::Conflict | StoreErrorKind::Invalid | StoreErrorKind::Other => {
                    "INTERNAL_ERROR"
                }
            },
        }
    }

    /// What clients may read. What a driver says names hosts; clients are not to know them.
    pub fn public_message(&self) -> String {
        match self {
            Self::Store(store) => match store.kind {
                StoreErrorKind::Unavailable => "the database does not answer".into(),
                StoreErrorKind::Full => "the database has no room left".into(),
                StoreErrorKind::Conflict | StoreErrorKind::Invalid | StoreErrorKind::Other => {
                    "the database refused".into()
                }
            },
            other => other.to_string(),
        }
    }

    /// More, for `details`; what only admins may see is in it for them only.
    pub fn details(&self, is_admin: bool) -> Option<Value> {
        match self {
            Self::Invalid { path, .. } => path.as_ref().map(|path| json!({ "path": path })),
            Self::Conflict { list, .. } if !list.is_empty() => Some(json!({ "list": list })),
            Self::ReloadFailed {
                traceback: Some(traceback),
                ..
            } if is_admin => Some(json!({ "traceback": traceback })),
            Self::QuotaExceeded { limit_bytes } => Some(json!({ "limit_bytes": limit_bytes })),
            Self::NotFound(_)
            | Self::Conflict { .. }
            | Self::ReloadFailed { .. }
            | Self::LimitExceeded(_)
            | Self::Store(_) => None,
        }
    }
}

impl From<JobError> for LifeError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Invalid(message) => Self::invalid(message),
            JobError::NotFound => Self::NotFound("there is no such job".into()),
            JobError::Conflict(state) if state == "claimed" => Self::Conflict {
                message: "the job is running".into(),
                list: Vec::new(),
            },
            JobError::Conflict(state) => Self::Conflict {
                message: format!("the job cannot run: it is {state}"),
                list: Vec::new(),
            },
            JobError::Store(error) => Self::Store(error),
        }
    }
}
