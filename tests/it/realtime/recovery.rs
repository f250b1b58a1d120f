//! A client whose network breaks misses nothing and gets nothing twice.

use serde_json::{Value, json};

use super::{Claims, Socket, TestApp, both, gateway};

const MESSAGES: u64 = 200;

/// Sends numbered messages to ada in the background.
fn send_numbers(app: &TestApp, count: u64) -> tokio::task::JoinHandle<Value> {
    let client = app.user("bob");
    tokio::spawn(async move {
        let data = json!({"do": "send_numbers", "to": "ada", "first": 1, "count": count});
        client.execute("live", &data).await.expect_ok()
    })
}

#[tokio::test]
async fn a_client_that_breaks_off_again_and_again_gets_every_message_once_and_in_order() {
    for certificate in both() {
        let app = gateway().tls(certificate.as_ref()).start().await;
        let ada = Claims::user("ada");
        let mut socket = Socket::open_as(&app, &ada, "/ws?recover=true").await;
        let sending = send_numbers(&app, MESSAGES);
        let (mut last, mut breaks) = (0, 0);
        while last < MESSAGES {
            let message = socket.message().await;
            assert_eq!(message["n"], last + 1);
            assert_eq!(message["_offset"], last + 1);
            assert_eq!(message["_epoch"], socket.ack["epoch"]);
            last += 1;
            if last % 23 == 0 {
                // Gone without a close frame, like a phone in a tunnel.
                let path = format!("/ws?recover=true&since={}", socket.position(last));
                drop(socket);
                socket = Socket::open_as(&app, &ada, &path).await;
                assert_eq!(socket.ack["recovered"], true);
                assert_eq!(socket.ack["offset"], last);
                breaks += 1;
            }
        }
        sending.await.unwrap();
        assert_eq!(socket.drain().await, Vec::<Value>::new());
        assert!(breaks >= 8);
    }
}

#[tokio::test]
async fn what_was_sent_while_away_is_replayed_and_what_is_too_old_is_admitted() {
    let app = gateway().start().await;
    let ada = Claims::user("ada");
    let first = Socket::open_as(&app, &ada, "/ws").await;
    let (start, early) = (first.position(0), first.position(200));
    drop(first);
    send_numbers(&app, 500).await.unwrap();

    let mut lost = Socket::open_as(&app, &ada, &format!("/ws?since={start}")).await;
    assert_eq!(lost.ack["recovered"], false, "only 300 are kept");
    assert_eq!(lost.ack["offset"], 500);
    assert_eq!(lost.drain().await, Vec::<Value>::new());

    let mut back = Socket::open_as(&app, &ada, &format!("/ws?since={early}")).await;
    assert_eq!(back.ack["recovered"], true);
    let numbers: Vec<_> = back
        .drain()
        .await
        .iter()
        .map(|said| said["n"].clone())
        .collect();
    assert_eq!(numbers, (201..=500).map(Value::from).collect::<Vec<_>>());
}
