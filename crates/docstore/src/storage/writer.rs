//! The one writer. Whoever holds its lock writes; writes that are waiting at the time join one
//! transaction (a group), and the last of them commits for all.
//!
//! A write that finds nobody waiting commits at once, on its own thread: no hand-over. A failed
//! statement is undone alone, through a savepoint. If the group itself fails (a full disk), it is
//! rolled back and every member runs again on its own, so that only the culprits fail.

mod group;
mod log;
mod txn;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use self::group::Group;
pub use self::txn::WriteTxn;
pub(super) use self::{group::Outcome, log::Log};
use super::{Durability, Store, catalog::Catalog, work::Work};
use crate::{
    bail,
    error::{CommandError, Result},
};

/// Most writes that share one commit.
const MAX_GROUP_MEMBERS: usize = 256;
/// Log pages (of 4 KiB) after which the log is moved into the data file by the writer itself,
/// because readers kept the background from doing so.
const MAX_LOG_PAGES: u64 = 4096;
/// How often a write is tried on a disk that is full.
const ROOM_ATTEMPTS: u32 = 3;
/// By how many pages the log grows before the writer tries again what readers prevented.
const LOG_RETRY_PAGES: u64 = 256;

/// The writer and those who wait for it.
#[derive(Debug)]
pub(super) struct Writer {
    /// Everything that a write needs. Held for one write (and its commit, if it is the last).
    pub(super) state: Mutex<WriterState>,
    /// Writes that want the lock. A holder that sees none commits.
    waiting: AtomicUsize,
    pub(super) durability: Durability,
    pub(super) log: Arc<Log>,
}

#[derive(Debug)]
pub(super) struct WriterState {
    pub(super) work: Work,
    /// The catalogue as last committed; what a rollback returns to.
    committed: Arc<Catalog>,
    /// Whether a transaction is open.
    open: bool,
    /// Members of the open group so far, and whether one wants the log flushed.
    members: usize,
    pub(super) flush: bool,
    group: Arc<Group>,
    closed: bool,
    /// How many pages the log had when the writer tried to move them last; 0: it has been short since.
    log_tried_at: u64,
}

/// How a write is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// Wait until the log is on the disk.
    pub flush: bool,
    /// Give up waiting for others then.
    pub deadline: Option<Instant>,
    /// It makes room: let through on a full disk.
    pub frees: bool,
}

/// How one run of a write ended.
enum Run<T> {
    /// It ran to its end, well or badly; what it did is in the open transaction.
    Done(Result<T>),
    /// The transaction cannot go on (disk full, I/O error).
    Broken(CommandError),
    /// It wants what this transaction has locked. What it did is undone.
    Blocked(u64),
    /// It panicked.
    Panicked(Box<dyn Any + Send>),
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        log: Arc<Log>,
        catalog: Arc<Catalog>,
        durability: Durability,
    ) -> Self {
        Self {
            state: Mutex::new(WriterState {
                committed: Arc::clone(&catalog),
                work: Work::new(connection, catalog),
                open: false,
                members: 0,
                flush: false,
                group: Arc::default(),
                closed: false,
                log_tried_at: 0,
            }),
            waiting: AtomicUsize::new(0),
            durability,
            log,
        }
    }

    /// Whether nobody wants the lock: whoever holds it then commits the open group.
    fn nobody_waits(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    pub(super) fn close(&self, store: &Store) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.closed = true;
        if let Err(error) = state.commit(store) {
            tracing::error!(error = %error, "the last writes could not be committed");
        }
        let emptied =
            state
                .work
                .connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = emptied {
            tracing::warn!(error = %error, "the log could not be emptied; it is read at the next start");
        }
    }
}

