//! Events by priority over several plugins, events that pages publish, and events that pages are told.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    realtime::Socket,
    support::{Answer, TestApp, TestClient, within},
};

const LIMIT: Duration = Duration::from_secs(60);

async fn publish(client: &TestClient, event: &str, body: &Value) -> Answer {
    let request = client.request(Method::POST, &format!("/api/events/{event}"));
    Answer::of(request.json(body)).await
}

/// What a plugin has heard, once that is so much.
async fn heard(app: &TestApp, plugin: &str, count: usize) -> Value {
    within(LIMIT, async {
        loop {
            let told = app
                .user("ann")
                .execute(plugin, &json!({}))
                .await
                .expect_ok();
            if told["heard"]
                .as_array()
                .is_some_and(|heard| heard.len() >= count)
            {
                return told["heard"].clone();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Notes in the database what it heard, so that the order over processes is seen.
fn listener(priority: &str) -> String {
    format!(
        "from core.event_bus import event_bus\nfrom core.config.database import db\n\n\
         async def hear(data):\n    \
         n = await db['heard_order'].count_documents({{}})\n    \
         await db['heard_order'].insert_one({{'_id': n, 'priority': {priority}}})\n\n\
         event_bus.subscribe('order.created', hear, priority={priority})\n\n\
         async def execute(data):\n    \
         found = await db['heard_order'].find({{}}).sort('_id', 1).to_list(None)\n    \
         return {{'heard': [each['priority'] for each in found]}}\n"
    )
}

#[tokio::test]
async fn lower_priorities_hear_first_over_plugins_and_processes() {
    for isolation in ["inline", "dedicated"] {
        let app = with_sdk()
            .env("MOZAIKS_ISOLATION_DEFAULT_DIRECTORY", isolation)
            .plugin("third", &listener("30"))
            .plugin("first", &listener("-1"))
            .plugin("second", &listener("10"))
            .plugin(
                "shop",
                "from core.event_system import event_system\n\n\
                 def execute(data):\n    event_system.emit('order.created', {})\n    return {}\n",
            )
            .start()
            .await;
        let ann = app.user("ann");
        for round in 1..4 {
            ann.execute("shop", &json!({})).await.expect_ok();
            let order = heard(&app, "first", round * 3).await;
            let latest = &order.as_array().unwrap()[(round - 1) * 3..];
            assert_eq!(latest, [-1, 10, 30], "{isolation}");
        }
    }
}

#[tokio::test]
async fn a_subscriber_that_hangs_keeps_the_next_level_waiting_and_no_longer() {
    let app = with_sdk()
        .env("MOZAIKS_EVENT_LEVEL_SECONDS", "0.2")
        .plugin(
            "hangs",
            "import asyncio\nfrom core.event_bus import on_event\n\n\
             @on_event('a:b', priority=1)\nasync def hang(data):\n    await asyncio.sleep(600)\n\n\
             def execute(data):\n    return {}\n",
        )
        .plugin(
            "hears",
            "from core.event_bus import event_bus, on_event\n\nheard = []\n\n\
             @on_event('a:b')\ndef hear(data):\n    heard.append(data['n'])\n\n\
             def execute(data):\n    \
             if 'n' in data:\n        event_bus.publish('a:b', {'n': data['n']})\n    \
             return {'heard': heard}\n",
        )
        .start()
        .await;
    for n in 0..3 {
        app.user("ann")
            .execute("hears", &json!({"n": n}))
            .await
            .expect_ok();
    }
    assert_eq!(heard(&app, "hears", 3).await, json!([0, 1, 2]));
    assert!(app.metric("mozaiks_event_levels_overrun_total").await >= 1.0);
}

const MANIFEST: &str = r#"{
    "events": {
        "viewed.py": {"event_name": "product.view", "client": true},
        "told.js": {"event_name": "product.view", "scope": "frontend"},
        "stock.js": {"event_name": "stock.*", "scope": "frontend"},
        "asked.js": {"event_name": "page.asked", "scope": "frontend", "client": true},
        "inner.py": {"event_name": "product.paid"}
    }
}"#;

fn shop() -> crate::support::Builder {
    with_sdk()
        .plugin(
            "shop",
            "from core.event_bus import event_bus\nfrom .events.viewed import heard\n\n\
             def execute(data):\n    \
             if 'emit' in data:\n        event_bus.publish(data['emit'], {'n': 1})\n    \
             return {'heard': heard}\n",
        )
        .file("shop/plugin.json", MANIFEST)
        .file(
            "shop/events/viewed.py",
            "heard = []\n\nasync def viewed(event, data):\n    \
             heard.append([event, data, data['_context']['user_id']])\n",
        )
        .file("shop/events/inner.py", "def inner(data):\n    pass\n")
        .file("shop/events/told.js", "export default () => {};\n")
        .file("shop/events/stock.js", "export default () => {};\n")
        .file("shop/events/asked.js", "export default () => {};\n")
}

#[tokio::test]
async fn pages_publish_what_is_declared_as_who_they_are() {
    let app = shop()
        .env("MOZAIKS_RATE_LIMIT_CLIENT_EVENTS", "8")
        .start()
        .await;
    let ann = app.user("ann");
    let forged = json!({"data": {
        "page": "/a", "user_id": "root", "app_id": "other", "_context": {"user_id": "root"},
        "_entitlements": ["all"], "user_jwt": "x",
    }});
    let told = publish(&ann, "product.view", &forged).await;
    assert_eq!(
        (told.status.as_u16(), told.json()),
        (202, json!({"event": "product.view"}))
    );
    let heard = heard(&app, "shop", 1).await;
    let (name, data, user) = (&heard[0][0], &heard[0][1], &heard[0][2]);
    assert_eq!((name, user), (&json!("product.view"), &json!("ann")));
    assert_eq!(
        (&data["user_id"], &data["app_id"]),
        (&json!("ann"), &json!("default"))
    );
    assert_eq!(data["page"], "/a");
    assert!(data.get("_entitlements").is_none() && data.get("user_jwt").is_none());
    for hidden in [
        "product.paid",
        "plugin_executed",
        "product.*",
        "stock.low",
        "%3Cb%3E",
    ] {
        publish(&ann, hidden, &json!({}))
            .await
            .expect_error(404, "NOT_FOUND");
    }
    let large = json!({"data": {"x": "y".repeat(64 * 1024)}});
    let large = publish(&ann, "product.view", &large).await;
    large.expect_error(413, "PAYLOAD_TOO_LARGE");
    let odd = publish(&ann, "product.view", &json!({"data": [1]})).await;
    odd.expect_error(422, "VALIDATION_ERROR");
    let nobody = publish(&app.anonymous(), "product.view", &json!({})).await;
    nobody.expect_error(401, "AUTH_REQUIRED");
    publish(&ann, "page.asked", &json!({})).await;
    let often = publish(&ann, "product.view", &json!({})).await;
    often.expect_error(429, "RATE_LIMITED");
    // A plugin that is off declares nothing.
    let off = app
        .admin()
        .request(Method::POST, "/api/plugins/shop/enable");
    Answer::of(off.json(&json!({"enabled": false})))
        .await
        .expect_ok();
    let off = publish(&app.user("bob"), "product.view", &json!({})).await;
    off.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn pages_are_told_the_events_of_their_own_user_once() {
    // A second plugin wants the same told.
    let app = shop()
        .file("more/events/b.js", "export default () => {};\n")
        .file(
            "more/plugin.json",
            r#"{"events": {"b.js": {"event_name": "product.view", "scope": "frontend"}}}"#,
        )
        .start()
        .await;
    let mut ann = Socket::open(&app, "ann").await;
    let mut bob = Socket::open(&app, "bob").await;
    publish(
        &app.user("bob"),
        "product.view",
        &json!({"data": {"of": "bob"}}),
    )
    .await;
    publish(
        &app.user("ann"),
        "product.view",
        &json!({"data": {"of": "ann"}}),
    )
    .await;
    app.user("ann")
        .execute("shop", &json!({"emit": "stock.low"}))
        .await
        .expect_ok();
    app.user("ann")
        .execute("shop", &json!({"emit": "product.paid"}))
        .await
        .expect_ok();
    let told = ann.message().await;
    assert_eq!(
        (&told["type"], &told["event"], &told["data"]["of"]),
        (
            &json!("plugin_event"),
            &json!("product.view"),
            &json!("ann")
        )
    );
    let told = ann.message().await;
    assert_eq!(
        (&told["event"], &told["data"]["n"]),
        (&json!("stock.low"), &json!(1))
    );
    let told = bob.message().await;
    assert_eq!(told["data"]["of"], "bob");
    publish(&app.user("bob"), "page.asked", &json!({})).await;
    assert_eq!(
        bob.message().await["event"],
        "page.asked",
        "each was told once"
    );
}

#[tokio::test]
async fn whoever_lets_pages_publish_may_itself() {
    let declares = |event: &str, permissions: &str| {
        format!(
            r#"{{"permissions": {permissions},
                "events": {{"a.py": {{"event_name": "{event}", "client": true}}}}}}"#
        )
    };
    let app = with_sdk()
        .file("own/plugin.json", &declares("own.seen", "{}"))
        .file("own/events/a.py", "def a(data):\n    pass\n")
        .file(
            "others/plugin.json",
            &declares(
                "billing:paid",
                r#"{"events": {"subscribe": ["billing:*"]}}"#,
            ),
        )
        .file("others/events/a.py", "def a(data):\n    pass\n")
        .file(
            "gateways/plugin.json",
            &declares(
                "plugin_executed",
                r#"{"events": {"subscribe": ["*"], "publish": ["*"]}}"#,
            ),
        )
        .file("gateways/events/a.py", "def a(data):\n    pass\n")
        .start()
        .await;
    for (name, said) in [
        (
            "others",
            "the permission `events.publish:billing:paid` is missing",
        ),
        (
            "gateways",
            "\"plugin_executed\" is no event that pages may publish",
        ),
    ] {
        let shown = app
            .admin()
            .get(&format!("/api/plugins/{name}"))
            .await
            .expect_ok();
        let error = shown["error"].as_str().unwrap_or_default();
        assert!(error.contains(said), "{name}: {shown}");
    }
    let told = publish(&app.user("ann"), "own.seen", &json!({})).await;
    assert_eq!(told.status.as_u16(), 202);
}
