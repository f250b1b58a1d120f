//! Notifications through the real gateway, on its embedded store, with real channels.

mod channels;
mod hooked;
mod jobs;
mod life;
mod preferences;
mod sinks;

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    realtime::Socket,
    support::{Answer, Builder, Claims, TestApp, TestClient, within},
};

const LIMIT: Duration = Duration::from_secs(60);

/// Calls any method of the three managers.
const TELLER: &str = r#"
from core.notifications import broadcast_service, digest_scheduler
from core.notifications_manager import notifications_manager
from mozaiks.errors import HostError

MANAGERS = {"broadcast": broadcast_service, "digest": digest_scheduler}

async def execute(data):
    manager = MANAGERS.get(data.get("on"), notifications_manager)
    try:
        return {"result": await getattr(manager, data["call"])(**data["arguments"])}
    except HostError as error:
        return {"error": str(error), "error_code": error.error_code}
"#;

/// A gateway with the plugin `teller`, whose workers look often.
fn gateway() -> Builder {
    TestApp::builder()
        .plugin("teller", TELLER)
        .env("MOZAIKS_JOB_POLL_SECONDS", "50ms")
        .env("MOZAIKS_DELIVERY_RETRY_SECONDS", "50ms")
}

/// Has the plugin call a method.
async fn call(client: &TestClient, on: &str, method: &str, arguments: Value) -> Answer {
    let data = json!({ "on": on, "call": method, "arguments": arguments });
    client.execute("teller", &data).await
}

/// Has the plugin tell a user something of type `t`; `more` are further arguments.
async fn tell(client: &TestClient, user: &str, title: &str, more: Value) -> Answer {
    let mut arguments =
        json!({ "user_id": user, "notification_type": "t", "title": title, "message": "M" });
    for (name, value) in more.as_object().unwrap() {
        arguments[name] = value.clone();
    }
    call(client, "", "create_notification", arguments).await
}

async fn told(client: &TestClient, user: &str, title: &str, more: Value) -> Value {
    tell(client, user, title, more).await.expect_ok()["result"].clone()
}

fn titles(page: &Value) -> Vec<&str> {
    let list = page["notifications"].as_array().unwrap();
    list.iter()
        .map(|one| one["title"].as_str().unwrap())
        .collect()
}

/// Asks until the answer is as wanted.
async fn until(client: &TestClient, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let asking = async {
        loop {
            last = client.get(path).await.expect_ok();
            if wanted(&last) {
                return;
            }
        }
    };
    if tokio::time::timeout(LIMIT, asking).await.is_err() {
        panic!("{path} stays {last}");
    }
    last
}

/// Names an address in the preferences and asks for its code.
async fn ask_code(client: &TestClient, contact: &str, address: &str) {
    let wish = json!({ contact: address });
    post(client, "/api/notifications/preferences", wish)
        .await
        .expect_ok();
    let path = "/api/notifications/preferences/code";
    let asked = post(client, path, json!({ "contact": contact })).await;
    assert_eq!(asked.expect_ok()["confirmed"], false);
}

/// Gives the code in a text back.
async fn give_code(client: &TestClient, contact: &str, text: &str) {
    let runs = |c: char| !c.is_ascii_digit();
    let code = text.split(runs).find(|run| run.len() == 8);
    let body = json!({ "contact": contact, "code": code.unwrap() });
    let given = post(client, "/api/notifications/preferences/confirm", body).await;
    assert_eq!(given.expect_ok()["confirmed"], true);
}

async fn post(client: &TestClient, path: &str, body: Value) -> Answer {
    Answer::of(client.request(reqwest::Method::POST, path).json(&body)).await
}

async fn delete(client: &TestClient, path: &str) -> Answer {
    Answer::of(client.request(reqwest::Method::DELETE, path)).await
}
