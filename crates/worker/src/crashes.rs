//! How often the workers of a plugin have died lately: three times in ten minutes is enough.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use mozaiks_plugins::runtime::CrashReason;
use parking_lot::Mutex;

/// Crashes by plugin.
pub struct Crashes {
    most: usize,
    within: Duration,
    // One entry a plugin that has crashed; never held across an await.
    plugins: Mutex<HashMap<Arc<str>, History>>,
}

#[derive(Default)]
struct History {
    recent: VecDeque<Instant>,
    restarts: u64,
    last: Option<CrashReason>,
}

/// What is known of a plugin's crashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrashCount {
    /// Within the window.
    pub recent: usize,
    /// Since the gateway's start.
    pub total: u64,
    /// Why the last one was.
    pub last: Option<CrashReason>,
}

impl Crashes {
    /// So many within so long are too many; 0 is never.
    pub fn new(most: usize, within: Duration) -> Arc<Self> {
        Arc::new(Self {
            most,
            within,
            plugins: Mutex::default(),
        })
    }

    /// Notes an end that was not asked for; whether it is one too many. One that the gateway made because
    /// a call would not stop is a slow plugin's, and not a broken one's.
    pub(crate) fn note(&self, plugin: &Arc<str>, reason: CrashReason) -> bool {
        let mut plugins = self.plugins.lock();
        let history = plugins.entry(Arc::clone(plugin)).or_default();
        history.restarts += 1;
        history.last = Some(reason);
        if matches!(reason, CrashReason::Deadline | CrashReason::Stopped) {
            return false;
        }
        let now = Instant::now();
        history.recent.push_back(now);
        while (history.recent.front()).is_some_and(|at| now.duration_since(*at) > self.within) {
            history.recent.pop_front();
        }
        self.most > 0 && history.recent.len() >= self.most
    }

    /// Whether there were too many within the window.
    pub(crate) fn are_too_many(&self, plugin: &str) -> bool {
        self.most > 0 && self.of(plugin).recent >= self.most
    }

    /// Begins to count anew.
    pub fn forgive(&self, plugin: &str) {
        if let Some(history) = self.plugins.lock().get_mut(plugin) {
            history.recent.clear();
        }
    }

    /// How often workers have died since the start, by plugin or pool.
    pub fn totals(&self) -> Vec<(String, u64)> {
        let plugins = self.plugins.lock();
        let totals = plugins.iter();
        totals
            .map(|(name, history)| (name.to_string(), history.restarts))
            .collect()
    }

    /// How often a plugin's workers have died.
    pub fn of(&self, plugin: &str) -> CrashCount {
        let plugins = self.plugins.lock();
        let Some(history) = plugins.get(plugin) else {
            return CrashCount::default();
        };
        let recent = history.recent.iter();
        CrashCount {
            recent: recent.filter(|at| at.elapsed() <= self.within).count(),
            total: history.restarts,
            last: history.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_crash_is_one_too_many_and_a_slow_call_is_none() {
        let crashes = Crashes::new(3, Duration::from_secs(600));
        let plugin: Arc<str> = "p".into();
        assert!(!crashes.note(&plugin, CrashReason::Deadline));
        assert!(!crashes.note(&plugin, CrashReason::Exit(1)));
        assert!(!crashes.note(&plugin, CrashReason::Signal(11)));
        assert!(!crashes.note(&"other".into(), CrashReason::Exit(1)));
        assert!(crashes.note(&plugin, CrashReason::Memory));
        assert_eq!(crashes.of("p").recent, 3);
        assert_eq!(crashes.of("p").total, 4);
        crashes.forgive("p");
        assert!(!crashes.note(&plugin, CrashReason::Exit(1)));
    }
}
