//! How fast a worker answers, where processors are short. Calls that are short are cheaper together, since
//! one wake-up and one write carry many: as long as threads have to wait for a processor, a worker that is
//! quick gets the next call too, until what waits for it would take too long.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

/// Calls that take longer are not short: there each worker is to have some.
const SHORT_NS: u64 = 200_000;
/// What waits for a quick worker takes at most so long.
const LONGEST_WAIT_NS: u64 = 2_000_000;
/// One that has answered nothing for so long is not quick, whatever it was: somebody holds its loop, or
/// its calls wait for something.
const STALL_NS: u64 = 4_000_000;
/// The newest time between two answers counts for one in so many.
const NEWEST: u64 = 16;
/// Threads wait for a processor for so much of the time in which they could run, where these are short.
const CROWDED: f64 = 0.2;
/// A worker that has run for less than this since the last look says nothing of it.
const LEAST_RUN_NS: u64 = 2_000_000;

/// Times of one worker.
pub(crate) struct Pace {
    base: Instant,
    /// When it answered last, or got the first call after it had none.
    last_ns: AtomicU64,
    /// From one answer to the next while it has calls, on average.
    each_ns: AtomicU64,
    /// Its threads wait for processors.
    crowded: AtomicBool,
}

/// For how long threads ran, and waited for a processor, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OnProcessor {
    ran: u64,
    waited: u64,
}

impl OnProcessor {
    /// Of all threads of a process; `None` where the kernel does not say.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let mut sum = Self::default();
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
            // A thread may have ended meanwhile.
            let Ok(said) = std::fs::read_to_string(task.ok()?.path().join("schedstat")) else {
                continue;
            };
            let mut numbers = said.split_ascii_whitespace().map(str::parse::<u64>);
            let (Some(Ok(ran)), Some(Ok(waited))) = (numbers.next(), numbers.next()) else {
                return None;
            };
            sum.ran += ran;
            sum.waited += waited;
        }
        Some(sum)
    }
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            base: Instant::now(),
            last_ns: AtomicU64::new(0),
            each_ns: AtomicU64::new(SHORT_NS),
            crowded: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// It gets a call and had none.
    pub(crate) fn begins(&self) {
        self.last_ns.store(self.now(), Ordering::Relaxed);
    }

    /// It has answered so many calls at once.
    pub(crate) fn answered(&self, count: usize) {
        if count == 0 {
            return;
        }
        let now = self.now();
        let since = now.saturating_sub(self.last_ns.swap(now, Ordering::Relaxed));
        let each = since / count as u64;
        let before = self.each_ns.load(Ordering::Relaxed);
        let next = before - before / NEWEST + each / NEWEST;
        self.each_ns.store(next, Ordering::Relaxed);
    }

    /// What its threads had between two looks.
    pub(crate) fn saw(&self, before: OnProcessor, after: OnProcessor) {
        let ran = after.ran.saturating_sub(before.ran);
        let waited = after.waited.saturating_sub(before.waited);
        if ran >= LEAST_RUN_NS {
            let share = waited as f64 / (ran + waited) as f64;
            self.crowded.store(share >= CROWDED, Ordering::Relaxed);
        }
    }

    /// Whether one that has so many calls gets another, before others have as many.
    pub(crate) fn is_quick(&self, running: impl FnOnce() -> usize) -> bool {
        if !self.crowded.load(Ordering::Relaxed) {
            return false;
        }
        let each = self.each_ns.load(Ordering::Relaxed);
        let running = running() as u64;
        let since = self
            .now()
            .saturating_sub(self.last_ns.load(Ordering::Relaxed));
        running == 0
            || (each < SHORT_NS
                && each.saturating_mul(running) < LONGEST_WAIT_NS
                && since < STALL_NS)
    }
}

#[cfg(test)]
mod tests;
