//! Sizes at which a wrong plan or a slow start shows. `DOCSTORE_LARGE` asks for those that are
//! promised: a million documents, a gibibyte of data.

#![allow(
    clippy::print_stdout,
    reason = "the figures are what a long run is for"
)]

use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::{Collection, IndexModel};

use crate::{
    crash::{connect, start},
    support::{TestServer, explain},
};

fn size(small: u64, promised: u64) -> u64 {
    if std::env::var_os("DOCSTORE_LARGE").is_some() {
        promised
    } else {
        small
    }
}

async fn fill(coll: &Collection<Document>, documents: u64, one: impl Fn(i64) -> Document) {
    for first in (0..documents as i64).step_by(5_000) {
        let batch = first..(first + 5_000).min(documents as i64);
        coll.insert_many(batch.map(&one)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_collections_are_read_through_their_indexes() {
    let server = TestServer::start().await;
    let coll = server.coll("c");
    let documents = size(20_000, 1_000_000) as i64;
    for keys in [doc! { "n": 1 }, doc! { "group": 1, "n": -1 }] {
        coll.create_index(IndexModel::builder().keys(keys).build())
            .await
            .unwrap();
    }
    let scattered = |id: i64| id * 7919 % documents;
    fill(&coll, documents as u64, |id| {
        doc! { "_id": id, "n": scattered(id), "group": id % 100, "text": "some words to carry" }
    })
    .await;
    let half = documents / 2;
    // What is asked, and how many index entries and documents may be looked at.
    let cases = [
        (doc! { "filter": { "_id": half }, "limit": 1 }, 1),
        (doc! { "filter": { "n": half }, "limit": 1 }, 1),
        (doc! { "filter": { "n": { "$in": [1, half] } } }, 2),
        (
            doc! { "filter": { "n": { "$gte": half, "$lt": half + 10 } } },
            10,
        ),
        (
            doc! { "filter": { "group": 7 }, "sort": { "n": -1 }, "limit": 5 },
            5,
        ),
        (doc! { "filter": {}, "sort": { "n": 1 }, "limit": 3 }, 3),
    ];
    for (wanted, most) in cases {
        let mut find = doc! { "find": "c" };
        find.extend(wanted);
        let began = Instant::now();
        let (plan, stats) = explain(&server.db(), find.clone()).await;
        let took = began.elapsed();
        for name in ["totalKeysExamined", "totalDocsExamined"] {
            let examined = stats.get_i64(name).unwrap();
            assert!(examined <= most, "{find}: {name} is {examined} with {plan}");
        }
        println!("{documents} documents, {find}: {took:?}");
    }
    let began = Instant::now();
    for id in 0..200 {
        let found = coll.find_one(doc! { "n": scattered(id) }).await.unwrap();
        assert_eq!(found.unwrap().get_i64("_id").unwrap(), id);
    }
    println!(
        "{documents} documents, find_one by index: {:?} each",
        began.elapsed() / 200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_data_opens_in_time_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let (data, socket) = (dir.path().join("data"), dir.path().join("d.sock"));
    let mut child = start(&data, &socket);
    let client = connect(&socket).await;
    let coll = client.database("test").collection::<Document>("c");
    let mebibytes = size(32, 1024);
    let text = "0123456789abcdef".repeat(1024);
    let documents = mebibytes * 64;
    for first in (0..documents as i64).step_by(512) {
        coll.insert_many((first..first + 512).map(|id| doc! { "_id": id, "text": &text }))
            .await
            .unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    let mut child = start(&data, &socket);
    let took = began.elapsed();
    println!("{mebibytes} MiB open {took:?} after a kill");
    let client = connect(&socket).await;
    let coll = client.database("test").collection::<Document>("c");
    let counted = coll.count_documents(doc! { "_id": { "$gte": 0 } }).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(counted.unwrap(), documents);
    assert!(took < Duration::from_secs(2), "{took:?}");
}
