//! Whose app work is done for.

use std::sync::Arc;

use super::host_error;
use mozaiks_plugins::{Caller, HostError};

/// Which app work belongs to that does not say so itself.
#[derive(Debug, Clone)]
pub struct Apps {
    only: Option<Arc<str>>,
}

impl Apps {
    /// From the configured app: `*` stands for many.
    pub fn new(configured: &str) -> Self {
        Self {
            only: (configured != "*").then(|| Arc::from(configured)),
        }
    }

    /// Whether the gateway serves more than one app.
    pub fn are_many(&self) -> bool {
        self.only.is_none()
    }

    /// The app that a caller works for: its call's, else the only one there is.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for work without an app in a gateway of many.
    pub fn require(&self, caller: &Caller) -> Result<Arc<str>, HostError> {
        (caller.app_id.as_ref().or(self.only.as_ref()))
            .cloned()
            .ok_or_else(|| {
                host_error(
                    "VALIDATION_ERROR",
                    "this gateway serves many apps, and this work belongs to none of them: an import, \
                     on_load and on_unload run once for all apps (there ctx.app_id is None). \
                     Database, storage, configuration, events, pushes, notifications and settings \
                     are to be used where an app is served: in on_enable, on_disable, execute, \
                     routes, middleware, messages, listeners, jobs, check_health",
                )
            })
    }
}
