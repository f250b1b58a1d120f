//! What plugins may do beyond their own: each operation without its permission and with it; users kept
//! apart by the gateway; consent; requests to others.

mod consent;
mod outbound;
mod tls;
mod users;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{TestApp, TestClient},
};

const PROBE: &str = include_str!("permissions/probe.py");

/// What each operation of the third kind needs.
const NEEDED: [(&str, &str); 25] = [
    ("watch", "database:orders:read"),
    ("watch_all", "database:*:read"),
    ("database_stats", "database:*:read"),
    ("publish", "events.publish:other:done"),
    ("subscribe", "events.subscribe:other:*"),
    ("history", "events.subscribe:other:done"),
    ("online", "websocket"),
    ("everybody", "websocket"),
    ("send", "websocket"),
    ("on_message", "websocket"),
    ("enter_group", "websocket"),
    ("leave_group", "websocket"),
    ("send_to_group", "websocket"),
    ("presence", "websocket"),
    ("broadcast", "broadcast"),
    ("notify", "notifications"),
    ("list_notifications", "notifications"),
    ("digest", "notifications"),
    ("broadcast_list", "broadcast"),
    ("settings_of_another", "settings_all"),
    ("save_for_another", "settings_all"),
    ("all_settings", "settings_all"),
    ("http", "network:api.example.com"),
    ("http_port", "network:api.example.com:8443"),
    ("api", "api:weather"),
];

async fn probing(permissions: Option<Value>) -> TestApp {
    let builder = with_sdk()
        .plugin("probe", PROBE)
        // Nobody answers outside.
        .env("MOZAIKS_HTTP_TIMEOUT_SECONDS", "0.2")
        .plugin("other", "async def execute(data):\n    return {}\n");
    let builder = match permissions {
        None => builder,
        Some(permissions) => builder.file(
            "probe/plugin.json",
            &json!({ "permissions": permissions }).to_string(),
        ),
    };
    builder.start().await
}

/// Every operation that the probe knows, with the permission that it needs.
async fn operations(client: &TestClient) -> Vec<(String, String, String)> {
    let names: BTreeMap<String, Vec<String>> = serde_json::from_value(
        client
            .execute("probe", &json!({ "action": "names" }))
            .await
            .expect_ok(),
    )
    .unwrap();
    let mut all = Vec::new();
    for (kind, names) in &names {
        for name in names {
            let needed = match kind.as_str() {
                "read" => "database:orders:read",
                "write" => "database:orders:write",
                "own" => continue,
                _ => {
                    let (_, needed) = NEEDED.iter().find(|(of, _)| of == name).expect(name);
                    needed
                }
            };
            all.push((kind.clone(), name.clone(), needed.to_owned()));
        }
    }
    assert!(all.len() > 60, "{all:?}");
    all
}

async fn try_out(client: &TestClient, kind: &str, name: &str) -> Value {
    let call = json!({ "kind": kind, "name": name, "catch": true });
    client.execute("probe", &call).await.expect_ok()
}

#[tokio::test]
async fn without_its_permission_no_operation_is_done() {
    let app = probing(Some(json!({}))).await;
    let (user, admin) = (app.user("ann"), app.admin());
    let operations = operations(&user).await;
    for (kind, name, needed) in &operations {
        let denied = try_out(&user, kind, name).await;
        let wanted = json!({ "denied": needed, "code": "PERMISSION_DENIED" });
        assert_eq!(denied, wanted, "{kind} {name}");
        // Let pass, it is the gateway's answer, and admins are told what is missing.
        let call = json!({ "kind": kind, "name": name });
        let answer = user.execute("probe", &call).await;
        let body = answer.expect_error(500, "PERMISSION_DENIED");
        assert_eq!(body.get("details"), None, "{body}");
        let answer = admin.execute("probe", &call).await;
        let body = answer.expect_error(500, "PERMISSION_DENIED");
        assert_eq!(body["details"]["permission"], **needed);
    }
    let names = user.execute("probe", &json!({ "action": "names" })).await;
    for name in names.expect_ok()["own"].as_array().unwrap() {
        let call = json!({ "kind": "own", "name": name });
        user.execute("probe", &call).await.expect_ok();
    }
    user.execute("probe", &json!({ "action": "own_event" }))
        .await
        .expect_ok();

    let shown = admin.get("/api/plugins/probe").await.expect_ok();
    let denials = shown["denials"].as_array().unwrap();
    assert_eq!(denials.len(), 50);
    assert!(denials.iter().all(|denial| denial["app_id"] == "default"));
    assert_eq!(denials[0]["permission"], operations.last().unwrap().2);
    assert_eq!(shown["permissions"]["missing"], json!([]));
    let counted = app
        .metric("mozaiks_plugin_permission_denials_total{plugin=\"probe\"}")
        .await;
    assert_eq!(counted, (operations.len() * 3) as f64);
    // Users are not told.
    let shown = user.get("/api/plugins/probe").await.expect_ok();
    assert!(shown.get("denials").is_none() && shown.get("permissions").is_none());
    let history = admin
        .get("/__mozaiks/admin/events/history?event=plugin_permission_denied")
        .await
        .expect_ok();
    assert!(
        history.to_string().contains("events.publish:other:done"),
        "{history}"
    );
}

