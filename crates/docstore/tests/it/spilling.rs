//! Sorts and stages that outgrow their memory, over the wire.

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;

use crate::support::{RawClient, TestServer, code_of};

const LITTLE_BYTES: usize = 256 << 10;

async fn filled(documents: i32) -> (TestServer, mongodb::Collection<Document>) {
    let server =
        TestServer::start_with(|config| config.max_stage_memory_bytes = LITTLE_BYTES).await;
    let coll = server.coll("c");
    let all: Vec<Document> = (0..documents)
        .map(|n| doc! { "_id": n, "n": n.wrapping_mul(7919).rem_euclid(documents), "text": "x".repeat(200) })
        .collect();
    coll.insert_many(all).await.unwrap();
    (server, coll)
}

async fn spill(server: &TestServer) -> (i64, i64) {
    let status = server.db().run_command(doc! { "serverStatus": 1 }).await;
    let status = status.unwrap();
    let spill = status.get_document("spill").unwrap();
    (
        spill.get_i64("bytes").unwrap(),
        spill.get_i64("files").unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn sorts_go_to_the_disk_and_give_it_back() {
    let (server, coll) = filled(5000).await;
    let cursor = coll.find(doc! {}).sort(doc! { "n": 1 }).skip(10);
    let sorted: Vec<Document> = cursor
        .batch_size(700)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let numbers: Vec<i32> = sorted.iter().map(|d| d.get_i32("n").unwrap()).collect();
    assert_eq!(numbers, (10..5000).collect::<Vec<_>>());
    assert!(
        sorted
            .iter()
            .all(|d| d.get_str("text").unwrap().len() == 200)
    );
    let (bytes, files) = spill(&server).await;
    assert!(files > 0, "it did not spill");
    assert_eq!(bytes, 0, "the disk is not given back");
    let groups = coll
        .aggregate([
            doc! { "$group": { "_id": "$n", "all": { "$push": "$$ROOT" } } },
            doc! { "$sort": { "_id": -1 } },
        ])
        .await
        .unwrap();
    let groups: Vec<Document> = groups.try_collect().await.unwrap();
    assert_eq!(groups.len(), 5000);
    assert!(spill(&server).await.1 > files);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_may_be_refused() {
    let (server, coll) = filled(3000).await;
    let sort = coll.find(doc! {}).sort(doc! { "n": 1 });
    let refused = sort.allow_disk_use(false).await.unwrap_err();
    assert_eq!(code_of(&refused), 292);
    let group =
        coll.aggregate([doc! { "$group": { "_id": "$text", "all": { "$push": "$$ROOT" } } }]);
    let refused = group.allow_disk_use(false).await.unwrap_err();
    assert_eq!(code_of(&refused), 292);
    let top = coll.find(doc! {}).sort(doc! { "n": -1 }).limit(3);
    let top: Vec<Document> = top
        .allow_disk_use(false)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(top[0].get_i32("n").unwrap(), 2999);
    assert_eq!(spill(&server).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_no_answer_can_hold_are_refused() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    for id in 0..3 {
        coll.insert_one(doc! { "_id": id, "text": "x".repeat(7 << 20) })
            .await
            .unwrap();
    }
    let mut raw = RawClient::connect(&server);
    for (stage, fits) in [
        (
            doc! { "$group": { "_id": Bson::Null, "all": { "$push": "$text" } } },
            false,
        ),
        (
            doc! { "$group": { "_id": Bson::Null, "one": { "$first": "$text" } } },
            true,
        ),
        (doc! { "$facet": { "all": [] } }, false),
    ] {
        let reply = raw.run(
            &doc! { "aggregate": "c", "pipeline": [stage.clone()], "cursor": {}, "$db": "test" },
        );
        if fits {
            assert_eq!(reply.get_f64("ok").unwrap(), 1.0, "{stage}");
        } else {
            assert_eq!(reply.get_i32("code").unwrap(), 10334, "{stage}");
        }
    }
}
