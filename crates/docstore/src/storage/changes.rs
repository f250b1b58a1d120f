//! The change log behind change streams.
//!
//! Writes are logged from the first time that a stream is opened on (and this is kept over
//! restarts) until no stream was open for the retention time; a store without streams pays nothing.
//! Streams wait for commits here.

mod difference;

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bson::{Bson, Document, RawDocument, Timestamp, doc};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use self::difference::describe_update;
use super::{
    Store, StoreOptions,
    catalog::{Collection, decode},
    writer::WriteTxn,
};
use crate::{bail, error::Result};

/// One change of a document.
pub enum Change<'a> {
    /// Inserted.
    Insert(&'a RawDocument),
    /// Replaced as a whole.
    Replace(&'a RawDocument),
    /// Changed in place.
    Update {
        /// As it was.
        before: &'a RawDocument,
        /// As it is now.
        after: &'a RawDocument,
    },
    /// Deleted.
    Delete(&'a RawDocument),
}

/// State shared by the writer and the streams.
#[derive(Debug)]
pub struct ChangeLog {
    /// Whether writes are logged.
    active: AtomicBool,
    /// The last sequence number given out, perhaps not committed yet (only the writer adds).
    given: AtomicI64,
    /// The last committed one.
    last: AtomicI64,
    /// When the last event was given out and committed, in milliseconds since 1970; never goes back.
    given_ms: AtomicI64,
    last_ms: AtomicI64,
    /// The first number that has not been removed.
    first: AtomicI64,
    /// Every change since then is in the log, in milliseconds since 1970.
    since_ms: AtomicI64,
    /// When a stream last read, in milliseconds since 1970.
    last_read_ms: AtomicI64,
    /// Bumped at each commit that logged something; streams wait for it to move.
    generation: Mutex<u64>,
    moved: Condvar,
    retention_ms: i64,
    retention_events: u64,
}

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// A time as clients know it: seconds, and within these the number of an event.
pub fn cluster_time(time_ms: i64, seq: i64) -> Timestamp {
    Timestamp {
        time: u32::try_from(time_ms / 1000).unwrap_or(u32::MAX),
        increment: u32::try_from(seq & MAX_INCREMENT).unwrap_or(0).max(1),
    }
}

/// Increments have 31 bits.
const MAX_INCREMENT: i64 = 0x7fff_ffff;

/// A logged event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number; resume tokens carry it.
    pub seq: i64,
    /// When it was written.
    pub time_ms: i64,
    /// `database.collection`.
    pub ns: String,
    /// `operationType`, `documentKey`, `fullDocument`, `updateDescription` and so on.
    pub event: Document,
}

impl ChangeLog {
    pub(super) fn load(connection: &Connection, options: &StoreOptions) -> Result<Self> {
        let number = |sql: &str| -> Result<Option<i64>> {
            Ok(connection.query_row(sql, [], |row| row.get(0))?)
        };
        let active = connection
            .query_row(
                "SELECT value FROM meta WHERE name = 'changes_active'",
                [],
                |row| row.get::<_, bool>(0),
            )
            .unwrap_or(false);
        let kept = connection
            .query_row(
                "SELECT value FROM meta WHERE name = 'changes_last'",
                [],
                |row| row.get(0),
            )
            .unwrap_or(0_i64);
        let since = connection
            .query_row(
                "SELECT value FROM meta WHERE name = 'changes_since'",
                [],
                |row| row.get(0),
            )
            .unwrap_or(i64::MAX);
        let last = number("SELECT max(seq) FROM changes")?
            .unwrap_or(0)
            .max(kept);
        let first = number("SELECT min(seq) FROM changes")?.unwrap_or(last + 1);
        // A clock that was set back must not make an event older than one before it.
        let last_ms = number("SELECT time_ms FROM changes ORDER BY seq DESC LIMIT 1")
            .ok()
            .flatten();
        let last_ms = last_ms.unwrap_or_else(now_ms);
        Ok(Self {
            active: AtomicBool::new(active),
            given: AtomicI64::new(last),
            last: AtomicI64::new(last),
            given_ms: AtomicI64::new(last_ms),
            last_ms: AtomicI64::new(last_ms),
            first: AtomicI64::new(first),
            since_ms: AtomicI64::new(since),
            last_read_ms: AtomicI64::new(now_ms()),
            generation: Mutex::new(0),
            moved: Condvar::new(),
            retention_ms: i64::try_from(options.change_retention_seconds.saturating_mul(1000))
                .unwrap_or(i64::MAX),
            retention_events: options.change_retention_events,
        })
    }

    /// The number of the last event.
    pub fn last(&self) -> i64 {
        self.last.load(Ordering::Acquire)
    }

    /// When the last event was committed, as clients know it: what is read now is at least as new.
    pub fn operation_time(&self) -> Timestamp {
        // In this order: an event's time is there before its number.
        let seq = self.last();
        cluster_time(self.last_ms.load(Ordering::Acquire), seq)
    }

    /// The number of the first event that is still kept.
    pub fn first(&self) -> i64 {
        self.first.load(Ordering::Acquire)
    }

    /// Called by the writer after a commit that logged `events` events.
    pub(super) fn committed(&self, events: u64) {
        if events > 0 {
            self.last_ms
                .store(self.given_ms.load(Ordering::Acquire), Ordering::Release);
            self.last
                .store(self.given.load(Ordering::Acquire), Ordering::Release);
            *self.generation.lock() += 1;
            self.moved.notify_all();
        }
    }

    /// The last number given out; only the writer asks.
    pub(super) fn given(&self) -> i64 {
        self.given.load(Ordering::Acquire)
    }

    /// Takes back the numbers after `given`: what they were for was undone.
    pub(super) fn take_back(&self, given: i64) {
        self.given.store(given, Ordering::Release);
    }

    /// What [`Self::wait`] compares with.
    pub fn generation(&self) -> u64 {
        *self.generation.lock()
    }

    /// Waits until something was logged after `seen`, at most until `until`.
    pub fn wait(&self, seen: u64, until: Instant) {
        let mut generation = self.generation.lock();
        while *generation == seen {
            if self.moved.wait_until(&mut generation, until).timed_out() {
                return;
            }
        }
    }

    /// Wakes every stream, so that it sees that the server ends.
    pub fn wake_all(&self) {
        *self.generation.lock() += 1;
        self.moved.notify_all();
    }

    /// Notes that a stream reads.
    pub fn touch(&self) {
        self.last_read_ms.store(now_ms(), Ordering::Relaxed);
    }
}

impl Store {
    /// Starts logging, if it is not on; gives the number of the last event before.
    pub fn start_changes(&self) -> Result<i64> {
        self.changes.touch();
        if self.changes.active.load(Ordering::Acquire) {
            return Ok(self.changes.last());
        }
        self.write(false, |txn| {
            txn.execute(
                "INSERT INTO meta (name, value) VALUES ('changes_active', 1) \
                 ON CONFLICT (name) DO UPDATE SET value = 1",
                [],
            )?;
            txn.set_complete_since(now_ms())?;
            txn.store.changes.active.store(true, Ordering::Release);
            Ok(txn.store.changes.last())
        })
    }

    /// Up to `limit` events after `seq`.
    pub fn events_after(&self, seq: i64, limit: usize) -> Result<Vec<Event>> {
        let reader = self.reader()?;
        let mut statement = reader.prepare_cached(
            "SELECT seq, time_ms, ns, event FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let mut rows = statement.query((seq, i64::try_from(limit).unwrap_or(i64::MAX)))?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let bytes = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            events.push(Event {
                seq: row.get(0)?,
                time_ms: row.get(1)?,
                ns: row.get(2)?,
                event: decode(bytes)?,
            });
        }
        Ok(events)
    }

    /// The number of the last event before a time. Fails where changes since then are not, or no
    /// longer, in the log.
    pub fn event_before(&self, time: Timestamp) -> Result<i64> {
        let seconds = i64::from(time.time);
        // What is known of the beginning of the log is finer than the client's time.
        if seconds * 1000 + 999 < self.changes.since_ms.load(Ordering::Acquire) {
            bail!(
                ChangeStreamHistoryLost,
                "Resume of change stream was not possible: changes since that time are not in the log."
            );
        }
        let reader = self.reader()?;
        let found: Option<i64> = reader.query_row(
            "SELECT max(seq) FROM changes WHERE time_ms / 1000 < ?1 \
             OR (time_ms / 1000 = ?1 AND (seq & ?2) < ?3)",
            (seconds, MAX_INCREMENT, i64::from(time.increment)),
            |row| row.get(0),
        )?;
        Ok(found.unwrap_or_else(|| self.changes.first() - 1))
    }

    /// Forgets the answers of retryable writes after half an hour, when sessions end too.
    pub fn trim_results(&self) -> Result<()> {
        let oldest = now_ms() - 30 * 60 * 1000;
        let reader = self.reader()?;
        let some = reader
            .prepare_cached("SELECT 1 FROM results WHERE time_ms < ?1 LIMIT 1")?
            .exists([oldest])?;
        drop(reader);
        if some {
            self.write(false, |txn| {
                txn.execute("DELETE FROM results WHERE time_ms < ?1", [oldest])
                    .map(|_| ())
            })?;
        }
        Ok(())
    }

    /// Removes events over their time, and stops logging when no stream has read for as long.
    pub fn trim_changes(&self) -> Result<()> {
        let changes = &self.changes;
        if !changes.active.load(Ordering::Acquire) {
            return Ok(());
        }
        let oldest = now_ms().saturating_sub(changes.retention_ms);
        let keep_from =
            changes.last() - i64::try_from(changes.retention_events).unwrap_or(i64::MAX);
        let stop =
            !self.options.log_all_changes && changes.last_read_ms.load(Ordering::Relaxed) < oldest;
        let manner = super::writer::Manner {
            frees: true,
            ..Default::default()
        };
        self.write_as(manner, |txn| {
            txn.execute(
                "INSERT INTO meta (name, value) VALUES ('changes_last', ?1) \
                 ON CONFLICT (name) DO UPDATE SET value = ?1",
                [txn.store.changes.last()],
            )?;
            let removed = txn.execute(
                "DELETE FROM changes WHERE seq <= ?1 OR time_ms < ?2",
                (keep_from, oldest),
            )?;
            if removed > 0 {
                let first: Option<i64> =
                    txn.connection()
                        .query_row("SELECT min(time_ms) FROM changes", [], |row| row.get(0))?;
                // Events of the same millisecond may be among those that are gone.
                txn.set_complete_since(first.unwrap_or_else(now_ms).saturating_add(1))?;
            }
            if stop {
                txn.execute("DELETE FROM changes", [])?;
                txn.execute(
                    "UPDATE meta SET value = 0 WHERE name = 'changes_active'",
                    [],
                )?;
                txn.store.changes.active.store(false, Ordering::Release);
            }
            let first: Option<i64> =
                txn.connection()
                    .query_row("SELECT min(seq) FROM changes", [], |row| row.get(0))?;
            let changes = &txn.store.changes;
            changes
                .first
                .store(first.unwrap_or(changes.last() + 1), Ordering::Release);
            Ok(())
        })
    }
}

