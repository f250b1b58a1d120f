//! Clients that are slow, rude or many.

use std::{iter::repeat, time::Duration};

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Claims, RawConnection, TestApp, within};

pub const ECHO: &str = "def execute(data):\n    return {'data': data}\n";

pub fn call_head(more: &str) -> String {
    format!(
        "POST /api/execute/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n{more}\r\n",
        Claims::user("a").sign()
    )
}

/// Clients that send a head byte by byte, until the gateway has had enough of them.
async fn drip(app: &TestApp, clients: usize) -> JoinSet<()> {
    let mut drips = JoinSet::new();
    for _ in 0..clients {
        let mut connection = app.raw().await;
        drips.spawn(async move {
            let mut every_second = tokio::time::interval(Duration::from_secs(1));
            for byte in "GET /health HTTP/1.1\r\nx-slow: "
                .bytes()
                .chain(repeat(b'y'))
            {
                every_second.tick().await;
                if !connection.send([byte]).await {
                    break;
                }
            }
            connection.closed().await;
        });
    }
    let accepted = "mozaiks_connections_accepted_total";
    app.metric_reaches(accepted, |count| count >= clients as f64)
        .await;
    drips
}

#[tokio::test]
async fn many_drips_do_not_keep_others_waiting() {
    let app = TestApp::builder()
        .plugin("echo", ECHO)
        .env("MOZAIKS_HEADER_TIMEOUT_SECONDS", "300")
        .start()
        .await;
    let _dripping = drip(&app, 500).await;
    let user = app.user("a");
    for _ in 0..50 {
        user.execute("echo", &json!({})).await.expect_ok();
    }
    // They were there all the while.
    assert!(app.metric("mozaiks_connections_open").await >= 500.0);
    assert_eq!(app.metric("mozaiks_connections_timed_out_total").await, 0.0);
}

#[tokio::test]
async fn drips_are_cut_whatever_they_send() {
    let app = TestApp::builder()
        .env("MOZAIKS_HEADER_TIMEOUT_SECONDS", "2")
        .start()
        .await;
    let mut dripping = drip(&app, 50).await;
    within(Duration::from_secs(30), async {
        while dripping.join_next().await.is_some() {}
    })
    .await;
    app.metric_reaches("mozaiks_connections_timed_out_total", |cut| cut >= 50.0)
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
async fn an_answer_before_the_body_has_come_says_that_the_connection_ends() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let unsigned = |headers: &str| {
        format!(
            "POST /api/execute/echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n"
        )
    };
    let mut connection = app.raw().await;
    // What came along with its head is read, and the connection goes on.
    for _ in 0..2 {
        connection
            .send(unsigned("content-length: 2\r\n") + "{}")
            .await;
        let answer = connection.answer().await;
        answer.expect_error(401, "AUTH_REQUIRED");
        assert!(!answer.head.contains("connection:"), "{answer:?}");
    }
    connection.send(unsigned("content-length: 9\r\n")).await;
    let answer = connection.answer().await;
    answer.expect_error(401, "AUTH_REQUIRED");
    assert!(answer.head.contains("connection: close\r\n"), "{answer:?}");
    connection.closed().await;

    let mut declared = app.raw().await;
    declared
        .send(call_head("content-length: 1048577\r\n"))
        .await;
    let answer = declared.answer().await;
    answer.expect_error(413, "PAYLOAD_TOO_LARGE");
    assert!(answer.head.contains("connection: close\r\n"), "{answer:?}");
}

#[tokio::test]
async fn heads_too_large_are_refused() {
    let mut app = TestApp::builder().start().await;
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
    for code in ["HEADERS_TOO_LARGE", "URI_TOO_LONG"] {
        app.log_line(&["\"target\":\"access\"", code]).await;
    }
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

#[tokio::test]
async fn connections_over_the_limit_wait_until_one_ends() {
    let app = TestApp::builder()
        .env("MOZAIKS_MAX_CONNECTIONS", "2")
        .start()
        .await;
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut first = app.raw().await;
    let mut second = app.raw().await;
    for connection in [&mut first, &mut second] {
        connection.send(request).await;
        assert_eq!(connection.answer().await.status, 200);
    }
    let mut third = app.raw().await;
    third.send(request).await;
    for _ in 0..5 {
        first.send(request).await;
        let answer = first.answer().await;
        for series in [
            "mozaiks_connections_open 2\n",
            "mozaiks_connections_accepted_total 2\n",
        ] {
            assert!(answer.body.contains(series), "{}", answer.body);
        }
    }
    drop(second);
    let answer = third.answer().await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .body
            .contains("mozaiks_connections_accepted_total 3\n")
    );
}

#[tokio::test]
async fn connections_leave_plugins_the_files_they_open() {
    let mut app = TestApp::builder()
        .plugin(
            "opens",
            "def execute(data):\n    with open(__file__) as file:\n        return {'size': len(file.read())}\n",
        )
        .descriptors(200)
        .start()
        .await;
    app.log_line(&["ulimit -n", "\"max_connections\":150"])
        .await;
    let mut working = app.raw().await;
    let mut silent = Vec::new();
    // Some of them wait in the kernel's backlog.
    for _ in 0..220 {
        silent.push(app.raw().await);
    }
    let call = format!(
        "POST /api/execute/opens HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-length: 0\r\n\r\n",
        Claims::user("a").sign()
    );
    let metrics = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    within(Duration::from_secs(60), async {
        loop {
            working.send(metrics).await;
            let answer = working.answer().await;
            if answer.body.contains("mozaiks_connections_open 150\n") {
                break;
            }
        }
    })
    .await;
    for _ in 0..20 {
        working.send(&call).await;
        assert_eq!(working.answer().await.status, 200);
    }
    working.send(metrics).await;
    let answer = working.answer().await;
    assert!(
        answer.body.contains("mozaiks_accept_errors_total 0\n"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut_however_busy_it_is() {
    let app = TestApp::builder()
        .plugin("echo", ECHO)
        .env("MOZAIKS_IDLE_TIMEOUT_SECONDS", "1")
        .start()
        .await;
    let stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, bytes::Bytes>(stream)
        .await
        .unwrap();
    let cut = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let mut answers = Vec::new();
    // Calls go on all the while, so that the connection never idles.
    within(Duration::from_secs(60), async {
        while !cut.is_finished() {
            let request = http::Request::builder()
                .method("POST")
                .uri(format!("http://{}/api/execute/echo", app.address))
                .header(
                    "authorization",
                    format!("Bearer {}", Claims::user("a").sign()),
                )
                .body(())
                .unwrap();
            match client.ready().await {
                Ok(ready) => client = ready,
                Err(_) => break,
            }
            match client.send_request(request, true) {
                Ok((answer, _)) => answers.push(answer.await),
                Err(_) => break,
            }
        }
    })
    .await;
    assert!(!answers.is_empty());
    app.metric_reaches("mozaiks_connections_timed_out_total", |cut| cut >= 1.0)
        .await;
    app.metric_reaches("mozaiks_connections_open", |open| open == 1.0)
        .await;
}
