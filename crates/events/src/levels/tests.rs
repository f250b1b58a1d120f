use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::*;
use mozaiks_config::EventsConfig;

/// What happened, in its order, and when.
#[derive(Default)]
struct Told(Mutex<Vec<(&'static str, Duration)>>);

impl Told {
    fn names(&self) -> Vec<&'static str> {
        self.0.lock().iter().map(|(name, _)| *name).collect()
    }

    async fn reaches(&self, count: usize) {
        while self.0.lock().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

enum Does {
    Ends,
    Fails,
    Hangs,
    Waits(Arc<Notify>),
}

struct Subscribed {
    told: Arc<Told>,
    name: &'static str,
    does: Does,
    began: Instant,
}

impl Subscriber for Subscribed {
    fn deliver(&self, _: Arc<Event>) -> BoxFuture<'static, Result<(), String>> {
        self.told.0.lock().push((self.name, self.began.elapsed()));
        match &self.does {
            Does::Ends => Box::pin(async { Ok(()) }),
            Does::Fails => Box::pin(async { Err("no luck".into()) }),
            Does::Hangs => Box::pin(std::future::pending()),
            Does::Waits(gate) => {
                let gate = Arc::clone(gate);
                Box::pin(async move {
                    gate.notified().await;
                    Ok(())
                })
            }
        }
    }
}

struct Levelled {
    bus: Arc<EventBus>,
    told: Arc<Told>,
    began: Instant,
}

impl Levelled {
    fn new() -> Self {
        Self {
            bus: EventBus::new(EventsConfig::default()),
            told: Arc::default(),
            began: Instant::now(),
        }
    }

    fn subscribe(&self, priority: i32, name: &'static str, does: Does) -> SubscriptionId {
        let subscriber = Subscribed {
            told: Arc::clone(&self.told),
            name,
            does,
            began: self.began,
        };
        let owner = Owner {
            label: name.into(),
            id: 1,
        };
        let subscribed =
            (self.bus).subscribe_at(owner, "a:*", priority, Arc::new(subscriber), false);
        subscribed.unwrap()
    }

    fn publish(&self) {
        let draft = EventDraft {
            app_id: "one".into(),
            principal: None,
            request_id: None,
            name: "a:b".into(),
            data: Bytes::from_static(b"{}").into(),
        };
        self.bus.publish(draft).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn lower_priorities_try_first_and_equal_ones_together() {
    let at = Levelled::new();
    let gate = Arc::new(Notify::new());
    at.subscribe(20, "last", Does::Ends);
    at.subscribe(-5, "first", Does::Waits(Arc::clone(&gate)));
    at.subscribe(-5, "beside", Does::Ends);
    at.subscribe(10, "middle", Does::Fails);
    at.publish();
    at.told.reaches(2).await;
    let mut begun = at.told.names();
    begun.sort_unstable();
    assert_eq!(begun, ["beside", "first"], "nobody else before the gate");
    gate.notify_one();
    // One that fails has tried: who comes after it does not wait for its retries.
    at.told.reaches(4).await;
    assert_eq!(at.told.names()[2..], ["middle", "last"]);
    assert!(at.began.elapsed() < Duration::from_millis(400));
    assert_eq!(at.bus.levels_overrun(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_level_that_never_ends_keeps_the_next_waiting_for_its_time_and_no_longer() {
    let at = Levelled::new();
    at.subscribe(1, "hangs", Does::Hangs);
    at.subscribe(2, "hangs too", Does::Hangs);
    at.subscribe(3, "last", Does::Ends);
    at.publish();
    at.publish();
    at.told.reaches(4).await;
    let told = at.told.0.lock().clone();
    let (times, names): (Vec<_>, Vec<_>) =
        told.iter().map(|(name, at)| (at.as_secs(), *name)).unzip();
    assert_eq!(names, ["hangs", "hangs too", "last", "last"]);
    // Counted from the publishing: the second event does not wait behind the first one's wait.
    assert_eq!(times, [0, 5, 10, 10]);
    assert!(at.bus.levels_overrun() >= 3);
}

#[tokio::test(start_paused = true)]
async fn whoever_ends_or_has_no_room_keeps_nobody_waiting() {
    let at = Levelled::new();
    let first = at.subscribe(1, "first", Does::Hangs);
    at.subscribe(2, "last", Does::Ends);
    at.publish();
    at.publish();
    at.told.reaches(1).await;
    // The second event waits in the queue of one that ends: its turn ends with it.
    at.bus.unsubscribe(first);
    at.publish();
    at.told.reaches(4).await;
    assert!(
        at.began.elapsed() <= Duration::from_secs(6),
        "{:?}",
        at.began.elapsed()
    );
    assert_eq!(at.told.names(), ["first", "last", "last", "last"]);
}

#[tokio::test(start_paused = true)]
async fn one_level_alone_waits_for_nobody() {
    let at = Levelled::new();
    at.subscribe(7, "hangs", Does::Hangs);
    at.subscribe(7, "ends", Does::Ends);
    at.publish();
    at.told.reaches(2).await;
    assert!(at.began.elapsed() < Duration::from_millis(100));
    assert_eq!(at.bus.levels_overrun(), 0);
}
