//! Recurring entries on a real store.

use bson::{Bson, DateTime, doc};

use super::{Base, LEASE, job, queues, state_of};
use crate::{Finish, JobError, Recurring, Schedule};

fn yearly(payload: i32) -> Recurring {
    Recurring {
        key: "tidy".into(),
        queue: "q".into(),
        app_id: "app".into(),
        schedule: Schedule::parse("0 0 1 1 *", "UTC").unwrap(),
        payload: Bson::Int32(payload),
        fields: doc! { "plugin": "tasks" },
    }
}

#[tokio::test]
async fn a_recurring_entry_is_one_document_that_goes_back_for_its_next_time() {
    let base = Base::start().await;
    let (one, two) = (base.queue().await, base.queue().await);
    let (a, b) = tokio::join!(one.put_recurring(yearly(1)), two.put_recurring(yearly(1)));
    a.unwrap();
    b.unwrap();
    let first = one.find("tidy").await.unwrap().unwrap().run_at.unwrap();
    assert!(first > DateTime::now());
    two.put_recurring(yearly(2)).await.unwrap();
    assert_eq!(one.find("tidy").await.unwrap().unwrap().run_at, Some(first));

    // Run by hand: it cannot overlap with itself, and comes again by its schedule.
    one.run_now("app", "tidy").await.unwrap();
    assert!(matches!(
        one.run_now("other", "tidy").await,
        Err(JobError::NotFound)
    ));
    let run = two.claim(&queues(), LEASE).await.unwrap().unwrap();
    assert_eq!(
        (run.payload.clone(), run.field("plugin")),
        (Bson::Int32(2), Some("tasks"))
    );
    assert!(matches!(
        one.run_now("app", "tidy").await,
        Err(JobError::Conflict(_))
    ));
    assert!(one.claim(&queues(), LEASE).await.unwrap().is_none());
    assert!(
        two.finish(
            &run,
            Finish::Failed {
                reason: "no".into()
            }
        )
        .await
        .unwrap()
    );
    let after = one.find("tidy").await.unwrap().unwrap();
    assert_eq!(
        (after.state.as_str(), after.attempts, after.run_at),
        ("queued", 0, Some(first))
    );
    let last = after.document.get_document("last_run").unwrap();
    assert_eq!(last.get_str("state").unwrap(), "failed");
    assert_eq!(last.get_str("reason").unwrap(), "no");

    // A schedule that changes while it runs counts for the next time.
    one.run_now("app", "tidy").await.unwrap();
    let run = one.claim(&queues(), LEASE).await.unwrap().unwrap();
    let schedule = Schedule::parse("0 0 2 1 *", "UTC").unwrap();
    let next = schedule.next_after(DateTime::now()).unwrap();
    two.put_recurring(Recurring {
        schedule,
        ..yearly(2)
    })
    .await
    .unwrap();
    assert_eq!(state_of(&one, "tidy").await, "claimed");
    assert!(one.finish(&run, Finish::Done).await.unwrap());
    let changed = one.find("tidy").await.unwrap().unwrap();
    assert_eq!(changed.run_at, Some(next));
    // And one that changes while it waits, at once.
    two.put_recurring(yearly(2)).await.unwrap();
    assert_eq!(one.find("tidy").await.unwrap().unwrap().run_at, Some(first));

    one.add(job("plain")).await.unwrap();
    let taken = Recurring {
        key: "plain".into(),
        ..yearly(1)
    };
    assert!(matches!(
        one.put_recurring(taken).await,
        Err(JobError::Invalid(_))
    ));
    assert!(one.remove_recurring("app", "tidy").await.unwrap());
    assert!(!one.remove_recurring("app", "tidy").await.unwrap());
}

#[tokio::test]
async fn a_run_that_is_left_out_leaves_no_trace_and_one_that_was_asked_for_says_so() {
    let base = Base::start().await;
    let queue = base.queue().await;
    queue.put_recurring(yearly(1)).await.unwrap();
    let first = queue.find("tidy").await.unwrap().unwrap().run_at;
    queue.run_now("app", "tidy").await.unwrap();
    let asked = queue.claim(&queues(), LEASE).await.unwrap().unwrap();
    assert!(asked.asked);
    assert!(queue.finish(&asked, Finish::Skipped).await.unwrap());
    let after = queue.find("tidy").await.unwrap().unwrap();
    assert_eq!((after.state.as_str(), after.run_at), ("queued", first));
    for absent in ["last_run", "asked_at", "runs"] {
        assert!(after.document.get(absent).is_none(), "{absent}");
    }
    queue.add(job("plain")).await.unwrap();
    let plain = queue.claim(&queues(), LEASE).await.unwrap().unwrap();
    assert!(!plain.asked);
    queue.finish(&plain, Finish::Skipped).await.unwrap();
    assert_eq!(state_of(&queue, "plain").await, "done");
}

#[tokio::test]
async fn entries_are_found_and_taken_out_by_their_fields() {
    let base = Base::start().await;
    let queue = base.queue().await;
    for key in ["a", "b"] {
        let fields = doc! { "plugin": "tasks", "job": key };
        let key = key.into();
        queue
            .put_recurring(Recurring {
                key,
                fields,
                ..yearly(1)
            })
            .await
            .unwrap();
    }
    queue.add(job("plain")).await.unwrap();
    let keys = async || {
        let found = queue.recurring(doc! { "plugin": "tasks" }).await.unwrap();
        found.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
    };
    assert_eq!(keys().await, ["a", "b"]);
    let gone = doc! { "plugin": "tasks", "job": { "$nin": ["b"] } };
    assert_eq!(queue.remove_recurring_where(gone).await.unwrap(), 1);
    assert_eq!(keys().await, ["b"]);
    assert_eq!(queue.remove_recurring_where(doc! {}).await.unwrap(), 1);
    assert!(queue.find("plain").await.unwrap().is_some());
}
