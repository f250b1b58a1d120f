//! What the threads of one runtime share: its queues, its tables and its limits.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use futures_util::FutureExt as _;
use parking_lot::{Mutex, RwLock};
use pyo3::prelude::*;
use tokio::runtime::Handle;

use super::{
    frames::OwnCode,
    inbox::{Inbox, PushError},
    json_out::OutputLimits,
    outbox::{Outbox, ReplySlot},
    pool::Pool,
    progress::Progress,
    watchdog::Watchdog,
};
use mozaiks_plugins::{
    CallId, Caller, Generation, HostError, HostServices, Invocation, SubmitError, Target,
    host::{HandlerId, RegistrationId},
};

/// Shared by the loop thread, the pool, the watchdog and the callers.
pub(super) struct Shared {
    pub host: Arc<dyn HostServices>,
    /// Where requests to the host run.
    pub handle: Handle,
    pub inbox: Inbox<Job>,
    pub outbox: Arc<Outbox>,
    /// Calls of plain functions.
    pub pool: Pool,
    /// What plugins put aside: `asyncio.to_thread`, `run_in_executor(None, …)`.
    pub executor: Pool,
    /// The event loop's look-ups of host names.
    pub resolver: Pool,
    pub limits: Limits,
    /// Plugins imported or being so. Written at load and unload, read for every call.
    pub generations: RwLock<HashMap<Generation, Arc<Code>, RandomState>>,
    /// Functions that plugins have registered.
    pub handlers: RwLock<HashMap<HandlerId, Arc<Handler>, RandomState>>,
    /// Tasks that have suspended, for cancelling. Never held while Python code may run.
    pub tasks: Mutex<HashMap<CallId, Py<PyAny>, RandomState>>,
    /// Futures of requests to the host. Never held while Python code may run.
    pub requests: Mutex<HashMap<u64, Py<PyAny>, RandomState>>,
    /// Calls asked to stop that the loop or the pool has not come to yet.
    pub cancelled: Cancelled,
    /// What the loop thread runs at the moment.
    pub loop_progress: Arc<Progress>,
    /// The asyncio loop, once it runs.
    pub event_loop: OnceLock<Py<PyAny>>,
    /// Set once the runtime is to end.
    pub stopping: AtomicBool,
    /// The loop thread is in a batch, at whose end replies are flushed.
    pub in_batch: AtomicBool,
    /// The loop has been asked to flush after the tasks that a batch has woken.
    pub turn_will_flush: AtomicBool,
    pub next_id: AtomicU64,
    /// Requests to the host without an answer, at most `max_requests`.
    pub pending_requests: AtomicUsize,
    /// When the ping that the loop has not answered was sent.
    pub ping_sent: Mutex<Option<Instant>>,
    /// Whether there is one, for a look without the lock.
    pub ping_waits: AtomicBool,
    pub watchdog: Watchdog,
    /// How often a plugin has been seen to hold the loop.
    pub loop_holds: AtomicU64,
}

/// Bounds from the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub output: OutputLimits,
    pub max_depth: usize,
    pub max_requests: usize,
    pub import_timeout: Duration,
    /// A loop held for longer is told of in the log.
    pub hold_warning: Duration,
    /// A loop that plugin code of no known call holds for longer is freed by the watchdog.
    pub stall_limit: Duration,
}

/// One import of one plugin.
pub(super) struct Code {
    pub plugin: Arc<str>,
    pub generation: Generation,
    /// Which modules and files are its own.
    pub own: OwnCode,
    /// `execute` or `run`, once the import has ended, where it has one.
    pub entry: OnceLock<Entry>,
    /// What runs the steps of the load's life, once the import has ended, where it has any.
    pub life: OnceLock<Option<Py<PyAny>>>,
}

/// A plugin's entry point.
pub(super) struct Entry {
    pub function: Py<PyAny>,
    /// Whether it gives a coroutine, and so belongs on the loop.
    pub is_async: bool,
}

/// A registered function.
pub(super) struct Handler {
    /// What it is part of: a handler that runs keeps its modules.
    pub code: Arc<Code>,
    pub function: Py<PyAny>,
    pub is_async: bool,
    /// The host's number for it, once it has given one.
    pub registration: OnceLock<RegistrationId>,
}

/// What a call calls.
pub(super) enum Function {
    /// The entry point of a load whose import has ended.
    Entry(Arc<Code>),
    /// A step in the life of such a load.
    Life(Arc<Code>),
    Handler(Arc<Handler>),
}

impl Function {
    /// What it is part of.
    pub(super) fn code(&self) -> &Arc<Code> {
        match self {
            Self::Entry(code) | Self::Life(code) => code,
            Self::Handler(handler) => &handler.code,
        }
    }

    /// Whether it gives a coroutine, and so belongs on the loop.
    pub(super) fn is_async(&self) -> bool {
        match self {
            Self::Entry(code) => code.entry.get().is_some_and(|entry| entry.is_async),
            Self::Life(_) => true,
            Self::Handler(handler) => handler.is_async,
        }
    }

