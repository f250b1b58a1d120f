//! Plugins stored in the database: written through HTTP alone, served beside all others, carried to another
//! gateway, and what is refused on the way.

mod attacks;
mod carried;
mod described;
mod sample;
mod saving;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, Builder, Claims, TestApp, TestClient},
};

/// The registry's address.
const REGISTRY: &str = "/api/plugins/registry";
/// Longest that something may take which follows by itself.
const SOON: Duration = Duration::from_secs(20);

fn builder() -> Builder {
    with_sdk().env("MOZAIKS_DATABASE_PLUGINS", "true")
}

/// Somebody who writes plugins and is no admin.
fn author(app: &TestApp, id: &str) -> TestClient {
    app.with_claims(&Claims::user(id).with("roles", vec!["plugin_author"]))
}

async fn send(client: &TestClient, method: Method, path: &str, body: Value) -> Answer {
    Answer::of(client.request(method, path).json(&body)).await
}

async fn post(client: &TestClient, path: &str, body: Value) -> Answer {
    send(client, Method::POST, path, body).await
}

/// Saves a file; `revision` is null for one that is new.
async fn put(
    client: &TestClient,
    plugin: &str,
    path: &str,
    content: &str,
    revision: Value,
) -> Answer {
    let body = json!({ "path": path, "content": content, "revision": revision });
    send(
        client,
        Method::PUT,
        &format!("{REGISTRY}/{plugin}/files"),
        body,
    )
    .await
}