impl Store {
    /// Takes the writer's lock.
    pub(super) fn lock_writer(
        &self,
        deadline: Option<Instant>,
    ) -> Result<MutexGuard<'_, WriterState>> {
        let writer = &self.writer;
        writer.waiting.fetch_add(1, Ordering::SeqCst);
        let locked = match deadline {
            None => Some(writer.state.lock()),
            Some(deadline) => writer.state.try_lock_until(deadline),
        };
        writer.waiting.fetch_sub(1, Ordering::SeqCst);
        let Some(state) = locked else {
            self.end_forsaken_group();
            bail!(
                MaxTimeMSExpired,
                "operation exceeded time limit while it waited for other writes"
            )
        };
        if state.closed {
            bail!(InterruptedAtShutdown, "the store is closed");
        }
        Ok(state)
    }

    /// Lets go of the writer. The open group is committed where nobody is left who would do it.
    pub(super) fn release_writer(&self, mut state: MutexGuard<'_, WriterState>) {
        if self.writer.nobody_waits() && state.members > 0 {
            // A failure is told to the members: they run again.
            let _ = state.commit(self);
        }
        drop(state);
        self.end_forsaken_group();
    }

    /// Commits the open group where those for whom it was left open have gone. Called after the lock
    /// was let go of for somebody's sake, and by whoever gives up waiting: one of the two sees it.
    fn end_forsaken_group(&self) {
        if self.writer.nobody_waits()
            && let Some(mut state) = self.writer.state.try_lock()
            && self.writer.nobody_waits()
            && state.members > 0
        {
            let _ = state.commit(self);
        }
    }

    /// As [`Self::write_as`], however long it takes.
    pub fn write<T>(
        &self,
        flush: bool,
        job: impl FnMut(&mut WriteTxn<'_>) -> Result<T>,
    ) -> Result<T> {
        let manner = Manner {
            flush,
            ..Manner::default()
        };
        self.write_as(manner, job)
    }

    /// Runs `job` on the writer and returns once what it did is committed.
    ///
    /// `job` may run again, after a rollback, when its group failed or when a transaction has locked
    /// what it writes. An `Err` of the job leaves what it did before committed: statements that must
    /// be undone use [`WriteTxn::atomically`].
    pub fn write_as<T>(
        &self,
        manner: Manner,
        mut job: impl FnMut(&mut WriteTxn<'_>) -> Result<T>,
    ) -> Result<T> {
        let Manner {
            flush,
            deadline,
            frees,
        } = manner;
        let flush = flush || self.writer.durability == Durability::Full;
        if !frees {
            self.space.admit()?;
        }
        let mut alone = false;
        // A write may find the disk full again after room was made for it.
        let mut attempts_left = ROOM_ATTEMPTS;
        let mut again = |state: &mut WriterState, error: &CommandError| {
            attempts_left -= 1;
            error.is_full_disk() && attempts_left > 0 && state.make_room(self, frees)
        };
        loop {
            let mut state = self.lock_writer(deadline)?;
            if alone {
                // Whoever is in the open group has nothing to do with this one's trouble.
                state.commit(self)?;
            }
            state.begin()?;
            match state.run(self, &mut job) {
                Run::Done(result) => {
                    state.members += 1;
                    state.flush |= flush;
                    let last =
                        alone || self.writer.nobody_waits() || state.members >= MAX_GROUP_MEMBERS;
                    if last {
                        let single = state.members == 1;
                        match state.commit(self) {
                            Ok(outcome) => return outcome.tell(flush, result),
                            Err(error) if single => {
                                if !again(&mut state, &error) {
                                    return Err(error);
                                }
                            }
                            Err(_) => {}
                        }
                    } else {
                        let group = Arc::clone(&state.group);
                        drop(state);
                        self.end_forsaken_group();
                        match group.wait() {
                            Outcome::Retry => {}
                            outcome => return outcome.tell(flush, result),
                        }
                    }
                }
                Run::Blocked(transaction) => {
                    if state.members == 0 {
                        state.roll_back();
                    }
                    self.release_writer(state);
                    self.transactions.wait_for_end(transaction, deadline)?;
                    continue;
                }
                Run::Broken(error) => {
                    let single = state.members == 0;
                    state.fail_group();
                    if single && !again(&mut state, &error) {
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
            self.work
                .connection
                .prepare_cached("BEGIN IMMEDIATE")?
                .execute([])?;
            self.open = true;
        }
        Ok(())
    }

    /// The catalogue as the open transaction sees it.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.work.catalog)
    }

    fn run<T>(
        &mut self,
        store: &Store,
        job: &mut impl FnMut(&mut WriteTxn<'_>) -> Result<T>,
    ) -> Run<T> {
        // What members of the group did before must not be undone with what is blocked.
        let guarded = self.members > 0 && store.transactions.any_locks();
        let mut txn = WriteTxn::direct(&mut self.work, store);
        let result = catch_unwind(AssertUnwindSafe(|| {
            if guarded {
                txn.unless_blocked(job)
            } else {
                job(&mut txn)
            }
        }));
        let (broken, blocked) = (txn.broken.take(), txn.blocked_by.take());
        match (result, broken) {
            (Err(panic), _) => Run::Panicked(panic),
            (Ok(_), Some(error)) => Run::Broken(error),
            (Ok(_), None) if let Some(transaction) = blocked => {
                if !guarded {
                    self.fail_group();
                }
                Run::Blocked(transaction)
            }
            // SQLite itself rolls back in some failures.
            (Ok(Err(error)), None) if self.work.connection.is_autocommit() => Run::Broken(error),
            (Ok(result), None) => Run::Done(result),
        }
    }

    /// Runs a job that shares its commit with nobody. After a failure the caller rolls back.
    pub(super) fn run_alone<T>(
        &mut self,
        store: &Store,
        job: &mut impl FnMut(&mut WriteTxn<'_>) -> Result<T>,
    ) -> Result<T> {
        match self.run(store, job) {
            Run::Done(result) => result,
            Run::Broken(error) => Err(error),
            Run::Blocked(_) => Err(super::transactions::conflict()),
            Run::Panicked(panic) => {
                self.roll_back();
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
            self.work.connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(())
        });
        if let Err(error) = done {
            self.fail_group();
            return Err(error);
        }
        let outcome = self.flush_log(&store.writer.log);
        self.open = false;
        for (id, (docs, bytes)) in self.work.deltas.drain() {
            if let Some(collection) = self.work.catalog.by_id(id) {
                collection.stats.docs.fetch_add(docs, Ordering::Relaxed);
                collection.stats.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
        }
        if !Arc::ptr_eq(&self.work.catalog, &self.committed) {
            self.committed = Arc::clone(&self.work.catalog);
            store.publish(&self.committed);
        }
        for (contents, bits) in self.work.noted.drain(..) {
            contents.saved.fetch_or(bits, Ordering::Release);
        }
        store
            .changes
            .committed(std::mem::take(&mut self.work.events));
        self.end_group(outcome);
        self.shorten_log(store);
        Ok(outcome)
    }

    fn flush_log(&self, log: &Log) -> Outcome {
        match self.flush.then(|| log.flush()) {
            Some(Err(error)) => {
                tracing::error!(error = %error, "the log could not be flushed");
                Outcome::Unflushed
            }
            Some(Ok(())) | None => Outcome::Committed,
        }
    }

    fn write_counters(&mut self) -> Result<()> {
        for (id, (docs, bytes)) in &self.work.deltas {
            if *docs == 0 && *bytes == 0 {
                continue;
            }
            self.work
                .connection
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
        self.work.roll_back(&self.committed);
        self.open = false;
    }

    /// Moves the log into the data file when readers have kept the background from doing so.
    fn shorten_log(&mut self, store: &Store) {
        let pages = store.writer.log.pages();
        let most = MAX_LOG_PAGES.min(store.options.reserve_bytes / 2 / super::PAGE_BYTES);
        if pages <= most {
            self.log_tried_at = 0;
            return;
        }
        if self.log_tried_at != 0 && pages < self.log_tried_at + LOG_RETRY_PAGES {
            return;
        }
        self.log_tried_at = pages;
        if let Err(error) = self.checkpoint("PASSIVE") {
            tracing::warn!(error = %error, "checkpoint failed");
        }
    }

    fn checkpoint(&self, mode: &str) -> rusqlite::Result<()> {
        let connection = &self.work.connection;
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
    }

    /// After a rollback for want of room: what can be had without harm. True: there is more room than
    /// before for such a write.
    fn make_room(&mut self, store: &Store, frees: bool) -> bool {
        let log_bytes = || store.writer.log.file_bytes();
        let before = log_bytes();
        // Without waiting for readers: then the log is emptied by the next write.
        let _ = self.work.connection.busy_timeout(Duration::ZERO);
        let mut moved = self.checkpoint("TRUNCATE");
        // The log is kept so short that the data file can take it up in the reserve's room.
        let gave_up = frees && store.space.give_up();
        if gave_up {
            moved = self.checkpoint("TRUNCATE");
        }
        if let Err(error) = moved {
            tracing::warn!(error = %error, "the log could not be emptied on a full disk");
        }
        let _ = self.work.connection.busy_timeout(super::BUSY_TIMEOUT);
        gave_up || log_bytes() < before
    }
}
