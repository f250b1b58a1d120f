//! The one thread that owns an asyncio loop: takes jobs in batches and runs each call's first step
//! at once, in a real Task with a context of its own.

#[cfg(not(Py_3_12))]
mod first_step;
mod put_aside;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};

#[cfg(not(Py_3_12))]
use self::first_step::FirstSteps;
use self::put_aside::PutAside;
use super::{
    call::{Arguments, Call, Driver},
    interpreter::attach,
    json_in,
    outbox::ReplySlot,
    runtime_types::Entered,
    shared::{CallJob, Job, Shared},
};
use mozaiks_plugins::{CallError, HostError, Input, Invocation};

/// Python frames of deep but finite recursion fit.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Jobs started before suspended tasks get their turn.
const TURN_JOBS: usize = 256;

/// Time spent on new jobs before suspended tasks get their turn.
const TURN_TIME: Duration = Duration::from_millis(2);

/// Starts the thread; returns once its loop is ready.
///
/// # Errors
/// Where the thread or the loop cannot be made.
pub(super) fn start(shared: &Arc<Shared>) -> Result<(), String> {
    let (ready, started) = mpsc::sync_channel(1);
    let shared = shared.clone();
    std::thread::Builder::new()
        .name("mozaiks-python".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            // One attachment for the thread's life; the loop detaches while it waits.
            attach(|py| {
                let _here = shared.loop_progress.bind(py);
                match make_loop(py, &shared) {
                    Ok(event_loop) => {
                        // The receiver waits for this very message.
                        ready.send(Ok(())).ok();
                        run(py, &shared, &event_loop);
                    }
                    Err(error) => {
                        ready.send(Err(error.to_string())).ok();
                    }
                }
            });
        })
        .map_err(|error| format!("cannot start the Python thread: {error}"))?;
    started
        .recv()
        .map_err(|_| "the Python thread ended while it started".to_owned())?
        .map_err(|error| format!("the Python event loop could not be made: {error}"))
}

fn make_loop<'py>(py: Python<'py>, shared: &Arc<Shared>) -> PyResult<Bound<'py, PyAny>> {
    let native = super::native::module(py)?;
    let put_aside = Bound::new(
        py,
        PutAside {
            shared: shared.clone(),
        },
    )?;
    let event_loop = native.call_method1("new_loop", (put_aside,))?;
    let reader = Bound::new(py, Reader::new(py, shared.clone(), &event_loop)?)?;
    event_loop.call_method1("add_reader", (shared.inbox.raw_fd(), reader))?;
    // Set once: one runtime has one loop thread.
    shared.event_loop.set(event_loop.clone().unbind()).ok();
    Ok(event_loop)
}

/// Runs the loop for as long as the runtime lives, whatever plugin code raises through it.
fn run(py: Python<'_>, shared: &Arc<Shared>, event_loop: &Bound<'_, PyAny>) {
    loop {
        let ended = event_loop.call_method0("run_forever");
        shared.loop_progress.settle(py);
        if shared.stopping.load(Ordering::Acquire) {
            break;
        }
        match ended {
            Ok(_) => tracing::warn!("python.loop_stopped_by_plugin: it goes on"),
            Err(error) => {
                let reason = super::error::summary(py, &error);
                tracing::warn!(reason, "python.loop_interrupted: it goes on");
            }
        }
    }
    for job in shared.inbox.close() {
        drop(job);
    }
    let requests = std::mem::take(&mut *shared.requests.lock());
    let tasks = std::mem::take(&mut *shared.tasks.lock());
    drop((requests, tasks));
    shared.outbox.close();
    if let Err(error) = event_loop.call_method0("close") {
        let reason = super::error::summary(py, &error);
        tracing::warn!(reason, "python.loop_not_closed");
    }
}

/// What the loop calls when the inbox has something.
#[pyclass(frozen, module = "_mozaiks_native")]
struct Reader {
    shared: Arc<Shared>,
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
    shared: Arc<Shared>,
}

#[pymethods]
impl TurnEnd {
    fn __call__(&self) {
        self.shared.turn_will_flush.store(false, Ordering::Relaxed);
        self.shared.outbox.flush();
    }
}

#[pymethods]
impl Reader {
    fn __call__(&self, py: Python<'_>) {
        let shared = &self.shared;
        shared.inbox.acknowledge();
        shared.turned();
        shared.loop_progress.settle(py);
        shared.in_batch.store(true, Ordering::Relaxed);
        let started = Instant::now();
        let mut done = 0;
        let mut answers = false;
        let mut batch = std::mem::take(&mut *self.batch.lock());
        while shared.inbox.take(&mut batch) {
            done += batch.len();
            for job in batch.drain(..) {
                answers |= matches!(job, Job::Answer { .. });
                // A panic is a bug of ours; it must not take the loop and all other calls along.
                if catch_unwind(AssertUnwindSafe(|| self.run(py, job))).is_err() {
                    tracing::error!("python.job_panicked");
                }
            }
            if done >= TURN_JOBS || started.elapsed() >= TURN_TIME {
                // Still armed: come back after the tasks that are ready now.
                shared.inbox.wake();
                break;
            }
        }
        *self.batch.lock() = batch;
        shared.in_batch.store(false, Ordering::Relaxed);
        shared.outbox.flush();
        if answers {
            self.flush_after_tasks(py);
        }
    }
}

