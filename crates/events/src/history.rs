//! The last events of each name, within bounds of number and bytes.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use foldhash::quality::RandomState;

use super::Event;

type Key = (Arc<str>, Arc<str>);

/// Events by app and name.
pub(super) struct History {
    names: HashMap<Key, VecDeque<Arc<Event>>, RandomState>,
    // Last event of each name → the name, so that the quietest name is found at once.
    by_last: BTreeMap<u64, Key>,
    bytes: usize,
    per_name: usize,
    max_names: usize,
    max_bytes: usize,
}

impl History {
    pub(super) fn new(per_name: usize, max_names: usize, max_bytes: usize) -> Self {
        Self {
            names: HashMap::default(),
            by_last: BTreeMap::new(),
            bytes: 0,
            per_name,
            max_names,
            max_bytes,
        }
    }

    /// Keeps an event. Ids must rise.
    pub(super) fn record(&mut self, event: &Arc<Event>) {
        if self.per_name == 0 || self.max_names == 0 {
            return;
        }
        let key = (event.app_id.clone(), event.name.clone());
        let events = self.names.entry(key.clone()).or_default();
        if let Some(last) = events.back() {
            self.by_last.remove(&last.id);
        }
        if events.len() >= self.per_name
            && let Some(oldest) = events.pop_front()
        {
            self.bytes -= oldest.size_bytes();
        }
        events.push_back(event.clone());
        self.bytes += event.size_bytes();
        self.by_last.insert(event.id, key);
        while self.names.len() > self.max_names {
            self.forget_quietest_name();
        }
        while self.bytes > self.max_bytes && self.forget_oldest_of_quietest() {}
    }

    /// The latest `limit` events, in the order of publishing.
    pub(super) fn read(
        &self,
        app_id: Option<&str>,
        name: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<Event>> {
        if let (Some(app_id), Some(name)) = (app_id, name) {
            let key = (Arc::from(app_id), Arc::from(name));
            let Some(events) = self.names.get(&key) else {
                return Vec::new();
            };
            return events
                .iter()
                .skip(events.len().saturating_sub(limit))
                .cloned()
                .collect();
        }
        let mut found: Vec<_> = self
            .names
            .iter()
            .filter(|((app, event), _)| {
                app_id.is_none_or(|id| *id == **app) && name.is_none_or(|name| *name == **event)
            })
            .flat_map(|(_, events)| events.iter().rev().take(limit).cloned())
            .collect();
        found.sort_unstable_by_key(|event| event.id);
        found.drain(..found.len().saturating_sub(limit));
        found
    }

    fn forget_quietest_name(&mut self) {
        if let Some((_, key)) = self.by_last.pop_first()
            && let Some(events) = self.names.remove(&key)
        {
            self.bytes -= events.iter().map(|event| event.size_bytes()).sum::<usize>();
        }
    }

    fn forget_oldest_of_quietest(&mut self) -> bool {
        let Some(mut entry) = self.by_last.first_entry() else {
            return false;
        };
        let key = entry.get_mut().clone();
        let Some(events) = self.names.get_mut(&key) else {
            return false;
        };
        if let Some(oldest) = events.pop_front() {
            self.bytes -= oldest.size_bytes();
        }
        if events.is_empty() {
            entry.remove();
            self.names.remove(&key);
        }
        true
    }
}
