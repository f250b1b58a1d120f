//! Cursors: batches, `getMore`, killing, limits.

use bson::{Document, doc};
use futures_util::TryStreamExt;

use crate::support::{TestServer, code_of};

async fn filled(count: i32) -> TestServer {
    let server = TestServer::start().await;
    let documents = (0..count).map(|n| doc! { "_id": n, "n": count - n });
    server.coll("c").insert_many(documents).await.unwrap();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_everything_once_in_any_batch_size() {
    let server = filled(500).await;
    let index = mongodb::IndexModel::builder().keys(doc! { "n": 1 }).build();
    for indexed in [false, true] {
        if indexed {
            server.coll("c").create_index(index.clone()).await.unwrap();
        }
        for batch in [1, 7, 499, 500, 501] {
            let sorted: Vec<Document> = server
                .coll("c")
                .find(doc! {})
                .sort(doc! { "n": 1 })
                .skip(3)
                .limit(450)
                .batch_size(batch)
                .await
                .unwrap()
                .try_collect()
                .await
                .unwrap();
            let numbers: Vec<i32> = sorted.iter().map(|d| d.get_i32("n").unwrap()).collect();
            assert_eq!(
                numbers,
                (4..454).collect::<Vec<_>>(),
                "batch {batch}, index {indexed}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_cursor_is_gone() {
    let server = filled(10).await;
    let db = server.db();
    let reply = db
        .run_command(doc! { "find": "c", "batchSize": 2 })
        .await
        .unwrap();
    let cursor = reply.get_document("cursor").unwrap();
    assert_eq!(cursor.get_array("firstBatch").unwrap().len(), 2);
    let id = cursor.get_i64("id").unwrap();
    let killed = db
        .run_command(doc! { "killCursors": "c", "cursors": [id] })
        .await
        .unwrap();
    assert_eq!(killed.get_array("cursorsKilled").unwrap().len(), 1);
    let error = db
        .run_command(doc! { "getMore": id, "collection": "c" })
        .await
        .unwrap_err();
    assert_eq!(code_of(&error), 43);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_collection_ends_its_cursors() {
    let server = filled(10).await;
    let db = server.db();
    let reply = db
        .run_command(doc! { "find": "c", "batchSize": 2 })
        .await
        .unwrap();
    let id = reply.get_document("cursor").unwrap().get_i64("id").unwrap();
    server.coll("c").drop().await.unwrap();
    let error = db
        .run_command(doc! { "getMore": id, "collection": "c" })
        .await
        .unwrap_err();
    assert!([43, 175].contains(&code_of(&error)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_cursors_is_bounded() {
    let server = TestServer::start_with(|config| config.max_cursors = 2).await;
    server
        .coll("c")
        .insert_many((0..5).map(|n| doc! { "n": n }))
        .await
        .unwrap();
    let find = doc! { "find": "c", "batchSize": 1 };
    for _ in 0..2 {
        server.db().run_command(find.clone()).await.unwrap();
    }
    let error = server.db().run_command(find).await.unwrap_err();
    assert_eq!(code_of(&error), 146);
}
