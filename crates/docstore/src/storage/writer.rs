//! The one writer. Whoever holds its lock writes; writes that are waiting at the time join one
//! transaction (a group), and the last of them commits for all.
//!
//! A write that finds nobody waiting commits at once, on its own thread: no hand-over. A failed
//! statement is undone alone, through a savepoint. If the group itself fails (a full disk), it is
//! rolled back and every member runs again on its own, so that only the culprits fail.

mod txn;

use std::{
    any::Any,
    collections::HashMap,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;

pub use self::txn::WriteTxn;
use super::{
    Durability, Store,
    catalog::{Catalog, Multikey},
    transactions::Held,
};
use crate::{
    bail,
    error::{CommandError, Result},
};

/// Most writes that share one commit.
const MAX_GROUP_MEMBERS: usize = 256;
/// Log pages (of 4 KiB) after which the log is moved into the data file by the writer itself,
/// because readers kept the background from doing so.
const MAX_LOG_PAGES: u64 = 32_768;

/// The writer and those who wait for it.
#[derive(Debug)]
pub(super) struct Writer {
    /// Everything that a write needs. Held for one write (and its commit, if it is the last).
    pub(super) state: Mutex<WriterState>,
    /// Writes that want the lock. A holder that sees none commits.
    waiting: AtomicUsize,
    /// Told when a multi-document transaction lets go of the writer.
    pub(super) released: Condvar,
    pub(super) durability: Durability,
}

#[derive(Debug)]
pub(super) struct WriterState {
    pub(super) connection: Connection,
    /// The log file, flushed when a write asks for it.
    wal: File,
    /// The catalogue as the open transaction sees it.
    pub(super) catalog: Arc<Catalog>,
    /// As last committed; what a rollback returns to.
    committed: Arc<Catalog>,
    /// The next free number of a collection or index.
    pub(super) next_id: i64,
    /// What the open transaction does to the counters: documents and bytes by collection number.
    deltas: HashMap<i64, (i64, i64)>,
    /// How many change events the open transaction wrote.
    events: u64,
    /// Indexes that the open transaction notes as multikey in the file.
    pub(super) multikeys: Vec<Arc<Multikey>>,
    /// Whether a transaction is open.
    open: bool,
    /// Members of the open group so far, and whether one wants the log flushed.
    members: usize,
    pub(super) flush: bool,
    group: Arc<Group>,
    /// A multi-document transaction that has the writer to itself.
    pub(super) held: Option<Held>,
    closed: bool,
    commits_since_check: u32,
}

/// How a group ended, for those of its members who wait for that.
#[derive(Debug, Default)]
struct Group {
    outcome: Mutex<Option<Outcome>>,
    ended: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    /// Committed, but the log could not be flushed to the disk.
    Unflushed,
    /// Rolled back through no fault of the member: run again, alone.
    Retry,
}

impl Outcome {
    /// What a member is told whose write ended with `result` and that wanted the log flushed, or not.
    /// A write that is committed must not run again, whatever became of the flush.
    pub(super) fn tell<T>(self, flush: bool, result: Result<T>) -> Result<T> {
        if self == Outcome::Unflushed && flush && result.is_ok() {
            bail!(
                WriteConcernFailed,
                "the write is done, but the log could not be flushed to the disk"
            );
        }
        result
    }
}

impl Group {
    fn end(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.ended.notify_all();
    }

    fn wait(&self) -> Outcome {
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(outcome) = *outcome {
                return outcome;
            }
            self.ended.wait(&mut outcome);
        }
    }
}

