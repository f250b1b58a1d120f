//! Multi-document transactions.
//!
//! A transaction reads one snapshot of the file and writes into temporary tables of its own
//! connection (`overlay`), so that it holds up nobody. What it writes is locked (`open`):
//! another transaction that wants the same document fails at once with `WriteConflict`, a write
//! outside of transactions waits. At the commit the writer does to the file what was written
//! (`apply`).

mod apply;
pub(super) mod open;
pub(super) mod overlay;

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

use bson::doc;

use self::overlay::Overlay;
use super::{
    DATA_FILE, Durability, Store, open_connection,
    work::Work,
    writer::{WriteTxn, WriterState},
};
use crate::{
    bail,
    error::{Code, CommandError, Result},
};

/// A session's identifier (`lsid.id`) and its transaction's number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransactionKey {
    /// The bytes of `lsid.id`.
    pub session: Vec<u8>,
    /// `txnNumber`.
    pub number: i64,
}

/// An open transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    work: Work,
    overlay: Overlay,
}

impl Store {
    /// Begins a transaction; it sees what is committed now.
    pub fn begin_transaction(&self, key: TransactionKey, deadline: Option<Instant>) -> Result<()> {
        match self.transactions.number_of(&key.session) {
            Some(number) if number == key.number => return Err(open::already_started(&key)),
            // A new transaction of a session ends its last one.
            Some(_) => {
                self.transactions.end_of_session(&key.session, None);
            }
            None => {}
        }
        self.transactions.end_overlong();
        let connection = self.transaction_connection()?;
        let mut state = self.lock_writer(deadline)?;
        // What is not committed yet must not be missing from the snapshot and from the checks.
        state.commit(self)?;
        connection.execute_batch("BEGIN; SELECT count(*) FROM meta;")?;
        let catalog = state.catalog();
        let id = self.transactions.next_id();
        let transaction = Transaction {
            work: Work::new(connection, catalog),
            overlay: Overlay::new(id, key.clone(), self.options.max_transaction_bytes),
        };
        let until = Instant::now() + Duration::from_millis(self.options.transaction_lifetime_ms);
        let max = self.options.max_transactions;
        self.transactions.add(id, key, transaction, until, max)
    }

    fn transaction_connection(&self) -> Result<rusqlite::Connection> {
        let mut options = self.options.clone();
        options.cache_bytes = options.cache_bytes.min(2 << 20);
        let connection = open_connection(&options.path.join(DATA_FILE), &options, false)?;
        connection.execute_batch("PRAGMA wal_autocheckpoint=0")?;
        Ok(connection)
    }

    /// Runs `job` within the transaction. A failure ends the transaction.
    pub fn in_transaction<T>(
        &self,
        key: &TransactionKey,
        deadline: Option<Instant>,
        job: impl FnOnce(&mut WriteTxn<'_>) -> Result<T>,
    ) -> Result<T> {
        let transaction = self.transactions.find(key)?;
        let mut transaction = match deadline {
            None => transaction.lock(),
            Some(deadline) => match transaction.try_lock_until(deadline) {
                Some(transaction) => transaction,
                None => bail!(MaxTimeMSExpired, "operation exceeded time limit"),
            },
        };
        let id = transaction.overlay.id;
        let Transaction { work, overlay } = &mut *transaction;
        overlay.fresh.clear();
        let mut txn = WriteTxn::private(work, overlay, self);
        let result = match catch_unwind(AssertUnwindSafe(|| txn.run_private(job))) {
            Ok(result) => result,
            Err(panic) => {
                self.transactions.end(id);
                resume_unwind(panic)
            }
        };
        let result = result.and_then(|value| {
            if !transaction.overlay.fresh.is_empty() {
                let mut state = self.lock_writer(deadline)?;
                let unchanged = apply::check_unchanged(&state.view(self), &transaction);
                self.release_writer(state);
                unchanged?;
            }
            Ok(value)
        });
        if result.is_err() {
            self.transactions.end(id);
        }
        result
    }

    /// Commits the transaction; once more where it was committed before, because a client that lost
    /// the answer asks again. `flush` waits until the log is on the disk.
    pub fn commit_transaction(
        &self,
        key: &TransactionKey,
        flush: bool,
        deadline: Option<Instant>,
    ) -> Result<()> {
        self.transactions.end_overlong();
        let Some(transaction) = self.transactions.take(key) else {
            return self.was_committed(key);
        };
        let transaction = transaction.lock();
        let committed = self.commit_taken(&transaction, flush, deadline);
        self.transactions.end(transaction.overlay.id);
        committed
    }

    fn commit_taken(
        &self,
        transaction: &Transaction,
        flush: bool,
        deadline: Option<Instant>,
    ) -> Result<()> {
        let key = &transaction.overlay.key;
        if transaction.overlay.is_empty() {
            self.transactions.remember_without_writes(key);
            return Ok(());
        }
        let flush = flush || self.writer.durability == Durability::Full;
        let mut state = self.lock_writer(deadline)?;
        state.commit(self)?;
        state.begin()?;
        let applied = state.run_alone(self, &mut |txn| {
            apply::apply(txn, transaction)?;
            txn.keep_result(key, &doc! { "ok": 1.0 })
        });
        match applied {
            Ok(()) => {
                state.flush |= flush;
                state.commit(self)?.tell(flush, Ok(()))
            }
            Err(error) => {
                state.roll_back();
                Err(error)
            }
        }
    }

    fn was_committed(&self, key: &TransactionKey) -> Result<()> {
        if self.transactions.was_without_writes(key) {
            return Ok(());
        }
        let reader = self.reader()?;
        let known = reader
            .prepare_cached("SELECT 1 FROM results WHERE session = ?1 AND number = ?2")?
            .exists((&key.session, key.number))?;
        if known { Ok(()) } else { Err(no_such(key)) }
    }

    /// Undoes the transaction.
    pub fn abort_transaction(&self, key: &TransactionKey) -> Result<()> {
        let number = Some(key.number);
        if self.transactions.end_of_session(&key.session, number) {
            return Ok(());
        }
        Err(no_such(key))
    }

    /// Undoes transactions that are over their time; called now and then.
    pub fn expire_transactions(&self) {
        self.transactions.end_overlong();
    }

    /// Undoes the transaction of a session that ends, if it has one.
    pub fn end_session(&self, session: &[u8]) {
        self.transactions.end_of_session(session, None);
    }

    /// How many transactions are open.
    pub fn open_transactions(&self) -> usize {
        self.transactions.count()
    }
}

impl WriterState {
    /// The writer as a transaction looks at it to see what has changed.
    fn view<'a>(&'a mut self, store: &'a Store) -> WriteTxn<'a> {
        WriteTxn::direct(&mut self.work, store)
    }
}

fn no_such(key: &TransactionKey) -> CommandError {
    CommandError::new(
        Code::NoSuchTransaction,
        format!(
            "Given transaction number {} does not match any in-progress transactions.",
            key.number
        ),
    )
}

/// The error for a document that somebody else has written.
pub(super) fn conflict() -> CommandError {
    CommandError::new(
        Code::WriteConflict,
        "WriteConflict error: this operation conflicted with another operation. Please retry your operation or multi-document transaction.",
    )
}

/// Refuses what cannot run within a transaction.
pub fn refuse_in_transaction(command: &str) -> Result<()> {
    bail!(
        OperationNotSupportedInTransaction,
        "Cannot run '{command}' in a multi-document transaction."
    )
}
