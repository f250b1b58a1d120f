//! Watches deadlines that the Python threads cannot keep themselves.
//!
//! It sees without the interpreter lock who holds a thread, says so in the log, and interrupts
//! Python code that has outlived its call. Blocking native code cannot be interrupted; its callers
//! have had their answer long before.

use std::{
    collections::HashMap,
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;

use super::{
    error,
    interpreter::attach,
    loader::Import,
    pool::Worker,
    progress::{Progress, Step},
    runtime_types::Kinds,
    shared::{Code, Job, Shared},
};
use mozaiks_plugins::{CallId, Generation};

/// How often it looks while there is something to look after.
const BUSY_TICK: Duration = Duration::from_millis(10);

/// How often it pings the loop otherwise.
const IDLE_TICK: Duration = Duration::from_millis(250);

/// A cancelled call may take this long to end by itself before it is interrupted.
const GRACE: Duration = Duration::from_millis(50);

/// Code that swallows the interruption gets it again after this long.
const REPEAT: Duration = Duration::from_millis(200);

/// A thread still held this long after the first interruption is in native code.
const WRITE_OFF: Duration = Duration::from_secs(1);

/// A cancelled call that nothing runs any more is watched for this long.
const SETTLED: Duration = Duration::from_secs(2);

/// A call that has ended is forgotten here after this long at the latest.
const FORGET: Duration = Duration::from_secs(600);

/// What the watchdog has been asked to look after.
#[derive(Default)]
pub(super) struct Watchdog {
    /// Held for moments only; the threads work on copies.
    state: Mutex<State>,
    /// Wakes the thread that keeps promises.
    promises: Condvar,
    /// Wakes the thread that interrupts.
    interruptions: Condvar,
}

#[derive(Default)]
struct State {
    /// Calls asked to stop, and since when.
    cancelled: HashMap<CallId, Instant>,
    imports: Vec<Arc<Import>>,
    /// Unloaded generations whose calls may still run, and since when.
    retired: Vec<(Arc<Code>, Instant)>,
    stopped: bool,
}

impl Watchdog {
    /// A call's deadline has passed.
    pub(super) fn watch_call(&self, call: CallId) {
        self.tell(|state| {
            state.cancelled.insert(call, Instant::now());
        });
    }

    /// An import has begun.
    pub(super) fn watch_import(&self, import: Arc<Import>) {
        self.tell(|state| state.imports.push(import));
    }

    /// A generation has been unloaded.
    pub(super) fn retire(&self, code: Arc<Code>) {
        self.tell(|state| state.retired.push((code, Instant::now())));
    }

    /// Ends the threads.
    pub(super) fn stop(&self) {
        self.tell(|state| state.stopped = true);
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.promises.notify_one();
        self.interruptions.notify_one();
    }

    /// Waits for the next look; `false` when it is over.
    fn wait(&self, shared: &Shared, news: &Condvar) -> bool {
        let mut state = self.state.lock();
        let busy = !state.imports.is_empty()
            || !state.cancelled.is_empty()
            || !state.retired.is_empty()
            || shared.outbox.running() > 0;
        if !state.stopped {
            news.wait_for(&mut state, if busy { BUSY_TICK } else { IDLE_TICK });
        }
        !state.stopped
    }
}

/// Starts the threads: one that never needs the interpreter and so is never late, and one that
/// interrupts.
///
/// # Errors
/// Where the system gives none.
pub(super) fn start(shared: &Arc<Shared>) -> Result<(), String> {
    let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new()
            .name(name.into())
            .spawn(body)
            .map(drop)
            .map_err(|error| format!("cannot start the thread {name}: {error}"))
    };
    let weak = Arc::downgrade(shared);
    spawn("mozaiks-watchdog", Box::new(move || keep_promises(&weak)))?;
    let weak = Arc::downgrade(shared);
    // One thread state for good: attached once, detached while it waits.
    let interrupter = move || attach(|py| py.detach(|| Rounds::default().run(&weak)));
    spawn("mozaiks-interrupter", Box::new(interrupter))
}