/// How one run of a write ended.
enum Run<T> {
    /// It ran to its end, well or badly; what it did is in the open transaction.
    Done(Result<T>),
    /// The transaction cannot go on (disk full, I/O error).
    Broken(CommandError),
    /// It panicked.
    Panicked(Box<dyn Any + Send>),
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        wal: File,
        catalog: Arc<Catalog>,
        next_id: i64,
        durability: Durability,
    ) -> Self {
        Self {
            state: Mutex::new(WriterState {
                connection,
                wal,
                committed: Arc::clone(&catalog),
                catalog,
                next_id,
                deltas: HashMap::new(),
                events: 0,
                multikeys: Vec::new(),
                open: false,
                members: 0,
                flush: false,
                group: Arc::default(),
                held: None,
                closed: false,
                commits_since_check: 0,
            }),
            waiting: AtomicUsize::new(0),
            released: Condvar::new(),
            durability,
        }
    }

    /// Takes the lock when no multi-document transaction has the writer.
    pub(super) fn lock_free(&self) -> Result<MutexGuard<'_, WriterState>> {
        let mut state = self.state.lock();
        while let Some(held) = &state.held
            && !state.closed
        {
            // Whoever waits ends an overlong transaction itself: the background may be waiting too.
            let until = held.until();
            if self.released.wait_until(&mut state, until).timed_out() && state.undo_overlong() {
                self.released.notify_all();
            }
        }
        if state.closed {
            bail!(InterruptedAtShutdown, "the store is closed");
        }
        Ok(state)
    }

    pub(super) fn close(&self, store: &Store) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.closed = true;
        self.released.notify_all();
        if state.held.take().is_some() {
            state.roll_back();
        }
        if let Err(error) = state.commit(store) {
            tracing::error!(error = %error, "the last writes could not be committed");
        }
        let emptied = state
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = emptied {
            tracing::warn!(error = %error, "the log could not be emptied; it is read at the next start");
        }
    }
}

impl Store {
    /// Runs `job` on the writer and returns once what it did is committed.
    ///
    /// `job` may run a second time, after a rollback, when its group failed. An `Err` of the job
    /// leaves what it did before committed: statements that must be undone use
    /// [`WriteTxn::atomically`]. `flush` waits until the log is on the disk.
    pub fn write<T>(
        &self,
        flush: bool,
        mut job: impl FnMut(&mut WriteTxn<'_>) -> Result<T>,
    ) -> Result<T> {
        let flush = flush || self.writer.durability == Durability::Full;
        let mut alone = false;
        loop {
            self.writer.waiting.fetch_add(1, Ordering::SeqCst);
            let locked = self.writer.lock_free();
            self.writer.waiting.fetch_sub(1, Ordering::SeqCst);
            let mut state = locked?;
            if alone {
                // Whoever is in the open group has nothing to do with this one's trouble.
                state.commit(self)?;
            }
            state.begin()?;
            match state.run(self, &mut job) {
                Run::Done(result) => {
                    state.members += 1;
                    state.flush |= flush;
                    let last = alone
                        || self.writer.waiting.load(Ordering::SeqCst) == 0
                        || state.members >= MAX_GROUP_MEMBERS;
                    if last {
                        let single = state.members == 1;
                        match state.commit(self) {
                            Ok(outcome) => return outcome.tell(flush, result),
                            Err(error) if single => return Err(error),
                            Err(_) => {}
                        }
                    } else {
                        let group = Arc::clone(&state.group);
                        drop(state);
                        match group.wait() {
                            Outcome::Retry => {}
                            outcome => return outcome.tell(flush, result),
                        }
                    }
                }
                Run::Broken(error) => {
                    let single = state.members == 0;
                    state.fail_group();
                    if single {
                        return Err(error);
                    }
                }
                Run::Panicked(panic) => {
                    state.fail_group();
                    drop(state);
                    std::panic::resume_unwind(panic);
                }
            }
            alone = true;
        }
    }
}

impl WriterState {
    pub(super) fn begin(&mut self) -> Result<()> {
        if !self.open {
            self.connection
                .prepare_cached("BEGIN IMMEDIATE")?
                .execute([])?;
            self.open = true;
        }
        Ok(())
    }

