//! What the watchdog has been asked to look after.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{code::Code, import::Import};
use mozaiks_plugins::{CallId, Generation};

/// How often it looks while there is something to look after.
const BUSY_TICK: Duration = Duration::from_millis(10);

/// How often it pings the loop otherwise.
const IDLE_TICK: Duration = Duration::from_millis(250);

/// Calls, imports and old generations that are watched. No Python here.
#[derive(Default)]
pub(super) struct Watch {
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

impl Watch {
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

    /// Waits for the interrupter's next look, a short while if calls run; `false` when it is over.
    pub(super) fn wait(&self, calls_run: impl Fn() -> bool) -> bool {
        let mut state = self.state.lock();
        if !state.stopped {
            let tick = if state.is_busy() || calls_run() {
                BUSY_TICK
            } else {
                IDLE_TICK
            };
            self.interruptions.wait_for(&mut state, tick);
        }
        !state.stopped
    }

    /// Waits for the next look at what was promised; before a long while `look` looks once more. `false`
    /// when it is over.
    pub(super) fn doze(
        &self,
        lively: bool,
        calls_run: impl Fn() -> bool,
        look: impl FnOnce(),
    ) -> bool {
        let mut state = self.state.lock();
        if state.stopped {
            return false;
        }
        if lively || state.is_busy() || calls_run() {
            self.promises.wait_for(&mut state, BUSY_TICK);
        } else {
            self.dozing.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            look();
            self.promises.wait_for(&mut state, IDLE_TICK);
        }
        !state.stopped
    }

    /// The thread that keeps promises is awake; `true` where it was woken for something put off, or looks
    /// often anyway.
    pub(super) fn awake(&self) -> bool {
        !self.dozing.swap(false, Ordering::AcqRel)
    }

    /// Calls asked to stop, and since when.
    pub(super) fn cancelled(&self) -> HashMap<CallId, Instant> {
        self.state.lock().cancelled.clone()
    }

    /// Goes on watching only those calls.
    pub(super) fn keep_cancelled(&self, keep: impl Fn(CallId, Instant) -> bool) {
        let mut state = self.state.lock();
        state.cancelled.retain(|call, since| keep(*call, *since));
    }

    /// Imports under way.
    pub(super) fn imports(&self) -> Vec<Arc<Import>> {
        self.state.lock().imports.clone()
    }

    /// An import has ended.
    pub(super) fn end_import(&self, import: &Arc<Import>) {
        let mut state = self.state.lock();
        state.imports.retain(|other| !Arc::ptr_eq(other, import));
    }

    /// Old generations that nothing runs in, or that were unloaded long ago.
    pub(super) fn take_retired(&self, now: Instant, after: Duration) -> Vec<Arc<Code>> {
        let mut state = self.state.lock();
        let over = |(code, since): &mut (Arc<Code>, Instant)| {
            Arc::strong_count(code) == 1 || now.duration_since(*since) >= after
        };
        let taken = state.retired.extract_if(.., over);
        taken.map(|(code, _)| code).collect()
    }

    /// The code of an old generation.
    pub(super) fn retired(&self, generation: Generation) -> Option<Arc<Code>> {
        let state = self.state.lock();
        let mut codes = state.retired.iter().map(|(code, _)| code);
        codes.find(|code| code.generation == generation).cloned()
    }

    /// The interrupter waits for the interpreter since then, or no longer.
    pub(super) fn set_asking(&self, since: Option<Instant>) {
        *self.asking.lock() = since;
    }

    /// Since when it does.
    pub(super) fn asking(&self) -> Option<Instant> {
        *self.asking.lock()
    }
}

impl State {
    fn is_busy(&self) -> bool {
        !self.imports.is_empty() || !self.cancelled.is_empty() || !self.retired.is_empty()
    }
}
