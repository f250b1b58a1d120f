//! Who asks too often is told so, and nobody else.

use bytes::Bytes;
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Claims, TestApp, TestClient};

/// Routes, a plain call, and a count of how often its code has run.
const SHOP: &str = r#"
ran = 0

def on_load(ctx):
    ctx.register_route("GET", "/open", lambda request: {}, requires_auth=False)
    ctx.register_route("GET", "/closed", lambda request: {})
    ctx.register_route("GET", "/own", lambda request: {}, rate_limit=1)

async def execute(data):
    global ran
    ran += 1
    return {"ran": ran}
"#;

fn limited(limit: &str, per_minute: u32) -> crate::support::Builder {
    let variable = format!("MOZAIKS_RATE_LIMIT_{limit}");
    let app = TestApp::builder()
        .plugin("shop", SHOP)
        .plugin("other", SHOP);
    app.env(&variable, &per_minute.to_string())
}

#[track_caller]
fn refused(answer: &Answer) {
    answer.expect_error(429, "RATE_LIMITED");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
}

async fn forwarded(client: &TestClient, path: &str, by: &str) -> Answer {
    let request = client.request(Method::GET, path);
    Answer::of(request.header("x-forwarded-for", by)).await
}

#[tokio::test]
async fn a_user_has_one_rate_for_every_way_in_and_every_token() {
    let app = limited("USER", 1).env("MOZAIKS_APP_ID", "*").start().await;
    let claims = |user: &str| Claims::user(user).with("app_id", "one");
    let call = json!({});
    let route = "/api/plugins/shop/closed";
    // Each way counts, also where it fails.
    let ways = ["/api/plugins", route, "/api/plugins/registry/shop/audit"];
    for (at, path) in ways.into_iter().enumerate() {
        let user = app.with_claims(&claims(&format!("u{at}")));
        assert_ne!(user.get(path).await.status, 429, "{path}");
        refused(&user.execute("shop", &call).await);
    }
    let lost = app.with_claims(&claims("lost"));
    let missing = lost.execute("nowhere", &call).await;
    missing.expect_error(404, "PLUGIN_NOT_FOUND");
    refused(&lost.get(route).await);

    let ann = app.with_claims(&claims("ann"));
    ann.execute("shop", &call).await.expect_ok();
    let tokens = [
        claims("ann"),
        claims("ann").with("jti", "another"),
        claims("ann").with("roles", vec!["admin"]),
    ];
    for claims in tokens {
        let again = app.with_claims(&claims);
        refused(&again.execute("other", &call).await);
        refused(&again.get("/api/stream").await);
        refused(&forwarded(&again, "/api/plugins", "9.9.9.9").await);
        for path in ways {
            refused(&again.get(path).await);
        }
    }
    // Before a body is read: what is wrong with it is not looked at.
    refused(&ann.execute_raw("shop", "{").await);

    // Others are not held up by it: neither another user nor one of the same name elsewhere.
    for claims in [claims("bob"), Claims::user("ann").with("app_id", "two")] {
        let answer = app.with_claims(&claims).execute("shop", &call).await;
        answer.expect_ok();
    }
    let limited = app
        .metric("mozaiks_rate_limited_total{limit=\"user\"}")
        .await;
    assert_eq!(limited, 23.0);
}

#[tokio::test]
async fn another_version_of_http_is_no_way_round() {
    let app = limited("USER", 1).start().await;
    let ann = app.user("ann");
    ann.execute("shop", &json!({})).await.expect_ok();
    let stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = http::Request::builder()
        .method("POST")
        .uri(format!("http://{}/api/execute/shop", app.address))
        .header(
            "authorization",
            format!("Bearer {}", Claims::user("ann").sign()),
        )
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let (answer, mut sending) = client.send_request(request, false).unwrap();
    sending.send_data(Bytes::from_static(b"{}"), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 429);
    driving.abort();
}

#[tokio::test]
async fn who_has_no_valid_identity_is_counted_by_address() {
    let app = limited("ADDRESS", 1)
        .env("MOZAIKS_TRUSTED_PROXIES", "127.0.0.0/8")
        .start()
        .await;
    let clients = [app.anonymous(), app.expired(), app.with_token("a.b.c")];
    let open = "/api/plugins/shop/open";
    let paths = [
        open,
        "/api/plugins/shop/closed",
        "/api/plugins",
        "/openapi.json",
        "/nowhere",
        "/api/execute/shop",
        "/api/stream",
    ];
    for (at, client) in clients.iter().enumerate() {
        for (number, path) in paths.iter().enumerate() {
            let address = format!("9.9.{at}.{number}");
            let first = forwarded(client, path, &address).await;
            assert_ne!(first.status, 429, "{path}");
            refused(&forwarded(client, path, &address).await);
            refused(&forwarded(&clients[0], open, &address).await);
        }
    }
    let address = "9.9.0.0";
    // What watches the gateway sees it all the same, and who has a name is not held up.
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(forwarded(&clients[0], path, address).await.status, 200);
    }
    for _ in 0..3 {
        let ann = forwarded(&app.user("ann"), "/api/plugins", address).await;
        ann.expect_ok();
    }
}

