mod peer;

use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use self::peer::{Frame, PATIENCE, Peer, masked};
use super::*;
use crate::testing::{identity, realtime};
use mozaiks_config::RealtimeConfig;

fn verified(app: &str, user: &str) -> SocketRequest {
    SocketRequest {
        path_user: None,
        credentials: Credentials::Verified(identity(app, user)),
        tracked: false,
        resume: None,
    }
}

fn awaited(realtime: &Realtime) -> SocketRequest {
    SocketRequest {
        path_user: None,
        credentials: Credentials::Awaited(realtime.unauthenticated_slot().unwrap()),
        tracked: false,
        resume: None,
    }
}

fn quick() -> RealtimeConfig {
    RealtimeConfig {
        close_timeout: Duration::from_millis(500),
        ..RealtimeConfig::default()
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    tokio::time::timeout(PATIENCE, async {
        while !done() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("never: {what}"));
}

fn closed(realtime: &Realtime, code: CloseCode) -> u64 {
    let stats = realtime.hub.stats();
    stats
        .closed
        .iter()
        .find(|(known, _)| *known == code)
        .unwrap()
        .1
}

#[tokio::test]
async fn a_verified_socket_is_acknowledged_and_reached() {
    let (realtime, presence) = realtime(quick());
    let mut peer = Peer::connect(&realtime, verified("a", "u")).await;
    let ack = peer.ack().await;
    assert_eq!(ack["user_id"], "u");
    assert_eq!(ack["offset"], 0);
    let message = Message::from_value(&json!({"type": "hello"}), 1000).unwrap();
    assert_eq!(realtime.hub.send_to_user("a", "u", &message), 1);
    let id = ack["connection_id"].as_str().unwrap();
    assert!(realtime.hub.send_to_connection("a", id, &message));
    assert_eq!(peer.text().await, json!({"type": "hello"}));
    assert_eq!(peer.text().await, json!({"type": "hello"}));
    peer.say(json!({"type": "ping"})).await;
    assert_eq!(peer.text().await, json!({"type": "pong"}));
    peer.send(&masked(0x89, b"x")).await;
    assert_eq!(peer.next().await, Frame::Pong(b"x".to_vec()));
    peer.send(&masked(0x88, &1000_u16.to_be_bytes())).await;
    peer.expect_close(1000).await;
    peer.ended().await;
    assert_eq!(*presence.0.lock(), ["+a/u", "-a/u"]);
    assert_eq!(realtime.hub.stats().connections, 0);
}

#[tokio::test]
async fn a_socket_that_just_hangs_up_is_forgotten() {
    let (realtime, presence) = realtime(quick());
    let mut peer = Peer::connect(&realtime, verified("a", "u")).await;
    peer.ack().await;
    peer.ended().await;
    assert_eq!(*presence.0.lock(), ["+a/u", "-a/u"]);
}

#[tokio::test]
async fn a_first_message_says_who_it_is() {
    let (realtime, _) = realtime(quick());
    let mut peer = Peer::connect(&realtime, awaited(&realtime)).await;
    // What follows the token in the same packet is taken after it has been verified.
    let mut said = masked(0x81, br#"{"type":"auth","token":"a/u"}"#);
    said.extend(masked(0x81, br#"{"type":"ping"}"#));
    peer.send(&said).await;
    assert_eq!(peer.ack().await["user_id"], "u");
    assert_eq!(peer.text().await, json!({"type": "pong"}));
    peer.ended().await;
}

#[tokio::test]
async fn what_arrived_with_the_request_is_not_lost() {
    let (realtime, _) = realtime(quick());
    let leftover = masked(0x81, br#"{"type":"auth","token":"a/u"}"#).into();
    let mut peer = Peer::connect_with(&realtime, awaited(&realtime), leftover).await;
    peer.ack().await;
    peer.ended().await;
}

#[tokio::test]
async fn without_a_good_token_it_is_4401() {
    let (impatient, nobody) = realtime(RealtimeConfig {
        auth_timeout: Duration::from_millis(30),
        ..quick()
    });
    let mut silent = Peer::connect(&impatient, awaited(&impatient)).await;
    assert_eq!(silent.expect_close(4401).await, "AUTH_REQUIRED");
    assert!(nobody.0.lock().is_empty());
    let (realtime, presence) = realtime(quick());
    let mut other = Peer::connect(&realtime, awaited(&realtime)).await;
    other.say(json!({"type": "ping"})).await;
    assert_eq!(other.expect_close(4401).await, "AUTH_REQUIRED");
    let mut wrong = Peer::connect(&realtime, awaited(&realtime)).await;
    wrong
        .say(json!({"type": "auth", "token": "nonsense"}))
        .await;
    assert_eq!(wrong.expect_close(4401).await, "TOKEN_INVALID");
    for peer in [silent, other, wrong] {
        peer.ended().await;
    }
    assert!(presence.0.lock().is_empty());
}

#[tokio::test]
async fn another_users_path_is_4403_except_for_superadmins() {
    let (realtime, _) = realtime(quick());
    let of = |user: &str| SocketRequest {
        path_user: Some("u".into()),
        ..verified("a", user)
    };
    let mut stranger = Peer::connect(&realtime, of("v")).await;
    stranger.expect_close(4403).await;
    let mut root = Peer::connect(&realtime, of("root")).await;
    assert_eq!(root.ack().await["user_id"], "u");
    let mut late = Peer::connect(
        &realtime,
        SocketRequest {
            path_user: Some("u".into()),
            ..awaited(&realtime)
        },
    )
    .await;
    late.say(json!({"type": "auth", "token": "a/v"})).await;
    late.expect_close(4403).await;
    for peer in [stranger, root, late] {
        peer.ended().await;
    }
}

#[tokio::test]
async fn a_token_that_expires_closes_and_a_newer_one_goes_on() {
    let (realtime, _) = realtime(quick());
    let mut short = Peer::connect(&realtime, awaited(&realtime)).await;
    let mut renewed = Peer::connect(&realtime, awaited(&realtime)).await;
    for peer in [&mut short, &mut renewed] {
        peer.say(json!({"type": "auth", "token": "a/u/1000"})).await;
        peer.ack().await;
    }
    renewed.say(json!({"type": "auth", "token": "a/u"})).await;
    renewed.say(json!({"type": "ping"})).await;
    assert_eq!(renewed.text().await, json!({"type": "pong"}));
    assert_eq!(short.expect_close(4401).await, "TOKEN_EXPIRED");
    renewed.say(json!({"type": "ping"})).await;
    assert_eq!(renewed.text().await, json!({"type": "pong"}));
    // Renewing is for the same user only, and with a good token only.
    renewed.say(json!({"type": "auth", "token": "a/v"})).await;
    renewed.expect_close(4403).await;
    let mut other_app = Peer::connect(&realtime, verified("a", "u")).await;
    other_app.ack().await;
    other_app.say(json!({"type": "auth", "token": "b/u"})).await;
    other_app.expect_close(4403).await;
    let mut bad = Peer::connect(&realtime, verified("a", "u")).await;
    bad.ack().await;
    bad.say(json!({"type": "auth", "token": "nonsense"})).await;
    bad.expect_close(4401).await;
    for peer in [short, renewed, other_app, bad] {
        peer.ended().await;
    }
    assert_eq!(realtime.hub.stats().connections, 0);
}

#[tokio::test]
async fn a_missing_pong_closes_and_an_answering_client_stays() {
    let config = RealtimeConfig {
        heartbeat_interval: Duration::from_millis(40),
        // Long enough for an answer on a machine that has much else to do.
        pong_timeout: Duration::from_secs(1),
        ..quick()
    };
    let (realtime, _) = realtime(config);
    let mut alive = Peer::connect(&realtime, verified("a", "u")).await;
    alive.ack().await;
    for _ in 0..5 {
        assert_eq!(alive.next().await, Frame::Ping);
        alive.send(&masked(0x8A, b"")).await;
    }
    let mut dead = Peer::connect(&realtime, verified("a", "u")).await;
    dead.ack().await;
    loop {
        match dead.next().await {
            Frame::Ping => {}
            Frame::Close(code, reason) => {
                assert_eq!((code, &*reason), (4408, "no pong"));
                break;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    alive.ended().await;
    dead.ended().await;
}

#[tokio::test]
async fn one_connection_too_many_is_4429() {
    let config = RealtimeConfig {
        max_connections_per_user: 1,
        ..quick()
    };
    let (realtime, _) = realtime(config);
    let mut one = Peer::connect(&realtime, verified("a", "u")).await;
    one.ack().await;
    let mut two = Peer::connect(&realtime, verified("a", "u")).await;
    two.expect_close(4429).await;
    one.ended().await;
    two.ended().await;
}

#[tokio::test]
async fn shutdown_is_1001() {
    let (realtime, _) = realtime(quick());
    let mut peer = Peer::connect(&realtime, verified("a", "u")).await;
    peer.ack().await;
    realtime.hub.shut_down();
    peer.expect_close(1001).await;
    let mut late = Peer::connect(&realtime, verified("a", "u")).await;
    late.expect_close(1001).await;
    peer.ended().await;
    late.ended().await;
}

#[tokio::test]
async fn breaking_the_protocol_closes_with_its_code() {
    let (realtime, _) = realtime(quick());
    let mut unmasked = masked(0x81, b"{}");
    unmasked[1] &= 0x7F;
    let mut large = vec![0x81, 0xFF];
    large.extend((64 * 1024 + 1_u64).to_be_bytes());
    large.extend([1, 2, 3, 4]);
    large.extend(vec![0; 200_000]);
    let cases: Vec<(u16, Vec<u8>)> = vec![
        (1002, unmasked),
        (1002, masked(0xC1, b"{}")),
        (1002, masked(0x80, b"{}")),
        (1002, masked(0x83, b"{}")),
        (1002, masked(0x09, b"{}")),
        (1002, masked(0x88, &[3])),
        (1002, masked(0x88, &1006_u16.to_be_bytes())),
        (1003, masked(0x82, b"{}")),
        (1007, masked(0x81, b"{\xFF}")),
        (1007, masked(0x88, b"\x03\xE8\xFF")),
        (1009, large),
    ];
    for (code, bytes) in cases {
        let mut peer = Peer::connect(&realtime, verified("a", "u")).await;
        peer.ack().await;
        peer.send(&bytes).await;
        peer.expect_close(code).await;
        peer.ended().await;
    }
    assert_eq!(closed(&realtime, CloseCode::Protocol), 7);
    assert_eq!(closed(&realtime, CloseCode::InvalidText), 2);
    assert_eq!(realtime.hub.stats().connections, 0);
}

#[tokio::test]
async fn both_sides_may_close_at_once() {
    let (realtime, _) = realtime(quick());
    let mut peer = Peer::connect(&realtime, verified("a", "u")).await;
    peer.ack().await;
    peer.send(&masked(0x88, &1000_u16.to_be_bytes())).await;
    realtime.hub.shut_down();
    match peer.next().await {
        Frame::Close(1000 | 1001, _) => {}
        other => panic!("expected a close, not {other:?}"),
    }
    assert_eq!(peer.next().await, Frame::End, "one close frame only");
    peer.ended().await;
}

#[tokio::test]
async fn messages_go_to_their_handlers_and_failures_come_back() {
    let config = RealtimeConfig {
        max_running_handlers: 1,
        ..quick()
    };
    let (realtime, _) = realtime(config);
    let mut peer = Peer::connect(&realtime, verified("a", "u")).await;
    peer.ack().await;
    let said = json!({"type": "echo", "user_id": "somebody else", "n": [1, 2.5, null]});
    peer.say(said.clone()).await;
    assert_eq!(
        peer.text().await,
        json!({"type": "echoed", "said": said, "by": "u"})
    );
    for (message, code) in [
        (r#"{"type":"fail"}"#, "PLUGIN_ERROR"),
        (r#"{"type":"busy"}"#, "OVERLOADED"),
        (r#"{"type":"nobody"}"#, "UNKNOWN_MESSAGE_TYPE"),
        (r#"{"type":7}"#, "INVALID_REQUEST"),
        ("nonsense", "INVALID_JSON"),
    ] {
        peer.send(&masked(0x81, message.as_bytes())).await;
        let answer = peer.text().await;
        assert_eq!(answer["type"], "error", "{message}");
        assert_eq!(answer["error_code"], code, "{message}");
    }
    peer.say(json!({"type": "wait"})).await;
    peer.say(json!({"type": "echo"})).await;
    assert_eq!(peer.text().await["error_code"], "OVERLOADED");
    peer.ended().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_4408_and_the_rest_get_everything() {
    let config = RealtimeConfig {
        queue_bytes: 256 * 1024,
        max_push_bytes: 64 * 1024,
        close_timeout: Duration::from_secs(10),
        ..RealtimeConfig::default()
    };
    let (realtime, _) = realtime(config);
    let mut stalled = Peer::connect(&realtime, verified("a", "u")).await;
    let mut reader = Peer::connect(&realtime, verified("a", "u")).await;
    stalled.ack().await;
    reader.ack().await;
    let mut sent = 0;
    while closed(&realtime, CloseCode::TooSlow) == 0 {
        let message = json!({"n": sent, "x": "y".repeat(20_000)});
        let message = Message::from_value(&message, 64 * 1024).unwrap();
        realtime.hub.send_to_user("a", "u", &message);
        assert_eq!(reader.text().await["n"], sent);
        sent += 1;
        assert!(sent < 5_000, "the stalled client is never closed");
    }
    assert!(realtime.hub.is_connected("a", "u"));
    // Reading again it finds whole frames, in order, and the reason at their end.
    let mut expected = 0;
    loop {
        match stalled.next().await {
            Frame::Text(message) => {
                assert_eq!(message["n"], expected);
                expected += 1;
            }
            Frame::Close(code, _) => {
                assert_eq!(code, 4408);
                break;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(expected < sent);
    stalled.ended().await;
    reader.ended().await;
    assert_eq!(realtime.hub.stats().queued_bytes, 0);
}

#[tokio::test]
async fn a_client_that_lags_is_4408_and_is_cut_off_when_it_takes_nothing() {
    let config = RealtimeConfig {
        max_lag: Duration::from_millis(50),
        close_timeout: Duration::from_millis(50),
        ..RealtimeConfig::default()
    };
    let (realtime, _) = realtime(config);
    let mut stalled = Peer::connect(&realtime, verified("a", "u")).await;
    stalled.ack().await;
    // More than the kernel takes for a client that does not read.
    let large = Message::from_value(&json!({"x": "y".repeat(900_000)}), 1 << 20).unwrap();
    while realtime.hub.stats().queued_bytes == 0 {
        realtime.hub.send_to_user("a", "u", &large);
    }
    until("the socket is given up", || stalled.served.is_finished()).await;
    assert_eq!(closed(&realtime, CloseCode::TooSlow), 1);
    assert_eq!(realtime.hub.stats().queued_bytes, 0);
    assert_eq!(realtime.hub.stats().connections, 0);
}

#[tokio::test]
async fn a_flood_to_a_reader_arrives_in_order_while_it_talks() {
    let (realtime, _) = realtime(RealtimeConfig {
        queue_bytes: 64 << 20,
        ..quick()
    });
    let mut peer = Peer::connect(
        &realtime,
        SocketRequest {
            tracked: true,
            ..verified("a", "u")
        },
    )
    .await;
    peer.ack().await;
    for n in 0..3_000 {
        let message = json!({"n": n, "x": "y".repeat(n % 5_000)});
        let message = Message::from_value(&message, 1 << 20).unwrap();
        realtime.hub.send_to_user("a", "u", &message);
    }
    peer.say(json!({"type": "ping"})).await;
    for n in 0..3_000 {
        let message = peer.text().await;
        assert_eq!(message["n"], n);
        assert_eq!(message["_offset"], n + 1);
    }
    assert_eq!(peer.text().await, json!({"type": "pong"}));
    peer.ended().await;
    assert_eq!(realtime.hub.stats().queued_bytes, 0);
}

/// An idle socket is its task and its queue: what either grows by, ten thousand sockets grow by.
#[tokio::test]
async fn an_idle_socket_is_small() {
    let (realtime, _) = realtime(quick());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let request = verified("a", "u");
    let task = Arc::clone(&realtime).serve_socket(stream.into(), Bytes::new(), request);
    let bytes = std::mem::size_of_val(&task) + std::mem::size_of::<Outbound>();
    assert!(bytes < 3 * 1024, "{bytes} bytes");
}
