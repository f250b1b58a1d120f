//! The subscriptions there are: by id, by name, by pattern.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use super::{SubscriptionId, bus::Subscription};

#[derive(Default)]
pub(super) struct Subscriptions {
    pub(super) all: HashMap<SubscriptionId, Arc<Subscription>>,
    // Exact names are looked up, patterns are tried one by one.
    exact: HashMap<Box<str>, Vec<Arc<Subscription>>>,
    patterns: Vec<Arc<Subscription>>,
    /// Whether any has another priority than the others.
    pub(super) has_levels: bool,
}

impl Subscriptions {
    pub(super) fn wanting<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Subscription>> {
        let exact = self.exact.get(name).into_iter().flatten();
        let matching = self
            .patterns
            .iter()
            .filter(move |subscription| subscription.pattern.matches(name));
        exact.chain(matching)
    }

    pub(super) fn add(&mut self, subscription: &Arc<Subscription>) {
        if !subscription.held.load(Ordering::Relaxed) {
            self.index(subscription);
        }
        self.all.insert(subscription.id, subscription.clone());
        self.look_for_levels();
    }

    fn look_for_levels(&mut self) {
        let mut priorities = self.all.values().map(|subscription| subscription.priority);
        let first = priorities.next();
        self.has_levels = priorities.any(|priority| Some(priority) != first);
    }

    /// Events reach it from now on.
    fn index(&mut self, subscription: &Arc<Subscription>) {
        match subscription.pattern.exact() {
            Some(name) => self.exact.entry(name.into()).or_default(),
            None => &mut self.patterns,
        }
        .push(subscription.clone());
    }

    pub(super) fn release(&mut self, owner_id: u64) {
        let of_owner = |subscription: &&Arc<Subscription>| subscription.owner.id == owner_id;
        let mut held: Vec<_> = self.all.values().filter(of_owner).cloned().collect();
        held.retain(|subscription| subscription.held.swap(false, Ordering::Relaxed));
        held.sort_by_key(|subscription| subscription.id);
        for subscription in &held {
            self.index(subscription);
        }
    }

    pub(super) fn name_successors(&self, from: u64, to: u64) {
        let of = |owner_id| {
            let all = self.all.values();
            all.filter(move |subscription| subscription.owner.id == owner_id)
        };
        for old in of(from) {
            let takes_over = |new: &&Arc<Subscription>| {
                new.ordinal == old.ordinal && new.pattern.as_str() == old.pattern.as_str()
            };
            if let Some(new) = of(to).find(takes_over) {
                // Set once: an owner hands over once.
                old.successor.set(Arc::clone(new)).ok();
            }
        }
    }

    pub(super) fn remove(&mut self, ends: impl Fn(&Subscription) -> bool) {
        self.all.retain(|_, subscription| {
            let ends = ends(subscription);
            if ends {
                let waiting = subscription.queue.close();
                subscription.pass_on(waiting.into_iter());
            }
            !ends
        });
        self.patterns.retain(|subscription| !ends(subscription));
        self.exact.retain(|_, list| {
            list.retain(|subscription| !ends(subscription));
            !list.is_empty()
        });
        self.look_for_levels();
    }
}
