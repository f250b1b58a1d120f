//! What a call is called with: its input becomes Python objects, with the verified identity in them.

use std::sync::Arc;

use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyString},
};

use crate::{
    call::{Call, CallEnvironment},
    driver::Arguments,
    job::CallJob,
    json_in,
    outbox::ReplySlot,
};
use mozaiks_plugins::{CallError, Input, Invocation};

/// A call whose input has been parsed.
pub(super) struct ReadyCall {
    pub call: Call,
    pub function: Py<PyAny>,
    pub arguments: Arguments,
}

/// Parses the input and gathers what a call needs; gives the reply slot back where that fails.
pub(super) fn prepare(
    py: Python<'_>,
    environment: &Arc<CallEnvironment>,
    job: CallJob,
) -> Result<ReadyCall, (ReplySlot, CallError)> {
    let CallJob {
        call,
        function,
        reply,
    } = job;
    let (arguments, action) = match arguments(py, &call, environment.max_depth) {
        Ok(parsed) => parsed,
        Err(error) => return Err((reply, error)),
    };
    let callable = function.callable(py);
    let call = Call {
        environment: environment.clone(),
        id: call.id,
        code: function.code().clone(),
        principal: call.principal,
        app_id: call.app_id,
        request_id: call.request_id,
        action,
        reply,
        wants: call.wants,
    };
    Ok(ReadyCall {
        call,
        function: callable,
        arguments,
    })
}

/// What the function is called with, and the action that a client's body names.
fn arguments(
    py: Python<'_>,
    call: &Invocation,
    max_depth: usize,
) -> Result<(Arguments, Option<Box<str>>), CallError> {
    let whose = json_in::Whose {
        principal: call.principal.as_ref(),
        app_id: call.app_id.as_deref(),
        request_id: &call.request_id,
    };
    let record = call.record.as_deref();
    match &call.input {
        Input::Body(body) => {
            let data = json_in::parse_object(py, body, record, max_depth, &whose)?;
            let action = action_of(py, &data);
            Ok((Arguments::Data(data.unbind()), action))
        }
        Input::Message {
            object,
            connection_id,
        } => {
            let data = json_in::parse_object(py, object, record, max_depth, &whose)?;
            let arguments = (data, &**connection_id)
                .into_pyobject(py)
                .map_err(|error| CallError::Internal(error.to_string()))?;
            Ok((Arguments::Positional(arguments.unbind()), None))
        }
        Input::Arguments(array) => {
            let arguments = json_in::parse_arguments(py, array, max_depth + WRAPPED)?.to_tuple();
            Ok((Arguments::Positional(arguments.unbind()), None))
        }
    }
}

/// What the gateway puts round a client's body when it makes an argument of it.
const WRAPPED: usize = 1;

/// The string under `action`, as far as it is of a name's length.
fn action_of(py: Python<'_>, data: &Bound<'_, PyDict>) -> Option<Box<str>> {
    const MAX_ACTION_BYTES: usize = 128;
    let action = data.get_item(intern!(py, "action")).ok().flatten()?;
    let action = action.cast::<PyString>().ok()?.to_str().ok()?;
    (action.len() <= MAX_ACTION_BYTES).then(|| action.into())
}
