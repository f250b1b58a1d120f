//! Notes calls of plugins' parts.

use std::sync::Arc;

use bson::DateTime;

use super::host::PartNames;
use crate::http::ApiError;
use mozaiks_lifecycle::executions::{Execution, Executions};
use mozaiks_plugins::{
    CallKind, Target,
    dispatch::{CallObserver, FinishedCall},
};

/// Hears of every call, and notes those of parts.
pub(super) struct PartCalls {
    names: Arc<PartNames>,
    executions: Arc<Executions>,
}

impl PartCalls {
    pub(super) fn new(names: &Arc<PartNames>, executions: &Arc<Executions>) -> Self {
        Self {
            names: Arc::clone(names),
            executions: Arc::clone(executions),
        }
    }
}

impl CallObserver for PartCalls {
    fn call_finished(&self, call: &FinishedCall<'_>) {
        let kind = match call.kind {
            CallKind::Route => "route",
            CallKind::Hook => "hook",
            CallKind::Event => "event",
            CallKind::Execute
            | CallKind::Message
            | CallKind::Life
            | CallKind::Job
            | CallKind::Migration => return,
        };
        let Target::Handler(handler) = call.target else {
            return;
        };
        let (Some(name), Some(app_id)) = (self.names.of(handler), call.app_id) else {
            return;
        };
        let error_code = match call.outcome {
            Ok(_) => None,
            Err(error) => Some(ApiError::from(error.clone()).status_and_code().1),
        };
        self.executions.note(Execution {
            app_id: Arc::clone(app_id),
            plugin: Arc::clone(call.plugin),
            kind,
            name,
            error_code,
            elapsed: call.elapsed,
            user_id: call.principal.map(|principal| principal.user_id.clone()),
            request_id: Arc::clone(call.request_id),
            at: DateTime::now(),
        });
    }
}
