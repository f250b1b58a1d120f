//! The life of a plugin: its routes, switching it off and on, loading it anew, what it keeps, and what
//! happens when a step of it fails.

mod kept;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Claims, TestApp, within},
};

const SHOP: &str = r#"
from core.event_bus import event_bus
from core.plugin import Response, redirect

steps = []
heard = []

async def on_load(ctx):
    steps.append("load")
    ctx.register_route("GET", "/hello/{name}", hello)
    ctx.register_route("POST", "/echo", echo, request_schema={
        "type": "object",
        "properties": {"body": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}},
    })
    ctx.register_route("GET", "/public", public, requires_auth=False)
    ctx.register_route("GET", "/staff", lambda: {"staff": True}, roles=["staff"])
    ctx.register_route("GET", "/rare", lambda: {}, rate_limit=2)
    ctx.register_route("GET", "/kinds/{kind}", kinds)
    ctx.register_route("GET", "/bad", lambda: {"n": "x"}, response_schema={"properties": {"n": {"type": "integer"}}})
    ctx.register_route("GET", "/numbers", numbers)
    ctx.register_route("GET", "/state", lambda request: {"steps": steps, "heard": heard})
    event_bus.subscribe("shop:asked", lambda data: heard.append(data["n"]))

async def on_enable(ctx):
    steps.append("enable")
    ctx.on("shop:enabled_asked", lambda data: heard.append(-data["n"]))

async def on_disable(ctx):
    steps.append("disable")

async def on_config_change(ctx, changed):
    steps.append(changed)

async def hello(request):
    return {"hello": request.params["name"], "by": request.user.user_id, "q": request.query}

def echo(request, reply):
    return reply.status(201).header("X-Made", "yes").send(request.body)

async def public(request):
    return {"user": request.user is not None}

async def kinds(request):
    kind = request.params["kind"]
    if kind == "text":
        return "text"
    if kind == "bytes":
        return b"\x00\xff"
    if kind == "none":
        return None
    if kind == "redirect":
        return redirect("/api/plugins/shop/public")
    if kind == "html":
        return Response(body="<script>1</script>", content_type="text/html")
    if kind == "cookie":
        return Response(headers={"Set-Cookie": "a=b"})
    if kind == "missing":
        return {"error": "no", "error_code": "NOT_FOUND"}
    if kind == "nan":
        return {"n": float("nan")}
    raise ValueError("unknown")

async def numbers(request):
    async def pieces():
        for number in range(3):
            yield f"{number}\n"
    return pieces()

async def execute(data):
    event_bus.publish("shop:asked", {"n": data["n"]})
    event_bus.publish("shop:enabled_asked", {"n": data["n"]})
    return {}
"#;

async fn shop() -> TestApp {
    with_sdk().plugin("shop", SHOP).start().await
}

