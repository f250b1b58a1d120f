//! Every close code of the contract, provoked once.

use serde_json::json;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::{Claims, Socket, both, gateway};

#[tokio::test]
async fn no_credentials_in_time_is_4401() {
    let app = gateway()
        .env("MOZAIKS_WS_AUTH_TIMEOUT_SECONDS", "0.05")
        .start()
        .await;
    let mut silent = Socket::try_open(Socket::request(&app, "/ws"))
        .await
        .unwrap();
    assert_eq!(silent.close_code().await, 4401);
    let mut wrong = Socket::try_open(Socket::request(&app, "/ws"))
        .await
        .unwrap();
    wrong
        .say(&json!({"type": "auth", "token": "nonsense"}))
        .await;
    assert_eq!(wrong.close_code().await, 4401);
}

#[tokio::test]
async fn another_user_after_the_handshake_is_4403() {
    for certificate in both() {
        let app = gateway().tls(certificate.as_ref()).start().await;
        let request = Socket::request(&app, "/ws/notifications/bob");
        let mut socket = Socket::try_open(request).await.unwrap();
        let token = Claims::user("ada").sign();
        socket.say(&json!({"type": "auth", "token": token})).await;
        assert_eq!(socket.close_code().await, 4403);
    }
}

#[tokio::test]
async fn the_eleventh_connection_of_a_user_is_4429() {
    let app = gateway().start().await;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(Socket::open(&app, "ada").await);
    }
    let mut request = Socket::request(&app, "/ws");
    let header = format!("Bearer {}", Claims::user("ada").sign())
        .parse()
        .unwrap();
    request.headers_mut().insert("authorization", header);
    let mut eleventh = Socket::try_open(request).await.unwrap();
    assert_eq!(eleventh.close_code().await, 4429);
    let _other_user = Socket::open(&app, "bob").await;
    drop(open.pop());
    app.metric_reaches("mozaiks_sockets_open", |open| open == 10.0)
        .await;
    let _room_again = Socket::open(&app, "ada").await;
}

#[tokio::test]
async fn a_message_over_64_kib_is_1009_and_a_binary_one_1003() {
    for certificate in both() {
        let app = gateway().tls(certificate.as_ref()).start().await;
        let mut socket = Socket::open(&app, "ada").await;
        let fits = json!({"type": "ping", "x": "y".repeat(65_000)}).to_string();
        socket.send(Message::text(fits)).await;
        assert_eq!(socket.message().await, json!({"type": "pong"}));
        let large = json!({"type": "ping", "x": "y".repeat(70_000)}).to_string();
        socket.send(Message::text(large)).await;
        assert_eq!(socket.close_code().await, 1009);
        let mut socket = Socket::open(&app, "ada").await;
        socket
            .send(Message::binary(Bytes::from_static(b"{}")))
            .await;
        assert_eq!(socket.close_code().await, 1003);
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_closed() {
    for certificate in both() {
        let app = gateway()
            .tls(certificate.as_ref())
            .env("MOZAIKS_WS_HEARTBEAT_SECONDS", "0.1")
            // Far more than an answer takes, also where the test itself has to wait for a core.
            .env("MOZAIKS_WS_PONG_TIMEOUT_SECONDS", "2")
            .start()
            .await;
        let mut alive = Socket::open(&app, "ada").await;
        let mut dead = super::protocol::RawSocket::open(&app, "ada").await;
        tokio::select! {
            code = dead.close_code() => assert_eq!(code, 4408),
            // Reading is what makes this client answer its pings.
            message = alive.message() => panic!("unexpected {message}"),
        }
        assert!(alive.drain().await.is_empty());
    }
}

#[tokio::test]
async fn shutdown_is_1001_and_waits_for_the_goodbyes() {
    for certificate in both() {
        let mut app = gateway().tls(certificate.as_ref()).start().await;
        let mut sockets = Vec::new();
        for user in ["ada", "bob"] {
            sockets.push(Socket::open(&app, user).await);
        }
        app.signal("TERM");
        for socket in &mut sockets {
            assert_eq!(socket.close_code().await, 1001);
        }
        drop(sockets);
        assert!(app.ended().await.success());
    }
}
