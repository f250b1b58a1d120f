//! Parts of a plugin as files of their own: routes, listeners, middleware and jobs from `plugin.json` and
//! from decorators, in every place where plugins run.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, TestApp, TestClient, within},
};

const LIMIT: Duration = Duration::from_secs(60);

const MANIFEST: &str = r#"{
    "version": "1.0.0",
    "controllers": {
        "trackVisit.py": {
            "method": "POST", "path": "/track-visit", "allowed_roles": ["shopper"], "rate_limit": 2,
            "request_schema": {"properties": {"body": {"required": ["page"]}}}
        },
        "getVisits.py": {"method": "GET", "path": "/visits"},
        "off.py": {"method": "GET", "path": "/off", "is_enabled": false}
    },
    "events": {"cart_viewed.py": {"event_name": "cart.*", "priority": 5}},
    "middleware": {
        "stamp.py": {"phase": "response", "priority": 1, "applies_to": ["/visits", "/st*"]},
        "gate.py": {"phase": "request", "applies_to": ["/visits"]}
    },
    "jobs": {"nightly.py": {"cron": "0 3 1 1 *", "missed": "run_once"}}
}"#;

/// A plugin without a `logic.py`, whose parts use each other's modules.
fn cart(builder: Builder) -> Builder {
    builder
        .file("cart/plugin.json", MANIFEST)
        .file(
            "cart/utils/formatters.py",
            "def euros(cents):\n    return f'{cents / 100:.2f} EUR'\n",
        )
        .file(
            "cart/controllers/trackVisit.py",
            "from ..utils.formatters import euros\n\n\
             async def track_visit(request, ctx):\n    \
             ctx.emit('cart.viewed', {'page': request.body['page']})\n    \
             return {'plugin': ctx.plugin.name, 'price': euros(250), 'by': request.user.user_id}\n",
        )
        .file(
            "cart/controllers/getVisits.py",
            "from ..events import cart_viewed\n\n\
             def handler(request):\n    return {'visits': cart_viewed.heard}\n",
        )
        .file(
            "cart/controllers/stats.py",
            "from core.plugin import controller\n\n\
             @controller('GET', '/stats', requires_auth=False)\n\
             async def anything(request, ctx):\n    return {'ran': await ctx.get_storage('ran', 0)}\n",
        )
        .file("cart/controllers/off.py", "raise RuntimeError('is switched off')\n")
        .file(
            "cart/events/cart_viewed.py",
            "heard = []\n\ndef cart_viewed(event, data):\n    heard.append([event, data['page']])\n",
        )
        .file(
            "cart/middleware/stamp.py",
            "def stamp(request, result):\n    return {**result, 'stamped': request.path}\n",
        )
        .file(
            "cart/middleware/gate.py",
            "def gate(request):\n    if 'shut' in request.query:\n        return {'shut': True}\n",
        )
        .file(
            "cart/jobs/nightly.py",
            "async def nightly(ctx):\n    await ctx.increment_storage('ran')\n",
        )
}

fn shopper(app: &TestApp) -> TestClient {
    let claims = crate::support::Claims::user("ann").with("roles", vec!["shopper"]);
    app.with_claims(&claims)
}

async fn post(client: &TestClient, below: &str, body: &Value) -> Answer {
    let request = client.request(Method::POST, &format!("/api/plugins/cart/{below}"));
    Answer::of(request.json(body)).await
}