/// What callers have been promised, whoever holds the interpreter: replies that are ready leave,
/// imports are answered at their deadline.
fn keep_promises(shared: &Weak<Shared>) {
    loop {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if !shared.watchdog.wait(&shared, &shared.watchdog.promises) {
            return;
        }
        shared.outbox.flush();
        let now = Instant::now();
        let seconds = shared.limits.import_timeout.as_secs();
        let imports = shared.watchdog.state.lock().imports.clone();
        for import in imports {
            if import.deadline <= now && import.time_out(seconds) {
                tracing::warn!(
                    plugin.name = &*import.plugin,
                    limit_seconds = seconds,
                    "plugin.import_timed_out"
                );
            }
        }
    }
}

/// What the interrupter remembers between two looks.
#[derive(Default)]
struct Rounds {
    held: HashMap<CallId, Held>,
    stall: Option<Stall>,
}

/// A thread held by a call that should have ended.
struct Held {
    step: Step,
    since: Instant,
    interrupted: Option<Instant>,
    first_interrupted: Option<Instant>,
    named: bool,
}

/// A loop that does not turn.
struct Stall {
    since: Instant,
    named: bool,
    interrupted: Option<Instant>,
}

impl Rounds {
    fn run(mut self, shared: &Weak<Shared>) {
        loop {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            if !shared
                .watchdog
                .wait(&shared, &shared.watchdog.interruptions)
            {
                return;
            }
            let now = Instant::now();
            self.look_after_calls(&shared, now);
            self.look_after_loop(&shared, now);
            end_imports(&shared, now);
            end_retired(&shared, now);
        }
    }

    fn look_after_calls(&mut self, shared: &Arc<Shared>, now: Instant) {
        let cancelled = shared.watchdog.state.lock().cancelled.clone();
        if cancelled.is_empty() {
            self.held.clear();
            return;
        }
        let mut busy: Vec<(Option<Arc<Worker>>, Step)> = shared
            .pool
            .busy_with(|call| cancelled.contains_key(&call))
            .into_iter()
            .map(|(worker, step)| (Some(worker), step))
            .collect();
        if let Some(step) = shared.loop_progress.current()
            && cancelled.contains_key(&step.call)
        {
            busy.push((None, step));
        }
        self.held.retain(|call, held| {
            busy.iter()
                .any(|(_, step)| step.call == *call && *step == held.step)
        });
        for (worker, step) in busy {
            self.free_thread(shared, now, worker.as_ref(), step);
        }
        // What no thread runs and the loop does not keep has ended.
        let tasks = shared.tasks.lock();
        let mut state = shared.watchdog.state.lock();
        state.cancelled.retain(|call, since| {
            self.held.contains_key(call)
                || tasks.contains_key(call)
                || now.duration_since(*since) < SETTLED
        });
        drop((tasks, state));
        for (call, since) in cancelled {
            if now.duration_since(since) >= FORGET {
                shared.cancelled.take(call);
            }
        }
    }

    /// A thread runs a call whose deadline has passed.
    fn free_thread(
        &mut self,
        shared: &Arc<Shared>,
        now: Instant,
        worker: Option<&Arc<Worker>>,
        step: Step,
    ) {
        let held = self.held.entry(step.call).or_insert(Held {
            step,
            since: now,
            interrupted: None,
            first_interrupted: None,
            named: false,
        });
        if now.duration_since(held.since) < GRACE {
            return;
        }
        if !held.named {
            held.named = true;
            tracing::warn!(
                plugin.name = plugin_of(shared, step.generation).as_deref(),
                call = step.call.number(),
                "plugin.holds_thread: past its deadline, interrupting it"
            );
        }
        let progress = worker.map_or(&*shared.loop_progress, |worker| &worker.progress);
        let due = held
            .interrupted
            .is_none_or(|last| now.duration_since(last) >= REPEAT);
        if due && interrupt(progress, step) {
            held.interrupted = Some(now);
            held.first_interrupted.get_or_insert(now);
        }
        let lost = held
            .first_interrupted
            .is_some_and(|first| now.duration_since(first) >= WRITE_OFF);
        if let (true, Some(worker)) = (lost, worker)
            && shared.pool.write_off(shared, worker)
        {
            tracing::error!(
                plugin.name = plugin_of(shared, step.generation).as_deref(),
                "plugin.thread_lost: it blocks in native code; another thread takes its place"
            );
        }
    }

