//! Gateways that are killed in the middle of migrations: what is told afterwards is true, a second run completes,
//! and nothing is done twice.
//!
//! Between the gateway and its database stands a relay that knows the messages of a run. At the one that a test
//! names it holds still, and the gateway is killed; the message has then reached the database, or not.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::SeqCst},
};

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
};

use crate::{
    data::with_sdk,
    entities::{act, database_of},
    support::{Answer, DocstoreProcess, TestApp},
};

/// What stands in messages of a run: its row, its collections, the end of a transaction.
const MARKS: [&[u8]; 3] = [b"plugin_migrations", b"shop_", b"commitTransaction"];

/// Holds still at a message.
struct Relay {
    address: String,
    /// Messages of runs that still go through; below zero all do.
    left: AtomicI64,
    /// Whether the held one is to reach the database.
    reaches: std::sync::atomic::AtomicBool,
    held: Notify,
    release: Semaphore,
}

impl Relay {
    async fn before(server: &DocstoreProcess) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Arc::new(Self {
            address: listener.local_addr().unwrap().to_string(),
            left: AtomicI64::new(-1),
            reaches: Default::default(),
            held: Notify::new(),
            release: Semaphore::new(0),
        });
        let uri = server.uri();
        let to = uri
            .trim_start_matches("mongodb://")
            .split('/')
            .next()
            .unwrap()
            .to_owned();
        let me = Arc::clone(&relay);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (me, to) = (Arc::clone(&me), to.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(to).await.unwrap();
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, to_server) = server.into_split();
                    let back = tokio::spawn(async move {
                        tokio::io::copy(&mut from_server, &mut to_client).await.ok();
                    });
                    me.messages(&mut from_client, to_server).await;
                    back.abort();
                });
            }
        });
        relay
    }

    fn uri(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    /// Passes messages on until the gateway is gone.
    async fn messages(
        &self,
        from: &mut tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
    ) {
        let mut head = [0_u8; 4];
        while from.read_exact(&mut head).await.is_ok() {
            let length = u32::from_le_bytes(head) as usize;
            let mut message = vec![0; length];
            message[..4].copy_from_slice(&head);
            if from.read_exact(&mut message[4..]).await.is_err() {
                return;
            }
            let has = |mark: &[u8]| message.windows(mark.len()).any(|window| window == mark);
            let is_of_run = MARKS.iter().any(|mark| has(mark)) && !has(b"\x02find\0");
            if is_of_run && self.left.load(SeqCst) >= 0 && self.left.fetch_sub(1, SeqCst) == 0 {
                self.held.notify_one();
                self.release.acquire().await.unwrap().forget();
                if !self.reaches.load(SeqCst) {
                    return;
                }
            }
            if to.write_all(&message).await.is_err() {
                return;
            }
        }
    }
}

/// Counters tell what was done twice; the last command is one that must not be.
fn migration(number: usize) -> Value {
    let table = format!("shop_t{number}");
    let count = json!({ "update": "shop_counts", "updates": [
        { "q": { "_id": number }, "u": { "$inc": { "n": 1 } }, "upsert": true }
    ] });
    match number % 3 {
        0 => json!({
            "up": [count, { "create": table }, { "insert": table, "documents": [{ "a": 1 }, { "a": 2 }] }],
            "down": [{ "drop": table }],
        }),
        1 => json!({
            "up": [{ "create": table }, count, { "createIndexes": table, "indexes": [{ "key": { "a": 1 }, "name": "a" }] },
                   { "insert": table, "documents": [{ "a": 1 }, { "a": 2 }] }],
            "down": [{ "drop": table }],
        }),
        _ => json!({
            "up": [{ "insert": table, "documents": [{ "a": 1 }, { "a": 2 }] },
                   { "renameCollection": table, "to": format!("{table}_x") },
                   { "renameCollection": format!("{table}_x"), "to": table }, count],
            "down": [{ "drop": table }],
        }),
    }
}

fn version(number: usize) -> String {
    format!("20250129_1430{number:02}")
}

async fn gateway(uri: &str) -> TestApp {
    let mut builder = with_sdk()
        .env("MOZAIKS_DATABASE_URI", uri)
        .env("MOZAIKS_MIGRATION_LEASE_SECONDS", "1")
        .plugin("shop", "def execute(data):\n    return {}\n");
    for number in 0..10 {
        let name = format!("shop/migrations/{}_x.json", version(number));
        builder = builder.file(&name, &migration(number).to_string());
    }
    builder.start().await
}

/// The state that is told, once no gateway counts as running it.
async fn settled(app: &TestApp, number: usize) -> Value {
    crate::jobs_of_plugins::until(|| async {
        let path = "/api/plugins/registry/shop/migrations";
        let listed = app.admin().get(path).await.expect_ok();
        let one = listed["migrations"][number].clone();
        (one["status"] != "running").then_some(one)
    })
    .await
}

