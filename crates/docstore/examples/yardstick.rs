//! Measures `docstore` over the wire against SQLite in the same process: documents as JSON in a
//! column with an index, the same questions. `yardstick [URI [DOCUMENTS]]`.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::{Client, Collection, IndexModel};
use rusqlite::Connection;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// How often each question is asked; the fastest answer counts.
const ROUNDS: usize = 5;

fn document(id: i64, documents: i64) -> Document {
    let scattered = |factor: i64| (id.wrapping_mul(factor)).rem_euclid(documents);
    doc! {
        "_id": id, "group": id % 10, "n": scattered(7919), "other": scattered(104_729),
        "name": format!("user{id}"), "text": format!("some words to carry along {}", id % 977),
    }
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let uri = arguments
        .next()
        .unwrap_or_else(|| "mongodb://127.0.0.1:27017/?directConnection=true".to_owned());
    let documents: i64 = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let client = Client::with_uri_str(uri).await?;
    let coll: Collection<Document> = client.database("yardstick").collection("c");
    coll.drop().await?;
    let index = IndexModel::builder().keys(doc! { "n": 1 }).build();
    coll.create_index(index).await?;
    let dir = tempfile::tempdir()?;
    let mut sqlite = Connection::open(dir.path().join("yardstick.sqlite"))?;
    sqlite.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, doc TEXT NOT NULL); \
         CREATE INDEX n ON t (json_extract(doc, '$.n'))",
    )?;
    for first in (0..documents).step_by(10_000) {
        let batch: Vec<Document> = (first..(first + 10_000).min(documents))
            .map(|id| document(id, documents))
            .collect();
        let transaction = sqlite.transaction()?;
        for document in &batch {
            let json = serde_json::to_string(document)?;
            transaction
                .prepare_cached("INSERT INTO t VALUES (?1, ?2)")?
                .execute((document.get_i64("_id")?, json))?;
        }
        transaction.commit()?;
        coll.insert_many(batch).await?;
    }
    println!("{documents} documents\n");
    println!("| | docstore | SQLite | docstore / SQLite |\n|---|---|---|---|");
    let few = documents.min(10_000);
    let lookup = vec![
        doc! { "$match": { "_id": { "$lt": few } } },
        doc! { "$lookup": { "from": "c", "localField": "other", "foreignField": "_id", "as": "found" } },
        doc! { "$group": { "_id": Bson::Null, "n": { "$sum": { "$size": "$found" } } } },
    ];
    let questions: [(&str, Vec<Document>, String); 5] = [
        (
            "count of all",
            vec![doc! { "$group": { "_id": 1, "n": { "$sum": 1 } } }],
            "SELECT count(*) FROM t".to_owned(),
        ),
        (
            "group by 10 keys",
            vec![doc! { "$group": { "_id": "$group", "sum": { "$sum": "$n" }, "count": { "$sum": 1 } } }],
            "SELECT json_extract(doc, '$.group') g, sum(json_extract(doc, '$.n')), count(*) FROM t GROUP BY g"
                .to_owned(),
        ),
        (
            "sort with limit 10, no index",
            vec![doc! { "$sort": { "other": 1 } }, doc! { "$limit": 10 }],
            "SELECT doc FROM t ORDER BY json_extract(doc, '$.other') LIMIT 10".to_owned(),
        ),
        (
            "join of 10,000 by _id",
            lookup,
            format!(
                "SELECT count(json_extract(b.doc, '$.name')) FROM t a \
                 JOIN t b ON b.id = json_extract(a.doc, '$.other') WHERE a.id < {few}"
            ),
        ),
        (
            "sort of all, counted",
            vec![
                doc! { "$sort": { "other": 1 } },
                doc! { "$group": { "_id": Bson::Null, "last": { "$last": "$_id" } } },
            ],
            "SELECT max(row) FROM (SELECT row_number() OVER (ORDER BY json_extract(doc, '$.other')) row, doc FROM t)"
                .to_owned(),
        ),
    ];
    for (name, pipeline, sql) in questions {
        let mut ours = Duration::MAX;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let cursor = coll.aggregate(pipeline.clone()).await?;
            let _: Vec<Document> = cursor.try_collect().await?;
            ours = ours.min(began.elapsed());
        }
        let mut theirs = Duration::MAX;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let mut statement = sqlite.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            theirs = theirs.min(began.elapsed());
        }
        println!(
            "| {name} | {:.2} ms | {:.2} ms | {:.2} |",
            ours.as_secs_f64() * 1e3,
            theirs.as_secs_f64() * 1e3,
            ours.as_secs_f64() / theirs.as_secs_f64()
        );
    }
    coll.drop().await?;
    Ok(())
}
