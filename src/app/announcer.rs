//! Tells subscribers of every finished call: `plugin_executed`, `plugin_execution_error`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;

use mozaiks_auth::Principal;
use mozaiks_events::{DeferredData, EventBus, EventData, EventDraft};
use mozaiks_plugins::{
    CallError, CallKind,
    dispatch::{CallObserver, DispatchError, FinishedCall},
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

/// What there is to say of a finished call, until somebody wants to read it.
#[derive(Debug)]
struct CallSummary {
    plugin: Arc<str>,
    principal: Arc<Principal>,
    request_id: Arc<str>,
    action: Option<Box<str>>,
    execution_time: Duration,
    error: Option<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    app_id: &'a str,
    plugin: &'a str,
    user: &'a str,
    action: Option<&'a str>,
    /// Seconds.
    execution_time: f64,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl DeferredData for CallSummary {
    fn to_json(&self) -> Bytes {
        let written = Written {
            app_id: &self.principal.app_id,
            plugin: &self.plugin,
            user: &self.principal.user_id,
            action: self.action.as_deref(),
            execution_time: self.execution_time.as_secs_f64(),
            request_id: &self.request_id,
            error: self.error.as_deref(),
        };
        serde_json::to_vec(&written)
            .expect("invariant: strings and numbers have a JSON form")
            .into()
    }

    fn size_bytes(&self) -> usize {
        self.action.as_ref().map_or(0, |action| action.len())
            + self.error.as_ref().map_or(0, String::len)
            + self.request_id.len()
            + size_of::<Self>()
    }
}

impl CallObserver for Announcer {
    fn call_finished(&self, call: &FinishedCall<'_>) {
        // Of calls by clients only: an event for each delivery of an event would never end.
        let (CallKind::Execute, Some(principal)) = (call.kind, call.principal) else {
            return;
        };
        let (action, error) = match call.outcome {
            Ok(reply) => (reply.action.clone(), None),
            Err(error) => (action_of(error), Some(error.to_string())),
        };
        let name = if error.is_none() {
            &self.executed
        } else {
            &self.failed
        };
        let summary = CallSummary {
            plugin: Arc::clone(call.plugin),
            principal: Arc::clone(principal),
            request_id: Arc::clone(call.request_id),
            action,
            execution_time: call.elapsed,
            error,
        };
        let published = self.events.publish(EventDraft {
            app_id: principal.app_id.clone(),
            principal: Some(Arc::clone(principal)),
            request_id: Some(Arc::clone(call.request_id)),
            name: Arc::clone(name),
            data: EventData::Deferred(Arc::new(summary)),
        });
        if let Err(error) = published {
            tracing::error!(event.name = &**name, error = %error, "an event could not be published");
        }
    }
}

fn action_of(error: &DispatchError) -> Option<Box<str>> {
    match error {
        DispatchError::Call(CallError::Raised { action, .. }) => action.clone(),
        _ => None,
    }
}
