use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::testing::Presence;

mod broadcasts;
mod groups;

struct Setup {
    hub: Arc<Hub>,
    presence: Arc<Presence>,
}

fn setup(config: RealtimeConfig) -> Setup {
    let presence = Arc::new(Presence::default());
    let hub = Hub::new(
        Arc::new(config),
        Arc::clone(&presence) as Arc<dyn PresenceSink>,
    );
    Setup { hub, presence }
}

/// A connection whose frames stay in its queue.
struct Client {
    connection: Arc<Connection>,
    ack: Value,
    /// Came together with the acknowledgement, before everything that waits now.
    early: Mutex<Vec<Value>>,
}

impl Client {
    fn join(hub: &Hub, app: &str, user: &str, resume: Option<&str>) -> Self {
        Self::try_join(hub, app, user, Form::Tracked, resume).unwrap()
    }

    fn try_join(
        hub: &Hub,
        app: &str,
        user: &str,
        form: Form,
        resume: Option<&str>,
    ) -> Result<Self, SubscribeError> {
        let connection = hub.subscribe(Subscribe {
            app_id: app.into(),
            user_id: user.into(),
            form,
            resume: resume.map(Resume::parse),
            outbound: hub.outbound(None),
        })?;
        let mut client = Self {
            connection,
            ack: Value::Null,
            early: Mutex::default(),
        };
        let mut said = client.receive();
        client.ack = said.remove(0);
        *client.early.lock() = said;
        Ok(client)
    }

    /// Everything that waits, frame by frame.
    fn receive(&self) -> Vec<Value> {
        let mut messages = std::mem::take(&mut *self.early.lock());
        let mut bytes = Vec::new();
        while let Some(taken) = self.connection.outbound.take() {
            bytes.extend_from_slice(&taken);
        }
        if self.connection.form == Form::Events {
            let text = String::from_utf8(bytes).unwrap();
            let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
            messages.extend(data.map(|data| serde_json::from_str::<Value>(data).unwrap()));
            return messages;
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (start, length) = match rest[1] {
                126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
                127 => (
                    10,
                    u64::from_be_bytes(rest[2..10].try_into().unwrap()) as usize,
                ),
                length => (2, usize::from(length)),
            };
            messages.push(serde_json::from_slice(&rest[start..start + length]).unwrap());
            rest = &rest[start + length..];
        }
        messages
    }

    fn numbers(&self) -> Vec<u64> {
        self.receive()
            .iter()
            .map(|message| message["n"].as_u64().unwrap())
            .collect()
    }

    fn position(&self, offset: u64) -> String {
        format!("{}:{offset}", self.ack["epoch"].as_str().unwrap())
    }
}

fn message(n: u64) -> Arc<Message> {
    Message::from_value(&json!({ "n": n }), 1 << 20).unwrap()
}

#[tokio::test]
async fn nothing_crosses_a_user_or_an_app() {
    let Setup { hub, .. } = setup(RealtimeConfig {
        gather: Duration::ZERO,
        ..RealtimeConfig::default()
    });
    let places = [("a", "u1"), ("a", "u2"), ("b", "u1"), ("b", "u2")];
    let clients: Vec<(usize, Client)> = (0..places.len() * 3)
        .map(|index| {
            let (app, user) = places[index % 4];
            let form = [Form::Plain, Form::Tracked, Form::Events][index / 4];
            (
                index % 4,
                Client::try_join(&hub, app, user, form, None).unwrap(),
            )
        })
        .collect();
    for (sent_to, (app, user)) in places.iter().enumerate() {
        assert_eq!(hub.send_to_user(app, user, &message(1)), 3);
        for (place, client) in &clients {
            let expected = usize::from(*place == sent_to);
            assert_eq!(client.receive().len(), expected, "{sent_to} -> {place}");
        }
        assert_eq!(hub.broadcast(app, &message(2)).await, 6);
        for (place, client) in &clients {
            let expected = usize::from(places[*place].0 == *app);
            assert_eq!(client.receive().len(), expected, "{app} -> {place}");
        }
    }
    for (place, client) in &clients {
        let (app, _) = places[*place];
        let other = if app == "a" { "b" } else { "a" };
        let id = &client.connection.id;
        assert!(!hub.send_to_connection(other, id, &message(3)));
        assert_eq!(client.receive().len(), 0);
        assert!(hub.send_to_connection(app, id, &message(3)));
        assert_eq!(client.receive().len(), 1);
    }
    assert_eq!(hub.send_to_user("c", "u1", &message(4)), 0);
    assert_eq!(hub.send_to_user("a", "u3", &message(4)), 0);
    assert_eq!(hub.broadcast("c", &message(4)).await, 0);
    assert!(!hub.send_to_connection("a", "nobody", &message(4)));
}

