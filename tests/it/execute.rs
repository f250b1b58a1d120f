//! Calls that work.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Claims, TestApp, within};

const ECHO: &str = "def execute(data):\n    return {'data': data}\n";

#[tokio::test]
async fn identity_is_injected_over_whatever_the_client_sent() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let claims = Claims::user("u-1")
        .with("username", "Uma")
        .with("roles", vec!["editor"]);
    let data = json!({
        "action": "list",
        "user_id": "root",
        "app_id": "another",
        "_context": { "is_superadmin": true },
        "_entitlements": ["everything"],
        "user_jwt": "a.b.c",
    });
    let request = app
        .with_claims(&claims)
        .request(Method::POST, "/api/execute/echo")
        .header("x-request-id", "web:42")
        .json(&data);
    let answer = Answer::of(request).await;
    assert_eq!(
        answer.expect_ok()["data"],
        json!({
            "action": "list",
            "user_id": "u-1",
            "app_id": "default",
            "_context": {
                "app_id": "default",
                "user_id": "u-1",
                "username": "Uma",
                "roles": ["editor"],
                "is_superadmin": false,
                "request_id": "web:42",
            },
        })
    );
    assert_eq!(answer.header("x-request-id"), Some("web:42"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn an_empty_body_is_an_empty_object() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let request = app.user("a").request(Method::POST, "/api/execute/echo");
    let data = Answer::of(request).await.expect_ok()["data"].clone();
    assert_eq!(data["user_id"], "a");
    assert_eq!(data["_context"]["username"], json!(null));
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    let app = TestApp::builder()
        .plugin(
            "size",
            "def execute(data):\n    return {'size': len(data['x'])}\n",
        )
        .start()
        .await;
    let frame = "{\"x\":\"\"}".len();
    let body = format!("{{\"x\":\"{}\"}}", "y".repeat((1 << 20) - frame));
    assert_eq!(body.len(), 1 << 20);
    let answer = app.user("a").execute_raw("size", body).await;
    assert_eq!(answer.expect_ok()["size"], (1 << 20) - frame);
}

#[tokio::test]
async fn large_bodies_are_read_as_small_ones_are() {
    const TYPES: &str = r#"
def execute(data):
    def told(value):
        if isinstance(value, dict):
            return {key: told(each) for key, each in value.items()}
        if isinstance(value, list):
            return [told(each) for each in value]
        return [type(value).__name__, repr(value)]

    data.pop("filler")
    data["_context"].pop("request_id")
    return {"told": told(data)}
"#;
    let app = TestApp::builder().plugin("types", TYPES).start().await;
    let rows: Vec<_> = (0..40)
        .map(|n| format!(r#"{{"id":{n},"nom\u00e9":"é{n}","k{n}":[]}}"#))
        .collect();
    let body = |filler: usize| {
        format!(
            r#"{{"filler":"{}","user_id":"root","_context":{{"roles":["admin"]}},"user_jwt":1,"a":1,
            "numbers":[0,-0,1.0,-0.0,1e5,9223372036854775807,9223372036854775808,-12345678901234567890,0.1],
            "texts":["","é","\u00e9","\"\\\/\b\f\n\r\t","\ud83d\ude00","日本"],
            "flags":[true,false,null],"nested":{{"nested":{{"nested":[[[]]]}}}},"a":2,
            "rows":[{}]}}"#,
            "x".repeat(filler),
            rows.join(",")
        )
    };
    let user = app.user("u-1");
    let small = user.execute_raw("types", body(1)).await.expect_ok();
    let large = user.execute_raw("types", body(100_000)).await.expect_ok();
    assert_eq!(small["told"]["user_id"], json!(["str", "'u-1'"]));
    assert_eq!(
        small["told"]["numbers"][7],
        json!(["int", "-12345678901234567890"])
    );
    assert_eq!(small["told"]["a"], json!(["int", "2"]), "the last wins");
    assert_eq!(small, large);
}

#[tokio::test]
async fn odd_request_ids_are_replaced() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    for sent in ["a b", "\"quoted\"", &"x".repeat(129)] {
        let request = app
            .user("a")
            .request(Method::POST, "/api/execute/echo")
            .header("x-request-id", sent);
        let answer = Answer::of(request).await;
        let id = answer.header("x-request-id").unwrap();
        assert_ne!(id, sent);
        assert_eq!(answer.expect_ok()["data"]["_context"]["request_id"], id);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cancel_its_call() {
    let logic = "import asyncio, os\n\
        async def execute(data):\n\
        \x20   open(os.path.join(data['dir'], 'began'), 'w').close()\n\
        \x20   while not os.path.exists(os.path.join(data['dir'], 'go')):\n\
        \x20       await asyncio.sleep(0.01)\n\
        \x20   open(os.path.join(data['dir'], 'ended'), 'w').close()\n\
        \x20   return {}\n";
    let mut app = TestApp::builder().plugin("patient", logic).start().await;
    let dir = tempfile::TempDir::new().unwrap();
    let user = app.user("a");
    let data = json!({ "dir": dir.path() });
    let call = tokio::spawn(async move { user.execute("patient", &data).await });
    file_appears(&dir.path().join("began")).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    app.log_line(&["\"http.status\":499", "patient"]).await;
    std::fs::write(dir.path().join("go"), "").unwrap();
    file_appears(&dir.path().join("ended")).await;
    let series = "mozaiks_plugin_calls_total{plugin=\"patient\",kind=\"execute\",outcome=\"ok\"}";
    app.metric_reaches(series, |count| count == 1.0).await;
}

async fn file_appears(path: &std::path::Path) {
    within(Duration::from_secs(60), async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn every_request_has_one_log_line_without_secrets() {
    let mut app = TestApp::builder().plugin("echo", ECHO).start().await;
    let token = Claims::user("u-1").sign();
    let request = app
        .with_token(&token)
        .request(Method::POST, "/api/execute/echo?key=in-the-query")
        .header("x-request-id", "logged-1")
        .json(&json!({ "action": "list", "password": "in-the-body" }));
    Answer::of(request).await.expect_ok();
    let line = app.log_line(&["logged-1", "\"target\":\"access\""]).await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["user.id"], "u-1");
    assert_eq!(line["app.id"], "default");
    assert_eq!(line["plugin.name"], "echo");
    assert_eq!(line["plugin.action"], "list");
    assert_eq!(line["http.method"], "POST");
    assert_eq!(line["http.path"], "/api/execute/echo");
    assert_eq!(line["http.status"], 200);
    assert!(line["time_ms"].as_f64().unwrap() > 0.0);
    let log = app.log_text();
    for secret in [token.as_str(), "in-the-query", "in-the-body"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert_eq!(log.matches("logged-1").count(), 1);
}

#[tokio::test]
async fn http2_with_prior_knowledge() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let call = |n: u32| {
        http::Request::builder()
            .method("POST")
            .uri(format!("http://{}/api/execute/echo", app.address))
            .header(
                "authorization",
                format!("Bearer {}", Claims::user("a").sign()),
            )
            .header("content-type", "application/json")
            .header("x-request-id", format!("h2-{n}"))
            .body(())
            .unwrap()
    };
    let mut answers = Vec::new();
    for n in 0..8 {
        let (answer, mut body) = client.send_request(call(n), false).unwrap();
        body.send_data(format!("{{\"n\":{n}}}").into(), true)
            .unwrap();
        answers.push(answer);
    }
    for (n, answer) in answers.into_iter().enumerate() {
        let mut answer = within(Duration::from_secs(60), answer).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-request-id"], format!("h2-{n}"));
        let mut bytes = Vec::new();
        while let Some(data) = answer.body_mut().data().await {
            bytes.extend_from_slice(&data.unwrap());
        }
        let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(body["data"]["n"], n);
    }
    driving.abort();
}