    /// The function itself.
    pub(super) fn callable(&self, py: Python<'_>) -> Py<PyAny> {
        match self {
            Self::Entry(code) => match code.entry.get() {
                Some(entry) => entry.function.clone_ref(py),
                None => py.None(),
            },
            Self::Life(code) => match code.life.get() {
                Some(Some(run)) => run.clone_ref(py),
                Some(None) | None => py.None(),
            },
            Self::Handler(handler) => handler.function.clone_ref(py),
        }
    }
}

/// A call that has been taken.
pub(super) struct CallJob {
    pub call: Invocation,
    pub function: Function,
    pub reply: ReplySlot,
}

/// Work for the loop thread.
pub(super) enum Job {
    /// Call a function.
    Call(CallJob),
    /// Await what a plain function gave back.
    Await {
        awaitable: Py<PyAny>,
        call: super::call::Call,
    },
    /// Cancel a call's task.
    Cancel(CallId),
    /// The host has answered a request.
    Answer {
        request: u64,
        result: Result<bytes::Bytes, HostError>,
    },
    /// End the loop.
    Stop,
}

/// Calls that were asked to stop.
#[derive(Default)]
pub(super) struct Cancelled {
    /// Read before the lock is taken: nearly always zero.
    count: AtomicUsize,
    calls: Mutex<HashSet<CallId>>,
}

impl Cancelled {
    pub(super) fn insert(&self, call: CallId) {
        let mut calls = self.calls.lock();
        calls.insert(call);
        self.count.store(calls.len(), Ordering::Release);
    }

    /// Forgets the call; `true` if it was asked to stop.
    pub(super) fn take(&self, call: CallId) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut calls = self.calls.lock();
        let found = calls.remove(&call);
        self.count.store(calls.len(), Ordering::Release);
        found
    }

    pub(super) fn contains(&self, call: CallId) -> bool {
        self.count.load(Ordering::Acquire) != 0 && self.calls.lock().contains(&call)
    }
}

impl Shared {
    /// Puts a call into the loop thread's queue.
    pub(super) fn push(&self, job: Job) -> Result<(), SubmitError> {
        let put_off = self.inbox.push(job).map_err(|(error, _)| match error {
            PushError::Full => SubmitError::Full,
            PushError::Closed => SubmitError::Stopped,
        })?;
        if put_off {
            self.watchdog.look_soon();
        }
        Ok(())
    }

    /// Sends the wake-ups that have been put off. The end of an I/O thread's turn does it, and in case
    /// that does not come the watchdog.
    pub(super) fn end_turn(&self) {
        self.inbox.end_turn();
        for pool in self.pools() {
            pool.end_turn();
        }
    }

    /// All threads that are not the loop's.
    pub(super) fn pools(&self) -> [&Pool; 3] {
        [&self.pool, &self.executor, &self.resolver]
    }

    /// Lets replies and requests go, unless the running batch or turn is about to.
    pub(super) fn flush_if_idle(&self) {
        if !self.in_batch.load(Ordering::Relaxed) && !self.turn_will_flush.load(Ordering::Relaxed) {
            self.outbox.flush();
        }
    }

    /// The watchdog asks the loop for a sign of life, unless it has. Needs no interpreter.
    pub(super) fn ping(&self, now: Instant) {
        {
            let mut sent = self.ping_sent.lock();
            if sent.is_some() {
                return;
            }
            *sent = Some(now);
            self.ping_waits.store(true, Ordering::Relaxed);
        }
        self.inbox.wake();
    }

    /// The loop has turned: it answers the watchdog's ping.
    pub(super) fn turned(&self) {
        if self.ping_waits.load(Ordering::Relaxed) {
            let mut sent = self.ping_sent.lock();
            self.ping_waits.store(false, Ordering::Relaxed);
            *sent = None;
        }
    }

    /// What a call is to call; `None` where that is not loaded (any more).
    pub(super) fn function(&self, target: Target) -> Option<Function> {
        match target {
            Target::Execute(generation) => {
                let code = self.generations.read().get(&generation).cloned()?;
                code.entry.get()?;
                Some(Function::Entry(code))
            }
            Target::Life(generation) => {
                let code = self.generations.read().get(&generation).cloned()?;
                code.life.get()?.as_ref()?;
                Some(Function::Life(code))
            }
            Target::Handler(handler) => {
                let handler = self.handlers.read().get(&handler).cloned()?;
                Some(Function::Handler(handler))
            }
        }
    }

    /// A number not used before for a request of this runtime.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request to the host; its answer arrives as [`Job::Answer`].
    pub(super) fn send_request(
        self: &Arc<Self>,
        caller: Caller,
        operation: &str,
        payload: bytes::Bytes,
        request: u64,
    ) {
        let work = self.host.request(caller, operation, payload);
        let shared = self.clone();
        let answering = async move {
            // A panic of the host must still give an answer.
            let result = AssertUnwindSafe(work).catch_unwind().await;
            let result = result.unwrap_or_else(|_| {
                Err(HostError {
                    code: "INTERNAL_ERROR",
                    message: "the request failed".into(),
                    details: None,
                })
            });
            // Refused only once the loop is gone, and with it whoever waited.
            if let Ok(true) = shared.inbox.push_answer(Job::Answer { request, result }) {
                shared.watchdog.look_soon();
            }
        };
        self.outbox.start_work(&self.handle, Box::pin(answering));
        self.flush_if_idle();
    }
}