#[tokio::test]
async fn forms_differ_only_in_the_position() {
    let Setup { hub, .. } = setup(RealtimeConfig::default());
    let plain = Client::try_join(&hub, "a", "u", Form::Plain, None).unwrap();
    let tracked = Client::try_join(&hub, "a", "u", Form::Tracked, None).unwrap();
    let events = Client::try_join(&hub, "a", "u", Form::Events, None).unwrap();
    hub.send_to_user("a", "u", &message(7));
    let epoch = tracked.ack["epoch"].clone();
    assert_eq!(plain.receive(), [json!({"n": 7})]);
    assert_eq!(
        tracked.receive(),
        [json!({"n": 7, "_epoch": epoch, "_offset": 1})]
    );
    let event = events.connection.outbound.take().unwrap();
    let expected = format!("id: {}:1\ndata: {{\"n\":7}}\n\n", epoch.as_str().unwrap());
    assert_eq!(event, expected.as_bytes());
}

#[tokio::test]
async fn a_client_that_comes_back_gets_exactly_what_it_missed() {
    let Setup { hub, .. } = setup(RealtimeConfig::default());
    let first = Client::join(&hub, "a", "u", None);
    assert_eq!(first.ack["offset"], 0);
    assert_eq!(first.ack.get("recovered"), None);
    for n in 1..=3 {
        hub.send_to_user("a", "u", &message(n));
    }
    assert_eq!(first.numbers(), [1, 2, 3]);
    hub.unsubscribe(&first.connection);
    for n in 4..=6 {
        assert_eq!(hub.send_to_user("a", "u", &message(n)), 0);
    }
    hub.broadcast("a", &message(7)).await;

    let back = Client::join(&hub, "a", "u", Some(&first.position(2)));
    assert_eq!(back.ack["recovered"], true);
    assert_eq!(back.ack["offset"], 2, "what follows is newer than this");
    hub.send_to_user("a", "u", &message(8));
    assert_eq!(back.numbers(), [3, 4, 5, 6, 7, 8]);

    for wrong in [
        "0123456789abcdef:2".to_owned(),
        first.position(9),
        first.position(2).replace(':', ";"),
        "nonsense".into(),
        String::new(),
    ] {
        let lost = Client::join(&hub, "a", "u", Some(&wrong));
        assert_eq!(lost.ack["recovered"], false, "{wrong}");
        assert_eq!(lost.ack["offset"], 8, "{wrong}");
        assert_eq!(lost.receive(), Vec::<Value>::new(), "{wrong}");
    }
    let other_app = Client::join(&hub, "b", "u", Some(&first.position(2)));
    assert_eq!(other_app.ack["recovered"], false);
}

#[tokio::test]
async fn messages_to_one_connection_have_no_place_in_the_history() {
    let Setup { hub, .. } = setup(RealtimeConfig::default());
    let client = Client::join(&hub, "a", "u", None);
    hub.send_to_connection("a", &client.connection.id, &message(1));
    hub.send_to_user("a", "u", &message(2));
    let said = client.receive();
    assert_eq!(said[0], json!({"n": 1}));
    assert_eq!(said[1]["_offset"], 1);
}

