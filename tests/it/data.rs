//! Plugins and their data: the SDK inside the real gateway, on its embedded store.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Builder, TestApp, TestClient, within};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A gateway whose Python has PyMongo and this repository's SDK.
fn with_sdk() -> Builder {
    let python =
        std::env::var("TEST_PYTHON").unwrap_or_else(|_| format!("{ROOT}/.venv/bin/python"));
    assert!(
        Path::new(&python).exists(),
        "{python} is missing: make a venv with pymongo, or set TEST_PYTHON"
    );
    TestApp::builder()
        .env("MOZAIKS_PYTHON", &python)
        .env("MOZAIKS_SDK_PATH", &format!("{ROOT}/python-sdk"))
}

fn with_notes() -> Builder {
    let logic =
        std::fs::read_to_string(format!("{ROOT}/runtime/ai/plugins/notes/logic.py")).unwrap();
    let manifest =
        std::fs::read_to_string(format!("{ROOT}/runtime/ai/plugins/notes/plugin.json")).unwrap();
    with_sdk()
        .plugin("notes", &logic)
        .file("notes/plugin.json", &manifest)
}

async fn notes(client: &TestClient, data: Value) -> Answer {
    client.execute("notes", &data).await
}

/// Asks until the answer is as wanted.
async fn until(client: &TestClient, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    within(std::time::Duration::from_secs(15), async {
        loop {
            let body = client.get(path).await.expect_ok();
            if wanted(&body) {
                return body;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_plugin_keeps_documents_of_its_users_apart() {
    let app = with_notes().start().await;
    let (ann, bob) = (app.user("ann"), app.user("bob"));
    let made = notes(
        &ann,
        json!({ "action": "create", "title": "Milk", "tags": ["food"] }),
    )
    .await;
    let id = made.expect_ok()["id"].clone();
    let got = notes(&ann, json!({ "action": "get", "note_id": id }))
        .await
        .expect_ok();
    assert_eq!(got["note"]["title"], "Milk");
    assert_eq!(got["note"]["id"], id);
    notes(
        &bob,
        json!({ "action": "get", "note_id": id, "user_id": "ann" }),
    )
    .await
    .expect_domain_failure(404, "NOT_FOUND");
    let found = notes(&ann, json!({ "action": "search", "query": "FOOD" }))
        .await
        .expect_ok();
    assert_eq!(found["count"], 1);
    let listed = notes(&bob, json!({ "action": "list" })).await.expect_ok();
    assert_eq!(listed["total"], 0);
    notes(&ann, json!({ "action": "delete", "note_id": id }))
        .await
        .expect_ok();
    let listed = notes(&ann, json!({ "action": "list" })).await.expect_ok();
    assert_eq!(listed["total"], 0);
}

#[tokio::test]
async fn settings_over_http_and_in_the_plugin_are_the_same() {
    let app = with_notes().start().await;
    let ann = app.user("ann");
    let path = "/api/plugin-settings/notes";
    assert_eq!(
        ann.get(path).await.expect_ok(),
        json!({ "plugin": "notes", "settings": {} })
    );
    let put = |body: Value| Answer::of(ann.request(Method::PUT, path).json(&body));
    put(json!({ "settings": { "page_size": 7 } }))
        .await
        .expect_ok();
    let seen = notes(&ann, json!({ "action": "get_settings" }))
        .await
        .expect_ok();
    assert_eq!(seen["settings"]["page_size"], 7);

    let saved = notes(
        &ann,
        json!({ "action": "save_settings", "settings": { "sort_by": "title" } }),
    );
    saved.await.expect_ok();
    assert_eq!(
        ann.get(path).await.expect_ok()["settings"],
        json!({ "sort_by": "title" })
    );
    assert_eq!(
        app.user("bob").get(path).await.expect_ok()["settings"],
        json!({})
    );

    let refused = put(json!({ "settings": { "page_size": "many" } })).await;
    let body = refused.expect_error(422, "VALIDATION_ERROR");
    assert_eq!(body["details"]["problems"][0]["path"], "/page_size");
    let inside = json!({ "action": "save_settings", "settings": { "page_size": 0 } });
    notes(&ann, inside)
        .await
        .expect_domain_failure(422, "VALIDATION_ERROR");
    put(json!({ "settings": 7 }))
        .await
        .expect_error(400, "INVALID_REQUEST");
    ann.get("/api/plugin-settings/nothing")
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    app.anonymous()
        .get(path)
        .await
        .expect_error(401, "AUTH_REQUIRED");
}

const LISTENER: &str = r#"
from core.event_bus import event_bus, on_event
from core.config.database import db

heard = []

@on_event("notes:*")
async def hear(data):
    heard.append(data)

@on_event("listener:broken")
def broken(data):
    raise ValueError("on purpose")

async def execute(data):
    if data["action"] == "publish":
        event_bus.publish(data["event"], {"n": data["n"]})
        return {}
    if data["action"] == "history":
        return {"history": event_bus.get_history(data["event"])}
    return {"heard": heard}
"#;

#[tokio::test]
async fn events_reach_subscribers_and_failures_become_dead_letters() {
    let app = with_notes().plugin("listener", LISTENER).start().await;
    let (ann, admin) = (app.user("ann"), app.admin());
    let created = notes(&ann, json!({ "action": "create", "title": "Milk" }))
        .await
        .expect_ok();
    let heard = within(std::time::Duration::from_secs(15), async {
        loop {
            let answer = ann
                .execute("listener", &json!({ "action": "heard" }))
                .await
                .expect_ok();
            if answer["heard"]
                .as_array()
                .is_some_and(|heard| !heard.is_empty())
            {
                return answer;
            }
        }
    })
    .await;
    assert_eq!(
        heard["heard"][0],
        json!({ "user_id": "ann", "note_id": created["id"] })
    );

    let publish = json!({ "action": "publish", "event": "listener:broken", "n": 1 });
    ann.execute("listener", &publish).await.expect_ok();
    let history = json!({ "action": "history", "event": "listener:broken" });
    let history = ann.execute("listener", &history).await.expect_ok();
    assert_eq!(history["history"][0]["data"], json!({ "n": 1 }));

    let letters = "/__mozaiks/admin/events/dead-letters";
    ann.get(letters).await.expect_error(403, "FORBIDDEN");
    let kept = until(&admin, letters, |body| body["total"] == 1).await;
    let letter = &kept["dead_letters"][0];
    assert_eq!(letter["subscriber"], "listener");
    assert_eq!(letter["attempts"], 4);
    assert_eq!(letter["event"]["user_id"], "ann");
    assert!(
        letter["error"].as_str().unwrap().contains("on purpose"),
        "{letter}"
    );

    let stats = admin.get("/__mozaiks/admin/events/stats").await.expect_ok();
    assert_eq!(stats["delivery_failures"], 1);
    assert_eq!(stats["events_by_type"]["notes:note_created"], 1);
    assert!(stats["events_by_type"]["plugin_executed"].as_u64() > Some(0));
    let path = "/__mozaiks/admin/events/history?event=plugin_executed&limit=1";
    let executed = admin.get(path).await.expect_ok();
    assert_eq!(executed["events"][0]["data"]["plugin"], "listener");

    let one = format!("{letters}/{}", letter["id"]);
    Answer::of(admin.request(Method::DELETE, &one))
        .await
        .expect_ok();
    Answer::of(admin.request(Method::DELETE, &one))
        .await
        .expect_error(404, "NOT_FOUND");
    Answer::of(admin.request(Method::POST, &format!("{one}/retry")))
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn without_a_database_the_gateway_says_so_and_goes_on() {
    let app = with_notes()
        .env(
            "MOZAIKS_DATABASE_URI",
            "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300",
        )
        .env("MOZAIKS_LOG", "info")
        .start()
        .await;
    assert_eq!(app.anonymous().get("/health").await.status, 200);
    assert_eq!(app.anonymous().get("/ready").await.status, 503);
    app.user("ann")
        .get("/api/plugin-settings/notes")
        .await
        .expect_error(503, "DATABASE_UNAVAILABLE");
}

const STUB_CHECKER: &str = r#"
import ast
import inspect
import _mozaiks_native as native

async def execute(data):
    problems = []
    for node in ast.parse(data["stub"]).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        real = getattr(native, node.name, None)
        if real is None:
            problems.append(f"{node.name} does not exist")
        elif isinstance(node, ast.ClassDef):
            said = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
            problems += [f"{node.name}.{name} is missing" for name in said if not hasattr(real, name)]
        else:
            said = [argument.arg for argument in node.args.args]
            found = list(inspect.signature(real).parameters)
            if said != found:
                problems.append(f"{node.name} takes {found}, not {said}")
    return {"problems": problems, "checked": len(ast.parse(data["stub"]).body)}
"#;

#[tokio::test]
async fn the_stub_of_the_native_module_tells_the_truth() {
    let path = format!("{ROOT}/python-sdk/_mozaiks_native-stubs/__init__.pyi");
    let stub = std::fs::read_to_string(path).unwrap();
    let app = with_sdk().plugin("checker", STUB_CHECKER).start().await;
    let checked = app
        .user("ann")
        .execute("checker", &json!({ "stub": stub }))
        .await
        .expect_ok();
    assert_eq!(checked["problems"], json!([]));
    assert!(checked["checked"].as_u64() > Some(10));
}
