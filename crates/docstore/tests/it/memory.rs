//! What connections cost the real program.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

use bson::{Document, doc};

use crate::{
    crash::start,
    support::{body, frame, message},
};

const CONNECTIONS: usize = 900;
const KIB: u64 = 1024;

/// Memory of a process that is its own (not pages of files), in bytes, and its threads.
fn used(child: &Child) -> (u64, u64) {
    let of = |file: &str, name: &str| -> u64 {
        let path = format!("/proc/{}/{file}", child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        let number = line.split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    };
    let private = of("smaps_rollup", "Private_Dirty:") + of("smaps_rollup", "Private_Clean:");
    (private * KIB, of("status", "Threads:"))
}

fn run(stream: &mut UnixStream, command: &Document) -> Document {
    stream
        .write_all(&frame(2013, &message(0, command)))
        .unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut answer[4..]).unwrap();
    body(&answer)
}

/// Waits until the program has at most `threads`, and some time for the allocator to give back.
fn settle(child: &Child, threads: u64, bytes: u64) -> (u64, u64) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let now = used(child);
        if (now.1 <= threads && now.0 <= bytes) || Instant::now() > until {
            return now;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn connect(socket: &Path, n: usize) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    run(&mut stream, &doc! { "hello": 1, "$db": "admin" });
    let insert = doc! { "insert": "c", "documents": [{ "n": n as i64, "s": "x".repeat(200) }], "$db": "test" };
    assert_eq!(run(&mut stream, &insert).get_f64("ok").unwrap(), 1.0);
    let find = doc! { "find": "c", "filter": { "n": n as i64 }, "$db": "test" };
    assert_eq!(run(&mut stream, &find).get_f64("ok").unwrap(), 1.0);
    stream
}

#[test]
fn idle_connections_take_little_and_give_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let (data, socket) = (dir.path().join("data"), dir.path().join("d.sock"));
    let child = Ended(start(&data, &socket));
    let child = &child.0;
    let probe = connect(&socket, 0);
    let (before, threads) = settle(child, 5, u64::MAX);
    // From several threads at once, as pools of drivers come.
    let open: Vec<UnixStream> = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..6)
            .map(|part| {
                let socket = &socket;
                scope.spawn(move || -> Vec<UnixStream> {
                    (0..CONNECTIONS / 6)
                        .map(|n| connect(socket, part * 1000 + n))
                        .collect()
                })
            })
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap())
            .collect()
    });
    let peak = used(child);
    let limit = before + 24 * KIB * CONNECTIONS as u64;
    let (idle, idle_threads) = settle(child, threads, limit);
    eprintln!(
        "{} connections: {} KiB before, {} KiB when opened ({} threads), {} KiB idle ({} threads)",
        open.len(),
        before / KIB,
        peak.0 / KIB,
        peak.1,
        idle / KIB,
        idle_threads
    );
    assert!(idle_threads <= threads, "{idle_threads} threads are left");
    assert!(idle <= limit, "{idle} bytes of {limit}");
    assert!(idle <= 150 * KIB * KIB, "{idle} bytes in all");
    // They are alive.
    for mut stream in open {
        run(&mut stream, &doc! { "ping": 1, "$db": "admin" });
    }
    // A reader more is kept than before, and the C library's heaps of some threads.
    let kept = before + 10 * KIB * KIB;
    let (after, threads_after) = settle(child, threads, kept);
    eprintln!("closed: {} KiB ({threads_after} threads)", after / KIB);
    assert!(after <= kept, "{after} bytes, {before} before");
    drop(probe);
}

/// Ends the program, however the test ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