    fn run<T>(
        &mut self,
        store: &Store,
        job: &mut impl FnMut(&mut WriteTxn<'_>) -> Result<T>,
    ) -> Run<T> {
        let mut txn = WriteTxn {
            state: self,
            store,
            broken: None,
        };
        let result = catch_unwind(AssertUnwindSafe(|| job(&mut txn)));
        let broken = txn.broken.take();
        match (result, broken) {
            (Err(panic), _) => Run::Panicked(panic),
            (Ok(_), Some(error)) => Run::Broken(error),
            // SQLite itself rolls back in some failures.
            (Ok(Err(error)), None) if self.connection.is_autocommit() => Run::Broken(error),
            (Ok(result), None) => Run::Done(result),
        }
    }

    /// As [`Self::run`] for a member of a multi-document transaction: the transaction stays open.
    pub(super) fn run_held<T>(
        &mut self,
        store: &Store,
        job: &mut impl FnMut(&mut WriteTxn<'_>) -> Result<T>,
    ) -> Result<T> {
        match self.run(store, job) {
            Run::Done(result) => result,
            Run::Broken(error) => Err(error),
            Run::Panicked(panic) => {
                self.roll_back();
                self.held = None;
                store.writer.released.notify_all();
                std::panic::resume_unwind(panic)
            }
        }
    }

    /// Commits the open group, tells its members and publishes what it changed.
    pub(super) fn commit(&mut self, store: &Store) -> Result<Outcome> {
        if !self.open {
            return Ok(Outcome::Committed);
        }
        let done = self.write_counters().and_then(|()| {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(())
        });
        if let Err(error) = done {
            self.fail_group();
            return Err(error);
        }
        let outcome = self.flush_log();
        self.open = false;
        for (id, (docs, bytes)) in self.deltas.drain() {
            if let Some(collection) = self.catalog.iter().find(|collection| collection.id == id) {
                collection.stats.docs.fetch_add(docs, Ordering::Relaxed);
                collection.stats.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
        }
        if !Arc::ptr_eq(&self.catalog, &self.committed) {
            self.committed = Arc::clone(&self.catalog);
            store.publish(&self.committed);
        }
        for multikey in self.multikeys.drain(..) {
            multikey.saved.store(true, Ordering::Release);
        }
        store.changes.committed(std::mem::take(&mut self.events));
        self.end_group(outcome);
        self.shorten_log();
        Ok(outcome)
    }

    fn flush_log(&self) -> Outcome {
        match self.flush.then(|| self.wal.sync_data()) {
            Some(Err(error)) => {
                tracing::error!(error = %error, "the log could not be flushed");
                Outcome::Unflushed
            }
            Some(Ok(())) | None => Outcome::Committed,
        }
    }

    fn write_counters(&mut self) -> Result<()> {
        for (id, (docs, bytes)) in &self.deltas {
            if *docs == 0 && *bytes == 0 {
                continue;
            }
            self.connection
                .prepare_cached(
                    "INSERT INTO stats (collection, docs, bytes) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (collection) DO UPDATE SET docs = docs + ?2, bytes = bytes + ?3",
                )?
                .execute((id, docs, bytes))?;
        }
        Ok(())
    }

    /// Rolls the open group back and has its members run again, each alone.
    fn fail_group(&mut self) {
        self.roll_back();
        self.end_group(Outcome::Retry);
    }

    fn end_group(&mut self, outcome: Outcome) {
        if self.members > 0 {
            std::mem::take(&mut self.group).end(outcome);
        }
        self.members = 0;
        self.flush = false;
    }

    pub(super) fn roll_back(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = %error, "rollback failed");
        }
        self.open = false;
        self.deltas.clear();
        self.multikeys.clear();
        self.events = 0;
        self.catalog = Arc::clone(&self.committed);
    }

    /// Moves the log into the data file when readers have kept the background from doing so.
    fn shorten_log(&mut self) {
        self.commits_since_check += 1;
        if self.commits_since_check < 1000 {
            return;
        }
        self.commits_since_check = 0;
        let pages = self.wal.metadata().map_or(0, |meta| meta.len()) / super::PAGE_BYTES;
        if pages > MAX_LOG_PAGES {
            let moved = self
                .connection
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            if let Err(error) = moved {
                tracing::warn!(error = %error, "checkpoint failed");
            }
        }
    }
}
