//! What can go wrong between a plugin and its database, with a database server to be killed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    data::with_sdk,
    support::{DocstoreProcess, TestApp, within},
};

/// Longest that an answer may take while the database is away: five seconds to look for a server,
/// and what a busy machine adds; well below the 30 seconds that a call may take.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Longest that a test waits for what it expects.
const LIMIT: Duration = Duration::from_secs(60);

const ITEMS: &str = r#"
import asyncio
from bson import ObjectId
from core.config.database import db
from core.settings_manager import settings_manager
from mozaiks import StorageFull

items = db["items"]


async def execute(data):
    return await globals()["do_" + data["action"]](data)


async def said(awaitable):
    try:
        await awaitable
    except Exception as error:
        return {"raised": type(error).__name__, "message": str(error)}
    return {"raised": None}


async def do_insert(data):
    await items.insert_one({"_id": data["n"]})
    return {}


async def do_all(data):
    return {"found": [item["_id"] async for item in items.find().sort("_id", 1)]}


async def do_find(data):
    return {"found": await items.find_one({"_id": data["n"]})}


async def do_indexes(data):
    return {"indexes": await items.index_information()}


async def do_together(data):
    async with asyncio.TaskGroup() as group:
        group.create_task(items.find_one({}))
        group.create_task(items.count_documents({}))
    return {}


async def do_settings(data):
    return await settings_manager.get_plugin_settings(data["user_id"], "items")


async def do_own_error(data):
    try:
        await items.find_one({})
    except Exception as error:
        raise ValueError("mine") from error
    return {}


async def do_full(data):
    raise StorageFull("no room", {"ok": 0, "code": 14031})


async def do_too_large(data):
    return await said(items.insert_one({"text": "x" * (17 << 20)}))


async def do_unencodable(data):
    return await said(items.insert_one({"a": {"b": [1, object()]}}))


async def do_object_id(data):
    async def find():
        return await items.find_one({"_id": ObjectId(data["id"])})

    return await said(find())


async def do_where(data):
    return await said(items.find({"$where": "this.n > 1"}).to_list())


async def do_open_cursors(data):
    status = await db.command("serverStatus")
    return {"open": status["metrics"]["cursor"]["open"]["total"]}


async def do_half_read(data):
    await items.insert_many([{} for _ in range(10)])
    cursor = items.find({}, batch_size=2)
    await cursor.next()
    found = await do_open_cursors(data)
    if data["close"]:
        await cursor.close()
    return found
"#;

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
    // `indexes` goes through PyMongo's own client, `together` raises a group.
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

#[tokio::test]
async fn a_cursor_that_is_left_half_read_is_closed_on_the_server() {
    let database = DocstoreProcess::start().await;
    let app = started(&database).await;
    for close in [true, false] {
        let reading = ask(&app, json!({ "action": "half_read", "close": close })).await;
        assert_eq!(reading["open"], 1);
        within(LIMIT, async {
            while ask(&app, json!({ "action": "open_cursors" })).await["open"] != 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}
