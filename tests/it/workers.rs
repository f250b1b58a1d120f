//! Plugins in processes of their own: they work as in the gateway, and what they break is theirs.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, TestApp, within},
};

const SOON: Duration = Duration::from_secs(60);

/// Does whatever it is told, of what a plugin should not do.
const BREAKER: &str = r#"
import asyncio, ctypes, os, re, socket, time

KEPT = []

async def execute(data):
    action = data.get("action")
    if action == "pid":
        return {"pid": os.getpid()}
    if action == "exit":
        os._exit(3)
    if action == "null":
        ctypes.string_at(0)
    if action == "spin":
        while True:
            pass
    if action == "regex":
        re.match(r"(a+)+$", "a" * 64 + "b")
    if action == "memory":
        KEPT.append(bytearray(1 << 30))
    if action == "eat":
        while True:
            KEPT.append(bytearray(8 << 20))
            await asyncio.sleep(0)
    if action == "sleep":
        await asyncio.to_thread(time.sleep, 999)
    if action == "fork":
        os.fork()
    if action == "exec":
        os.execv("/bin/true", ["true"])
    if action == "socket":
        socket.create_connection(("127.0.0.1", 9), 1)
    if action == "unix":
        socket.socket(socket.AF_UNIX)
    if action == "passwd":
        open("/etc/passwd").read()
    if action == "environment":
        open(f"/proc/{os.getppid()}/environ", "rb").read()
    if action == "heap":
        open(f"/proc/{os.getppid()}/mem", "rb").read(1)
    if action == "kill":
        os.kill(os.getppid(), 15)
    if action == "outside":
        open("/tmp/mozaiks-outside", "w").write("x")
    if action == "fill":
        with open("big", "wb") as file:
            while True:
                file.write(bytes(1 << 20))
    if action == "chmod":
        os.chmod(__file__, 0o777)
    if action == "priority":
        os.setpriority(os.PRIO_PROCESS, os.getppid(), 10)
    if action == "memfd":
        os.memfd_create("hidden")
    if action == "own":
        with open("mine.txt", "w") as file:
            file.write("kept")
        os.chmod("mine.txt", 0o600)
        return {"kept": open("mine.txt").read(), "dir": os.getcwd()}
    if action == "variables":
        return {"variables": dict(os.environ)}
    return {"did": action}
"#;

fn breaker() -> Builder {
    with_sdk()
        .plugin("breaker", BREAKER)
        .file(
            "breaker/plugin.json",
            r#"{"name": "breaker", "isolation": "dedicated", "timeout_seconds": 2,
                "resource_limits": {"memory": "200MB", "cpu": "400%", "storage": "8MB"}}"#,
        )
        .plugins(&["echo"])
        .env("MOZAIKS_WORKER_CRASH_LIMIT", "0")
}

async fn told(app: &TestApp, action: &str) -> Answer {
    let data = json!({"action": action});
    within(SOON, app.user("ann").execute("breaker", &data)).await
}

