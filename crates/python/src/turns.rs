//! Lets I/O threads wake the Python thread once for all the calls of a turn.
//!
//! An I/O thread handles everything that is ready and then sleeps. Woken by the first call, the Python
//! thread would run one or two of them, find no more and sleep again, at the cost of a few system calls
//! for each time. So a call that arrives in a turn is only put down; the thread is woken when the turn
//! ends, or earlier by a number of calls.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
};

thread_local! {
    /// This thread tells when its turn ends.
    static TELLS: Cell<bool> = const { Cell::new(false) };
}

type Hook = Box<dyn Fn() + Send + Sync>;

/// The turns of a runtime's worker threads. Clones are the same.
#[derive(Clone, Default)]
pub struct Turns(Arc<OnceLock<Hook>>);

impl Turns {
    /// Those of the runtime to be built: its threads tell when they wake and when they are about to sleep.
    pub fn of(builder: &mut tokio::runtime::Builder) -> Self {
        let turns = Self::default();
        let ending = turns.clone();
        builder
            .on_thread_unpark(|| TELLS.set(true))
            .on_thread_park(move || ending.end());
        turns
    }

    fn end(&self) {
        if let Some(hook) = self.0.get() {
            hook();
        }
    }

    /// What happens at the end of each turn; the first one set stays.
    pub(super) fn at_end(&self, hook: impl Fn() + Send + Sync + 'static) {
        // One runtime of Python lives in a process.
        self.0.set(Box::new(hook)).ok();
    }
}

/// Whether the calling thread is in a turn whose end will be told.
pub(super) fn in_turn() -> bool {
    TELLS.get()
}

/// As in the middle of a turn that nobody ends.
#[cfg(test)]
pub(super) fn begin_turn() {
    TELLS.set(true);
}
