//! Multi-document transactions.

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

/// The same random statements in a transaction and outside, on two collections: what a transaction
/// sees of itself, and what it leaves behind, is what statements do by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn sees_and_leaves_what_single_statements_would() {
    let server = TestServer::start().await;
    let mut raw = RawClient::connect(&server);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for name in ["a", "b"] {
        ok(&raw.run(&plain(doc! { "createIndexes": name, "indexes": [
            { "key": { "n": 1 }, "name": "n" },
            { "key": { "tags": 1, "n": -1 }, "name": "tags" },
            { "key": { "u": 1 }, "name": "u", "unique": true, "sparse": true },
        ] })));
    }
    for round in 0..25 {
        let mut first = true;
        for _ in 0..12 {
            let statement = random.statement();
            let on = |name: &str| {
                let mut command = Document::new();
                for (at, (key, value)) in statement.iter().enumerate() {
                    let value = if at == 0 { name.into() } else { value.clone() };
                    command.insert(key.clone(), value);
                }
                command
            };
            let outside = raw.run(&plain(on("b")));
            if outside.contains_key("writeErrors") {
                // A failure would end the transaction; statements that fail are left out of it.
                continue;
            }
            let inside = raw.run(&within(1, round, first, on("a")));
            first = false;
            assert_eq!(inside.get("n"), outside.get("n"), "{statement} {inside}");
            for read in reads() {
                let of = |name: &str| {
                    let mut command = doc! { "find": name };
                    command.extend(read.clone());
                    command
                };
                assert_eq!(
                    found(&raw.run(&within(1, round, false, of("a")))),
                    found(&raw.run(&plain(of("b")))),
                    "after {statement}: {read}"
                );
            }
        }
        if !first {
            ok(&raw.run(&end(1, round, "commitTransaction")));
        }
        let all = doc! { "sort": { "_id": 1 } };
        let of = |name: &str| {
            let mut command = doc! { "find": name, "batchSize": 10_000 };
            command.extend(all.clone());
            plain(command)
        };
        assert_eq!(found(&raw.run(&of("a"))), found(&raw.run(&of("b"))));
        let valid = raw.run(&plain(doc! { "validate": "a" }));
        assert!(valid.get_bool("valid").unwrap(), "{valid}");
    }
}

fn reads() -> [Document; 5] {
    [
        doc! { "filter": {}, "sort": { "_id": 1 }, "batchSize": 1000 },
        doc! { "filter": { "n": { "$gte": 2, "$lt": 6 } }, "sort": { "n": 1, "_id": 1 }, "batchSize": 1000 },
        doc! { "filter": { "tags": 3 }, "hint": "tags", "sort": { "_id": -1 }, "batchSize": 1000 },
        doc! { "filter": { "u": { "$lt": 10 } }, "sort": { "u": -1 }, "batchSize": 1000 },
        doc! { "filter": { "_id": { "$in": [1, 5, 9, 13] } }, "sort": { "_id": 1 }, "batchSize": 1000 },
    ]
}

