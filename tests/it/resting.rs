//! Workers that nobody needs end, and come back with the next call.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, TestApp, within},
};

const SOON: Duration = Duration::from_secs(60);

/// Says where it runs, and can leave something running.
const SLEEPER: &str = r#"
import asyncio, os

LEFT = set()

async def wait_for(path):
    while not os.path.exists(path):
        await asyncio.sleep(0.01)

async def execute(data):
    if "until" in data:
        task = asyncio.create_task(wait_for(data["until"]))
        LEFT.add(task)
        task.add_done_callback(LEFT.discard)
    return {"pid": os.getpid()}

def on_load(ctx):
    ctx.register_route("GET", "/who", lambda request: {"pid": os.getpid()})

async def on_disable(ctx):
    await ctx.db["marks"].insert_one({"disabled": os.getpid()})
"#;

const READER: &str = "from core.config.database import db\n\n\n\
    async def execute(data):\n    return {\"marks\": await db[\"marks\"].count_documents({})}\n";

fn gateway() -> Builder {
    with_sdk()
        .plugin("sleeper", SLEEPER)
        .file(
            "sleeper/plugin.json",
            r#"{"name": "sleeper", "isolation": "dedicated"}"#,
        )
        .plugin("reader", READER)
        .env("MOZAIKS_WORKER_IDLE_SECONDS", "0.2")
}

async fn isolation(app: &TestApp) -> Value {
    let path = "/api/plugins/registry/sleeper/limits";
    let limits = app.admin().get(path).await.expect_ok();
    limits["isolation"].clone()
}

async fn rests(app: &TestApp) {
    within(SOON, async {
        while isolation(app).await["resting"] != true {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn pid(app: &TestApp) -> Value {
    let answer = app.user("ann").execute("sleeper", &json!({})).await;
    answer.expect_ok()["pid"].clone()
}

#[tokio::test]
async fn a_worker_without_calls_ends_and_the_next_call_has_another() {
    let app = gateway().start().await;
    let first = pid(&app).await;
    rests(&app).await;
    assert_eq!(isolation(&app).await["workers"], json!([]));
    // What it has registered stands.
    let who = app.user("ann").get("/api/plugins/sleeper/who").await;
    let second = who.expect_ok()["pid"].clone();
    assert_ne!(first, second);
    assert_eq!(isolation(&app).await["restarts"], 0, "nothing has crashed");
    rests(&app).await;
    // Its own functions are called in the process that they were made for.
    let path = "/api/plugins/sleeper/enable";
    let disable = json!({"enabled": false});
    let admin = app.admin();
    let disabled = Answer::of(admin.request(Method::POST, path).json(&disable));
    disabled.await.expect_ok();
    let marks = app.user("ann").execute("reader", &json!({})).await;
    assert_eq!(marks.expect_ok()["marks"], 1);
}

#[tokio::test]
async fn calls_that_come_together_to_a_resting_plugin_all_succeed() {
    let app = gateway().start().await;
    for _ in 0..5 {
        rests(&app).await;
        let calls = (0..16).map(|_| pid(&app));
        let pids = futures_util::future::join_all(calls).await;
        assert!(pids.windows(2).all(|two| two[0] == two[1]), "{pids:?}");
    }
}

#[tokio::test]
async fn work_that_goes_on_after_its_call_is_no_rest() {
    let app = gateway().start().await;
    // A worker sees its own plugin's files only.
    let until = app.plugins_dir().join("sleeper").join("until");
    let begin = json!({"until": until});
    let begun = app.user("ann").execute("sleeper", &begin).await;
    let first = begun.expect_ok()["pid"].clone();
    // Longer than it takes to rest.
    let end = tokio::time::Instant::now() + Duration::from_secs(1);
    while tokio::time::Instant::now() < end {
        assert_ne!(isolation(&app).await["resting"], true);
    }
    std::fs::write(&until, "").unwrap();
    rests(&app).await;
    assert_ne!(pid(&app).await, first);
}

/// A stored plugin's code does not change: what it said of itself the first time is known the next.
#[tokio::test]
async fn a_stored_plugin_needs_no_worker_before_its_first_call() {
    let data = tempfile::tempdir().unwrap();
    let gateway = || {
        with_sdk()
            .data_dir(data.path())
            .env("MOZAIKS_DATABASE_PLUGINS", "true")
    };
    let mut app = gateway().start().await;
    let admin = app.admin();
    let send = async |method: Method, path: &str, body: Value| {
        Answer::of(admin.request(method, path).json(&body)).await
    };
    let made = send(
        Method::POST,
        "/api/plugins/registry",
        json!({"name": "quiet"}),
    )
    .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (logic, who) = ("async def execute(data)", "def who(request)");
    let code = |head| format!("import uuid\n\n\n{head}:\n    return {{\"of\": id(uuid)}}\n");
    for file in [
        json!({"path": "logic.py", "content": code(logic)}),
        json!({"path": "controllers/who.py", "content": code(who), "metadata": {"method": "GET", "path": "/who"}}),
    ] {
        let saved = send(Method::PUT, "/api/plugins/registry/quiet/files", file).await;
        assert_eq!(saved.expect_ok()["saved"], true, "{}", saved.text);
    }
    let activated = send(
        Method::POST,
        "/api/plugins/registry/quiet/activate",
        json!({}),
    );
    activated.await.expect_ok();
    let called = app.user("ann").execute("quiet", &json!({})).await;
    called.expect_ok();
    app.signal("TERM");
    app.ended().await;
    let app = gateway().start().await;
    let path = "/api/plugins/registry/quiet/limits";
    let isolation = app.admin().get(path).await.expect_ok()["isolation"].clone();
    assert_eq!(
        (&isolation["resting"], &isolation["workers"]),
        (&json!(true), &json!([])),
        "{isolation}"
    );
    // A route as well, which no worker has registered yet.
    let calls = (0..8).map(async |number| {
        let ann = app.user("ann");
        let called = match number % 2 {
            0 => ann.get("/api/plugins/quiet/who").await,
            _ => ann.execute("quiet", &json!({})).await,
        };
        called.expect_ok()["of"].clone()
    });
    let processes = futures_util::future::join_all(calls).await;
    assert!(
        processes.windows(2).all(|two| two[0] == two[1]),
        "{processes:?}"
    );
    let after = app.admin().get(path).await.expect_ok()["isolation"].clone();
    assert_eq!(
        after["workers"].as_array().map(Vec::len),
        Some(1),
        "{after}"
    );
}
