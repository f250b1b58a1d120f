//! How long calls wait for their turn, and whether so long that no more are taken.
//!
//! The rule is CoDel's: it is not the length of a queue that hurts, nor a moment's delay, but a delay that
//! stays. A queue is short when it is empty, or when a call begins that has waited for less than the target;
//! one that has not been short for the target and an interval stands, and what comes is refused at once until
//! it is short again. A queue of which nothing begins at all stands just so.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use mozaiks_config::QueueDelayConfig;

/// When a queue stands, in nanoseconds; no target is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelayLimit {
    target: u64,
    interval: u64,
}

impl DelayLimit {
    /// With a target and an interval; a target of zero is never exceeded.
    pub fn new(target: Duration, interval: Duration) -> Self {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            target: nanos(target),
            interval: nanos(interval),
        }
    }

    /// None.
    pub fn none() -> Self {
        Self::new(Duration::ZERO, Duration::ZERO)
    }
}

/// When queues stand.
#[derive(Debug, Clone, Copy)]
pub struct DelayLimits {
    /// That of one plugin.
    pub plugin: DelayLimit,
    /// That of all calls together.
    pub gateway: DelayLimit,
}

impl DelayLimits {
    /// As configured.
    pub fn new(config: &QueueDelayConfig) -> Self {
        Self {
            plugin: DelayLimit::new(config.plugin_target, config.plugin_interval),
            gateway: DelayLimit::new(config.gateway_target, config.gateway_interval),
        }
    }

    /// None.
    pub fn none() -> Self {
        Self {
            plugin: DelayLimit::none(),
            gateway: DelayLimit::none(),
        }
    }
}

/// Calls that were taken and have not begun. Times are nanoseconds of one clock, never going back.
#[derive(Debug, Default)]
pub struct CallQueue {
    waiting: AtomicUsize,
    /// When it was last seen to be short.
    short_at: AtomicU64,
    /// How long the call had waited that began last.
    last_delay: AtomicU64,
}

impl CallQueue {
    /// A call comes.
    pub(crate) fn enter(&self, now: u64) {
        // Before it is seen to wait: whoever sees that sees since when.
        if self.waiting.load(Ordering::Acquire) == 0 {
            self.short_at.fetch_max(now, Ordering::AcqRel);
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    /// A call has begun, or never will, after so long.
    pub(crate) fn leave(&self, now: u64, delay: u64, limit: DelayLimit) {
        self.last_delay.store(delay, Ordering::Relaxed);
        if delay <= limit.target || self.waiting.load(Ordering::Acquire) <= 1 {
            self.short_at.fetch_max(now, Ordering::AcqRel);
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// A call was not taken after all.
    pub(crate) fn abandon(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether what comes now would wait for too long.
    pub(crate) fn stands(&self, now: u64, limit: DelayLimit) -> bool {
        limit.target > 0 && self.waiting() > 0 && {
            let long = limit.target.saturating_add(limit.interval);
            now.saturating_sub(self.short_at.load(Ordering::Acquire)) > long
        }
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// How long the call had waited that began last.
    pub fn last_delay(&self) -> Duration {
        Duration::from_nanos(self.last_delay.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: DelayLimit = DelayLimit {
        target: 10,
        interval: 100,
    };

    #[test]
    fn a_queue_of_which_nothing_begins_stands() {
        let queue = CallQueue::default();
        assert!(!queue.stands(1_000_000, LIMIT), "empty");
        queue.enter(1_000_000);
        assert!(!queue.stands(1_000_110, LIMIT), "not for long enough");
        assert!(queue.stands(1_000_111, LIMIT));
        assert!(!queue.stands(1_000_111, DelayLimit::none()));
        queue.leave(1_000_200, 200, LIMIT);
        assert!(!queue.stands(1_000_200, LIMIT), "empty again");
        // Late as it was: what comes now finds a short queue.
        queue.enter(1_000_201);
        assert!(!queue.stands(1_000_300, LIMIT));
        assert_eq!(queue.last_delay(), Duration::from_nanos(200));
    }

    #[test]
    fn a_delay_that_stays_is_told_from_one_that_passes() {
        let queue = CallQueue::default();
        for now in [0, 1, 2, 3] {
            queue.enter(now);
        }
        // Each begins late.
        queue.leave(50, 50, LIMIT);
        queue.leave(90, 90, LIMIT);
        assert!(!queue.stands(110, LIMIT));
        assert!(queue.stands(111, LIMIT));
        // One that does not even get in is not.
        queue.enter(112);
        queue.abandon();
        assert!(queue.stands(113, LIMIT));
        // One that begins in time is the end of it.
        queue.enter(120);
        queue.leave(125, 5, LIMIT);
        assert!(!queue.stands(200, LIMIT));
        assert!(queue.stands(236, LIMIT));
    }

    #[test]
    fn calls_that_come_and_go_at_once_leave_a_short_queue() {
        // What four threads are apart at most.
        const LIMIT: DelayLimit = DelayLimit {
            target: 10,
            interval: 1000,
        };
        let queue = std::sync::Arc::new(CallQueue::default());
        let clock = std::sync::Arc::new(AtomicU64::new(1));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (queue, clock) = (queue.clone(), clock.clone());
                std::thread::spawn(move || {
                    for _ in 0..20_000 {
                        // Long pauses, between which the queue is as good as empty.
                        let now = clock.fetch_add(50, Ordering::AcqRel);
                        assert!(!queue.stands(now, LIMIT));
                        queue.enter(now);
                        queue.leave(now, 0, LIMIT);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(queue.waiting(), 0);
    }
}
