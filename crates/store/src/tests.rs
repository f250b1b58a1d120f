use std::{path::Path, time::Instant};

use bytes::Bytes;
use docstore::server::{Config as DocstoreConfig, Listen, Server as Docstore};
use mongodb::bson::{Bson, doc, oid::ObjectId};
use tempfile::TempDir;

use super::*;

mod moving;

const DECLARED: CollectionSpec = CollectionSpec {
    name: "things",
    indexes: &[IndexSpec {
        name: "by_name",
        keys: &[("app_id", 1), ("name", 1)],
        unique: true,
        expire_after: None,
        only_where_present: None,
    }],
};

fn socket_uri(dir: &Path) -> String {
    let path = dir.join("s.sock");
    let encoded = path.to_string_lossy().replace('/', "%2F");
    format!("mongodb://{encoded}/?directConnection=true")
}

async fn docstore(dir: &Path, replica_set: Option<&str>) -> Docstore {
    let mut config = DocstoreConfig::new(dir.join("data"), Listen::Unix(dir.join("s.sock")));
    config.replica_set = replica_set.map(Into::into);
    Docstore::start(config).await.expect("a docstore")
}

fn quick(uri: String) -> StoreConfig {
    StoreConfig {
        server_selection_timeout: Duration::from_millis(300),
        ping_every: Duration::from_millis(50),
        ping_every_while_down: Duration::from_millis(20),
        ..StoreConfig::new(uri)
    }
}

async fn up(store: &Store) {
    let mut health = store.watch_health();
    let wait = health.wait_for(Health::is_up);
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("the database answers in time")
        .expect("the store lives");
}

/// A store over a server of its own; the folder goes with it.
async fn started(replica_set: Option<&str>) -> (Arc<Store>, Docstore, TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let server = docstore(dir.path(), replica_set).await;
    let store = Store::open(quick(socket_uri(dir.path())), vec![DECLARED])
        .await
        .expect("a store");
    up(&store).await;
    (store, server, dir)
}

fn caller(generation: u64) -> CommandCaller {
    CommandCaller {
        generation,
        app_id: "shop".into(),
        plugin: "orders".into(),
    }
}

async fn run(
    store: &Store,
    caller: &CommandCaller,
    command: Document,
) -> Result<Document, StoreError> {
    let bytes = mongodb::bson::serialize_to_vec(&command).expect("BSON");
    let reply = store.run_command(caller, Bytes::from(bytes)).await?;
    Ok(mongodb::bson::deserialize_from_slice(&reply).expect("BSON"))
}

fn numbers(reply: &Document, batch: &str) -> Vec<i32> {
    let documents = reply
        .get_document("cursor")
        .and_then(|cursor| cursor.get_array(batch))
        .expect("a batch");
    documents
        .iter()
        .map(|document| {
            document
                .as_document()
                .and_then(|document| document.get_i32("n").ok())
                .expect("a number")
        })
        .collect()
}

fn cursor_id(reply: &Document) -> i64 {
    reply
        .get_document("cursor")
        .and_then(|cursor| cursor.get_i64("id"))
        .expect("a cursor id")
}

async fn insert_numbers(store: &Store, who: &CommandCaller, count: i32) {
    let documents: Vec<Bson> = (0..count).map(|n| Bson::from(doc! { "n": n })).collect();
    let reply = run(
        store,
        who,
        doc! { "insert": "numbers", "documents": documents },
    )
    .await
    .expect("inserted");
    assert_eq!(reply.get_i32("n").ok(), Some(count));
}

