use futures_util::StreamExt as _;
use serde_json::json;

use super::*;
use crate::{
    Message,
    testing::{identity, realtime},
};
use mozaiks_config::RealtimeConfig;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);

fn message(n: u64) -> Arc<Message> {
    Message::from_value(&json!({"type": "t", "n": n}), 1000).unwrap()
}

/// The next piece as text; `None` at the end. Time is paused, so that waiting for nothing fails at
/// once.
async fn next(stream: &mut EventStream) -> Option<String> {
    let piece = timeout(PATIENCE, stream.next()).await.unwrap();
    piece.map(|piece| String::from_utf8(piece.to_vec()).unwrap())
}

/// Lets the streams' tasks run until it is so; no time passes.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never: {what}");
}

fn closed(realtime: &Realtime, code: CloseCode) -> u64 {
    let stats = realtime.hub.stats();
    let found = stats.closed.iter().find(|(known, _)| *known == code);
    found.unwrap().1
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_ends_by_itself_and_others_do_not_notice() {
    let (realtime, presence) = realtime(RealtimeConfig::default());
    let mut stalled = realtime.event_stream(&identity("a", "slow"), None).unwrap();
    let mut reading = realtime.event_stream(&identity("a", "u"), None).unwrap();
    assert!(next(&mut reading).await.unwrap().contains("connection_ack"));
    for n in 1..=3 {
        assert_eq!(realtime.hub.broadcast("a", &message(n)).await, 2);
        let piece = next(&mut reading).await.unwrap();
        assert!(piece.contains(&format!("\"n\":{n}")), "{piece}");
    }
    // Nothing more is sent: only the stream's own timer can tell.
    let max_lag = realtime.config.max_lag;
    tokio::time::advance(max_lag - Duration::from_millis(1)).await;
    assert_eq!(realtime.hub.stats().connections, 2);
    tokio::time::advance(Duration::from_millis(1)).await;
    until("the stalled one leaves", || {
        realtime.hub.stats().connections == 1
    })
    .await;
    assert_eq!(closed(&realtime, CloseCode::TooSlow), 1);
    assert_eq!(realtime.hub.stats().queued_bytes, 0);
    assert_eq!(*presence.0.lock(), ["+a/slow", "+a/u", "-a/slow"]);
    assert_eq!(realtime.hub.broadcast("a", &message(4)).await, 1);
    assert!(next(&mut reading).await.unwrap().contains("\"n\":4"));
    // Reading at last, it gets what was on its way, and why there is no more.
    assert!(next(&mut stalled).await.unwrap().contains("connection_ack"));
    assert_eq!(next(&mut stalled).await.unwrap().as_bytes(), TOO_SLOW);
    assert_eq!(next(&mut stalled).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_too_much_waiting_leaves_at_once() {
    let (realtime, _) = realtime(RealtimeConfig {
        queue_bytes: 64 * 1024,
        ..RealtimeConfig::default()
    });
    let stalled = realtime.event_stream(&identity("a", "u"), None).unwrap();
    let began = Instant::now();
    let large = Message::from_value(&json!({"type": "t", "x": "y".repeat(5000)}), 1 << 20).unwrap();
    while realtime.hub.send_to_user("a", "u", &large) == 1 {}
    until("it leaves", || realtime.hub.stats().connections == 0).await;
    assert_eq!(closed(&realtime, CloseCode::TooSlow), 1);
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(stalled);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_has_heartbeats_until_its_token_ends() {
    let (realtime, _) = realtime(RealtimeConfig::default());
    let began = Instant::now();
    let mut stream = realtime.event_stream(&identity("a", "u"), None).unwrap();
    next(&mut stream).await.unwrap();
    for beat in 1..=3 {
        assert_eq!(next(&mut stream).await.unwrap().as_bytes(), HEARTBEAT);
        let interval = realtime.config.heartbeat_interval;
        assert_eq!(began.elapsed().as_secs(), (interval * beat).as_secs());
    }
    let mut last = String::new();
    while let Some(piece) = next(&mut stream).await {
        last = piece;
    }
    assert!(last.contains("TOKEN_EXPIRED"), "{last}");
    assert_eq!(began.elapsed().as_secs(), 3600);
    assert_eq!(closed(&realtime, CloseCode::Unauthorized), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_and_a_gateway_that_stops_end_a_stream() {
    let (realtime, _) = realtime(RealtimeConfig::default());
    let gone = realtime.event_stream(&identity("a", "u"), None).unwrap();
    let mut staying = realtime.event_stream(&identity("a", "u"), None).unwrap();
    drop(gone);
    until("it leaves", || realtime.hub.stats().connections == 1).await;
    realtime.hub.send_to_user("a", "u", &message(1));
    realtime.hub.shut_down();
    assert!(next(&mut staying).await.unwrap().contains("connection_ack"));
    assert!(next(&mut staying).await.unwrap().contains("\"n\":1"));
    assert_eq!(next(&mut staying).await, None);
    assert_eq!(realtime.hub.stats().connections, 0);
    assert_eq!(closed(&realtime, CloseCode::GoingAway), 1);
}
