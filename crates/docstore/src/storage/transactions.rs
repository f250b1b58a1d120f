//! Multi-document transactions: the first statement takes the writer for itself, commit or abort
//! lets go of it. Others wait meanwhile, so a transaction has a time limit.

use std::time::{Duration, Instant};

use super::{Store, writer::WriteTxn};
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

    /// Commits the transaction.
    pub fn commit_transaction(&self, key: &TransactionKey) -> Result<()> {
        let mut state = self.writer.state.lock();
        if state.held.as_ref().is_none_or(|held| held.key != *key) {
            return Err(no_such(key));
        }
        state.held = None;
        let committed = state.commit(self);
        self.writer.released.notify_all();
        committed
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
        let mut state = self.writer.state.lock();
        if state
            .held
            .as_ref()
            .is_some_and(|held| held.until <= Instant::now())
        {
            tracing::warn!("a transaction was over its time and is undone");
            state.held = None;
            state.roll_back();
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
