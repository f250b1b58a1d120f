//! What the managers of plugins' life refuse, as plugin code is told.

use bytes::Bytes;
use mozaiks_lifecycle::error::LifeError;
use mozaiks_plugins::HostError;

/// A fault of the database is logged here; the plugin is only told that there was one.
pub(super) fn life_error(error: LifeError) -> HostError {
    if let LifeError::Store(store) = &error {
        tracing::warn!(error = %store, "a plugin's data was not read or written");
    }
    HostError {
        code: error.code(),
        message: error.public_message(),
        details: error
            .details(false)
            .and_then(|details| serde_json::to_vec(&details).ok())
            .map(Bytes::from),
    }
}
