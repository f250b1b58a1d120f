//! The open transaction, as a write sees it.

use std::sync::{Arc, atomic::Ordering};

use bson::Document;
use rusqlite::Connection;

use crate::{
    error::{Code, CommandError, Result},
    storage::{
        Store,
        catalog::{Catalog, decode},
        changes::now_ms,
        transactions::{TransactionKey, conflict, overlay::Overlay},
        work::Work,
    },
};

/// What a write works on: the open transaction of the writer, or a multi-document transaction.
pub struct WriteTxn<'a> {
    pub(in crate::storage) work: &'a mut Work,
    pub(in crate::storage) store: &'a Store,
    /// The private writes, in a multi-document transaction.
    pub(in crate::storage) overlay: Option<&'a mut Overlay>,
    /// Why the transaction cannot go on.
    pub(super) broken: Option<CommandError>,
    /// The multi-document transaction that has locked what is to be written.
    pub(super) blocked_by: Option<u64>,
}

impl<'a> WriteTxn<'a> {
    /// A write to the file.
    pub(in crate::storage) fn direct(work: &'a mut Work, store: &'a Store) -> Self {
        Self {
            work,
            store,
            overlay: None,
            broken: None,
            blocked_by: None,
        }
    }

    /// A write within a multi-document transaction.
    pub(in crate::storage) fn private(
        work: &'a mut Work,
        overlay: &'a mut Overlay,
        store: &'a Store,
    ) -> Self {
        Self {
            overlay: Some(overlay),
            ..Self::direct(work, store)
        }
    }
}

impl WriteTxn<'_> {
    /// The connection; sees what the transaction did.
    pub fn connection(&self) -> &Connection {
        &self.work.connection
    }

    /// Notes that a transaction has locked what is to be written: this run is in vain.
    pub(in crate::storage) fn blocked(&mut self, by: u64) -> CommandError {
        self.blocked_by = Some(by);
        conflict()
    }

    /// Runs `job`; what it did is undone where it was blocked.
    pub(super) fn unless_blocked<T>(
        &mut self,
        job: &mut impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.atomically(|txn| {
            let result = job(txn);
            match txn.blocked_by {
                Some(_) => Err(conflict()),
                None => Ok(result),
            }
        })?
    }

    /// Runs a statement of a multi-document transaction.
    pub(in crate::storage) fn run_private<T>(
        &mut self,
        job: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let result = job(self)?;
        self.work.deltas.clear();
        match self.broken.take() {
            Some(error) => Err(error),
            None => Ok(result),
        }
    }

    /// The store that is written to.
    pub fn store(&self) -> &Store {
        self.store
    }

    /// The catalogue as the transaction sees it.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.work.catalog)
    }

    /// Runs `statement`; if it fails, everything that it did is undone.
    pub fn atomically<T>(&mut self, statement: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let catalog = Arc::clone(&self.work.catalog);
        let deltas = self.work.deltas.clone();
        let events = self.work.events;
        let noted = self.work.noted.len();
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
                self.work.catalog = catalog;
                self.work.deltas = deltas;
                self.work.events = events;
                self.work.noted.truncate(noted);
                if self.overlay.is_some() {
                    // Its private tables may be among what was undone: it ends.
                    self.broken.get_or_insert_with(|| error.clone());
                    return Err(error);
                }
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
        let entry = self.work.deltas.entry(collection).or_default();
        entry.0 += docs;
        entry.1 += bytes;
    }

    pub(in crate::storage) fn forget_counts(&mut self, collection: i64) {
        self.work.deltas.remove(&collection);
    }

    pub(in crate::storage) fn set_catalog(&mut self, catalog: Catalog) {
        self.work.catalog = Arc::new(catalog);
    }

    pub(in crate::storage) fn next_id(&mut self) -> i64 {
        self.store.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(in crate::storage) fn count_event(&mut self) {
        self.work.events += 1;
    }
}
