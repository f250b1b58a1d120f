//! One gateway for many apps: `on_enable` and `on_disable` run once for each of them.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    realtime::Socket,
    support::{Answer, Builder, Claims, DocstoreProcess, TestApp, TestClient, within},
};

const SOON: Duration = Duration::from_secs(60);

/// Writes down each step in the database of the step's app, and fails where it is told to. What it
/// registers it registers in each app again.
const LEDGER: &str = r#"
import time

from core.event_bus import event_bus
from core.config.database import db
from mozaiks.plugin import PluginContext

LOAD = "one"

async def note(ctx, step):
    at = time.time_ns()
    await ctx.db["steps"].insert_one({"step": step, "app": ctx.app_id, "load": LOAD, "at": at})

async def heard(data):
    await db["heard"].insert_one(data)

async def steps(request):
    found = await db["steps"].find({}, {"_id": 0}).sort("at", 1).to_list()
    return {"steps": [f"{one['step']} {one['app']} {one['load']}" for one in found]}

async def count_heard(request):
    return {"heard": await db["heard"].count_documents({})}

async def round_it(request, call_next):
    answer = await call_next(request)
    if isinstance(answer, dict) and "rounds" in answer:
        answer["rounds"] += 1
    return answer

async def echo(data, connection_id):
    from core.websocket_manager import websocket_manager
    await websocket_manager.send_to_connection(connection_id, {"type": "echoed", "app": data["app_id"]})

async def work(ctx):
    await note(ctx, "job")

async def on_load(ctx):
    assert ctx.app_id is None

async def on_enable(ctx):
    if await ctx.db["broken"].find_one({}):
        raise ValueError("broken here: " + ctx.app_id)
    await ctx.set_storage("enabled", ctx.app_id)
    ctx.register_route("GET", "/steps", steps)
    ctx.register_route("GET", "/heard", count_heard)
    ctx.register_middleware(round_it)
    ctx.on_websocket_message("ledger.echo", echo)
    ctx.schedule_task("0 0 1 1 *", work)
    ctx.schedule_task("0 0 2 1 *", lambda ctx: None)
    ctx.on("ledger:told", heard)
    ctx.on("ledger:told", heard, priority=20)
    event_bus.subscribe("ledger:told", heard)
    await note(ctx, "enable")

async def on_disable(ctx):
    await note(ctx, "disable")

async def execute(data):
    if data.get("action") == "break":
        await db["broken"].insert_one({})
    if data.get("action") == "mend":
        await db["broken"].delete_many({})
    if data.get("action") == "tell":
        event_bus.publish("ledger:told", {})
    return {"app": data["app_id"], "rounds": 0}
"#;

/// Enabled after the ledger has been, in each app: says what the ledger's steps have been without it.
const READER: &str = r#"
from core.config.database import db

async def execute(data):
    if data.get("action") == "break":
        await db["broken"].insert_one({})
    if data.get("action") == "mend":
        await db["broken"].delete_many({})
    found = await db["steps"].find({}, {"_id": 0}).sort("at", 1).to_list()
    return {"steps": [f"{one['step']} {one['app']} {one['load']}" for one in found]}
"#;

fn many(manifest: &str) -> Builder {
    with_sdk()
        .plugin("ledger", LEDGER)
        .file("ledger/plugin.json", manifest)
        .plugin("reader", READER)
        .env("MOZAIKS_APP_ID", "*")
}

fn client(app: &TestApp, app_id: &str, role: &str) -> TestClient {
    let claims = Claims::user("ann").with("app_id", app_id);
    app.with_claims(&claims.with("roles", vec![role]))
}

async fn post(client: &TestClient, path: &str, body: Value) -> Answer {
    let request = client.request(Method::POST, &format!("/api/plugins/ledger/{path}"));
    Answer::of(request.json(&body)).await
}

/// What the ledger has done in the client's app, without having it do anything.
async fn steps(client: &TestClient) -> Vec<String> {
    let found = client.execute("reader", &json!({})).await.expect_ok();
    serde_json::from_value(found["steps"].clone()).unwrap()
}

async fn steps_become(client: &TestClient, wanted: &[&str]) {
    let mut last = Vec::new();
    let reached = async {
        while last != wanted {
            last = steps(client).await;
        }
    };
    if tokio::time::timeout(SOON, reached).await.is_err() {
        panic!("not {wanted:?} but {last:?}");
    }
}