#[tokio::test]
async fn with_its_permission_every_operation_is_asked() {
    let app = probing(Some(json!({
        "database": ["orders"],
        "events": { "publish": ["other:*"] },
        "hooks": ["other:*"],
        "websocket": true, "broadcast": true, "notifications": true, "settingsAll": true,
        "network": ["api.example.com", "api.example.com:8443"],
        "api": ["weather"],
    })))
    .await;
    let user = app.user("ann");
    for (kind, name, needed) in operations(&user).await {
        let done = try_out(&user, &kind, &name).await;
        if needed == "database:*:read" {
            assert_eq!(done["denied"], needed, "{name}");
        } else {
            assert_eq!(done.get("denied"), None, "{kind} {name}: {done}");
        }
    }
}

#[tokio::test]
async fn who_may_read_may_not_write() {
    let app = probing(Some(json!(["orders.read"]))).await;
    let user = app.user("ann");
    for (kind, name, needed) in operations(&user).await {
        let done = try_out(&user, &kind, &name).await;
        match kind.as_str() {
            "read" => assert_eq!(done.get("denied"), None, "{name}: {done}"),
            "write" => assert_eq!(done["denied"], needed, "{name}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_directory_without_a_word_may_do_everything() {
    let app = probing(None).await;
    let user = app.user("ann");
    for (kind, name, _) in operations(&user).await {
        let done = try_out(&user, &kind, &name).await;
        assert_eq!(done.get("denied"), None, "{kind} {name}: {done}");
    }
}

#[tokio::test]
async fn only_what_may_be_read_is_listed() {
    let seed = "from core.config.database import db\n\
                async def execute(data):\n\
                \x20   for name in ('probe_a', 'probe_b_c', 'orders', 'log_1', 'log', 'probeless', 'logs'):\n\
                \x20       await db[name].insert_one({})\n\
                \x20   return {'names': sorted(await db.list_collection_names())}\n";
    let app = with_sdk()
        .plugin("probe", PROBE)
        .file(
            "probe/plugin.json",
            r#"{"permissions": {"database": ["orders", "log_*"]}}"#,
        )
        // What begins with the longer name is its own, and nobody else's.
        .plugin("probe_b", seed)
        .plugin("seed", seed)
        .start()
        .await;
    let user = app.user("ann");
    let all = user.execute("seed", &json!({})).await.expect_ok();
    assert_eq!(all["names"].as_array().unwrap().len(), 7);
    let listed = user
        .execute("probe", &json!({ "action": "collections" }))
        .await;
    assert_eq!(
        listed.expect_ok()["names"],
        json!(["log_1", "orders", "probe_a"])
    );
}

#[tokio::test]
async fn a_bad_path_is_an_error_of_the_manifest() {
    let app = with_sdk()
        .plugin("probe", "async def execute(data):\n    return {}\n")
        .file(
            "probe/plugin.json",
            r#"{"permissions": {"filesystem": ["../secrets"]}}"#,
        )
        .plugin("odd", "async def execute(data):\n    return {}\n")
        .file("odd/plugin.json", r#"{"permissions": ["fly"]}"#)
        .start()
        .await;
    let admin = app.admin();
    let shown = admin.get("/api/plugins/probe").await.expect_ok();
    assert_eq!(shown["status"], "error");
    let error = shown["error"].as_str().unwrap();
    assert!(error.contains("permissions: filesystem[0]"), "{error}");
    let odd = admin.get("/api/plugins/odd").await.expect_ok();
    assert_eq!(odd["status"], "active");
    assert!(odd["warnings"][0].as_str().unwrap().contains("\"fly\""));
}
