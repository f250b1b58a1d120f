//! The real program on a disk that loses what was not flushed, and on one that is full.
//!
//! `tests/faulty_disk.c` stands between the program and its files. The same compiler that builds
//! SQLite builds it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

use bson::{Document, doc};
use mongodb::{Client, Collection, IndexModel};

use crate::{
    crash::{check, connect, rounds, start_with},
    support::{code_of, eventually},
};

/// What a directory on such a disk needs.
struct Disk {
    dir: tempfile::TempDir,
    layer: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layer = dir.path().join("faulty_disk.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faulty_disk.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&layer)
            .arg(&source)
            .status()
            .unwrap();
        assert!(built.success());
        Self { dir, layer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, data: &Path, arguments: &[&str]) -> Ended {
        Ended(start_with(data, &self.path("d.sock"), |command| {
            command
                .args(arguments)
                .env("LD_PRELOAD", &self.layer)
                .env("FAULTY_DIR", data)
                .env("FAULTY_LOG", self.path("log"))
                .env("FAULTY_LIMIT", self.path("limit"));
        }))
    }

    async fn client(&self) -> Client {
        connect(&self.path("d.sock")).await
    }
}

/// Ends the program, however the test ends.
struct Ended(Child);

impl Ended {
    /// As a `kill -9`, or in order.
    fn end(mut self, in_order: bool) {
        if in_order {
            let killed = Command::new("kill").arg(self.0.id().to_string()).status();
            assert!(killed.unwrap().success());
        } else {
            self.0.kill().unwrap();
        }
        self.0.wait().unwrap();
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write(at, data) => {
                if content.len() < at + data.len() {
                    content.resize(at + data.len(), 0);
                }
                content[*at..at + data.len()].copy_from_slice(data);
            }
            Change::Truncate(len) => content.resize(*len, 0),
        }
    }
}

/// A file as the disk has it.
#[derive(Default)]
struct OnDisk {
    content: Vec<u8>,
    /// Written, but not flushed.
    pending: Vec<Change>,
    /// Whether its name would be there after a power cut.
    named: bool,
    /// Removed, but its directory was not flushed since.
    removed: bool,
}

