//! How long calls may take, and what keeps their time.

use std::{pin::Pin, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{generation::CallLimits, invocation::CallKind, started::Started};

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimits {
    /// From its start.
    pub(super) running: Duration,
    /// Until its start.
    pub(super) waiting: Duration,
}

impl TimeLimits {
    /// Those of the plugin, or of a call that has a limit of its own for all of it.
    pub(super) fn of(plugin: CallLimits, kind: CallKind, own: Option<Duration>) -> Self {
        let running = match own {
            Some(own) if kind.may_take_longer() => own,
            own => plugin.timeout.min(own.unwrap_or(Duration::MAX)),
        };
        let own = own.unwrap_or(Duration::MAX);
        Self {
            running,
            waiting: plugin.queue_timeout.min(own),
        }
    }
}

/// What keeps a call's time.
pub(super) struct Timer {
    /// A timer of tokio's.
    pub(super) sleep: Pin<Box<Sleep>>,
    /// Where the runtime says that the call has begun.
    pub(super) started: Started,
}

/// Timers for further calls. A timer is large and has a place in tokio's wheel, which takes a lock to
/// enter and to leave; one that is set to a later moment just keeps its place.
#[derive(Default)]
pub(super) struct Timers(pub(super) Mutex<Vec<Timer>>);

/// Most timers kept.
const SPARE_TIMERS: usize = 1024;

impl Timers {
    pub(super) fn until(&self, end: Instant) -> Timer {
        let spare = self.0.lock().pop();
        match spare {
            Some(mut timer) => {
                timer.sleep.as_mut().reset(end);
                timer
            }
            None => Timer {
                sleep: Box::pin(sleep_until(end)),
                started: Started::default(),
            },
        }
    }

    pub(super) fn give_back(&self, timer: Timer) {
        timer.started.end();
        // A call that goes on past its limit still holds its own.
        let Some(started) = timer.started.renew() else {
            return;
        };
        let mut spare = self.0.lock();
        if spare.len() < SPARE_TIMERS {
            spare.push(Timer {
                sleep: timer.sleep,
                started,
            });
        }
    }
}
