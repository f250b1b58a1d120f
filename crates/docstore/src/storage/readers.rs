//! A bounded pool of connections for snapshot reads.

use std::{ops::Deref, path::PathBuf};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::{StoreOptions, open_connection};
use crate::{
    bail,
    error::{CommandError, Result},
};

/// Connections that are kept though they are not used.
const KEPT: usize = 2;

/// The pool. The last connection given back is the first to be given out: its cache is warm.
#[derive(Debug)]
pub(super) struct Readers {
    file: PathBuf,
    options: StoreOptions,
    state: Mutex<State>,
    /// Told when a connection came back.
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    /// Connections that exist, idle or out.
    open: usize,
    /// The fewest that were idle since [`Readers::shrink`] looked last.
    unused: usize,
    closed: bool,
}

impl Readers {
    pub(super) fn new(file: PathBuf, options: StoreOptions) -> Self {
        Self {
            file,
            options,
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    pub(super) fn get(&self) -> Result<Reader<'_>> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                bail!(InterruptedAtShutdown, "the store is closed");
            }
            if let Some(connection) = state.idle.pop() {
                state.unused = state.unused.min(state.idle.len());
                return Ok(Reader {
                    pool: self,
                    connection: Some(connection),
                });
            }
            if state.open < self.options.max_readers.max(1) {
                state.open += 1;
                drop(state);
                return match self.open() {
                    Ok(connection) => Ok(Reader {
                        pool: self,
                        connection: Some(connection),
                    }),
                    Err(error) => {
                        self.state.lock().open -= 1;
                        self.returned.notify_one();
                        Err(error)
                    }
                };
            }
            self.returned.wait(&mut state);
        }
    }

    fn open(&self) -> Result<Connection, CommandError> {
        let connection = open_connection(&self.file, &self.options, false)?;
        connection.execute_batch("PRAGMA wal_autocheckpoint=0")?;
        Ok(connection)
    }

    /// Closes connections that nobody needed since the last call, but for a few: each has a page
    /// cache and prepared statements. Whether there were any.
    pub(super) fn shrink(&self) -> bool {
        let mut state = self.state.lock();
        let unused = state.unused.min(state.idle.len());
        let surplus: Vec<Connection> = state.idle.drain(..unused.saturating_sub(KEPT)).collect();
        state.open -= surplus.len();
        state.unused = state.idle.len();
        drop(state);
        !surplus.is_empty()
    }

    /// Closes idle connections and, as they come back, the others.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.open -= state.idle.len();
        state.idle.clear();
        self.returned.notify_all();
    }
}

/// A connection out of the pool; goes back when dropped.
#[derive(Debug)]
pub struct Reader<'a> {
    pool: &'a Readers,
    connection: Option<Connection>,
}

impl Reader<'_> {
    /// Makes all following reads see one state of the data, until [`Self::end_snapshot`] or drop.
    pub fn begin_snapshot(&self) -> Result<()> {
        self.prepare_cached("BEGIN")?.execute([])?;
        Ok(())
    }

    /// Ends [`Self::begin_snapshot`].
    pub fn end_snapshot(&self) -> Result<()> {
        if !self.is_autocommit() {
            self.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("invariant: a reader has its connection until dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let clean = self.end_snapshot().is_ok();
        let connection = self.connection.take();
        let mut state = self.pool.state.lock();
        match connection {
            Some(connection) if clean && !state.closed => state.idle.push(connection),
            _ => state.open -= 1,
        }
        self.pool.returned.notify_one();
    }
}