/// The others, and the plugin itself soon after, answer.
async fn all_is_well(app: &TestApp, after: &str) {
    let other = app.user("ann").execute("echo", &json!({"n": 1})).await;
    assert_eq!(other.status, 200, "echo after {after}: {}", other.text);
    // What was in a worker that is ended is told so; the next one answers.
    within(SOON, async {
        loop {
            let again = told(app, "well").await;
            if again.status == 200 {
                return;
            }
            assert_eq!(again.status, 502, "after {after}: {}", again.text);
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_plugin_of_its_own_process_breaks_is_its_own() {
    let app = breaker().start().await;
    let gateway = u64::from(app.pid());
    let pid = told(&app, "pid").await.expect_ok()["pid"].clone();
    assert_ne!(pid, json!(gateway));
    for (action, status, code) in [
        ("exit", 502, "WORKER_CRASHED"),
        ("null", 502, "WORKER_CRASHED"),
        ("memory", 500, "PLUGIN_ERROR"),
        ("spin", 504, "PLUGIN_TIMEOUT"),
        ("regex", 504, "PLUGIN_TIMEOUT"),
        ("sleep", 504, "PLUGIN_TIMEOUT"),
        ("fork", 500, "PLUGIN_ERROR"),
        ("exec", 500, "PLUGIN_ERROR"),
        ("socket", 500, "PLUGIN_ERROR"),
        ("unix", 500, "PLUGIN_ERROR"),
        ("passwd", 500, "PLUGIN_ERROR"),
        ("environment", 500, "PLUGIN_ERROR"),
        ("heap", 500, "PLUGIN_ERROR"),
        ("kill", 500, "PLUGIN_ERROR"),
        ("outside", 500, "PLUGIN_ERROR"),
        ("fill", 500, "PLUGIN_ERROR"),
        ("chmod", 500, "PLUGIN_ERROR"),
        ("priority", 500, "PLUGIN_ERROR"),
        ("memfd", 500, "PLUGIN_ERROR"),
    ] {
        let answer = told(&app, action).await;
        assert_eq!(answer.status, status, "{action}: {}", answer.text);
        assert_eq!(answer.json()["error_code"], code, "{action}");
        all_is_well(&app, action).await;
    }
    let own = told(&app, "own").await.expect_ok();
    assert_eq!(own["kept"], "kept");
    let variables = told(&app, "variables").await.expect_ok();
    for name in variables["variables"].as_object().unwrap().keys() {
        assert!(
            !name.contains("MOZAIKS") && !name.contains("SECRET"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn whoever_takes_more_memory_than_allowed_is_ended() {
    let app = breaker()
        .file(
            "breaker/plugin.json",
            // Getting memory can take its time where others want some too.
            r#"{"name": "breaker", "isolation": "dedicated", "timeout_seconds": 60,
                "resource_limits": {"memory": "120MB", "cpu": "400%"}}"#,
        )
        .start()
        .await;
    let data = json!({"action": "eat"});
    let body = app.admin().execute("breaker", &data).await;
    let body = body.expect_error(502, "WORKER_CRASHED");
    assert_eq!(body["details"]["reason"], "memory");
    all_is_well(&app, "eat").await;
}

#[tokio::test]
async fn the_reason_of_a_death_is_for_admins() {
    let app = breaker().start().await;
    let data = json!({"action": "exit"});
    let answer = app.admin().execute("breaker", &data).await;
    let body = answer.expect_error(502, "WORKER_CRASHED");
    assert_eq!(body["details"]["reason"], "exit 3");
    assert!(told(&app, "exit").await.json().get("details").is_none());
    all_is_well(&app, "exit").await;
    let shown = app.admin().get("/api/plugins/breaker").await.expect_ok();
    assert_eq!(shown["isolation"]["mode"], "dedicated");
    assert_eq!(shown["isolation"]["reason"], "manifest");
    assert_eq!(shown["isolation"]["last_exit"], "exit 3");
    assert_eq!(shown["isolation"]["restarts"], 2);
    let memory = shown["limits"].as_array().unwrap().iter();
    let memory = memory
        .clone()
        .find(|limit| limit["name"] == "memory")
        .unwrap();
    assert_eq!(memory["effective"], 200_000_000);
    assert_eq!(memory["wanted"], 200_000_000);
    assert!(memory["used"].as_u64().unwrap() > 1_000_000);
}

#[tokio::test]
async fn three_deaths_end_a_plugin_until_an_admin_releases_it() {
    let mut app = breaker()
        .env("MOZAIKS_WORKER_CRASH_LIMIT", "3")
        .start()
        .await;
    for _ in 0..3 {
        told(&app, "exit").await.expect_error(502, "WORKER_CRASHED");
    }
    app.log_line(&["plugin.quarantined", "breaker"]).await;
    let path = "/api/plugins/registry/breaker";
    let admin = app.admin();
    let shown = async || admin.get("/api/plugins/breaker").await.expect_ok();
    within(SOON, async {
        while shown().await["status"] != "disabled" {}
    })
    .await;
    assert_eq!(shown().await["quarantine"], "exit 3");
    let refused = admin.execute("breaker", &json!({"action": "well"})).await;
    let refused = refused.expect_error(503, "PLUGIN_UNAVAILABLE");
    assert_eq!(refused["details"]["reason"], "quarantined: exit 3");
    let released = Answer::of(admin.request(Method::POST, &format!("{path}/release"))).await;
    assert_eq!(released.status, 200, "{}", released.text);
    all_is_well(&app, "release").await;
    assert!(shown().await.get("quarantine").is_none());
    let twice = Answer::of(admin.request(Method::POST, &format!("{path}/release"))).await;
    twice.expect_error(409, "CONFLICT");
}

const COUNTING: &str = r#"
import os
from core.event_bus import event_bus
from core.config.database import db

SEEN = []

def on_load(ctx):
    ctx.register_route("GET", "/who", lambda request: {"pid": os.getpid(), "user": request.user.user_id})

@event_bus.subscribe("counting:asked")
async def asked(event):
    await db["asked"].insert_one({"n": event["n"], "pid": os.getpid()})

async def execute(data):
    if data.get("action") == "count":
        return {"count": await db["asked"].count_documents({})}
    if data.get("action") == "publish":
        event_bus.publish("counting:asked", {"n": data["n"]})
    if data.get("action") == "spin":
        total = 0
        for number in range(300_000):
            total += number
    return {"pid": os.getpid(), "user": data["user_id"]}
"#;

#[tokio::test]
async fn plugins_that_share_workers_are_one_plugin() {
    let app = with_sdk()
        .plugin("counting", COUNTING)
        .file(
            "counting/plugin.json",
            r#"{"name": "counting", "isolation": "shared"}"#,
        )
        .env("MOZAIKS_WORKERS", "2")
        .start()
        .await;
    let ann = app.user("ann");
    let spin = json!({"action": "spin"});
    let calls = (0..64).map(|_| ann.execute("counting", &spin));
    let answers = futures_util::future::join_all(calls).await;
    let answers: Vec<Value> = answers.iter().map(Answer::json).collect();
    let pids: std::collections::BTreeSet<u64> = answers
        .iter()
        .map(|answer| answer["pid"].as_u64().unwrap())
        .collect();
    assert_eq!(pids.len(), 2, "two workers had calls");
    assert!(answers.iter().all(|answer| answer["user"] == "ann"));
    let who = ann.get("/api/plugins/counting/who").await.expect_ok();
    assert!(pids.contains(&who["pid"].as_u64().unwrap()));
    assert_eq!(who["user"], "ann");
    for n in 0..10 {
        ann.execute("counting", &json!({"action": "publish", "n": n}))
            .await
            .expect_ok();
    }
    within(SOON, async {
        while ann
            .execute("counting", &json!({"action": "count"}))
            .await
            .json()["count"]
            != 10
        {}
    })
    .await;
    // Both have the subscription, and each event went to one.
    let first = *pids.first().unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-9", &first.to_string()])
        .status();
    assert!(killed.unwrap().success());
    // Calls that keep a worker busy, since one alone goes to whoever is quick.
    within(SOON, async {
        loop {
            let calls = (0..8).map(|_| ann.execute("counting", &spin));
            let answers = futures_util::future::join_all(calls).await;
            let is_new = |answer: &Answer| {
                assert!(
                    [200, 502].contains(&answer.status.as_u16()),
                    "{}",
                    answer.text
                );
                let pid = answer.json()["pid"].as_u64();
                pid.is_some_and(|pid| !pids.contains(&pid))
            };
            if answers.iter().any(is_new) {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_operator_places_a_plugin_while_it_runs() {
    let app = with_sdk().plugin("counting", COUNTING).start().await;
    let gateway = u64::from(app.pid());
    let admin = app.admin();
    let pid = async || admin.execute("counting", &json!({})).await.json()["pid"].as_u64();
    assert_eq!(pid().await, Some(gateway));
    let path = "/api/plugins/registry/counting/limits";
    let put = async |body: Value| Answer::of(admin.request(Method::PUT, path).json(&body)).await;
    let placed = put(json!({"isolation": "dedicated", "limits": {"memory": "300MB"}})).await;
    let placed = placed.expect_ok();
    assert_eq!(placed["isolation"]["mode"], "dedicated");
    assert_eq!(placed["isolation"]["reason"], "operator");
    assert_ne!(pid().await, Some(gateway));
    put(json!({"limits": {"memory": "lots"}}))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    put(json!({"isolation": "elsewhere"}))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    let before = pid().await;
    let restart = "/api/plugins/registry/counting/restart";
    assert_eq!(
        Answer::of(admin.request(Method::POST, restart))
            .await
            .status,
        200
    );
    within(SOON, async { while pid().await == before {} }).await;
    put(json!({"isolation": null, "limits": null}))
        .await
        .expect_ok();
    assert_eq!(pid().await, Some(gateway));
    let restart = Answer::of(admin.request(Method::POST, restart)).await;
    restart.expect_error(409, "CONFLICT");
}

#[tokio::test]
async fn workers_are_replaced_without_a_failed_call() {
    let app = breaker()
        .env("MOZAIKS_WORKER_RECYCLE_CALLS", "20")
        .start()
        .await;
    let first = told(&app, "pid").await.expect_ok()["pid"].clone();
    let replaced = async {
        loop {
            let answer = told(&app, "pid").await;
            if answer.expect_ok()["pid"] != first {
                return;
            }
        }
    };
    within(SOON, replaced).await;
    let shown = app.admin().get("/api/plugins/breaker").await.expect_ok();
    assert_eq!(shown["isolation"]["restarts"], 0, "it was no crash");
}

#[tokio::test]
async fn whoever_holds_the_loop_of_all_again_and_again_is_moved_out() {
    let mut app = with_sdk()
        .plugin("breaker", BREAKER)
        .file("breaker/plugin.json", r#"{"timeout_seconds": 0.5}"#)
        .plugins(&["echo"])
        .env("MOZAIKS_LOOP_HOLD_LIMIT", "1")
        .start()
        .await;
    let gateway = json!(app.pid());
    assert_eq!(told(&app, "pid").await.expect_ok()["pid"], gateway);
    for _ in 0..2 {
        told(&app, "spin").await.expect_error(504, "PLUGIN_TIMEOUT");
    }
    app.log_line(&["plugin.moved_out", "breaker"]).await;
    within(SOON, async {
        while told(&app, "pid").await.json()["pid"] == gateway {}
    })
    .await;
    let shown = app.admin().get("/api/plugins/breaker").await.expect_ok();
    assert_eq!(shown["isolation"]["mode"], "dedicated");
    let why = shown["isolation"]["reason"].as_str().unwrap();
    assert!(why.contains("held the event loop"), "{why}");
    let other = app.user("ann").execute("echo", &json!({"n": 1})).await;
    other.expect_ok();
}

const BACKGROUND: &str = r#"
import asyncio, os
from core.config.database import db

TASKS = []

async def later(n):
    await asyncio.sleep(0.05)
    await db["later"].insert_one({"n": n})

async def execute(data):
    if data.get("action") == "count":
        return {"count": await db["later"].count_documents({})}
    TASKS.append(asyncio.create_task(later(data["n"])))
    return {"pid": os.getpid()}
"#;

#[tokio::test]
async fn what_a_call_leaves_behind_works_for_its_app() {
    let app = with_sdk()
        .plugin("background", BACKGROUND)
        .file("background/plugin.json", r#"{"isolation": "dedicated"}"#)
        .env("MOZAIKS_APP_ID", "*")
        .start()
        .await;
    let of =
        |app_id: &str| app.with_claims(&crate::support::Claims::user("ann").with("app_id", app_id));
    let (one, two) = (of("one"), of("two"));
    let left = one
        .execute("background", &json!({"n": 1}))
        .await
        .expect_ok();
    assert_ne!(left["pid"], json!(app.pid()));
    let count = json!({"action": "count"});
    within(SOON, async {
        while one.execute("background", &count).await.json()["count"] != 1 {}
    })
    .await;
    assert_eq!(
        two.execute("background", &count).await.expect_ok()["count"],
        0
    );
}
