//! What operators and tools ask.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

const ECHO: &str = "def execute(data):\n    return {'data': data}\n";

#[tokio::test]
async fn health_and_readiness() {
    let app = TestApp::builder().start().await;
    let health = app.anonymous().get("/health").await;
    assert_eq!(health.expect_ok(), json!({ "status": "ok" }));
    assert!(health.header("x-request-id").is_some());
    assert_eq!(
        app.anonymous().get("/ready").await.expect_ok()["status"],
        "ready"
    );
}

#[tokio::test]
async fn readiness_waits_for_the_plugins() {
    let dir = tempfile::TempDir::new().unwrap();
    let go = dir.path().join("go");
    let logic = format!(
        "import os, time\nwhile not os.path.exists({:?}):\n    time.sleep(0.01)\n{ECHO}",
        go.display().to_string()
    );
    // The port must be known before the ready line is printed.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let starting = tokio::spawn(
        TestApp::builder()
            .plugin("waits", &logic)
            .listen(port)
            .start(),
    );
    let client = crate::support::TestClient::new(&format!("http://{port}"), None);
    crate::support::within(std::time::Duration::from_secs(60), async {
        while tokio::net::TcpStream::connect(port).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.get("/health").await.expect_ok();
    let ready = client.get("/ready").await;
    assert_eq!(
        (ready.status.as_u16(), ready.json()["status"].clone()),
        (503, json!("starting"))
    );
    assert!(!starting.is_finished(), "the ready line came too early");
    std::fs::write(&go, "").unwrap();
    let app = starting.await.unwrap();
    app.anonymous().get("/ready").await.expect_ok();
    app.user("a").execute("waits", &json!({})).await.expect_ok();
}

#[tokio::test]
async fn a_slow_import_holds_nobody_else_up() {
    let dir = tempfile::TempDir::new().unwrap();
    let go = dir.path().join("go");
    let logic = format!(
        "import os, time\nwhile not os.path.exists({:?}):\n    time.sleep(0.01)\n{ECHO}",
        go.display().to_string()
    );
    let app = TestApp::builder()
        .plugin("waits", &logic)
        .env("MOZAIKS_PLUGIN_START_WAIT_SECONDS", "100ms")
        .start()
        .await;
    // The start did not wait for it: it is still being imported.
    app.anonymous().get("/ready").await.expect_ok();
    let user = app.user("a");
    user.execute("waits", &json!({}))
        .await
        .expect_error(503, "PLUGIN_UNAVAILABLE");
    let listed = user.get("/api/plugins/waits").await.expect_ok();
    assert_eq!(listed["status"], "loading");
    std::fs::write(&go, "").unwrap();
    crate::support::within(std::time::Duration::from_secs(60), async {
        while user.execute("waits", &json!({})).await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn plugins_are_listed_with_their_state() {
    let app = TestApp::builder()
        .plugin("notes", ECHO)
        .file(
            "notes/plugin.json",
            r#"{"name": "notes", "version": "1.2.3", "display_name": "My Notes", "description": "Keeps notes."}"#,
        )
        .plugin("rich", ECHO)
        .file(
            "rich/plugin.json",
            r#"{"author": {"name": "Ann"}, "license": "MIT", "icon": "bell", "tags": ["a", "b"],
                "homepage": "https://example.com", "minGatewayVersion": "0.1.0",
                "permissions": ["orders.read"], "requirements": ["pymongo>=4"],
                "dependencies": {"notes": "1"}, "config": {"size": 7},
                "resourceLimits": {"memory_mb": 64}}"#,
        )
        .plugin("plain_one", ECHO)
        .plugin("broken", "import no_such_module_anywhere\n")
        .start()
        .await;
    app.anonymous()
        .get("/api/plugins")
        .await
        .expect_error(401, "AUTH_REQUIRED");
    let list = app.user("a").get("/api/plugins").await.expect_ok();
    let names: Vec<_> = list["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| plugin["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["broken", "notes", "plain_one", "rich"]);

    let notes = app.user("a").get("/api/plugins/notes").await.expect_ok();
    assert_eq!(
        notes,
        json!({
            "name": "notes",
            "display_name": "My Notes",
            "version": "1.2.3",
            "description": "Keeps notes.",
            "enabled": true,
            "status": "active",
        })
    );
    // What a manifest says besides is told where there is something to tell.
    let rich = app.user("a").get("/api/plugins/rich").await.expect_ok();
    for (key, value) in [
        ("author", json!("Ann")),
        ("license", json!("MIT")),
        ("icon", json!("bell")),
        ("homepage", json!("https://example.com")),
        ("tags", json!(["a", "b"])),
        ("gateway_version", json!(">=0.1.0")),
        ("requirements", json!(["pymongo>=4"])),
        ("dependencies", json!({ "notes": "^1" })),
    ] {
        assert_eq!(rich[key], value, "{key}");
    }
    for inside in ["config", "resource_limits", "permissions", "denials"] {
        assert_eq!(rich.get(inside), None, "{inside}");
    }
    let rich = app.admin().get("/api/plugins/rich").await.expect_ok();
    assert_eq!(rich["config"], json!({ "size": 7 }));
    assert_eq!(rich["resource_limits"], json!({ "memory_mb": 64 }));
    let wanted = json!([{ "collection": "orders", "access": "read", "scope": "app" }]);
    assert_eq!(rich["permissions"]["declared"]["database"], wanted);
    let plain = app
        .user("a")
        .get("/api/plugins/plain_one")
        .await
        .expect_ok();
    assert_eq!(plain["version"], "0.0.0");

    let broken = app.user("a").get("/api/plugins/broken").await.expect_ok();
    assert_eq!(
        (&broken["status"], broken.get("error")),
        (&json!("error"), None)
    );
    let broken = app.admin().get("/api/plugins/broken").await.expect_ok();
    assert!(
        broken["error"]
            .as_str()
            .unwrap()
            .contains("no_such_module_anywhere"),
        "{broken}"
    );
    for name in ["missing", "..%2Fnotes", "Notes"] {
        app.user("a")
            .get(&format!("/api/plugins/{name}"))
            .await
            .expect_error(404, "PLUGIN_NOT_FOUND");
    }
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    for _ in 0..3 {
        app.user("a").execute("echo", &json!({})).await.expect_ok();
    }
    app.anonymous().execute("echo", &json!({})).await;
    for (series, count) in [
        (
            "mozaiks_plugin_calls_total{plugin=\"echo\",kind=\"execute\",outcome=\"ok\"}",
            3.0,
        ),
        (
            "mozaiks_requests_total{route=\"execute\",status=\"2xx\"}",
            3.0,
        ),
        (
            "mozaiks_requests_total{route=\"execute\",status=\"4xx\"}",
            1.0,
        ),
        ("mozaiks_ready", 1.0),
        ("mozaiks_log_lines_dropped_total", 0.0),
    ] {
        assert_eq!(app.metric(series).await, count, "{series}");
    }
    let text = app.anonymous().get("/metrics").await;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(text.text.contains("mozaiks_token_cache_hits_total"));
}

/// A route whose good answer is no document: a WebSocket wants a handshake, a stream has no end.
async fn check_live_route(app: &TestApp, method: Method, path: &str, operation: &Value) {
    let path = path.replace("{user_id}", "a");
    let request = app.user("a").request(method, &path);
    let status = request.send().await.unwrap().status().as_u16();
    assert_eq!(
        status,
        if path == "/api/stream" { 200 } else { 426 },
        "{path}"
    );
    assert!(operation["responses"].get(status.to_string()).is_some());
    assert!(operation.get("security").is_some());
}

#[tokio::test]
async fn openapi_describes_the_routes_there_are() {
    let app = TestApp::builder()
        .plugin("echo", ECHO)
        .plugin("spare", ECHO)
        .start()
        .await;
    let document = app.anonymous().get("/openapi.json").await.expect_ok();
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            // What is removed is not asked for again.
            let name = if method == "delete" { "spare" } else { "echo" };
            let real = path.replace("{plugin}", "echo").replace("{name}", name);
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            if path.starts_with("/ws") || path == "/api/stream" {
                check_live_route(&app, method, &real, operation).await;
                continue;
            }
            let real = real.replace("{id}", "none");
            let away = operation["responses"]["503"]["description"].as_str();
            if away.is_some_and(|away| away.starts_with("FEATURE_DISABLED")) {
                // Stored plugins are off here; `stored/` asks for them where they are on.
                let answer = Answer::of(app.anonymous().request(method.clone(), &real)).await;
                answer.expect_error(401, "AUTH_REQUIRED");
                let answer = Answer::of(app.admin().request(method, &real)).await;
                assert!(!answer.status.is_success(), "{real}: {}", answer.text);
                continue;
            }
            let for_admins = path.starts_with("/__mozaiks/admin/")
                || path.starts_with("/api/plugins/registry/") && !path.contains("/assets/")
                || path.ends_with("/enable")
                || path.ends_with("/reload")
                || path.ends_with("/config") && path.starts_with("/api/plugins/")
                || method == Method::DELETE && path == "/api/plugins/{name}";
            let client = if for_admins {
                app.admin()
            } else {
                app.user("a")
            };
            let answer = Answer::of(client.request(method.clone(), &real)).await;
            let status = answer.status.as_u16().to_string();
            // Without what it is about there is nothing to do, but for what takes no arguments.
            let of_what = [
                "{id}",
                "{event_name}",
                "{hook_name}",
                "{widget_id}",
                "{page}",
                "{checksum}",
            ];
            let needs_more = of_what.iter().any(|name| path.contains(name))
                || path.starts_with("/api/push/")
                || path.starts_with("/api/notifications/preferences/")
                || path.ends_with("/config")
                || path.ends_with("/permissions")
                || (for_admins && method == Method::POST);
            assert!(
                answer.status.is_success() || needs_more,
                "{method} {real}: {}",
                answer.text
            );
            if for_admins {
                let request = app.user("a").request(method.clone(), &real);
                Answer::of(request).await.expect_error(403, "FORBIDDEN");
            }
            assert!(
                operation["responses"].get(&status).is_some(),
                "{method} {real}: {status}"
            );
            let secured = operation.get("security").is_some();
            let anonymous = Answer::of(app.anonymous().request(method, &real)).await;
            assert_eq!(anonymous.status == 401, secured, "{real}");
        }
    }
    // And none is left out.
    assert!(
        paths.contains_key("/api/notifications/{id}/read"),
        "the tables are joined"
    );
    let docs = app.anonymous().get("/docs").await;
    assert_eq!(
        docs.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    for path in paths.keys() {
        assert!(docs.text.contains(path.as_str()), "{path}");
    }
    let loaded: Vec<_> = docs.text.match_indices("src=").collect();
    assert_eq!(loaded.len(), 1, "the page needs nothing from elsewhere");
    assert!(docs.text.contains("src=\"docs/actions.js\""));
}
