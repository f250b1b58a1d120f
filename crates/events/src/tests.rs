use std::{sync::atomic::AtomicUsize, time::Duration};

use parking_lot::Mutex;

use super::*;
use mozaiks_config::EventsConfig;

/// Remembers what it was given and fails as it is told.
#[derive(Default)]
struct Recorder {
    seen: Mutex<Vec<(u64, Bytes)>>,
    failures_left: AtomicUsize,
    delay: Option<Duration>,
}

impl Recorder {
    fn failing(times: usize) -> Arc<Self> {
        Arc::new(Self {
            failures_left: AtomicUsize::new(times),
            ..Self::default()
        })
    }

    fn count(&self) -> usize {
        self.seen.lock().len()
    }
}

struct Handle(Arc<Recorder>);

impl Subscriber for Handle {
    fn deliver(&self, event: Arc<Event>) -> BoxFuture<'static, Result<(), String>> {
        let recorder = self.0.clone();
        Box::pin(async move {
            if let Some(delay) = recorder.delay {
                tokio::time::sleep(delay).await;
            }
            recorder.seen.lock().push((event.id, event.data.to_json()));
            let fails = recorder
                .failures_left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok();
            if fails { Err("no luck".into()) } else { Ok(()) }
        })
    }
}

fn owner(label: &str, id: u64) -> Owner {
    Owner {
        label: label.into(),
        id,
    }
}

fn draft(app_id: &str, name: &str, data: &str) -> EventDraft {
    EventDraft {
        app_id: app_id.into(),
        principal: None,
        request_id: None,
        name: name.into(),
        data: Bytes::copy_from_slice(data.as_bytes()).into(),
    }
}

fn subscribe(bus: &EventBus, id: u64, pattern: &str, recorder: &Arc<Recorder>) -> SubscriptionId {
    bus.subscribe(
        owner("tester", id),
        pattern,
        Arc::new(Handle(recorder.clone())),
    )
    .expect("a subscription")
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), wait)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come about"));
}

