//! Functions that plugins register, called within the same limits as `execute` and for an app.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    data::with_sdk,
    realtime::Socket,
    support::{Claims, TestApp, within},
};

/// Its handlers say that they have begun, and end when they are told to.
const PATIENT: &str = r#"
import asyncio, os
import _mozaiks_native as native

async def wait(data, connection_id=None):
    open(os.path.join(data["dir"], "began"), "w").close()
    while not os.path.exists(os.path.join(data["dir"], "go")):
        await asyncio.sleep(0.01)
    open(os.path.join(data["dir"], "ended"), "w").close()

native.register_handler("event", b'{"pattern": "patient:asked"}', wait)
native.register_handler("websocket", b'{"type": "patient.wait"}', wait)

async def execute(data):
    if "dir" in data:
        import json
        native.publish("patient:asked", json.dumps({"dir": data["dir"]}).encode())
    return {}
"#;
const ONE_AT_A_TIME: &str = r#"{"max_concurrency": 1}"#;

async fn exists(path: &Path) {
    within(Duration::from_secs(60), async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn calls(plugin: &str, kind: &str, outcome: &str) -> String {
    format!(
        "mozaiks_plugin_calls_total{{plugin=\"{plugin}\",kind=\"{kind}\",outcome=\"{outcome}\"}}"
    )
}

#[tokio::test]
async fn a_running_handler_counts_against_its_plugins_limit() {
    let app = TestApp::builder()
        .plugin("patient", PATIENT)
        .file("patient/plugin.json", ONE_AT_A_TIME)
        .start()
        .await;
    let dir = TempDir::new().unwrap();
    let user = app.user("ada");
    let asked = user.execute("patient", &json!({ "dir": dir.path() })).await;
    asked.expect_ok();
    exists(&dir.path().join("began")).await;
    let refused = user.execute("patient", &json!({})).await;
    refused.expect_error(503, "OVERLOADED");
    let mut socket = Socket::open(&app, "ada").await;
    socket
        .say(&json!({"type": "patient.wait", "dir": "/"}))
        .await;
    assert_eq!(socket.message().await["error_code"], "OVERLOADED");
    std::fs::write(dir.path().join("go"), "").unwrap();
    app.metric_reaches(&calls("patient", "event", "ok"), |count| count == 1.0)
        .await;
    user.execute("patient", &json!({})).await.expect_ok();
    assert_eq!(app.metric(&calls("patient", "execute", "ok")).await, 2.0);
}

#[tokio::test]
async fn the_gateway_does_not_end_before_its_handlers() {
    let mut app = TestApp::builder().plugin("patient", PATIENT).start().await;
    let (of_event, of_message) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let user = app.user("ada");
    let asked = user
        .execute("patient", &json!({ "dir": of_event.path() }))
        .await;
    asked.expect_ok();
    let mut socket = Socket::open(&app, "ada").await;
    socket
        .say(&json!({ "type": "patient.wait", "dir": of_message.path() }))
        .await;
    for dir in [&of_event, &of_message] {
        exists(&dir.path().join("began")).await;
    }
    app.signal("TERM");
    app.log_line(&["draining"]).await;
    assert_eq!(socket.close_code().await, 1001);
    for dir in [&of_event, &of_message] {
        std::fs::write(dir.path().join("go"), "").unwrap();
    }
    assert_eq!(app.ended().await.code(), Some(0));
    for dir in [&of_event, &of_message] {
        assert!(dir.path().join("ended").exists());
    }
}

/// Notes who comes in the database of the app that they come to, and what an import may ask for.
const GUESTS: &str = r#"
import _mozaiks_native as native
from core.config.database import db
from core.event_bus import event_bus

AT_IMPORT = {}


def attempt(name, work):
    try:
        work()
        AT_IMPORT[name] = "allowed"
    except native.HostError as error:
        AT_IMPORT[name] = f"{error.code}: {error.message}"


def request(operation):
    return lambda: native.request_blocking(operation, b'{"user_id": "ada", "message": {}}')


def query(operation):
    return lambda: native.query(operation, b'{"user_id": "ada", "event": "a:b"}')


attempt("publish", lambda: native.publish("guests:came", b"{}"))
for operation in ("db.command", "ws.send_to_user", "ws.broadcast", "settings.get_all",
                  "notifications.count"):
    attempt(operation, request(operation))
for operation in ("ws.is_connected", "ws.connected_users", "events.history", "events.stats"):
    attempt(operation, query(operation))


@event_bus.subscribe("user:connected")
async def came(data):
    caller = native.caller()
    await db["guests"].insert_one(
        {"name": data["user_id"], "app": caller.app_id, "user": caller.user_id})


async def execute(data):
    if data.get("do") == "at_import":
        return {"at_import": AT_IMPORT}
    found = await db["guests"].find({}, {"_id": 0}).to_list(None)
    return {"guests": found}
"#;

fn of_app(app: &str, user: &str) -> Claims {
    Claims::user(user).with("app_id", app)
}

async fn guests(app: &TestApp, app_id: &str) -> Value {
    let client = app.with_claims(&of_app(app_id, "reader"));
    let answer = client.execute("guests", &json!({})).await;
    answer.expect_ok()["guests"].clone()
}

#[tokio::test]
async fn an_event_without_a_user_is_handled_in_its_app() {
    let app = with_sdk()
        .env("MOZAIKS_APP_ID", "*")
        .plugin("guests", GUESTS)
        .start()
        .await;
    let _ada = Socket::open_as(&app, &of_app("a", "ada"), "/ws").await;
    let _bob = Socket::open_as(&app, &of_app("b", "bob"), "/ws").await;
    app.metric_reaches(&calls("guests", "event", "ok"), |count| count == 2.0)
        .await;
    for (app_id, name) in [("a", "ada"), ("b", "bob")] {
        assert_eq!(
            guests(&app, app_id).await,
            json!([{"name": name, "app": app_id, "user": null}])
        );
    }
    assert_eq!(guests(&app, "c").await, json!([]));
}

#[tokio::test]
async fn work_that_belongs_to_no_app_is_refused_where_there_are_many() {
    let refused = |app: TestApp| async move {
        let client = app.with_claims(&of_app("a", "ada"));
        let answer = client.execute("guests", &json!({"do": "at_import"})).await;
        let asked = answer.expect_ok()["at_import"].clone();
        let asked: Vec<_> = asked.as_object().unwrap().clone().into_iter().collect();
        assert_eq!(asked.len(), 10);
        asked
            .into_iter()
            .filter(|(_, said)| said.as_str().unwrap().contains("belongs to none"))
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    let many = with_sdk().env("MOZAIKS_APP_ID", "*");
    let many = many.plugin("guests", GUESTS).start().await;
    assert_eq!(refused(many).await.len(), 10);
    let one = with_sdk().env("MOZAIKS_APP_ID", "a");
    let one = one.plugin("guests", GUESTS).start().await;
    assert_eq!(refused(one).await, Vec::<String>::new());
}
