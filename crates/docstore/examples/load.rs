//! Load on one or more servers that speak MongoDB's protocol, printed side by side.
//!
//!     load docstore=mongodb://127.0.0.1:5001 other=mongodb://127.0.0.1:5002
//!
//! Every operation runs for some seconds with one connection and with many; numbers are operations
//! in a second (documents in a second for the bulk insert) and the 99th percentile of the time of
//! one operation in milliseconds.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bson::{DateTime, Document, doc};
use clap::Parser;
use futures_util::TryStreamExt;
use mongodb::{Client, Collection, IndexModel, options::ClientOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Documents of one bulk insert.
const BATCH: u64 = 1000;
/// Documents that a range read gives.
const RANGE: i64 = 100;

#[derive(Debug, Parser)]
struct Options {
    /// Servers as `name=uri`.
    #[arg(required = true)]
    servers: Vec<String>,
    /// Documents in the collection.
    #[arg(long, default_value_t = 100_000)]
    documents: u64,
    /// Seconds for each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Numbers of connections.
    #[arg(long, value_delimiter = ',', default_value = "1,32")]
    connections: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    InsertOne,
    PointRead,
    RangeRead,
    UpdateOne,
    Aggregate,
}

const OPERATIONS: [(Operation, &str); 5] = [
    (Operation::PointRead, "point read"),
    (Operation::RangeRead, "indexed range, 100 documents"),
    (Operation::UpdateOne, "update one"),
    (Operation::InsertOne, "insert one"),
    (Operation::Aggregate, "aggregate: match, group"),
];

/// One line of the table for one server.
struct Measured {
    label: String,
    per_second: f64,
    p99_ms: f64,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let mut columns = Vec::new();
    for server in &options.servers {
        let (name, uri) = server
            .split_once('=')
            .ok_or("a server is given as name=uri")?;
        eprintln!("measuring {name}");
        columns.push((name.to_owned(), measure(uri, &options).await?));
    }
    print(&columns);
    Ok(())
}

async fn measure(uri: &str, options: &Options) -> Result<Vec<Measured>, Failure> {
    let mut rows = Vec::new();
    for connections in &options.connections {
        let mut settings = ClientOptions::parse(uri).await?;
        settings.max_pool_size = u32::try_from(*connections).ok();
        let client = Client::with_options(settings)?;
        let coll = client.database("bench").collection::<Document>("c");
        coll.drop().await?;
        coll.create_index(IndexModel::builder().keys(doc! { "n": 1 }).build())
            .await?;
        rows.push(fill(&coll, options.documents, *connections).await?);
        for (operation, label) in OPERATIONS {
            rows.push(run(&coll, operation, label, *connections, options).await?);
        }
        client.database("bench").drop().await?;
    }
    Ok(rows)
}

/// A number that looks random but is the same in every run.
fn scatter(n: u64) -> u64 {
    let mut x = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^ (x >> 32)
}

fn document(id: u64, documents: u64) -> Document {
    doc! {
        "_id": id as i64,
        "n": (scatter(id) % documents) as i64,
        "group": (id % 100) as i32,
        "name": format!("user-{id}"),
        "text": "The quick brown fox jumps over the lazy dog. ".repeat(4),
        "tags": ["red", "green"],
        "at": DateTime::from_millis(1_700_000_000_000 + id as i64),
        "count": 0,
    }
}

async fn fill(
    coll: &Collection<Document>,
    documents: u64,
    tasks: u64,
) -> Result<Measured, Failure> {
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let workers: Vec<_> = (0..tasks)
        .map(|_| {
            let (coll, next) = (coll.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    if first >= documents {
                        return Ok::<_, Failure>(times);
                    }
                    let batch = first..(first + BATCH).min(documents);
                    let begun = Instant::now();
                    coll.insert_many(batch.map(|id| document(id, documents)))
                        .await?;
                    times.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await??);
    }
    Ok(Measured {
        label: format!("bulk insert, {BATCH} at a time, {tasks} conn."),
        per_second: documents as f64 / started.elapsed().as_secs_f64(),
        p99_ms: percentile(&mut times),
    })
}

async fn run(
    coll: &Collection<Document>,
    operation: Operation,
    label: &str,
    tasks: u64,
    options: &Options,
) -> Result<Measured, Failure> {
    let next = Arc::new(AtomicU64::new(0));
    let documents = options.documents;
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(options.seconds);
    let workers: Vec<_> = (0..tasks)
        .map(|_| {
            let (coll, next) = (coll.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < until {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let begun = Instant::now();
                    once(&coll, operation, turn, documents).await?;
                    times.push(begun.elapsed());
                }
                Ok::<_, Failure>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await??);
    }
    let per_second = times.len() as f64 / started.elapsed().as_secs_f64();
    Ok(Measured {
        label: format!("{label}, {tasks} conn."),
        per_second,
        p99_ms: percentile(&mut times),
    })
}

async fn once(
    coll: &Collection<Document>,
    operation: Operation,
    turn: u64,
    documents: u64,
) -> Result<(), Failure> {
    let id = (scatter(turn) % documents) as i64;
    match operation {
        Operation::InsertOne => {
            coll.insert_one(document(documents + turn, documents))
                .await?;
        }
        Operation::PointRead => {
            coll.find_one(doc! { "_id": id })
                .await?
                .ok_or("a document is missing")?;
        }
        Operation::RangeRead => {
            let from = id.min(documents as i64 - 2 * RANGE);
            let filter = doc! { "n": { "$gte": from, "$lt": from + 2 * RANGE } };
            let found: Vec<Document> = coll.find(filter).limit(RANGE).await?.try_collect().await?;
            if found.is_empty() {
                return Err("a range is empty".into());
            }
        }
        Operation::UpdateOne => {
            let done = coll
                .update_one(doc! { "_id": id }, doc! { "$inc": { "count": 1 } })
                .await?;
            if done.modified_count != 1 {
                return Err("an update changed nothing".into());
            }
        }
        Operation::Aggregate => {
            let stages = [
                doc! { "$match": { "group": { "$lt": 50 } } },
                doc! { "$group": { "_id": "$group", "total": { "$sum": "$n" } } },
            ];
            let groups: Vec<Document> = coll.aggregate(stages).await?.try_collect().await?;
            if groups.len() != 50 {
                return Err("an aggregation has other groups".into());
            }
        }
    }
    Ok(())
}

fn percentile(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    let at = times.len().saturating_sub(1) * 99 / 100;
    times
        .get(at)
        .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

fn print(columns: &[(String, Vec<Measured>)]) {
    let mut head = format!("| {:<42} |", "operation");
    let mut rule = format!("|{}|", "-".repeat(44));
    for (name, _) in columns {
        head += &format!(" {:>12} /s | {:>9} |", name, "p99 ms");
        rule += &format!("{}|{}|", "-".repeat(17), "-".repeat(11));
    }
    if columns.len() == 2 {
        head += " times |";
        rule += "-------|";
    }
    println!("{head}\n{rule}");
    for (at, first) in columns[0].1.iter().enumerate() {
        let mut line = format!("| {:<42} |", first.label);
        for (_, rows) in columns {
            line += &format!(
                " {:>15.0} | {:>9.2} |",
                rows[at].per_second, rows[at].p99_ms
            );
        }
        if let [(_, one), (_, other)] = columns {
            line += &format!(" {:>5.1} |", one[at].per_second / other[at].per_second);
        }
        println!("{line}");
    }
}
