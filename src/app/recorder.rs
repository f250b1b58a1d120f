//! Counts every finished call and logs what a plugin raised.

use std::sync::Arc;

use super::host::RegistrySlot;
use crate::http::ApiError;
use mozaiks_plugins::{
    CallError, CallKind, CallReply,
    dispatch::{CallObserver, DispatchError, FinishedCall},
    findings::{FindingKind, RETURNED_NONE},
};
use mozaiks_telemetry::metrics::CallOutcome;

/// Hears of every call, also of those whose clients have gone.
pub(super) struct Recorder {
    /// Keeps what is noticed.
    registry: RegistrySlot,
}

impl CallObserver for Recorder {
    fn call_finished(&self, call: &FinishedCall<'_>) {
        let metrics = &call.traffic.metrics;
        metrics.call_finished(call.kind.counted(), outcome(call.outcome), call.elapsed);
        match call.outcome {
            Ok(reply) => {
                if let Some(code) = &reply.domain_failure {
                    metrics.call_failed(code.as_deref().unwrap_or_default());
                }
            }
            // The one place that knows codes.
            Err(error) => {
                metrics.call_failed(ApiError::from(error.clone()).status_and_code().1);
            }
        }
        // A failed delivery is tried again, and logged with its dead letter.
        // A step of a plugin's life, a job's run, a migration and a hook's function are told by whoever takes them.
        if matches!(
            call.kind,
            CallKind::Event | CallKind::Life | CallKind::Job | CallKind::Migration | CallKind::Hook
        ) {
            return;
        }
        if let Err(DispatchError::Call(CallError::BadResult(what))) = call.outcome
            && what == "NoneType"
        {
            self.note_none(call);
        }
        if let Err(DispatchError::Call(CallError::Raised { traceback, .. })) = call.outcome {
            tracing::event!(
                target: "plugin",
                tracing::Level::ERROR,
                plugin.name = &**call.plugin,
                request.id = &**call.request_id,
                app.id = call.principal.map(|principal| &*principal.app_id),
                user.id = call.principal.map(|principal| &*principal.user_id),
                traceback = traceback.as_str(),
                "the plugin raised"
            );
        }
    }
}

impl Recorder {
    /// One for the plugins of the registry.
    pub(super) fn new(registry: &RegistrySlot) -> Self {
        Self {
            registry: Arc::clone(registry),
        }
    }

    fn note_none(&self, call: &FinishedCall<'_>) {
        let Some(registry) = self.registry.get() else {
            return;
        };
        let kind = FindingKind::ReturnedNone;
        let findings = registry.findings();
        if findings.note(call.plugin, call.generation, kind, RETURNED_NONE) {
            tracing::warn!(
                plugin.name = &**call.plugin,
                "plugin.returned_none: {RETURNED_NONE}"
            );
        }
    }
}

fn outcome(result: &Result<CallReply, DispatchError>) -> CallOutcome {
    match result {
        Ok(reply) if reply.domain_failure.is_some() => CallOutcome::DomainFailure,
        Ok(_) => CallOutcome::Ok,
        Err(DispatchError::TimedOut(_)) => CallOutcome::TimedOut,
        Err(DispatchError::Overloaded | DispatchError::NotStarted(_)) => CallOutcome::Overloaded,
        Err(
            DispatchError::Disabled
            | DispatchError::Misfit(_)
            | DispatchError::NoExecute
            | DispatchError::Unavailable(_),
        ) => CallOutcome::Rejected,
        Err(DispatchError::Call(error)) => match error {
            CallError::InvalidJson(_)
            | CallError::NotAnObject(_)
            | CallError::NotLoaded
            | CallError::Internal(_) => CallOutcome::Rejected,
            CallError::Raised { .. }
            | CallError::BadResult(_)
            | CallError::NotSerializable { .. }
            | CallError::OutputTooLarge { .. }
            | CallError::Cancelled => CallOutcome::PluginError,
            CallError::WorkerCrashed(_) => CallOutcome::Crashed,
        },
    }
}
