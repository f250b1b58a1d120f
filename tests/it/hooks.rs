//! Hooks of plugins: chains over several of them, what fails in one, how long and how deep, and what pages
//! may apply.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, Claims, TestClient},
};

/// Applies what it is asked to.
const CALLER: &str = r#"
from core.hooks import hooks
from mozaiks import HostError

async def execute(data):
    name, args = data["hook"], data.get("args", [])
    if data.get("list"):
        return {"list": hooks.list(name)}
    try:
        if data.get("do"):
            return {"value": await hooks.do(name, *args)}
        return {"value": await hooks.apply(name, data.get("value"), *args)}
    except HostError as error:
        return {"code": error.error_code, "said": str(error)}
"#;

/// Ten percent off, by decorator in the entry.
const OFF: &str = r#"
from core.hooks import on_hook

@on_hook("product.price", priority=20, public=True)
def cheaper(price, *rest):
    return price * 90 // 100
"#;

fn shop(builder: Builder) -> Builder {
    builder
        .plugin("caller", CALLER)
        .plugin(
            "b_off",
            &format!("{OFF}\ndef execute(data):\n    return {{}}\n"),
        )
        .file(
            "a_off/plugin.json",
            r#"{"hooks": {"price.py": {"hook_name": "product.price", "priority": 20}}}"#,
        )
        .file(
            "a_off/hooks/price.py",
            "async def handler(price, *rest):\n    return price - 10\n",
        )
}

async fn apply(client: &TestClient, body: Value) -> Value {
    client.execute("caller", &body).await.expect_ok()
}

fn price(value: impl Into<Value>) -> Value {
    json!({"hook": "product.price", "value": value.into()})
}

async fn page(client: &TestClient, hook: &str, body: &Value) -> Answer {
    let request = client.request(Method::POST, &format!("/api/hooks/{hook}/apply"));
    Answer::of(request.json(body)).await
}

#[tokio::test]
async fn a_chain_goes_over_plugins_in_order_wherever_they_run() {
    for isolation in ["inline", "shared", "dedicated"] {
        let builder = shop(with_sdk()).env("MOZAIKS_ISOLATION_DEFAULT_DIRECTORY", isolation);
        let app = builder.start().await;
        let ann = app.user("ann");
        // Of equal priorities the plugin's name decides: 100 - 10, then 90 %.
        assert_eq!(apply(&ann, price(100)).await["value"], 81, "{isolation}");
        let listed = apply(&ann, json!({"hook": "product.price", "list": true})).await;
        let plugins: Vec<_> = listed["list"].as_array().unwrap().iter().collect();
        assert_eq!(
            (&plugins[0]["plugin"], &plugins[1]["plugin"]),
            (&json!("a_off"), &json!("b_off"))
        );
        assert_eq!(
            (&plugins[0]["public"], &plugins[1]["public"]),
            (&json!(false), &json!(true))
        );
        // Nobody has registered: the value comes back.
        let other = json!({"hook": "cart.total", "value": {"sum": [1]}});
        assert_eq!(apply(&ann, other).await["value"], json!({"sum": [1]}));
    }
}

#[tokio::test]
async fn a_plugin_that_is_off_or_loaded_anew_has_no_hooks_of_before() {
    let app = shop(with_sdk()).start().await;
    let ann = app.user("ann");
    let switch = async |plugin: &str, enabled: bool| {
        let path = format!("/api/plugins/{plugin}/enable");
        let request = app.admin().request(Method::POST, &path);
        Answer::of(request.json(&json!({"enabled": enabled})))
            .await
            .expect_ok();
    };
    switch("a_off", false).await;
    assert_eq!(apply(&ann, price(100)).await["value"], 90);
    switch("a_off", true).await;
    assert_eq!(apply(&ann, price(100)).await["value"], 81);
    for _ in 0..2 {
        let reload = app
            .admin()
            .request(Method::POST, "/api/plugins/b_off/reload");
        Answer::of(reload).await.expect_ok();
        assert_eq!(apply(&ann, price(100)).await["value"], 81);
    }
    std::fs::write(
        app.plugins_dir().join("a_off/plugin.json"),
        r#"{"hooks": {"price.py": {"hook_name": "product.cost"}}}"#,
    )
    .unwrap();
    let reload = app
        .admin()
        .request(Method::POST, "/api/plugins/a_off/reload");
    Answer::of(reload).await.expect_ok();
    assert_eq!(apply(&ann, price(100)).await["value"], 90);
}