#[tokio::test]
async fn a_plugin_reads_what_it_wrote() {
    let (store, _server, _dir) = started(None).await;
    let id = ObjectId::new();
    let document = doc! { "_id": id, "n": 7, "deep": { "list": [1, "two", Bson::Null] } };
    run(
        &store,
        &caller(1),
        doc! { "insert": "c", "documents": [document.clone()] },
    )
    .await
    .expect("inserted");
    let found = run(
        &store,
        &caller(1),
        doc! { "find": "c", "filter": { "n": 7 }, "limit": 1, "singleBatch": true },
    )
    .await
    .expect("found");
    let batch = found
        .get_document("cursor")
        .and_then(|c| c.get_array("firstBatch"));
    assert_eq!(batch.ok(), Some(&vec![Bson::from(document)]));

    let update =
        doc! { "update": "c", "updates": [{ "q": { "_id": id }, "u": { "$inc": { "n": 1 } } }] };
    let reply = run(&store, &caller(1), update).await.expect("updated");
    assert_eq!(reply.get_i32("nModified").ok(), Some(1));
    let counted = doc! {
        "aggregate": "c",
        "pipeline": [{ "$match": { "n": 8 } }, { "$group": { "_id": 1, "n": { "$sum": 1 } } }],
        "cursor": {},
    };
    let reply = run(&store, &caller(1), counted).await.expect("counted");
    assert_eq!(numbers(&reply, "firstBatch"), [1]);
    let modify = doc! { "findAndModify": "c", "query": { "_id": id }, "remove": true };
    let reply = run(&store, &caller(1), modify).await.expect("removed");
    assert_eq!(
        reply
            .get_document("value")
            .and_then(|v| v.get_i32("n"))
            .ok(),
        Some(8)
    );
}

#[tokio::test]
async fn cursors_belong_to_the_load_that_opened_them() {
    let (store, _server, _dir) = started(None).await;
    insert_numbers(&store, &caller(1), 10).await;
    let find = || doc! { "find": "numbers", "sort": { "n": 1 }, "batchSize": 4 };
    let first = run(&store, &caller(1), find()).await.expect("found");
    assert_eq!(numbers(&first, "firstBatch"), [0, 1, 2, 3]);
    let id = cursor_id(&first);
    assert_ne!(id, 0);
    let more = || doc! { "getMore": id, "collection": "numbers", "batchSize": 4 };

    let other = run(&store, &caller(2), more())
        .await
        .expect_err("another's cursor");
    assert_eq!(other.code, Some(43));
    let second = run(&store, &caller(1), more()).await.expect("more");
    assert_eq!(numbers(&second, "nextBatch"), [4, 5, 6, 7]);
    let last = run(&store, &caller(1), more()).await.expect("the rest");
    assert_eq!(numbers(&last, "nextBatch"), [8, 9]);
    assert_eq!(cursor_id(&last), 0);
    assert_eq!(store.open_for_plugins().0, 0);

    let open = run(&store, &caller(1), find()).await.expect("found");
    let kill = doc! { "killCursors": "numbers", "cursors": [cursor_id(&open), 5_i64] };
    let killed = run(&store, &caller(1), kill).await.expect("killed");
    assert_eq!(
        killed.get_array("cursorsKilled").ok(),
        Some(&vec![Bson::Int64(cursor_id(&open))])
    );
    assert_eq!(
        killed.get_array("cursorsNotFound").ok(),
        Some(&vec![Bson::Int64(5)])
    );

    run(&store, &caller(1), find()).await.expect("found");
    assert_eq!(store.open_for_plugins().0, 1);
    store.forget_generation(1);
    assert_eq!(store.open_for_plugins().0, 0);
}

#[tokio::test]
async fn too_many_cursors_close_the_oldest() {
    let dir = tempfile::tempdir().expect("a folder");
    let _server = docstore(dir.path(), None).await;
    let config = StoreConfig {
        max_cursors_per_plugin: 2,
        ..quick(socket_uri(dir.path()))
    };
    let store = Store::open(config, vec![]).await.expect("a store");
    up(&store).await;
    insert_numbers(&store, &caller(1), 10).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let find = doc! { "find": "numbers", "batchSize": 1 };
        ids.push(cursor_id(
            &run(&store, &caller(1), find).await.expect("found"),
        ));
    }
    assert_eq!(store.open_for_plugins().0, 2);
    let more = |id: i64| doc! { "getMore": id, "collection": "numbers" };
    let gone = run(&store, &caller(1), more(ids[0]))
        .await
        .expect_err("closed");
    assert_eq!(gone.code, Some(43));
    assert!(run(&store, &caller(1), more(ids[2])).await.is_ok());
}

