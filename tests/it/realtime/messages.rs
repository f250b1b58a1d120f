//! What clients say reaches the plugin that wants it, with who says it.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{Claims, Socket, gateway};

#[tokio::test]
async fn messages_reach_handlers_with_the_senders_identity() {
    let app = gateway().start().await;
    let mut ada = Socket::open(&app, "ada").await;
    let said = json!({
        "type": "live.echo", "user_id": "bob", "app_id": "other", "n": [1, 2.5, null],
        "_context": {"user_id": "bob", "is_superadmin": true},
        "_entitlements": {"plan": "gold"}, "user_jwt": "a.b.c",
    });
    ada.say(&said).await;
    let mut answer = ada.message().await;
    let request_id = answer["data"]["_context"]["request_id"].take();
    assert!(request_id.as_str().unwrap().starts_with("ws-"), "{answer}");
    assert_eq!(
        answer,
        json!({
            "type": "echoed",
            "by": "ada",
            "app": "default",
            "data": {
                "type": "live.echo",
                "n": [1, 2.5, null],
                "user_id": "ada",
                "app_id": "default",
                "_context": {
                    "app_id": "default",
                    "user_id": "ada",
                    "username": null,
                    "roles": [],
                    "is_superadmin": false,
                    "request_id": null,
                },
            },
        })
    );
    ada.say(&json!({"type": "live.plain", "expect": "ada"}))
        .await;
    assert!(ada.drain().await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_handled_is_answered() {
    let mut app = gateway().start().await;
    let mut ada = Socket::open(&app, "ada").await;
    for (message, code) in [
        (json!({"type": "nobody.listens"}), "UNKNOWN_MESSAGE_TYPE"),
        (json!({"type": 1}), "INVALID_REQUEST"),
        (json!({"no": "type"}), "INVALID_REQUEST"),
        (json!(["type"]), "INVALID_REQUEST"),
        (json!({"type": "live.fails"}), "PLUGIN_ERROR"),
        (
            json!({"type": "live.plain", "expect": "bob"}),
            "PLUGIN_ERROR",
        ),
    ] {
        ada.say(&message).await;
        let answer = ada.message().await;
        assert_eq!(answer["type"], "error", "{message}");
        assert_eq!(answer["error_code"], code, "{message}");
        assert!(!answer.to_string().contains("not today"), "{answer}");
    }
    app.log_line(&["not today", "live"]).await;
    assert_eq!(ada.drain().await.len(), 0);
}

#[tokio::test]
async fn the_newest_token_of_a_live_socket_says_when_it_ends() {
    let app = gateway()
        .env("MOZAIKS_JWT_LEEWAY_SECONDS", "0")
        .start()
        .await;
    let mut lasting = Socket::open(&app, "ada").await;
    let mut ending = Socket::open(&app, "ada").await;
    lasting
        .say(&json!({"type": "auth", "token": Claims::user("ada").sign()}))
        .await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let soon = Claims::user("ada").with("exp", now.unwrap().as_secs() + 2);
    // On a machine so slow that the token has ended before it is read, it ends the socket at once.
    ending
        .say(&json!({"type": "auth", "token": soon.sign()}))
        .await;
    assert_eq!(ending.close_code().await, 4401);
    assert!(lasting.drain().await.is_empty());
}

#[tokio::test]
async fn the_first_and_the_last_connection_of_a_user_are_events() {
    let app = gateway().start().await;
    let first = Socket::open(&app, "ada").await;
    let second = Socket::open(&app, "ada").await;
    drop(first);
    app.metric_reaches("mozaiks_sockets_open", |open| open == 1.0)
        .await;
    drop(second);
    let client = app.user("bob");
    let seen = async {
        loop {
            let answer = client.execute("live", &json!({"do": "presence"})).await;
            let seen = answer.expect_ok()["seen"].clone();
            if seen.as_array().is_some_and(|seen| seen.len() >= 2) {
                return seen;
            }
        }
    };
    let seen = crate::support::within(std::time::Duration::from_secs(60), seen).await;
    assert_eq!(seen, json!(["+ada", "-ada"]));
}

#[tokio::test]
async fn what_no_handler_could_be_given_is_answered_and_nothing_else_happens() {
    let app = gateway().start().await;
    let mut ada = Socket::open(&app, "ada").await;
    let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
    for value in [
        deep.as_str(),
        r#""\ud800""#,
        r#"{"\udfff": 1}"#,
        "1e999",
        &"7".repeat(5000),
    ] {
        for message_type in ["live.echo", "nobody.listens", "ping"] {
            let text = format!(r#"{{"type": "{message_type}", "x": {value}}}"#);
            ada.send(Message::text(text)).await;
            let answer = ada.message().await;
            assert_eq!(answer["type"], "error", "{value}");
            assert_eq!(answer["error_code"], "INVALID_JSON", "{value}");
        }
    }
    assert!(ada.drain().await.is_empty());
    let nested = format!("{}{}", "[".repeat(63), "]".repeat(63));
    let text = format!(r#"{{"type": "live.plain", "expect": "ada", "x": {nested}}}"#);
    ada.send(Message::text(text)).await;
    assert!(ada.drain().await.is_empty(), "64 levels are taken");
}
