//! The bus itself: who has subscribed to what, and what publishing does.

use std::{
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
    SubscriptionId, SubscriptionStats,
    dead_letters::DeadLetters,
    history::History,
    levels::{Levels, Turn},
    pattern::check_name,
    queue::{Queue, Queued},
    stats::Stats,
    subscriptions::Subscriptions,
    worker,
};

/// Of a subscription that says none.
const DEFAULT_PRIORITY: i32 = 10;
/// What an event weighs beside its data: the struct, its share of a queue, allocator overhead.
const EVENT_OVERHEAD_BYTES: usize = 256;

/// Carries events from publishers to subscribers. Shared by the whole process; every method may be
/// called from any thread, also from one without an async runtime.
pub struct EventBus {
    shared: Arc<Shared>,
    subscriptions: RwLock<Subscriptions>,
    stats: Stats,
    next_subscription: AtomicU64,
    levels_overrun: Arc<AtomicU64>,
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
    /// Lower ones come first.
    pub(super) priority: i32,
    // No event is being delivered or waits for a retry. False until the worker says so.
    idle: AtomicBool,
    /// Not sent anything yet. Changed under the lock of all subscriptions.
    pub(super) held: AtomicBool,
    /// What takes over the events that it has not handled, once it has ended.
    pub(super) successor: OnceLock<Arc<Subscription>>,
}

impl Subscription {
    /// Passes on what it will not handle itself. Called after its end.
    pub(super) fn pass_on(&self, events: impl Iterator<Item = Queued>) {
        let Some(mut successor) = self.successor.get() else {
            return;
        };
        while let Some(newer) = successor.successor.get() {
            successor = newer;
        }
        for queued in events {
            let event = Arc::clone(&queued.event);
            let dropped = successor.queue.push(queued, usize::MAX);
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
            levels_overrun: Arc::default(),
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
        if subscriptions.has_levels {
            self.push_in_levels(&subscriptions, &event, share_bytes);
            return Ok(id);
        }
        for subscription in subscriptions.wanting(&event.name) {
            push(subscription, &event, None, share_bytes);
        }
        Ok(id)
    }

    /// As it is pushed where priorities differ: among those that want this event, perhaps.
    fn push_in_levels(
        &self,
        subscriptions: &Subscriptions,
        event: &Arc<Event>,
        share_bytes: usize,
    ) {
        let wanting: Vec<_> = subscriptions.wanting(&event.name).collect();
        let priorities: Vec<i32> = wanting.iter().map(|wants| wants.priority).collect();
        if priorities.windows(2).all(|pair| pair[0] == pair[1]) {
            for subscription in wanting {
                push(subscription, event, None, share_bytes);
            }
            return;
        }
        let wait = self.shared.config.level_wait;
        let turns = Levels::turns(&priorities, wait, &self.levels_overrun);
        for (subscription, turn) in wanting.into_iter().zip(turns) {
            push(subscription, event, Some(turn), share_bytes);
        }
    }

    /// How often a level of subscriptions began without the end of the one before it.
    pub fn levels_overrun(&self) -> u64 {
        self.levels_overrun.load(Ordering::Relaxed)
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
        self.subscribe_at(owner, pattern, DEFAULT_PRIORITY, subscriber, false)
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
        self.subscribe_at(owner, pattern, DEFAULT_PRIORITY, subscriber, true)
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

    /// As [`Self::subscribe`] or, where it is held, [`Self::subscribe_held`], with a priority: those with
    /// lower ones try an event first.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub fn subscribe_at(
        &self,
        owner: Owner,
        pattern: &str,
        priority: i32,
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
            priority,
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
                push(subscription, &letter.event, None, share_bytes);
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

fn push(subscription: &Subscription, event: &Arc<Event>, turn: Option<Turn>, share_bytes: usize) {
    let queued = Queued {
        event: Arc::clone(event),
        turn,
    };
    let dropped = subscription.queue.push(queued, share_bytes);
    if dropped > 0 {
        event.stats.dropped.fetch_add(dropped, Ordering::Relaxed);
    }
}

impl Drop for EventBus {
    fn drop(&mut self) {
        self.subscriptions.get_mut().remove(|_| true);
    }
}