#[track_caller]
fn made(answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

/// A plugin with one file of code, which serves.
async fn greeter(app: &TestApp, name: &str) -> Value {
    let admin = app.admin();
    made(&post(&admin, REGISTRY, json!({ "name": name })).await);
    put(&admin, name, "logic.py", &greeting("hello"), Value::Null)
        .await
        .expect_ok();
    post(&admin, &format!("{REGISTRY}/{name}/activate"), json!({}))
        .await
        .expect_ok()
}

fn greeting(word: &str) -> String {
    format!("async def execute(data):\n    return {{\"says\": \"{word}\"}}\n")
}

async fn says(client: &TestClient, plugin: &str) -> Value {
    client.execute(plugin, &json!({})).await.expect_ok()["says"].clone()
}

/// Asks until an answer is as wanted.
async fn until(client: &TestClient, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let asking = async {
        loop {
            let answer = client.get(path).await;
            if wanted(&answer) {
                return answer;
            }
        }
    };
    match tokio::time::timeout(SOON, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("{path} stays {}", client.get(path).await.text),
    }
}

const VISIT: &str = "from ..utils.formatters import euros\n\n\nasync def track_visit(request, ctx):\n    \
    await ctx.increment_storage(\"visits\")\n    return {\"price\": euros(request.body[\"cents\"])}\n";
const VISITS: &str = "async def handler(request, ctx):\n    return {\"visits\": await ctx.get_storage(\"visits\", 0)}\n";
const EUROS: &str = "def euros(cents):\n    return f\"{cents / 100:.2f}\"\n";
const VIEWED: &str = "from core.event_bus import event_bus\n\n\nasync def handler(data):\n    \
    event_bus.publish(\"cart-hamid:was_viewed\", data)\n";

/// The sample, through HTTP alone, in the words of each kind.
async fn cart(client: &TestClient) {
    let of = |part: &str| format!("{REGISTRY}/cart-hamid/{part}");
    let new = json!({
        "name": "cart-hamid", "display_name": "Cart Hamid", "category": "shop",
        "permissions": {"events": {"subscribe": ["cart.*", "product.*"]}},
    });
    made(&post(client, REGISTRY, new).await);
    put(
        client,
        "cart-hamid",
        "utils/formatters.py",
        EUROS,
        Value::Null,
    )
    .await
    .expect_ok();
    let visit = json!({
        "controller_name": "trackVisit", "method": "POST", "path": "/track-visit", "handler_code": VISIT,
        "request_schema": {"properties": {"body": {"required": ["cents"]}}},
    });
    made(&post(client, &of("controllers"), visit).await);
    let visits = json!({
        "controllerName": "getVisits", "method": "GET", "path": "/visits", "handlerCode": VISITS,
    });
    made(&post(client, &of("controllers"), visits).await);
    let viewed = json!({"event_name": "cart.viewed", "listener_function": VIEWED, "priority": 10});
    let row = made(&post(client, "/api/plugins/cart-hamid/event-listeners", viewed).await);
    assert_eq!(row["file_path"], "events/cart_viewed.py");
    let readme =
        json!({"file_name": "README.md", "content": "# Cart\n<script>alert(1)</script>\n"});
    made(&post(client, &of("docs"), readme).await);
}

/// What it wants beyond its own an admin has to grant; then it serves.
async fn activate_cart(admin: &TestClient) {
    let refused = post(admin, &format!("{REGISTRY}/cart-hamid/activate"), json!({})).await;
    let refused = refused.expect_error(409, "CONFLICT");
    let list = json!(["events.subscribe:cart.*", "events.subscribe:product.*"]);
    assert_eq!(refused["details"]["list"], list, "{refused}");
    let granted = json!({"granted": {"events": {"subscribe": ["cart.*", "product.*"]}}});
    let path = format!("{REGISTRY}/cart-hamid/permissions");
    send(admin, Method::PUT, &path, granted).await.expect_ok();
}

async fn use_cart(app: &TestApp) {
    let ann = app.user("ann");
    let tracked = post(
        &ann,
        "/api/plugins/cart-hamid/track-visit",
        json!({"cents": 250}),
    )
    .await;
    assert_eq!(tracked.expect_ok(), json!({"price": "2.50"}));
    post(&ann, "/api/plugins/cart-hamid/track-visit", json!({}))
        .await
        .expect_error(422, "VALIDATION_ERROR");
    let visits = ann.get("/api/plugins/cart-hamid/visits").await;
    assert_eq!(visits.expect_ok(), json!({"visits": 1}));
}

#[tokio::test]
async fn a_plugin_is_made_through_http_alone_and_has_the_life_of_all_others() {
    let app = builder().start().await;
    let (ann, admin) = (author(&app, "ann"), app.admin());
    cart(&ann).await;
    let whole = ann.get(&format!("{REGISTRY}/cart-hamid")).await.expect_ok();
    assert_eq!(whole["status"], "draft");
    assert_eq!(whole["creator_id"], "ann");
    let files = whole["source_code"].as_array().unwrap();
    let paths: Vec<_> = files
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "README.md",
            "controllers/getVisits.py",
            "controllers/trackVisit.py",
            "events/cart_viewed.py",
            "plugin.json",
            "utils/formatters.py"
        ]
    );
    assert_eq!(files[2]["method"], "POST");
    assert_eq!(files[3]["eventName"], "cart.viewed");
    // By its id as by its name.
    let by_id = format!("{REGISTRY}/{}", whole["id"].as_str().unwrap());
    assert_eq!(ann.get(&by_id).await.expect_ok()["name"], "cart-hamid");
    // Nothing of a draft is there for users.
    app.user("eve")
        .get("/api/plugins/cart-hamid/visits")
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    // Whoever has written it lets it not serve.
    let activate = format!("{REGISTRY}/cart-hamid/activate");
    post(&ann, &activate, json!({}))
        .await
        .expect_error(403, "FORBIDDEN");
    activate_cart(&admin).await;
    let active = post(&admin, &activate, json!({})).await.expect_ok();
    assert_eq!(
        (&active["active"], &active["enabled"]),
        (&json!(true), &json!(true))
    );
    use_cart(&app).await;
    let seen = admin.get("/api/plugins/cart-hamid").await.expect_ok();
    assert_eq!(seen["source"], "database", "{seen}");
    assert_eq!(seen["isolation"]["mode"], "dedicated");
    let listed = admin.get("/api/plugins?source=database").await.expect_ok();
    assert_eq!(listed["count"], 1);
    // What is done of it is written down.
    let audit = admin
        .get(&format!("{REGISTRY}/cart-hamid/audit"))
        .await
        .expect_ok();
    let acts: Vec<_> = audit["audit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|act| &act["action"])
        .collect();
    assert_eq!(acts.first().unwrap().as_str(), Some("activate"));
    assert_eq!(acts.last().unwrap().as_str(), Some("create"));
    // Off, and on again.
    post(
        &admin,
        &format!("{REGISTRY}/cart-hamid/deactivate"),
        json!({}),
    )
    .await
    .expect_ok();
    app.user("ann")
        .get("/api/plugins/cart-hamid/visits")
        .await
        .expect_error(404, "PLUGIN_DISABLED");
    let on = json!({"enabled": true});
    post(&admin, "/api/plugins/cart-hamid/enable", on)
        .await
        .expect_ok();
    app.user("ann")
        .get("/api/plugins/cart-hamid/visits")
        .await
        .expect_ok();
    // A listener hears another event, from the save on.
    let remap = json!({"event_name": "product.view"});
    let path = "/api/plugins/cart-hamid/event-listeners/cart_viewed.py";
    let remapped = send(&admin, Method::PATCH, path, remap).await.expect_ok();
    assert_eq!(
        (&remapped["event_name"], &remapped["active"]),
        (&json!("product.view"), &json!(true)),
        "{remapped}"
    );
    // Gone, with its name.
    Answer::of(admin.request(Method::DELETE, &format!("{REGISTRY}/cart-hamid")))
        .await
        .expect_ok();
    app.user("ann")
        .get("/api/plugins/cart-hamid/visits")
        .await
        .expect_error(404, "PLUGIN_NOT_FOUND");
    cart(&admin).await;
}

#[tokio::test]
async fn what_is_active_is_there_after_a_start_and_drafts_are_not_lost() {
    let data = tempfile::tempdir().unwrap();
    let start = || builder().data_dir(data.path()).start();
    let app = start().await;
    greeter(&app, "greeter").await;
    let ann = author(&app, "ann");
    made(&post(&ann, REGISTRY, json!({"name": "later"})).await);
    // A draft of what serves.
    let broken = "def execute(data:\n";
    let saved = put(&app.admin(), "greeter", "logic.py", broken, json!(1))
        .await
        .expect_ok();
    assert_eq!(
        (&saved["saved"], &saved["active"]),
        (&json!(true), &json!(false))
    );
    let mut app = app;
    app.signal("TERM");
    app.ended().await;
    let app = start().await;
    assert_eq!(says(&app.user("bob"), "greeter").await, "hello");
    let plugins = app.admin().get(REGISTRY).await.expect_ok();
    assert_eq!(plugins["count"], 2);
    let source = app
        .admin()
        .get(&format!("{REGISTRY}/greeter"))
        .await
        .expect_ok();
    assert_eq!(source["source_code"][0]["content"], broken);
}
