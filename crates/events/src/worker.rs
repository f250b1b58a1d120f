//! One task a subscription: first attempts in order, retries beside them.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    DeadLetter, Event, Subscriber,
    bus::{Shared, Subscription},
    dead_letters::Address,
    levels::Turn,
    queue::{Queued, Taken},
};

/// Error sentences in dead letters are cut here.
const MAX_ERROR_CHARS: usize = 2000;

/// An event that has failed and is due again.
struct Waiting {
    due: Instant,
    failed_attempts: usize,
    event: Arc<Event>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}
impl Waiting {
    fn key(&self) -> (Instant, u64) {
        (self.due, self.event.id)
    }
}

/// Serves a subscription until it ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    subscription: Arc<Subscription>,
    subscriber: Arc<dyn Subscriber>,
) {
    let mut waiting: BinaryHeap<Reverse<Waiting>> = BinaryHeap::new();
    let mut retry_turn = true;
    // Has left the queue, and waits for those before it.
    let mut next: Option<Queued> = None;
    while !subscription.queue.is_closed() {
        // A subscriber that never waits must not keep the thread from everybody else.
        tokio::task::consume_budget().await;
        // Before an event leaves the queue, so that draining never sees neither.
        subscription.set_idle(false);

        let now = Instant::now();
        let due = waiting.peek().map(|Reverse(next)| next.due);
        let retry_is_due = due.is_some_and(|due| due <= now);
        let takes_new = waiting.len() < shared.config.max_waiting_retries;

        // Due retries and new events take turns, so that neither starves the other.
        if retry_is_due && (retry_turn || !takes_new) {
            retry_turn = false;
            if let Some(Reverse(next)) = waiting.pop() {
                attempt(&shared, &subscription, &*subscriber, next, &mut waiting).await;
            }
            continue;
        }
        retry_turn = true;
        if takes_new {
            if next.is_none() {
                next = match subscription.queue.take() {
                    Taken::Event(queued) => Some(queued),
                    Taken::Closed => break,
                    Taken::Empty if retry_is_due => continue,
                    Taken::Empty => None,
                };
            }
            let has_turn =
                |queued: &mut Queued| queued.turn.as_ref().is_none_or(|turn| turn.has_come());
            if let Some(Queued { event, turn }) = next.take_if(has_turn) {
                let first = Waiting {
                    due: now,
                    failed_attempts: 0,
                    event,
                };
                attempt(&shared, &subscription, &*subscriber, first, &mut waiting).await;
                // It has tried once: whoever comes after it may.
                drop(turn);
                continue;
            }
            if retry_is_due {
                continue;
            }
        }
        subscription.set_idle(waiting.is_empty() && next.is_none());
        let turn = next.as_ref().and_then(|queued| queued.turn.as_ref());
        tokio::select! {
            () = subscription.queue.changed() => {}
            () = until(due) => {}
            () = until_turn(turn), if takes_new => {}
        }
    }
    // What has failed and is due again is its successor's, with all attempts.
    let retried = waiting.into_iter().map(|Reverse(retry)| Queued {
        event: retry.event,
        turn: None,
    });
    let mut left: Vec<_> = retried.chain(next).collect();
    left.sort_by_key(|queued| queued.event.id);
    subscription.pass_on(left.into_iter());
    subscription.set_idle(true);
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn until_turn(turn: Option<&Turn>) {
    match turn {
        Some(turn) => turn.comes().await,
        None => std::future::pending().await,
    }
}

/// Tries once; what fails is scheduled again or becomes a dead letter.
async fn attempt(
    shared: &Shared,
    subscription: &Subscription,
    subscriber: &dyn Subscriber,
    this: Waiting,
    waiting: &mut BinaryHeap<Reverse<Waiting>>,
) {
    let counters = &this.event.stats;
    let Err(error) = deliver(shared, subscriber, &this.event).await else {
        counters.delivered.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let failed_attempts = this.failed_attempts + 1;
    if let Some(delay) = shared.config.retry_delays.get(this.failed_attempts) {
        counters.retried.fetch_add(1, Ordering::Relaxed);
        waiting.push(Reverse(Waiting {
            due: Instant::now() + *delay,
            failed_attempts,
            event: this.event,
        }));
        return;
    }
    counters.failed.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(
        event.name = %this.event.name,
        event.id = this.event.id,
        subscriber = %subscription.owner.label,
        attempts = failed_attempts,
        error = %error,
        "an event could not be delivered and is kept as a dead letter"
    );
    shared.dead_letters.lock().add(DeadLetter {
        id: 0,
        subscriber: subscription.owner.label.clone(),
        pattern: Arc::from(subscription.pattern.as_str()),
        attempts: u32::try_from(failed_attempts).unwrap_or(u32::MAX),
        error: error.into(),
        failed_at: SystemTime::now(),
        address: Address {
            subscription: subscription.id,
            ordinal: subscription.ordinal,
        },
        event: this.event,
    });
}

/// One call of the subscriber: it may fail, panic or take too long.
async fn deliver(
    shared: &Shared,
    subscriber: &dyn Subscriber,
    event: &Arc<Event>,
) -> Result<(), String> {
    let delivery =
        AssertUnwindSafe(async { subscriber.deliver(event.clone()).await }).catch_unwind();
    match tokio::time::timeout(shared.config.delivery_timeout, delivery).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(error.chars().take(MAX_ERROR_CHARS).collect()),
        Ok(Err(_)) => Err("the subscriber panicked".into()),
        Err(_) => Err(format!(
            "the subscriber took longer than {} s",
            shared.config.delivery_timeout.as_secs_f64()
        )),
    }
}