/// The whole life in two apps, and in a third that comes later.
async fn each_app_has_its_own_steps(manifest: &str) {
    let app = many(manifest).start().await;
    let (a, b) = (client(&app, "a", "admin"), client(&app, "b", "admin"));
    let root = client(&app, "a", "superadmin");
    // The first call of each is answered by a plugin that is enabled there; middleware is there once.
    for (who, name) in [(&a, "a"), (&b, "b")] {
        // Also where it is a route that being enabled registers.
        who.get("/api/plugins/ledger/steps").await.expect_ok();
        let answer = who.execute("ledger", &json!({})).await.expect_ok();
        assert_eq!(answer, json!({"app": name, "rounds": 1}));
        assert_eq!(steps(who).await, [format!("enable {name} one")]);
    }
    // Of what was registered in both apps there is one.
    let shown = a.get("/api/plugins/ledger").await.expect_ok();
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 2, "{shown}");
    a.execute("ledger", &json!({"action": "tell"}))
        .await
        .expect_ok();
    let heard = async {
        loop {
            let heard = a.get("/api/plugins/ledger/heard").await.expect_ok();
            if heard["heard"] == 3 {
                return;
            }
            assert!(heard["heard"].as_i64() < Some(3), "{heard}");
        }
    };
    within(SOON, heard).await;
    assert_eq!(
        b.get("/api/plugins/ledger/heard").await.expect_ok()["heard"],
        0
    );

    // A toggle in one app is a step in that app.
    post(&a, "enable", json!({"enabled": false}))
        .await
        .expect_ok();
    assert_eq!(steps(&a).await, ["enable a one", "disable a one"]);
    post(&a, "enable", json!({"enabled": true}))
        .await
        .expect_ok();
    assert_eq!(
        steps(&a).await,
        ["enable a one", "disable a one", "enable a one"]
    );
    assert_eq!(steps(&b).await, ["enable b one"]);

    // A superadmin's word for all is a step in each, and what was registered returns.
    for enabled in [false, true] {
        post(
            &root,
            "enable",
            json!({"enabled": enabled, "scope": "gateway"}),
        )
        .await
        .expect_ok();
    }
    assert_eq!(
        steps(&b).await,
        ["enable b one", "disable b one", "enable b one"]
    );
    assert_eq!(steps(&a).await.len(), 5);
    let answer = b.execute("ledger", &json!({})).await.expect_ok();
    assert_eq!(answer, json!({"app": "b", "rounds": 1}));

    // A third app comes with a socket: the plugin is enabled there before its first message gets to it.
    let claims = Claims::user("ada").with("app_id", "c");
    let mut in_c = Socket::open_as(&app, &claims, "/ws").await;
    let c = client(&app, "c", "admin");
    steps_become(&c, &["enable c one"]).await;
    in_c.say(&json!({"type": "ledger.echo"})).await;
    assert_eq!(in_c.message().await, json!({"type": "echoed", "app": "c"}));

    // New code is enabled in each, then the old one disabled there.
    let new = LEDGER.replace("LOAD = \"one\"", "LOAD = \"two\"");
    std::fs::write(app.plugins_dir().join("ledger/logic.py"), new).unwrap();
    post(&b, "reload", json!({})).await.expect_ok();
    let of_b = steps(&b).await;
    assert_eq!(of_b[3..], ["enable b two", "disable b one"]);
    assert_eq!(
        steps(&c).await,
        ["enable c one", "enable c two", "disable c one"]
    );
    let answer = c.execute("ledger", &json!({})).await.expect_ok();
    assert_eq!(answer, json!({"app": "c", "rounds": 1}));
}

