//! Multi-document transactions: the first statement takes the writer for itself, commit or abort
//! lets go of it. Others wait meanwhile, so a transaction has a time limit.

use std::time::{Duration, Instant};

use bson::doc;

use super::{
    Durability, Store,
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

/// A transaction that has the writer.
#[derive(Debug)]
pub(super) struct Held {
    key: TransactionKey,
    until: Instant,
}

impl Held {
    /// When its time is over.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

impl WriterState {
    /// Undoes the transaction that has the writer, if it is over its time; whether it was.
    pub(super) fn undo_overlong(&mut self) -> bool {
        if self
            .held
            .as_ref()
            .is_none_or(|held| held.until > Instant::now())
        {
            return false;
        }
        tracing::warn!("a transaction was over its time and is undone");
        self.held = None;
        self.roll_back();
        true
    }
}

impl Store {
    /// Takes the writer for a transaction; waits while another has it.
    pub fn begin_transaction(&self, key: TransactionKey) -> Result<()> {
        let mut state = self.writer.state.lock();
        if state
            .held
            .as_ref()
            .is_some_and(|held| held.key.session == key.session)
        {
            // A new transaction of a session ends its last one.
            state.held = None;
            state.roll_back();
            self.writer.released.notify_all();
        }
        drop(state);
        let mut state = self.writer.lock_free()?;
        state.commit(self)?;
        state.begin()?;
        let lifetime = Duration::from_millis(self.options.transaction_lifetime_ms);
        state.held = Some(Held {
            key,
            until: Instant::now() + lifetime,
        });
        Ok(())
    }

    /// Runs `job` within the transaction. A failure ends the transaction.
    pub fn in_transaction<T>(
        &self,
        key: &TransactionKey,
        mut job: impl FnMut(&mut WriteTxn<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.writer.state.lock();
        if state.held.as_ref().is_none_or(|held| held.key != *key) {
            return Err(no_such(key));
        }
        let result = state.run_held(self, &mut job);
        if result.is_err() {
            state.roll_back();
            state.held = None;
            self.writer.released.notify_all();
        }
        result
    }

    /// Commits the transaction; once more where it was committed before, because a client that lost
    /// the answer asks again. `flush` waits until the log is on the disk.
    pub fn commit_transaction(&self, key: &TransactionKey, flush: bool) -> Result<()> {
        let mut state = self.writer.state.lock();
        if state.held.as_ref().is_none_or(|held| held.key != *key) {
            drop(state);
            return self.was_committed(key);
        }
        let kept = state.run_held(self, &mut |txn| txn.keep_result(key, &doc! { "ok": 1.0 }));
        state.held = None;
        let flush = flush || self.writer.durability == Durability::Full;
        let committed = match kept {
            Ok(()) => {
                state.flush |= flush;
                state.commit(self)
            }
            Err(error) => {
                state.roll_back();
                Err(error)
            }
        };
        self.writer.released.notify_all();
        committed?.tell(flush, Ok(()))
    }

    fn was_committed(&self, key: &TransactionKey) -> Result<()> {
        let reader = self.reader()?;
        let known = reader
            .prepare_cached("SELECT 1 FROM results WHERE session = ?1 AND number = ?2")?
            .exists((&key.session, key.number))?;
        if known { Ok(()) } else { Err(no_such(key)) }
    }

    /// Undoes the transaction.
    pub fn abort_transaction(&self, key: &TransactionKey) -> Result<()> {
        let mut state = self.writer.state.lock();
        if state.held.as_ref().is_none_or(|held| held.key != *key) {
            return Err(no_such(key));
        }
        state.held = None;
        state.roll_back();
        self.writer.released.notify_all();
        Ok(())
    }

    /// Undoes a transaction that is over its time; called now and then.
    pub fn expire_transaction(&self) {
        if self.writer.state.lock().undo_overlong() {
            self.writer.released.notify_all();
        }
    }

    /// Undoes the transaction of a session that ends, if it has one.
    pub fn end_session(&self, session: &[u8]) {
        let mut state = self.writer.state.lock();
        if state
            .held
            .as_ref()
            .is_some_and(|held| held.key.session == session)
        {
            state.held = None;
            state.roll_back();
            self.writer.released.notify_all();
        }
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

/// Refuses what cannot run within a transaction.
pub fn refuse_in_transaction(command: &str) -> Result<()> {
    bail!(
        OperationNotSupportedInTransaction,
        "Cannot run '{command}' in a multi-document transaction."
    )
}
