//! Watches deadlines that the Python threads cannot keep themselves.
//!
//! It sees without the interpreter lock who holds a thread, says so in the log, and interrupts a
//! plugin's code that has outlived its call. Blocking native code cannot be interrupted, and what others
//! have written is not: an exception in the middle of it could leave a lock behind. Their callers have
//! had their answer long before.
//!
//! It owns whatever is put off: a wake-up or a reply that nobody sends in time is sent by it. Takes all
//! parts.

mod loop_hold;
mod threads;

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use crate::{
    code::Code,
    interpreter::attach,
    loader,
    parts::Parts,
    progress::{Interruption, Progress, Step},
    runtime_types::Kinds,
    watch::Watch,
};
use loop_hold::LoopHold;
use mozaiks_plugins::Generation;
use threads::HeldThreads;

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

/// Starts the threads: one that never needs the interpreter and so is never late, and one that
/// interrupts.
///
/// # Errors
/// Where the system gives none.
pub(super) fn start(parts: &Arc<Parts>) -> Result<(), String> {
    let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new()
            .name(name.into())
            .spawn(body)
            .map(drop)
            .map_err(|error| format!("cannot start the thread {name}: {error}"))
    };
    let weak = Arc::downgrade(parts);
    spawn("mozaiks-watchdog", Box::new(move || keep_promises(&weak)))?;
    let weak = Arc::downgrade(parts);
    // One thread state for good: attached once, detached while it waits.
    let interrupter = move || attach(|py| py.detach(|| Rounds::default().run(&weak)));
    spawn("mozaiks-interrupter", Box::new(interrupter))
}

/// What callers have been promised, whoever holds the interpreter: what was put off happens, replies that
/// are ready leave, imports are answered at their deadline.
fn keep_promises(parts: &Weak<Parts>) {
    let mut lively_until = Instant::now();
    let mut told = false;
    loop {
        let Some(parts) = parts.upgrade() else {
            return;
        };
        let watch = &parts.watch;
        let lively = Instant::now() < lively_until;
        if !watch.doze(lively, || parts.outbox.running() > 0, || parts.end_turn()) {
            return;
        }
        let now = Instant::now();
        if watch.awake() && now >= lively_until {
            lively_until = now + LIVELY;
        }
        parts.end_turn();
        parts.outbox.flush();
        if parts.looping.ping(now) {
            parts.queue.inbox.wake();
        }
        told = loop_hold::tell_of_native_code(&parts, now, told);
        let seconds = parts.limits.import_timeout.as_secs();
        for import in watch.imports() {
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
    fn run(mut self, parts: &Weak<Parts>) {
        loop {
            let Some(parts) = parts.upgrade() else {
                return;
            };
            if !parts.watch.wait(|| parts.outbox.running() > 0) {
                return;
            }
            let now = Instant::now();
            self.threads.look(&parts, now);
            loop_hold::look(&mut self.hold, &parts, now);
            end_imports(&parts.watch, now);
            end_retired(&parts.watch, now);
        }
    }
}

/// Imports that have been answered are no longer watched; code that still runs for one is
/// interrupted. A module that blocks in native code keeps its thread.
fn end_imports(watch: &Watch, now: Instant) {
    let imports = watch.imports();
    for import in imports.iter().filter(|import| import.is_answered()) {
        let step = import.progress.current();
        let over = now >= import.deadline + FORGET;
        match step {
            Some(step) if !over => {
                let own = |module: &str, file: &str| import.own.holds(module, file);
                interrupt(&import.progress, Some(step), &own, true);
            }
            _ => watch.end_import(import),
        }
    }
}

/// Modules of old generations go when nothing runs in them.
fn end_retired(watch: &Watch, now: Instant) {
    let over = watch.take_retired(now, FORGET);
    if !over.is_empty() {
        attach(|py| {
            for code in over {
                loader::forget_package(py, &code.own.package);
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
    insisting: bool,
) -> Interruption {
    attach(|py| {
        for _ in 0..TRIES {
            let sent =
                progress.interrupt(step, own, Kinds::get(py).interrupted.bind(py), insisting);
            if sent != Interruption::Elsewhere {
                return sent;
            }
            py.detach(|| std::thread::sleep(BETWEEN_TRIES));
        }
        Interruption::Elsewhere
    })
}

/// The code of a generation, also of one that has been unloaded while it still runs.
fn code_of(parts: &Parts, generation: Generation) -> Option<Arc<Code>> {
    let loaded = parts.codes.code(generation);
    loaded.or_else(|| parts.watch.retired(generation))
}
