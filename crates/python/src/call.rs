//! One call on its way through Python: who calls, and its end.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::{
    caller::CallInfo,
    calls::CallTable,
    code::Code,
    error,
    host_link::HostLink,
    json_out::{self, OutputLimits},
    loop_state::LoopState,
    outbox::{Outbox, ReplySlot},
    runtime_types::Kinds,
};
use mozaiks_auth::Principal;
use mozaiks_plugins::{CallError, CallId, CallReply, CallResult, Wants};

/// What calls need of their runtime, wherever they run.
pub(super) struct CallEnvironment {
    pub output: OutputLimits,
    /// How deep a call's input may be nested.
    pub max_depth: usize,
    pub calls: CallTable,
    pub looping: Arc<LoopState>,
    pub outbox: Arc<Outbox>,
    /// What plugin code has of the runtime while it runs.
    pub host: Arc<HostLink>,
}

/// What is needed to end a call, wherever it ends.
pub(super) struct Call {
    pub environment: Arc<CallEnvironment>,
    pub id: CallId,
    /// Keeps the generation's modules until the call has ended.
    pub code: Arc<Code>,
    pub principal: Option<Arc<Principal>>,
    pub app_id: Option<Arc<str>>,
    pub request_id: Arc<str>,
    pub action: Option<Box<str>>,
    pub reply: ReplySlot,
    /// What the function is to give.
    pub wants: Wants,
}

impl Call {
    /// The context variable's value for this call.
    pub(super) fn info(&self) -> CallInfo {
        CallInfo {
            host: self.environment.host.clone(),
            plugin: self.code.plugin.clone(),
            generation: self.code.generation,
            principal: self.principal.clone(),
            app_id: self.app_id.clone(),
            request_id: Some(self.request_id.clone()),
            call: Some(self.id),
        }
    }

    /// Answers with what the function returned or raised.
    pub(super) fn finish(self, py: Python<'_>, outcome: PyResult<Bound<'_, PyAny>>) {
        let result = match outcome {
            Ok(value) => self.convert(&value),
            Err(raised) => self.explain(py, &raised),
        };
        self.end(result);
    }

    /// Answers with a result already made.
    pub(super) fn end(self, result: CallResult) {
        self.environment.calls.take_asked(self.id);
        self.reply.complete(result);
    }

    fn convert(&self, value: &Bound<'_, PyAny>) -> CallResult {
        let limits = self.environment.output;
        let body = match self.wants {
            Wants::Dict => return json_out::write_reply(value, limits, self.action.clone()),
            Wants::Json => json_out::write_value(value, limits)?,
            Wants::Anything => {
                json_out::write_value(value, limits).unwrap_or_else(|_| b"null".to_vec())
            }
        };
        Ok(CallReply {
            body: body.into(),
            domain_failure: None,
            action: None,
        })
    }

    fn explain(&self, py: Python<'_>, raised: &PyErr) -> CallResult {
        let kinds = Kinds::get(py);
        if raised.is_instance(py, kinds.interrupted.bind(py))
            || (raised.is_instance(py, kinds.cancelled_error.bind(py))
                && self.environment.calls.is_asked(self.id))
        {
            return Err(CallError::Cancelled);
        }
        Err(error::raised(py, raised, self.action.clone()))
    }
}
