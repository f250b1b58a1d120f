//! Watches deadlines that the Python threads cannot keep themselves.
//!
//! It sees without the interpreter lock who holds a thread, says so in the log, and interrupts a
//! plugin's code that has outlived its call. Blocking native code cannot be interrupted, and what others
//! have written is not: an exception in the middle of it could leave a lock behind. Their callers have
//! had their answer long before.
//!
//! It owns whatever is put off: a wake-up or a reply that nobody sends in time is sent by it.

mod loop_hold;
mod threads;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering, fence},
    },
    time::{Duration, Instant},
};

use super::{
    interpreter::attach,
    loader::Import,
    progress::{Interruption, Progress, Step},
    runtime_types::Kinds,
    shared::{Code, Shared},
};
use loop_hold::LoopHold;
use mozaiks_plugins::{CallId, Generation};
use parking_lot::{Condvar, Mutex};
use threads::HeldThreads;

/// How often it looks while there is something to look after.
const BUSY_TICK: Duration = Duration::from_millis(10);

/// How often it pings the loop otherwise.
const IDLE_TICK: Duration = Duration::from_millis(250);

/// How long it looks often after something was put off.
const LIVELY: Duration = Duration::from_millis(250);

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

/// Looks at a held thread in one round, until it is seen in code of the plugin.
const TRIES: usize = 6;

/// Between two of them.
const BETWEEN_TRIES: Duration = Duration::from_micros(100);

/// What the watchdog has been asked to look after.
#[derive(Default)]
pub(super) struct Watchdog {
    /// Held for moments only; the threads work on copies.
    state: Mutex<State>,
    /// Wakes the thread that keeps promises.
    promises: Condvar,
    /// Wakes the thread that interrupts.
    interruptions: Condvar,
    /// The thread that keeps promises will look only after a long while.
    dozing: AtomicBool,
    /// Since when the interrupter has waited for the interpreter to see who holds the loop.
    asking: Mutex<Option<Instant>>,
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

    /// Something has been put off to a moment that may not come.
    pub(super) fn look_soon(&self) {
        // Either this sees that the thread dozes, or the thread sees what was put off.
        fence(Ordering::SeqCst);
        if self.dozing.load(Ordering::Relaxed) && self.dozing.swap(false, Ordering::AcqRel) {
            // Not between the thread's last look and its sleep.
            drop(self.state.lock());
            self.promises.notify_one();
        }
    }

    /// Waits for the interrupter's next look; `false` when it is over.
    fn wait(&self, shared: &Shared) -> bool {
        let mut state = self.state.lock();
        if !state.stopped {
            let tick = if state.is_busy(shared) {
                BUSY_TICK
            } else {
                IDLE_TICK
            };
            self.interruptions.wait_for(&mut state, tick);
        }
        !state.stopped
    }

    /// Waits for the next look at what was promised; `false` when it is over.
    fn doze(&self, shared: &Shared, lively: bool) -> bool {
        let mut state = self.state.lock();
        if state.stopped {
            return false;
        }
        if lively || state.is_busy(shared) {
            self.promises.wait_for(&mut state, BUSY_TICK);
        } else {
            self.dozing.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            shared.end_turn();
            self.promises.wait_for(&mut state, IDLE_TICK);
        }
        !state.stopped
    }
}

impl State {
    fn is_busy(&self, shared: &Shared) -> bool {
        !self.imports.is_empty()
            || !self.cancelled.is_empty()
            || !self.retired.is_empty()
            || shared.outbox.running() > 0
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

/// What callers have been promised, whoever holds the interpreter: what was put off happens, replies that
/// are ready leave, imports are answered at their deadline.
fn keep_promises(shared: &Weak<Shared>) {
    let mut lively_until = Instant::now();
    let mut told = false;
    loop {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let watchdog = &shared.watchdog;
        if !watchdog.doze(&shared, Instant::now() < lively_until) {
            return;
        }
        let now = Instant::now();
        if !watchdog.dozing.swap(false, Ordering::AcqRel) && now >= lively_until {
            lively_until = now + LIVELY;
        }
        shared.end_turn();
        shared.outbox.flush();
        shared.ping(now);
        told = loop_hold::tell_of_native_code(&shared, now, told);
        let seconds = shared.limits.import_timeout.as_secs();
        let imports = watchdog.state.lock().imports.clone();
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
    threads: HeldThreads,
    hold: Option<LoopHold>,
}

impl Rounds {
    fn run(mut self, shared: &Weak<Shared>) {
        loop {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            if !shared.watchdog.wait(&shared) {
                return;
            }
            let now = Instant::now();
            self.threads.look(&shared, now);
            loop_hold::look(&mut self.hold, &shared, now);
            end_imports(&shared, now);
            end_retired(&shared, now);
        }
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
                let own = |module: &str, file: &str| import.own.holds(module, file);
                interrupt(&import.progress, Some(step), &own);
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
                over.push(code.own.package.clone());
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

/// Raises in a thread that is still in that step, once it is seen in code of which `own` says that it
/// may be interrupted.
fn interrupt(
    progress: &Progress,
    step: Option<Step>,
    own: &dyn Fn(&str, &str) -> bool,
) -> Interruption {
    attach(|py| {
        for _ in 0..TRIES {
            let sent = progress.interrupt(step, own, Kinds::get(py).interrupted.bind(py));
            if sent != Interruption::Elsewhere {
                return sent;
            }
            py.detach(|| std::thread::sleep(BETWEEN_TRIES));
        }
        Interruption::Elsewhere
    })
}

/// The code of a generation, also of one that has been unloaded while it still runs.
fn code_of(shared: &Shared, generation: Generation) -> Option<Arc<Code>> {
    if let Some(code) = shared.generations.read().get(&generation) {
        return Some(code.clone());
    }
    let state = shared.watchdog.state.lock();
    let retired = state.retired.iter().map(|(code, _)| code);
    retired
        .into_iter()
        .find(|code| code.generation == generation)
        .cloned()
}