impl Reader {
    /// Keeps what the tasks woken by this batch reply and ask for until all of them have run.
    fn flush_after_tasks(&self, py: Python<'_>) {
        if self.shared.turn_will_flush.swap(true, Ordering::Relaxed) {
            return;
        }
        let asked = self
            .event_loop
            .call_method1(py, intern!(py, "call_soon"), (&self.turn_end,));
        if let Err(error) = asked {
            self.shared.turn_will_flush.store(false, Ordering::Relaxed);
            let reason = super::error::summary(py, &error);
            tracing::warn!(reason, "python.call_soon_failed");
        }
    }

    fn new(py: Python<'_>, shared: Arc<Shared>, event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            turn_end: Py::new(
                py,
                TurnEnd {
                    shared: shared.clone(),
                },
            )?,
            shared,
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
                let task = self
                    .shared
                    .tasks
                    .lock()
                    .get(&id)
                    .map(|task| task.clone_ref(py));
                match task {
                    Some(task) => {
                        // A task that has just ended needs no cancelling.
                        if let Err(error) = task.call_method0(py, intern!(py, "cancel")) {
                            let reason = super::error::summary(py, &error);
                            tracing::warn!(reason, "python.cancel_failed");
                        }
                    }
                    // It came in before this job: unless the pool has it, it has ended by now.
                    None if self.shared.pool.has(id) => {}
                    None => {
                        self.shared.cancelled.take(id);
                    }
                }
            }
            Job::Answer { request, result } => {
                let future = self.shared.requests.lock().remove(&request);
                self.shared.pending_requests.fetch_sub(1, Ordering::AcqRel);
                if let Some(future) = future
                    && let Err(error) = answer(future.bind(py), result)
                {
                    let reason = super::error::summary(py, &error);
                    tracing::warn!(reason, "python.answer_failed");
                }
            }
            Job::Stop => {
                self.shared.stopping.store(true, Ordering::Release);
                if let Err(error) = self.event_loop.call_method0(py, intern!(py, "stop")) {
                    let reason = super::error::summary(py, &error);
                    tracing::error!(reason, "python.stop_failed");
                }
            }
        }
    }

    fn call(&self, py: Python<'_>, job: CallJob) {
        if self.shared.cancelled.take(job.call.id) {
            return job.reply.complete(Err(CallError::Cancelled));
        }
        job.call.started.begin();
        match prepare(py, &self.shared, job) {
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
                    self.shared.tasks.lock().insert(id, task.unbind());
                    if self.shared.cancelled.contains(id) {
                        // Its deadline passed during the first step; the request to cancel may
                        // have been looked at already.
                        drop(self.shared.inbox.push_control(Job::Cancel(id)));
                    }
                }
            }
            Err(error) => {
                let reason = super::error::summary(py, &error);
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
        info: super::caller::CallInfo,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let info = Bound::new(py, info)?.into_any();
        let context = Entered::new(&info)?.context().clone();
        let options = PyDict::new(py);
        options.set_item(intern!(py, "loop"), &self.event_loop)?;
        options.set_item(intern!(py, "context"), context)?;
        options.set_item(intern!(py, "eager_start"), true)?;
        super::runtime_types::Kinds::get(py)
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
        info: super::caller::CallInfo,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let info = Bound::new(py, info)?.into_any();
        let entered = Entered::new(&info)?;
        self.first_steps.run(driver, entered.context())
    }
}

/// A call whose input has been parsed.
pub(super) struct ReadyCall {
    pub call: Call,
    pub function: Py<PyAny>,
    pub arguments: Arguments,
}

/// Parses the input and gathers what a call needs; gives the reply slot back where that fails.
pub(super) fn prepare(
    py: Python<'_>,
    shared: &Arc<Shared>,
    job: CallJob,
) -> Result<ReadyCall, (ReplySlot, CallError)> {
    let CallJob {
        call,
        function,
        reply,
    } = job;
    let (arguments, action) = match arguments(py, &call, shared.limits.max_depth) {
        Ok(parsed) => parsed,
        Err(error) => return Err((reply, error)),
    };
    let callable = function.callable(py);
    let call = Call {
        shared: shared.clone(),
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
    match &call.input {
        Input::Body(body) => {
            let data = json_in::parse_object(py, body, max_depth, &whose)?;
            let action = action_of(py, &data);
            Ok((Arguments::Data(data.unbind()), action))
        }
        Input::Message {
            object,
            connection_id,
        } => {
            let data = json_in::parse_object(py, object, max_depth, &whose)?;
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

fn answer(future: &Bound<'_, PyAny>, result: Result<bytes::Bytes, HostError>) -> PyResult<()> {
    let py = future.py();
    // Whoever awaited may have been cancelled meanwhile; then there is nothing to tell.
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    match result {
        Ok(bytes) => {
            future.call_method1(intern!(py, "set_result"), (PyBytes::new(py, &bytes),))?;
        }
        Err(error) => {
            let error = super::native::host_error(py, &error)?;
            future.call_method1(intern!(py, "set_exception"), (error,))?;
        }
    }
    Ok(())
}
