//! The bus itself: who has subscribed to what, and what publishing does.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, RwLock};
use tokio::{runtime::Handle, time::Instant};

use mozaiks_config::EventsConfig;

use super::{
    DeadLetter, Event, EventDraft, EventError, EventStats, HeldBytes, Owner, Pattern, Subscriber,
    SubscriptionId, SubscriptionStats, dead_letters::DeadLetters, history::History,
    pattern::check_name, queue::Queue, stats::Stats, worker,
};

/// What an event weighs beside its data: the struct, its share of a queue, allocator overhead.
const EVENT_OVERHEAD_BYTES: usize = 256;

/// Carries events from publishers to subscribers. Shared by the whole process; every method may be
/// called from any thread, also from one without an async runtime.
pub struct EventBus {
    shared: Arc<Shared>,
    subscriptions: RwLock<Subscriptions>,
    stats: Stats,
    next_subscription: AtomicU64,
    // Workers run here: subscriptions also come from threads that know no runtime.
    runtime: Handle,
}

/// What workers need too.
pub(super) struct Shared {
    pub(super) config: EventsConfig,
    pub(super) dead_letters: Mutex<DeadLetters>,
    // The lock is also what makes ids rise in the order in which queues are filled: two events of
    // one publisher never overtake each other.
    order: Mutex<Order>,
    held_bytes: Arc<AtomicUsize>,
}

struct Order {
    next_event: u64,
    history: History,
}

/// One subscription.
pub(super) struct Subscription {
    pub(super) id: SubscriptionId,
    pub(super) owner: Owner,
    pub(super) pattern: Pattern,
    /// Which of the owner's subscriptions to this pattern it is.
    pub(super) ordinal: usize,
    pub(super) queue: Queue,
    // No event is being delivered or waits for a retry. False until the worker says so.
    idle: AtomicBool,
    /// Not sent anything yet. Changed under the lock of all subscriptions.
    held: AtomicBool,
    /// What takes over the events that it has not handled, once it has ended.
    successor: OnceLock<Arc<Subscription>>,
}

impl Subscription {
    /// Passes on what it will not handle itself. Called after its end.
    pub(super) fn pass_on(&self, events: impl Iterator<Item = Arc<Event>>) {
        let Some(mut successor) = self.successor.get() else {
            return;
        };
        while let Some(newer) = successor.successor.get() {
            successor = newer;
        }
        for event in events {
            let dropped = successor.queue.push(event.clone(), usize::MAX);
            event.stats.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    pub(super) fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Release);
    }

    fn is_done(&self) -> bool {
        self.queue.load().0 == 0 && self.idle.load(Ordering::Acquire)
    }
}

#[derive(Default)]
struct Subscriptions {
    all: HashMap<SubscriptionId, Arc<Subscription>>,
    // Exact names are looked up, patterns are tried one by one.
    exact: HashMap<Box<str>, Vec<Arc<Subscription>>>,
    patterns: Vec<Arc<Subscription>>,
}

