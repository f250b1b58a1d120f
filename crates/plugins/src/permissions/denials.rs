//! What plugins were denied: how often, and the latest of each.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

/// Of each plugin so many are kept.
const KEPT: usize = 50;
/// The same entry of the same plugin is told of once in so long.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Entries of one plugin that are remembered as told.
const MAX_TOLD: usize = 256;

/// A plugin asked for what it may not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Denial {
    /// When, in seconds since 1970.
    pub at: u64,
    /// The entry that is missing.
    pub permission: String,
    /// What it asked for.
    pub operation: String,
    /// In which app, where it was in one.
    pub app_id: Option<Arc<str>>,
    /// In which call.
    pub request_id: Option<Arc<str>>,
}

#[derive(Default)]
struct OfPlugin {
    count: u64,
    latest: VecDeque<Denial>,
    told: HashMap<String, Instant>,
}

/// What plugins were denied since the start.
#[derive(Default)]
pub struct Denials {
    // Touched by denials and by admins who look.
    plugins: Mutex<HashMap<Arc<str>, OfPlugin>>,
}

impl Denials {
    /// Notes one; whether it is news that others should hear of.
    pub fn note(&self, plugin: &Arc<str>, denial: Denial) -> bool {
        let mut plugins = self.plugins.lock();
        let of = plugins.entry(Arc::clone(plugin)).or_default();
        of.count += 1;
        let now = Instant::now();
        of.told
            .retain(|_, told| now.duration_since(*told) < TOLD_EVERY);
        let is_news = !of.told.contains_key(&denial.permission) && of.told.len() < MAX_TOLD;
        if is_news {
            of.told.insert(denial.permission.clone(), now);
        }
        if of.latest.len() == KEPT {
            of.latest.pop_front();
        }
        of.latest.push_back(denial);
        is_news
    }

    /// The latest of a plugin, the newest first: all, or those of one app and of none.
    pub fn latest(&self, plugin: &str, app_id: Option<&str>) -> Vec<Denial> {
        let plugins = self.plugins.lock();
        let latest = plugins.get(plugin).map(|of| &of.latest);
        latest
            .into_iter()
            .flatten()
            .rev()
            .filter(|denial| {
                app_id.is_none() || denial.app_id.is_none() || denial.app_id.as_deref() == app_id
            })
            .cloned()
            .collect()
    }

    /// How many there were, by plugin.
    pub fn counts(&self) -> Vec<(Arc<str>, u64)> {
        let plugins = self.plugins.lock();
        let mut counts: Vec<_> = (plugins.iter())
            .map(|(plugin, of)| (Arc::clone(plugin), of.count))
            .collect();
        counts.sort_unstable();
        counts
    }
}

impl Denial {
    /// One of this moment.
    pub fn now(permission: String, operation: &str) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            at: since.map_or(0, |since| since.as_secs()),
            permission,
            operation: operation.to_owned(),
            app_id: None,
            request_id: None,
        }
    }
}
