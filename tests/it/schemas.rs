//! `/openapi.json` says what every operation takes and gives, and real bodies keep to it.

mod asked;

pub(crate) use asked::Asked;
use asked::{operations, says_something, whole};

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{TestApp, TestClient, within};

const SOON: std::time::Duration = std::time::Duration::from_secs(60);

const LOGIC: &str = r#"
from core.event_bus import event_bus

def on_load(ctx):
    told = {"type": "object", "required": ["hello"]}
    ctx.register_route("GET", "/hello/{name}", lambda _: {"hello": "you"}, response_schema=told)
    ctx.schedule_task("0 0 1 1 *", lambda: {"tidied": 3}, name="tidy")

def check_health(ctx):
    return {"status": "ok", "shelves": 2}

async def broken(event):
    raise ValueError("on purpose")

event_bus.subscribe("shown:broken", broken)

async def execute(data):
    event_bus.publish("shown:broken", {"n": 1})
    return {"data": data}
"#;

const MANIFEST: &str = r#"{"name": "shown", "version": "1.2.3", "author": "Ann", "tags": ["a"],
    "permissions": ["orders.read"], "config": {"size": 7}, "requirements": ["pymongo>=4"],
    "notifications": [{"id": "due", "label": "Due", "channels": ["in_app"]}]}"#;

/// What needs a mail server or a failed delivery to be answered well; others' tests do that, and the types
/// are those of operations that are called here.
const ELSEWHERE: [&str; 18] = [
    // migrations.rs holds their answers against the document.
    "post /api/plugins/registry/{name}/entities/{entity_name}/migrate",
    "post /api/plugins/registry/{name}/migrations/{version}/run",
    "post /api/plugins/registry/{name}/migrations/{version}/rollback",
    "get /api/plugins/active",
    "get /api/plugins/active/{name}",
    "get /api/plugins/{name}/scripts",
    "get /api/plugins/widgets",
    "get /api/plugins/widgets/{widget_id}",
    "post /api/plugins/widgets/{widget_id}/render",
    "get /api/slots/{page}",
    "put /api/slots/{page}",
    "get /api/plugins/registry/{name}/executions",
    "post /api/events/{event_name}",
    "post /api/hooks/{hook_name}/apply",
    "post /api/plugins/registry/{name}/release",
    "post /api/notifications/preferences/code",
    "post /api/notifications/preferences/confirm",
    "post /__mozaiks/admin/notifications/deliveries/{id}/retry",
];

#[tokio::test]
async fn every_operation_has_schemas() {
    let app = TestApp::builder().start().await;
    let document = app.anonymous().get("/openapi.json").await.expect_ok();
    for (name, operation) in operations(&document) {
        let is_good = |status: &str| status.starts_with('2');
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status == "101" {
                continue;
            }
            if is_good(status) && name.starts_with("get /ws") {
                continue;
            }
            let content = response["content"].as_object();
            let content = content.unwrap_or_else(|| panic!("{name} {status}: no content"));
            let (media_type, body) = content.iter().next().unwrap();
            let schema = &body["schema"];
            assert!(says_something(schema), "{name} {status}: {schema}");
            assert!(
                media_type != "application/json"
                    || jsonschema::validator_for(&whole(&document, schema)).is_ok(),
                "{name} {status}: {schema}"
            );
        }
        // Those that act on what the path names take no body.
        let bodyless = [
            "read",
            "unread",
            "read-all",
            "mark-all-read",
            "retry",
            "reload",
            "discover",
            "release",
            "restart",
            "run",
            "ticket",
            "activate",
            "deactivate",
            "validate",
        ];
        let last = name.rsplit('/').next().unwrap();
        let takes = ["post", "put", "patch"]
            .iter()
            .any(|method| name.starts_with(method))
            && !bodyless.contains(&last)
            || name.contains("/migrations/");
        assert_eq!(operation.get("requestBody").is_some(), takes, "{name}");
        if takes {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            assert!(says_something(schema), "{name}: {schema}");
        }
    }
}