const TROUBLE: &str = r#"
import asyncio, os, time
from core.hooks import hooks, on_hook

done = []

@on_hook("t.raises")
def raises(value):
    raise ValueError("no")

@on_hook("t.raises", priority=11)
def after(value):
    return [value, "after"]

@on_hook("t.none")
async def none(value):
    return None

@on_hook("t.hangs")
async def hangs(value):
    await asyncio.sleep(600)

@on_hook("t.spins")
def spins(value):
    while True:
        pass

@on_hook("t.self")
async def itself(value):
    return await hooks.apply("t.self", value + 1)

@on_hook("t.required", required=True)
def required(value):
    raise ValueError("secret reason")

@on_hook("t.large")
def large(value):
    return "x" * (2 << 20)

@on_hook("t.odd")
def odd(value):
    return object()

@on_hook("t.dies")
def dies(value):
    os._exit(7)

@on_hook("t.dies", priority=11)
def lives(value):
    return [value, "lives"]

@on_hook("t.told", type="action")
async def first(what):
    await asyncio.sleep(0)
    done.append(["first", what])

@on_hook("t.told", type="action", priority=11)
def second(what):
    done.append(["second", what])

for at in range(8):
    @on_hook("t.many", priority=at)
    async def slow(value):
        await asyncio.sleep(600)

def execute(data):
    return {"done": done}
"#;

fn trouble(isolation: &str) -> Builder {
    with_sdk()
        .env("MOZAIKS_ISOLATION_DEFAULT_DIRECTORY", isolation)
        .env("MOZAIKS_HOOK_SECONDS", "0.3")
        .env("MOZAIKS_HOOK_CHAIN_SECONDS", "0.8")
        .plugin("caller", CALLER)
        .plugin("trouble", TROUBLE)
}

#[tokio::test]
async fn what_fails_leaves_the_value_as_it_was() {
    for isolation in ["inline", "dedicated"] {
        let mut app = trouble(isolation).start().await;
        let ann = app.user("ann");
        let through = async |hook: &str| {
            let answer = apply(&ann, json!({"hook": hook, "value": 1})).await;
            answer["value"].clone()
        };
        assert_eq!(through("t.raises").await, json!([1, "after"]));
        app.log_line(&["hook.failed", "t.raises", "ValueError"])
            .await;
        for hook in ["t.none", "t.large", "t.odd"] {
            assert_eq!(through(hook).await, 1, "{hook} {isolation}");
        }
        let began = Instant::now();
        assert_eq!(through("t.hangs").await, 1);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(300), "{took:?}");
        // A chain is over when its time is, however many there are.
        let began = Instant::now();
        assert_eq!(through("t.many").await, 1);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(800), "{took:?}");
        assert!(took < Duration::from_millis(8 * 300), "{took:?}");
        assert_eq!(through("t.spins").await, 1);
        let failed = app.metric("mozaiks_hook_failures_total").await;
        assert!(failed >= 5.0, "{failed}");
        assert!(app.metric("mozaiks_hooks_skipped_total").await >= 1.0);
    }
}