#[tokio::test]
async fn each_app_has_its_own_steps_inline() {
    each_app_has_its_own_steps(r#"{"isolation": "inline"}"#).await;
}

#[tokio::test]
async fn each_app_has_its_own_steps_in_a_process_of_its_own() {
    each_app_has_its_own_steps(r#"{"isolation": "dedicated"}"#).await;
}

#[tokio::test]
async fn each_app_has_its_own_steps_in_workers_that_are_shared() {
    // What each worker does is done by each: the steps are looked at in the other two.
    let app = many(r#"{"isolation": "shared"}"#)
        .env("MOZAIKS_WORKERS", "2")
        .start()
        .await;
    for name in ["a", "b"] {
        let who = client(&app, name, "admin");
        for _ in 0..4 {
            let answer = who.execute("ledger", &json!({})).await.expect_ok();
            assert_eq!(answer, json!({"app": name, "rounds": 1}));
            who.get("/api/plugins/ledger/steps").await.expect_ok();
        }
        let done = steps(&who).await;
        assert!(
            !done.is_empty()
                && done
                    .iter()
                    .all(|step| *step == format!("enable {name} one")),
            "{done:?}"
        );
    }
}

#[tokio::test]
async fn what_fails_in_one_app_is_that_apps() {
    let mut app = many("{}").start().await;
    let (a, b) = (client(&app, "a", "admin"), client(&app, "b", "admin"));
    a.execute("reader", &json!({"action": "break"}))
        .await
        .expect_ok();
    let refused = a.execute("ledger", &json!({})).await;
    let told = refused.text.clone();
    refused.expect_error(503, "PLUGIN_UNAVAILABLE");
    assert!(
        told.contains("broken here: a"),
        "an admin is told why: {told}"
    );
    let user = client(&app, "a", "user");
    let refused = user.execute("ledger", &json!({})).await;
    assert!(!refused.text.contains("broken"), "{}", refused.text);
    refused.expect_error(503, "PLUGIN_UNAVAILABLE");
    app.log_line(&["plugin.not_enabled", "broken here: a"])
        .await;

    // It is shown there, and there alone; the other app is served.
    b.execute("ledger", &json!({})).await.expect_ok();
    let shown = a.get("/api/plugins/ledger").await.expect_ok();
    assert_eq!(shown["status"], "error", "{shown}");
    assert!(shown["error"].as_str().unwrap().contains("broken here: a"));
    let shown = b.get("/api/plugins/ledger").await.expect_ok();
    assert_eq!(
        (&shown["status"], &shown["error"]),
        (&json!("active"), &Value::Null)
    );
    let history = "/__mozaiks/admin/events/history?event=plugin_failed";
    let told = async |client: &TestClient| client.get(history).await.expect_ok().to_string();
    assert!(told(&a).await.contains("broken here: a"));
    assert!(!told(&b).await.contains("broken here"));

    // A reload that goes well somewhere is one; the app that it fails in stays without.
    post(&b, "reload", json!({})).await.expect_ok();
    a.execute("ledger", &json!({}))
        .await
        .expect_error(503, "PLUGIN_UNAVAILABLE");
    // Trying again says what came of it.
    let again = post(&a, "enable", json!({"enabled": true})).await;
    again.expect_error(409, "RELOAD_FAILED");
    a.execute("reader", &json!({"action": "mend"}))
        .await
        .expect_ok();
    post(&a, "enable", json!({"enabled": true}))
        .await
        .expect_ok();
    a.execute("ledger", &json!({})).await.expect_ok();
    assert_eq!(steps(&a).await, ["enable a one"]);

    // One that fails in all is none: the load before goes on.
    for client in [&a, &b] {
        client
            .execute("reader", &json!({"action": "break"}))
            .await
            .expect_ok();
    }
    post(&a, "reload", json!({}))
        .await
        .expect_error(409, "RELOAD_FAILED");
    for client in [&a, &b] {
        client.execute("ledger", &json!({})).await.expect_ok();
    }
    assert_eq!(steps(&a).await, ["enable a one"]);
}

#[tokio::test]
async fn a_start_knows_the_apps_of_before_and_gateways_follow_each_other() {
    let database = DocstoreProcess::start().await;
    let start = || {
        many("{}")
            .env("MOZAIKS_DATABASE_URI", &database.uri())
            .env("MOZAIKS_REGISTRY_POLL_SECONDS", "0.1")
            .start()
    };
    let one = start().await;
    let (a, b) = (client(&one, "a", "admin"), client(&one, "b", "admin"));
    for who in [&a, &b] {
        who.execute("ledger", &json!({})).await.expect_ok();
    }
    // Known to the database before the other gateway starts.
    let client_of = mongodb::Client::with_uri_str(database.uri()).await.unwrap();
    let apps = client_of
        .database("mozaiks_control")
        .collection::<Document>("apps");
    within(SOON, async {
        while apps.count_documents(doc! {}).await.unwrap() < 2 {}
    })
    .await;
    let two = start().await;
    // Enabled in each before it is ready: nobody has called it there.
    let (a2, b2) = (client(&two, "a", "admin"), client(&two, "b", "admin"));
    assert_eq!(steps(&a2).await, ["enable a one", "enable a one"]);

    // A toggle on one is a step of that app on each.
    post(&a, "enable", json!({"enabled": false}))
        .await
        .expect_ok();
    let off = [
        "enable a one",
        "enable a one",
        "disable a one",
        "disable a one",
    ];
    steps_become(&a, &off).await;
    a2.execute("ledger", &json!({}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    post(&a2, "enable", json!({"enabled": true}))
        .await
        .expect_ok();
    steps_become(&a, &[&off[..], &["enable a one", "enable a one"]].concat()).await;
    assert_eq!(steps(&b2).await, ["enable b one", "enable b one"]);
}

#[tokio::test]
async fn many_calls_of_a_new_app_wait_for_one_enabling() {
    let app = many(r#"{"max_concurrency": 8}"#).start().await;
    let calls = (0..8).map(|_| {
        let who = client(&app, "late", "user");
        async move { who.execute("ledger", &json!({})).await.expect_ok() }
    });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer, json!({"app": "late", "rounds": 1}));
    }
    let late = client(&app, "late", "user");
    assert_eq!(steps(&late).await, ["enable late one"]);
}