#[tokio::test]
async fn what_is_sent_is_what_is_described() {
    let app = TestApp::builder()
        .plugin("shown", LOGIC)
        .file("shown/plugin.json", MANIFEST)
        .plugin("spare", "def execute(data):\n    return {}\n")
        .plugin("broken", "import no_such_module_anywhere\n")
        .env(
            "MOZAIKS_VAPID_PRIVATE_KEY",
            "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk",
        )
        .env("MOZAIKS_VAPID_CONTACT", "mailto:ops@example.com")
        .env("MOZAIKS_PUSH_HOSTS", "push.example.com")
        .env("MOZAIKS_JOB_POLL_SECONDS", "50ms")
        .start()
        .await;
    let document = app.anonymous().get("/openapi.json").await.expect_ok();
    let mut asked = Asked::new(&document);
    let (user, admin) = (app.user("ann"), app.admin());

    for path in ["/health", "/ready"] {
        asked.get(&user, path, path).await;
    }
    asked.get(&user, "/openapi.json", "/openapi.json").await;
    asked
        .get(&user, "/schemas/plugin.json", "/schemas/plugin.json")
        .await;
    asked
        .post(
            &user,
            "/api/execute/{plugin}",
            "/api/execute/shown",
            json!({ "a": 1 }),
        )
        .await;
    asked
        .post(&user, "/api/ws/ticket", "/api/ws/ticket", Value::Null)
        .await;

    let plugin = "/api/plugins/{name}";
    for client in [&user, &admin] {
        asked.get(client, "/api/plugins", "/api/plugins").await;
        for name in ["shown", "spare", "broken"] {
            asked
                .get(client, plugin, &format!("/api/plugins/{name}"))
                .await;
        }
    }
    let config = json!({ "config": { "size": 8 } });
    asked
        .put(
            &admin,
            &format!("{plugin}/config"),
            "/api/plugins/shown/config",
            config,
        )
        .await;
    asked
        .get(
            &admin,
            &format!("{plugin}/config"),
            "/api/plugins/shown/config",
        )
        .await;
    asked
        .post(
            &admin,
            &format!("{plugin}/reload"),
            "/api/plugins/shown/reload",
            Value::Null,
        )
        .await;
    let switch = json!({ "enabled": false });
    asked
        .post(
            &admin,
            &format!("{plugin}/enable"),
            "/api/plugins/spare/enable",
            switch,
        )
        .await;
    asked
        .call(
            &admin,
            Method::DELETE,
            plugin,
            "/api/plugins/spare",
            Value::Null,
        )
        .await;
    run_of_job(&mut asked, &admin).await;
    asked
        .get(
            &user,
            "/api/plugins/shown/hello/{name}",
            "/api/plugins/shown/hello/ann",
        )
        .await;
    for part in [
        "endpoints",
        "audit",
        "storage",
        "usage",
        "jobs",
        "entities",
        "migrations",
        "job-runs",
        "health",
        "logs",
        "limits",
        "permissions",
    ] {
        let template = format!("/api/plugins/registry/{{name}}/{part}");
        asked
            .get(
                &admin,
                &template,
                &format!("/api/plugins/registry/shown/{part}"),
            )
            .await;
    }
    let (limits, restart) = (
        "/api/plugins/registry/{name}/limits",
        "/api/plugins/registry/{name}/restart",
    );
    let real = |template: &str| template.replace("{name}", "shown");
    let own = json!({ "isolation": "dedicated", "limits": { "memory": "300MB" } });
    asked.put(&admin, limits, &real(limits), own).await;
    asked
        .post(&admin, restart, &real(restart), Value::Null)
        .await;
    asked
        .put(
            &admin,
            "/api/plugins/registry/{name}/permissions",
            "/api/plugins/registry/shown/permissions",
            json!({ "granted": { "database": ["orders"] } }),
        )
        .await;
    let discover = "/api/plugins/registry/discover";
    asked.post(&admin, discover, discover, Value::Null).await;

    let settings = "/api/plugin-settings/{plugin}";
    let real = "/api/plugin-settings/shown";
    asked
        .put(&user, settings, real, json!({ "settings": { "a": 1 } }))
        .await;
    asked.post(&user, settings, real, json!({ "a": 1 })).await;
    asked.get(&user, settings, real).await;

    notifications(&mut asked, &user, &admin).await;
    events(&mut asked, &user, &admin).await;

    // An error is described as well as it is answered.
    let refused = user
        .get("/api/plugins/nobody")
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    let error = document["paths"][plugin]["get"]["responses"]["404"]["content"]["application/json"]
        ["schema"]
        .clone();
    asked.check("an error", &error, &refused);
    asked.none_is_left_out(false);
}

async fn run_of_job(asked: &mut Asked<'_>, admin: &TestClient) {
    let jobs = "/api/plugins/registry/shown/jobs";
    let declared = async { while admin.get(jobs).await.expect_ok()["count"] != 1 {} };
    within(SOON, declared).await;
    asked
        .post(
            admin,
            "/api/plugins/registry/{name}/jobs/{job}/run",
            &format!("{jobs}/tidy/run"),
            Value::Null,
        )
        .await;
    let runs = "/api/plugins/registry/shown/job-runs";
    let ran = async { while admin.get(runs).await.expect_ok()["count"] != 1 {} };
    within(SOON, ran).await;
}

