//! Browsers of other origins.

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, TestApp, TestClient};

async fn preflight(client: &TestClient, origin: &str) -> Answer {
    let request = client
        .request(Method::OPTIONS, "/api/execute/echo")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    Answer::of(request).await
}

#[tokio::test]
async fn only_listed_origins_are_admitted() {
    let app = TestApp::builder()
        .env(
            "MOZAIKS_CORS_ORIGINS",
            "https://app.example,https://admin.example",
        )
        .start()
        .await;
    let client = app.anonymous();
    let admitted = preflight(&client, "https://admin.example").await;
    assert_eq!(admitted.status, 204);
    assert_eq!(
        admitted.header("access-control-allow-origin"),
        Some("https://admin.example")
    );
    let allowed = admitted.header("access-control-allow-headers").unwrap();
    for name in ["authorization", "content-type", "x-request-id"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    assert!(
        admitted
            .header("access-control-allow-methods")
            .unwrap()
            .contains("POST")
    );
    assert_eq!(admitted.header("vary"), Some("origin"));

    for origin in [
        "https://evil.example",
        "http://app.example",
        "http://localhost:5173",
        "null",
    ] {
        let denied = preflight(&client, origin).await;
        denied.expect_error(403, "FORBIDDEN");
        assert_eq!(denied.header("access-control-allow-origin"), None);
    }

    let answer = Answer::of(
        client
            .request(Method::POST, "/api/execute/echo")
            .header("origin", "https://app.example"),
    )
    .await;
    answer.expect_error(401, "AUTH_REQUIRED");
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://app.example"),
        "a page may read errors too"
    );
    assert_eq!(
        answer.header("access-control-expose-headers"),
        Some("x-request-id")
    );
    let answer = Answer::of(
        client
            .request(Method::GET, "/health")
            .header("origin", "https://evil.example"),
    )
    .await;
    assert_eq!(answer.expect_ok(), json!({ "status": "ok" }));
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn by_default_no_origin_and_in_development_localhost() {
    let app = TestApp::builder().start().await;
    preflight(&app.anonymous(), "http://localhost:5173")
        .await
        .expect_error(403, "FORBIDDEN");
    let app = TestApp::builder().dev().start().await;
    let answer = preflight(&app.anonymous(), "http://localhost:5173").await;
    assert_eq!(answer.status, 204);
    preflight(&app.anonymous(), "https://app.example")
        .await
        .expect_error(403, "FORBIDDEN");
}
