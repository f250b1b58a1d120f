//! The order of one event's subscriptions where their priorities differ: a level begins when all of the one
//! before it have tried once, or when its time has come.
//!
//! Whoever waits for its level looks after that itself: it is told when a level ends, and it has a timer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// However many levels there are, nobody waits for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The levels of one event.
pub(super) struct Levels {
    /// How many of each level have not tried yet.
    open: Vec<AtomicUsize>,
    /// Told of when a level ends.
    ended: Notify,
    published: Instant,
    /// How long a level may keep the next one waiting.
    wait: Duration,
    /// Levels that began without the end of those before them.
    overrun: Arc<AtomicU64>,
}

/// A subscription's place in them. Dropped when it has tried once, or will not try any more.
pub(super) struct Turn {
    levels: Arc<Levels>,
    level: usize,
}

impl Levels {
    /// A turn for each of these priorities, in their order.
    pub(super) fn turns(priorities: &[i32], wait: Duration, overrun: &Arc<AtomicU64>) -> Vec<Turn> {
        let mut distinct = priorities.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let place = |priority: &i32| distinct.binary_search(priority).unwrap_or(0);
        let open: Vec<AtomicUsize> = distinct.iter().map(|_| AtomicUsize::new(0)).collect();
        for priority in priorities {
            open[place(priority)].fetch_add(1, Ordering::Relaxed);
        }
        let levels = Arc::new(Self {
            open,
            ended: Notify::new(),
            published: Instant::now(),
            wait,
            overrun: Arc::clone(overrun),
        });
        let turn = |priority| Turn {
            levels: Arc::clone(&levels),
            level: place(priority),
        };
        priorities.iter().map(turn).collect()
    }
}

impl Turn {
    /// Whether all before it have tried.
    fn is_free(&self) -> bool {
        let before = &self.levels.open[..self.level];
        before.iter().all(|open| open.load(Ordering::Acquire) == 0)
    }

    /// When it has its turn whatever those before it do.
    fn at_latest(&self) -> Instant {
        let level = u32::try_from(self.level).unwrap_or(u32::MAX);
        let wait = self.levels.wait.saturating_mul(level).min(LONGEST_WAIT);
        self.levels.published + wait
    }

    /// Whether it may try now.
    pub(super) fn has_come(&self) -> bool {
        if self.is_free() {
            return true;
        }
        let is_late = Instant::now() >= self.at_latest();
        if is_late {
            self.levels.overrun.fetch_add(1, Ordering::Relaxed);
        }
        is_late
    }

    /// Waits until it may try.
    pub(super) async fn comes(&self) {
        loop {
            let mut ended = std::pin::pin!(self.levels.ended.notified());
            // Before it is looked: what ends in between is not missed.
            ended.as_mut().enable();
            if self.is_free() || timeout_at(self.at_latest(), ended).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.levels.open[self.level].fetch_sub(1, Ordering::AcqRel) == 1 {
            self.levels.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
