//! Broadcasts, notifications for later, digests, and what a killed gateway leaves behind.

use std::collections::HashSet;

use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};

use super::{
    Claims, TestClient, ask_code, call, delete, gateway, give_code, post,
    sinks::{HttpSink, Next},
    tell, titles, told, until,
};

const ADMIN: &str = "/__mozaiks/admin/notifications";

async fn broadcast(client: &TestClient, target: Value) -> String {
    let arguments = json!({
        "notification_type": "news", "title": "News", "message": "M", "target": target,
    });
    let made = call(client, "broadcast", "broadcast", arguments).await;
    made.expect_ok()["result"]["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_broadcast_reaches_all_a_role_or_a_list_and_says_how_far_it_is() {
    let app = gateway().env("MOZAIKS_BROADCAST_BATCH", "2").start().await;
    let admin = app.admin();
    let user = |id: &str, role: &str| app.with_claims(&Claims::user(id).with("roles", vec![role]));
    let names = ["ann", "bob", "cid", "dan", "eve"];
    let users: Vec<_> = names
        .iter()
        .map(|name| user(name, if *name < "c" { "editor" } else { "reader" }))
        .collect();
    for client in &users {
        client.get("/api/notifications/count").await.expect_ok();
    }
    let off = json!({ "news": false });
    post(&users[4], "/api/notifications/preferences", off)
        .await
        .expect_ok();
    // Users are written down behind their calls: all five, and the admin once they ask.
    let mut done = Value::Null;
    let everybody = async {
        loop {
            let id = broadcast(&admin, json!("all")).await;
            let path = format!("{ADMIN}/broadcasts/{id}");
            done = until(&admin, &path, |body| body["broadcast"]["status"] == "done").await;
            if done["broadcast"]["sent"] == 5 && done["broadcast"]["suppressed"] == 1 {
                return;
            }
        }
    };
    assert!(
        tokio::time::timeout(super::LIMIT, everybody).await.is_ok(),
        "{done}"
    );
    assert_eq!(done["broadcast"]["failed"], 0);
    let count = async |client: &TestClient| {
        client.get("/api/notifications").await.expect_ok()["count"].clone()
    };
    assert_eq!(count(&users[4]).await, 0, "the type is off");
    let before = [count(&users[0]).await, count(&users[2]).await];

    let id = broadcast(&admin, json!({ "role": "editor" })).await;
    let path = format!("{ADMIN}/broadcasts/{id}");
    let done = until(&admin, &path, |body| body["broadcast"]["status"] == "done").await;
    assert_eq!(done["broadcast"]["sent"], 2);
    assert_eq!(count(&users[0]).await, before[0].as_u64().unwrap() + 1);
    assert_eq!(count(&users[2]).await, before[1]);

    let id = broadcast(&admin, json!({ "users": ["zoe", "cid", "zoe"] })).await;
    let path = format!("{ADMIN}/broadcasts/{id}");
    let done = until(&admin, &path, |body| body["broadcast"]["status"] == "done").await;
    assert_eq!(done["broadcast"]["sent"], 2);
    assert_eq!(count(&user("zoe", "none")).await, 1);

    let body = json!({
        "notification_type": "news", "title": "Later", "message": "M",
        "send_at": "2100-01-01T00:00:00Z",
    });
    post(&users[0], &format!("{ADMIN}/broadcast"), body.clone())
        .await
        .expect_error(403, "FORBIDDEN");
    let later = post(&admin, &format!("{ADMIN}/broadcast"), body).await;
    let later = later.expect_ok()["broadcast"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("{ADMIN}/broadcasts/{later}");
    delete(&admin, &path).await.expect_ok();
    let cancelled = admin.get(&path).await.expect_ok();
    assert_eq!(cancelled["broadcast"]["status"], "cancelled");
    delete(&admin, &path).await.expect_error(409, "CONFLICT");
    let refused = json!({ "title": "x", "message": "M", "target": "nobody" });
    post(&admin, &format!("{ADMIN}/broadcast"), refused)
        .await
        .expect_error(422, "VALIDATION_ERROR");
}

#[tokio::test]
async fn a_notification_for_later_comes_then_or_is_cancelled() {
    let app = gateway().start().await;
    let ann = app.user("ann");
    let at = |title: &str, time: &str| {
        json!({ "user_id": "ann", "notification_type": "t", "title": title, "message": "M",
                "scheduled_for": time })
    };
    let later = call(
        &ann,
        "digest",
        "schedule_notification",
        at("Later", "2100-01-01T00:00:00"),
    )
    .await;
    let later = later.expect_ok()["result"].clone();
    assert_eq!(later["scheduled_for"], "2100-01-01T00:00:00Z");
    call(
        &ann,
        "digest",
        "schedule_notification",
        at("Now", "2020-01-01T00:00:00Z"),
    )
    .await
    .expect_ok();
    let page = until(&ann, "/api/notifications", |page| page["count"] == 1).await;
    assert_eq!(titles(&page), ["Now"]);

    let cancel = json!({ "scheduled_id": later["id"] });
    let cancelled = call(&ann, "digest", "cancel", cancel.clone()).await;
    assert_eq!(cancelled.expect_ok()["result"], true);
    call(&ann, "digest", "cancel", cancel)
        .await
        .expect_domain_failure(409, "CONFLICT");
    let nothing = call(&ann, "digest", "cancel", json!({ "scheduled_id": "none" })).await;
    assert_eq!(nothing.expect_ok()["result"], false);
    call(&ann, "digest", "schedule_notification", at("Never", "soon"))
        .await
        .expect_domain_failure(422, "VALIDATION_ERROR");
    let listed = until(&app.admin(), &format!("{ADMIN}/schedule"), |body| {
        body["scheduled"][0]["status"] == "sent"
    })
    .await;
    assert_eq!(listed["scheduled"][1]["status"], "cancelled");
}

#[tokio::test]
async fn a_digest_gathers_the_mail_of_its_time() {
    let mut sink = HttpSink::start(&[]).await;
    let data = tempfile::tempdir().unwrap();
    let app = gateway()
        .data_dir(data.path())
        .env("MOZAIKS_EMAIL_HTTP_URL", &sink.url("/mail"))
        .env("MOZAIKS_EMAIL_FROM", "notes@example.com")
        .start()
        .await;
    let ann = app.user("ann");
    ask_code(&ann, "email", "ann@example.org").await;
    let code = sink.request().await.json();
    give_code(&ann, "email", code["text"].as_str().unwrap()).await;
    let wish = json!({ "digest": "daily" });
    post(&ann, "/api/notifications/preferences", wish)
        .await
        .expect_ok();
    told(
        &ann,
        "ann",
        "Listed",
        json!({ "channels": ["in_app", "email"] }),
    )
    .await;
    told(&ann, "ann", "Mailed", json!({ "channels": ["email"] })).await;
    let read = told(&ann, "ann", "Read", json!({})).await;
    let path = format!("/api/notifications/{}/read", read["id"].as_str().unwrap());
    post(&ann, &path, json!({})).await.expect_ok();

    // The hour comes.
    let socket = data
        .path()
        .canonicalize()
        .unwrap()
        .join("docstore/docstore.sock");
    let socket = socket.to_str().unwrap().replace('/', "%2F");
    let client =
        mongodb::Client::with_uri_str(format!("mongodb://{socket}/?directConnection=true"))
            .await
            .unwrap();
    let due = doc! { "$set": { "digest_at": DateTime::now() } };
    let changed = client
        .database("mozaiks_control")
        .collection::<Document>("notification_preferences")
        .update_one(doc! { "user_id": "ann" }, due)
        .await
        .unwrap();
    assert_eq!(changed.matched_count, 1);
    let mail = sink.request().await.json();
    assert_eq!(mail["to"], "ann@example.org");
    assert_eq!(mail["subject"], "2 unread notifications");
    assert_eq!(mail["text"], "Listed: M\nMailed: M");
    let channels = format!("{ADMIN}/channels");
    let log = until(&app.admin(), &channels, |body| {
        body["deliveries"]["email"]["sent"] == 1
    })
    .await;
    assert_eq!(log["log"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_delivery_that_a_killed_gateway_had_taken_is_sent_by_the_next() {
    let mut sink = HttpSink::start(&[Next::Answer(201), Next::Hold]).await;
    let data = tempfile::tempdir().unwrap();
    let service = sink.url("/mail");
    let builder = || {
        gateway()
            .data_dir(data.path())
            .env("MOZAIKS_EMAIL_HTTP_URL", &service)
            .env("MOZAIKS_EMAIL_FROM", "notes@example.com")
    };
    // The second has time for its deliveries; the lease that it waits for is the first one's.
    let mut app = builder()
        .env("MOZAIKS_DELIVERY_TIMEOUT_SECONDS", "1s")
        .env("MOZAIKS_JOB_LEASE_SECONDS", "1500ms")
        .start()
        .await;
    let ann = app.user("ann");
    ask_code(&ann, "email", "ann@example.org").await;
    let code = sink.request().await.json();
    give_code(&ann, "email", code["text"].as_str().unwrap()).await;
    let keyed = json!({ "channels": ["email"], "metadata": { "dedup_key": "once" } });
    told(&ann, "ann", "First", keyed.clone()).await;
    // Claimed, and on its way: the service has it, but has not said so.
    let taken = sink.request().await;
    app.signal("KILL");
    app.ended().await;

    let app = builder().start().await;
    let ann = app.user("ann");
    tell(&ann, "ann", "First", keyed).await.expect_ok();
    let again = sink.request().await;
    assert_eq!(again.json()["subject"], "First");
    let channels = format!("{ADMIN}/channels");
    let log = until(&app.admin(), &channels, |body| {
        body["deliveries"]["email"]["sent"] == 1
    })
    .await;
    assert_eq!(log["log"].as_array().unwrap().len(), 1, "{log}");
    let mut keys = HashSet::new();
    keys.insert(taken.header("idempotency-key").to_owned());
    keys.insert(again.header("idempotency-key").to_owned());
    assert_eq!(keys.len(), 1, "a service that counts keys has sent one");
    // What comes next is the next notification, not the first once more.
    told(&ann, "ann", "Second", json!({ "channels": ["email"] })).await;
    let next = sink.request().await;
    assert_eq!(next.json()["subject"], "Second");
}