#[tokio::test]
async fn files_are_parts_wherever_the_plugin_runs() {
    for isolation in ["inline", "shared", "dedicated"] {
        let builder = cart(with_sdk()).env("MOZAIKS_ISOLATION_DEFAULT_DIRECTORY", isolation);
        // What is heard is kept in the process that heard it.
        let app = builder.env("MOZAIKS_WORKERS", "1").start().await;
        let ann = shopper(&app);
        let told = post(&ann, "track-visit", &json!({"page": "/a"})).await;
        assert_eq!(
            told.expect_ok(),
            json!({"plugin": "cart", "price": "2.50 EUR", "by": "ann"}),
            "{isolation}"
        );
        let visits = within(LIMIT, async {
            loop {
                let told = ann.get("/api/plugins/cart/visits").await.expect_ok();
                if told["visits"] != json!([]) {
                    return told;
                }
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(
            visits.await,
            json!({"visits": [["cart.viewed", "/a"]], "stamped": "/visits"}),
            "{isolation}"
        );
        let shut = ann.get("/api/plugins/cart/visits?shut").await.expect_ok();
        assert_eq!(shut, json!({"shut": true, "stamped": "/visits"}));
        let run = app
            .admin()
            .request(Method::POST, "/api/plugins/registry/cart/jobs/nightly/run");
        assert_eq!(Answer::of(run).await.status.as_u16(), 202);
        within(LIMIT, async {
            loop {
                let stats = app.anonymous().get("/api/plugins/cart/stats").await;
                if stats.expect_ok() == json!({"ran": 1, "stamped": "/stats"}) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        let off = ann.get("/api/plugins/cart/off").await;
        off.expect_error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_controller_asks_for_what_its_entry_says() {
    let app = cart(with_sdk()).start().await;
    let page = json!({"page": "/a"});
    let nobody = post(&app.anonymous(), "track-visit", &page).await;
    nobody.expect_error(401, "AUTH_REQUIRED");
    let other = post(&app.user("bob"), "track-visit", &page).await;
    other.expect_error(403, "FORBIDDEN");
    let ann = shopper(&app);
    let refused = post(&ann, "track-visit", &json!({"side": "/a"})).await;
    let refused = refused.expect_error(422, "VALIDATION_ERROR");
    assert_eq!(refused["details"]["path"], "/body");
    // Also those that do not fit are counted.
    post(&ann, "track-visit", &page).await.expect_ok();
    let often = post(&ann, "track-visit", &page).await;
    often.expect_error(429, "RATE_LIMITED");
    assert!(often.header("retry-after").is_some());
}

#[tokio::test]
async fn what_is_wrong_with_a_part_is_said_with_its_file() {
    let logic = "def execute(data):\n    return {}\n";
    let cases = [
        (
            "gone",
            r#"{"controllers": {"gone.py": {"method": "GET", "path": "/x"}}}"#,
            "",
            "plugin.json: controllers.gone.py: there is no such file",
        ),
        (
            "method",
            r#"{"controllers": {"a.py": {"method": "FETCH", "path": "/x"}}}"#,
            "",
            "controllers.a.py.method: \"FETCH\" is none of",
        ),
        (
            "raises",
            r#"{"controllers": {"a.py": {"method": "GET", "path": "/x"}}}"#,
            "x = 1\n\nraise ValueError('no')\n",
            "at controllers/a.py, line 3",
        ),
        (
            "syntax",
            r#"{"controllers": {"a.py": {"method": "GET", "path": "/x"}}}"#,
            "def handler(:\n",
            "controllers/a.py, line 1",
        ),
        (
            "unnamed",
            r#"{"controllers": {"a.py": {"method": "GET", "path": "/x"}}}"#,
            "def other(request):\n    return {}\n",
            "controllers/a.py has no function handler or a",
        ),
        (
            "half",
            r#"{"controllers": {"a.py": {"path": "/x"}}}"#,
            "def handler(request):\n    return {}\n",
            "controllers/a.py: method stands neither in plugin.json nor in a decorator",
        ),
        (
            "clash",
            r#"{"controllers": {"a.py": {"method": "GET", "path": "/x"}}}"#,
            "def handler(request):\n    return {}\n",
            "the route GET /x is registered already",
        ),
    ];
    let mut builder = with_sdk();
    for (name, manifest, code, _) in cases {
        builder = builder
            .plugin(name, logic)
            .file(&format!("{name}/plugin.json"), manifest);
        if !code.is_empty() {
            builder = builder.file(&format!("{name}/controllers/a.py"), code);
        }
    }
    let decorated = "from core.plugin import controller\n\n\
                     @controller('GET', '/x')\ndef b(request):\n    return {}\n";
    let mut app = builder
        .file("clash/controllers/b.py", decorated)
        .plugin("stray", logic)
        .file(
            "stray/hooks/helper.py",
            "raise RuntimeError('is no part')\n",
        )
        .start()
        .await;
    for (name, _, _, said) in cases {
        let shown = app.admin().get(&format!("/api/plugins/{name}")).await;
        let shown = shown.expect_ok();
        assert_eq!(shown["status"], "error", "{name}: {shown}");
        let error = shown["error"].as_str().unwrap();
        assert!(error.contains(said), "{name}: {error}");
    }
    let line = ["hooks/helper.py: is no part", "plugin.manifest_odd"];
    app.log_line(&line).await;
    let stray = app.user("ann").execute("stray", &json!({})).await;
    stray.expect_ok();
}

#[tokio::test]
async fn a_reload_takes_parts_away_and_brings_new_ones() {
    let app = cart(with_sdk()).start().await;
    let dir = app.plugins_dir().join("cart");
    let new = "def handler(request):\n    return {'new': True}\n";
    std::fs::write(dir.join("controllers/fresh.py"), new).unwrap();
    std::fs::write(
        dir.join("plugin.json"),
        r#"{"controllers": {"fresh.py": {"method": "GET", "path": "/fresh"}}}"#,
    )
    .unwrap();
    let reload = app
        .admin()
        .request(Method::POST, "/api/plugins/cart/reload");
    Answer::of(reload).await.expect_ok();
    let ann = shopper(&app);
    let fresh = ann.get("/api/plugins/cart/fresh").await.expect_ok();
    assert_eq!(fresh, json!({"new": true}));
    let gone = ann.get("/api/plugins/cart/visits").await;
    gone.expect_error(404, "NOT_FOUND");
    // What says by a decorator that it is a part still is.
    ann.get("/api/plugins/cart/stats").await.expect_ok();
}

#[tokio::test]
async fn calls_of_parts_are_kept_with_how_they_went() {
    let raises = "def handler(request):\n    raise ValueError('no')\n";
    let app = cart(with_sdk())
        .env("MOZAIKS_EXECUTION_FLUSH_SECONDS", "0.05")
        .file(
            "cart/controllers/raises.py",
            &format!(
                "from core.plugin import controller\n\n@controller('GET', '/raises')\n{raises}"
            ),
        )
        .start()
        .await;
    let ann = shopper(&app);
    post(&ann, "track-visit", &json!({"page": "/a"}))
        .await
        .expect_ok();
    ann.get("/api/plugins/cart/raises")
        .await
        .expect_error(500, "PLUGIN_ERROR");
    app.anonymous()
        .get("/api/plugins/cart/stats")
        .await
        .expect_ok();
    let list = async |query: &str| {
        let path = format!("/api/plugins/registry/cart/executions{query}");
        app.admin().get(&path).await.expect_ok()
    };
    let all = within(LIMIT, async {
        loop {
            let all = list("").await;
            if all["count"] == 4 {
                return all;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut told: Vec<_> = all["executions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| {
            (
                each["kind"].as_str().unwrap(),
                each["name"].as_str().unwrap(),
                each["status"].as_str().unwrap(),
            )
        })
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("event", "events/cart_viewed.py", "ok"),
            ("route", "controllers/raises.py", "error"),
            ("route", "controllers/stats.py", "ok"),
            ("route", "controllers/trackVisit.py", "ok"),
        ]
    );
    let failed = list("?status=error").await;
    let failed = &failed["executions"][0];
    assert_eq!(
        (&failed["error_code"], &failed["user_id"]),
        (&json!("PLUGIN_ERROR"), &json!("ann"))
    );
    let parts = all["parts"].as_array().unwrap();
    let raised = parts
        .iter()
        .find(|part| part["name"] == "controllers/raises.py")
        .unwrap();
    assert_eq!(
        (&raised["calls"], &raised["failed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(raised["last_error"]["request_id"], failed["request_id"]);
    let first = list("?kind=route&limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = list(&format!("?kind=route&limit=2&cursor={cursor}")).await;
    assert_eq!(
        (&first["count"], &rest["count"], &rest["next_cursor"]),
        (&json!(2), &json!(1), &Value::Null)
    );
    let odd = app
        .admin()
        .get("/api/plugins/registry/cart/executions?cursor=x")
        .await;
    odd.expect_error(422, "VALIDATION_ERROR");
    ann.get("/api/plugins/registry/cart/executions")
        .await
        .expect_error(403, "FORBIDDEN");
    assert_eq!(app.metric("mozaiks_executions_dropped_total").await, 0.0);
}

#[tokio::test]
async fn more_calls_than_there_is_room_for_are_counted_and_left_out() {
    let app = cart(with_sdk())
        .env("MOZAIKS_EXECUTION_FLUSH_SECONDS", "3600")
        .env("MOZAIKS_EXECUTION_QUEUE", "2")
        .start()
        .await;
    // What is noted after the first tick waits for an hour.
    for _ in 0..8 {
        app.anonymous()
            .get("/api/plugins/cart/stats")
            .await
            .expect_ok();
    }
    assert!(app.metric("mozaiks_executions_dropped_total").await >= 4.0);
}
