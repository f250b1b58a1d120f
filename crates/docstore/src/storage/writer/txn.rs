//! The open transaction, as a write sees it.

use std::sync::Arc;

use bson::Document;
use rusqlite::Connection;

use super::WriterState;
use crate::{
    error::{Code, CommandError, Result},
    storage::{
        Store,
        catalog::{Catalog, decode},
        changes::now_ms,
        transactions::TransactionKey,
    },
};

/// What a write works on: the open transaction.
pub struct WriteTxn<'a> {
    pub(in crate::storage) state: &'a mut WriterState,
    pub(in crate::storage) store: &'a Store,
    /// Why the transaction cannot go on.
    pub(super) broken: Option<CommandError>,
}

impl WriteTxn<'_> {
    /// The connection; sees what the transaction did.
    pub fn connection(&self) -> &Connection {
        &self.state.connection
    }

    /// The store that is written to.
    pub fn store(&self) -> &Store {
        self.store
    }

    /// The catalogue as the transaction sees it.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.state.catalog)
    }

    /// Runs `statement`; if it fails, everything that it did is undone.
    pub fn atomically<T>(&mut self, statement: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let catalog = Arc::clone(&self.state.catalog);
        let deltas = self.state.deltas.clone();
        let events = self.state.events;
        let multikeys = self.state.multikeys.len();
        let given = self.store.changes.given();
        self.batch("SAVEPOINT s")?;
        match statement(self) {
            Ok(value) => {
                self.batch("RELEASE s")?;
                Ok(value)
            }
            Err(error) => {
                if self.broken.is_none() && !self.connection().is_autocommit() {
                    self.batch("ROLLBACK TO s")?;
                    self.batch("RELEASE s")?;
                }
                self.state.catalog = catalog;
                self.state.deltas = deltas;
                self.state.events = events;
                self.state.multikeys.truncate(multikeys);
                // A number that is given out must not be the last one without an event.
                self.store.changes.take_back(given);
                Err(error)
            }
        }
    }

    fn batch(&mut self, sql: &str) -> Result<()> {
        let done = self
            .connection()
            .prepare_cached(sql)
            .and_then(|mut s| s.execute([]));
        self.check(done).map(|_| ())
    }

    /// Passes a result on; notes failures after which the transaction cannot go on.
    pub(in crate::storage) fn check<T>(&mut self, result: rusqlite::Result<T>) -> Result<T> {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, OutOfMemory, SystemIoFailure};
        result.map_err(|error| {
            let fatal = matches!(
                error.sqlite_error_code(),
                Some(DiskFull | SystemIoFailure | OutOfMemory | DatabaseCorrupt)
            );
            let error = CommandError::from(error);
            if fatal {
                self.broken = Some(error.clone());
            }
            error
        })
    }

    /// The answer of a retryable write that was done before: the session's last one, if it has
    /// this number.
    pub fn earlier_result(&self, key: &TransactionKey) -> Result<Option<Document>> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT number, reply FROM results WHERE session = ?1")?;
        let mut rows = statement.query([&key.session])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let number: i64 = row.get(0)?;
        if number > key.number {
            return Err(CommandError::location(
                225,
                format!(
                    "Cannot start transaction {} on session because a newer one ({number}) was started",
                    key.number
                ),
            ));
        }
        if number < key.number {
            return Ok(None);
        }
        decode(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?).map(Some)
    }

    /// Keeps the answer of a retryable write, in the same transaction as the write.
    pub fn keep_result(&mut self, key: &TransactionKey, reply: &Document) -> Result<()> {
        let bytes = reply
            .to_vec()
            .map_err(|error| CommandError::new(Code::InternalError, error.to_string()))?;
        self.execute(
            "INSERT INTO results (session, number, time_ms, reply) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (session) DO UPDATE SET number = ?2, time_ms = ?3, reply = ?4",
            (&key.session, key.number, now_ms(), bytes),
        )?;
        Ok(())
    }

    /// Counts documents and bytes of a collection.
    pub(in crate::storage) fn count(&mut self, collection: i64, docs: i64, bytes: i64) {
        let entry = self.state.deltas.entry(collection).or_default();
        entry.0 += docs;
        entry.1 += bytes;
    }

    pub(in crate::storage) fn forget_counts(&mut self, collection: i64) {
        self.state.deltas.remove(&collection);
    }

    pub(in crate::storage) fn set_catalog(&mut self, catalog: Catalog) {
        self.state.catalog = Arc::new(catalog);
    }

    pub(in crate::storage) fn next_id(&mut self) -> i64 {
        let id = self.state.next_id;
        self.state.next_id += 1;
        id
    }

    pub(in crate::storage) fn count_event(&mut self) {
        self.state.events += 1;
    }
}
