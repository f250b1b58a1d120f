//! Threads for plain functions: bounded, each attached to Python for its whole life.
//!
//! A thread takes a job only while it holds the interpreter, and one more at most waits for the
//! interpreter beside those that run: functions that never let go of it are called one after the other by
//! one thread, and where one waits for something, the next job goes on in another.
//!
//! A thread that stays in code that cannot be interrupted past its call's deadline is written off:
//! another takes its place, and it ends when it comes back.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Condvar, Mutex};
use pyo3::{exceptions::PyRuntimeError, prelude::*, types::PyTuple};

use super::{
    call::{Arguments, Call},
    interpreter::attach,
    loop_thread::{ReadyCall, prepare},
    progress::{Progress, Step},
    runtime_types::Entered,
    shared::{CallJob, Job, Shared},
    turns,
};
use mozaiks_plugins::{CallError, CallId, SubmitError};

const STACK_BYTES: usize = 8 * 1024 * 1024;

/// The pool's queue and its threads.
pub(super) struct Pool {
    /// Never held while Python code runs.
    state: Mutex<State>,
    /// Waited for by idle threads.
    work: Condvar,
    /// What `deferred` says, for a look without the lock.
    maybe_deferred: AtomicBool,
    max_threads: usize,
    capacity: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<CallJob>,
    threads: Vec<Arc<Worker>>,
    /// Threads that wait for work.
    idle: usize,
    /// Threads on their way to the queue: woken or started, and waiting for the interpreter.
    coming: usize,
    /// A thread is to be woken at the end of the turn.
    deferred: bool,
    closed: bool,
}

/// Calls that are put down before a thread is woken in the middle of a turn.
const DEFERRED_CALLS: usize = 8;

/// One thread.
pub(super) struct Worker {
    pub progress: Progress,
    /// Written off: not counted, ends when it comes back.
    lost: AtomicBool,
}

