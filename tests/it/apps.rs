//! One gateway for many apps: a plugin is on or off, and configured, in each by itself.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    realtime::Socket,
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

/// Tries in each lifecycle function what belongs to an app, and tells what came of it.
const LIFE: &str = r#"
said = {}

async def attempt(ctx, step):
    tries = {
        "db": lambda: ctx.db["things"].insert_one({}),
        "storage": lambda: ctx.set_storage("a", 1),
        "config": lambda: ctx.get_config("colour"),
        "set_config": lambda: ctx.set_config("colour", "blue"),
        "emit": lambda: ctx.emit("life:tried"),
        "push": lambda: ctx.send_websocket_message("1", {}),
    }
    said[step] = {"app": ctx.app_id}
    for name, what in tries.items():
        try:
            done = what()
            if hasattr(done, "__await__"):
                await done
            said[step][name] = "worked"
        except Exception as error:
            said[step][name] = str(error)

async def on_load(ctx):
    await attempt(ctx, "load")
    async def tell(request):
        await attempt(ctx, "route")
        return said
    ctx.register_route("GET", "/said", tell)

async def on_enable(ctx):
    await attempt(ctx, "enable")

async def on_disable(ctx):
    await attempt(ctx, "disable")
"#;

fn life() -> Builder {
    with_sdk()
        .plugin("life", LIFE)
        .file("life/plugin.json", r#"{"config": {"colour": "red"}}"#)
}

const LIFE_SAID: &str = "/api/plugins/life/said";

#[tokio::test]
async fn what_belongs_to_an_app_is_refused_in_steps_for_all_of_them() {
    let app = life().env("MOZAIKS_APP_ID", "*").start().await;
    let (a, b) = (client(&app, "a", &["admin"]), client(&app, "b", &[]));
    let root = client(&app, "a", &["superadmin"]);
    a.get(LIFE_SAID).await.expect_ok();
    for enabled in [false, true] {
        let request = root.request(Method::POST, "/api/plugins/life/enable");
        let body = json!({"enabled": enabled, "scope": "gateway"});
        Answer::of(request.json(&body)).await.expect_ok();
    }
    let said = b.get(LIFE_SAID).await.expect_ok();
    // What is done once in each app has that app.
    for step in ["enable", "disable"] {
        let tried = said[step].as_object().unwrap();
        for (what, came) in tried.iter().filter(|(what, _)| *what != "app") {
            assert_eq!(came, "worked", "{step}: {what}");
        }
        assert!(
            ["a", "b"].contains(&tried["app"].as_str().unwrap()),
            "{step}"
        );
    }
    let tried = said["load"].as_object().unwrap();
    assert_eq!(tried["app"], Value::Null);
    for (what, came) in tried.iter().filter(|(what, _)| *what != "app") {
        let came = came.as_str().unwrap();
        assert!(
            came.contains("belongs to none of them") && came.contains("ctx.app_id"),
            "{what}: {came}"
        );
    }
    // The same works where an app is served, in the one that is.
    let worked = json!({
        "app": "b", "db": "worked", "storage": "worked", "config": "worked",
        "set_config": "worked", "emit": "worked", "push": "worked",
    });
    assert_eq!(said["route"], worked);
}

#[tokio::test]
async fn a_gateway_of_one_app_does_all_its_steps_for_it() {
    let app = life().start().await;
    let said = app.user("ann").get(LIFE_SAID).await.expect_ok();
    for step in ["load", "enable", "route"] {
        for (what, came) in said[step].as_object().unwrap() {
            let wanted = if what == "app" { "default" } else { "worked" };
            assert_eq!(came, wanted, "{step}: {what}");
        }
    }
}

#[tokio::test]
async fn a_configuration_for_all_apps_is_told_in_each_that_is_known() {
    let app = life()
        .file(
            "life/logic.py",
            "said = []\n\
             def on_load(ctx):\n\
             \x20   ctx.register_route('GET', '/said', lambda: said)\n\
             def on_config_change(ctx, changed):\n\
             \x20   said.append([ctx.app_id, changed, ctx.get_config()])\n",
        )
        .env("MOZAIKS_APP_ID", "*")
        .start()
        .await;
    let (a, b) = (client(&app, "a", &["admin"]), client(&app, "b", &["admin"]));
    let root = client(&app, "a", &["superadmin"]);
    for client in [&a, &b] {
        client.get(LIFE_SAID).await.expect_ok();
    }
    let put = async |client: &TestClient, body: Value| {
        let request = client.request(Method::PUT, "/api/plugins/life/config");
        Answer::of(request.json(&body)).await.expect_ok()
    };
    put(&b, json!({"config": {"colour": "green"}})).await;
    put(&root, json!({"config": {"size": 7}, "scope": "gateway"})).await;
    let said = a.get(LIFE_SAID).await.expect_ok();
    let mut told: Vec<Value> = said.as_array().unwrap().clone();
    told[1..].sort_by_key(|entry| entry[0].to_string());
    assert_eq!(
        json!(told),
        json!([
            ["b", ["colour"], {"colour": "green"}],
            ["a", ["size"], {"colour": "red", "size": 7}],
            ["b", ["size"], {"colour": "green", "size": 7}],
        ])
    );
}

#[tokio::test]
async fn the_example_runs_for_many_apps() {
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = repository.join("runtime/ai/plugins/example_plugin");
    let read = |name: &str| std::fs::read_to_string(example.join(name)).unwrap();
    let app = with_sdk()
        .plugin("example_plugin", &read("logic.py"))
        .file("example_plugin/plugin.json", &read("plugin.json"))
        .env("MOZAIKS_APP_ID", "*")
        .start()
        .await;
    let admin = client(&app, "a", &["admin"]);
    let shown = admin.get("/api/plugins/example_plugin").await.expect_ok();
    assert_eq!(shown["status"], "active", "{shown}");
}

#[tokio::test]
async fn messages_of_an_app_in_which_a_plugin_is_off_do_not_reach_it() {
    let app = with_sdk()
        .plugin(
            "shop",
            "from core.websocket_manager import websocket_manager\n\
             async def echo(data, connection_id):\n\
             \x20   answer = {'type': 'echoed', 'app': data['app_id']}\n\
             \x20   await websocket_manager.send_to_connection(connection_id, answer)\n\
             async def on_enable(ctx):\n\
             \x20   ctx.on_websocket_message('shop.echo', echo)\n",
        )
        .env("MOZAIKS_APP_ID", "*")
        .start()
        .await;
    let admin = client(&app, "a", &["admin"]);
    let ada = Claims::user("ada");
    let mut in_a = Socket::open_as(&app, &ada.clone().with("app_id", "a"), "/ws").await;
    let mut in_b = Socket::open_as(&app, &ada.with("app_id", "b"), "/ws").await;
    let said = json!({"type": "shop.echo"});
    for on_in_a in [true, false, true] {
        enable(&admin, json!({"enabled": on_in_a}))
            .await
            .expect_ok();
        // Sockets that are open already follow the switch.
        in_a.say(&said).await;
        let answer = in_a.message().await;
        if on_in_a {
            assert_eq!(answer, json!({"type": "echoed", "app": "a"}));
        } else {
            assert_eq!(answer["error_code"], "UNKNOWN_MESSAGE_TYPE", "{answer}");
        }
        in_b.say(&said).await;
        assert_eq!(in_b.message().await, json!({"type": "echoed", "app": "b"}));
        let others = in_a.drain().await;
        assert!(others.is_empty(), "{others:?}");
    }
}
