//! Counters of the bus, by app.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

/// Where names past the bound are counted.
const OTHER: &str = "(other)";

/// The counters of one app.
#[derive(Debug, Default)]
pub(super) struct AppCounters {
    pub(super) published: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) dropped: AtomicU64,
    by_type: Mutex<HashMap<Arc<str>, u64, RandomState>>,
}

/// How the bus has done for one app, or for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EventStats {
    /// Events published.
    pub events_published: u64,
    /// Deliveries that succeeded: one event counts once for each subscriber.
    pub events_delivered: u64,
    /// Deliveries that failed for good and became dead letters.
    pub delivery_failures: u64,
    /// Attempts that failed and were followed by another.
    pub delivery_retries: u64,
    /// Deliveries dropped because a subscriber's queue was full.
    pub events_dropped: u64,
    /// Events published, by name.
    pub events_by_type: BTreeMap<String, u64>,
}

/// How one subscription is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SubscriptionStats {
    /// The plugin, or the part of the gateway.
    pub subscriber: String,
    /// What it wants.
    pub pattern: String,
    /// Events waiting.
    pub queued: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Events dropped because the queue was full.
    pub dropped: u64,
}

/// All counters. Apps and names are bounded; what comes past the bounds is counted together.
#[derive(Default)]
pub(super) struct Stats {
    apps: Mutex<HashMap<Arc<str>, Arc<AppCounters>, RandomState>>,
}

const MAX_APPS: usize = 10_000;

impl Stats {
    /// The app's counters.
    pub(super) fn app(&self, app_id: &Arc<str>) -> Arc<AppCounters> {
        let mut apps = self.apps.lock();
        if let Some(counters) = apps.get(&**app_id) {
            return counters.clone();
        }
        let key = if apps.len() < MAX_APPS {
            app_id.clone()
        } else {
            Arc::from(OTHER)
        };
        apps.entry(key).or_default().clone()
    }

    /// One app's numbers, or the sum of all.
    pub(super) fn read(&self, app_id: Option<&str>) -> EventStats {
        let counters: Vec<Arc<AppCounters>> = {
            let apps = self.apps.lock();
            match app_id {
                Some(app_id) => apps.get(app_id).cloned().into_iter().collect(),
                None => apps.values().cloned().collect(),
            }
        };
        let mut sum = EventStats::default();
        for app in counters {
            sum.events_published += app.published.load(Ordering::Relaxed);
            sum.events_delivered += app.delivered.load(Ordering::Relaxed);
            sum.delivery_failures += app.failed.load(Ordering::Relaxed);
            sum.delivery_retries += app.retried.load(Ordering::Relaxed);
            sum.events_dropped += app.dropped.load(Ordering::Relaxed);
            for (name, count) in app.by_type.lock().iter() {
                *sum.events_by_type.entry(name.to_string()).or_default() += count;
            }
        }
        sum
    }
}

impl AppCounters {
    /// Counts a published event; at most `max_names` names are told apart.
    pub(super) fn count_published(&self, name: &Arc<str>, max_names: usize) {
        self.published.fetch_add(1, Ordering::Relaxed);
        let mut by_type = self.by_type.lock();
        if let Some(count) = by_type.get_mut(&**name) {
            *count += 1;
        } else if by_type.len() < max_names {
            by_type.insert(name.clone(), 1);
        } else {
            *by_type.entry(Arc::from(OTHER)).or_default() += 1;
        }
    }
}