#[tokio::test]
async fn behind_a_proxy_each_client_has_its_own_address() {
    let app = limited("ADDRESS", 1)
        .env("MOZAIKS_TRUSTED_PROXIES", "127.0.0.0/8")
        .start()
        .await;
    let proxy = app.anonymous();
    let open = "/api/plugins/shop/open";
    for client in ["9.9.9.1", "9.9.9.2"] {
        forwarded(&proxy, open, client).await.expect_ok();
    }
    // What a client writes itself stands before what the proxy adds.
    for again in ["9.9.9.1", "1.1.1.1, 9.9.9.1", "127.0.0.1, 9.9.9.2"] {
        refused(&forwarded(&proxy, open, again).await);
    }
}

#[tokio::test]
async fn routes_that_say_none_have_the_rate_of_all() {
    let app = limited("ROUTE", 2).start().await;
    let (ann, bob) = (app.user("ann"), app.user("bob"));
    for _ in 0..2 {
        ann.get("/api/plugins/shop/closed").await.expect_ok();
    }
    refused(&ann.get("/api/plugins/shop/closed").await);
    ann.get("/api/plugins/shop/open").await.expect_ok();
    ann.get("/api/plugins/other/closed").await.expect_ok();
    bob.get("/api/plugins/shop/closed").await.expect_ok();
    // Its own word counts where it has one.
    ann.get("/api/plugins/shop/own").await.expect_ok();
    refused(&ann.get("/api/plugins/shop/own").await);
    // A load that takes the place of another goes on counting.
    let admin = app.admin();
    let reload = admin.request(Method::POST, "/api/plugins/shop/reload");
    Answer::of(reload).await.expect_ok();
    refused(&ann.get("/api/plugins/shop/own").await);
    let whole = admin.get("/api/plugins/shop").await.expect_ok();
    let rates = |path: &str| {
        let routes = whole["endpoints"].as_array().unwrap();
        let route = routes.iter().find(|route| route["path"] == path);
        route.unwrap()["rate_limit"].clone()
    };
    assert_eq!((rates("/own"), rates("/open")), (json!(1), json!(2)));
    assert_eq!(
        app.metric("mozaiks_rate_limited_total{limit=\"route\"}")
            .await,
        3.0
    );
}

#[tokio::test]
async fn a_plugin_has_a_rate_in_each_app() {
    let app = limited("PLUGIN", 2)
        .env("MOZAIKS_APP_ID", "*")
        .start()
        .await;
    let user = |id: &str, of: &str| app.with_claims(&Claims::user(id).with("app_id", of));
    user("ann", "one")
        .execute("shop", &json!({}))
        .await
        .expect_ok();
    let route = "/api/plugins/shop/closed";
    user("bob", "one").get(route).await.expect_ok();
    refused(&user("cid", "one").execute("shop", &json!({})).await);
    refused(&user("ann", "one").get(route).await);
    user("ann", "one")
        .execute("other", &json!({}))
        .await
        .expect_ok();
    user("ann", "two")
        .execute("shop", &json!({}))
        .await
        .expect_ok();
}

/// Far more at once than the limit: as many as it says get through, however they are spread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_the_same_time_are_counted_one_by_one() {
    const MOST: u32 = 5;
    let app = limited("USER", MOST).start().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let ann = app.user("ann");
        calls.spawn(async move { ann.execute("shop", &json!({})).await.status.as_u16() });
    }
    let statuses = calls.join_all().await;
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    // A machine that takes long gives back a few while it is at it.
    let through = u32::try_from(count(200)).unwrap();
    assert!((MOST..30).contains(&through), "{statuses:?}");
    assert_eq!(count(200) + count(429), 60, "{statuses:?}");
    // None that was refused has reached the plugin.
    let ran = app
        .user("bob")
        .execute("shop", &json!({}))
        .await
        .expect_ok();
    assert_eq!(ran["ran"], through + 1);
}
