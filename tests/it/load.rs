//! Many calls at once: answered or refused, in bounded memory.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Claims, TestApp, within};

const LIMIT: Duration = Duration::from_secs(180);
const MIB: usize = 1 << 20;
/// What 10,000 calls, of which 4,096 are queued, may add to the process: their connections, heads and
/// bodies, with room for an unoptimised build.
const MOST_GROWTH: usize = 256 * MIB;

/// Holds its calls until one of them says that all may go.
const GATE: &str = "import asyncio\nOPEN = asyncio.Event()\nasync def execute(data):\n\
    \x20   if data.get('open'):\n        OPEN.set()\n    await OPEN.wait()\n    return {}\n";

#[tokio::test]
async fn two_hundred_slow_calls_run_side_by_side() {
    let app = TestApp::builder()
        .plugins(&["echo"])
        .plugin("gate", GATE)
        .start()
        .await;
    let user = app.user("a");
    user.execute("echo", &json!({})).await.expect_ok();
    let before = app.resident_bytes();
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let user = user.clone();
        calls.spawn(async move { user.execute("gate", &json!({})).await });
    }
    app.metric_reaches("mozaiks_calls_running", |running| running >= 200.0)
        .await;
    user.execute("echo", &json!({})).await.expect_ok();
    let grown = app.resident_bytes().saturating_sub(before);
    user.execute("gate", &json!({ "open": true }))
        .await
        .expect_ok();
    within(LIMIT, async {
        while let Some(answer) = calls.join_next().await {
            answer.unwrap().expect_ok();
        }
    })
    .await;
    assert!(grown < 64 * MIB, "200 calls took {} MiB", grown / MIB);
    app.metric_reaches("mozaiks_calls_running", |running| running == 0.0)
        .await;
}

