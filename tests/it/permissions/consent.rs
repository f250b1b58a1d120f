//! Consent: what an admin has not granted is not run.

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, Claims, TestApp, TestClient, program},
};

/// Says in the log that its code was run.
const SHOP: &str = "import logging\n\
                    from core.config.database import db\n\
                    logging.getLogger('mozaiks_plugins.shop').warning('shop was imported')\n\
                    async def execute(data):\n\
                    \x20   await db['orders'].insert_one({})\n\
                    \x20   return {'count': await db['orders'].count_documents({})}\n";

fn asking(permissions: &Value) -> Builder {
    let manifest = json!({ "permissions": permissions }).to_string();
    with_sdk()
        .plugin("shop", SHOP)
        .file("shop/plugin.json", &manifest)
        .env("MOZAIKS_PERMISSIONS_CONSENT", "true")
}

fn write_manifest(app: &TestApp, permissions: &Value) {
    let manifest = json!({ "permissions": permissions }).to_string();
    std::fs::write(app.plugins_dir().join("shop/plugin.json"), manifest).unwrap();
}

async fn grant(client: &TestClient, granted: Value) -> Answer {
    let path = "/api/plugins/registry/shop/permissions";
    let request = client.request(Method::PUT, path);
    Answer::of(request.json(&json!({ "granted": granted }))).await
}

async fn reload(client: &TestClient) -> Answer {
    Answer::of(client.request(Method::POST, "/api/plugins/shop/reload")).await
}

#[tokio::test]
async fn what_was_not_granted_is_not_even_imported() {
    let app = asking(&json!({ "database": ["orders"] })).start().await;
    let (user, admin) = (app.user("ann"), app.admin());
    user.execute("shop", &json!({}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    assert!(!app.log_text().contains("shop was imported"));
    let shown = admin.get("/api/plugins/shop").await.expect_ok();
    assert_eq!(shown["status"], "disabled");
    assert_eq!(
        shown["permissions"]["missing"],
        json!(["database:orders:write"])
    );
    let failed = shown["last_error"]["summary"].as_str().unwrap();
    assert!(failed.starts_with("PERMISSIONS_CHANGED"), "{failed}");
    // Switching it on is no consent.
    let path = "/api/plugins/shop/enable";
    let enable = admin.request(Method::POST, path);
    let refused = Answer::of(enable.json(&json!({ "enabled": true }))).await;
    assert_eq!(
        refused.expect_error(409, "CONFLICT")["details"]["list"],
        json!(["database:orders:write"])
    );

    grant(&user, json!({})).await.expect_error(403, "FORBIDDEN");
    grant(&admin, json!({ "fly": true }))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    grant(&admin, json!({ "filesystem": ["/etc"] }))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    grant(&admin, json!("all"))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    // Less than it wants is not enough.
    let some = grant(&admin, json!(["orders.read"])).await.expect_ok();
    assert_eq!(some["missing"], json!(["database:orders:write"]));
    user.execute("shop", &json!({}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");

    let all = grant(&admin, json!(["orders.*"])).await.expect_ok();
    assert_eq!(all["missing"], json!([]));
    assert_eq!(all["granted"]["by"], "root");
    assert!(all["granted"]["at"].is_string());
    let count = user.execute("shop", &json!({})).await.expect_ok();
    assert_eq!(count, json!({ "count": 1 }));
    let audit = admin
        .get("/api/plugins/registry/shop/audit")
        .await
        .expect_ok();
    let acts = audit["audit"].as_array().unwrap();
    let granted = acts
        .iter()
        .filter(|act| act["action"] == "permissions")
        .count();
    assert_eq!(granted, 2, "{audit}");
}

#[tokio::test]
async fn who_wants_more_than_before_is_asked_about_again() {
    let app = asking(&json!([])).start().await;
    let (user, admin) = (app.user("ann"), app.admin());
    // Nothing beyond its own needs nobody's consent.
    user.execute("shop", &json!({}))
        .await
        .expect_error(500, "PERMISSION_DENIED");
    write_manifest(&app, &json!({ "database": ["orders"] }));
    let refused = reload(&admin).await.expect_error(409, "CONFLICT");
    assert!(
        refused["error"]
            .as_str()
            .unwrap()
            .contains("PERMISSIONS_CHANGED"),
        "{refused}"
    );
    user.execute("shop", &json!({}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");

    // By the command line, as the gateway shows it.
    let token = Claims::user("root").with("roles", vec!["admin"]).sign();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(program())
            .args(["plugin", "permissions", "shop"])
            .args(arguments)
            .args(["--url", &format!("http://{}", app.address)])
            .env("MOZAIKS_TOKEN", &token)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    };
    assert!(run(&[]).contains("missing: database:orders:write"));
    assert!(run(&["--grant", "all"]).contains("missing: nothing"));
    user.execute("shop", &json!({})).await.expect_ok();

    // What is taken back ends at once.
    let file = app.plugins_dir().join("granted.json");
    std::fs::write(&file, "[]").unwrap();
    let told = run(&["--grant", file.to_str().unwrap()]);
    assert!(told.contains("missing: database:orders:write"), "{told}");
    user.execute("shop", &json!({}))
        .await
        .expect_error(404, "PLUGIN_DISABLED");
}

#[tokio::test]
async fn a_consent_outlives_the_gateway() {
    let data = tempfile::tempdir().unwrap();
    let wanted = json!({ "database": ["orders"], "hooks": ["order.created"] });
    let mut app = asking(&wanted).data_dir(data.path()).start().await;
    grant(&app.admin(), wanted.clone()).await.expect_ok();
    app.user("ann")
        .execute("shop", &json!({}))
        .await
        .expect_ok();
    app.signal("TERM");
    app.ended().await;
    let app = asking(&wanted).data_dir(data.path()).start().await;
    app.user("ann")
        .execute("shop", &json!({}))
        .await
        .expect_ok();
    drop(app);
    // Unknown words are told of, and refused where consent is asked for.
    let odd = json!({ "database": ["orders"], "telepathy": true });
    let app = asking(&odd).data_dir(data.path()).start().await;
    let shown = app.admin().get("/api/plugins/shop").await.expect_ok();
    assert_eq!(shown["status"], "disabled");
    let why = shown["last_error"]["summary"].as_str().unwrap();
    assert!(why.contains("telepathy"), "{why}");
}