#[tokio::test]
async fn what_is_not_a_plugins_to_say_is_refused() {
    let (store, _server, _dir) = started(None).await;
    let refused = [
        doc! {},
        doc! { "dropDatabase": 1 },
        doc! { "shutdown": 1 },
        doc! { "find": "c", "$db": "other" },
        doc! { "insert": "c", "documents": [{}], "lsid": { "id": 1 } },
        doc! { "insert": "c", "documents": [{}], "txnNumber": 1_i64 },
        doc! { "insert": "c", "documents": [{}], "writeConcern": { "w": 0 } },
        doc! { "find": "c", "tailable": true },
    ];
    for command in refused {
        let error = run(&store, &caller(1), command.clone())
            .await
            .expect_err("refused");
        assert_eq!(error.kind, StoreErrorKind::Invalid, "{command}: {error}");
    }
    let garbage = store
        .run_command(&caller(1), Bytes::from_static(b"no BSON"))
        .await;
    assert_eq!(garbage.expect_err("refused").kind, StoreErrorKind::Invalid);
}

#[tokio::test]
async fn declared_indexes_exist_and_conflicts_are_told() {
    let (store, _server, _dir) = started(None).await;
    let things = store
        .own_database()
        .expect("a database")
        .collection::<Document>("things");
    let thing = doc! { "app_id": "a", "name": "n" };
    things.insert_one(&thing).await.expect("inserted");
    let error = StoreError::from(things.insert_one(&thing).await.expect_err("a duplicate"));
    assert_eq!(error.kind, StoreErrorKind::Conflict);
    assert_eq!(error.code, Some(11000));

    // A plugin's collection of that name is another, without these indexes.
    let twice = doc! { "insert": "things", "documents": [thing.clone(), thing] };
    let reply = run(&store, &caller(1), twice).await.expect("an answer");
    assert_eq!(reply.get_array("writeErrors").ok(), None);
    // Errors of a plugin's own get the server's answer as it is.
    let twice = doc! { "insert": "things", "documents": [{ "_id": 1 }, { "_id": 1 }] };
    let reply = run(&store, &caller(1), twice).await.expect("an answer");
    assert_eq!(reply.get_array("writeErrors").ok().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_gateway_starts_before_its_database() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(quick(socket_uri(dir.path())), vec![DECLARED])
        .await
        .expect("a store without a server");
    let mut health = store.watch_health();
    tokio::time::timeout(
        Duration::from_secs(20),
        health.wait_for(|health| matches!(health, Health::Down(_))),
    )
    .await
    .expect("it is noticed")
    .expect("the store lives");

    let asked = Instant::now();
    let error = run(&store, &caller(1), doc! { "find": "c" })
        .await
        .expect_err("there is no server");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );

    let _server = docstore(dir.path(), None).await;
    up(&store).await;
    run(&store, &caller(1), doc! { "find": "c" })
        .await
        .expect("found");
    let indexes = store
        .own_database()
        .expect("a database")
        .collection::<Document>("things")
        .list_index_names()
        .await
        .expect("indexes");
    assert!(indexes.contains(&"by_name".to_owned()), "{indexes:?}");
}

#[tokio::test]
async fn an_outage_is_survived() {
    let (store, server, dir) = started(None).await;
    insert_numbers(&store, &caller(1), 3).await;
    server.shutdown().await;
    let mut health = store.watch_health();
    tokio::time::timeout(
        Duration::from_secs(20),
        health.wait_for(|health| !health.is_up()),
    )
    .await
    .expect("it is noticed")
    .expect("the store lives");
    let count = || doc! { "count": "numbers" };
    let error = run(&store, &caller(1), count())
        .await
        .expect_err("no server");
    assert_eq!(error.kind, StoreErrorKind::Unavailable);

    let _server = docstore(dir.path(), None).await;
    up(&store).await;
    let reply = run(&store, &caller(1), count()).await.expect("counted");
    assert_eq!(reply.get_i32("n").ok(), Some(3));
}

