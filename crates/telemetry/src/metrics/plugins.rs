//! What is counted of each plugin's calls. The counters hang on the plugin itself, so that counting looks
//! nothing up; only so many plugins are named where they are read, the others together are `other`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{CallKind, CallOutcome, histogram::Histogram};

/// What those are called together that are not named.
const OTHER: &str = "other";

/// Codes of calls that failed which are counted apart; the last is for whatever else plugins answer.
pub const ERROR_CODES: [&str; 23] = [
    "VALIDATION_ERROR",
    "NOT_FOUND",
    "FORBIDDEN",
    "FEATURE_GATED",
    "CONFLICT",
    "LIMIT_EXCEEDED",
    "INVALID_JSON",
    "INVALID_REQUEST",
    "PLUGIN_ERROR",
    "PLUGIN_BAD_RESULT",
    "OUTPUT_NOT_SERIALIZABLE",
    "OUTPUT_TOO_LARGE",
    "PLUGIN_TIMEOUT",
    "PLUGIN_DISABLED",
    "PLUGIN_UNAVAILABLE",
    "WORKER_CRASHED",
    "PERMISSION_DENIED",
    "QUOTA_EXCEEDED",
    "DATABASE_UNAVAILABLE",
    "STORAGE_FULL",
    "OVERLOADED",
    "INTERNAL_ERROR",
    OTHER,
];

/// Why a call was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// The plugin has as many calls as it may.
    Concurrency,
    /// The runtime's queue is full.
    QueueFull,
    /// The plugin's calls wait for too long.
    PluginDelay,
    /// All calls do.
    GatewayDelay,
    /// The gateway ends.
    Draining,
}

impl RefusalReason {
    /// All, as they are named.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Concurrency, "concurrency"),
        (Self::QueueFull, "queue_full"),
        (Self::PluginDelay, "plugin_delay"),
        (Self::GatewayDelay, "gateway_delay"),
        (Self::Draining, "draining"),
    ];
}

/// Counters of one plugin.
#[derive(Debug, Default)]
pub struct PluginMetrics {
    calls: [[AtomicU64; CallOutcome::ALL.len()]; CallKind::ALL.len()],
    time: [Histogram; CallKind::ALL.len()],
    errors: [AtomicU64; ERROR_CODES.len()],
    refused: [AtomicU64; RefusalReason::ALL.len()],
    /// From a call's acceptance to its start.
    queue_delay: Histogram,
}

