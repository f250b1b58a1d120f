//! Threads for functions that are not coroutines: bounded, each attached to Python for its whole life.
//!
//! A thread takes a job only while it holds the interpreter, and one more at most waits for the
//! interpreter beside those that run: functions that never let go of it are called one after the other by
//! one thread, and where one waits for something, the next job goes on in another.
//!
//! A thread that stays in code that cannot be interrupted past its call's deadline is written off:
//! another takes its place, and it ends when it comes back. Its plugin's share is smaller until then.

mod aside;
mod job;
mod lanes;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;

use crate::{
    call::CallEnvironment,
    interpreter::attach,
    job::LoopQueue,
    progress::{Progress, Step},
    turns,
    watch::Watch,
};
use lanes::{Lanes, Work as _};
use mozaiks_plugins::{CallError, CallId, SubmitError, runtime::PoolStatus};

pub(super) use {aside::Aside, job::PoolJob, lanes::Bounds};

const STACK_BYTES: usize = 8 * 1024 * 1024;

/// A queue and its threads.
pub(super) struct Pool {
    /// What its figures are called.
    name: &'static str,
    environment: Arc<CallEnvironment>,
    /// Where an awaitable goes that a plain function gave back, and what functions put aside have given.
    queue: Arc<LoopQueue>,
    /// Sees to wake-ups that are put off.
    watch: Arc<Watch>,
    /// Never held while Python code runs.
    state: Mutex<State>,
    /// Waited for by idle threads.
    work: Condvar,
    /// What `deferred` says, for a look without the lock.
    maybe_deferred: AtomicBool,
    max_threads: usize,
    /// Work that found no room.
    refused: AtomicU64,
}