#[tokio::test]
async fn writes_to_a_replica_set_are_numbered() {
    let (store, _server, _dir) = started(Some("rs0")).await;
    assert!(store.numbered.is_allowed());
    for n in 0..3 {
        let insert = doc! { "insert": "c", "documents": [{ "_id": n, "n": n }] };
        let reply = run(&store, &caller(1), insert).await.expect("inserted");
        assert_eq!(reply.get_i32("n").ok(), Some(1));
    }
    let many = doc! { "update": "c", "updates": [{ "q": {}, "u": { "$inc": { "n": 1 } }, "multi": true }] };
    let reply = run(&store, &caller(1), many).await.expect("updated");
    assert_eq!(reply.get_i32("nModified").ok(), Some(3));
    let writes = (0..20).map(|n| {
        let insert = doc! { "insert": "d", "documents": [{ "_id": n }] };
        let store = &store;
        async move { run(store, &caller(1), insert).await }
    });
    for reply in futures_util::future::join_all(writes).await {
        assert_eq!(reply.expect("inserted").get_i32("n").ok(), Some(1));
    }
}

#[tokio::test]
async fn each_app_of_many_has_a_database_of_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let _server = docstore(dir.path(), None).await;
    let config = StoreConfig {
        database_per_app: true,
        ..quick(socket_uri(dir.path()))
    };
    let store = Store::open(config, vec![]).await.expect("a store");
    up(&store).await;
    insert_numbers(&store, &caller(1), 3).await;
    let other = CommandCaller {
        generation: 1,
        app_id: "other".into(),
        plugin: "orders".into(),
    };
    let reply = run(&store, &other, doc! { "count": "numbers" })
        .await
        .expect("counted");
    assert_eq!(reply.get_i32("n").ok(), Some(0));
    assert_eq!(store.database_name("shop").expect("a name"), "mozaiks_shop");
}

#[tokio::test]
async fn a_uri_that_is_none_is_refused_at_once() {
    for uri in ["postgres://h/db", "mongodb://", "mongodb://h/a%2Fb"] {
        let opened = Store::open(StoreConfig::new(uri), vec![]).await;
        assert_eq!(
            opened.expect_err("refused").kind,
            StoreErrorKind::Invalid,
            "{uri}"
        );
    }
}

fn other_caller(app: &str, plugin: &str) -> CommandCaller {
    CommandCaller {
        generation: 1,
        app_id: app.into(),
        plugin: plugin.into(),
    }
}

/// A store that serves many apps, on a server with transactions and change streams.
async fn many_apps() -> (Arc<Store>, Docstore, TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let server = docstore(dir.path(), Some("rs0")).await;
    let config = StoreConfig {
        database_per_app: true,
        pool_size: 4,
        ..quick(socket_uri(dir.path()))
    };
    let store = Store::open(config, vec![DECLARED]).await.expect("a store");
    up(&store).await;
    (store, server, dir)
}

#[tokio::test]
async fn nothing_that_one_app_or_plugin_opened_serves_another() {
    let (store, _server, _dir) = many_apps().await;
    let apps = ["shop", "bank"];
    let everybody: Vec<_> = apps
        .iter()
        .flat_map(|app| ["orders", "stock"].map(|plugin| other_caller(app, plugin)))
        .collect();
    for app in apps {
        insert_numbers(&store, &other_caller(app, "orders"), 10).await;
    }
    for one in &everybody {
        let find = doc! { "find": "numbers", "batchSize": 2 };
        let open = cursor_id(&run(&store, one, find).await.expect("found"));
        let begin = doc! { "startSession": 1, "causalConsistency": true };
        let session = run(&store, one, begin).await.expect("started");
        let session = session.get_i64("session").expect("a number");
        for other in everybody.iter().filter(|other| *other != one) {
            let more = doc! { "getMore": open, "collection": "numbers" };
            let error = run(&store, other, more)
                .await
                .expect_err("another's cursor");
            assert_eq!(error.code, Some(43));
            let kill = doc! { "killCursors": "numbers", "cursors": [open] };
            let killed = run(&store, other, kill).await.expect("an answer");
            assert_eq!(
                killed.get_array("cursorsKilled").map(Vec::len).ok(),
                Some(0)
            );
            for command in [
                doc! { "find": "numbers", "$gateway": { "session": session } },
                doc! { "commitTransaction": 1, "$gateway": { "session": session } },
                doc! { "abortTransaction": 1, "$gateway": { "session": session } },
            ] {
                let error = run(&store, other, command)
                    .await
                    .expect_err("another's session");
                assert_eq!(error.code, Some(206));
            }
            let end = doc! { "endSessions": 1, "sessions": [session] };
            run(&store, other, end).await.expect("nothing to end");
            // Nor does its data, by any stage.
            for db in ["mozaiks_shop", "mozaiks_bank", "mozaiks_control", "mozaiks"] {
                if db == store.database_name(&other.app_id).expect("a name") {
                    continue;
                }
                for stage in [
                    doc! { "$merge": { "into": { "db": db, "coll": "numbers" } } },
                    doc! { "$out": { "db": db, "coll": "numbers" } },
                    doc! { "$lookup": { "from": { "db": db, "coll": "numbers" }, "as": "x" } },
                    doc! { "$unionWith": { "db": db, "coll": "numbers" } },
                ] {
                    let pipeline =
                        doc! { "aggregate": "numbers", "pipeline": [stage], "cursor": {} };
                    let error = run(&store, other, pipeline).await.expect_err("refused");
                    assert_eq!(error.code, Some(13));
                }
            }
        }
        // All that left both as they were.
        let more = doc! { "getMore": open, "collection": "numbers" };
        assert_eq!(
            numbers(&run(&store, one, more).await.expect("more"), "nextBatch").len(),
            2
        );
        let find = doc! { "find": "numbers", "$gateway": { "session": session } };
        assert_eq!(
            numbers(&run(&store, one, find).await.expect("found"), "firstBatch").len(),
            10
        );
    }
    assert_eq!(store.open_for_plugins(), (4, 4));
    store.forget_generation(1);
    assert_eq!(store.open_for_plugins(), (0, 0));
}

