//! What works and is likely not meant is said in a sentence: in the log, to admins, and in development mode in
//! the answer.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    data::with_sdk,
    support::{Builder, TestApp, within},
};

const LIMIT: Duration = Duration::from_secs(60);
const HEADER: &str = "x-mozaiks-finding";

/// Holds the loop, as a plugin does that sleeps in `async def`, until it is let go.
const BLOCKS: &str = r#"import os, time


async def execute(data):
    while not os.path.exists(data["until"]):
        time.sleep(0.01)
    return {}
"#;
const NONE: &str = "async def execute(data):\n    data[\"forgotten\"] = 1\n";
const FINE: &str = "async def execute(data):\n    return {}\n";

fn gateway() -> Builder {
    with_sdk()
        .plugin("none", NONE)
        .plugin("fine", FINE)
        .file("bare/logic.py", FINE)
        .file("Tasks/logic.py", FINE)
        .env("MOZAIKS_LOOP_WARNING_SECONDS", "0.05")
}

async fn findings(app: &TestApp, plugin: &str) -> Value {
    let path = format!("/api/plugins/{plugin}");
    let whole = app.admin().get(&path).await.expect_ok();
    assert!(app.user("u").get(&path).await.expect_ok()["findings"].is_null());
    whole["findings"].clone()
}

#[tokio::test]
async fn none_in_the_place_of_a_dict() {
    let mut app = gateway().dev().start().await;
    let user = app.user("u");
    for _ in 0..2 {
        let answer = user.execute("none", &json!({})).await;
        let error = answer.expect_error(500, "PLUGIN_BAD_RESULT");
        let hint = error["details"]["hint"].as_str().unwrap();
        assert!(hint.starts_with("execute returned None"), "{error}");
        let told = answer.header(HEADER).unwrap();
        assert!(told.starts_with("execute returned None"), "{told}");
    }
    let found = findings(&app, "none").await;
    let [one] = found.as_array().unwrap().as_slice() else {
        panic!("{found}");
    };
    assert_eq!(
        (&one["kind"], &one["count"]),
        (&json!("returned_none"), &json!(2))
    );
    app.log_line(&["plugin.returned_none", "execute returned None"])
        .await;
    let counted = "mozaiks_plugin_findings_total{kind=\"returned_none\"}";
    assert_eq!(app.metric(counted).await, 2.0);
    // Nobody else's.
    let answer = user.execute("fine", &json!({})).await;
    assert_eq!(answer.header(HEADER), None);
    // A new load has none of it.
    let logic = app.plugins_dir().join("none/logic.py");
    std::fs::write(logic, FINE).unwrap();
    within(LIMIT, async {
        while user.execute("none", &json!({})).await.status != 200 {}
    })
    .await;
    assert_eq!(findings(&app, "none").await, json!([]));
}

#[tokio::test]
async fn a_blocking_call_is_named_with_its_place() {
    for isolation in ["inline", "dedicated"] {
        let dir = TempDir::new().unwrap();
        let manifest = json!({"isolation": isolation}).to_string();
        let mut app = gateway()
            .dev()
            .data_dir(dir.path())
            .plugin("blocks", BLOCKS)
            .file("blocks/plugin.json", &manifest)
            .start()
            .await;
        // Where the plugin may look in both modes.
        let own = dir.path().join("plugins/blocks");
        std::fs::create_dir_all(&own).unwrap();
        let until = own.canonicalize().unwrap().join("go");
        let (user, body) = (app.user("u"), json!({"until": until}));
        let call = tokio::spawn(async move { user.execute("blocks", &body).await });
        app.log_line(&["plugin.holds_loop"]).await;
        std::fs::write(&until, "").unwrap();
        let answer = call.await.unwrap();
        answer.expect_ok();
        let told = answer.header(HEADER).unwrap();
        assert!(
            told.starts_with("a blocking call at logic.py:6 holds the event loop"),
            "{isolation}: {told}"
        );
        let found = findings(&app, "blocks").await;
        assert_eq!(found[0]["kind"], "blocking_call", "{isolation}: {found}");
    }
}

#[tokio::test]
async fn a_folder_without_init_or_with_capital_letters() {
    let mut app = gateway().dev().start().await;
    app.log_line(&["there is no __init__.py", "bare"]).await;
    let found = findings(&app, "bare").await;
    assert_eq!(found[0]["kind"], "missing_init", "{found}");
    let answer = app.user("u").execute("bare", &json!({})).await;
    answer.expect_ok();
    let told = answer.header(HEADER).unwrap();
    assert!(told.starts_with("there is no __init__.py"), "{told}");

    app.log_line(&["plugin.skipped", "Tasks", "rename the directory to"])
        .await;
    for name in ["tasks", "Tasks"] {
        let called = app.user("u").execute(name, &json!({})).await;
        let shown = app.admin().get(&format!("/api/plugins/{name}")).await;
        for answer in [called, shown] {
            let error = answer.expect_error(404, "PLUGIN_NOT_FOUND");
            let hint = error["details"]["hint"].as_str().unwrap();
            assert!(hint.starts_with("the folder \"Tasks\" is passed over: "));
            assert!(
                hint.ends_with("rename the directory to \"tasks\""),
                "{hint}"
            );
        }
    }
    // One that comes while the gateway runs.
    let later = app.plugins_dir().join("Later");
    std::fs::create_dir(&later).unwrap();
    std::fs::write(later.join("logic.py"), FINE).unwrap();
    app.log_line(&["plugin.skipped", "Later"]).await;
}

#[tokio::test]
async fn users_of_a_gateway_in_production_are_told_nothing() {
    let app = gateway().start().await;
    let answer = app.user("u").execute("none", &json!({})).await;
    let error = answer.expect_error(500, "PLUGIN_BAD_RESULT");
    assert!(error["details"].is_null(), "{error}");
    assert_eq!(answer.header(HEADER), None);
    let answer = app.user("u").execute("tasks", &json!({})).await;
    let error = answer.expect_error(404, "PLUGIN_NOT_FOUND");
    assert!(error["details"].is_null(), "{error}");
    let shown = app.admin().get("/api/plugins/tasks").await;
    let error = shown.expect_error(404, "PLUGIN_NOT_FOUND");
    assert!(error["details"]["hint"].is_string(), "{error}");
    assert_eq!(findings(&app, "none").await[0]["kind"], "returned_none");
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_named_with_why() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let mut app = gateway()
        .env(
            "MOZAIKS_DATABASE_URI",
            &format!("mongodb://me:hidden@{address}/"),
        )
        .start()
        .await;
    let refused = format!("{address}: Connection refused");
    let line = app
        .log_line(&["the database does not answer", &refused])
        .await;
    assert!(!line.contains("hidden"), "{line}");
}
