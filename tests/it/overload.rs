//! Where calls wait for too long, further ones are refused at once; others' calls go on.

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::TestApp;

/// One call at a time, until there is a file.
const GATE: &str = "import os, time\ndef execute(data):\n    while not os.path.exists(data['go']):\n\
    \x20       time.sleep(0.01)\n    return {}\n\
    def on_load(ctx):\n    ctx.register_route('GET', '/fine', lambda request: {})\n";

#[tokio::test]
async fn a_queue_that_stands_is_closed_until_it_is_short_again() {
    let dir = tempfile::TempDir::new().unwrap();
    let go = json!({ "go": dir.path().join("go") });
    let app = TestApp::builder()
        .plugins(&["echo"])
        .plugin("gate", GATE)
        .env("MOZAIKS_PYTHON_THREADS_PER_PLUGIN", "1")
        .env("MOZAIKS_PLUGIN_TIMEOUT_SECONDS", "300")
        // Any request takes longer.
        .env("MOZAIKS_PLUGIN_QUEUE_DELAY_SECONDS", "0.000001")
        .env("MOZAIKS_PLUGIN_QUEUE_INTERVAL_SECONDS", "0")
        .env("MOZAIKS_GATEWAY_QUEUE_DELAY_SECONDS", "0.000001")
        .env("MOZAIKS_GATEWAY_QUEUE_INTERVAL_SECONDS", "0")
        .start()
        .await;
    let user = app.user("ann");
    let mut held = JoinSet::new();
    for held_before in 0..2 {
        let (user, go) = (user.clone(), go.clone());
        held.spawn(async move { user.execute("gate", &go).await });
        let series = [
            "mozaiks_plugin_calls_running",
            "mozaiks_plugin_calls_waiting",
        ];
        let series = format!("{}{{plugin=\"gate\"}}", series[held_before]);
        app.metric_reaches(&series, |count| count >= 1.0).await;
    }
    for _ in 0..3 {
        let refused = user.execute("gate", &go).await;
        refused.expect_error(503, "OVERLOADED");
        assert_eq!(refused.header("retry-after"), Some("1"));
        let route = user.get("/api/plugins/gate/fine").await;
        route.expect_error(503, "OVERLOADED");
    }
    // Not even read: what is no JSON is refused alike.
    let unread = user.execute_raw("gate", "{").await;
    unread.expect_error(503, "OVERLOADED");
    for _ in 0..3 {
        user.execute("echo", &json!({})).await.expect_ok();
    }
    let refused = "mozaiks_plugin_calls_refused_total{plugin=\"gate\",reason=\"plugin_delay\"}";
    assert_eq!(app.metric(refused).await, 7.0);

    std::fs::write(dir.path().join("go"), "").unwrap();
    while let Some(answer) = held.join_next().await {
        answer.unwrap().expect_ok();
    }
    user.execute("gate", &go).await.expect_ok();
    user.get("/api/plugins/gate/fine").await.expect_ok();
}
