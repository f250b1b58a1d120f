//! Handshakes that succeed, fail, and never end.

use std::sync::Arc;

use rustls::{HandshakeKind, ProtocolVersion};
use serde_json::json;

use super::{ECHO, Over, RawConnection, TestApp, TestCertificate, call};
use crate::support::connect;

#[tokio::test]
async fn both_versions_are_spoken_and_who_comes_back_is_known() {
    let certificate = TestCertificate::new();
    let app = TestApp::builder()
        .plugin("echo", ECHO)
        .tls(Some(&certificate))
        .start()
        .await;
    for (version, number) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = Arc::new(certificate.trust().client_of(&[version], &[b"http/1.1"]));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let stream = connect(Arc::clone(&client), app.address).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(number));
            kinds.push(session.handshake_kind().unwrap());
            let mut connection = RawConnection::over(Box::new(stream));
            connection.send(call("echo", r#"{"text": 1}"#)).await;
            let answer = connection.answer().await;
            assert_eq!(answer.body, json!({"echo": 1}).to_string());
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
    }
    assert_eq!(
        app.metric("mozaiks_tls_handshake_failures_total").await,
        0.0
    );
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let certificate = TestCertificate::new();
    let mut app = TestApp::builder()
        .tls(Some(&certificate))
        .plugin("hello", "def execute(data):\n    return {}\n")
        .dev()
        .start()
        .await;
    app.log_line(&["try it:", "https://127.0.0.1:"]).await;
    let mut plain = RawConnection::over(Over::Tcp.connect(app.address).await);
    plain.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = plain.answer().await;
    answer.expect_error(400, "INVALID_REQUEST");
    assert!(answer.body.contains("use https"), "{answer:?}");
    plain.closed().await;
    // Something that is neither is not worth words.
    let mut stray = RawConnection::over(Over::Tcp.connect(app.address).await);
    stray.send("\0\0\0nonsense").await;
    assert_eq!(stray.rest().await, b"");
}

#[tokio::test]
async fn who_never_ends_a_handshake_is_let_go_and_holds_nobody() {
    let certificate = TestCertificate::new();
    let app = TestApp::builder()
        .tls(Some(&certificate))
        .env("MOZAIKS_MAX_CONNECTIONS", "4")
        .env("MOZAIKS_HEADER_TIMEOUT_SECONDS", "2")
        .start()
        .await;
    let mut silent = Vec::new();
    // The second has begun: a record of a handshake with a body that does not come.
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut connection = RawConnection::over(Over::Tcp.connect(app.address).await);
        connection.send(said).await;
        silent.push(connection);
    }
    // Others are served meanwhile, and afterwards as many as there were at first.
    app.anonymous().get("/health").await.expect_ok();
    for connection in &mut silent {
        assert_eq!(connection.rest().await, b"");
    }
    app.metric_reaches("mozaiks_tls_handshake_failures_total", |count| count == 2.0)
        .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut connection = app.raw().await;
        connection
            .send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            .await;
        assert_eq!(connection.answer().await.status, 200);
        open.push(connection);
    }
    let log = app.log_text();
    assert!(
        !log.contains("ERROR") && !log.contains("handshake"),
        "{log}"
    );
}
