//! What the loop thread does with its queue: takes jobs in batches and runs each call's first step at once,
//! in a real Task with a context of its own.
//!
//! Takes the queue, the calls' environment, and of the pools the one of plain calls.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
#[cfg(Py_3_12)]
use pyo3::types::PyDict;
use pyo3::{intern, prelude::*, types::PyBytes};

#[cfg(not(Py_3_12))]
use super::first_step::FirstSteps;
use crate::{
    call::{Call, CallEnvironment},
    caller::CallInfo,
    driver::{Arguments, Driver},
    error,
    job::{CallJob, Job, LoopQueue},
    loop_state::LoopState,
    parts::Parts,
    pool::Pool,
    prepare::prepare,
    runtime_types::Entered,
};
use mozaiks_plugins::{CallError, HostError};

/// Jobs started before suspended tasks get their turn.
const TURN_JOBS: usize = 256;

/// Time spent on new jobs before suspended tasks get their turn.
const TURN_TIME: Duration = Duration::from_millis(2);

/// What the loop calls when the inbox has something.
#[pyclass(frozen, module = "_mozaiks_native")]
pub(super) struct Reader {
    queue: Arc<LoopQueue>,
    environment: Arc<CallEnvironment>,
    /// Calls of plain functions.
    plain: Arc<Pool>,
    /// The batch being run; kept for its capacity.
    batch: Mutex<Vec<Job>>,
    event_loop: Py<PyAny>,
    turn_end: Py<TurnEnd>,
    #[cfg(not(Py_3_12))]
    first_steps: FirstSteps,
}

/// What the loop calls after the tasks that a batch has woken.
#[pyclass(frozen, module = "_mozaiks_native")]
struct TurnEnd {
    looping: Arc<LoopState>,
}

#[pymethods]
impl TurnEnd {
    fn __call__(&self) {
        self.looping.end_turn();
    }
}

#[pymethods]
impl Reader {
    fn __call__(&self, py: Python<'_>) {
        let (inbox, looping) = (&self.queue.inbox, &self.environment.looping);
        inbox.acknowledge();
        looping.turned();
        looping.progress.settle(py);
        looping.begin_batch();
        let started = Instant::now();
        let mut done = 0;
        let mut answers = false;
        let mut batch = std::mem::take(&mut *self.batch.lock());
        while inbox.take(&mut batch) {
            done += batch.len();
            for job in batch.drain(..) {
                answers |= matches!(job, Job::Answer { .. } | Job::Aside(_));
                // A panic is a bug of ours; it must not take the loop and all other calls along.
                if catch_unwind(AssertUnwindSafe(|| self.run(py, job))).is_err() {
                    tracing::error!("python.job_panicked");
                }
            }
            if done >= TURN_JOBS || started.elapsed() >= TURN_TIME {
                // Still armed: come back after the tasks that are ready now.
                inbox.wake();
                break;
            }
        }
        *self.batch.lock() = batch;
        looping.end_batch();
        if answers {
            self.flush_after_tasks(py);
        }
    }
}

impl Reader {
    /// Keeps what the tasks woken by this batch reply and ask for until all of them have run.
    fn flush_after_tasks(&self, py: Python<'_>) {
        let looping = &self.environment.looping;
        if !looping.begin_turn() {
            return;
        }
        let asked = self
            .event_loop
            .call_method1(py, intern!(py, "call_soon"), (&self.turn_end,));
        if let Err(raised) = asked {
            looping.give_up_turn();
            let reason = error::summary(py, &raised);
            tracing::warn!(reason, "python.call_soon_failed");
        }
    }

    pub(super) fn new(
        py: Python<'_>,
        parts: &Parts,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        Ok(Self {
            turn_end: Py::new(
                py,
                TurnEnd {
                    looping: parts.looping.clone(),
                },
            )?,
            queue: parts.queue.clone(),
            environment: parts.environment.clone(),
            plain: parts.pools.plain.clone(),
            batch: Mutex::default(),
            event_loop: event_loop.clone().unbind(),
            #[cfg(not(Py_3_12))]
            first_steps: FirstSteps::new(py, event_loop)?,
        })
    }

