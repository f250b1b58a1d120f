//! Options of reads and writes: done as MongoDB does them, or refused; never ignored.

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::IndexModel;

use crate::support::{RawClient, TestServer, body, code_of, frame, message};

async fn filled(count: i32) -> TestServer {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    coll.insert_many((0..count).map(|n| doc! { "_id": n, "n": n, "m": -n }))
        .await
        .unwrap();
    server
}

async fn ids(server: &TestServer, find: Document) -> Result<Vec<i32>, i32> {
    let cursor = server.db().run_cursor_command(find).await;
    let found: Result<Vec<Document>, _> = match cursor {
        Ok(cursor) => cursor.try_collect().await,
        Err(error) => Err(error),
    };
    found
        .map(|found| {
            found
                .iter()
                .map(|one| one.get_i32("_id").unwrap())
                .collect()
        })
        .map_err(|error| code_of(&error))
}

#[tokio::test(flavor = "multi_thread")]
async fn min_and_max_are_ends_within_an_index() {
    let server = filled(10).await;
    for keys in [doc! { "n": 1 }, doc! { "m": -1, "n": 1 }] {
        let index = IndexModel::builder().keys(keys).build();
        server.coll("c").create_index(index).await.unwrap();
    }
    let find = |more: Document| {
        let mut find = doc! { "find": "c" };
        find.extend(more);
        ids(&server, find)
    };
    let hint = doc! { "n": 1 };
    let found = find(doc! { "hint": &hint, "min": { "n": 3 }, "max": { "n": 5 } }).await;
    assert_eq!(found, Ok(vec![3, 4]));
    let filter = doc! { "m": { "$lte": -8 } };
    let found = find(doc! { "hint": &hint, "min": { "n": 3 }, "filter": filter }).await;
    assert_eq!(found, Ok(vec![8, 9]));
    let backwards = doc! { "hint": &hint, "max": { "n": 2 }, "sort": { "n": -1 } };
    assert_eq!(find(backwards).await, Ok(vec![1, 0]));
    let compound = doc! { "hint": { "m": -1, "n": 1 }, "min": { "m": -8, "n": 0 } };
    assert_eq!(find(compound).await, Ok(vec![8, 9]));
    // Without a hint, with other fields, the wrong way round.
    assert_eq!(find(doc! { "min": { "n": 3 } }).await, Err(51173));
    assert_eq!(
        find(doc! { "hint": &hint, "min": { "m": 3 } }).await,
        Err(51174)
    );
    let crossed = doc! { "hint": &hint, "min": { "n": 3 }, "max": { "n": 3 } };
    assert_eq!(find(crossed).await, Err(51175));
}

