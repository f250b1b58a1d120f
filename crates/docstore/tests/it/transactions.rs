//! Multi-document transactions.

mod ends;
mod random;

use std::time::{Duration, Instant};

use bson::{Binary, Document, doc, spec::BinarySubtype};

use crate::support::{RawClient, TestServer};

fn lsid(byte: u8) -> Document {
    doc! { "id": Binary { subtype: BinarySubtype::Uuid, bytes: vec![byte; 16] } }
}

/// A command as the `number`-th transaction of a session.
fn within(session: u8, number: i64, first: bool, mut command: Document) -> Document {
    command.extend(doc! { "lsid": lsid(session), "txnNumber": number, "autocommit": false });
    if first {
        command.insert("startTransaction", true);
    }
    command.insert("$db", "test");
    command
}

fn end(session: u8, number: i64, name: &str) -> Document {
    let mut command = within(session, number, false, doc! { name: 1 });
    command.insert("$db", "admin");
    command
}

fn insert(id: i32) -> Document {
    doc! { "insert": "c", "documents": [{ "_id": id }] }
}

fn code(reply: &Document) -> i32 {
    reply.get_i32("code").unwrap_or_default()
}

fn ok(reply: &Document) {
    assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{reply}");
    assert!(!reply.contains_key("writeErrors"), "{reply}");
}

fn set(id: i32, value: i32) -> Document {
    doc! { "update": "c", "updates": [{ "q": { "_id": id }, "u": { "$set": { "v": value } } }] }
}

fn found(reply: &Document) -> Vec<Document> {
    let batch = reply.get_document("cursor").unwrap();
    let batch = batch.get_array("firstBatch").unwrap();
    batch
        .iter()
        .map(|item| item.as_document().unwrap().clone())
        .collect()
}

fn is_transient(reply: &Document) -> bool {
    let labels = reply.get_array("errorLabels").cloned().unwrap_or_default();
    labels.contains(&"TransientTransactionError".into())
}

fn plain(mut command: Document) -> Document {
    command.insert("$db", "test");
    command
}