/// What is left of `data` after a power cut: what was flushed, and by chance some sectors of the
/// rest. Gives how many changes were lost in whole or in part.
fn cut(log: &Path, data: &Path, left: &Path, random: &mut impl FnMut() -> u64) -> usize {
    let mut files: HashMap<PathBuf, OnDisk> = HashMap::new();
    for entry in std::fs::read_dir(data).unwrap() {
        let before = left.join(entry.unwrap().file_name());
        if let Ok(content) = std::fs::read(&before) {
            let name = data.join(before.file_name().unwrap());
            let named = true;
            files.insert(
                name,
                OnDisk {
                    content,
                    named,
                    ..OnDisk::default()
                },
            );
        }
    }
    let log = std::fs::read(log).unwrap();
    let mut rest = log.as_slice();
    while rest.len() >= 17 {
        let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        let (path_len, data_len) = (number(1), number(13));
        let offset = u64::from_le_bytes(rest[5..13].try_into().unwrap()) as usize;
        let end = 17 + path_len + data_len;
        if rest.len() < end {
            break;
        }
        let path = PathBuf::from(std::str::from_utf8(&rest[17..17 + path_len]).unwrap());
        let bytes = rest[17 + path_len..end].to_vec();
        match rest[0] {
            b's' if path == data => {
                files.retain(|_, file| !file.removed);
                files.values_mut().for_each(|file| file.named = true);
            }
            b'u' => files.entry(path).or_default().removed = true,
            b's' => {
                let file = files.entry(path).or_default();
                for change in std::mem::take(&mut file.pending) {
                    change.apply(&mut file.content);
                }
            }
            b't' => files
                .entry(path)
                .or_default()
                .pending
                .push(Change::Truncate(offset)),
            _ => files
                .entry(path)
                .or_default()
                .pending
                .push(Change::Write(offset, bytes)),
        }
        rest = &rest[end..];
    }
    let _ = std::fs::remove_dir_all(left);
    std::fs::create_dir(left).unwrap();
    let mut lost = 0;
    for (path, mut file) in files {
        // The index of the log is shared memory: nothing of it is on the disk.
        if !file.named
            || (file.removed && random().is_multiple_of(2))
            || path.to_string_lossy().ends_with("-shm")
        {
            continue;
        }
        for change in std::mem::take(&mut file.pending) {
            match change {
                Change::Truncate(_) if random().is_multiple_of(2) => {
                    change.apply(&mut file.content)
                }
                Change::Truncate(_) => {}
                Change::Write(at, data) => {
                    for (sector, part) in data.chunks(512).enumerate() {
                        if random().is_multiple_of(2) {
                            let part = Change::Write(at + sector * 512, part.to_vec());
                            part.apply(&mut file.content);
                        } else {
                            lost += 1;
                        }
                    }
                }
            }
        }
        std::fs::write(left.join(path.file_name().unwrap()), &file.content).unwrap();
    }
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_a_power_cut() {
    let disk = Disk::new();
    let left = disk.path("left");
    let mut acknowledged: Vec<Arc<AtomicI32>> = Vec::new();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    let mut lost = 0;
    for round in 0..rounds() {
        let data = disk.path("data");
        let _ = std::fs::remove_dir_all(&data);
        let _ = std::fs::remove_file(disk.path("log"));
        if round > 0 {
            std::fs::create_dir(&data).unwrap();
            for entry in std::fs::read_dir(&left).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
            }
        }
        let program = disk.start(&data, &["--sync", "full"]);
        let client = disk.client().await;
        let coll: Collection<Document> = client.database("test").collection("c");
        if round == 0 {
            let index = IndexModel::builder().keys(doc! { "n": 1 }).build();
            coll.create_index(index).await.unwrap();
        }
        check(&client, &acknowledged).await;
        let before: i32 = acknowledged.iter().map(|n| n.load(Ordering::SeqCst)).sum();
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let last = Arc::new(AtomicI32::new(0));
                let writer = acknowledged.len() as i32;
                acknowledged.push(Arc::clone(&last));
                let coll = coll.clone();
                tokio::spawn(async move {
                    for n in 1.. {
                        let document = doc! {
                            "_id": { "w": writer, "n": n }, "w": writer, "n": n,
                            "s": "x".repeat(2000),
                        };
                        if coll.insert_one(document).await.is_err() {
                            return;
                        }
                        last.store(n, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let counts = acknowledged.clone();
        eventually("some writes are acknowledged", || async {
            let now: i32 = counts.iter().map(|n| n.load(Ordering::SeqCst)).sum();
            (now >= before + 200).then_some(())
        })
        .await;
        program.end(false);
        for writer in writers {
            writer.await.unwrap();
        }
        lost += cut(&disk.path("log"), &data, &left, &mut random);
    }
    assert!(lost > 0, "the power cuts took nothing: they prove nothing");
    let program = disk.start(&left, &[]);
    let found = check(&disk.client().await, &acknowledged).await;
    let total: i32 = acknowledged.iter().map(|n| n.load(Ordering::SeqCst)).sum();
    eprintln!(
        "{} power cuts, {lost} sectors lost: {total} writes acknowledged, {found} found",
        rounds()
    );
    program.end(false);
}

/// Without `--sync full` and `j: true`, the log is brought to the disk behind the writes.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_flushed_soon_though_nobody_asks() {
    let disk = Disk::new();
    let (data, left) = (disk.path("data"), disk.path("left"));
    let program = disk.start(&data, &[]);
    let coll: Collection<Document> = disk.client().await.database("test").collection("c");
    for n in 0..50 {
        coll.insert_one(doc! { "_id": n }).await.unwrap();
    }
    let log = |dir: &Path| std::fs::read(dir.join("data.sqlite-wal")).unwrap_or_default();
    eventually("all of the log is on the disk", || async {
        // Nothing that was not flushed is left.
        cut(&disk.path("log"), &data, &left, &mut || 1);
        (log(&data).len() > 50_000 && log(&left) == log(&data)).then_some(())
    })
    .await;
    program.end(false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_can_be_read_and_cleared() {
    let disk = Disk::new();
    let data = disk.path("data");
    let limit = |bytes: u64| std::fs::write(disk.path("limit"), bytes.to_string()).unwrap();
    let used = || -> u64 {
        let files = std::fs::read_dir(&data).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    };
    let arguments = ["--reserve-bytes", "2000000"];
    limit(12_000_000);
    let program = disk.start(&data, &arguments);
    let client = disk.client().await;
    let coll: Collection<Document> = client.database("test").collection("c");
    let filler = "x".repeat(3000);
    let mut written = 0_i64;
    let error = loop {
        match coll.insert_one(doc! { "_id": written, "s": &filler }).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 10_000, "the limit was not met");
    };
    assert_eq!(code_of(&error), 14031);
    // The log did not take the room of the documents.
    assert!(written > 800, "{written} documents in 10 MB");
    // Somebody else takes what is left; the program dies, or ends.
    let mut program = program;
    limit(used());
    for in_order in [false, true] {
        program.end(in_order);
        program = disk.start(&data, &arguments);
        let client = disk.client().await;
        let coll: Collection<Document> = client.database("test").collection("c");
        assert_eq!(coll.count_documents(doc! {}).await.unwrap(), written as u64);
        assert!(
            coll.find_one(doc! { "_id": 7 + i32::from(in_order) })
                .await
                .unwrap()
                .is_some()
        );
        coll.delete_one(doc! { "_id": 7 + i32::from(in_order) })
            .await
            .unwrap();
        written -= 1;
    }
    let client = disk.client().await;
    let coll: Collection<Document> = client.database("test").collection("c");
    let deleted = coll.delete_many(doc! {}).await.unwrap().deleted_count;
    assert_eq!(deleted, written as u64);
    coll.drop().await.unwrap();
    // Nothing grows until there is room for the reserve again.
    limit(used() + 8_000_000);
    eventually("there is room again", || async {
        let done = coll.insert_one(doc! { "s": &filler }).await;
        done.is_ok().then_some(())
    })
    .await;
    program.end(true);
}