#[tokio::test]
async fn a_hook_that_applies_itself_comes_to_an_end() {
    for isolation in ["inline", "dedicated"] {
        let app = trouble(isolation)
            .env("MOZAIKS_HOOK_SECONDS", "20")
            .env("MOZAIKS_HOOK_CHAIN_SECONDS", "30")
            .start()
            .await;
        // The eighth may not apply it again, and fails: that of the seventh has what it gave.
        let answer = apply(&app.user("ann"), json!({"hook": "t.self", "value": 0})).await;
        assert_eq!(answer["value"], 7, "{isolation}");
        assert_eq!(app.metric("mozaiks_hooks_too_deep_total").await, 1.0);
    }
}

#[tokio::test]
async fn one_that_is_required_fails_the_chain() {
    let app = trouble("inline").start().await;
    let answer = apply(&app.user("ann"), json!({"hook": "t.required", "value": 1})).await;
    assert_eq!(answer["code"], "HOOK_FAILED");
    let said = answer["said"].as_str().unwrap();
    assert!(
        said.contains("t.required") && !said.contains("secret reason"),
        "{said}"
    );
}

#[tokio::test]
async fn actions_are_called_in_order_and_waited_for() {
    let app = trouble("inline").start().await;
    let ann = app.user("ann");
    let told = json!({"hook": "t.told", "do": true, "args": ["x"]});
    assert_eq!(apply(&ann, told).await["value"], Value::Null);
    let done = ann.execute("trouble", &json!({})).await.expect_ok();
    assert_eq!(done["done"], json!([["first", "x"], ["second", "x"]]));
    // An action is no filter.
    let value = apply(&ann, json!({"hook": "t.told", "value": 1})).await["value"].clone();
    assert_eq!(value, 1);
}

#[tokio::test]
async fn a_worker_that_dies_in_the_middle_of_a_chain_breaks_no_other_link() {
    let app = with_sdk()
        .env("MOZAIKS_ISOLATION_DEFAULT_DIRECTORY", "dedicated")
        .plugin("caller", CALLER)
        .plugin("trouble", TROUBLE)
        .plugin(
            "z_steady",
            "from core.hooks import on_hook\n\n\
             @on_hook('t.dies', priority=12)\ndef steady(value):\n    return [value, 'steady']\n\n\
             def execute(data):\n    return {}\n",
        )
        .start()
        .await;
    let answer = apply(&app.user("ann"), json!({"hook": "t.dies", "value": 1})).await;
    let value = &answer["value"];
    assert_eq!(value[1], "steady", "{answer}");
}

const PUBLIC: &str = r#"
from core.hooks import on_hook

@on_hook("who", public=True)
def who(value, *args):
    value["seen"] = [value.get("user_id"), value.get("app_id"), value["_context"]["user_id"]]
    value["args"] = [{"u": arg.get("user_id"), "jwt": "user_jwt" in arg} for arg in args]
    return value

@on_hook("who", priority=11)
def secret(value, *args):
    value["secret"] = True
    return value

@on_hook("inner")
def inner(value):
    return "secret"

@on_hook("must", public=True, required=True)
def must(value):
    raise ValueError("why")

def execute(data):
    return {}
"#;

#[tokio::test]
async fn pages_reach_what_is_public_as_who_they_are() {
    let app = with_sdk()
        .plugin("open", PUBLIC)
        .env("MOZAIKS_RATE_LIMIT_HOOKS", "6")
        .start()
        .await;
    let ann = app.user("ann");
    let forged = json!({
        "value": {"user_id": "root", "app_id": "other", "_context": {"user_id": "root"}, "n": 1},
        "args": [{"user_id": "root", "user_jwt": "x"}],
    });
    let told = page(&ann, "who", &forged).await.expect_ok()["value"].clone();
    assert_eq!(told["seen"], json!(["ann", "default", "ann"]));
    assert_eq!(told["args"], json!([{"u": "ann", "jwt": false}]));
    assert!(
        told.get("secret").is_none(),
        "what is not public takes no part: {told}"
    );
    assert!(told.get("_context").is_none(), "{told}");
    let body = json!({"value": 1});
    for hidden in ["inner", "nobody", "%3Cb%3E"] {
        page(&ann, hidden, &body)
            .await
            .expect_error(404, "NOT_FOUND");
    }
    let failed = page(&ann, "must", &body).await;
    let failed = failed.expect_error(500, "HOOK_FAILED");
    assert!(!failed.to_string().contains("why"), "{failed}");
    let odd = page(&ann, "who", &json!({"args": []})).await;
    odd.expect_error(422, "VALIDATION_ERROR");
    page(&app.anonymous(), "who", &body)
        .await
        .expect_error(401, "AUTH_REQUIRED");
    page(&ann, "nobody", &body)
        .await
        .expect_error(404, "NOT_FOUND");
    let often = page(&ann, "nobody", &body).await;
    often.expect_error(429, "RATE_LIMITED");
    page(&app.user("bob"), "nobody", &body)
        .await
        .expect_error(404, "NOT_FOUND");
}