#[tokio::test]
async fn routes_answer_whoever_may_with_what_they_are_given() {
    let app = shop().await;
    let (ann, base) = (app.user("ann"), "/api/plugins/shop");
    let hello = ann.get(&format!("{base}/hello/w%20x?a=1&a=2&b=3")).await;
    assert_eq!(
        hello.expect_ok(),
        json!({"hello": "w x", "by": "ann", "q": {"a": ["1", "2"], "b": "3"}})
    );
    let forged = json!({"n": 1, "user_id": "eve", "app_id": "other", "_entitlements": 1});
    let posted = ann
        .request(Method::POST, &format!("{base}/echo"))
        .json(&forged);
    let echoed = Answer::of(posted).await;
    assert_eq!(
        (echoed.status.as_u16(), echoed.header("x-made")),
        (201, Some("yes"))
    );
    let body = echoed.json();
    assert_eq!(
        (&body["user_id"], &body["app_id"]),
        (&json!("ann"), &json!("default"))
    );
    assert_eq!(body["_context"]["user_id"], "ann");
    assert_eq!(body.get("_entitlements"), None);

    let misfit = ann
        .request(Method::POST, &format!("{base}/echo"))
        .json(&json!({"n": "x"}));
    let refused = Answer::of(misfit)
        .await
        .expect_error(422, "VALIDATION_ERROR");
    assert_eq!(refused["details"]["path"], "/body/n");
    app.anonymous()
        .get(&format!("{base}/hello/x"))
        .await
        .expect_error(401, "AUTH_REQUIRED");
    app.expired()
        .get(&format!("{base}/public"))
        .await
        .expect_error(401, "TOKEN_EXPIRED");
    let anonymous = app.anonymous().get(&format!("{base}/public")).await;
    assert_eq!(anonymous.expect_ok(), json!({"user": false}));
    ann.get(&format!("{base}/staff"))
        .await
        .expect_error(403, "FORBIDDEN");
    let staff = app.with_claims(&Claims::user("bob").with("roles", json!(["staff"])));
    assert_eq!(
        staff.get(&format!("{base}/staff")).await.expect_ok(),
        json!({"staff": true})
    );

    let wrong = Answer::of(ann.request(Method::DELETE, &format!("{base}/echo"))).await;
    wrong.expect_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(wrong.header("allow"), Some("POST"));
    ann.get(&format!("{base}/none"))
        .await
        .expect_error(404, "NOT_FOUND");
    ann.get("/api/plugins/none/x")
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    let head = Answer::of(ann.request(Method::HEAD, &format!("{base}/public"))).await;
    assert_eq!((head.status.as_u16(), &*head.text), (200, ""));

    for _ in 0..2 {
        ann.get(&format!("{base}/rare")).await.expect_ok();
    }
    let rare = ann.get(&format!("{base}/rare")).await;
    rare.expect_error(429, "RATE_LIMITED");
    let wait: u64 = rare.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // Another user has calls of their own.
    app.user("bob")
        .get(&format!("{base}/rare"))
        .await
        .expect_ok();
}

