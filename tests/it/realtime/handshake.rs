//! Five ways to say who it is, and what is refused before the upgrade.

use serde_json::{Value, json};

use super::{Claims, Socket, TestApp, gateway, of_app};
use crate::support::Answer;

async fn ticket(app: &TestApp, user: &str) -> Value {
    let request = app
        .user(user)
        .request(reqwest::Method::POST, "/api/ws/ticket");
    Answer::of(request).await.expect_ok()
}

#[tokio::test]
async fn each_way_to_present_credentials_opens_a_socket() {
    let app = gateway()
        .env("MOZAIKS_WS_QUERY_TOKENS", "true")
        .start()
        .await;
    let token = Claims::user("ada").sign();

    let mut by_header = Socket::request(&app, "/ws");
    let header = format!("Bearer {token}").parse().unwrap();
    by_header.headers_mut().insert("authorization", header);

    let mut by_protocol = Socket::request(&app, "/ws/notifications/ada");
    let protocols = format!("bearer, {token}").parse().unwrap();
    by_protocol
        .headers_mut()
        .insert("sec-websocket-protocol", protocols);

    let ticket = ticket(&app, "ada").await;
    assert_eq!(ticket["expires_in"], 30);
    let with_ticket = format!("/ws?ticket={}", ticket["ticket"].as_str().unwrap());
    let by_ticket = Socket::request(&app, &with_ticket);
    let by_token = Socket::request(&app, &format!("/ws?token={token}"));
    let by_access_token = Socket::request(&app, &format!("/ws?access_token={token}"));

    for (name, request) in [
        ("header", by_header),
        ("protocol", by_protocol),
        ("ticket", by_ticket),
        ("token", by_token),
        ("access token", by_access_token),
    ] {
        let mut socket = Socket::try_open(request).await.expect(name);
        socket.ack().await;
        assert_eq!(socket.ack["user_id"], "ada", "{name}");
        assert_eq!(socket.ack["offset"], 0, "{name}");
        assert!(socket.ack.get("recovered").is_none(), "{name}");
        let chosen = socket.response.headers().get("sec-websocket-protocol");
        assert_eq!(chosen.is_some(), name == "protocol");
        assert!(chosen.is_none_or(|chosen| chosen == "bearer"));
    }

    let mut by_message = Socket::try_open(Socket::request(&app, "/ws"))
        .await
        .unwrap();
    by_message
        .say(&json!({"type": "auth", "token": token}))
        .await;
    by_message.ack().await;

    let again = Socket::try_open(Socket::request(&app, &with_ticket)).await;
    assert_eq!(
        again.err(),
        Some((401, "TOKEN_INVALID".into())),
        "a ticket works once"
    );
    assert!(!app.log_text().contains(&token), "tokens are never logged");
    assert!(!app.log_text().contains(ticket["ticket"].as_str().unwrap()));
}

#[tokio::test]
async fn tokens_in_the_url_are_for_those_who_want_them() {
    let app = gateway()
        .env("MOZAIKS_WS_AUTH_TIMEOUT_SECONDS", "0.05")
        .start()
        .await;
    let path = format!("/ws?token={}", Claims::user("ada").sign());
    let mut socket = Socket::try_open(Socket::request(&app, &path))
        .await
        .unwrap();
    assert_eq!(socket.close_code().await, 4401);

    let dev = gateway().dev().start().await;
    let mut socket = Socket::try_open(Socket::request(&dev, &path))
        .await
        .unwrap();
    socket.ack().await;
}

#[tokio::test]
async fn what_can_be_refused_is_refused_before_the_upgrade() {
    let app = gateway()
        .env("MOZAIKS_CORS_ORIGINS", "https://app.example")
        .start()
        .await;
    let with = |path: &str, name: &'static str, value: String| {
        let mut request = Socket::request(&app, path);
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let bearer = |claims: Claims| format!("Bearer {}", claims.sign());
    let ada = || bearer(Claims::user("ada"));
    let cases = [
        (
            "expired",
            with(
                "/ws",
                "authorization",
                bearer(Claims::user("ada").expired()),
            ),
            401,
            "TOKEN_EXPIRED",
        ),
        (
            "no token",
            with("/ws", "authorization", "Bearer nonsense".into()),
            401,
            "TOKEN_INVALID",
        ),
        (
            "scheme",
            with("/ws", "authorization", "Basic dTpw".into()),
            401,
            "AUTH_INVALID",
        ),
        (
            "other app",
            with("/ws", "authorization", bearer(of_app("elsewhere", "ada"))),
            403,
            "APP_MISMATCH",
        ),
        (
            "other user",
            with("/ws/notifications/bob", "authorization", ada()),
            403,
            "FORBIDDEN",
        ),
        (
            "ticket",
            with("/ws?ticket=made-up", "x-nothing", "1".into()),
            401,
            "TOKEN_INVALID",
        ),
        (
            "origin",
            with("/ws", "origin", "https://evil.example".into()),
            403,
            "FORBIDDEN",
        ),
        (
            "version",
            with("/ws", "sec-websocket-version", "8".into()),
            426,
            "UPGRADE_REQUIRED",
        ),
        (
            "key",
            with("/ws", "sec-websocket-key", "short".into()),
            400,
            "INVALID_REQUEST",
        ),
    ];
    for (name, request, status, code) in cases {
        let refused = Socket::try_open(request).await.err();
        assert_eq!(refused, Some((status, code.into())), "{name}");
    }
    let mut admitted = with("/ws", "origin", "https://app.example".into());
    let header = ada().parse().unwrap();
    admitted.headers_mut().insert("authorization", header);
    Socket::try_open(admitted).await.unwrap().ack().await;

    let plain = app.user("ada").get("/ws").await;
    plain.expect_error(426, "UPGRADE_REQUIRED");
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    assert_eq!(plain.header("sec-websocket-version"), Some("13"));

    // Who does not know their own id writes `_`.
    let oneself = Socket::open_as(&app, &Claims::user("ada"), "/ws/notifications/_").await;
    assert_eq!(oneself.ack["user_id"], "ada");

    let superadmin = Claims::user("root").with("roles", vec!["superadmin"]);
    let watching = Socket::open_as(&app, &superadmin, "/ws/notifications/bob").await;
    assert_eq!(watching.ack["user_id"], "bob");
}

#[tokio::test]
async fn sockets_without_credentials_are_limited() {
    let app = gateway()
        .env("MOZAIKS_WS_MAX_UNAUTHENTICATED", "2")
        .start()
        .await;
    let open = || Socket::try_open(Socket::request(&app, "/ws"));
    let mut one = open().await.unwrap();
    let _two = open().await.unwrap();
    assert_eq!(open().await.err(), Some((503, "OVERLOADED".into())));
    // One that has said who it is makes room.
    let token = Claims::user("ada").sign();
    one.say(&json!({"type": "auth", "token": token})).await;
    one.ack().await;
    open().await.unwrap();
}

#[tokio::test]
async fn tickets_are_limited_for_each_user() {
    let app = gateway()
        .env("MOZAIKS_WS_MAX_TICKETS_PER_USER", "2")
        .start()
        .await;
    for _ in 0..2 {
        ticket(&app, "ada").await;
    }
    let request = app
        .user("ada")
        .request(reqwest::Method::POST, "/api/ws/ticket");
    Answer::of(request)
        .await
        .expect_error(429, "LIMIT_EXCEEDED");
    ticket(&app, "bob").await;
    let request = app
        .anonymous()
        .request(reqwest::Method::POST, "/api/ws/ticket");
    Answer::of(request).await.expect_error(401, "AUTH_REQUIRED");
}
