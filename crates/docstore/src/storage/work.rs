//! What any write works with, be it the writer's or a multi-document transaction's: a connection
//! with an open SQLite transaction, and what that has changed beside the tables.

use std::{collections::HashMap, sync::Arc};

use rusqlite::Connection;

use super::catalog::{Catalog, Contents};

/// A connection and the state of its open transaction.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) connection: Connection,
    /// The catalogue as the open transaction sees it.
    pub(super) catalog: Arc<Catalog>,
    /// What the open transaction does to the counters: documents and bytes by collection number.
    pub(super) deltas: HashMap<i64, (i64, i64)>,
    /// How many change events the open transaction wrote.
    pub(super) events: u64,
    /// What the open transaction notes of indexes in the file.
    pub(super) noted: Vec<(Arc<Contents>, u64)>,
}

impl Work {
    pub(super) fn new(connection: Connection, catalog: Arc<Catalog>) -> Self {
        Self {
            connection,
            catalog,
            deltas: HashMap::new(),
            events: 0,
            noted: Vec::new(),
        }
    }

    /// Undoes the open transaction; the catalogue becomes `catalog` again.
    pub(super) fn roll_back(&mut self, catalog: &Arc<Catalog>) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = %error, "rollback failed");
        }
        self.deltas.clear();
        self.noted.clear();
        self.events = 0;
        self.catalog = Arc::clone(catalog);
    }
}