impl Pool {
    pub(super) fn new(max_threads: usize, capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            maybe_deferred: AtomicBool::new(false),
            max_threads: max_threads.max(1),
            capacity,
        }
    }

    /// Puts a job into the queue, with a thread for it where there may be one more.
    pub(super) fn submit(&self, shared: &Arc<Shared>, job: CallJob) -> Result<(), SubmitError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(SubmitError::Stopped);
        }
        if state.jobs.len() >= self.capacity {
            return Err(SubmitError::Full);
        }
        state.jobs.push_back(job);
        if state.coming > 0 {
            return Ok(());
        }
        if state.idle == 0 {
            self.add_thread(shared, &mut state);
        } else if turns::in_turn() && state.jobs.len() < DEFERRED_CALLS {
            state.deferred = true;
            self.maybe_deferred.store(true, Ordering::Relaxed);
        } else {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Wakes a thread for what was put down in the turn that ends.
    pub(super) fn end_turn(&self) {
        // Seen by the thread that has set it, which is enough: each tells of its own turns.
        if !self.maybe_deferred.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        self.maybe_deferred.store(false, Ordering::Relaxed);
        if std::mem::take(&mut state.deferred) && !state.jobs.is_empty() && state.coming == 0 {
            self.work.notify_one();
        }
    }

    /// Another thread if there may be one. With none at all the queue waits for the next try.
    fn add_thread(&self, shared: &Arc<Shared>, state: &mut State) {
        if state.threads.len() >= self.max_threads {
            return;
        }
        let worker = Arc::new(Worker {
            progress: Progress::default(),
            lost: AtomicBool::new(false),
        });
        let (weak, mine) = (Arc::downgrade(shared), worker.clone());
        let spawned = std::thread::Builder::new()
            .name("mozaiks-plain".into())
            .stack_size(STACK_BYTES)
            .spawn(move || attach(|py| work(py, &weak, &mine)));
        match spawned {
            Ok(_) => {
                state.threads.push(worker);
                state.coming += 1;
            }
            Err(error) => tracing::error!(%error, "python.no_thread"),
        }
    }

    /// Threads that run a call which is asked for in `wanted`.
    pub(super) fn busy_with(&self, wanted: impl Fn(CallId) -> bool) -> Vec<(Arc<Worker>, Step)> {
        let threads = self.state.lock().threads.clone();
        threads
            .into_iter()
            .filter_map(|worker| {
                let step = worker.progress.current()?;
                wanted(step.call).then_some((worker, step))
            })
            .collect()
    }

    /// A thread that does not come back: another may take its place.
    /// `false` where that was known.
    pub(super) fn write_off(&self, shared: &Arc<Shared>, worker: &Arc<Worker>) -> bool {
        let mut state = self.state.lock();
        let before = state.threads.len();
        state.threads.retain(|other| !Arc::ptr_eq(other, worker));
        if state.threads.len() == before {
            return false;
        }
        worker.lost.store(true, Ordering::Release);
        if !state.jobs.is_empty() && state.coming == 0 && state.idle == 0 {
            self.add_thread(shared, &mut state);
        }
        true
    }

    /// Whether a call waits or runs here.
    pub(super) fn has(&self, call: CallId) -> bool {
        let state = self.state.lock();
        state.jobs.iter().any(|job| job.call.id == call)
            || state.threads.iter().any(|worker| {
                worker
                    .progress
                    .current()
                    .is_some_and(|step| step.call == call)
            })
    }

    /// Jobs waiting.
    pub(super) fn queued(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// Takes no more and lets idle threads end.
    pub(super) fn close(&self) {
        let jobs = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.jobs)
        };
        drop(jobs);
        self.work.notify_all();
    }

    /// A job for a thread that holds the interpreter. `came` is true for one that has been on its way.
    fn take(&self, shared: &Arc<Shared>, worker: &Worker, came: bool) -> Next {
        let mut state = self.state.lock();
        if came {
            state.coming -= 1;
        }
        if state.closed || worker.is_lost() {
            state
                .threads
                .retain(|other| !std::ptr::eq(&**other, worker));
            return Next::End;
        }
        let Some(job) = state.jobs.pop_front() else {
            return Next::Wait;
        };
        // Whoever comes waits until this thread lets go of the interpreter.
        if !state.jobs.is_empty() && state.coming == 0 {
            if state.idle == 0 {
                self.add_thread(shared, &mut state);
            } else {
                self.work.notify_one();
            }
        }
        Next::Run(job)
    }

    /// Waits until there is something to come for. Without the interpreter.
    fn wait(&self, worker: &Worker) {
        let mut state = self.state.lock();
        while !state.closed && !worker.is_lost() && (state.jobs.is_empty() || state.coming > 0) {
            state.idle += 1;
            self.work.wait(&mut state);
            state.idle -= 1;
        }
        state.coming += 1;
    }
}

/// What a thread does next.
enum Next {
    Run(CallJob),
    Wait,
    End,
}

impl Worker {
    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

fn work(py: Python<'_>, shared: &Weak<Shared>, worker: &Arc<Worker>) {
    worker.progress.bind(py);
    let mut came = true;
    loop {
        // Held by a thread only while it works or waits in the queue; closing the pool wakes it.
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match shared.pool.take(&shared, worker, came) {
            Next::Run(job) => {
                came = false;
                run(py, &shared, &worker.progress, job);
                shared.outbox.flush();
            }
            Next::Wait => {
                py.detach(|| shared.pool.wait(worker));
                came = true;
            }
            Next::End => return,
        }
    }
}

fn run(py: Python<'_>, shared: &Arc<Shared>, progress: &Progress, job: CallJob) {
    if shared.cancelled.take(job.call.id) {
        return job.reply.complete(Err(CallError::Cancelled));
    }
    let ReadyCall {
        call,
        function,
        arguments,
    } = match prepare(py, shared, job) {
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
    run_plain(py, call, function.bind(py), arguments);
    progress.leave(py, before);
}

fn run_plain(
    py: Python<'_>,
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
            let shared = call.shared.clone();
            let job = Job::Await {
                awaitable: value.unbind(),
                call,
            };
            // Refused only by a loop that has ended.
            if let Err((_, Job::Await { call, .. })) = shared.inbox.push_control(job) {
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
