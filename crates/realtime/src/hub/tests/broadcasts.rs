//! Broadcasts that have not reached everybody when something else happens.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
};

use super::*;
use crate::hub::broadcasts::Appended;

/// Broadcasts without starting the walk.
fn append(hub: &Hub, n: u64) -> bool {
    let app = Arc::clone(&hub.apps.get("a").unwrap());
    !matches!(app.broadcasts.append(&message(n)), Appended::Full)
}

async fn walk(hub: &Hub) {
    let app = Arc::clone(&hub.apps.get("a").unwrap());
    Walk(app).run().await;
}

fn offsets(messages: &[Value]) -> Vec<u64> {
    let offset = |message: &Value| message["_offset"].as_u64().unwrap();
    messages.iter().map(offset).collect()
}

#[tokio::test]
async fn what_is_sent_behind_a_broadcast_arrives_behind_it() {
    let Setup { hub, .. } = setup(RealtimeConfig::default());
    let forms = [Form::Plain, Form::Tracked, Form::Events];
    let clients = forms.map(|form| Client::try_join(&hub, "a", "u", form, None).unwrap());
    let other = Client::join(&hub, "a", "v", None);
    assert!(append(&hub, 1));
    assert!(append(&hub, 2));
    hub.send_to_user("a", "u", &message(3));
    assert!(append(&hub, 4));
    hub.send_to_connection("a", &clients[0].connection.id, &message(5));
    assert!(append(&hub, 6));
    walk(&hub).await;
    assert_eq!(clients[0].numbers(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(clients[2].numbers(), [1, 2, 3, 4, 6]);
    for (client, numbers) in [
        (&clients[1], vec![1, 2, 3, 4, 6]),
        (&other, vec![1, 2, 4, 6]),
    ] {
        let said = client.receive();
        let found: Vec<u64> = said
            .iter()
            .map(|said| said["n"].as_u64().unwrap())
            .collect();
        assert_eq!(found, numbers);
        assert_eq!(
            offsets(&said),
            (1..=numbers.len() as u64).collect::<Vec<_>>()
        );
    }
    // Four broadcasts to four connections, one to three, one to one.
    assert_eq!(hub.stats().messages_sent, 16 + 3 + 1);
}

#[tokio::test]
async fn a_newcomer_gets_what_is_broadcast_after_its_acknowledgement() {
    let Setup { hub, .. } = setup(RealtimeConfig::default());
    let old = Client::join(&hub, "a", "u", None);
    assert!(append(&hub, 1));
    let second = Client::join(&hub, "a", "u", None);
    let newcomer = Client::join(&hub, "a", "v", None);
    let back = Client::join(&hub, "a", "u", Some(&old.position(0)));
    assert_eq!(second.ack["offset"], 1);
    assert_eq!(newcomer.ack["offset"], 0);
    assert_eq!(hub.broadcast("a", &message(2)).await, 4);
    walk(&hub).await;
    assert_eq!(old.numbers(), [1, 2]);
    assert_eq!(back.numbers(), [1, 2]);
    assert_eq!(second.numbers(), [2]);
    assert_eq!(newcomer.numbers(), [2]);
    hub.unsubscribe(&old.connection);
    assert_eq!(hub.broadcast("a", &message(3)).await, 3);
}

#[tokio::test]
async fn senders_wait_while_too_much_is_on_its_way() {
    let Setup { hub, .. } = setup(RealtimeConfig {
        queue_bytes: 1024,
        gather: Duration::ZERO,
        ..RealtimeConfig::default()
    });
    let client = Client::try_join(&hub, "a", "u", Form::Plain, None).unwrap();
    let fitting = (1..=1000).take_while(|n| append(&hub, *n)).count() as u64;
    assert!(fitting > 2 && fitting < 100, "{fitting}");
    let late = message(fitting + 1);
    let mut waiting = pin!(hub.broadcast("a", &late));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    walk(&hub).await;
    assert_eq!(client.numbers(), (1..=fitting).collect::<Vec<_>>());
    assert_eq!(waiting.await, 1);
    assert_eq!(client.numbers(), [fitting + 1]);
    // Alone even a message over the limit goes out.
    let large = Message::from_value(&json!({"n": 1, "x": "y".repeat(900)}), 1 << 20).unwrap();
    assert_eq!(hub.broadcast("a", &large).await, 1);
    assert_eq!(client.numbers(), [1]);
}

#[tokio::test]
async fn what_was_broadcast_goes_out_before_the_goodbye() {
    let Setup { hub, .. } = setup(RealtimeConfig::default());
    let client = Client::join(&hub, "a", "u", None);
    assert!(append(&hub, 1));
    hub.shut_down();
    assert_eq!(client.numbers(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_keep_their_orders_and_every_user_sees_all() {
    const SENDERS: u64 = 3;
    const MESSAGES: u64 = 2_000;
    let Setup { hub, .. } = setup(RealtimeConfig {
        queue_bytes: 16 << 20,
        ..RealtimeConfig::default()
    });
    let clients: Vec<Client> = (0..200)
        .map(|n| Client::join(&hub, "a", &format!("u{n}"), None))
        .collect();
    let senders = (0..SENDERS).map(|sender| {
        let hub = Arc::clone(&hub);
        tokio::spawn(async move {
            for n in 0..MESSAGES {
                hub.broadcast("a", &message(sender * MESSAGES + n)).await;
                hub.send_to_user("a", "u7", &message((SENDERS + sender) * MESSAGES + n));
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    walk(&hub).await;
    for (index, client) in clients.iter().enumerate() {
        let said = client.receive();
        let lanes = if index == 7 { SENDERS * 2 } else { SENDERS };
        let mut next: Vec<u64> = (0..lanes).map(|lane| lane * MESSAGES).collect();
        for (message, offset) in said.iter().zip(1..) {
            let number = message["n"].as_u64().unwrap();
            let lane = (number / MESSAGES) as usize;
            assert_eq!(number, next[lane], "user {index}");
            assert_eq!(message["_offset"], offset);
            next[lane] += 1;
        }
        assert_eq!(said.len() as u64, lanes * MESSAGES, "user {index}");
    }
}
