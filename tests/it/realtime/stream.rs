//! The event stream: the same messages for clients without WebSocket.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Claims, TestApp, gateway, support::within};
use crate::support::Answer;

const LIMIT: Duration = Duration::from_secs(60);

struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(app: &TestApp, user: &str, last_event_id: Option<&str>) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client
            .get(format!("http://{}/api/stream", app.address))
            .bearer_auth(Claims::user(user).sign());
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = within(LIMIT, request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// Id and data of the next event; `None` at the end.
    async fn next(&mut self) -> Option<(Option<String>, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::to_owned)
                };
                if let Some(data) = field("data: ") {
                    return Some((field("id: "), serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let chunk = within(LIMIT, self.response.chunk()).await.ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

async fn send(app: &TestApp, first: u64, count: u64) {
    let data = json!({"do": "send_numbers", "to": "ada", "first": first, "count": count});
    app.user("bob").execute("live", &data).await.expect_ok();
}

#[tokio::test]
async fn events_carry_positions_and_resume() {
    let app = gateway().start().await;
    let mut events = Events::open(&app, "ada", None).await;
    let (_, ack) = events.next().await.unwrap();
    assert_eq!(ack["type"], "connection_ack");
    let epoch = ack["epoch"].as_str().unwrap().to_owned();
    send(&app, 1, 3).await;
    let mut last = None;
    for number in 1..=3_u64 {
        let (id, data) = events.next().await.unwrap();
        assert_eq!(data["n"], number);
        assert_eq!(id.as_deref(), Some(&*format!("{epoch}:{number}")));
        last = id;
    }
    drop(events);
    app.metric_reaches("mozaiks_sockets_open", |open| open == 0.0)
        .await;
    send(&app, 4, 3).await;
    let mut events = Events::open(&app, "ada", last.as_deref()).await;
    assert_eq!(events.next().await.unwrap().1["recovered"], true);
    for number in 4..=6_u64 {
        assert_eq!(events.next().await.unwrap().1["n"], number);
    }
}

#[tokio::test]
async fn a_stream_that_is_never_read_is_ended_and_one_that_is_goes_on() {
    const MESSAGES: u64 = 200;
    let app = gateway()
        .env("MOZAIKS_WS_MAX_LAG_SECONDS", "1")
        .env("MOZAIKS_WS_QUEUE_BYTES", "67108864")
        .start()
        .await;
    let mut stalled = Events::open(&app, "ada", None).await;
    let mut reading = Events::open(&app, "bob", None).await;
    reading.next().await.unwrap();
    // More than the kernel keeps for a connection; nothing comes after it.
    let much = json!({
        "do": "send_numbers", "to": "ada", "first": 1, "count": MESSAGES, "pad": 60_000,
    });
    app.user("cid").execute("live", &much).await.expect_ok();
    let closed = "mozaiks_sockets_closed_total{code=\"4408\"}";
    app.metric_reaches(closed, |count| count == 1.0).await;
    app.metric_reaches("mozaiks_sockets_open", |open| open == 1.0)
        .await;
    app.metric_reaches("mozaiks_socket_queued_bytes", |bytes| bytes == 0.0)
        .await;

    let few = json!({"do": "send_numbers", "to": "bob", "first": 1, "count": 3});
    app.user("cid").execute("live", &few).await.expect_ok();
    for number in 1..=3_u64 {
        assert_eq!(reading.next().await.unwrap().1["n"], number);
    }
    // Reading at last, it gets what was on its way, and the end.
    let mut last = 0;
    stalled.next().await.unwrap();
    while let Some((_, data)) = stalled.next().await {
        assert_eq!(data["n"], last + 1);
        last += 1;
    }
    assert!(last < MESSAGES);
    assert_eq!(app.metric(closed).await, 1.0);
}

#[tokio::test]
async fn streams_are_refused_limited_and_ended() {
    let mut app = gateway()
        .env("MOZAIKS_WS_MAX_CONNECTIONS_PER_USER", "1")
        .start()
        .await;
    let refused = app.anonymous().get("/api/stream").await;
    refused.expect_error(401, "AUTH_REQUIRED");
    let mut events = Events::open(&app, "ada", None).await;
    events.next().await.unwrap();
    let client = app.user("ada");
    let second = client.request(reqwest::Method::GET, "/api/stream");
    Answer::of(second).await.expect_error(429, "LIMIT_EXCEEDED");
    app.signal("TERM");
    assert!(events.next().await.is_none());
    assert!(app.ended().await.success());
}
