//! What is kept of a plugin and for it: its configuration, its storage.

use reqwest::Method;
use serde_json::{Value, json};

use super::{SHOP, state};
use crate::{data::with_sdk, support::Answer};

#[tokio::test]
async fn configuration_is_checked_kept_and_told() {
    let app = with_sdk()
        .plugin("shop", SHOP)
        .file(
            "shop/plugin.json",
            r#"{"config": {"colour": "red", "size": 1}, "config_schema": {"properties": {"size": {"type": "integer"}}}}"#,
        )
        .start()
        .await;
    let path = "/api/plugins/shop/config";
    let shown = app.admin().get(path).await.expect_ok();
    assert_eq!(shown["config"], json!({"colour": "red", "size": 1}));
    let put =
        async |body: Value| Answer::of(app.admin().request(Method::PUT, path).json(&body)).await;
    let set = put(json!({"config": {"colour": "blue"}})).await.expect_ok();
    assert_eq!(set["config"], json!({"colour": "blue", "size": 1}));
    let refused = put(json!({"config": {"size": "large"}}))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    assert_eq!(refused["details"]["path"], "/size");
    put(json!({"colour": "green"}))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    put(json!({"config": {}, "other": 1}))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    app.user("ann")
        .get(path)
        .await
        .expect_error(403, "FORBIDDEN");
    let told = state(&app).await;
    assert_eq!(told["steps"], json!(["load", "enable", ["colour"]]));
}

const KEEPER: &str = r#"
CTX = None

async def on_load(ctx):
    global CTX
    CTX = ctx
    ctx.register_middleware(count)

async def count(request, call_next):
    if request.body.get("stop"):
        return {"stopped": True}
    await CTX.increment_storage("calls")
    return await call_next(request)

async def execute(data):
    do = data["do"]
    if do == "set":
        await CTX.set_storage(data["key"], data["value"], data.get("ttl"))
        return {}
    if do == "get":
        return {"value": await CTX.get_storage(data["key"], "none")}
    if do == "delete":
        return {"was": await CTX.delete_storage(data["key"])}
    if do == "list":
        return await CTX.list_storage(data["prefix"], data["limit"], data.get("cursor"))
    if do == "add":
        return {"now": await CTX.increment_storage(data["key"], data["by"])}
    if do == "config":
        await CTX.set_config("colour", data["colour"])
        return {"config": CTX.get_config()}
    return {"calls": await CTX.get_storage("calls"), "user": data["user_id"]}
"#;

#[tokio::test]
async fn what_a_plugin_keeps_is_its_own() {
    let app = with_sdk()
        .plugin("keeper", KEEPER)
        .plugin("other", KEEPER)
        .start()
        .await;
    let ask = async |plugin: &str, data: Value| app.user("ann").execute(plugin, &data).await;
    for (key, value) in [
        ("a:1", json!({"x": [1, null, "é"]})),
        ("a:2", json!(2)),
        ("b", json!("t")),
    ] {
        ask("keeper", json!({"do": "set", "key": key, "value": value}))
            .await
            .expect_ok();
        let got = ask("keeper", json!({"do": "get", "key": key}))
            .await
            .expect_ok();
        assert_eq!(got["value"], value);
        let others = ask("other", json!({"do": "get", "key": key}))
            .await
            .expect_ok();
        assert_eq!(others["value"], "none");
    }
    let page = ask("keeper", json!({"do": "list", "prefix": "a:", "limit": 1}))
        .await
        .expect_ok();
    assert_eq!(
        (&page["items"][0]["key"], &page["next_cursor"]),
        (&json!("a:1"), &json!("a:1"))
    );
    let rest = json!({"do": "list", "prefix": "a:", "limit": 5, "cursor": "a:1"});
    let page = ask("keeper", rest).await.expect_ok();
    assert_eq!(page, json!({"items": [{"key": "a:2", "value": 2}]}));
    let added = ask("keeper", json!({"do": "add", "key": "a:2", "by": 0.5}))
        .await
        .expect_ok();
    assert_eq!(added["now"], 2.5);
    let failed = ask("keeper", json!({"do": "add", "key": "b", "by": 1})).await;
    failed.expect_error(500, "PLUGIN_ERROR");
    let gone = ask("keeper", json!({"do": "delete", "key": "b"}))
        .await
        .expect_ok();
    assert_eq!(gone["was"], true);
    let again = ask("keeper", json!({"do": "delete", "key": "b"}))
        .await
        .expect_ok();
    assert_eq!(again["was"], false);
    ask(
        "keeper",
        json!({"do": "set", "key": "t", "value": 1, "ttl": -1}),
    )
    .await
    .expect_error(500, "PLUGIN_ERROR");
    let config = ask("keeper", json!({"do": "config", "colour": "red"}))
        .await
        .expect_ok();
    assert_eq!(config["config"], json!({"colour": "red"}));
    // Middleware goes round `execute`, and may answer in its place.
    let stopped = ask("keeper", json!({"stop": true, "do": "get", "key": "b"}))
        .await
        .expect_ok();
    assert_eq!(stopped, json!({"stopped": true}));
    let counted = ask("keeper", json!({"do": "count"})).await.expect_ok();
    assert!(counted["calls"].as_i64().unwrap() > 10, "{counted}");
    assert_eq!(counted["user"], "ann");
    let kept = app
        .admin()
        .get("/api/plugins/registry/keeper/storage?prefix=a")
        .await
        .expect_ok();
    assert_eq!(
        (&kept["count"], &kept["storage"][1]["value"]),
        (&json!(2), &json!(2.5))
    );
}