const PER_APP: &str = r#"
from core.hooks import hooks

async def execute(data):
    return {"value": await hooks.apply("app.of", None)}
"#;

const OF_APP: &str = r#"
from core.hooks import on_hook

seen = []

def on_load(ctx):
    global context
    context = ctx

@on_hook("app.of")
def of_app(value):
    seen.append(context.app_id)
    return [context.app_id, sorted(set(seen))]

def execute(data):
    return {}
"#;

#[tokio::test]
async fn a_chain_stays_in_its_app() {
    let app = with_sdk()
        .env("MOZAIKS_APP_ID", "*")
        .plugin("caller", PER_APP)
        .plugin("of_app", OF_APP)
        .start()
        .await;
    let of = |name: &str, roles: Vec<&str>| {
        app.with_claims(
            &Claims::user("ann")
                .with("app_id", name)
                .with("roles", roles),
        )
    };
    let (one, two) = (of("one", vec![]), of("two", vec![]));
    let told = one.execute("caller", &json!({})).await.expect_ok();
    assert_eq!(told["value"], json!(["one", ["one"]]));
    let told = two.execute("caller", &json!({})).await.expect_ok();
    assert_eq!(told["value"][0], "two");
    // Switched off in one app it takes part in the other alone.
    let request = of("one", vec!["admin"]).request(Method::POST, "/api/plugins/of_app/enable");
    Answer::of(request.json(&json!({"enabled": false})))
        .await
        .expect_ok();
    let told = one.execute("caller", &json!({})).await.expect_ok();
    assert_eq!(told["value"], Value::Null);
    let told = two.execute("caller", &json!({})).await.expect_ok();
    assert_eq!(told["value"][0], "two");
}

#[tokio::test]
async fn hooks_of_others_need_a_permission() {
    let registers = |hook: &str| {
        format!(
            "from core.hooks import hooks\n\n\
             def on_load(ctx):\n    hooks.register({hook:?}, lambda value: 1)\n\n\
             def execute(data):\n    return {{}}\n"
        )
    };
    let app = with_sdk()
        .plugin("own", &registers("own.thing"))
        .file("own/plugin.json", r#"{"permissions": {}}"#)
        .plugin("granted", &registers("product.price"))
        .file(
            "granted/plugin.json",
            r#"{"permissions": {"hooks": ["product.*"]}}"#,
        )
        .plugin("denied", &registers("product.price"))
        .file(
            "denied/plugin.json",
            r#"{"permissions": {"hooks": ["order.*"]}}"#,
        )
        .start()
        .await;
    let status = async |name: &str| {
        app.admin()
            .get(&format!("/api/plugins/{name}"))
            .await
            .expect_ok()
    };
    assert_eq!(status("own").await["status"], "active");
    assert_eq!(status("granted").await["status"], "active");
    let denied = status("denied").await;
    assert_eq!(denied["status"], "error");
    let error = denied["error"].as_str().unwrap();
    assert!(
        error.contains("the permission `hooks:product.price` is missing"),
        "{error}"
    );
}