async fn notifications(asked: &mut Asked<'_>, user: &TestClient, admin: &TestClient) {
    let admins = "/__mozaiks/admin/notifications";
    let draft = json!({ "notification_type": "due", "title": "Milk", "message": "Soon" });
    let mut broadcast = draft.clone();
    broadcast["target"] = json!({ "users": ["ann", "admin"] });
    let path = format!("{admins}/broadcast");
    asked.post(admin, &path, &path, broadcast.clone()).await;
    let page = "/api/notifications";
    let told = within(SOON, async {
        loop {
            let page = user.get(page).await.expect_ok();
            if page["count"] != 0 {
                return page;
            }
        }
    })
    .await;
    asked.get(user, page, "/api/notifications?limit=5").await;
    asked
        .get(user, "/api/notifications/count", "/api/notifications/count")
        .await;
    let one = format!(
        "{page}/{}",
        told["notifications"][0]["id"].as_str().unwrap()
    );
    for act in ["read", "unread"] {
        let (template, real) = (format!("{page}/{{id}}/{act}"), format!("{one}/{act}"));
        asked.post(user, &template, &real, Value::Null).await;
    }
    for act in ["read-all", "mark-all-read"] {
        let path = format!("{page}/{act}");
        asked.post(user, &path, &path, Value::Null).await;
    }
    asked
        .call(
            user,
            Method::DELETE,
            "/api/notifications/{id}",
            &one,
            Value::Null,
        )
        .await;
    let wishes = "/api/notifications/preferences";
    let patch = json!({ "digest": "daily", "types": { "due": { "enabled": true, "channels": ["in_app"] } } });
    asked
        .put(user, wishes, wishes, json!({ "preferences": patch }))
        .await;
    asked.post(user, wishes, wishes, patch).await;
    asked.get(user, wishes, wishes).await;
    asked
        .get(
            user,
            "/api/notifications/config",
            "/api/notifications/config",
        )
        .await;

    let key = "/api/push/vapid-public-key";
    asked.get(user, key, key).await;
    let point = asked.get(user, key, key).await["public_key"].clone();
    let endpoint = "https://push.example.com/ann";
    let keys = json!({ "p256dh": point, "auth": "BQUFBQUFBQUFBQUFBQUFBQ" });
    let subscription = json!({ "endpoint": endpoint, "keys": keys });
    let (subscribe, unsubscribe) = ("/api/push/subscribe", "/api/push/unsubscribe");
    asked
        .post(
            user,
            subscribe,
            subscribe,
            json!({ "subscription": subscription }),
        )
        .await;
    asked
        .post(
            user,
            unsubscribe,
            unsubscribe,
            json!({ "endpoint": endpoint }),
        )
        .await;

    let (all, single) = (
        format!("{admins}/broadcasts"),
        format!("{admins}/broadcasts/{{id}}"),
    );
    broadcast["send_at"] = "2099-01-01T00:00:00Z".into();
    let later = asked.post(admin, &path, &path, broadcast).await;
    let real = format!("{all}/{}", later["broadcast"]["id"].as_str().unwrap());
    asked.get(admin, &all, &all).await;
    asked.get(admin, &single, &real).await;
    asked
        .call(admin, Method::DELETE, &single, &real, Value::Null)
        .await;
    let (all, single) = (
        format!("{admins}/schedule"),
        format!("{admins}/schedule/{{id}}"),
    );
    let mut scheduled = draft;
    scheduled["user_id"] = "ann".into();
    scheduled["scheduled_for"] = "2099-01-01T00:00:00Z".into();
    let later = asked.post(admin, &all, &all, scheduled).await;
    asked.get(admin, &all, &all).await;
    let real = format!("{all}/{}", later["scheduled"]["id"].as_str().unwrap());
    asked
        .call(admin, Method::DELETE, &single, &real, Value::Null)
        .await;
    for part in ["channels", "templates"] {
        let path = format!("{admins}/{part}");
        asked.get(admin, &path, &path).await;
    }
}

async fn events(asked: &mut Asked<'_>, user: &TestClient, admin: &TestClient) {
    let events = "/__mozaiks/admin/events";
    for part in ["events/history", "events/stats", "status"] {
        let path = format!("/__mozaiks/admin/{part}");
        asked.get(admin, &path, &path).await;
    }
    // The one of the first call, and one of this.
    user.execute("shown", &json!({})).await.expect_ok();
    let (all, single) = (
        format!("{events}/dead-letters"),
        format!("{events}/dead-letters/{{id}}"),
    );
    let letters = within(SOON, async {
        loop {
            let kept = admin.get(&all).await.expect_ok();
            if kept["count"] == 2 {
                return kept;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    asked.get(admin, &all, &all).await;
    let real = |at: usize| format!("{all}/{}", letters["dead_letters"][at]["id"]);
    asked
        .call(admin, Method::DELETE, &single, &real(0), Value::Null)
        .await;
    let retry = format!("{}/retry", real(1));
    asked
        .post(admin, &format!("{single}/retry"), &retry, Value::Null)
        .await;
}