#[tokio::test]
async fn answers_of_routes_are_of_many_kinds() {
    let app = shop().await;
    let get = async |kind: &str| {
        app.user("ann")
            .get(&format!("/api/plugins/shop/kinds/{kind}"))
            .await
    };
    let text = get("text").await;
    assert_eq!(
        (&*text.text, text.header("content-type")),
        ("text", Some("text/plain; charset=utf-8"))
    );
    assert_eq!(
        get("bytes").await.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(get("none").await.status.as_u16(), 204);
    // The client follows it.
    assert_eq!(get("redirect").await.expect_ok(), json!({"user": true}));
    // A page of a plugin must not act as whoever is signed in at the gateway.
    assert_eq!(
        get("html").await.header("content-security-policy"),
        Some("sandbox")
    );
    get("cookie").await.expect_error(500, "PLUGIN_BAD_RESULT");
    get("missing").await.expect_domain_failure(404, "NOT_FOUND");
    get("nan")
        .await
        .expect_error(500, "OUTPUT_NOT_SERIALIZABLE");
    get("other").await.expect_error(500, "PLUGIN_ERROR");
    let bad = app.user("ann").get("/api/plugins/shop/bad").await;
    bad.expect_error(500, "PLUGIN_BAD_RESULT");
    let streamed = app.user("ann").get("/api/plugins/shop/numbers").await;
    assert_eq!(
        (streamed.status.as_u16(), &*streamed.text),
        (200, "0\n1\n2\n")
    );
}

async fn set_enabled(app: &TestApp, plugin: &str, enabled: bool) -> Answer {
    let path = format!("/api/plugins/{plugin}/enable");
    let request = app.admin().request(Method::POST, &path);
    Answer::of(request.json(&json!({ "enabled": enabled }))).await
}

async fn reload(app: &TestApp, plugin: &str) -> Answer {
    let path = format!("/api/plugins/{plugin}/reload");
    Answer::of(app.admin().request(Method::POST, &path)).await
}

async fn state(app: &TestApp) -> Value {
    app.user("ann")
        .get("/api/plugins/shop/state")
        .await
        .expect_ok()
}

/// Waits until the shop has heard that often.
async fn heard(app: &TestApp, count: usize) -> Value {
    within(Duration::from_secs(30), async {
        loop {
            let state = state(app).await;
            if state["heard"].as_array().unwrap().len() >= count {
                return state;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_plugin_is_switched_off_and_on_again_without_a_restart() {
    let app = shop().await;
    let ann = app.user("ann");
    ann.execute("shop", &json!({"n": 1})).await.expect_ok();
    heard(&app, 2).await;
    let off = set_enabled(&app, "shop", false).await.expect_ok();
    assert_eq!(
        (&off["enabled"], &off["status"]),
        (&json!(false), &json!("disabled"))
    );
    ann.execute("shop", &json!({"n": 2}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    ann.get("/api/plugins/shop/public")
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    let on = set_enabled(&app, "shop", true).await.expect_ok();
    assert_eq!(on["status"], "active");
    ann.execute("shop", &json!({"n": 3})).await.expect_ok();
    let state = heard(&app, 4).await;
    assert_eq!(
        state["steps"],
        json!(["load", "enable", "disable", "enable"])
    );
    let mut values: Vec<i64> = serde_json::from_value(state["heard"].clone()).unwrap();
    values.sort_unstable();
    // What `on_enable` subscribed to is there once and not twice.
    assert_eq!(values, [-3, -1, 1, 3]);
    for client in [app.user("ann"), app.anonymous()] {
        let request = client.request(Method::POST, "/api/plugins/shop/enable");
        let refused = Answer::of(request.json(&json!({"enabled": false}))).await;
        assert!(
            matches!(refused.status.as_u16(), 401 | 403),
            "{}",
            refused.text
        );
    }
    let audit = app
        .admin()
        .get("/api/plugins/registry/shop/audit")
        .await
        .expect_ok();
    let actions: Vec<_> = audit["audit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|act| &act["action"])
        .collect();
    assert_eq!(actions, ["enable", "disable"]);
}

#[tokio::test]
async fn what_an_admin_switched_off_stays_off_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let start = || {
        with_sdk()
            .plugin("shop", SHOP)
            .data_dir(data.path())
            .start()
    };
    let mut app = start().await;
    set_enabled(&app, "shop", false).await.expect_ok();
    app.signal("TERM");
    app.ended().await;
    let app = start().await;
    app.user("ann")
        .execute("shop", &json!({"n": 1}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    set_enabled(&app, "shop", true).await.expect_ok();
    app.user("ann")
        .execute("shop", &json!({"n": 1}))
        .await
        .expect_ok();
}

#[tokio::test]
async fn a_reload_serves_the_new_code_or_goes_on_with_the_old() {
    let app = shop().await;
    let write = |text: &str| std::fs::write(app.plugins_dir().join("shop/logic.py"), text).unwrap();
    let before = app.admin().get("/api/plugins/shop").await.expect_ok()["generation"].clone();
    write("async def execute(data):\n    return {'new': True}\n");
    let reloaded = reload(&app, "shop").await.expect_ok();
    assert!(reloaded["generation"].as_u64() > before.as_u64());
    let answer = app
        .user("ann")
        .execute("shop", &json!({}))
        .await
        .expect_ok();
    assert_eq!(answer, json!({"new": true}));
    // Its routes went with the old code.
    app.user("ann")
        .get("/api/plugins/shop/public")
        .await
        .expect_error(404, "NOT_FOUND");
    for broken in [
        "def execute(data:\n",
        "import nothing_of_the_kind\n",
        "x = 1\n",
        "def on_load(ctx):\n    raise ValueError('at load')\n",
        "def on_enable(ctx):\n    raise ValueError('at enable')\n",
        "def on_load(ctx):\n    ctx.register_route('GET', '/enable', print)\n",
        "def on_load(ctx):\n    ctx.register_route('FETCH', '/a', print)\n",
        "def on_load(ctx):\n    for path in ('/{a}', '/:b'):\n        ctx.register_route('GET', path, print)\n",
    ] {
        write(broken);
        let failed = reload(&app, "shop")
            .await
            .expect_error(409, "RELOAD_FAILED");
        assert!(
            failed["details"]["traceback"].is_string(),
            "{broken}: {failed}"
        );
        let answer = app
            .user("ann")
            .execute("shop", &json!({}))
            .await
            .expect_ok();
        assert_eq!(answer, json!({"new": true}), "{broken}");
    }
    let shown = app.admin().get("/api/plugins/shop").await.expect_ok();
    assert_eq!(shown["status"], "active");
    assert!(shown["last_error"]["summary"].is_string(), "{shown}");
    assert!(
        app.user("ann")
            .get("/api/plugins/shop")
            .await
            .expect_ok()
            .get("last_error")
            .is_none()
    );
}

#[tokio::test]
async fn a_plugin_whose_first_steps_fail_costs_no_other() {
    let app = with_sdk()
        .plugin(
            "raises_at_load",
            "def on_load(ctx):\n    raise ValueError('no')\n",
        )
        .plugin(
            "hangs_at_enable",
            "import asyncio\nasync def on_enable(ctx):\n    await asyncio.sleep(999)\n",
        )
        .plugin("needs", "def execute(data):\n    return {}\n")
        .file("needs/plugin.json", r#"{"dependencies": {"gone": ">=1"}}"#)
        .plugin("fine", "def execute(data):\n    return {'fine': True}\n")
        .plugin(
            "routes_only",
            "def on_load(ctx):\n    ctx.register_route('GET', '/a', lambda: [1])\n",
        )
        .env("MOZAIKS_PLUGIN_HOOK_TIMEOUT_SECONDS", "0.5")
        .start()
        .await;
    let (ann, admin) = (app.user("ann"), app.admin());
    for (plugin, said) in [
        ("raises_at_load", "ValueError: no"),
        ("hangs_at_enable", "did not answer"),
        ("needs", "gone >=1"),
    ] {
        ann.execute(plugin, &json!({}))
            .await
            .expect_error(503, "PLUGIN_UNAVAILABLE");
        let shown = admin
            .get(&format!("/api/plugins/{plugin}"))
            .await
            .expect_ok();
        assert_eq!(shown["status"], "error");
        assert!(shown["error"].as_str().unwrap().contains(said), "{shown}");
    }
    assert_eq!(
        ann.execute("fine", &json!({})).await.expect_ok(),
        json!({"fine": true})
    );
    assert_eq!(
        ann.get("/api/plugins/routes_only/a").await.expect_ok(),
        json!([1])
    );
    ann.execute("routes_only", &json!({}))
        .await
        .expect_error(404, "NOT_FOUND");
    let health = admin.get("/health").await;
    health.expect_ok();
}

#[tokio::test]
async fn a_removed_plugin_comes_back_by_discovery_only() {
    let app = with_sdk()
        .plugin("shop", SHOP)
        .plugin("fixed", "def execute(data):\n    return {}\n")
        .file("fixed/plugin.json", r#"{"type": "static"}"#)
        .start()
        .await;
    let remove = async |plugin: &str| {
        Answer::of(
            app.admin()
                .request(Method::DELETE, &format!("/api/plugins/{plugin}")),
        )
        .await
    };
    remove("fixed").await.expect_error(409, "CONFLICT");
    remove("shop").await.expect_ok();
    app.user("ann")
        .execute("shop", &json!({"n": 1}))
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    std::fs::create_dir(app.plugins_dir().join("late")).unwrap();
    std::fs::write(
        app.plugins_dir().join("late/logic.py"),
        "def execute(data):\n    return {}\n",
    )
    .unwrap();
    let found = Answer::of(
        app.admin()
            .request(Method::POST, "/api/plugins/registry/discover"),
    )
    .await;
    assert_eq!(
        found.expect_ok(),
        json!({"count": 2, "plugins": ["late", "shop"]})
    );
    app.user("ann")
        .execute("shop", &json!({"n": 1}))
        .await
        .expect_ok();
    app.user("ann")
        .execute("late", &json!({}))
        .await
        .expect_ok();
}
