//! One gateway for many apps: a plugin is on or off, and configured, in each by itself.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, Claims, TestApp, TestClient, within},
};

const SHOP: &str = r#"
from core.event_bus import event_bus

heard = []

async def on_load(ctx):
    ctx.register_route("GET", "/heard", lambda: heard)
    ctx.register_route("GET", "/settings", lambda: ctx.get_config())

async def on_enable(ctx):
    ctx.on("caller:called", lambda data: heard.append(data["by"]))

async def execute(data):
    return {"app": data["app_id"]}
"#;

const CALLER: &str = r#"
from core.event_bus import event_bus

async def execute(data):
    event_bus.publish("caller:called", {"by": data["app_id"]})
    return {}
"#;

fn many() -> Builder {
    with_sdk()
        .plugin("shop", SHOP)
        .file("shop/plugin.json", r#"{"config": {"colour": "red"}}"#)
        .plugin("caller", CALLER)
        .env("MOZAIKS_APP_ID", "*")
}

fn client(app: &TestApp, app_id: &str, roles: &[&str]) -> TestClient {
    let claims = Claims::user("ann").with("app_id", app_id);
    app.with_claims(&claims.with("roles", roles.to_vec()))
}

async fn enable(client: &TestClient, body: Value) -> Answer {
    let request = client.request(Method::POST, "/api/plugins/shop/enable");
    Answer::of(request.json(&body)).await
}

#[tokio::test]
async fn an_admin_switches_for_the_own_app() {
    let app = many().start().await;
    let (a, b) = (client(&app, "a", &["admin"]), client(&app, "b", &["admin"]));
    let off = enable(&a, json!({"enabled": false})).await.expect_ok();
    assert_eq!(
        (&off["enabled"], &off["status"]),
        (&json!(false), &json!("disabled"))
    );
    a.execute("shop", &json!({}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    a.get("/api/plugins/shop/heard")
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    let there = b.execute("shop", &json!({})).await.expect_ok();
    assert_eq!(there, json!({"app": "b"}));
    assert_eq!(
        b.get("/api/plugins/shop").await.expect_ok()["status"],
        "active"
    );

    // Events of an app in which it is off are none of its business.
    a.execute("caller", &json!({})).await.expect_ok();
    b.execute("caller", &json!({})).await.expect_ok();
    let heard = async {
        loop {
            let heard = b.get("/api/plugins/shop/heard").await.expect_ok();
            if heard != json!([]) {
                return heard;
            }
        }
    };
    let heard = within(std::time::Duration::from_secs(30), heard).await;
    assert_eq!(heard, json!(["b"]));

    enable(&a, json!({"enabled": true})).await.expect_ok();
    a.execute("shop", &json!({})).await.expect_ok();
    // A name that means something to the database is a name.
    let odd = client(&app, "$enabled", &["admin"]);
    enable(&odd, json!({"enabled": false})).await.expect_ok();
    odd.execute("shop", &json!({}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    a.execute("shop", &json!({})).await.expect_ok();
}

#[tokio::test]
async fn a_superadmin_switches_for_all_apps() {
    let app = many().start().await;
    let (a, b) = (client(&app, "a", &["admin"]), client(&app, "b", &["admin"]));
    let root = client(&app, "a", &["superadmin"]);
    enable(&a, json!({"enabled": false, "scope": "gateway"}))
        .await
        .expect_error(403, "FORBIDDEN");
    enable(&root, json!({"enabled": false, "scope": "all"}))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    enable(&root, json!({"enabled": false, "scope": "gateway"}))
        .await
        .expect_ok();
    for client in [&a, &b] {
        client
            .execute("shop", &json!({}))
            .await
            .expect_error(404, "PLUGIN_DISABLED");
    }
    // What was switched off for all is not an app's to switch on.
    enable(&a, json!({"enabled": true}))
        .await
        .expect_error(409, "CONFLICT");
    enable(&root, json!({"enabled": true, "scope": "gateway"}))
        .await
        .expect_ok();
    for client in [&a, &b] {
        client.execute("shop", &json!({})).await.expect_ok();
    }

    let config = "/api/plugins/shop/config";
    let put = async |client: &TestClient, body: Value| {
        Answer::of(client.request(Method::PUT, config).json(&body)).await
    };
    put(
        &a,
        json!({"config": {"colour": "blue"}, "scope": "gateway"}),
    )
    .await
    .expect_error(403, "FORBIDDEN");
    put(
        &root,
        json!({"config": {"colour": "blue", "size": 1}, "scope": "gateway"}),
    )
    .await
    .expect_ok();
    put(&a, json!({"config": {"colour": "green"}}))
        .await
        .expect_ok();
    let seen = async |client: &TestClient| client.get("/api/plugins/shop/config").await.expect_ok();
    assert_eq!(
        seen(&a).await["config"],
        json!({"colour": "green", "size": 1})
    );
    assert_eq!(
        seen(&b).await["config"],
        json!({"colour": "blue", "size": 1})
    );
}

#[tokio::test]
async fn a_new_plugin_waits_for_the_admin_of_each_app() {
    let app = many()
        .env("MOZAIKS_PLUGINS_ENABLE_NEW", "false")
        .start()
        .await;
    let (a, b) = (client(&app, "a", &["admin"]), client(&app, "b", &["admin"]));
    for client in [&a, &b] {
        client
            .execute("shop", &json!({}))
            .await
            .expect_error(404, "PLUGIN_DISABLED");
    }
    enable(&a, json!({"enabled": true})).await.expect_ok();
    a.execute("shop", &json!({})).await.expect_ok();
    b.execute("shop", &json!({}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    // The last one to switch it off lets it rest.
    enable(&a, json!({"enabled": false})).await.expect_ok();
    a.execute("shop", &json!({}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    enable(&a, json!({"enabled": true})).await.expect_ok();
    a.execute("shop", &json!({})).await.expect_ok();
}
