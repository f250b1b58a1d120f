//! Created, listed, pushed, marked, deleted; kept apart by user and app.

use serde_json::{Value, json};

use super::{Claims, Socket, call, delete, gateway, post, tell, titles, told};

#[tokio::test]
async fn a_notification_lives_over_http_and_stays_with_its_user_and_app() {
    let app = gateway().env("MOZAIKS_APP_ID", "*").start().await;
    let of = |user: &str, app_id: &str| app.with_claims(&Claims::user(user).with("app_id", app_id));
    let (ann, bob, other_ann) = (of("ann", "one"), of("bob", "one"), of("ann", "two"));
    let made = told(
        &bob,
        "ann",
        "Milk",
        json!({ "metadata": { "list": [1, 2.5, null] } }),
    )
    .await;
    assert_eq!(made["delivered"], true);
    assert_eq!(made["channels"], json!(["in_app"]));
    let id = made["id"].as_str().unwrap();

    let page = ann.get("/api/notifications").await.expect_ok();
    assert_eq!(
        (&page["count"], &page["unread_count"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(page["unread_only"], false);
    let one = &page["notifications"][0];
    assert_eq!(
        one.as_object().unwrap().keys().collect::<Vec<_>>().len(),
        7,
        "{one}"
    );
    assert_eq!(one["id"], id);
    assert_eq!(one["type"], "t");
    assert_eq!(one["metadata"], json!({ "list": [1, 2.5, null] }));
    assert_eq!(one["read"], false);

    // Nobody else has it, nor may touch it.
    for client in [&bob, &other_ann] {
        let page = client.get("/api/notifications").await.expect_ok();
        assert_eq!(
            (&page["count"], &page["unread_count"]),
            (&json!(0), &json!(0))
        );
        for step in ["read", "unread"] {
            let path = format!("/api/notifications/{id}/{step}");
            post(client, &path, json!({}))
                .await
                .expect_error(404, "NOT_FOUND");
        }
        delete(client, &format!("/api/notifications/{id}"))
            .await
            .expect_error(404, "NOT_FOUND");
    }

    post(&ann, &format!("/api/notifications/{id}/read"), json!({}))
        .await
        .expect_ok();
    let unread = ann
        .get("/api/notifications?unread_only=true")
        .await
        .expect_ok();
    assert_eq!(
        (&unread["count"], &unread["unread_only"]),
        (&json!(0), &json!(true))
    );
    post(&ann, &format!("/api/notifications/{id}/unread"), json!({}))
        .await
        .expect_ok();
    let count = ann.get("/api/notifications/count").await.expect_ok();
    assert_eq!(count["unread_count"], 1);

    told(&bob, "ann", "Eggs", json!({})).await;
    told(&bob, "bob", "Mine", json!({})).await;
    let marked = post(&ann, "/api/notifications/read-all", json!({})).await;
    assert_eq!(marked.expect_ok()["count"], 2);
    let again = post(&ann, "/api/notifications/mark-all-read", json!({})).await;
    assert_eq!(again.expect_ok()["count"], 0);
    let bobs = bob.get("/api/notifications/count").await.expect_ok();
    assert_eq!(bobs["unread_count"], 1, "others' stay unread");

    // What the plugin sees is the same.
    let listed = call(
        &ann,
        "",
        "get_user_notifications",
        json!({ "user_id": "ann" }),
    )
    .await;
    let listed = listed.expect_ok()["result"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[1]["id"], id);
    let mark = json!({ "user_id": "ann", "notification_id": id, "read": false });
    let marked = call(&ann, "", "mark_notification_read", mark.clone()).await;
    assert_eq!(marked.expect_ok()["result"], true);
    let marked = call(&other_ann, "", "mark_notification_read", mark).await;
    assert_eq!(marked.expect_ok()["result"], false);

    delete(&ann, &format!("/api/notifications/{id}"))
        .await
        .expect_ok();
    let page = ann.get("/api/notifications").await.expect_ok();
    assert_eq!(titles(&page), ["Eggs"]);
    app.anonymous()
        .get("/api/notifications")
        .await
        .expect_error(401, "AUTH_REQUIRED");
}

#[tokio::test]
async fn an_open_socket_is_told_and_only_the_users() {
    let app = gateway().start().await;
    let (mut anns, mut bobs) = (
        Socket::open(&app, "ann").await,
        Socket::open(&app, "bob").await,
    );
    let made = told(&app.user("bob"), "ann", "Milk", json!({})).await;
    let frame = anns.message().await;
    assert_eq!(frame["type"], "notification");
    assert_eq!(frame["data"]["id"], made["id"]);
    let page = app.user("ann").get("/api/notifications").await.expect_ok();
    assert_eq!(frame["data"], page["notifications"][0]);
    assert_eq!(bobs.drain().await, Vec::<Value>::new());

    let history = "/__mozaiks/admin/events/history?event=notification_created";
    let events = app.admin().get(history).await.expect_ok();
    assert_eq!(events["events"][0]["data"]["notification_id"], made["id"]);
}

#[tokio::test]
async fn the_same_dedup_key_makes_one_and_the_newest_are_kept() {
    let app = gateway()
        .env("MOZAIKS_NOTIFICATIONS_KEEP", "5")
        .start()
        .await;
    let ann = app.user("ann");
    let mut socket = Socket::open(&app, "ann").await;
    let keyed = || json!({ "metadata": { "dedup_key": "once" } });
    let (first, second, third) = tokio::join!(
        told(&ann, "ann", "Once", keyed()),
        told(&ann, "ann", "Once", keyed()),
        told(&ann, "ann", "Once", keyed()),
    );
    assert_eq!((&first["id"], &first["id"]), (&second["id"], &third["id"]));
    assert_eq!(socket.drain().await.len(), 1);
    let others = told(&ann, "bob", "Once", keyed()).await;
    assert_ne!(others["id"], first["id"], "a key is the user's");

    for n in 0..7 {
        told(&ann, "ann", &n.to_string(), json!({})).await;
    }
    let page = ann.get("/api/notifications").await.expect_ok();
    assert_eq!(titles(&page), ["6", "5", "4", "3", "2"]);
}

#[tokio::test]
async fn pages_by_cursor_stay_right_while_new_ones_arrive() {
    let app = gateway().start().await;
    let ann = app.user("ann");
    let bulk = json!({
        "user_ids": vec!["ann"; 25], "notification_type": "t", "title": "old", "message": "M",
    });
    call(&ann, "", "create_bulk_notifications", bulk)
        .await
        .expect_ok();
    let mut seen = Vec::new();
    let mut path = "/api/notifications?limit=10".to_owned();
    loop {
        let page = ann.get(&path).await.expect_ok();
        let list = page["notifications"].as_array().unwrap();
        seen.extend(
            list.iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        assert!(titles(&page).iter().all(|title| *title == "old"));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/notifications?limit=10&cursor={cursor}");
        told(&ann, "ann", "new", json!({})).await;
    }
    assert_eq!(seen.len(), 25);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 25, "none twice, none left out");
    let skipped = ann
        .get("/api/notifications?limit=2&offset=1")
        .await
        .expect_ok();
    assert_eq!(titles(&skipped), ["new", "old"]);
    ann.get("/api/notifications?cursor=nonsense")
        .await
        .expect_error(422, "VALIDATION_ERROR");
    ann.get("/api/notifications?limit=many")
        .await
        .expect_error(400, "INVALID_REQUEST");
}

#[tokio::test]
async fn what_makes_no_notification_is_refused_with_the_reason() {
    let app = gateway().start().await;
    let ann = app.user("ann");
    for more in [
        json!({ "title": "" }),
        json!({ "channels": ["pigeon"] }),
        json!({ "metadata": { "dedup_key": 7 } }),
        json!({ "message": "x".repeat(70_000) }),
    ] {
        tell(&ann, "ann", "T", more)
            .await
            .expect_domain_failure(422, "VALIDATION_ERROR");
    }
    let count = ann.get("/api/notifications/count").await.expect_ok();
    assert_eq!(count["unread_count"], 0);
}

#[tokio::test]
async fn input_that_the_database_cannot_take_is_the_clients_fault() {
    let app = gateway().start().await;
    let (user, admin) = (app.user("ann"), app.admin());
    for offset in ["9223372036854775808", "18446744073709551615"] {
        let path = format!("/api/notifications?offset={offset}");
        user.get(&path).await.expect_error(422, "VALIDATION_ERROR");
    }
    user.get("/api/notifications?offset=9223372036854775807")
        .await
        .expect_ok();
    for metadata in [json!({ "a\0b": 1 }), json!({ "a": [{ "\0": {} }] })] {
        let more = json!({ "metadata": metadata });
        tell(&user, "ann", "Milk", more.clone())
            .await
            .expect_domain_failure(422, "VALIDATION_ERROR");
        let mut broadcast = json!({
            "notification_type": "t", "title": "T", "message": "M", "target": "all",
        });
        broadcast["metadata"] = more["metadata"].clone();
        post(
            &admin,
            "/__mozaiks/admin/notifications/broadcast",
            broadcast,
        )
        .await
        .expect_error(422, "VALIDATION_ERROR");
    }
    let types = json!({ "types": { "a\0": true } });
    post(&user, "/api/notifications/preferences", types)
        .await
        .expect_error(422, "VALIDATION_ERROR");
}