    fn run(&self, py: Python<'_>, job: Job) {
        match job {
            Job::Call(job) => self.call(py, job),
            Job::Await { awaitable, call } => {
                self.drive(py, awaitable, Arguments::Awaitable, call);
            }
            Job::Cancel(id) => {
                match self.environment.calls.task(py, id) {
                    Some(task) => {
                        // A task that has just ended needs no cancelling.
                        if let Err(raised) = task.call_method0(py, intern!(py, "cancel")) {
                            let reason = error::summary(py, &raised);
                            tracing::warn!(reason, "python.cancel_failed");
                        }
                    }
                    // It came in before this job: unless the pool has it, it has ended by now.
                    None if self.plain.has(id) => {}
                    None => {
                        self.environment.calls.take_asked(id);
                    }
                }
            }
            Job::Answer { request, result } => {
                let future = self.environment.host.answered(request);
                if let Some(future) = future
                    && let Err(raised) = answer(future.bind(py), result)
                {
                    let reason = error::summary(py, &raised);
                    tracing::warn!(reason, "python.answer_failed");
                }
            }
            Job::Aside(ended) => {
                if let Err(raised) = ended.tell(py) {
                    let reason = error::summary(py, &raised);
                    tracing::warn!(reason, "python.answer_failed");
                }
            }
            Job::Stop => {
                self.environment.looping.stop();
                if let Err(raised) = self.event_loop.call_method0(py, intern!(py, "stop")) {
                    let reason = error::summary(py, &raised);
                    tracing::error!(reason, "python.stop_failed");
                }
            }
        }
    }

    fn call(&self, py: Python<'_>, job: CallJob) {
        if self.environment.calls.take_asked(job.call.id) {
            return job.reply.complete(Err(CallError::Cancelled));
        }
        if !job.call.started.begin() {
            return job.reply.complete(Err(CallError::Cancelled));
        }
        match prepare(py, &self.environment, job) {
            Ok(ready) => self.drive(py, ready.function, ready.arguments, ready.call),
            Err((reply, error)) => reply.complete(Err(error)),
        }
    }

    /// Runs the first step now; the Task keeps what suspends.
    fn drive(&self, py: Python<'_>, function: Py<PyAny>, arguments: Arguments, call: Call) {
        let id = call.id;
        let info = call.info();
        let driver = match Bound::new(py, Driver::new(function, arguments, call)) {
            Ok(driver) => driver,
            Err(error) => {
                tracing::error!(reason = %error, "python.no_memory");
                return;
            }
        };
        match self.start_task(py, &driver, info) {
            Ok(task) => {
                if let Some(task) = task.filter(|_| !driver.get().is_done()) {
                    self.environment.calls.suspend(id, task.unbind());
                    if self.environment.calls.is_asked(id) {
                        // Its deadline passed during the first step; the request to cancel may
                        // have been looked at already.
                        drop(self.queue.inbox.push_control(Job::Cancel(id)));
                    }
                }
            }
            Err(raised) => {
                let reason = error::summary(py, &raised);
                driver.get().fail(CallError::Internal(format!(
                    "no task for the call: {reason}"
                )));
            }
        }
    }

    /// Python's own eager tasks.
    #[cfg(Py_3_12)]
    fn start_task<'py>(
        &self,
        py: Python<'py>,
        driver: &Bound<'py, Driver>,
        info: CallInfo,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let info = Bound::new(py, info)?.into_any();
        let context = Entered::new(&info)?.context().clone();
        let options = PyDict::new(py);
        options.set_item(intern!(py, "loop"), &self.event_loop)?;
        options.set_item(intern!(py, "context"), context)?;
        options.set_item(intern!(py, "eager_start"), true)?;
        crate::runtime_types::Kinds::get(py)
            .task
            .bind(py)
            .call((driver,), Some(&options))
            .map(Some)
    }

    /// The same for older Pythons.
    #[cfg(not(Py_3_12))]
    fn start_task<'py>(
        &self,
        py: Python<'py>,
        driver: &Bound<'py, Driver>,
        info: CallInfo,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let info = Bound::new(py, info)?.into_any();
        let entered = Entered::new(&info)?;
        self.first_steps.run(driver, entered.context())
    }
}

fn answer(future: &Bound<'_, PyAny>, result: Result<Bytes, HostError>) -> PyResult<()> {
    let py = future.py();
    // Whoever awaited may have been cancelled meanwhile; then there is nothing to tell.
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    match result {
        Ok(bytes) => {
            future.call_method1(intern!(py, "set_result"), (PyBytes::new(py, &bytes),))?;
        }
        Err(failure) => {
            let error = error::host_error(py, &failure)?;
            future.call_method1(intern!(py, "set_exception"), (error,))?;
        }
    }
    Ok(())
}
