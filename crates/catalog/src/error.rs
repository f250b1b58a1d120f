//! Why something about a stored plugin was not done.

use mozaiks_store::{StoreError, StoreErrorKind};
use serde_json::Value;

/// What is wrong, with a code of the contract.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// What was given does not fit.
    #[error("{message}")]
    Invalid {
        /// A sentence.
        message: String,
        /// Where: a file, a JSON Pointer or a name.
        path: String,
    },
    /// There is no such plugin, or none that this caller may know of.
    #[error("there is no such plugin")]
    NoPlugin,
    /// There is no such thing in the plugin.
    #[error("{0}")]
    NotFound(String),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// It cannot be done as things are; the details say what is in the way.
    #[error("{message}")]
    Conflict {
        /// A sentence.
        message: String,
        /// What is in the way.
        details: Option<Value>,
    },
    /// More than a plugin may be.
    #[error("{message}")]
    TooLarge {
        /// A sentence.
        message: String,
    },
    /// Stored plugins are switched off.
    #[error(
        "plugins stored in the database are switched off here: `database_plugins` is the setting"
    )]
    Disabled,
    /// What takes plugins through their life refused.
    #[error("{message}")]
    Life {
        /// The contract's code.
        code: &'static str,
        /// A sentence.
        message: String,
        /// More.
        details: Option<Value>,
    },
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CatalogError {
    /// Something that does not fit, with its place.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            path: path.into(),
        }
    }

    /// Something in the way.
    pub fn conflict(message: impl Into<String>, details: Option<Value>) -> Self {
        Self::Conflict {
            message: message.into(),
            details,
        }
    }

    /// Too much of something.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::TooLarge {
            message: message.into(),
        }
    }

    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind == StoreErrorKind::Conflict)
    }
}