impl EventBus {
    /// A bus whose workers run on the current runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(config: EventsConfig) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::new(Shared {
                dead_letters: Mutex::new(DeadLetters::new(
                    config.max_dead_letters,
                    config.dead_letter_bytes,
                )),
                order: Mutex::new(Order {
                    next_event: 1,
                    history: History::new(
                        config.history_per_name,
                        config.history_names,
                        config.history_bytes,
                    ),
                }),
                held_bytes: Arc::default(),
                config,
            }),
            subscriptions: RwLock::default(),
            stats: Stats::default(),
            next_subscription: AtomicU64::new(1),
            runtime: Handle::current(),
        })
    }

    /// Publishes an event and returns at once; gives its id.
    ///
    /// # Errors
    /// [`EventError::BadName`] and [`EventError::TooLarge`].
    pub fn publish(&self, draft: EventDraft) -> Result<u64, EventError> {
        check_name(&draft.name)?;
        let config = &self.shared.config;
        let data_bytes = draft.data.size_bytes();
        if data_bytes > config.max_event_bytes {
            return Err(EventError::TooLarge {
                found_bytes: data_bytes,
                limit_bytes: config.max_event_bytes,
            });
        }
        let stats = self.stats.app(&draft.app_id);
        stats.count_published(&draft.name, config.history_names);
        let size = data_bytes + draft.name.len() + EVENT_OVERHEAD_BYTES;
        let held = HeldBytes::new(&self.shared.held_bytes, size);

        let subscriptions = self.subscriptions.read();
        let share_bytes = self.share_bytes(subscriptions.all.len());
        let mut order = self.shared.order.lock();
        let id = order.next_event;
        order.next_event += 1;
        let event = Arc::new(Event {
            id,
            published_at: SystemTime::now(),
            app_id: draft.app_id,
            principal: draft.principal,
            request_id: draft.request_id,
            name: draft.name,
            data: draft.data,
            stats,
            held,
        });
        order.history.record(&event);
        for subscription in subscriptions.wanting(&event.name) {
            let dropped = subscription.queue.push(event.clone(), share_bytes);
            if dropped > 0 {
                event.stats.dropped.fetch_add(dropped, Ordering::Relaxed);
            }
        }
        Ok(id)
    }

    /// Sends events that match `pattern` to `subscriber` from now on, whatever app they are of.
    ///
    /// # Errors
    /// [`EventError::BadPattern`] and [`EventError::TooManySubscriptions`].
    pub fn subscribe(
        &self,
        owner: Owner,
        pattern: &str,
        subscriber: Arc<dyn Subscriber>,
    ) -> Result<SubscriptionId, EventError> {
        self.add(owner, pattern, subscriber, false)
    }

    /// As [`Self::subscribe`], but nothing is sent before [`Self::hand_over`] to that owner.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub fn subscribe_held(
        &self,
        owner: Owner,
        pattern: &str,
        subscriber: Arc<dyn Subscriber>,
    ) -> Result<SubscriptionId, EventError> {
        self.add(owner, pattern, subscriber, true)
    }

    /// What an owner's held subscriptions waited for: from here on they are sent events, and those of
    /// the owner whose place it takes have ended. Each event goes to the one or to the other, and what
    /// still waits for an old subscription goes to the new one with the same pattern.
    pub fn hand_over(&self, from: Option<u64>, to: u64) {
        let mut subscriptions = self.subscriptions.write();
        subscriptions.release(to);
        if let Some(from) = from {
            subscriptions.name_successors(from, to);
            subscriptions.remove(|subscription| subscription.owner.id == from);
        }
    }

    fn add(
        &self,
        owner: Owner,
        pattern: &str,
        subscriber: Arc<dyn Subscriber>,
        held: bool,
    ) -> Result<SubscriptionId, EventError> {
        let pattern = Pattern::parse(pattern)?;
        let config = &self.shared.config;
        let mut subscriptions = self.subscriptions.write();
        if subscriptions.all.len() >= config.max_subscriptions {
            return Err(EventError::TooManySubscriptions {
                limit: config.max_subscriptions,
            });
        }
        let mut of_owner = 0;
        let mut ordinal = 0;
        for other in subscriptions
            .all
            .values()
            .filter(|other| other.owner.id == owner.id)
        {
            of_owner += 1;
            if other.pattern == pattern {
                ordinal = ordinal.max(other.ordinal + 1);
            }
        }
        if of_owner >= config.max_subscriptions_per_owner {
            return Err(EventError::TooManySubscriptions {
                limit: config.max_subscriptions_per_owner,
            });
        }
        let subscription = Arc::new(Subscription {
            id: SubscriptionId(self.next_subscription.fetch_add(1, Ordering::Relaxed)),
            owner,
            ordinal,
            queue: Queue::new(config.queue_size, config.queue_bytes),
            idle: AtomicBool::new(false),
            held: AtomicBool::new(held),
            successor: OnceLock::new(),
            pattern,
        });
        subscriptions.add(&subscription);
        drop(subscriptions);
        let id = subscription.id;
        self.runtime
            .spawn(worker::run(self.shared.clone(), subscription, subscriber));
        Ok(id)
    }

    /// Ends a subscription: what waits for it is let go, a delivery under way is finished.
    pub fn unsubscribe(&self, id: SubscriptionId) {
        self.subscriptions
            .write()
            .remove(|subscription| subscription.id == id);
    }

    /// Ends all subscriptions of an owner.
    pub fn unsubscribe_owner(&self, owner_id: u64) {
        self.subscriptions
            .write()
            .remove(|subscription| subscription.owner.id == owner_id);
    }

    /// The latest `limit` events of an app (or of all) with a name (or any), oldest first.
    pub fn history(
        &self,
        app_id: Option<&str>,
        name: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<Event>> {
        self.shared.order.lock().history.read(app_id, name, limit)
    }

    /// The numbers of an app, or of all.
    pub fn stats(&self, app_id: Option<&str>) -> EventStats {
        self.stats.read(app_id)
    }

    /// How each subscription is doing, those with the longest queue first.
    pub fn subscription_stats(&self) -> Vec<SubscriptionStats> {
        let subscriptions = self.subscriptions.read();
        let mut stats: Vec<_> = subscriptions
            .all
            .values()
            .map(|subscription| {
                let (queued, queued_bytes, dropped) = subscription.queue.load();
                SubscriptionStats {
                    subscriber: subscription.owner.label.to_string(),
                    pattern: subscription.pattern.as_str().to_owned(),
                    queued,
                    queued_bytes,
                    dropped,
                }
            })
            .collect();
        stats.sort_by(|a, b| {
            (b.queued, &a.subscriber, &a.pattern).cmp(&(a.queued, &b.subscriber, &b.pattern))
        });
        stats
    }

    /// Bytes of events held at the moment: queued, being retried, in history, dead.
    pub fn held_bytes(&self) -> usize {
        self.shared.held_bytes.load(Ordering::Relaxed)
    }

    /// The dead letters of an app (or of all), newest first.
    pub fn dead_letters(
        &self,
        app_id: Option<&str>,
        limit: usize,
        offset: usize,
    ) -> Vec<DeadLetter> {
        self.shared.dead_letters.lock().read(app_id, limit, offset)
    }

    /// How many dead letters of an app (or of all) are kept, and how many of all were dropped.
    pub fn dead_letter_count(&self, app_id: Option<&str>) -> (usize, u64) {
        self.shared.dead_letters.lock().count(app_id)
    }

    /// Delivers a dead letter once more, with all attempts, to the subscription that failed on it
    /// or to the one that took its place when its plugin was loaded anew.
    ///
    /// # Errors
    /// [`EventError::NotFound`]; then the letter stays.
    pub fn retry_dead_letter(&self, app_id: Option<&str>, id: u64) -> Result<(), EventError> {
        let letter = (self.shared.dead_letters.lock().remove(app_id, id))
            .ok_or(EventError::NotFound("there is no such dead letter"))?;
        let subscriptions = self.subscriptions.read();
        let target = subscriptions
            .all
            .get(&letter.address.subscription)
            .or_else(|| {
                subscriptions.all.values().find(|subscription| {
                    *subscription.owner.label == *letter.subscriber
                        && *subscription.pattern.as_str() == *letter.pattern
                        && subscription.ordinal == letter.address.ordinal
                })
            });
        match target {
            Some(subscription) => {
                let share_bytes = self.share_bytes(subscriptions.all.len());
                let dropped = subscription.queue.push(letter.event.clone(), share_bytes);
                (letter.event.stats.dropped).fetch_add(dropped, Ordering::Relaxed);
                Ok(())
            }
            None => {
                self.shared.dead_letters.lock().restore(letter);
                Err(EventError::NotFound(
                    "nobody has subscribed who could take this dead letter",
                ))
            }
        }
    }

    /// Throws a dead letter away.
    ///
    /// # Errors
    /// [`EventError::NotFound`].
    pub fn discard_dead_letter(&self, app_id: Option<&str>, id: u64) -> Result<(), EventError> {
        match self.shared.dead_letters.lock().remove(app_id, id) {
            Some(_) => Ok(()),
            None => Err(EventError::NotFound("there is no such dead letter")),
        }
    }

    /// Waits at shutdown until every queue is empty and every retry has ended, at most `deadline`.
    /// Returns how many events are still waiting.
    pub async fn drain(&self, deadline: Duration) -> usize {
        const LOOK_EVERY: Duration = Duration::from_millis(10);
        let end = Instant::now() + deadline;
        loop {
            let (done, queued) = {
                let subscriptions = self.subscriptions.read();
                (
                    subscriptions
                        .all
                        .values()
                        .all(|subscription| subscription.is_done()),
                    (subscriptions.all.values())
                        .map(|subscription| subscription.queue.load().0)
                        .sum(),
                )
            };
            if done || Instant::now() >= end {
                return queued;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What one queue may hold: all it wants, or its share while the bus holds too much. Queues
    /// that keep up are far below their share and notice nothing.
    fn share_bytes(&self, subscriptions: usize) -> usize {
        let total = self.shared.config.total_bytes;
        if self.held_bytes() <= total {
            usize::MAX
        } else {
            total / subscriptions.max(1)
        }
    }
}

impl Subscriptions {
    fn wanting<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Subscription>> {
        let exact = self.exact.get(name).into_iter().flatten();
        let matching = self
            .patterns
            .iter()
            .filter(move |subscription| subscription.pattern.matches(name));
        exact.chain(matching)
    }

    fn add(&mut self, subscription: &Arc<Subscription>) {
        if !subscription.held.load(Ordering::Relaxed) {
            self.index(subscription);
        }
        self.all.insert(subscription.id, subscription.clone());
    }

    /// Events reach it from now on.
    fn index(&mut self, subscription: &Arc<Subscription>) {
        match subscription.pattern.exact() {
            Some(name) => self.exact.entry(name.into()).or_default(),
            None => &mut self.patterns,
        }
        .push(subscription.clone());
    }

    fn release(&mut self, owner_id: u64) {
        let of_owner = |subscription: &&Arc<Subscription>| subscription.owner.id == owner_id;
        let mut held: Vec<_> = self.all.values().filter(of_owner).cloned().collect();
        held.retain(|subscription| subscription.held.swap(false, Ordering::Relaxed));
        held.sort_by_key(|subscription| subscription.id);
        for subscription in &held {
            self.index(subscription);
        }
    }

    fn name_successors(&self, from: u64, to: u64) {
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

    fn remove(&mut self, ends: impl Fn(&Subscription) -> bool) {
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
    }
}

impl Drop for EventBus {
    fn drop(&mut self) {
        self.subscriptions.get_mut().remove(|_| true);
    }
}
