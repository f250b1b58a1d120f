//! Many writes in one command: order, partial failure, concurrency.

use bson::doc;

use crate::support::{TestServer, code_of};

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_batch_stops_at_the_first_failure() {
    let server = TestServer::start().await;
    let coll = server.coll("things");
    let error = coll
        .insert_many([doc! { "_id": 1 }, doc! { "_id": 1 }, doc! { "_id": 2 }])
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 11000);
    assert_eq!(coll.count_documents(doc! {}).await.unwrap(), 1);
    let reply = server
        .db()
        .run_command(doc! {
            "insert": "things", "ordered": false,
            "documents": [{ "_id": 1 }, { "_id": 2 }, { "_id": 2 }, { "_id": 3 }],
        })
        .await
        .unwrap();
    assert_eq!(reply.get_i32("n").unwrap(), 2);
    let errors = reply.get_array("writeErrors").unwrap();
    let indexes: Vec<i32> = errors
        .iter()
        .map(|e| e.as_document().unwrap().get_i32("index").unwrap())
        .collect();
    assert_eq!(indexes, [0, 2]);
    let first = errors[0].as_document().unwrap();
    assert_eq!(
        first.get_str("errmsg").unwrap(),
        "E11000 duplicate key error collection: test.things index: _id_ dup key: { _id: 1 }"
    );
    assert_eq!(
        first.get_document("keyPattern").unwrap(),
        &doc! { "_id": 1 }
    );
    assert_eq!(first.get_document("keyValue").unwrap(), &doc! { "_id": 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_report_what_they_did() {
    let server = TestServer::start().await;
    server
        .coll("t")
        .insert_many((0..4).map(|n| doc! { "_id": n, "n": n }))
        .await
        .unwrap();
    let reply = server
        .db()
        .run_command(doc! {
            "update": "t",
            "updates": [
                { "q": { "n": { "$lt": 2 } }, "u": { "$set": { "low": true } }, "multi": true },
                { "q": { "_id": 9 }, "u": { "$set": { "x": 1 } }, "upsert": true },
                { "q": { "_id": 3 }, "u": { "$set": { "n": 3 } } },
            ],
        })
        .await
        .unwrap();
    assert_eq!(reply.get_i32("n").unwrap(), 4);
    assert_eq!(reply.get_i32("nModified").unwrap(), 2);
    let upserted = reply.get_array("upserted").unwrap();
    assert_eq!(
        upserted[0].as_document().unwrap(),
        &doc! { "index": 1, "_id": 9 }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_lose_nothing() {
    let server = TestServer::start().await;
    let coll = server.coll("counter");
    coll.insert_one(doc! { "_id": 0, "n": 0 }).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|writer| {
            let coll = coll.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    coll.update_one(doc! { "_id": 0 }, doc! { "$inc": { "n": 1 } })
                        .await
                        .unwrap();
                    coll.insert_one(doc! { "writer": writer, "n": n })
                        .await
                        .unwrap();
                    // One that fails must not disturb its neighbours in the group.
                    let failed = coll.insert_one(doc! { "_id": 0 }).await.unwrap_err();
                    assert_eq!(code_of(&failed), 11000);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counter = coll.find_one(doc! { "_id": 0 }).await.unwrap().unwrap();
    assert_eq!(counter.get_i32("n").unwrap(), 400);
    assert_eq!(coll.count_documents(doc! {}).await.unwrap(), 401);
    assert_eq!(coll.estimated_document_count().await.unwrap(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_may_bypass_validation() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    coll.insert_one(doc! { "_id": 1 }).await.unwrap();
    let command = doc! {
        "delete": "c", "deletes": [{ "q": {}, "limit": 0 }], "bypassDocumentValidation": true,
    };
    let reply = server.db().run_command(command).await.unwrap();
    assert_eq!(reply.get_i32("n").unwrap(), 1);
}