#[tokio::test]
async fn transactions_are_undone_or_kept() {
    let (store, _server, _dir) = many_apps().await;
    let who = caller(1);
    let count = async || {
        let reply = run(&store, &who, doc! { "count": "c" })
            .await
            .expect("counted");
        reply.get_i32("n").expect("a number")
    };
    run(&store, &who, doc! { "create": "c" })
        .await
        .expect("created");
    for (end, expected) in [("abortTransaction", 0), ("commitTransaction", 2), ("", 2)] {
        let begin = doc! { "startSession": 1, "causalConsistency": true };
        let session = run(&store, &who, begin).await.expect("started");
        let session = session.get_i64("session").expect("a number");
        let first = doc! {
            "insert": "c", "documents": [{}],
            "$gateway": { "session": session, "startTransaction": { "writeConcern": { "w": "majority" } } },
        };
        run(&store, &who, first).await.expect("inserted");
        let second = doc! { "insert": "c", "documents": [{}], "$gateway": { "session": session } };
        run(&store, &who, second).await.expect("inserted");
        let within = doc! { "find": "c", "batchSize": 1, "$gateway": { "session": session } };
        let seen = run(&store, &who, within).await.expect("found");
        assert_ne!(cursor_id(&seen), 0, "it sees what it wrote");
        let more = doc! { "getMore": cursor_id(&seen), "collection": "c" };
        run(&store, &who, more).await.expect("the rest");
        if !end.is_empty() {
            let end = doc! { end: 1, "$gateway": { "session": session } };
            run(&store, &who, end).await.expect("ended");
        }
        // With the session ends what it has open.
        let over = doc! { "endSessions": 1, "sessions": [session] };
        run(&store, &who, over).await.expect("ended");
        assert_eq!(count().await, expected, "{end}");
        assert_eq!(store.open_for_plugins(), (0, 0));
    }
}

