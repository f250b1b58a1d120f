//! What a plugin uses, app by app, until it is written down.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;

/// What was used of one plugin in one app since it was last written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Calls that ended.
    pub calls: u64,
    /// Of these, those without an answer of the plugin's.
    pub errors: u64,
    /// Time of its own processes on a processor, in milliseconds.
    pub cpu_ms: u64,
    /// Bytes given to it and by it.
    pub bytes: u64,
    /// Requests to others.
    pub connections: u64,
}

impl Used {
    /// Whether there is nothing to write down.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug)]
struct Counts {
    calls: AtomicU64,
    errors: AtomicU64,
    cpu_ms: AtomicU64,
    bytes: AtomicU64,
    connections: AtomicU64,
}

impl Counts {
    const fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            cpu_ms: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }

    fn add(&self, used: &Used) {
        let add = |to: &AtomicU64, count: u64| {
            if count > 0 {
                to.fetch_add(count, Ordering::Relaxed);
            }
        };
        add(&self.calls, used.calls);
        add(&self.errors, used.errors);
        add(&self.cpu_ms, used.cpu_ms);
        add(&self.bytes, used.bytes);
        add(&self.connections, used.connections);
    }

    fn take(&self) -> Used {
        let take = |from: &AtomicU64| from.swap(0, Ordering::Relaxed);
        Used {
            calls: take(&self.calls),
            errors: take(&self.errors),
            cpu_ms: take(&self.cpu_ms),
            bytes: take(&self.bytes),
            connections: take(&self.connections),
        }
    }
}

/// What one plugin uses in each app. Most gateways have one app: its counts are found without a lock.
#[derive(Debug, Default)]
pub struct UsageCounts {
    first: OnceLock<(Arc<str>, Counts)>,
    /// The other apps'. Emptied whenever it is read.
    others: RwLock<HashMap<Arc<str>, Counts>>,
}

impl UsageCounts {
    /// Adds to what an app has used. `false` where so many other apps have used the plugin since it was last
    /// written down that this one is not counted.
    pub fn add(&self, app_id: &Arc<str>, used: &Used, most_apps: usize) -> bool {
        let (first, counts) = self
            .first
            .get_or_init(|| (Arc::clone(app_id), Counts::new()));
        if first == app_id {
            counts.add(used);
            return true;
        }
        if let Some(counts) = self.others.read().get(app_id) {
            counts.add(used);
            return true;
        }
        let mut others = self.others.write();
        if others.len() >= most_apps && !others.contains_key(app_id) {
            return false;
        }
        others
            .entry(Arc::clone(app_id))
            .or_insert_with(Counts::new)
            .add(used);
        true
    }

    /// Everything since the last time, by app.
    pub fn take(&self) -> Vec<(Arc<str>, Used)> {
        let first = self.first.get();
        let first = first.map(|(app_id, counts)| (Arc::clone(app_id), counts.take()));
        let others = std::mem::take(&mut *self.others.write());
        let others = others
            .into_iter()
            .map(|(app_id, counts)| (app_id, counts.take()));
        let all = first.into_iter().chain(others);
        all.filter(|(_, used)| !used.is_nothing()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(calls: u64) -> Used {
        Used {
            calls,
            ..Used::default()
        }
    }

    #[test]
    fn apps_are_counted_apart_and_taken_once() {
        let usage = UsageCounts::default();
        let [one, two] = ["one", "two"].map(Arc::from);
        for _ in 0..3 {
            assert!(usage.add(&one, &calls(1), 8));
            assert!(usage.add(&two, &calls(2), 8));
        }
        assert!(usage.add(&two, &calls(1), 8));
        let second = calls(7);
        assert_eq!(usage.take(), [(one, calls(3)), (two, second)]);
        assert_eq!(usage.take(), []);
    }

    #[test]
    fn only_so_many_apps_are_held() {
        let usage = UsageCounts::default();
        let app = |name: &str| -> Arc<str> { Arc::from(name) };
        for (name, counted) in [
            ("a", true),
            ("b", true),
            ("c", false),
            ("a", true),
            ("b", true),
        ] {
            assert_eq!(usage.add(&app(name), &calls(1), 1), counted, "{name}");
        }
        assert_eq!(usage.take().len(), 2);
        // There is room again.
        assert!(usage.add(&app("c"), &calls(1), 1));
    }
}
