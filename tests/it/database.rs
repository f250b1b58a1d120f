//! What can go wrong between a plugin and its database, with a database server to be killed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{Answer, DocstoreProcess, TestApp, within},
};

/// Longest that an answer may take while the database is away: five seconds to look for a server,
/// and what a busy machine adds; well below the 30 seconds that a call may take.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Longest that a test waits for what it expects.
const LIMIT: Duration = Duration::from_secs(60);

const ITEMS: &str = include_str!("database/items.py");

async fn started(database: &DocstoreProcess) -> TestApp {
    let app = with_sdk()
        .plugin("items", ITEMS)
        .env("MOZAIKS_DATABASE_URI", &database.uri())
        .start()
        .await;
    ready(&app, 200).await;
    app
}

/// Waits until `/ready` answers so.
async fn ready(app: &TestApp, status: u16) {
    let client = app.anonymous();
    within(LIMIT, async {
        while client.get("/ready").await.status != status {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn ask(app: &TestApp, data: Value) -> Value {
    app.user("ann").execute("items", &data).await.expect_ok()
}

/// What the clients of a test have seen.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<BTreeSet<u64>>,
    refused: AtomicUsize,
    slowest: Mutex<Duration>,
    odd: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Seen {
    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}

/// Inserts one document after the other until told to stop.
async fn insert_on(app: Arc<TestApp>, seen: Arc<Seen>, from: u64) {
    let client = app.user("ann");
    let mut n = from;
    while !seen.stop.load(Ordering::Relaxed) {
        n += 1;
        let begin = Instant::now();
        let answer = client
            .execute("items", &json!({ "action": "insert", "n": n }))
            .await;
        let waited = begin.elapsed();
        let mut slowest = seen.slowest.lock().unwrap();
        *slowest = waited.max(*slowest);
        match answer.status.as_u16() {
            200 => {
                seen.acknowledged.lock().unwrap().insert(n);
            }
            503 if answer.json()["error_code"] == "DATABASE_UNAVAILABLE" => {
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
            _ => seen.odd.lock().unwrap().push(answer.text),
        }
    }
}

#[tokio::test]
async fn a_database_that_dies_under_load_loses_nothing_that_was_acknowledged() {
    let mut database = DocstoreProcess::start().await;
    let app = Arc::new(started(&database).await);
    let seen = Arc::new(Seen::default());
    let clients: Vec<_> = (0..8)
        .map(|client| {
            tokio::spawn(insert_on(
                Arc::clone(&app),
                Arc::clone(&seen),
                client * 1_000_000,
            ))
        })
        .collect();
    let grows_to = async |count: usize| {
        within(LIMIT, async {
            while seen.count() < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    grows_to(200).await;
    database.kill().await;
    ready(&app, 503).await;
    within(LIMIT, async {
        while seen.refused.load(Ordering::Relaxed) < 8 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    database.restart().await;
    ready(&app, 200).await;
    grows_to(seen.count() + 200).await;
    seen.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }

    assert_eq!(*seen.odd.lock().unwrap(), Vec::<String>::new());
    let slowest = *seen.slowest.lock().unwrap();
    assert!(slowest < LONGEST_WAIT, "an answer took {slowest:?}");
    let found: BTreeSet<u64> =
        serde_json::from_value(ask(&app, json!({ "action": "all" })).await["found"].clone())
            .unwrap();
    let acknowledged = seen.acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

#[tokio::test]
async fn an_uncaught_error_of_the_database_is_not_the_plugins() {
    let mut database = DocstoreProcess::start().await;
    let app = started(&database).await;
    let ann = app.user("ann");
    let full = ann.execute("items", &json!({ "action": "full" })).await;
    full.expect_error(507, "STORAGE_FULL");
    database.kill().await;
    // `together` raises a group.
    for action in ["find", "indexes", "together", "settings"] {
        let begin = Instant::now();
        let answer = ann
            .execute("items", &json!({ "action": action, "n": 1 }))
            .await;
        answer.expect_error(503, "DATABASE_UNAVAILABLE");
        assert!(begin.elapsed() < LONGEST_WAIT, "{action}");
    }
    let own = ann
        .execute("items", &json!({ "action": "own_error" }))
        .await;
    own.expect_error(500, "PLUGIN_ERROR");
    database.restart().await;
    ready(&app, 200).await;
    ask(&app, json!({ "action": "find", "n": 1 })).await;
    ask(&app, json!({ "action": "indexes" })).await;
}

#[tokio::test]
async fn a_call_that_waits_for_the_database_ends_with_its_time() {
    let database = DocstoreProcess::start().await;
    let app = with_sdk()
        .plugin("items", ITEMS)
        .file(
            "items/plugin.json",
            r#"{"name": "items", "version": "1.0.0", "timeout_seconds": 0.5}"#,
        )
        .env("MOZAIKS_DATABASE_URI", &database.uri())
        .start()
        .await;
    ready(&app, 200).await;
    let find = json!({ "action": "find", "n": 1 });
    ask(&app, find.clone()).await;
    database.freeze();
    let ann = app.user("ann");
    let answers = futures_util::future::join_all((0..20).map(|_| ann.execute("items", &find)));
    for answer in answers.await {
        answer.expect_error(504, "PLUGIN_TIMEOUT");
    }
    // The gateway notices, and from then on nobody waits.
    ready(&app, 503).await;
    ann.execute("items", &find)
        .await
        .expect_error(503, "DATABASE_UNAVAILABLE");
    database.thaw();
    ready(&app, 200).await;
    ask(&app, find).await;
}

#[tokio::test]
async fn what_cannot_be_stored_or_asked_is_said_as_pymongo_says_it() {
    let database = DocstoreProcess::start().await;
    let app = started(&database).await;
    for (action, raised, part) in [
        ("too_large", "DocumentTooLarge", "16777216 bytes"),
        ("unencodable", "InvalidDocument", "a.b.1"),
        ("where", "OperationFailure", "$where"),
        ("object_id", "InvalidId", "nonsense"),
    ] {
        let said = ask(&app, json!({ "action": action, "id": "nonsense" })).await;
        assert_eq!(said["raised"], raised, "{action}: {said}");
        let message = said["message"].as_str().unwrap();
        assert!(message.contains(part), "{action}: {message}");
    }
    let all = ask(&app, json!({ "action": "all" })).await;
    assert_eq!(all["found"], json!([]));
}

/// Cursors that the gateway says plugins have open.
async fn open_cursors(app: &TestApp) -> f64 {
    app.metric("mozaiks_database_cursors_open").await
}

#[tokio::test]
async fn a_cursor_that_is_left_half_read_is_closed() {
    let database = DocstoreProcess::start().await;
    let app = started(&database).await;
    for close in [true, false] {
        ask(&app, json!({ "action": "half_read", "close": close })).await;
        within(LIMIT, async {
            while open_cursors(&app).await > 0.0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    ask(&app, json!({ "action": "keep_reading" })).await;
    assert_eq!(open_cursors(&app).await, 1.0);
}

#[tokio::test]
async fn sessions_streams_and_listings_go_through_the_gateway() {
    let database = DocstoreProcess::start_replica_set().await;
    let app = started(&database).await;
    let kept = ask(
        &app,
        json!({ "action": "transaction", "n": 1, "fail": false }),
    )
    .await;
    assert_eq!(kept, json!({ "within": 1, "outside": 0, "after": 1 }));
    let undone = ask(
        &app,
        json!({ "action": "transaction", "n": 2, "fail": true }),
    )
    .await;
    assert_eq!(undone, json!({ "within": 2, "outside": 1, "after": 1 }));
    let again = ask(&app, json!({ "action": "with_transaction", "n": 3 })).await;
    assert_eq!(again["tries"], 2);
    let watched = ask(&app, json!({ "action": "watch", "n": 10 })).await;
    assert_eq!(watched["seen"], json!([10, 11, 12]));
    let admin = ask(&app, json!({ "action": "admin" })).await;
    assert_eq!(
        admin,
        json!({
            "listed": ["_id_", "by_a"], "known": ["_id_", "by_a"], "validator": { "n": { "$gte": 0 } },
            "names": ["items", "remade"], "missing": [], "name": "mozaiks",
            "documents": [{ "n": 1 }], "valid": true,
        })
    );
}

#[tokio::test]
async fn a_plugin_cannot_learn_where_the_database_is() {
    let mut database = DocstoreProcess::start().await;
    let app = started(&database).await;
    ask(&app, json!({ "action": "insert", "n": 1 })).await;
    let place = database.uri().replace("mongodb://", "");
    let place = place.split('/').next().unwrap().to_owned();
    let port = place.rsplit(':').next().unwrap().to_owned();
    let said = ask(&app, json!({ "action": "secrets" })).await;
    assert!(!said.to_string().contains(&port), "{port}: {said}");
    for operation in ["db.uri", "db.target", "db.url"] {
        assert_eq!(said[operation], "HostError", "{said}");
    }
    for refused in ["serverStatus", "getCmdLineOpts", "whatsmyuri", "hostInfo"] {
        assert_eq!(said[refused], "OperationFailure", "{said}");
    }
    database.kill().await;
    let said = within(LIMIT, async {
        loop {
            let said = ask(&app, json!({ "action": "outage" })).await;
            if said.get("message").is_some() {
                return said;
            }
        }
    })
    .await;
    assert!(!said.to_string().contains(&port), "{port}: {said}");
}

#[tokio::test]
async fn the_gateways_data_is_out_of_reach() {
    let app = with_sdk().plugin("items", ITEMS).start().await;
    ready(&app, 200).await;
    let ann = app.user("ann");
    let saved = ann
        .request(Method::POST, "/api/plugin-settings/items")
        .json(&json!({ "settings": { "a": 1 } }));
    let saved = Answer::of(saved).await;
    assert_eq!(saved.status.as_u16(), 200, "{}", saved.text);
    ask(&app, json!({ "action": "insert", "n": 1 })).await;
    let databases = ["mozaiks_control", "admin", "other"];
    let said = ask(&app, json!({ "action": "foreign", "databases": databases })).await;
    assert_eq!(said["settings"], 0);
    let tried = said["tried"].as_object().unwrap();
    assert_eq!(tried.len(), 15);
    for (what, raised) in tried {
        assert_eq!(raised, "OperationFailure", "{what}");
    }
    let kept = ask(&app, json!({ "action": "settings", "user_id": "ann" })).await;
    assert_eq!(kept, json!({ "a": 1 }));
}