/// A small generator of statements; the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i32) -> i32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as i32
    }

    fn document(&mut self, id: i32) -> Document {
        let mut document = doc! { "_id": id, "n": self.below(8) };
        if self.below(2) == 0 {
            document.insert("tags", vec![self.below(5), self.below(5)]);
        }
        if self.below(2) == 0 {
            document.insert("u", self.below(20));
        }
        document
    }

    fn statement(&mut self) -> Document {
        let id = self.below(20);
        match self.below(5) {
            0 | 1 => doc! { "insert": "", "documents": [self.document(id)] },
            2 => {
                let update = doc! { "q": { "n": self.below(8) }, "u": {
                    "$inc": { "n": 1 }, "$push": { "tags": self.below(5) },
                }, "multi": true };
                doc! { "update": "", "updates": [update] }
            }
            3 => {
                let mut new = self.document(id);
                new.remove("_id");
                doc! { "update": "", "updates": [{ "q": { "_id": id }, "u": new, "upsert": true }] }
            }
            _ => {
                doc! { "delete": "", "deletes": [{ "q": { "_id": { "$gte": id, "$lt": id + 3 } }, "limit": 0 }] }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_all_or_nothing() {
    let server = TestServer::start().await;
    server
        .coll("c")
        .insert_one(doc! { "_id": 0 })
        .await
        .unwrap();
    let mut raw = RawClient::connect(&server);
    assert_eq!(
        raw.run(&within(1, 1, true, insert(1)))
            .get_i32("n")
            .unwrap(),
        1
    );
    raw.run(&within(1, 1, false, insert(2)));
    // It sees itself; others do not see it.
    let own = raw.run(&within(1, 1, false, doc! { "find": "c", "filter": {} }));
    let batch = own
        .get_document("cursor")
        .unwrap()
        .get_array("firstBatch")
        .unwrap();
    assert_eq!(batch.len(), 3);
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(
        raw.run(&end(1, 1, "commitTransaction"))
            .get_f64("ok")
            .unwrap(),
        1.0
    );
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 3);

    raw.run(&within(1, 2, true, insert(7)));
    assert_eq!(
        raw.run(&end(1, 2, "abortTransaction"))
            .get_f64("ok")
            .unwrap(),
        1.0
    );
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 3);
    let late = raw.run(&within(1, 2, false, insert(8)));
    assert_eq!(late.get_i32("code").unwrap(), 251);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_statement_ends_the_transaction() {
    let server = TestServer::start().await;
    server
        .coll("c")
        .insert_one(doc! { "_id": 0 })
        .await
        .unwrap();
    let mut raw = RawClient::connect(&server);
    raw.run(&within(1, 1, true, insert(1)));
    let failed = raw.run(&within(1, 1, false, insert(0)));
    assert_eq!(failed.get_i32("code").unwrap(), 11000);
    assert_eq!(
        raw.run(&end(1, 1, "commitTransaction"))
            .get_i32("code")
            .unwrap(),
        251
    );
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_transaction_lets_others_go_on() {
    let server = TestServer::start_with(|config| {
        config.store.transaction_lifetime_ms = 50;
        config.sweep_interval = Duration::from_millis(10);
    })
    .await;
    // With this index the background wants to write as well.
    let expiring = doc! { "createIndexes": "c", "indexes": [
        { "key": { "at": 1 }, "name": "at", "expireAfterSeconds": 60 },
    ] };
    server.db().run_command(expiring).await.unwrap();
    let mut raw = RawClient::connect(&server);
    raw.run(&within(1, 1, true, insert(1)));
    // Waits for the document until the transaction is over its time.
    server
        .coll("c")
        .insert_one(doc! { "_id": 1, "by": "other" })
        .await
        .unwrap();
    assert_eq!(server.coll("c").count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(code(&raw.run(&end(1, 1, "commitTransaction"))), 251);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_can_run_one() {
    let server = TestServer::start_with(|config| config.replica_set = Some("rs0".to_owned())).await;
    let coll = server.coll("c");
    let mut session = server.client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    coll.insert_one(doc! { "_id": 1 })
        .session(&mut session)
        .await
        .unwrap();
    coll.insert_one(doc! { "_id": 2 })
        .session(&mut session)
        .await
        .unwrap();
    session.commit_transaction().await.unwrap();
    assert_eq!(coll.count_documents(doc! {}).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_may_be_asked_for_again() {
    let server = TestServer::start().await;
    let mut raw = RawClient::connect(&server);
    raw.run(&within(
        1,
        1,
        true,
        doc! { "insert": "c", "documents": [{ "_id": 1 }] },
    ));
    for _ in 0..2 {
        // A client that lost the first answer must not take the transaction for undone.
        let reply = raw.run(&end(1, 1, "commitTransaction"));
        assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{reply}");
    }
    let server = server.restart().await;
    let mut raw = RawClient::connect(&server);
    let reply = raw.run(&end(1, 1, "commitTransaction"));
    assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{reply}");
    let reply = raw.run(&end(1, 2, "commitTransaction"));
    assert_eq!(reply.get_i32("code").unwrap(), 251, "{reply}");
}