#[tokio::test(flavor = "multi_thread")]
async fn collation_is_refused_everywhere() {
    let server = filled(1).await;
    let collation = doc! { "locale": "fr" };
    let commands = [
        doc! { "find": "c" },
        doc! { "count": "c" },
        doc! { "distinct": "c", "key": "n" },
        doc! { "aggregate": "c", "pipeline": [], "cursor": {} },
        doc! { "findAndModify": "c", "remove": true },
        doc! { "create": "d" },
    ];
    for mut command in commands {
        command.insert("collation", collation.clone());
        let error = server.db().run_command(command.clone()).await.unwrap_err();
        assert_eq!(code_of(&error), 115, "{command}");
        if !command.contains_key("create") {
            let explain = doc! { "explain": command };
            let error = server.db().run_command(explain).await.unwrap_err();
            assert_eq!(code_of(&error), 115);
        }
    }
    let statements = [
        doc! { "update": "c", "updates": [{ "q": {}, "u": { "$set": { "n": 9 } }, "collation": &collation }] },
        doc! { "delete": "c", "deletes": [{ "q": {}, "limit": 0, "collation": &collation }] },
    ];
    for command in statements {
        let reply = server.db().run_command(command.clone()).await.unwrap();
        let errors = reply.get_array("writeErrors").unwrap();
        assert_eq!(
            errors[0].as_document().unwrap().get_i32("code").unwrap(),
            115,
            "{command}"
        );
    }
    let indexes = doc! { "createIndexes": "c", "indexes": [
        { "key": { "n": 1 }, "name": "n", "collation": &collation },
    ] };
    assert_eq!(
        code_of(&server.db().run_command(indexes).await.unwrap_err()),
        115
    );
    assert_eq!(ids(&server, doc! { "find": "c" }).await, Ok(vec![0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_of_a_statement_fail_the_command_as_a_whole() {
    let server = filled(2).await;
    let set = doc! { "$set": { "n": 100 } };
    let error = server
        .db()
        .run_command(doc! { "update": "c", "updates": [
            { "q": { "_id": 0 }, "u": &set },
            // Came with MongoDB 8.0.
            { "q": {}, "u": &set, "sort": { "n": -1 } },
        ] })
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 40415);
    let deletes = doc! { "delete": "c", "deletes": [
        { "q": { "_id": 0 }, "limit": 1 },
        { "q": {}, "limit": 1, "sort": { "n": 1 } },
    ] };
    assert_eq!(
        code_of(&server.db().run_command(deletes).await.unwrap_err()),
        40415
    );
    assert_eq!(
        ids(&server, doc! { "find": "c", "filter": { "n": 0 } }).await,
        Ok(vec![0])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_over_several_batches_are_refused() {
    let server = filled(1).await;
    for level in ["local", "majority", "linearizable", "available"] {
        let find = doc! { "find": "c", "readConcern": { "level": level } };
        assert_eq!(ids(&server, find).await, Ok(vec![0]));
    }
    let find = doc! { "find": "c", "readConcern": { "level": "snapshot" } };
    assert_eq!(ids(&server, find).await, Err(72));
    let find = doc! { "find": "c", "readConcern": { "level": "other" } };
    assert_eq!(ids(&server, find).await, Err(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn out_and_merge_write_into_the_commands_own_database() {
    let server = filled(3).await;
    let stages = |last: Document| vec![doc! { "$match": { "_id": { "$gt": 0 } } }, last];
    let coll = server.coll("c");
    coll.aggregate(stages(doc! { "$out": "o" })).await.unwrap();
    coll.aggregate(stages(doc! { "$merge": "o" }))
        .await
        .unwrap();
    coll.aggregate(stages(
        doc! { "$merge": { "into": { "db": "other", "coll": "o" } } },
    ))
    .await
    .unwrap();
    assert_eq!(ids(&server, doc! { "find": "o" }).await, Ok(vec![1, 2]));
    let other = server.client.database("other").collection::<Document>("o");
    assert_eq!(other.count_documents(doc! {}).await.unwrap(), 2);
    let fail = doc! { "$merge": { "into": "o", "whenMatched": "fail" } };
    let error = coll.aggregate(stages(fail)).await.unwrap_err();
    assert_eq!(code_of(&error), 11000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhaust_cursor_gives_all_batches_unasked() {
    let server = filled(10).await;
    let mut raw = RawClient::connect(&server);
    let reply = raw.run(&doc! { "find": "c", "batchSize": 3, "$db": "test" });
    let id = reply.get_document("cursor").unwrap().get_i64("id").unwrap();
    let get_more = doc! { "getMore": id, "collection": "c", "batchSize": 3, "$db": "test" };
    const EXHAUST_ALLOWED: u32 = 1 << 16;
    raw.send(&frame(2013, &message(EXHAUST_ALLOWED, &get_more)));
    let mut sizes = Vec::new();
    let mut answers_to = 7_i32.to_le_bytes().to_vec();
    loop {
        let answer = raw.receive().unwrap();
        assert_eq!(answer[8..12], answers_to[..], "it answers the one before");
        answers_to = answer[4..8].to_vec();
        let more_to_come = answer[16] & 2 != 0;
        let cursor = body(&answer).get_document("cursor").unwrap().clone();
        sizes.push(cursor.get_array("nextBatch").unwrap().len());
        assert_eq!(more_to_come, cursor.get_i64("id").unwrap() != 0);
        if !more_to_come {
            break;
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
    assert_eq!(
        raw.run(&doc! { "ping": 1, "$db": "admin" }).get("ok"),
        Some(&Bson::Double(1.0))
    );
}
