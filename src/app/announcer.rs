//! Tells subscribers of every finished call: `plugin_executed`, `plugin_execution_error`.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::{
    events::{EventBus, EventDraft},
    plugins::{
        CallError,
        dispatch::{CallObserver, DispatchError, FinishedCall},
    },
};

/// Publishes an event for each call.
pub(super) struct Announcer {
    events: Arc<EventBus>,
    executed: Arc<str>,
    failed: Arc<str>,
}

impl Announcer {
    pub(super) fn new(events: Arc<EventBus>) -> Self {
        Self {
            events,
            executed: "plugin_executed".into(),
            failed: "plugin_execution_error".into(),
        }
    }
}

#[derive(Serialize)]
struct Told<'a> {
    app_id: &'a str,
    plugin: &'a str,
    user: &'a str,
    action: Option<&'a str>,
    /// Seconds.
    execution_time: f64,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl CallObserver for Announcer {
    fn call_finished(&self, call: &FinishedCall<'_>) {
        let (action, error) = match call.outcome {
            Ok(reply) => (reply.action.as_deref(), None),
            Err(error) => (action_of(error), Some(error.to_string())),
        };
        let name = if error.is_none() {
            &self.executed
        } else {
            &self.failed
        };
        let told = Told {
            app_id: &call.principal.app_id,
            plugin: call.plugin,
            user: &call.principal.user_id,
            action,
            execution_time: call.elapsed.as_secs_f64(),
            request_id: call.request_id,
            error,
        };
        let Ok(data) = serde_json::to_vec(&told) else {
            return;
        };
        let published = self.events.publish(EventDraft {
            app_id: call.principal.app_id.clone(),
            principal: Some(Arc::clone(call.principal)),
            request_id: Some(Arc::clone(call.request_id)),
            name: Arc::clone(name),
            data: Bytes::from(data),
        });
        if let Err(error) = published {
            tracing::error!(event.name = &**name, error = %error, "an event could not be published");
        }
    }
}

fn action_of(error: &DispatchError) -> Option<&str> {
    match error {
        DispatchError::Call(CallError::Raised { action, .. }) => action.as_deref(),
        _ => None,
    }
}
