//! Killing the real program while writers are at work: what was acknowledged is there afterwards.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::{Client, IndexModel};

use crate::support::eventually;

/// Rounds; `DOCSTORE_CRASH_ROUNDS` asks for more.
pub(crate) fn rounds() -> u32 {
    std::env::var("DOCSTORE_CRASH_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(3)
}

pub(crate) fn start(data: &Path, socket: &Path) -> Child {
    start_with(data, socket, |_| {})
}

/// Starts the program with further arguments or variables.
pub(crate) fn start_with(data: &Path, socket: &Path, change: impl FnOnce(&mut Command)) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docstore"));
    change(&mut command);
    let mut child = command
        .arg("--path")
        .arg(data)
        .arg("--socket")
        .arg(socket)
        .args(["--log", "error"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("listening on "), "{line}");
    child
}

pub(crate) async fn connect(socket: &Path) -> Client {
    let host = docstore::server::percent_encode(&socket.to_string_lossy());
    let uri = format!("mongodb://{host}/?directConnection=true&serverSelectionTimeoutMS=5000");
    Client::with_uri_str(uri).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let (data, socket) = (dir.path().join("data"), dir.path().join("d.sock"));
    let mut acknowledged: Vec<Arc<AtomicI32>> = Vec::new();
    for round in 0..rounds() {
        let mut child = start(&data, &socket);
        let client = connect(&socket).await;
        let coll = client.database("test").collection::<Document>("c");
        if round == 0 {
            coll.create_index(IndexModel::builder().keys(doc! { "n": 1 }).build())
                .await
                .unwrap();
        }
        let total: i32 = acknowledged.iter().map(|n| n.load(Ordering::SeqCst)).sum();
        let before = check(&client, &acknowledged).await;
        assert!(before >= total as u64, "{before} of {total} are left");
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let last = Arc::new(AtomicI32::new(0));
                let writer = acknowledged.len() as i32;
                acknowledged.push(Arc::clone(&last));
                let coll = coll.clone();
                tokio::spawn(async move {
                    for n in 1.. {
                        let document = doc! { "_id": { "w": writer, "n": n }, "w": writer, "n": n };
                        if coll.insert_one(document).await.is_err() {
                            return;
                        }
                        last.store(n, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let counts = acknowledged.clone();
        let wanted = total + 100;
        eventually("some writes are acknowledged", || async {
            let now: i32 = counts.iter().map(|n| n.load(Ordering::SeqCst)).sum();
            (now >= wanted).then_some(())
        })
        .await;
        child.kill().unwrap();
        child.wait().unwrap();
        for writer in writers {
            tokio::time::timeout(Duration::from_secs(30), writer)
                .await
                .unwrap()
                .unwrap();
        }
    }
    let mut child = start(&data, &socket);
    let client = connect(&socket).await;
    let found = check(&client, &acknowledged).await;
    let total: i32 = acknowledged.iter().map(|n| n.load(Ordering::SeqCst)).sum();
    eprintln!(
        "{} kills: {total} writes acknowledged, {found} found",
        rounds()
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Checks that every acknowledged write is there and that the indexes agree; gives the count.
pub(crate) async fn check(client: &Client, acknowledged: &[Arc<AtomicI32>]) -> u64 {
    let coll = client.database("test").collection::<Document>("c");
    let stages = [doc! {
        "$group": { "_id": "$w", "count": { "$sum": 1 }, "last": { "$max": "$n" } }
    }];
    let groups: Vec<Document> = coll
        .aggregate(stages)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let by_writer: HashMap<i32, &Document> = groups
        .iter()
        .map(|group| (group.get_i32("_id").unwrap(), group))
        .collect();
    for (writer, last) in acknowledged.iter().enumerate() {
        let acknowledged = last.load(Ordering::SeqCst);
        if acknowledged > 0 {
            let found = by_writer[&(writer as i32)];
            let last = found.get_i32("last").unwrap();
            // One more may be there than was acknowledged, but none may be missing before it.
            assert!(
                acknowledged <= last,
                "writer {writer}: {found}, {acknowledged}"
            );
            assert_eq!(found.get_i32("count").unwrap(), last, "writer {writer}");
        }
    }
    let reply = client
        .database("test")
        .run_command(doc! { "validate": "c" })
        .await
        .unwrap();
    assert!(reply.get_bool("valid").unwrap(), "{reply}");
    let counted = coll.count_documents(doc! {}).await.unwrap();
    assert_eq!(coll.estimated_document_count().await.unwrap(), counted);
    counted
}