/// Statuses and codes of what one HTTP/2 connection's calls were answered with.
async fn call_many(
    address: std::net::SocketAddr,
    token: String,
    calls: usize,
) -> Vec<(u16, Option<String>)> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::Builder::new()
        .initial_connection_window_size(16 << 20)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    let driving = tokio::spawn(connection);
    let body = Bytes::from(json!({ "pad": "x".repeat(1000) }).to_string());
    let mut client = client.ready().await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..calls {
        let request = http::Request::builder()
            .method("POST")
            .uri(format!("http://{address}/api/execute/echo"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        client = client.ready().await.unwrap();
        let (answer, mut sending) = client.send_request(request, false).unwrap();
        sending.send_data(body.clone(), true).unwrap();
        answers.push(answer);
    }
    let mut outcomes = Vec::new();
    for answer in answers {
        let mut answer = answer.await.unwrap();
        let mut bytes = Vec::new();
        while let Some(data) = answer.body_mut().data().await {
            let data = data.unwrap();
            answer
                .body_mut()
                .flow_control()
                .release_capacity(data.len())
                .unwrap();
            bytes.extend_from_slice(&data);
        }
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        let code = body["error_code"].as_str().map(str::to_owned);
        outcomes.push((answer.status().as_u16(), code));
    }
    driving.abort();
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_fill_the_queue_and_no_more() {
    const CONNECTIONS: usize = 40;
    const EACH: usize = 250;
    const QUEUE: usize = 4096;
    let dir = tempfile::TempDir::new().unwrap();
    let go = dir.path().join("go");
    let app = TestApp::builder()
        .plugins(&["echo"])
        .plugin(
            "holds",
            "import os, time\nasync def execute(data):\n    while not os.path.exists(data['go']):\n\
             \x20       time.sleep(0.01)\n    return {}\n",
        )
        .env("MOZAIKS_PLUGIN_TIMEOUT_SECONDS", "300")
        // The test's own clients share the machine: one that is late with its first call is not rude.
        .env("MOZAIKS_HEADER_TIMEOUT_SECONDS", "300")
        .env("MOZAIKS_PLUGIN_MAX_CONCURRENCY", "100000")
        // It is the length of the queue that is to be met here, however long it takes to fill it.
        .env("MOZAIKS_PLUGIN_QUEUE_DELAY_SECONDS", "0")
        .env("MOZAIKS_GATEWAY_QUEUE_DELAY_SECONDS", "0")
        .start()
        .await;
    let user = app.user("a");
    user.execute("echo", &json!({})).await.expect_ok();
    let before = app.resident_bytes();
    // Python is busy for as long as there is no file.
    let holding = tokio::spawn({
        let request = user
            .request(reqwest::Method::POST, "/api/execute/holds")
            .timeout(LIMIT)
            .json(&json!({ "go": go }));
        async move { request.send().await.unwrap().status() }
    });
    app.metric_reaches("mozaiks_calls_running", |running| running >= 1.0)
        .await;
    let token = Claims::user("a").sign();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        connections.spawn(call_many(app.address, token.clone(), EACH));
    }
    // All have arrived: what the queue does not take has been answered.
    let refused =
        "mozaiks_plugin_calls_total{plugin=\"echo\",kind=\"execute\",outcome=\"overloaded\"}";
    let least = (CONNECTIONS * EACH - QUEUE) as f64;
    within(LIMIT, async { while app.metric(refused).await < least {} }).await;
    assert!(app.metric("mozaiks_calls_queued").await <= QUEUE as f64 + 1.0);
    app.anonymous().get("/health").await.expect_ok();
    let grown = app.resident_bytes().saturating_sub(before);
    std::fs::write(&go, "").unwrap();
    let mut answered = 0;
    let mut overloaded = 0;
    within(LIMIT, async {
        while let Some(outcomes) = connections.join_next().await {
            for outcome in outcomes.unwrap() {
                match outcome {
                    (200, None) => answered += 1,
                    (503, Some(code)) if code == "OVERLOADED" => overloaded += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    })
    .await;
    assert_eq!(answered + overloaded, CONNECTIONS * EACH);
    // The watchdog's ping may have had one of the places.
    assert!((QUEUE - 1..=QUEUE).contains(&answered), "{answered}");
    assert!(grown < MOST_GROWTH, "it took {} MiB", grown / MIB);
    assert_eq!(within(LIMIT, holding).await.unwrap(), 200);
    user.execute("echo", &json!({})).await.expect_ok();
    // The watchdog's ping may be waiting.
    app.metric_reaches("mozaiks_calls_queued", |queued| queued == 0.0)
        .await;
}

#[tokio::test]
async fn large_bodies_have_bounded_room_together() {
    let app = TestApp::builder()
        .plugins(&["echo"])
        .env("MOZAIKS_BODY_MEMORY_BYTES", "1MiB")
        .start()
        .await;
    let user = app.user("a");
    let body = |size: usize| json!({ "pad": "x".repeat(size) });
    let held = "mozaiks_body_bytes_held";
    user.execute("echo", &body(600_000)).await.expect_ok();
    app.metric_reaches(held, |bytes| bytes == 0.0).await;

    let mut slow = app.raw().await;
    let head = format!(
        "POST /api/execute/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 1000000\r\n\r\n",
        Claims::user("slow").sign()
    );
    slow.send(head).await;
    app.metric_reaches("mozaiks_connections_open", |open| open >= 2.0)
        .await;
    assert_eq!(
        app.metric(held).await,
        0.0,
        "what is announced takes nothing"
    );
    slow.send("x".repeat(700_000)).await;
    app.metric_reaches(held, |bytes| bytes >= 700_000.0).await;
    let answer = user.execute("echo", &body(600_000)).await;
    answer.expect_error(503, "OVERLOADED");
    assert_eq!(answer.header("retry-after"), Some("1"));
    user.execute("echo", &body(1000)).await.expect_ok();
    drop(slow);
    app.metric_reaches(held, |bytes| bytes == 0.0).await;
    user.execute("echo", &body(600_000)).await.expect_ok();
}
