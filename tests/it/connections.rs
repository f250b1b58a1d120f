//! Clients that are slow, rude or many.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Claims, RawConnection, TestApp, within};

const ECHO: &str = "def execute(data):\n    return {'data': data}\n";

fn call_head(more: &str) -> String {
    format!(
        "POST /api/execute/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n{more}\r\n",
        Claims::user("a").sign()
    )
}

#[tokio::test]
async fn many_drips_do_not_keep_others_waiting() {
    let app = TestApp::builder()
        .plugin("echo", ECHO)
        .env("MOZAIKS_HEADER_TIMEOUT_SECONDS", "2")
        .start()
        .await;
    let began = Instant::now();
    let mut drips = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let mut connection = app.raw().await;
        drips.spawn(async move {
            let mut every_second = tokio::time::interval(Duration::from_secs(1));
            let head = b"GET /health HTTP/1.1\r\nx-slow: yes\r\n";
            for byte in head.iter() {
                every_second.tick().await;
                if !connection.send([*byte]).await {
                    break;
                }
                if began.elapsed() > Duration::from_secs(4) {
                    break;
                }
            }
            connection.closed().await;
        });
    }
    app.metric_reaches("mozaiks_connections_accepted_total", |count| count >= 500.0)
        .await;
    let user = app.user("a");
    for _ in 0..50 {
        let asked = Instant::now();
        user.execute("echo", &json!({})).await.expect_ok();
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "{:?}",
            asked.elapsed()
        );
    }
    within(Duration::from_secs(15), async {
        while drips.join_next().await.is_some() {}
    })
    .await;
    app.metric_reaches("mozaiks_connections_timed_out_total", |cut| cut >= 500.0)
        .await;
}

#[tokio::test]
async fn a_slow_head_is_told_and_an_idle_connection_is_closed() {
    let app = TestApp::builder()
        .env("MOZAIKS_HEADER_TIMEOUT_SECONDS", "1")
        .env("MOZAIKS_IDLE_TIMEOUT_SECONDS", "1")
        .start()
        .await;
    let mut slow = app.raw().await;
    slow.send("GET /health HTTP/1.1\r\n").await;
    slow.answer().await.expect_error(408, "REQUEST_TIMEOUT");
    slow.closed().await;

    let mut silent = app.raw().await;
    silent.closed().await;

    let mut idle = app.raw().await;
    for _ in 0..2 {
        idle.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(idle.answer().await.status, 200);
    }
    idle.closed().await;
}

#[tokio::test]
async fn a_slow_body_is_told() {
    let app = TestApp::builder()
        .plugin("echo", ECHO)
        .env("MOZAIKS_BODY_TIMEOUT_SECONDS", "1")
        .start()
        .await;
    let mut slow = app.raw().await;
    slow.send(call_head("content-length: 10\r\n")).await;
    slow.send("{").await;
    slow.answer().await.expect_error(408, "REQUEST_TIMEOUT");
}

#[tokio::test]
async fn bodies_too_large_are_refused_by_their_length_or_while_they_come() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let mut declared = app.raw().await;
    declared
        .send(call_head("content-length: 1048577\r\n"))
        .await;
    declared
        .answer()
        .await
        .expect_error(413, "PAYLOAD_TOO_LARGE");

    let mut chunked = app.raw().await;
    chunked
        .send(call_head("transfer-encoding: chunked\r\n"))
        .await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let sending = async {
        for _ in 0..40 {
            if !chunked.send(&chunk).await {
                break;
            }
        }
    };
    sending.await;
    chunked
        .answer()
        .await
        .expect_error(413, "PAYLOAD_TOO_LARGE");

    let mut small = app.raw().await;
    small
        .send(call_head("transfer-encoding: chunked\r\n"))
        .await;
    small
        .send("2\r\n{\"\r\n5\r\nn\": 1\r\n1\r\n}\r\n0\r\n\r\n")
        .await;
    let answer = small.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("\"n\":1"), "{answer:?}");
}

#[tokio::test]
async fn heads_too_large_are_refused() {
    let app = TestApp::builder().start().await;
    let refused = async |head: String, status: u16, code: &str| {
        let mut connection = app.raw().await;
        connection.send(head).await;
        let answer = connection.answer().await;
        answer.expect_error(status, code);
    };
    let many: String = (0..65).map(|n| format!("x-{n}: y\r\n")).collect();
    refused(
        format!("GET /health HTTP/1.1\r\n{many}\r\n"),
        431,
        "HEADERS_TOO_LARGE",
    )
    .await;
    refused(
        format!(
            "GET /health HTTP/1.1\r\nx-long: {}\r\n\r\n",
            "y".repeat(17 << 10)
        ),
        431,
        "HEADERS_TOO_LARGE",
    )
    .await;
    for length in [5 << 10, 20 << 10, 100 << 10] {
        refused(
            format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "u".repeat(length)),
            414,
            "URI_TOO_LONG",
        )
        .await;
    }
    app.metric_reaches("mozaiks_requests_refused_total", |count| count >= 4.0)
        .await;
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let app = TestApp::builder().start().await;
    for nonsense in [
        "NONSENSE\r\n\r\n",
        "GET /health HTTP/9.9\r\n\r\n",
        "GET /health HTTP/1.1\r\nbad header\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost: x\r\nx: a\0b\r\n\r\n",
        "POST /health HTTP/1.1\r\ncontent-length: minus\r\n\r\n",
        "POST /health HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST /health HTTP/1.1\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0",
    ] {
        let mut connection = app.raw().await;
        connection.send(nonsense).await;
        connection.answer().await.expect_error(400, "BAD_REQUEST");
        connection.closed().await;
    }
    let mut broken_chunk = app.raw().await;
    broken_chunk
        .send("POST /api/execute/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
        .await;
    assert_eq!(
        broken_chunk.answer().await.status,
        401,
        "nobody reads the body of a stranger"
    );
    app.anonymous().get("/health").await.expect_ok();
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let app = TestApp::builder().start().await;
    let mut connection: RawConnection = app.raw().await;
    let request =
        |id: u32| format!("GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: p{id}\r\n\r\n");
    connection
        .send((0..3).map(request).collect::<String>())
        .await;
    for id in 0..3 {
        let answer = connection.answer().await;
        assert!(
            answer.head.contains(&format!("x-request-id: p{id}\r\n")),
            "{answer:?}"
        );
    }
}
