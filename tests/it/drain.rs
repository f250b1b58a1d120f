//! The end of the process.

use std::{path::Path, time::Duration};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{TestApp, within};

/// Says that it has begun, and ends when it is told to.
const PATIENT: &str = "import asyncio, os\n\
    async def execute(data):\n\
    \x20   open(os.path.join(data['dir'], 'began'), 'w').close()\n\
    \x20   while not os.path.exists(os.path.join(data['dir'], 'go')):\n\
    \x20       await asyncio.sleep(0.01)\n\
    \x20   return {'ended': True}\n";

async fn exists(path: &Path) {
    within(Duration::from_secs(60), async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn running_calls_finish_and_nothing_new_begins() {
    let mut app = TestApp::builder().plugin("patient", PATIENT).start().await;
    let dir = TempDir::new().unwrap();
    let mut idle = app.raw().await;
    idle.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    let user = app.user("a");
    let data = json!({ "dir": dir.path() });
    let call = tokio::spawn(async move { user.execute("patient", &data).await });
    exists(&dir.path().join("began")).await;

    app.signal("TERM");
    idle.closed().await;
    within(Duration::from_secs(60), async {
        while tokio::net::TcpStream::connect(app.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!call.is_finished(), "the call goes on");
    std::fs::write(dir.path().join("go"), "").unwrap();
    let answer = within(Duration::from_secs(60), call).await.unwrap();
    assert_eq!(answer.expect_ok(), json!({ "ended": true }));
    assert_eq!(app.ended().await.code(), Some(0));
    app.log_line(&["stopped"]).await;
}

#[tokio::test]
async fn a_call_that_comes_while_draining_is_told_to_come_again() {
    let mut app = TestApp::builder().plugin("patient", PATIENT).start().await;
    let mut late = app.raw().await;
    let body = "{}";
    let head = format!(
        "POST /api/execute/patient HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        crate::support::Claims::user("a").sign(),
        body.len()
    );
    late.send(head).await;
    // Its head has been seen: the body is waited for.
    assert_eq!(late.answer().await.status, 100);
    app.signal("TERM");
    app.log_line(&["draining"]).await;
    late.send(body).await;
    let answer = late.answer().await;
    answer.expect_error(503, "OVERLOADED");
    assert!(answer.head.contains("retry-after: 1\r\n"), "{answer:?}");
    assert!(answer.body.contains("shutting down"), "{answer:?}");
    late.closed().await;
    assert_eq!(app.ended().await.code(), Some(0));
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    for signal in ["TERM", "INT"] {
        let mut app = TestApp::builder().start().await;
        app.anonymous().get("/health").await.expect_ok();
        app.signal(signal);
        assert_eq!(app.ended().await.code(), Some(0), "{signal}");
    }
}

/// A program that a script starts with `&` inherits that SIGINT is ignored; one of `nohup` SIGHUP.
#[tokio::test]
async fn signals_that_were_to_be_ignored_are_taken() {
    for signal in ["TERM", "INT"] {
        let mut app = TestApp::builder().ignoring("HUP INT TERM").start().await;
        app.signal("HUP");
        app.anonymous().get("/health").await.expect_ok();
        app.signal(signal);
        assert_eq!(app.ended().await.code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let mut app = TestApp::builder().plugin("patient", PATIENT).start().await;
    let dir = TempDir::new().unwrap();
    let user = app.user("a");
    let data = json!({ "dir": dir.path() });
    let call = tokio::spawn(async move {
        user.request(reqwest::Method::POST, "/api/execute/patient")
            .json(&data)
            .send()
            .await
    });
    exists(&dir.path().join("began")).await;
    app.signal("TERM");
    app.log_line(&["draining"]).await;
    app.signal("TERM");
    assert_eq!(app.ended().await.code(), Some(130));
    assert!(call.await.unwrap().is_err(), "the call was cut");
}

#[tokio::test]
async fn draining_has_a_deadline() {
    let mut app = TestApp::builder()
        .plugin("patient", PATIENT)
        .env("MOZAIKS_DRAIN_TIMEOUT_SECONDS", "1")
        .start()
        .await;
    let dir = TempDir::new().unwrap();
    let user = app.user("a");
    let data = json!({ "dir": dir.path() });
    let call = tokio::spawn(async move {
        user.request(reqwest::Method::POST, "/api/execute/patient")
            .json(&data)
            .send()
            .await
    });
    exists(&dir.path().join("began")).await;
    app.signal("TERM");
    assert_eq!(app.ended().await.code(), Some(0));
    app.log_line(&["the time for draining is up"]).await;
    assert!(call.await.unwrap().is_err(), "the call was cut");
}
