//! What a pool thread runs: a call of a plain function, or work that a plugin has put aside.

use std::sync::Arc;

use pyo3::{exceptions::PyRuntimeError, prelude::*, types::PyTuple};

use super::{Pool, aside::Aside, lanes::Work};
use crate::{
    call::Call,
    driver::Arguments,
    job::{CallJob, Job},
    prepare::{ReadyCall, prepare},
    progress::Progress,
    runtime_types::Entered,
};
use mozaiks_plugins::{CallError, CallId};

/// Work for a pool thread.
pub(crate) enum PoolJob {
    /// A call of a plain function.
    Call(CallJob),
    /// `asyncio.to_thread` and the like.
    Aside(Aside),
}

impl Work for PoolJob {
    fn plugin(&self) -> &Arc<str> {
        match self {
            Self::Call(job) => &job.function.code().plugin,
            Self::Aside(aside) => &aside.plugin,
        }
    }
}

impl PoolJob {
    /// The call's id, where it is one.
    pub(super) fn id(&self) -> Option<CallId> {
        match self {
            Self::Call(job) => Some(job.call.id),
            Self::Aside(_) => None,
        }
    }

    /// Answers without having run.
    pub(super) fn refuse(self, error: CallError) {
        match self {
            Self::Call(job) => job.reply.complete(Err(error)),
            Self::Aside(_) => {}
        }
    }
}

/// Runs one job on a pool thread.
pub(super) fn run(py: Python<'_>, pool: &Pool, progress: &Progress, job: PoolJob) {
    if job
        .id()
        .is_some_and(|id| pool.environment.calls.take_asked(id))
    {
        return job.refuse(CallError::Cancelled);
    }
    match job {
        PoolJob::Call(job) => run_call(py, pool, progress, job),
        PoolJob::Aside(aside) => aside.run(py, &pool.queue),
    }
}

fn run_call(py: Python<'_>, pool: &Pool, progress: &Progress, job: CallJob) {
    if !job.call.started.begin() {
        return job.reply.complete(Err(CallError::Cancelled));
    }
    let ReadyCall {
        call,
        function,
        arguments,
    } = match prepare(py, &pool.environment, job) {
        Ok(ready) => ready,
        Err((reply, error)) => return reply.complete(Err(error)),
    };
    let arguments = match arguments {
        Arguments::Data(data) => PyTuple::new(py, [data]),
        Arguments::Positional(arguments) => Ok(arguments.into_bound(py)),
        Arguments::Awaitable => Ok(PyTuple::empty(py)),
    };
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(error) => return call.finish(py, Err(error)),
    };
    let before = progress.enter(call.id, call.code.generation);
    run_plain(py, pool, call, function.bind(py), arguments);
    progress.leave(py, before);
}

fn run_plain(
    py: Python<'_>,
    pool: &Pool,
    call: Call,
    function: &Bound<'_, PyAny>,
    arguments: Bound<'_, PyTuple>,
) {
    let entered = match Bound::new(py, call.info()).and_then(|info| Entered::new(info.as_any())) {
        Ok(entered) => entered,
        Err(error) => return call.finish(py, Err(error)),
    };
    let outcome = function.call1(arguments);
    match outcome {
        Ok(value) if is_awaitable(&value) => {
            drop(entered);
            let job = Job::Await {
                awaitable: value.unbind(),
                call,
            };
            // Refused only by a loop that has ended.
            if let Err((_, Job::Await { call, .. })) = pool.queue.inbox.push_control(job) {
                call.finish(
                    py,
                    Err(PyRuntimeError::new_err("the event loop has stopped")),
                );
            }
        }
        outcome => call.finish(py, outcome),
    }
}

fn is_awaitable(value: &Bound<'_, PyAny>) -> bool {
    // A dict, which nearly every function returns, has no `__await__`.
    value
        .get_type()
        .hasattr(pyo3::intern!(value.py(), "__await__"))
        .unwrap_or(false)
}