    /// Pings the loop; says who holds it where it does not answer.
    fn look_after_loop(&mut self, shared: &Arc<Shared>, now: Instant) {
        let sent = {
            let mut sent = shared.ping_sent.lock();
            match *sent {
                Some(at) => Some(at),
                None => {
                    *sent = Some(now);
                    None
                }
            }
        };
        let Some(sent) = sent else {
            self.stall = None;
            // A loop that has ended is nobody's to watch.
            drop(shared.inbox.push_control(Job::Ping));
            return;
        };
        let lag = now.duration_since(sent);
        if lag < Duration::from_secs(1) {
            return;
        }
        let stall = self.stall.get_or_insert(Stall {
            since: sent,
            named: false,
            interrupted: None,
        });
        let known = shared.loop_progress.current();
        if !stall.named {
            stall.named = true;
            let plugin = match known {
                Some(step) => plugin_of(shared, step.generation).map(|name| name.to_string()),
                None => holder(shared),
            };
            tracing::warn!(
                plugin.name = plugin.as_deref().unwrap_or("unknown"),
                lag_ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
                "python.loop_held"
            );
        }
        // Deadlines free the loop from `execute`; this is for tasks and handlers that outlive it.
        let due = stall
            .interrupted
            .is_none_or(|last| now.duration_since(last) >= REPEAT);
        if !due || now.duration_since(stall.since) < shared.limits.stall_limit + GRACE {
            return;
        }
        stall.interrupted = Some(now);
        let Some(plugin) = holder(shared) else {
            return;
        };
        tracing::error!(plugin.name = plugin, "plugin.holds_loop: interrupting it");
        attach(|py| {
            if shared.ping_sent.lock().is_some() {
                shared
                    .loop_progress
                    .interrupt_any(Kinds::get(py).interrupted.bind(py));
            }
        });
    }
}

/// Imports that have been answered are no longer watched; code that still runs for one is
/// interrupted. A module that blocks in native code keeps its thread.
fn end_imports(shared: &Arc<Shared>, now: Instant) {
    let imports = shared.watchdog.state.lock().imports.clone();
    for import in imports.iter().filter(|import| import.is_answered()) {
        let step = import.progress.current();
        let over = now >= import.deadline + FORGET;
        match step {
            Some(step) if !over => {
                interrupt(&import.progress, step);
            }
            _ => {
                let mut state = shared.watchdog.state.lock();
                state.imports.retain(|other| !Arc::ptr_eq(other, import));
            }
        }
    }
}

/// Modules of old generations go when nothing runs in them.
fn end_retired(shared: &Arc<Shared>, now: Instant) {
    let mut over = Vec::new();
    shared
        .watchdog
        .state
        .lock()
        .retired
        .retain(|(code, since)| {
            let idle = Arc::strong_count(code) == 1 || now.duration_since(*since) >= FORGET;
            if idle {
                over.push(code.package.clone());
            }
            !idle
        });
    if !over.is_empty() {
        attach(|py| {
            for package in over {
                super::loader::forget_package(py, &package);
            }
        });
    }
}

/// Raises in a thread that is still in that step.
fn interrupt(progress: &Progress, step: Step) -> bool {
    attach(|py| progress.interrupt(step, Kinds::get(py).interrupted.bind(py)))
}

fn plugin_of(shared: &Shared, generation: Generation) -> Option<Arc<str>> {
    shared
        .generations
        .read()
        .get(&generation)
        .map(|code| code.plugin.clone())
}

/// The plugin whose module is innermost on the loop thread's stack.
fn holder(shared: &Shared) -> Option<String> {
    if shared.stopping.load(Ordering::Acquire) {
        return None;
    }
    attach(|py| {
        let names: Vec<String> = super::native::module(py)
            .and_then(|native| native.call_method1("frames_of", (shared.loop_progress.thread(),)))
            .and_then(|names| names.extract())
            .map_err(|error| {
                tracing::warn!(
                    reason = error::summary(py, &error),
                    "python.stack_unreadable"
                );
            })
            .ok()?;
        names.iter().find_map(|name| {
            let plugin = name.strip_prefix("mozaiks_plugin_")?.split('.').next()?;
            Some(plugin.rsplit_once("_g")?.0.to_owned())
        })
    })
}
