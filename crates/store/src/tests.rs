use std::{path::Path, time::Instant};

use bytes::Bytes;
use docstore::server::{Config as DocstoreConfig, Listen, Server as Docstore};
use mongodb::bson::{Bson, doc, oid::ObjectId};
use tempfile::TempDir;

use super::*;

mod apart;
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
        user_id: None,
    }
}

async fn run(
    store: &Store,
    caller: &CommandCaller,
    command: Document,
) -> Result<Document, StoreError> {
    let bytes = mongodb::bson::serialize_to_vec(&command).expect("BSON");
    let reply = store.run_command(caller, &Full, Bytes::from(bytes)).await?;
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
        .run_command(&caller(1), &Full, Bytes::from_static(b"no BSON"))
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
        user_id: None,
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