#[tokio::test]
async fn presence_is_told_of_the_first_and_the_last_connection() {
    let Setup { hub, presence } = setup(RealtimeConfig::default());
    let one = Client::join(&hub, "a", "u", None);
    let two = Client::join(&hub, "a", "u", None);
    let other = Client::join(&hub, "b", "u", None);
    assert!(hub.is_connected("a", "u"));
    assert!(!hub.is_connected("a", "v"));
    assert_eq!(hub.connected_users("a"), ["u".into()]);
    assert_eq!(*presence.0.lock(), ["+a/u", "+b/u"]);
    hub.unsubscribe(&one.connection);
    hub.unsubscribe(&one.connection);
    assert!(hub.is_connected("a", "u"));
    hub.unsubscribe(&two.connection);
    hub.unsubscribe(&other.connection);
    assert!(!hub.is_connected("a", "u"));
    assert!(hub.connected_users("a").is_empty());
    assert_eq!(*presence.0.lock(), ["+a/u", "+b/u", "-a/u", "-b/u"]);
    assert_eq!(hub.stats().connections, 0);
}

#[tokio::test]
async fn a_user_has_a_limit_of_connections_of_its_own() {
    let Setup { hub, .. } = setup(RealtimeConfig {
        max_connections_per_user: 2,
        ..RealtimeConfig::default()
    });
    let one = Client::join(&hub, "a", "u", None);
    let _two = Client::join(&hub, "a", "u", None);
    let third = Client::try_join(&hub, "a", "u", Form::Plain, None);
    assert_eq!(third.err(), Some(SubscribeError::TooMany));
    let _other_app = Client::join(&hub, "b", "u", None);
    hub.unsubscribe(&one.connection);
    let _third = Client::join(&hub, "a", "u", None);
    assert_eq!(hub.stats().connections, 3);
}

