//! Where a request ends: what leaves that open is the last of its connection, or refused.

use crate::{
    connections::{ECHO, call_head},
    support::TestApp,
};

/// Where a request ends must be clear to everybody, or what one takes for a body is another's request.
#[tokio::test]
async fn a_request_without_a_clear_end_is_the_last_of_its_connection() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let smuggled = call_head("content-length: 2\r\nx-request-id: smuggled\r\n") + "{}";
    let chunked = call_head("transfer-encoding: chunked\r\n");
    for (head, body) in [
        (chunked.clone(), "2\r\n{}\r\n0\r\n\n"),
        (chunked.clone(), "0\r\n\n"),
        (chunked.clone(), "0\r\na: b\n\n"),
        (chunked.clone(), "0\r\na: b\r\n\n"),
        (
            call_head("content-length: 2\r\ntransfer-encoding: chunked\r\n"),
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        (
            call_head("Transfer-Encoding: chunked\r\nContent-Length: 12\r\n"),
            "2\r\n{}\r\n0\r\n\r\n",
        ),
    ] {
        // Alone, behind another request in the same piece, and byte by byte.
        let good = call_head("content-length: 2\r\n") + "{}";
        let whole = format!("{head}{body}{smuggled}");
        let mut alone = app.raw().await;
        alone.send(&whole).await;
        let answer = alone.answer().await;
        answer.expect_error(400, "BAD_REQUEST");
        assert!(answer.head.contains("connection: close"), "{answer:?}");
        alone.closed().await;

        let mut behind = app.raw().await;
        behind.send(format!("{good}{whole}")).await;
        assert_eq!(behind.answer().await.status, 200);
        behind.answer().await.expect_error(400, "BAD_REQUEST");
        behind.closed().await;

        let mut dripping = app.raw().await;
        for byte in whole.bytes() {
            if !dripping.send([byte]).await {
                break;
            }
        }
        dripping.answer().await.expect_error(400, "BAD_REQUEST");
        dripping.closed().await;
    }
    let log = app.log_text();
    assert!(!log.contains("smuggled"), "{log}");
}

#[tokio::test]
async fn chunked_bodies_leave_their_connection_open_also_with_trailers() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    let mut connection = app.raw().await;
    for trailers in ["", "checksum: abc\r\n", "a: b\r\nc: d\r\n"] {
        let head = call_head("transfer-encoding: chunked\r\n");
        let request = format!("{head}7\r\n{{\"n\":1}}\r\n0;x=y\r\n{trailers}\r\n");
        connection.send(request.repeat(2)).await;
        for _ in 0..2 {
            let answer = connection.answer().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(!answer.head.contains("connection: close"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn other_transfer_encodings_are_not_implemented() {
    let app = TestApp::builder().plugin("echo", ECHO).start().await;
    for encodings in [
        "gzip",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked\r\ntransfer-encoding: chunked",
        "gzip\r\ntransfer-encoding: chunked",
        "\"chunked\"",
    ] {
        let mut connection = app.raw().await;
        let head = call_head(&format!("transfer-encoding: {encodings}\r\n"));
        connection.send(head + "2\r\n{}\r\n0\r\n\r\n").await;
        let answer = connection.answer().await;
        answer.expect_error(501, "UNSUPPORTED_TRANSFER_ENCODING");
        connection.closed().await;
    }
}

#[tokio::test]
async fn a_request_names_one_host() {
    let app = TestApp::builder().start().await;
    for hosts in [
        "",
        "host: a\r\nhost: a\r\n",
        "host: a\r\nhost: b\r\n",
        "host:\r\n",
        "host: a, b\r\n",
        "host: a b\r\n",
        "host: user@a\r\n",
        "host: a:port\r\n",
        "host: http://a/\r\n",
    ] {
        let mut connection = app.raw().await;
        connection
            .send(format!("GET /health HTTP/1.1\r\n{hosts}\r\n"))
            .await;
        connection.answer().await.expect_error(400, "BAD_REQUEST");
        connection.closed().await;
    }
    for good in [
        "GET /health HTTP/1.0\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost: [::1]:8000\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
    ] {
        let mut connection = app.raw().await;
        connection.send(good).await;
        assert_eq!(connection.answer().await.status, 200, "{good}");
    }
}

#[tokio::test]
async fn a_refusal_behind_a_good_request_has_our_body_too() {
    let app = TestApp::builder().start().await;
    for nonsense in ["NONSENSE\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n"] {
        let mut connection = app.raw().await;
        connection
            .send(format!("GET /health HTTP/1.1\r\nhost: x\r\n\r\n{nonsense}"))
            .await;
        assert_eq!(connection.answer().await.status, 200);
        connection.answer().await.expect_error(400, "BAD_REQUEST");
        connection.closed().await;
    }
}