struct State {
    jobs: Lanes<PoolJob>,
    threads: Vec<Arc<Worker>>,
    /// Written off and not back yet.
    lost: Vec<Arc<Worker>>,
    /// Threads that wait for work.
    idle: usize,
    /// Threads on their way to the queue: woken or started, and waiting for the interpreter.
    coming: usize,
    /// Jobs that run, also on threads that are lost.
    running: usize,
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
    pub(super) fn new(
        name: &'static str,
        environment: Arc<CallEnvironment>,
        queue: Arc<LoopQueue>,
        watch: Arc<Watch>,
        bounds: Bounds,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            environment,
            queue,
            watch,
            state: Mutex::new(State {
                jobs: Lanes::new(bounds),
                threads: Vec::new(),
                lost: Vec::new(),
                idle: 0,
                coming: 0,
                running: 0,
                deferred: false,
                closed: false,
            }),
            work: Condvar::new(),
            maybe_deferred: AtomicBool::new(false),
            max_threads: bounds.threads.max(1),
            refused: AtomicU64::new(0),
        })
    }

    /// Puts a job into the queue, with a thread for it where there may be one more.
    pub(super) fn submit(self: &Arc<Self>, job: PoolJob) -> Result<(), SubmitError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(SubmitError::Stopped);
        }
        let Ok(starts) = state.jobs.push(job) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(SubmitError::Full);
        };
        if !starts || state.coming > 0 {
            return Ok(());
        }
        if state.idle == 0 {
            self.add_thread(&mut state);
        } else if turns::in_turn() && state.jobs.ready() < DEFERRED_CALLS {
            state.deferred = true;
            self.maybe_deferred.store(true, Ordering::Relaxed);
            drop(state);
            self.watch.look_soon();
        } else {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Wakes a thread for what was put down in the turn that ends.
    pub(super) fn end_turn(&self) {
        // Seen by the thread that has set it, which is enough: each tells of its own turns, and the
        // watchdog looks again.
        if !self.maybe_deferred.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        self.maybe_deferred.store(false, Ordering::Relaxed);
        if std::mem::take(&mut state.deferred) && state.jobs.ready() > 0 && state.coming == 0 {
            self.work.notify_one();
        }
    }

    /// Another thread if there may be one. With none at all the queue waits for the next try.
    fn add_thread(self: &Arc<Self>, state: &mut State) {
        if state.threads.len() >= self.max_threads {
            return;
        }
        let worker = Arc::new(Worker {
            progress: Progress::default(),
            lost: AtomicBool::new(false),
        });
        let (pool, mine) = (self.clone(), worker.clone());
        let spawned = std::thread::Builder::new()
            .name(format!("mozaiks-{}", self.name))
            .stack_size(STACK_BYTES)
            .spawn(move || attach(|py| pool.work(py, &mine)));
        match spawned {
            Ok(_) => {
                state.threads.push(worker);
                state.coming += 1;
            }
            Err(error) => tracing::error!(%error, "python.no_thread"),
        }
    }

    /// Somebody for what is ready, unless somebody comes anyway.
    fn call_thread(self: &Arc<Self>, state: &mut State) {
        if state.jobs.ready() == 0 || state.coming > 0 {
            return;
        }
        if state.idle == 0 {
            self.add_thread(state);
        } else {
            self.work.notify_one();
        }
    }

    /// Threads that run a call which is asked for in `wanted`.
    pub(super) fn busy_with(&self, wanted: impl Fn(CallId) -> bool) -> Vec<(Arc<Worker>, Step)> {
        let threads: Vec<_> = {
            let state = self.state.lock();
            state.threads.iter().chain(&state.lost).cloned().collect()
        };
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
    pub(super) fn write_off(self: &Arc<Self>, worker: &Arc<Worker>) -> bool {
        let mut state = self.state.lock();
        let before = state.threads.len();
        state.threads.retain(|other| !Arc::ptr_eq(other, worker));
        if state.threads.len() == before {
            return false;
        }
        worker.lost.store(true, Ordering::Release);
        state.lost.push(worker.clone());
        self.call_thread(&mut state);
        true
    }

    /// Whether a call waits or runs here.
    pub(super) fn has(&self, call: CallId) -> bool {
        let state = self.state.lock();
        state.jobs.any(|job| job.id() == Some(call))
            || state.threads.iter().chain(&state.lost).any(|worker| {
                worker
                    .progress
                    .current()
                    .is_some_and(|step| step.call == call)
            })
    }

    /// Answers a call that has not started with its cancellation; `false` where none such waits.
    pub(super) fn withdraw(&self, call: CallId) -> bool {
        let job = self
            .state
            .lock()
            .jobs
            .withdraw(|job| job.id() == Some(call));
        let found = job.is_some();
        if let Some(job) = job {
            job.refuse(CallError::Cancelled);
        }
        found
    }

    /// How it is doing.
    pub(super) fn status(&self) -> PoolStatus {
        let state = self.state.lock();
        PoolStatus {
            name: self.name,
            waiting: state.jobs.waiting(),
            running: state.running,
            lost: state.lost.len(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Takes no more and lets idle threads end.
    pub(super) fn close(&self) {
        let jobs = {
            let mut state = self.state.lock();
            state.closed = true;
            state.jobs.clear()
        };
        drop(jobs);
        self.work.notify_all();
    }

    /// A job for a thread that holds the interpreter. `came` is true for one that has been on its way,
    /// `ended` is the plugin whose job it has run.
    fn take(self: &Arc<Self>, worker: &Worker, came: bool, ended: Option<&str>) -> Next {
        let mut state = self.state.lock();
        if came {
            state.coming -= 1;
        }
        if let Some(plugin) = ended {
            state.running -= 1;
            state.jobs.ended(plugin);
        }
        if state.closed || worker.is_lost() {
            let others = |other: &Arc<Worker>| !std::ptr::eq(&**other, worker);
            state.threads.retain(others);
            state.lost.retain(others);
            self.call_thread(&mut state);
            return Next::End;
        }
        let Some(job) = state.jobs.take() else {
            return Next::Wait;
        };
        state.running += 1;
        // Whoever comes waits until this thread lets go of the interpreter.
        self.call_thread(&mut state);
        Next::Run(job)
    }

    /// Waits until there is something to come for. Without the interpreter.
    fn wait(&self, worker: &Worker) {
        let mut state = self.state.lock();
        while !state.closed && !worker.is_lost() && (state.jobs.ready() == 0 || state.coming > 0) {
            state.idle += 1;
            self.work.wait(&mut state);
            state.idle -= 1;
        }
        state.coming += 1;
    }

    /// What a thread does from its start to its end. It keeps the pool, which is closed with its runtime.
    fn work(self: &Arc<Self>, py: Python<'_>, worker: &Arc<Worker>) {
        let _here = worker.progress.bind(py);
        let mut came = true;
        let mut ended = None;
        loop {
            match self.take(worker, came, ended.take().as_deref()) {
                Next::Run(job) => {
                    came = false;
                    ended = Some(job.plugin().clone());
                    job::run(py, self, &worker.progress, job);
                    self.environment.outbox.flush();
                }
                Next::Wait => {
                    py.detach(|| self.wait(worker));
                    came = true;
                }
                Next::End => return,
            }
        }
    }
}

/// What a thread does next.
enum Next {
    Run(PoolJob),
    Wait,
    End,
}

impl Worker {
    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}