#[tokio::test(start_paused = true)]
async fn subscribers_get_what_they_asked_for() {
    let bus = EventBus::new(EventsConfig::default());
    let (exact, pattern, all) = (Arc::default(), Arc::default(), Arc::default());
    subscribe(&bus, 1, "task:created", &exact);
    subscribe(&bus, 1, "task:*", &pattern);
    subscribe(&bus, 2, "*", &all);

    for name in ["task:created", "task:deleted", "note:created"] {
        bus.publish(draft("a", name, "{}")).expect("published");
    }
    until("delivery", || all.count() == 3 && pattern.count() == 2).await;
    assert_eq!(exact.count(), 1);

    let stats = bus.stats(Some("a"));
    assert_eq!(stats.events_published, 3);
    assert_eq!(stats.events_delivered, 6);
    assert_eq!(stats.delivery_failures, 0);
    assert_eq!(stats.events_by_type["task:created"], 1);
    assert_eq!(bus.stats(Some("b")), EventStats::default());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_after_half_a_second_one_and_two() {
    let bus = EventBus::new(EventsConfig::default());
    let recorder = Recorder::failing(3);
    subscribe(&bus, 1, "x:y", &recorder);
    let start = tokio::time::Instant::now();
    bus.publish(draft("a", "x:y", "{}")).expect("published");

    until("the fourth attempt", || recorder.count() == 4).await;
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(3500) && took < Duration::from_millis(3600),
        "{took:?}"
    );
    until("the count", || bus.stats(None).events_delivered == 1).await;
    assert_eq!(bus.stats(None).delivery_retries, 3);
    assert_eq!(bus.dead_letter_count(None), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_a_dead_letter_that_can_be_retried() {
    let bus = EventBus::new(EventsConfig::default());
    let recorder = Recorder::failing(4);
    subscribe(&bus, 1, "x:*", &recorder);
    bus.publish(draft("a", "x:y", r#"{"n":1}"#))
        .expect("published");

    until("the dead letter", || bus.dead_letter_count(None).0 == 1).await;
    assert_eq!(bus.stats(Some("a")).delivery_failures, 1);
    assert!(
        bus.dead_letters(Some("b"), 10, 0).is_empty(),
        "crossed apps"
    );
    let letter = bus.dead_letters(Some("a"), 10, 0).remove(0);
    assert_eq!(letter.attempts, 4);
    assert_eq!(&*letter.error, "no luck");
    assert_eq!(&*letter.event.name, "x:y");
    assert_eq!(&*letter.pattern, "x:*");

    assert_eq!(
        bus.retry_dead_letter(Some("b"), letter.id),
        Err(EventError::NotFound("there is no such dead letter"))
    );
    bus.retry_dead_letter(Some("a"), letter.id)
        .expect("retried");
    until("the retry", || bus.stats(None).events_delivered == 1).await;
    assert_eq!(bus.dead_letter_count(None).0, 0);
    assert_eq!(recorder.count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_finds_the_subscription_of_a_newer_load() {
    let bus = EventBus::new(EventsConfig::default());
    let broken = Recorder::failing(usize::MAX);
    subscribe(&bus, 1, "x:y", &broken);
    bus.publish(draft("a", "x:y", "{}")).expect("published");
    until("the dead letter", || bus.dead_letter_count(None).0 == 1).await;
    let id = bus.dead_letters(None, 1, 0)[0].id;

    bus.unsubscribe_owner(1);
    assert!(bus.retry_dead_letter(None, id).is_err());
    assert_eq!(bus.dead_letter_count(None).0, 1, "it must not be lost");

    let mended = Arc::default();
    subscribe(&bus, 2, "x:y", &mended);
    bus.retry_dead_letter(None, id).expect("retried");
    until("delivery to the newer load", || mended.count() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_discarded_dead_letter_is_gone() {
    let bus = EventBus::new(EventsConfig::default());
    subscribe(&bus, 1, "x:y", &Recorder::failing(usize::MAX));
    bus.publish(draft("a", "x:y", "{}")).expect("published");
    until("the dead letter", || bus.dead_letter_count(None).0 == 1).await;
    let id = bus.dead_letters(None, 1, 0)[0].id;
    bus.discard_dead_letter(None, id).expect("discarded");
    assert!(bus.discard_dead_letter(None, id).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_or_hangs_is_one_that_failed() {
    let bus = EventBus::new(EventsConfig {
        retry_delays: Vec::new(),
        ..EventsConfig::default()
    });
    let panics: Arc<dyn Subscriber> =
        Arc::new(|_: Arc<Event>| -> BoxFuture<'static, Result<(), String>> {
            panic!("on purpose")
        });
    let hangs: Arc<dyn Subscriber> =
        Arc::new(|_: Arc<Event>| -> BoxFuture<'static, Result<(), String>> {
            Box::pin(std::future::pending())
        });
    bus.subscribe(owner("panics", 1), "x:y", panics)
        .expect("subscribed");
    bus.subscribe(owner("hangs", 2), "x:y", hangs)
        .expect("subscribed");
    bus.publish(draft("a", "x:y", "{}")).expect("published");
    until("two dead letters", || bus.dead_letter_count(None).0 == 2).await;
    let mut errors: Vec<_> = (bus.dead_letters(None, 10, 0).iter())
        .map(|letter| letter.error.to_string())
        .collect();
    errors.sort();
    assert_eq!(
        errors,
        [
            "the subscriber panicked",
            "the subscriber took longer than 30 s"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_and_one_that_sleeps_take_nothing_from_the_others() {
    const EVENTS: usize = 100_000;
    const BYTES_BOUND: usize = 8 * 1024 * 1024;
    let bus = EventBus::new(EventsConfig {
        queue_bytes: BYTES_BOUND,
        ..EventsConfig::default()
    });
    let healthy: Vec<Arc<Recorder>> = (0..8).map(|_| Arc::default()).collect();
    for recorder in &healthy {
        subscribe(&bus, 1, "load:tick", recorder);
    }
    let failing = Recorder::failing(usize::MAX);
    subscribe(&bus, 2, "load:*", &failing);
    let sleeping = Arc::new(Recorder {
        delay: Some(Duration::from_secs(5)),
        ..Recorder::default()
    });
    subscribe(&bus, 3, "*", &sleeping);

    for n in 0..EVENTS {
        bus.publish(draft("a", "load:tick", &format!(r#"{{"n":{n}}}"#)))
            .expect("published");
        // A machine publishes no faster than it can hand over; a paused clock would.
        if n % 10_000 == 0 {
            until("the healthy to keep up", || {
                healthy.iter().all(|recorder| recorder.count() > n)
            })
            .await;
        }
    }
    until("all events at the healthy", || {
        healthy.iter().all(|recorder| recorder.count() == EVENTS)
    })
    .await;
    for recorder in &healthy {
        let seen = recorder.seen.lock();
        assert!(
            seen.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "out of order"
        );
    }
    let stats = bus.stats(None);
    assert!(stats.events_dropped > 0, "nothing was dropped: {stats:?}");
    assert!(stats.events_delivered >= 8 * EVENTS as u64);
    // Two full queues may hold different events; history and retries are small beside them.
    let held = bus.held_bytes();
    assert!(held < 3 * BYTES_BOUND, "{held} bytes held");
    let slowest = &bus.subscription_stats()[0];
    assert!(slowest.queued_bytes <= BYTES_BOUND);
    assert!(slowest.dropped > 0);
}

#[tokio::test(start_paused = true)]
async fn a_burst_as_large_as_the_queue_reaches_a_subscriber_that_is_briefly_slow() {
    let bus = EventBus::new(EventsConfig::default());
    let recorder = Arc::new(Recorder {
        delay: Some(Duration::from_micros(10)),
        ..Recorder::default()
    });
    subscribe(&bus, 1, "x:y", &recorder);
    for _ in 0..100_000 {
        bus.publish(draft("a", "x:y", "{}")).expect("published");
    }
    assert_eq!(bus.drain(Duration::from_secs(600)).await, 0);
    assert_eq!(recorder.count(), 100_000);
    assert_eq!(bus.stats(None).events_dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn too_much_for_the_whole_bus_shrinks_the_longest_queues_only() {
    let bus = EventBus::new(EventsConfig {
        total_bytes: 64 * 1024,
        history_bytes: 0,
        ..EventsConfig::default()
    });
    let stuck = Arc::new(Recorder {
        delay: Some(Duration::from_secs(3600)),
        ..Recorder::default()
    });
    let quick = Arc::default();
    subscribe(&bus, 1, "*", &stuck);
    subscribe(&bus, 2, "*", &quick);
    for _ in 0..1000 {
        bus.publish(draft("a", "x:y", "{}")).expect("published");
        tokio::task::yield_now().await;
    }
    until("all at the quick one", || quick.count() == 1000).await;
    assert!(bus.held_bytes() <= 64 * 1024 + 1024, "{}", bus.held_bytes());
}

#[tokio::test(start_paused = true)]
async fn history_keeps_the_last_events_of_each_name_and_app() {
    let bus = EventBus::new(EventsConfig {
        history_per_name: 3,
        history_names: 2,
        ..EventsConfig::default()
    });
    for n in 0..5 {
        bus.publish(draft("a", "x:y", &format!("{n}")))
            .expect("published");
    }
    bus.publish(draft("b", "x:y", "b")).expect("published");
    let data = |app, name, limit| -> Vec<Bytes> {
        bus.history(app, name, limit)
            .iter()
            .map(|event| event.data.to_json())
            .collect()
    };
    assert_eq!(data(Some("a"), Some("x:y"), 10), ["2", "3", "4"]);
    assert_eq!(data(Some("a"), Some("x:y"), 2), ["3", "4"]);
    assert_eq!(data(Some("b"), Some("x:y"), 10), ["b"]);
    assert_eq!(data(None, None, 2), ["4", "b"]);

    bus.publish(draft("a", "x:z", "z")).expect("published");
    assert!(
        data(Some("a"), Some("x:y"), 10).is_empty(),
        "names are bounded"
    );
    assert_eq!(data(Some("a"), None, 10), ["z"]);
}

#[tokio::test(start_paused = true)]
async fn history_keeps_to_its_bytes() {
    let bus = EventBus::new(EventsConfig {
        history_bytes: 10_000,
        ..EventsConfig::default()
    });
    let data = "x".repeat(1000);
    for _ in 0..50 {
        bus.publish(draft("a", "x:y", &data)).expect("published");
    }
    assert!(bus.held_bytes() <= 10_000);
    assert!(bus.history(Some("a"), Some("x:y"), 100).len() >= 7);
}

#[tokio::test(start_paused = true)]
async fn an_ended_subscription_hears_nothing() {
    let bus = EventBus::new(EventsConfig::default());
    let (gone, stays): (Arc<Recorder>, Arc<Recorder>) = Default::default();
    let id = subscribe(&bus, 1, "x:y", &gone);
    subscribe(&bus, 1, "x:*", &stays);
    bus.unsubscribe(id);
    bus.publish(draft("a", "x:y", "{}")).expect("published");
    until("delivery", || stays.count() == 1).await;
    bus.unsubscribe_owner(1);
    bus.publish(draft("a", "x:y", "{}")).expect("published");
    assert_eq!(bus.drain(Duration::from_secs(1)).await, 0);
    assert_eq!((gone.count(), stays.count()), (0, 1));
    assert!(bus.subscription_stats().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_is_refused() {
    let bus = EventBus::new(EventsConfig {
        max_event_bytes: 10,
        max_subscriptions_per_owner: 1,
        max_subscriptions: 2,
        ..EventsConfig::default()
    });
    assert_eq!(
        bus.publish(draft("a", "x:y", "01234567890")),
        Err(EventError::TooLarge {
            found_bytes: 11,
            limit_bytes: 10
        })
    );
    assert_eq!(bus.publish(draft("a", "x *", "")), Err(EventError::BadName));
    let nobody: Arc<dyn Subscriber> = Arc::new(Handle(Arc::default()));
    let try_subscribe = |id| bus.subscribe(owner("o", id), "*", nobody.clone());
    assert!(try_subscribe(1).is_ok());
    assert_eq!(
        try_subscribe(1),
        Err(EventError::TooManySubscriptions { limit: 1 })
    );
    assert!(try_subscribe(2).is_ok());
    assert_eq!(
        try_subscribe(3),
        Err(EventError::TooManySubscriptions { limit: 2 })
    );
}

#[tokio::test(start_paused = true)]
async fn publishing_needs_no_runtime() {
    let bus = EventBus::new(EventsConfig::default());
    let recorder = Arc::default();
    let publisher = {
        let bus = bus.clone();
        let recorder = Arc::clone(&recorder);
        std::thread::spawn(move || {
            subscribe(&bus, 1, "x:y", &recorder);
            bus.publish(draft("a", "x:y", "{}")).map(drop)
        })
    };
    publisher.join().expect("no panic").expect("published");
    until("delivery", || recorder.count() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn held_subscriptions_wait_for_their_turn() {
    let bus = EventBus::new(EventsConfig::default());
    let recorder = Arc::new(Recorder::default());
    let subscriber = Arc::new(Handle(recorder.clone()));
    bus.subscribe_held(owner("new", 2), "a:*", subscriber)
        .unwrap();
    bus.publish(draft("app", "a:early", "{}")).unwrap();
    bus.hand_over(None, 2);
    let id = bus.publish(draft("app", "a:late", "{}")).unwrap();
    assert_eq!(bus.drain(Duration::from_secs(5)).await, 0);
    let seen: Vec<_> = recorder.seen.lock().iter().map(|(id, _)| *id).collect();
    assert_eq!(seen, [id]);
}

#[tokio::test(start_paused = true)]
async fn each_event_reaches_the_old_or_the_new_owner_and_none_is_lost() {
    let config = EventsConfig {
        retry_delays: vec![Duration::from_secs(60)],
        ..EventsConfig::default()
    };
    let bus = EventBus::new(config);
    let old = Arc::new(Recorder {
        failures_left: AtomicUsize::new(1),
        delay: Some(Duration::from_secs(1)),
        ..Recorder::default()
    });
    let new = Arc::new(Recorder::default());
    bus.subscribe(owner("plugin", 1), "a:b", Arc::new(Handle(old.clone())))
        .unwrap();
    let publish = || bus.publish(draft("app", "a:b", "{}")).unwrap();
    // The first is being tried and will fail, the others wait.
    let first = publish();
    let waiting = [publish(), publish()];
    tokio::time::sleep(Duration::from_millis(500)).await;
    bus.subscribe_held(owner("plugin", 2), "a:b", Arc::new(Handle(new.clone())))
        .unwrap();
    bus.hand_over(Some(1), 2);
    let after = publish();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let ids = |recorder: &Recorder| -> Vec<_> {
        recorder.seen.lock().iter().map(|(id, _)| *id).collect()
    };
    assert_eq!(ids(&old), [first], "what was under way is finished");
    assert_eq!(ids(&new), [waiting[0], waiting[1], after, first]);
    assert_eq!(bus.subscription_stats().len(), 1);
}
