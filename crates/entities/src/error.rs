//! Why something about entities or migrations was not done.

use mozaiks_store::{StoreError, StoreErrorKind};
use serde_json::{Value, json};

/// What is wrong, with a code of the contract.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EntityError {
    /// What was given does not fit.
    #[error("{message}")]
    Invalid {
        /// A sentence.
        message: String,
        /// Where, such as `entities/Cart.json` and `columns.id`.
        path: String,
    },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// A migration is not what was run.
    #[error("migration {0} has changed since it was run; `force` runs it as it is now")]
    ChecksumMismatch(String),
    /// A migration of the plugin is running, here or on another gateway.
    #[error("migration {0} of the plugin is running")]
    Running(String),
    /// A migration has been run already.
    #[error("migration {0} has been run already; `force` runs it again")]
    Done(String),
    /// A migration says nothing of its way back.
    #[error("migration {0} has no way back")]
    NoRollback(String),
    /// Python code is needed, and the plugin is not loaded.
    #[error("{0}")]
    Unavailable(String),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EntityError {
    /// Something that does not fit, and where.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            path: path.into(),
        }
    }

    /// The same below a file, or another thing that has a name.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        match self {
            Self::Invalid { message, path } if path.is_empty() => Self::invalid(outer, message),
            Self::Invalid { message, path } => Self::invalid(format!("{outer}: {path}"), message),
            other => other,
        }
    }

    /// The contract's code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "VALIDATION_ERROR",
            Self::NotFound(_) => "NOT_FOUND",
            Self::Conflict(_) => "CONFLICT",
            Self::ChecksumMismatch(_) => "CHECKSUM_MISMATCH",
            Self::Running(_) => "MIGRATION_RUNNING",
            Self::Done(_) => "MIGRATION_DONE",
            Self::NoRollback(_) => "NO_ROLLBACK",
            Self::Unavailable(_) => "PLUGIN_UNAVAILABLE",
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
            Self::Invalid { message, path } if path.is_empty() => message.clone(),
            Self::Invalid { message, path } => format!("{path}: {message}"),
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

    /// More, for `details`.
    pub fn details(&self) -> Option<Value> {
        match self {
            Self::Invalid { path, .. } => Some(json!({ "path": path })),
            Self::ChecksumMismatch(version)
            | Self::Running(version)
            | Self::Done(version)
            | Self::NoRollback(version) => Some(json!({ "version": version })),
            Self::NotFound(_) | Self::Conflict(_) | Self::Unavailable(_) | Self::Store(_) => None,
        }
    }
}