async fn server_with(count: i32) -> TestServer {
    let server = TestServer::start().await;
    server
        .coll("c")
        .insert_many((0..count).map(|id| doc! { "_id": id, "v": 0 }))
        .await
        .unwrap();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_of_a_document_fails_at_once() {
    let server = server_with(3).await;
    let mut raw = RawClient::connect(&server);
    ok(&raw.run(&within(1, 1, true, set(1, 1))));
    let started = Instant::now();
    let refused = raw.run(&within(2, 1, true, set(1, 2)));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(code(&refused), 112, "{refused}");
    assert!(is_transient(&refused), "{refused}");
    // It is over, and may be run again; the first goes on.
    assert_eq!(code(&raw.run(&end(2, 1, "commitTransaction"))), 251);
    ok(&raw.run(&within(2, 2, true, set(2, 2))));
    // The same `_id` made twice is such a document too.
    ok(&raw.run(&within(1, 1, false, insert(7))));
    assert_eq!(code(&raw.run(&within(3, 1, true, insert(7)))), 112);
    ok(&raw.run(&end(1, 1, "commitTransaction")));
    ok(&raw.run(&end(2, 2, "commitTransaction")));
    let all = found(&raw.run(&plain(doc! { "find": "c", "sort": { "_id": 1 } })));
    let values: Vec<i32> = all
        .iter()
        .map(|document| document.get_i32("v").unwrap_or(-1))
        .collect();
    assert_eq!(values, [0, 1, 2, -1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_counts_what_it_has_written() {
    let server = server_with(3).await;
    let mut raw = RawClient::connect(&server);
    ok(&raw.run(&within(1, 1, true, insert(9))));
    let count = doc! {
        "aggregate": "c",
        "pipeline": [{ "$match": {} }, { "$group": { "_id": 1, "n": { "$sum": 1 } } }],
        "cursor": {},
    };
    let number = |reply: &Document| found(reply)[0].get_i32("n").unwrap();
    assert_eq!(number(&raw.run(&within(1, 1, false, count.clone()))), 4);
    assert_eq!(number(&raw.run(&plain(count))), 3);
    ok(&raw.run(&end(1, 1, "abortTransaction")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_outside_waits_for_its_document_only() {
    let server = server_with(3).await;
    let mut raw = RawClient::connect(&server);
    ok(&raw.run(&within(1, 1, true, set(1, 1))));
    // Others go on, in one command and beside it.
    ok(&raw.run(&plain(set(2, 5))));
    ok(&raw.run(&plain(insert(9))));
    // This one waits as long as it may.
    let mut hasty = plain(set(1, 5));
    hasty.insert("maxTimeMS", 50);
    let started = Instant::now();
    assert_eq!(code(&raw.run(&hasty)), 50);
    assert!(started.elapsed() >= Duration::from_millis(50));
    assert!(started.elapsed() < Duration::from_secs(5));
    // As does a change of the collection, and what touches several documents.
    for command in [
        doc! { "drop": "c", "maxTimeMS": 20 },
        doc! { "delete": "c", "deletes": [{ "q": {}, "limit": 0 }], "maxTimeMS": 20 },
        doc! { "createIndexes": "c", "indexes": [{ "key": { "v": 1 }, "name": "v" }], "maxTimeMS": 20 },
    ] {
        let reply = raw.run(&plain(command));
        assert_eq!(code(&reply), 50, "{reply}");
    }
    let waiting = {
        let mut other = RawClient::connect(&server);
        let command = doc! { "update": "c", "updates": [
            { "q": { "_id": 1 }, "u": { "$inc": { "v": 10 } } },
        ] };
        std::thread::spawn(move || other.run(&plain(command)))
    };
    // Writers beside the one that waits are not held up.
    for id in 100..120 {
        ok(&raw.run(&plain(insert(id))));
    }
    ok(&raw.run(&end(1, 1, "commitTransaction")));
    ok(&waiting.join().unwrap());
    let one = found(&raw.run(&plain(doc! { "find": "c", "filter": { "_id": 1 } })));
    assert_eq!(one[0].get_i32("v").unwrap(), 11);
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_reads_one_snapshot_and_blocks_nobody() {
    let server = server_with(3).await;
    let mut raw = RawClient::connect(&server);
    let all = doc! { "find": "c", "sort": { "_id": 1 } };
    assert_eq!(found(&raw.run(&within(1, 1, true, all.clone()))).len(), 3);
    ok(&raw.run(&plain(set(1, 5))));
    ok(&raw.run(&plain(insert(9))));
    let seen = found(&raw.run(&within(1, 1, false, all)));
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[1].get_i32("v").unwrap(), 0);
    // What changed after its snapshot it cannot write.
    ok(&raw.run(&within(1, 1, false, set(2, 1))));
    let refused = raw.run(&within(1, 1, false, set(1, 1)));
    assert_eq!(code(&refused), 112, "{refused}");
    assert!(is_transient(&refused));
    // Nor make what was made since, nor write into a collection that was changed since.
    raw.run(&within(1, 2, true, doc! { "find": "c" }));
    ok(&raw.run(&plain(insert(10))));
    assert_eq!(code(&raw.run(&within(1, 2, false, insert(10)))), 112);
    raw.run(&within(1, 3, true, doc! { "find": "c" }));
    server
        .coll("c")
        .create_index(mongodb::IndexModel::builder().keys(doc! { "v": 1 }).build())
        .await
        .unwrap();
    let refused = raw.run(&within(1, 3, false, set(2, 1)));
    assert_eq!(code(&refused), 246, "{refused}");
    assert!(is_transient(&refused));
    // One that only reads may be committed, twice too.
    raw.run(&within(1, 4, true, doc! { "find": "c" }));
    server.coll("c").drop().await.unwrap();
    assert_eq!(
        found(&raw.run(&within(1, 4, false, doc! { "find": "c" }))).len(),
        5
    );
    ok(&raw.run(&end(1, 4, "commitTransaction")));
    ok(&raw.run(&end(1, 4, "commitTransaction")));
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_values_may_change_hands() {
    let server = TestServer::start().await;
    let mut raw = RawClient::connect(&server);
    ok(&raw.run(&plain(doc! { "createIndexes": "c", "indexes": [
        { "key": { "u": 1 }, "name": "u", "unique": true },
    ] })));
    ok(&raw.run(&plain(
        doc! { "insert": "c", "documents": [{ "_id": 1, "u": 1 }, { "_id": 2, "u": 2 }] },
    )));
    let change = |id: i32, u: i32| {
        doc! { "update": "c", "updates": [{ "q": { "_id": id }, "u": { "$set": { "u": u } } }] }
    };
    ok(&raw.run(&within(1, 1, true, change(1, 3))));
    ok(&raw.run(&within(1, 1, false, change(2, 1))));
    ok(&raw.run(&within(1, 1, false, change(1, 2))));
    // Taken within the transaction; and free in it, but not for others yet.
    let mut raw2 = RawClient::connect(&server);
    let taken = doc! { "insert": "c", "documents": [{ "_id": 3, "u": 3 }], "maxTimeMS": 20 };
    assert_eq!(code(&raw2.run(&plain(taken))), 50);
    ok(&raw.run(&end(1, 1, "commitTransaction")));
    for (u, id) in [(1, 2), (2, 1)] {
        let reply = raw.run(&plain(doc! { "find": "c", "filter": { "u": u } }));
        assert_eq!(found(&reply)[0].get_i32("_id").unwrap(), id);
    }
    ok(&raw.run(&within(
        1,
        2,
        true,
        doc! { "delete": "c", "deletes": [{ "q": { "_id": 1 }, "limit": 1 }] },
    )));
    ok(&raw.run(&within(
        1,
        2,
        false,
        doc! { "insert": "c", "documents": [{ "_id": 1, "u": 2 }] },
    )));
    assert_eq!(
        code(&raw.run(&within(
            1,
            2,
            false,
            doc! { "insert": "c", "documents": [{ "_id": 5, "u": 1 }] }
        ))),
        11000
    );
    let valid = raw.run(&plain(doc! { "validate": "c" }));
    assert!(valid.get_bool("valid").unwrap(), "{valid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_may_be_made_in_a_transaction() {
    let server = TestServer::start().await;
    let mut raw = RawClient::connect(&server);
    ok(&raw.run(&within(1, 1, true, doc! { "create": "c" })));
    let index = |name: &str| {
        doc! { "createIndexes": "c", "indexes": [{ "key": { name: 1 }, "name": name }] }
    };
    ok(&raw.run(&within(1, 1, false, index("a"))));
    let documents: Vec<Document> = (0..50)
        .map(|n| doc! { "_id": n, "a": [n, n + 1] })
        .collect();
    ok(&raw.run(&within(
        1,
        1,
        false,
        doc! { "insert": "c", "documents": documents },
    )));
    let by_index = doc! { "find": "c", "filter": { "a": 7 }, "hint": "a" };
    assert_eq!(
        found(&raw.run(&within(1, 1, false, by_index.clone()))).len(),
        2
    );
    // Nobody sees it, and nobody else makes it meanwhile.
    assert!(
        server
            .db()
            .list_collection_names()
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        code(&raw.run(&within(2, 1, true, doc! { "create": "c" }))),
        112
    );
    assert_eq!(
        code(&raw.run(&plain(doc! { "create": "c", "maxTimeMS": 20 }))),
        50
    );
    ok(&raw.run(&end(1, 1, "commitTransaction")));
    assert_eq!(found(&raw.run(&plain(by_index.clone()))).len(), 2);
    let server = server.restart().await;
    let mut raw = RawClient::connect(&server);
    assert_eq!(found(&raw.run(&plain(by_index))).len(), 2);
    assert_eq!(
        server.coll("c").estimated_document_count().await.unwrap(),
        50
    );
    let valid = raw.run(&plain(doc! { "validate": "c" }));
    assert!(valid.get_bool("valid").unwrap(), "{valid}");
    // An index on what others may be writing to is not for a transaction.
    assert_eq!(code(&raw.run(&within(1, 2, true, index("b")))), 263);
    ok(&raw.run(&within(1, 3, true, index("a"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_bounded() {
    let server = TestServer::start_with(|config| {
        config.store.max_transactions = 2;
        config.store.max_transaction_bytes = 150_000;
    })
    .await;
    let mut raw = RawClient::connect(&server);
    let large =
        |id: i32| doc! { "insert": "c", "documents": [{ "_id": id, "s": "x".repeat(30_000) }] };
    ok(&raw.run(&within(1, 1, true, large(1))));
    ok(&raw.run(&within(1, 1, false, large(2))));
    let refused = raw.run(&within(1, 1, false, large(3)));
    assert_eq!(code(&refused), 257, "{refused}");
    assert!(!is_transient(&refused));
    raw.run(&within(1, 2, true, doc! { "find": "c" }));
    raw.run(&within(2, 1, true, doc! { "find": "c" }));
    let refused = raw.run(&within(3, 1, true, doc! { "find": "c" }));
    assert_eq!(code(&refused), 24, "{refused}");
    assert!(is_transient(&refused));
    ok(&raw.run(&end(1, 2, "abortTransaction")));
    ok(&raw.run(&within(3, 2, true, doc! { "find": "c" })));
    // The same number twice, and a new one while the last is open.
    assert_eq!(
        code(&raw.run(&within(3, 2, true, doc! { "find": "c" }))),
        50911
    );
    ok(&raw.run(&within(3, 3, true, doc! { "find": "c" })));
    assert_eq!(code(&raw.run(&end(3, 2, "commitTransaction"))), 251);
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_stay_with_their_transaction() {
    let server = server_with(10).await;
    let mut raw = RawClient::connect(&server);
    let open = doc! { "find": "c", "batchSize": 2 };
    let cursor_of = |reply: &Document| reply.get_document("cursor").unwrap().get_i64("id").unwrap();
    let more = |id: i64| doc! { "getMore": id, "collection": "c", "batchSize": 2 };
    let inside = cursor_of(&raw.run(&within(1, 1, true, open.clone())));
    let outside = cursor_of(&raw.run(&plain(open)));
    assert_eq!(code(&raw.run(&plain(more(inside)))), 50741);
    ok(&raw.run(&within(1, 1, false, more(inside))));
    assert_eq!(code(&raw.run(&within(1, 1, false, more(outside)))), 50740);
    ok(&raw.run(&plain(more(outside))));
    // The failure above ended the transaction, and its cursors with it.
    raw.run(&end(1, 1, "abortTransaction"));
    assert_eq!(code(&raw.run(&plain(more(inside)))), 43);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_has_no_place_in_a_transaction() {
    let server = server_with(3).await;
    let mut raw = RawClient::connect(&server);
    let mut number = 0;
    let mut refused = |command: Document| {
        number += 1;
        let reply = raw.run(&within(1, number, true, command));
        (code(&reply), is_transient(&reply))
    };
    let pipeline = |stage: Document| doc! { "aggregate": "c", "pipeline": [stage], "cursor": {} };
    for command in [
        doc! { "drop": "c" },
        doc! { "dropDatabase": 1 },
        doc! { "dropIndexes": "c", "index": "*" },
        doc! { "renameCollection": "test.c", "to": "test.d" },
        doc! { "collMod": "c", "validator": {} },
        doc! { "listCollections": 1 },
        doc! { "listIndexes": "c" },
        doc! { "createIndexes": "c", "indexes": [{ "key": { "a": 1 }, "name": "a" }] },
        doc! { "count": "c" },
        doc! { "explain": { "find": "c" } },
        pipeline(doc! { "$out": "d" }),
        pipeline(doc! { "$merge": { "into": "d" } }),
        pipeline(doc! { "$changeStream": {} }),
    ] {
        assert_eq!(refused(command.clone()), (263, false), "{command}");
    }
    assert_eq!(refused(doc! { "create": "c" }), (48, false));
    assert_eq!(
        server.db().list_collection_names().await.unwrap(),
        ["c".to_owned()]
    );
}