#[tokio::test]
async fn sessions_are_bounded() {
    let dir = tempfile::tempdir().expect("a folder");
    let _server = docstore(dir.path(), None).await;
    let config = StoreConfig {
        max_sessions_per_plugin: 2,
        idle_timeout: Duration::from_millis(1),
        ..quick(socket_uri(dir.path()))
    };
    let store = Store::open(config, vec![]).await.expect("a store");
    up(&store).await;
    let start = || doc! { "startSession": 1 };
    for _ in 0..5 {
        run(&store, &caller(1), start()).await.expect("started");
        assert!(store.open_for_plugins().1 <= 2);
    }
    tokio::time::timeout(Duration::from_secs(20), async {
        while store.open_for_plugins().1 > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("idle ones end");
}

#[tokio::test]
async fn change_streams_wait_without_holding_up_others() {
    let (store, _server, _dir) = many_apps().await;
    let who = caller(1);
    run(&store, &who, doc! { "create": "c" })
        .await
        .expect("created");
    let mut streams = Vec::new();
    // More than there are connections.
    for _ in 0..8 {
        let watch = doc! {
            "aggregate": "c", "pipeline": [{ "$changeStream": {} }], "cursor": {},
            "$gateway": { "maxAwaitTimeMS": 5000 },
        };
        streams.push(cursor_id(&run(&store, &who, watch).await.expect("opened")));
    }
    let waiting: Vec<_> = streams
        .iter()
        .map(|id| {
            let (store, who) = (Arc::clone(&store), who.clone());
            let more = doc! { "getMore": *id, "collection": "c" };
            tokio::spawn(async move { run(&store, &who, more).await })
        })
        .collect();
    let begin = Instant::now();
    run(&store, &who, doc! { "count": "c" })
        .await
        .expect("counted");
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    run(
        &store,
        &who,
        doc! { "insert": "c", "documents": [{ "n": 7 }] },
    )
    .await
    .expect("inserted");
    for waiting in waiting {
        let reply = waiting.await.expect("a task").expect("a batch");
        let batch = reply
            .get_document("cursor")
            .and_then(|c| c.get_array("nextBatch"));
        assert_eq!(batch.map(Vec::len).ok(), Some(1));
    }
    // Another app sees nothing of it.
    let other = other_caller("bank", "orders");
    let watch = doc! { "aggregate": 1, "pipeline": [{ "$changeStream": {} }], "cursor": {},
    "$gateway": { "maxAwaitTimeMS": 100 } };
    let stream = cursor_id(&run(&store, &other, watch).await.expect("opened"));
    run(
        &store,
        &who,
        doc! { "insert": "c", "documents": [{ "n": 8 }] },
    )
    .await
    .expect("inserted");
    let more = doc! { "getMore": stream, "collection": "$cmd.aggregate" };
    let reply = run(&store, &other, more).await.expect("a batch");
    let batch = reply
        .get_document("cursor")
        .and_then(|c| c.get_array("nextBatch"));
    assert_eq!(batch.map(Vec::len).ok(), Some(0));
}

#[tokio::test]
async fn no_answer_names_a_server() {
    let (store, _server, dir) = many_apps().await;
    let who = caller(1);
    insert_numbers(&store, &who, 3).await;
    let place = dir.path().to_string_lossy().into_owned();
    for command in [
        doc! { "hello": 1 },
        doc! { "explain": { "find": "numbers" }, "verbosity": "allPlansExecution" },
        doc! { "aggregate": "numbers", "pipeline": [], "explain": true },
        doc! { "dbStats": 1 },
        doc! { "collStats": "numbers" },
        doc! { "validate": "numbers" },
        doc! { "buildInfo": 1 },
        doc! { "listCollections": 1 },
        doc! { "listIndexes": "numbers" },
    ] {
        let reply = run(&store, &who, command.clone()).await.expect("an answer");
        let text = reply.to_string();
        for word in [
            "serverInfo",
            "\"host\"",
            "\"me\"",
            "\"hosts\"",
            place.as_str(),
        ] {
            assert!(!text.contains(word), "{command}: {text}");
        }
    }
}

#[tokio::test]
async fn collections_are_renamed_within_the_app() {
    let (store, _server, _dir) = many_apps().await;
    let who = caller(1);
    insert_numbers(&store, &who, 3).await;
    let rename = doc! { "renameCollection": "numbers", "to": "figures", "dropTarget": false };
    run(&store, &who, rename).await.expect("renamed");
    let reply = run(&store, &who, doc! { "count": "figures" })
        .await
        .expect("counted");
    assert_eq!(reply.get_i32("n").ok(), Some(3));
    // Another database's name is only a part of a collection's.
    let rename = doc! { "renameCollection": "figures", "to": "mozaiks_bank.stolen" };
    run(&store, &who, rename).await.expect("renamed");
    let reply = run(
        &store,
        &other_caller("bank", "orders"),
        doc! { "count": "stolen" },
    )
    .await
    .expect("counted");
    assert_eq!(reply.get_i32("n").ok(), Some(0));
}
