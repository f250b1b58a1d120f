//! Digests on a real store: nothing that waits is lost, and nobody waits for another's trouble.

use std::time::Duration;

use bson::{DateTime, doc};
use serde_json::json;

use super::support::{Office, PATIENCE, office};
use crate::{Channel, NotificationsConfig, Scheduler};

impl Office {
    /// Whether anything waits to be told, or has been taken to be.
    async fn all_told(&self) -> bool {
        let left = self.stored("notifications").await;
        !left.iter().any(|one| one.contains_key("digest"))
    }

    /// Lets digests run until everything is told.
    async fn run_digests(&self) {
        let scheduler = Scheduler::start(&self.manager);
        let telling = async {
            while !self.all_told().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, telling).await;
        assert!(told.is_ok(), "something is never told");
        scheduler.stop().await;
    }

    async fn due(&self, user_id: &str) {
        self.manager
            .repository
            .hasten_digest("a", user_id)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_digest_tells_all_and_one_in_trouble_keeps_nobody_elses() {
    let config = NotificationsConfig {
        max_bytes: 4 << 20,
        ..NotificationsConfig::default()
    };
    let office = Office::open(&json!({}), config).await;
    for user in ["big", "ann", "cid"] {
        office.verified(user).await;
        office.prefer(user, json!({ "digest": "daily" })).await;
    }
    // One is larger than any message, and all of them together are.
    for n in 0..3 {
        office
            .mail("big", &format!("B{n}"), &"<&>".repeat(15_000))
            .await;
    }
    let list = vec![Channel::InApp];
    office.tell("big", "huge", &"<".repeat(200_000), list).await;
    for n in 0..120 {
        let made = office.mail("ann", &format!("n{n:03}"), "M").await;
        assert!(made.stored);
    }
    office.mail("cid", "only", "M").await;
    for user in ["big", "ann", "cid"] {
        office.due(user).await;
    }
    office.run_digests().await;

    let mails = office.mails("ann").await;
    let counts: Vec<usize> = mails.iter().map(|mail| mail.2).collect();
    assert_eq!(counts, [50, 50, 20]);
    assert_eq!(mails[0].0, "50 unread notifications");
    assert!(
        mails[0].1.ends_with("70 more follow in another message"),
        "{}",
        mails[0].1
    );
    let told: Vec<String> = mails
        .iter()
        .flat_map(|mail| mail.1.lines().map(str::to_owned))
        .collect();
    for n in 0..120 {
        let line = format!("n{n:03}: M");
        assert_eq!(
            told.iter().filter(|told| **told == line).count(),
            1,
            "{line}"
        );
    }
    let big = office.mails("big").await;
    let text: String = big.iter().map(|mail| mail.1.as_str()).collect();
    for title in ["B0: <", "B1: <", "B2: <", "huge: <"] {
        assert!(text.contains(title), "{title}");
    }
    assert_eq!(big.iter().map(|mail| mail.2).sum::<usize>(), 4);
    assert_eq!(office.mails("cid").await.len(), 1);
}

#[tokio::test]
async fn a_template_that_cannot_be_used_loses_no_digest() {
    let templates = json!({ "daily_digest": { "email": { "subject": "{{ metadata.absent }}" } } });
    let office = Office::open(&templates, NotificationsConfig::default()).await;
    office.verified("ann").await;
    office.prefer("ann", json!({ "digest": "daily" })).await;
    office.mail("ann", "one", "M").await;
    office.mail("ann", "two", "M").await;
    office.due("ann").await;
    office.run_digests().await;
    let mails = office.mails("ann").await;
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_eq!(mails[0].1, "one: M\ntwo: M");
}

#[tokio::test]
async fn who_wants_no_digests_any_more_is_told_what_was_waiting() {
    let office = office().await;
    office.verified("ann").await;
    office.prefer("ann", json!({ "digest": "weekly" })).await;
    office.mail("ann", "waits", "M").await;
    office.prefer("ann", json!({ "digest": "off" })).await;
    // Another change before the last digest is made does not call it off.
    office
        .prefer("ann", json!({ "types": { "other": false } }))
        .await;
    office.run_digests().await;
    assert_eq!(office.mails("ann").await.len(), 1);
    // From now on each goes out by itself.
    office.mail("ann", "single", "M").await;
    let mails = office.mails("ann").await;
    assert_eq!((mails.len(), mails[1].0.as_str()), (2, "single"));
}

#[tokio::test]
async fn what_cannot_be_sent_now_waits_for_a_digest_that_can() {
    let office = office().await;
    office.verified("ann").await;
    office.prefer("ann", json!({ "digest": "daily" })).await;
    office.mail("ann", "waits", "M").await;
    office.prefer("ann", json!({ "email": false })).await;
    office.due("ann").await;
    let scheduler = Scheduler::start(&office.manager);
    let made = async {
        while office.manager.job_stats().done == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, made).await.is_ok());
    scheduler.stop().await;
    assert!(office.mails("ann").await.is_empty());
    assert!(!office.all_told().await);
    office.prefer("ann", json!({ "email": true })).await;
    office.due("ann").await;
    office.run_digests().await;
    assert_eq!(office.mails("ann").await[0].1, "waits: M");
}

#[tokio::test]
async fn a_digest_begun_anew_tells_nothing_twice_and_forgets_nothing() {
    let office = office().await;
    office.verified("ann").await;
    office.prefer("ann", json!({ "digest": "daily" })).await;
    for n in 0..60 {
        office.mail("ann", &format!("n{n}"), "M").await;
    }
    // A gateway took them, told of the first fifty, and died before it wrote that down.
    office.due("ann").await;
    assert!(office.manager.call_digest().await.unwrap());
    let lease = Duration::ZERO;
    let queue = ["digest".to_owned()];
    let job = office
        .manager
        .jobs
        .claim(&queue, lease)
        .await
        .unwrap()
        .unwrap();
    let stopping = office.manager.clone();
    let repository = &stopping.repository;
    repository
        .take_for_digest("a", "ann", &job.id)
        .await
        .unwrap();
    let (items, waiting) = repository
        .taken_for_digest("a", "ann", &job.id, 50)
        .await
        .unwrap();
    assert_eq!((items.len(), waiting), (50, 60));
    let ids = crate::repository::ids_of(&items);
    office.run_digests().await;
    let database = office.store.own_database().unwrap();
    let again = doc! { "$set": { "digest": &job.id } };
    let notifications = database.collection::<bson::Document>("notifications");
    let told = doc! { "_id": { "$in": ids } };
    notifications.update_many(told, again).await.unwrap();
    let unended = doc! { "$set": { "state": "claimed", "run_at": DateTime::now() } };
    let jobs = database.collection::<bson::Document>("notification_jobs");
    jobs.update_one(doc! { "_id": &job.id }, unended)
        .await
        .unwrap();
    office.run_digests().await;
    let counts: Vec<usize> = office
        .mails("ann")
        .await
        .iter()
        .map(|mail| mail.2)
        .collect();
    assert_eq!(counts, [50, 10]);
}

#[tokio::test]
async fn what_is_more_than_is_kept_is_told_early_and_what_is_broken_stops_nobody() {
    let config = NotificationsConfig {
        keep_per_user: 5,
        ..NotificationsConfig::default()
    };
    let office = Office::open(&json!({}), config).await;
    let database = office.store.own_database().unwrap();
    let preferences = database.collection("notification_preferences");
    let broken = [
        doc! { "digest_at": DateTime::from_millis(0) },
        doc! { "app_id": "a", "user_id": "eve", "digest_at": DateTime::from_millis(1),
        "preferences": "{", "revision": 1i64 },
    ];
    preferences.insert_many(broken).await.unwrap();
    office.verified("ann").await;
    office.prefer("ann", json!({ "digest": "weekly" })).await;
    for n in 0..8 {
        office.mail("ann", &format!("n{n}"), "M").await;
    }
    // Nobody calls for it: the sixth did.
    office.run_digests().await;
    let told: usize = office.mails("ann").await.iter().map(|mail| mail.2).sum();
    assert_eq!(told, 8);
}