#[tokio::test]
async fn ten_migrations_killed_at_every_step_are_told_truly_and_completed() {
    let server = DocstoreProcess::start().await;
    let relay = Relay::before(&server).await;
    let database = database_of(&server).await;
    let mut app = gateway(&relay.uri()).await;
    let mut kills = 0;
    // The first two are killed at every write of a run, one after the other; the others at one each.
    let mut step = 0;
    for number in 0..10 {
        let path = format!("shop/migrations/{}/run", version(number));
        loop {
            relay.reaches.store(kills % 2 == 0, SeqCst);
            relay.left.store(step, SeqCst);
            let admin = app.admin();
            let url = format!("/api/plugins/registry/{path}");
            let mut asked = tokio::spawn(async move {
                let request = admin.request(reqwest::Method::POST, &url).json(&json!({}));
                request.send().await.map(|answer| answer.status())
            });
            let was_killed = tokio::select! {
                () = relay.held.notified() => true,
                _ = &mut asked => false,
            };
            relay.left.store(-1, SeqCst);
            if !was_killed {
                // All of its messages have gone through: the next one begins at its first.
                step = 0;
                break;
            }
            kills += 1;
            step += 1 + i64::from(number > 1);
            app.signal("KILL");
            app.ended().await;
            relay.release.add_permits(1);
            asked.await.ok();
            app = gateway(&relay.uri()).await;
            let told = settled(&app, number).await;
            assert_true(&database, number, &told).await;
            if number > 1 || told["status"] == "completed" {
                break;
            }
        }
        let told = settled(&app, number).await;
        if told["status"] != "completed" {
            let done = act(&app, &path, &json!({})).await.expect_ok();
            assert_eq!(done["migration"]["status"], "completed", "{number}: {done}");
        }
        let again: Answer = act(&app, &path, &json!({})).await;
        again.expect_error(409, "MIGRATION_DONE");
        let counts = database.collection::<Document>("shop_counts");
        let count = counts
            .find_one(doc! { "_id": number as i64 })
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            count.get_i32("n").unwrap(),
            1,
            "migration {number} was done twice"
        );
        let table = database.collection::<Document>(&format!("shop_t{number}"));
        assert_eq!(
            table.count_documents(doc! {}).await.unwrap(),
            2,
            "migration {number}"
        );
    }
    assert!(kills >= 15, "{kills}");
}

#[tokio::test]
async fn a_gateway_that_was_too_slow_counts_for_nothing() {
    let server = DocstoreProcess::start().await;
    let relay = Relay::before(&server).await;
    let database = database_of(&server).await;
    let slow = gateway(&relay.uri()).await;
    let other = gateway(&server.uri()).await;
    for number in 0..6 {
        let path = format!("shop/migrations/{}/run", version(number));
        relay.reaches.store(true, SeqCst);
        relay.left.store(number as i64 + 2, SeqCst);
        let (admin, url) = (slow.admin(), format!("/api/plugins/registry/{path}"));
        let asked = tokio::spawn(async move {
            Answer::of(admin.request(reqwest::Method::POST, &url).json(&json!({}))).await
        });
        relay.held.notified().await;
        slow.signal("STOP");
        let done = crate::jobs_of_plugins::until(|| async {
            let answer = act(&other, &path, &json!({})).await;
            (answer.json()["error_code"] != "MIGRATION_RUNNING").then_some(answer)
        })
        .await;
        assert_eq!(
            done.expect_ok()["migration"]["status"],
            "completed",
            "{}",
            done.text
        );
        slow.signal("CONT");
        relay.release.add_permits(1);
        let told = asked.await.unwrap();
        // One that was stopped before it had the claim finds it done.
        if told.status == 409 {
            told.expect_error(409, "MIGRATION_DONE");
        } else {
            let told = told.expect_ok();
            assert_eq!(told["migration"]["status"], "completed", "{told}");
        }
        let told = settled(&other, number).await;
        let ends = told["history"].as_array().unwrap().iter();
        assert_eq!(
            ends.filter(|each| each["what"] == "completed").count(),
            1,
            "{told}"
        );
        let counts = database.collection::<Document>("shop_counts");
        let count = counts
            .find_one(doc! { "_id": number as i64 })
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            count.get_i32("n").unwrap(),
            1,
            "migration {number} was done twice"
        );
        let table = database.collection::<Document>(&format!("shop_t{number}"));
        assert_eq!(
            table.count_documents(doc! {}).await.unwrap(),
            2,
            "migration {number}"
        );
    }
}

/// What is told is what there is.
async fn assert_true(database: &mongodb::Database, number: usize, told: &Value) {
    let counts = database.collection::<Document>("shop_counts");
    let count = counts
        .find_one(doc! { "_id": number as i64 })
        .await
        .unwrap();
    let is_counted = count.is_some_and(|count| count.get_i32("n").unwrap() == 1);
    let up = migration(number)["up"].as_array().unwrap().clone();
    let at = up
        .iter()
        .position(|command| command.get("update").is_some())
        .unwrap();
    let position = told["position"].as_u64().unwrap() as usize;
    match told["status"].as_str().unwrap() {
        "completed" => assert!(is_counted, "{told}"),
        // Never begun, or begun: what must not be done twice is done exactly where that is told.
        "pending" => assert!(!is_counted, "{told}"),
        "failed" => {
            assert_eq!(is_counted, position > at, "{told}");
            assert!(
                told["error_message"]
                    .as_str()
                    .unwrap()
                    .contains("gave no sign of life")
            );
        }
        other => panic!("{other}: {told}"),
    }
}
