//! The commands under way, for `currentOp`.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use bson::{Document, doc};
use parking_lot::Mutex;

/// One command under way.
#[derive(Debug)]
struct Operation {
    connection: i64,
    client: String,
    command: &'static str,
    /// `database.collection`, or `database.$cmd` of a command on no collection.
    ns: String,
    began: Instant,
}

/// All commands under way; as many as there are connections at most.
#[derive(Debug, Default)]
pub struct Operations {
    running: Mutex<BTreeMap<u64, Operation>>,
    next: AtomicU64,
}

/// Counts a command as under way for as long as it lives.
#[derive(Debug)]
pub struct Running<'a> {
    operations: &'a Operations,
    id: u64,
}

impl Operations {
    /// Begins one.
    pub fn begin(
        &self,
        connection: i64,
        client: &str,
        command: &'static str,
        ns: String,
    ) -> Running<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.running.lock().insert(
            id,
            Operation {
                connection,
                client: client.to_owned(),
                command,
                ns,
                began: Instant::now(),
            },
        );
        Running {
            operations: self,
            id,
        }
    }

    /// What is told of each.
    pub fn describe(&self) -> Vec<Document> {
        let running = self.running.lock();
        let operations = running.iter();
        operations
            .map(|(id, operation)| {
                let micros = operation.began.elapsed().as_micros();
                let op = match operation.command {
                    "find" | "count" | "distinct" => "query",
                    "getMore" => "getmore",
                    "insert" => "insert",
                    "update" => "update",
                    "delete" => "remove",
                    _ => "command",
                };
                doc! {
                    "type": "op",
                    "opid": i64::try_from(*id).unwrap_or(i64::MAX),
                    "connectionId": operation.connection,
                    "client": &operation.client,
                    "active": true,
                    "op": op,
                    "ns": &operation.ns,
                    "command": { operation.command: 1 },
                    "microsecs_running": i64::try_from(micros).unwrap_or(i64::MAX),
                    "secs_running": i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX),
                }
            })
            .collect()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.operations.running.lock().remove(&self.id);
    }
}