impl WriteTxn<'_> {
    fn set_complete_since(&mut self, time_ms: i64) -> Result<()> {
        self.execute(
            "INSERT INTO meta (name, value) VALUES ('changes_since', ?1) \
             ON CONFLICT (name) DO UPDATE SET value = ?1",
            [time_ms],
        )?;
        self.store
            .changes
            .since_ms
            .store(time_ms, Ordering::Release);
        Ok(())
    }

    /// Logs a change of a document, if anybody listens.
    pub(super) fn record(&mut self, collection: &Collection, change: &Change<'_>) -> Result<()> {
        // A stream may be opened before a transaction's commit.
        if self.overlay.is_none() && !self.store.changes.active.load(Ordering::Acquire) {
            return Ok(());
        }
        let event = match change {
            Change::Insert(raw) => {
                let document = decode(raw.as_bytes())?;
                doc! { "operationType": "insert", "fullDocument": document.clone(), "documentKey": key(&document) }
            }
            Change::Replace(raw) => {
                let document = decode(raw.as_bytes())?;
                doc! { "operationType": "replace", "fullDocument": document.clone(), "documentKey": key(&document) }
            }
            Change::Update { before, after } => {
                let (before, after) = (decode(before.as_bytes())?, decode(after.as_bytes())?);
                doc! {
                    "operationType": "update",
                    "documentKey": key(&after),
                    "updateDescription": describe_update(&before, &after),
                }
            }
            Change::Delete(raw) => {
                doc! { "operationType": "delete", "documentKey": key(&decode(raw.as_bytes())?) }
            }
        };
        let mut event = event;
        event.insert("collectionUUID", uuid(collection));
        self.record_event(&collection.ns, &event)
    }

    /// Logs a change of a collection as a whole, if anybody listens; `details` say what it was.
    pub fn record_definition(
        &mut self,
        collection: &Collection,
        kind: &str,
        details: Document,
    ) -> Result<()> {
        let mut event = doc! { "operationType": kind, "collectionUUID": uuid(collection) };
        event.extend(details);
        self.record_event(&collection.ns, &event)
    }

    /// Logs any other event (`drop`, `rename`, `dropDatabase`, …), if anybody listens.
    pub(super) fn record_event(&mut self, ns: &str, event: &Document) -> Result<()> {
        if let Some(overlay) = &mut self.overlay {
            return overlay.keep_event(ns, event);
        }
        if !self.store.changes.active.load(Ordering::Acquire) {
            return Ok(());
        }
        let bytes = event.to_vec().map_err(|error| {
            crate::error::CommandError::new(crate::error::Code::InternalError, error.to_string())
        })?;
        // Numbers of a rolled-back transaction stay unused: only their order matters.
        let seq = self.store.changes.given.fetch_add(1, Ordering::AcqRel) + 1;
        let given_ms = &self.store.changes.given_ms;
        let now = now_ms();
        let time_ms = given_ms.fetch_max(now, Ordering::AcqRel).max(now);
        self.execute(
            "INSERT INTO changes (seq, time_ms, ns, event) VALUES (?1, ?2, ?3, ?4)",
            (seq, time_ms, ns, bytes),
        )?;
        self.count_event();
        Ok(())
    }
}

fn uuid(collection: &Collection) -> Bson {
    Bson::Binary(bson::Binary {
        subtype: bson::spec::BinarySubtype::Uuid,
        bytes: collection.uuid.to_vec(),
    })
}

fn key(document: &Document) -> Document {
    doc! { "_id": document.get("_id").cloned().unwrap_or(Bson::Null) }
}

/// How long a stream waits for an event when the client does not say.
pub const DEFAULT_AWAIT: Duration = Duration::from_secs(1);
