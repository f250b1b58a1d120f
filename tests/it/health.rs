//! How plugins say that they are.

use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    jobs_of_plugins::{registry, until},
};

#[tokio::test]
async fn plugins_say_how_they_are() {
    let code = r#"
import asyncio

answer = {"healthy": True, "queue": 3}

async def check_health(ctx):
    if answer == "hang":
        await asyncio.sleep(999)
    if answer == "raise":
        raise OSError("the disk is gone")
    return answer

async def execute(data):
    global answer
    answer = data["answer"]
    return {}
"#;
    let app = with_sdk()
        .plugin("body", code)
        .plugin("silent", "def execute(data):\n    return {}\n")
        .env("MOZAIKS_PLUGIN_HEALTH_INTERVAL_SECONDS", "0.1")
        .env("MOZAIKS_PLUGIN_HEALTH_TIMEOUT_SECONDS", "0.3")
        .start()
        .await;
    let health = |status: &'static str| {
        let app = &app;
        async move {
            until(|| async {
                let health = registry(&app.admin(), "body", "health").await;
                (health["status"] == status).then_some(health)
            })
            .await
        }
    };
    let well = health("healthy").await;
    assert_eq!(
        (&well["details"]["queue"], &well["plugin"]),
        (&json!(3), &json!("body"))
    );
    for (answer, said) in [
        (json!(false), Value::Null),
        (json!("raise"), json!("OSError: the disk is gone")),
        (
            json!("hang"),
            json!("the plugin did not answer within 0.3 s"),
        ),
        (
            json!([]),
            json!("check_health must give a dict or a boolean"),
        ),
    ] {
        let give = json!({ "answer": answer });
        app.user("ann").execute("body", &give).await.expect_ok();
        let unwell = health("unhealthy").await;
        assert_eq!(unwell.get("error").cloned().unwrap_or_default(), said);
        let give = json!({ "answer": true });
        app.user("ann").execute("body", &give).await.expect_ok();
        health("healthy").await;
    }
    let shown = app.admin().get("/api/plugins/body").await.expect_ok();
    assert_eq!(shown["health"]["status"], "healthy");
    let silent = registry(&app.admin(), "silent", "health").await;
    assert_eq!(silent["status"], "unknown");
}
