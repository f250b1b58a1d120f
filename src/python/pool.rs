//! Threads for plain functions: bounded, each attached to Python for its whole life.
//!
//! A thread that stays in code that cannot be interrupted past its call's deadline is written off:
//! another takes its place, and it ends when it comes back.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use parking_lot::{Condvar, Mutex};
use pyo3::{exceptions::PyRuntimeError, prelude::*, types::PyTuple};

use super::{
    call::Call,
    loop_thread::{prepare_call, prepare_invoke},
    outbox::ReplySlot,
    progress::{Progress, Step},
    runtime_types::Entered,
    shared::{Code, Handler, Job, Shared},
};
use crate::plugins::{
    CallError, SubmitError,
    runtime::{CallId, HandlerCall, PluginCall},
};

const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Work for a pool thread.
pub(super) enum PoolJob {
    Call {
        call: PluginCall,
        code: Arc<Code>,
        reply: ReplySlot,
    },
    Invoke {
        call: HandlerCall,
        handler: Arc<Handler>,
        reply: ReplySlot,
    },
}

impl PoolJob {
    fn id(&self) -> CallId {
        match self {
            Self::Call { call, .. } => call.id,
            Self::Invoke { call, .. } => call.id,
        }
    }

    fn refuse(self, error: CallError) {
        match self {
            Self::Call { reply, .. } | Self::Invoke { reply, .. } => reply.complete(Err(error)),
        }
    }
}

/// The pool's queue and its threads.
pub(super) struct Pool {
    /// Never held while Python code runs.
    state: Mutex<State>,
    /// Waited for by idle threads, signalled for each job.
    work: Condvar,
    max_threads: usize,
    capacity: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<PoolJob>,
    threads: Vec<Arc<Worker>>,
    idle: usize,
    closed: bool,
}

/// One thread.
pub(super) struct Worker {
    pub progress: Progress,
    /// Written off: not counted, ends when it comes back.
    lost: std::sync::atomic::AtomicBool,
}

impl Pool {
    pub(super) fn new(max_threads: usize, capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            max_threads: max_threads.max(1),
            capacity,
        }
    }

    /// Puts a job into the queue, with a thread for it where there may be one more.
    pub(super) fn submit(&self, shared: &Arc<Shared>, job: PoolJob) -> Result<(), SubmitError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(SubmitError::Stopped);
        }
        if state.jobs.len() >= self.capacity {
            return Err(SubmitError::Full);
        }
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            drop(state);
            self.work.notify_one();
            return Ok(());
        }
        self.add_thread(shared, &mut state);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Another thread if there may be one. With none at all the queue waits for the next try.
    fn add_thread(&self, shared: &Arc<Shared>, state: &mut State) {
        if state.threads.len() >= self.max_threads {
            return;
        }
        let worker = Arc::new(Worker {
            progress: Progress::default(),
            lost: std::sync::atomic::AtomicBool::new(false),
        });
        let (weak, mine) = (Arc::downgrade(shared), worker.clone());
        let spawned = std::thread::Builder::new()
            .name("mozaiks-plain".into())
            .stack_size(STACK_BYTES)
            .spawn(move || Python::attach(|py| work(py, &weak, &mine)));
        match spawned {
            Ok(_) => state.threads.push(worker),
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
        worker
            .lost
            .store(true, std::sync::atomic::Ordering::Release);
        if !state.jobs.is_empty() {
            self.add_thread(shared, &mut state);
        }
        true
    }

    /// Whether a call waits or runs here.
    pub(super) fn has(&self, call: CallId) -> bool {
        let state = self.state.lock();
        state.jobs.iter().any(|job| job.id() == call)
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

    fn next(&self, worker: &Worker) -> Option<PoolJob> {
        let mut state = self.state.lock();
        loop {
            if state.closed || worker.lost.load(std::sync::atomic::Ordering::Acquire) {
                state
                    .threads
                    .retain(|other| !std::ptr::eq(&**other, worker));
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.idle += 1;
            self.work.wait(&mut state);
            state.idle -= 1;
        }
    }
}

fn work(py: Python<'_>, shared: &Weak<Shared>, worker: &Arc<Worker>) {
    worker.progress.bind(py);
    loop {
        // Held by a thread only while it works or waits in the queue; closing the pool wakes it.
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let Some(job) = py.detach(|| shared.pool.next(worker)) else {
            return;
        };
        run(py, &shared, &worker.progress, job);
        shared.outbox.flush();
    }
}

fn run(py: Python<'_>, shared: &Arc<Shared>, progress: &Progress, job: PoolJob) {
    if shared.cancelled.take(job.id()) {
        return job.refuse(CallError::Cancelled);
    }
    let (call, function, arguments) = match job {
        PoolJob::Call { call, code, reply } => match prepare_call(py, shared, call, &code, reply) {
            Ok((call, data)) => match PyTuple::new(py, [data]) {
                Ok(arguments) => (call, code.function.clone_ref(py), arguments),
                Err(error) => return call.finish(py, Err(error)),
            },
            Err((reply, error)) => return reply.complete(Err(error)),
        },
        PoolJob::Invoke {
            call,
            handler,
            reply,
        } => match prepare_invoke(py, shared, call, &handler, reply) {
            Ok((call, arguments)) => (call, handler.function.clone_ref(py), arguments),
            Err((reply, error)) => return reply.complete(Err(error)),
        },
    };
    let before = progress.enter(call.id, call.generation);
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
