//! Types, preferences, templates: what the user and the operator say.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, TestClient, delete, gateway, tell, titles, told};

const PATH: &str = "/api/notifications/preferences";

async fn prefer(client: &TestClient, body: Value) -> Answer {
    Answer::of(client.request(Method::PUT, PATH).json(&body)).await
}

#[tokio::test]
async fn a_type_that_is_off_is_not_delivered_and_the_caller_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let types = dir.path().join("types.json");
    let declared = json!({ "notifications": [
        { "id": "quiet", "label": "Quiet", "default_enabled": false },
    ] });
    std::fs::write(&types, declared.to_string()).unwrap();
    let manifest = json!({ "name": "teller", "version": "1.0.0", "notifications": [
        { "id": "task_due", "label": "Task due", "description": "A task is due.",
          "channels": ["in_app", "email"] },
    ] });
    let app = gateway()
        .file("teller/plugin.json", &manifest.to_string())
        .env("MOZAIKS_NOTIFICATIONS_CONFIG", types.to_str().unwrap())
        .start()
        .await;
    let ann = app.user("ann");
    let config = ann.get("/api/notifications/config").await.expect_ok();
    assert_eq!(config["types"][0]["id"], "quiet");
    assert_eq!(config["types"][1]["id"], "task_due");
    assert_eq!(config["types"][1]["source"], "teller");
    assert_eq!(
        config["channels"][1],
        json!({ "id": "email", "configured": false })
    );

    let typed = |id: &str| json!({ "notification_type": id });
    let made = told(&ann, "ann", "Due", typed("task_due")).await;
    assert_eq!(made["channels"], json!(["in_app"]));
    assert_eq!(made["skipped"]["email"], "this channel is not configured");
    let quiet = told(&ann, "ann", "Q", typed("quiet")).await;
    assert_eq!(
        (&quiet["delivered"], &quiet["id"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(
        quiet["reason"],
        "this type is off unless the user turns it on"
    );

    prefer(
        &ann,
        json!({ "types": { "quiet": true }, "task_due": false }),
    )
    .await
    .expect_ok();
    assert_eq!(
        told(&ann, "ann", "Q", typed("quiet")).await["delivered"],
        true
    );
    let off = told(&ann, "ann", "Due again", typed("task_due")).await;
    assert_eq!(off["reason"], "the user has turned this type off");
    assert_eq!(
        told(&ann, "bob", "B", typed("task_due")).await["delivered"],
        true
    );
    let page = ann.get("/api/notifications").await.expect_ok();
    assert_eq!(titles(&page), ["Q", "Due"]);

    prefer(&ann, json!({ "channels": { "in_app": false } }))
        .await
        .expect_ok();
    let off = told(&ann, "ann", "Q", typed("quiet")).await;
    assert_eq!(off["reason"], "the user has turned these channels off");
}

#[tokio::test]
async fn changes_at_the_same_time_undo_nothing_of_each_other() {
    let app = gateway().start().await;
    let ann = app.user("ann");
    let changes = (0..12).map(|n| {
        let ann = ann.clone();
        async move {
            let body = json!({ "preferences": { "types": { format!("type.{n}"): false } } });
            prefer(&ann, body).await.expect_ok();
        }
    });
    futures_util::future::join_all(changes).await;
    let kept = ann.get(PATH).await.expect_ok();
    assert_eq!(kept["preferences"]["types"].as_object().unwrap().len(), 12);
    assert_eq!(kept["preferences"]["digest"], "off");

    for (body, path) in [
        (json!({ "digest": "hourly" }), "digest"),
        (json!({ "email": "nobody" }), "email"),
        (json!({ "phone": "0123" }), "phone"),
        (json!({ "channels": { "pigeon": true } }), "channels"),
        (json!({ "unknown": 7 }), "unknown"),
    ] {
        let refused = prefer(&ann, body)
            .await
            .expect_error(422, "VALIDATION_ERROR");
        assert!(
            refused["error"].as_str().unwrap().starts_with(path),
            "{refused}"
        );
    }
    let others = app.user("bob").get(PATH).await.expect_ok();
    assert_eq!(others["preferences"]["types"], json!({}));
    delete(&ann, PATH)
        .await
        .expect_error(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn a_template_that_misses_a_variable_refuses_the_creation() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("templates.json");
    let templates = json!({ "order": { "in_app": {
        "title": "Order {{ metadata.number }}", "message": "{{ message | upper }}",
    } } });
    std::fs::write(&file, templates.to_string()).unwrap();
    let app = gateway()
        .env("MOZAIKS_NOTIFICATION_TEMPLATES", file.to_str().unwrap())
        .start()
        .await;
    let ann = app.user("ann");
    let order = |metadata: Value| json!({ "notification_type": "order", "metadata": metadata });
    let made = told(&ann, "ann", "T", order(json!({ "number": 7 }))).await;
    assert_eq!(
        (&made["title"], &made["message"]),
        (&json!("Order 7"), &json!("M"))
    );
    let refused = tell(&ann, "ann", "T", order(json!({}))).await;
    let refused = refused.expect_domain_failure(422, "VALIDATION_ERROR");
    let sentence = refused["error"].as_str().unwrap();
    assert!(
        sentence.contains("templates.order.in_app.title"),
        "{sentence}"
    );
    let listed = "/__mozaiks/admin/notifications/templates";
    assert_eq!(
        app.admin().get(listed).await.expect_ok()["templates"],
        templates
    );
    ann.get(listed).await.expect_error(403, "FORBIDDEN");
}
