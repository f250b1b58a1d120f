//! A user who sends too much over a socket is told so, and keeps the socket.

use serde_json::json;

use super::{Claims, Socket, gateway};

#[tokio::test]
async fn messages_over_the_rate_are_refused_and_the_socket_stays() {
    let app = gateway().env("MOZAIKS_RATE_LIMIT_USER", "2").start().await;
    // The handshake is the first.
    let mut ada = Socket::open(&app, "ada").await;
    ada.say(&json!({"type": "live.echo"})).await;
    assert_eq!(ada.message().await["type"], "echoed");
    for message in [json!({"type": "live.echo"}), json!({"type": 1}), json!([])] {
        ada.say(&message).await;
        let answer = ada.message().await;
        assert_eq!(answer["type"], "error", "{answer}");
        assert_eq!(answer["error_code"], "RATE_LIMITED", "{answer}");
    }
    ada.say(&json!({"type": "ping"})).await;
    assert_eq!(ada.message().await["type"], "pong");
    // No way round by HTTP or another socket.
    let again = app.user("ada").execute("live", &json!({})).await;
    again.expect_error(429, "RATE_LIMITED");
    let mut handshake = Socket::request(&app, "/ws");
    let header = format!("Bearer {}", Claims::user("ada").sign());
    handshake
        .headers_mut()
        .insert("authorization", header.parse().unwrap());
    let refused = Socket::try_open(handshake).await.err().unwrap();
    assert_eq!(refused, (429, "RATE_LIMITED".to_owned()));
    let mut bob = Socket::open(&app, "bob").await;
    bob.say(&json!({"type": "live.echo"})).await;
    assert_eq!(bob.message().await["type"], "echoed");
}

#[tokio::test]
async fn a_plugins_rate_holds_for_messages() {
    let app = gateway()
        .env("MOZAIKS_RATE_LIMIT_PLUGIN", "1")
        .start()
        .await;
    let mut ada = Socket::open(&app, "ada").await;
    ada.say(&json!({"type": "live.echo"})).await;
    assert_eq!(ada.message().await["type"], "echoed");
    let mut bob = Socket::open(&app, "bob").await;
    bob.say(&json!({"type": "live.echo"})).await;
    assert_eq!(bob.message().await["error_code"], "RATE_LIMITED");
}

#[tokio::test]
async fn handshakes_without_credentials_count_by_address() {
    let app = gateway()
        .env("MOZAIKS_RATE_LIMIT_ADDRESS", "1")
        .start()
        .await;
    let _waits = Socket::try_open(Socket::request(&app, "/ws"))
        .await
        .ok()
        .unwrap();
    let refused = Socket::try_open(Socket::request(&app, "/ws"))
        .await
        .err()
        .unwrap();
    assert_eq!(refused, (429, "RATE_LIMITED".to_owned()));
    Socket::open(&app, "ada").await;
}