impl PluginMetrics {
    /// A call has ended.
    pub fn call_finished(&self, kind: CallKind, outcome: CallOutcome, time: Duration) {
        self.calls[kind as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.time[kind as usize].record(time);
    }

    /// A call has failed, with this code.
    pub fn call_failed(&self, code: &str) {
        let known = ERROR_CODES.iter().position(|known| *known == code);
        self.errors[known.unwrap_or(ERROR_CODES.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// A call was not taken. It never started, so it has no duration.
    pub fn call_refused(&self, kind: CallKind, reason: RefusalReason) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
        self.calls[kind as usize][CallOutcome::Overloaded as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A call has waited for so long for its start.
    pub fn call_waited(&self, time: Duration) {
        self.queue_delay.record(time);
    }

    /// Calls of all kinds that ended or were not taken, and of these those that gave no good answer.
    pub fn totals(&self) -> (u64, u64) {
        let (mut all, mut good) = (0, 0);
        for by_outcome in &self.calls {
            for (outcome, count) in by_outcome.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                all += count;
                if outcome == CallOutcome::Ok as usize {
                    good += count;
                }
            }
        }
        (all, all - good)
    }

    /// How many failed with each code, for those of which there are some.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = ERROR_CODES.iter().zip(&self.errors);
        counts
            .map(|(code, count)| (*code, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }

    /// How many were not taken, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = RefusalReason::ALL.iter().zip(&self.refused);
        counts.map(|((_, name), count)| (*name, count.load(Ordering::Relaxed)))
    }

    /// How many calls took at most so many seconds, bucket by bucket, each with those before it; the last has no
    /// bound. Then all their seconds.
    pub fn latency(&self) -> (Vec<(Option<f64>, u64)>, f64) {
        let sum = Histogram::default();
        for time in &self.time {
            sum.add(time);
        }
        sum.read()
    }

    pub(super) fn calls(&self, kind: CallKind, outcome: CallOutcome) -> u64 {
        self.calls[kind as usize][outcome as usize].load(Ordering::Relaxed)
    }

    pub(super) fn time(&self, kind: CallKind) -> &Histogram {
        &self.time[kind as usize]
    }

    pub(super) fn queue_delay(&self) -> &Histogram {
        &self.queue_delay
    }

    /// Adds another's counts.
    fn add(&self, other: &Self) {
        let add = |to: &AtomicU64, from: &AtomicU64| {
            to.fetch_add(from.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        for (to, from) in self
            .calls
            .iter()
            .flatten()
            .zip(other.calls.iter().flatten())
        {
            add(to, from);
        }
        for (to, from) in self.time.iter().zip(&other.time) {
            to.add(from);
        }
        for (to, from) in self.errors.iter().zip(&other.errors) {
            add(to, from);
        }
        for (to, from) in self.refused.iter().zip(&other.refused) {
            add(to, from);
        }
        self.queue_delay.add(&other.queue_delay);
    }
}

/// A plugin as it is read.
#[derive(Debug, Clone, Default)]
pub struct PluginFigures {
    /// Its counters.
    pub metrics: Arc<PluginMetrics>,
    /// Calls that wait for their start.
    pub waiting: u64,
    /// Calls that run.
    pub running: u64,
}

/// Which plugins are named. Who has been named once stays named: a counter must not go back.
#[derive(Debug)]
pub(super) struct PluginNames {
    named: Mutex<BTreeSet<Arc<str>>>,
    most: usize,
}

impl PluginNames {
    pub(super) fn new(most: usize) -> Self {
        Self {
            named: Mutex::default(),
            most,
        }
    }

    /// The figures by name, those without one together.
    pub(super) fn group(
        &self,
        plugins: &[(Arc<str>, PluginFigures)],
    ) -> BTreeMap<Arc<str>, PluginFigures> {
        let mut named = self.named.lock();
        let mut grouped = BTreeMap::new();
        let mut others: Option<PluginFigures> = None;
        for (name, figures) in plugins {
            if named.contains(name) || named.len() < self.most {
                named.insert(Arc::clone(name));
                grouped.insert(Arc::clone(name), figures.clone());
                continue;
            }
            let others = others.get_or_insert_default();
            others.metrics.add(&figures.metrics);
            others.waiting += figures.waiting;
            others.running += figures.running;
        }
        if let Some(others) = others {
            grouped.insert(OTHER.into(), others);
        }
        grouped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_follows_the_enum() {
        for (index, (reason, _)) in RefusalReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }

    #[test]
    fn those_without_a_name_are_one_and_names_stay() {
        let names = PluginNames::new(2);
        let plugin = |name: &str, calls: u64| {
            let figures = PluginFigures {
                waiting: calls,
                ..PluginFigures::default()
            };
            for _ in 0..calls {
                let metrics = &figures.metrics;
                metrics.call_finished(CallKind::Route, CallOutcome::Ok, Duration::ZERO);
                metrics.call_failed("NO_SUCH_CODE");
                metrics.call_waited(Duration::ZERO);
            }
            (Arc::from(name), figures)
        };
        let group = |plugins: &[(Arc<str>, PluginFigures)]| -> Vec<(String, u64, u64)> {
            let grouped = names.group(plugins).into_iter();
            grouped
                .map(|(name, figures)| {
                    let errors = figures.metrics.errors().map(|(_, count)| count).sum();
                    assert_eq!(figures.metrics.totals().0, figures.waiting);
                    (name.to_string(), figures.waiting, errors)
                })
                .collect()
        };
        let (b, c) = (plugin("b", 1), plugin("c", 2));
        assert_eq!(
            group(&[b.clone(), c.clone()]),
            [("b".into(), 1, 1), ("c".into(), 2, 2)]
        );
        // Earlier in the alphabet, and later all the same.
        let all = [plugin("a", 4), b, c, plugin("d", 8)];
        assert_eq!(
            group(&all),
            [
                ("b".into(), 1, 1),
                ("c".into(), 2, 2),
                ("other".into(), 12, 12)
            ]
        );
    }
}
