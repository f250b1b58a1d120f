//! What may be told about every finished call, without knowing who listens.

use std::{sync::Arc, time::Duration};

use crate::auth::Principal;

/// One finished call of `execute`.
#[derive(Debug)]
pub struct FinishedCall<'a> {
    /// Whom it was for.
    pub principal: &'a Arc<Principal>,
    /// The plugin's name.
    pub plugin: &'a Arc<str>,
    /// The string under `action` of the request.
    pub action: Option<&'a str>,
    /// From the look-up of the plugin to its answer.
    pub execution_time: Duration,
    /// The request's id.
    pub request_id: &'a Arc<str>,
    /// `None` where the plugin returned a dict without an error; else the `error_code` the client
    /// was given.
    pub error_code: Option<&'a str>,
}

/// Told about every finished call, also where its client has gone away. It is called on the request
/// path: it may queue, it must not block.
pub trait CallObserver: Send + Sync + 'static {
    /// A call has ended.
    fn call_finished(&self, call: &FinishedCall<'_>);
}
