//! TLS on the gateway's port. What holds for sockets over it stands with the sockets' own tests.

mod handshakes;
mod reload;
mod start;

use std::{path::Path, time::Duration};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Claims, Over, RawConnection, TestApp, TestCertificate, within};

const LIMIT: Duration = Duration::from_secs(60);

const ECHO: &str = "async def execute(data):\n    return {'echo': data.get('text')}\n";

/// Says that it has begun, and ends when it is told to.
const PATIENT: &str = "import asyncio, os\n\
    async def execute(data):\n\
    \x20   open(os.path.join(data['dir'], 'began'), 'w').close()\n\
    \x20   while not os.path.exists(os.path.join(data['dir'], 'go')):\n\
    \x20       await asyncio.sleep(0.01)\n\
    \x20   return {'ended': True}\n";

async fn exists(path: &Path) {
    within(LIMIT, async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A call as HTTP/1.1 writes it.
fn call(plugin: &str, body: &str) -> String {
    format!(
        "POST /api/execute/{plugin} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        Claims::user("a").sign(),
        body.len()
    )
}

#[tokio::test]
async fn clients_of_http1_and_http2_are_served_by_what_they_agreed_to() {
    let certificate = TestCertificate::new();
    let app = TestApp::builder()
        .plugin("echo", ECHO)
        .tls(Some(&certificate))
        .start()
        .await;
    let answer = app.user("a").execute("echo", &json!({"text": "x"})).await;
    assert_eq!(answer.expect_ok(), json!({"echo": "x"}));

    let trust = certificate.trust();
    let stream = trust.connect(app.address, &[b"h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = http::Request::builder()
        .method("POST")
        .uri(format!("https://{}/api/execute/echo", app.address))
        .header(
            "authorization",
            format!("Bearer {}", Claims::user("a").sign()),
        )
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let (answer, mut sending) = client.send_request(request, false).unwrap();
    sending
        .send_data(r#"{"text": "two"}"#.into(), true)
        .unwrap();
    let answer = within(LIMIT, answer).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, http::Version::HTTP_2)
    );
    let mut body = answer.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), r#"{"echo":"two"}"#);
    drop((client, sending, body));
    driving.await.unwrap().unwrap();

    // Who prefers HTTP/2 gets it, and who agrees to nothing is looked at as without TLS.
    for (offered, agreed) in [
        (&[&b"http/1.1"[..], b"h2"][..], Some(&b"h2"[..])),
        (&[&b"http/1.1"[..]][..], Some(&b"http/1.1"[..])),
        (&[][..], None),
    ] {
        let stream = trust.connect(app.address, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        if agreed != Some(b"h2") {
            let mut connection = RawConnection::over(Box::new(stream));
            connection.send(call("echo", "{}")).await;
            assert_eq!(connection.answer().await.status, 200);
        }
    }
    let none = trust.connect(app.address, &[b"spdy/1"]).await;
    assert!(none.is_err(), "nothing in common");

    // One protocol agreed, the other spoken.
    for (agreed, spoken) in [
        (&b"h2"[..], call("echo", "{}")),
        (b"http/1.1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ] {
        let stream = trust.connect(app.address, &[agreed]).await.unwrap();
        let mut connection = RawConnection::over(Box::new(stream));
        connection.send(spoken).await;
        assert_eq!(connection.rest().await, b"");
    }
}

#[tokio::test]
async fn time_limits_hold() {
    let certificate = TestCertificate::new();
    let app = TestApp::builder()
        .plugin(
            "large",
            "async def execute(data):\n    return {'x': 'y' * 7_000_000}\n",
        )
        .tls(Some(&certificate))
        .env("MOZAIKS_HEADER_TIMEOUT_SECONDS", "1")
        .env("MOZAIKS_IDLE_TIMEOUT_SECONDS", "4")
        .env("MOZAIKS_BODY_TIMEOUT_SECONDS", "1")
        .start()
        .await;
    let mut slow = app.raw().await;
    slow.send("GET /health HTTP/1.1\r\nhost").await;
    slow.answer().await.expect_error(408, "REQUEST_TIMEOUT");
    slow.closed().await;
    let mut idle = app.raw().await;
    idle.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    idle.closed().await;
    let cut = "mozaiks_connections_timed_out_total";
    let before = app.metric(cut).await;
    let mut never_reads = app.raw().await;
    never_reads.send(call("large", "{}")).await;
    app.metric_reaches(cut, |count| count > before).await;
    never_reads.closed().await;
}

#[tokio::test]
async fn the_end_of_the_process_waits_for_calls_and_for_no_handshake() {
    let certificate = TestCertificate::new();
    let mut app = TestApp::builder()
        .plugin("patient", PATIENT)
        .tls(Some(&certificate))
        .env("MOZAIKS_HEADER_TIMEOUT_SECONDS", "3600")
        .env("MOZAIKS_DRAIN_TIMEOUT_SECONDS", "3600")
        .start()
        .await;
    let dir = TempDir::new().unwrap();
    let mut idle = app.raw().await;
    idle.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    let mut silent = RawConnection::over(Over::Tcp.connect(app.address).await);
    app.metric_reaches("mozaiks_tls_handshakes_total", |count| count >= 2.0)
        .await;
    let user = app.user("a");
    let data = json!({ "dir": dir.path() });
    let running = tokio::spawn(async move { user.execute("patient", &data).await });
    exists(&dir.path().join("began")).await;

    app.signal("TERM");
    idle.closed().await;
    silent.closed().await;
    assert!(!running.is_finished(), "the call goes on");
    std::fs::write(dir.path().join("go"), "").unwrap();
    let answer = within(LIMIT, running).await.unwrap();
    assert_eq!(answer.expect_ok(), json!({ "ended": true }));
    assert_eq!(app.ended().await.code(), Some(0));
}