#[tokio::test(start_paused = true)]
async fn users_are_forgotten_once_nobody_can_come_back() {
    let Setup { hub, .. } = setup(RealtimeConfig::default());
    let stays = Client::join(&hub, "a", "stays", None);
    let goes = Client::join(&hub, "a", "goes", None);
    let gone_app = Client::join(&hub, "b", "u", None);
    hub.unsubscribe(&goes.connection);
    hub.unsubscribe(&gone_app.connection);
    hub.send_to_user("a", "goes", &message(1));
    assert!(hub.stats().history_bytes > 0);

    tokio::time::advance(Duration::from_secs(299)).await;
    hub.sweep();
    let back = Client::join(&hub, "a", "goes", Some(&goes.position(0)));
    assert_eq!(back.ack["recovered"], true);
    hub.unsubscribe(&back.connection);

    tokio::time::advance(Duration::from_secs(301)).await;
    hub.sweep();
    assert_eq!(hub.stats().history_bytes, 0);
    assert_eq!(hub.apps.len(), 1);
    assert_eq!(hub.apps.get("a").unwrap().users.len(), 1);
    let later = Client::join(&hub, "a", "goes", Some(&goes.position(1)));
    assert_eq!(later.ack["recovered"], false);
    assert_ne!(later.ack["epoch"], goes.ack["epoch"]);
    hub.send_to_user("a", "stays", &message(2));
    assert_eq!(stays.numbers(), [2]);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_and_nobody_else_notices() {
    let Setup { hub, .. } = setup(RealtimeConfig {
        queue_bytes: 64 * 1024,
        ..RealtimeConfig::default()
    });
    let slow = Client::join(&hub, "a", "u", None);
    let reader = Client::join(&hub, "a", "u", None);
    let mut read = Vec::new();
    let mut reached = Vec::new();
    for n in 1..=200 {
        let large = Message::from_value(&json!({"n": n, "x": "y".repeat(1000)}), 1 << 20).unwrap();
        reached.push(hub.send_to_user("a", "u", &large));
        read.extend(reader.numbers());
    }
    assert_eq!(read, (1..=200).collect::<Vec<_>>());
    assert_eq!(reached[0], 2);
    assert_eq!(reached[199], 1);
    assert_eq!(slow.connection.outbound.closing(), Some(CloseCode::TooSlow));
    assert_eq!(reader.connection.outbound.closing(), None);
    assert_eq!(
        hub.stats().queued_bytes,
        0,
        "what the slow one held is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lags_is_closed_however_little_waits() {
    let Setup { hub, .. } = setup(RealtimeConfig::default());
    let client = Client::join(&hub, "a", "u", None);
    let outbound = &client.connection.outbound;
    assert_eq!(outbound.check_lag(Instant::now()), None);
    hub.send_to_user("a", "u", &message(1));
    tokio::time::advance(Duration::from_secs(6)).await;
    hub.send_to_user("a", "u", &message(2));
    let deadline = outbound.check_lag(Instant::now()).unwrap();
    assert_eq!(deadline - Instant::now(), Duration::from_secs(4));
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(outbound.check_lag(Instant::now()), None);
    assert_eq!(outbound.closing(), Some(CloseCode::TooSlow));
}

#[tokio::test]
async fn all_queues_together_stay_inside_the_budget() {
    let budget = 256 * 1024;
    let Setup { hub, .. } = setup(RealtimeConfig {
        budget_bytes: budget,
        ..RealtimeConfig::default()
    });
    let slow: Vec<Client> = (0..8)
        .map(|n| Client::join(&hub, "a", &format!("u{n}"), None))
        .collect();
    for n in 0..100 {
        for user in 0..8 {
            let large =
                Message::from_value(&json!({"n": n, "x": "y".repeat(5000)}), 1 << 20).unwrap();
            hub.send_to_user("a", &format!("u{user}"), &large);
            assert!(hub.stats().queued_bytes <= budget);
        }
    }
    assert!(
        slow.iter()
            .any(|client| client.connection.outbound.closing() == Some(CloseCode::TooSlow))
    );
    for client in &slow {
        hub.unsubscribe(&client.connection);
    }
    drop(slow);
    assert_eq!(hub.stats().queued_bytes, 0);
}

#[tokio::test]
async fn one_large_message_in_many_queues_is_held_once() {
    let Setup { hub, .. } = setup(RealtimeConfig::default());
    let clients: Vec<Client> = (0..50)
        .map(|n| Client::try_join(&hub, "a", &format!("u{n}"), Form::Plain, None).unwrap())
        .collect();
    let large = Message::from_value(&json!({"x": "y".repeat(100_000)}), 1 << 20).unwrap();
    assert_eq!(hub.broadcast("a", &large).await, 50);
    assert!(hub.stats().queued_bytes < 110_000);
    drop(clients);
}

#[tokio::test]
async fn shutting_down_closes_everyone_and_lets_nobody_in() {
    let Setup { hub, .. } = setup(RealtimeConfig::default());
    let client = Client::join(&hub, "a", "u", None);
    hub.shut_down();
    assert_eq!(
        client.connection.outbound.closing(),
        Some(CloseCode::GoingAway)
    );
    let late = Client::try_join(&hub, "a", "u", Form::Plain, None);
    assert_eq!(late.err(), Some(SubscribeError::ShuttingDown));
}

/// Joins, leaves and comes back while messages flow: every number once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_back_while_messages_flow_misses_and_doubles_nothing() {
    const MESSAGES: u64 = 5_000;
    let Setup { hub, .. } = setup(RealtimeConfig {
        history_messages: 10_000,
        queue_bytes: 16 << 20,
        history_bytes: 8 << 20,
        ..RealtimeConfig::default()
    });
    let mut client = Client::join(&hub, "a", "u", None);
    let sender = std::thread::spawn({
        let hub = Arc::clone(&hub);
        move || {
            for n in 1..=MESSAGES {
                hub.send_to_user("a", "u", &message(n));
            }
        }
    });
    let mut last = 0;
    while last < MESSAGES {
        for number in client.numbers() {
            assert_eq!(number, last + 1);
            last = number;
        }
        hub.unsubscribe(&client.connection);
        let position = client.position(last);
        // What still waited on the old connection is lost with it.
        client = Client::join(&hub, "a", "u", Some(&position));
        assert_eq!(client.ack["recovered"], true);
    }
    sender.join().unwrap();
    assert_eq!(client.numbers(), Vec::<u64>::new());
}
