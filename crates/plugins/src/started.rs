//! When a call began to run, as its runtime tells and its caller reads.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    queue_delay::{CallQueue, DelayLimits},
    traffic::Traffic,
};

/// The queues that calls of a dispatcher wait in, beside their plugin's.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) all: CallQueue,
    pub(crate) limits: DelayLimits,
}

/// When a call began to run. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Started(Arc<Beginning>);

#[derive(Debug, Default)]
struct Beginning {
    /// Nanoseconds since the first look at the clock, plus one: zero is for not yet.
    at: AtomicU64,
    /// Whether it is counted among those that wait.
    waits: AtomicBool,
    /// Since when.
    entered: u64,
    /// The plugin's calls; nobody's in a worker process, where the gateway counts.
    traffic: Option<Arc<Traffic>>,
    queues: Option<Arc<Queues>>,
}

impl Started {
    /// The call begins now; `false` where it was withdrawn before, and must not run.
    #[must_use]
    pub fn begin(&self) -> bool {
        let now = nanos(Instant::now());
        let begun = (self.0.at).compare_exchange(0, now + 1, Ordering::AcqRel, Ordering::Acquire);
        if begun.is_ok() {
            self.leave_queue(now);
        }
        // A call that goes on elsewhere, on a thread, begins a second time.
        !matches!(begun, Err(WITHDRAWN))
    }

    /// Takes a call back that has not begun; `true` where it never will.
    pub fn withdraw(&self) -> bool {
        let taken = (self.0.at).compare_exchange(0, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire);
        taken.is_ok()
    }

    /// The call began so long ago, in another process.
    pub fn began_ago(&self, ago: Duration) {
        let now = Instant::now();
        let at = nanos(now.checked_sub(ago).unwrap_or(now));
        self.0.at.store(at + 1, Ordering::Release);
        self.leave_queue(at);
    }

    /// When it began, if it has.
    pub fn at(&self) -> Option<Instant> {
        let since = self.0.at.load(Ordering::Acquire);
        let since = since.checked_sub(1).filter(|_| since != WITHDRAWN)?;
        first_look().checked_add(Duration::from_nanos(since))
    }

    /// The call enters its plugin's queue, and that of all. Only while nobody else holds it.
    pub(crate) fn enter_queue(
        &mut self,
        now: Instant,
        traffic: &Arc<Traffic>,
        queues: &Arc<Queues>,
    ) {
        let Some(beginning) = Arc::get_mut(&mut self.0) else {
            return;
        };
        let now = nanos(now);
        beginning.entered = now;
        *beginning.waits.get_mut() = true;
        traffic.queue.enter(now);
        queues.all.enter(now);
        beginning.traffic = Some(Arc::clone(traffic));
        if beginning.queues.is_none() {
            beginning.queues = Some(Arc::clone(queues));
        }
    }

    /// The call was not taken after all: what its place in the queue was like says nothing.
    pub(crate) fn abandon(&self) {
        let beginning = &*self.0;
        let (Some(traffic), Some(queues)) = (&beginning.traffic, &beginning.queues) else {
            return;
        };
        if beginning.waits.swap(false, Ordering::AcqRel) {
            traffic.queue.abandon();
            queues.all.abandon();
        }
    }

    /// The call has ended, or is waited for no more: if it was not heard to begin, it waits no longer.
    pub(crate) fn end(&self) {
        if self.0.waits.load(Ordering::Acquire) {
            self.leave_queue(nanos(Instant::now()));
        }
    }

    fn leave_queue(&self, now: u64) {
        let beginning = &*self.0;
        let (Some(traffic), Some(queues)) = (&beginning.traffic, &beginning.queues) else {
            return;
        };
        if beginning.waits.swap(false, Ordering::AcqRel) {
            let delay = now.saturating_sub(beginning.entered);
            traffic.metrics.call_waited(Duration::from_nanos(delay));
            traffic.queue.leave(now, delay, queues.limits.plugin);
            queues.all.leave(now, delay, queues.limits.gateway);
        }
    }

    /// Makes it one for another call, if nobody else holds it.
    pub(crate) fn renew(mut self) -> Option<Self> {
        let beginning = Arc::get_mut(&mut self.0)?;
        *beginning.at.get_mut() = 0;
        *beginning.waits.get_mut() = false;
        beginning.traffic = None;
        Some(self)
    }
}

/// In the place of the moment: the call will not begin.
const WITHDRAWN: u64 = u64::MAX;

fn first_look() -> Instant {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    *FIRST.get_or_init(Instant::now)
}

/// A moment as a number.
pub(crate) fn nanos(moment: Instant) -> u64 {
    let since = moment.saturating_duration_since(first_look());
    u64::try_from(since.as_nanos()).map_or(WITHDRAWN - 2, |nanos| nanos.min(WITHDRAWN - 2))
}
