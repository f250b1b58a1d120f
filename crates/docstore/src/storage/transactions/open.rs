//! The open transactions and what they have locked.
//!
//! A lock is the key of a document in a unique index (`_id` is one), or the name of a collection
//! that a transaction makes. Another transaction that wants it fails at once; a write outside of
//! transactions waits until the owner has ended. Reads take no locks.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{Transaction, TransactionKey, conflict, no_such};
use crate::{
    bail,
    error::{CommandError, Result},
};

/// Ended transactions that wrote nothing are remembered, so that a repeated commit succeeds.
const REMEMBERED: usize = 1000;

/// What one transaction has and others must not write.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::storage) enum Lock {
    /// A key of a unique index.
    Key {
        collection: i64,
        index: i64,
        key: Vec<u8>,
    },
    /// A collection that is being made.
    Namespace(String),
}

/// All open transactions.
#[derive(Debug, Default)]
pub(in crate::storage) struct Transactions {
    state: Mutex<State>,
    /// How many locks there are: writes look no further where there are none.
    locks: AtomicUsize,
    /// Told when a transaction ended.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Those that take statements, by session.
    by_session: HashMap<Vec<u8>, Entry>,
    /// What each has locked, those included that are being committed.
    running: HashMap<u64, Held>,
    locks: HashMap<Arc<Lock>, u64>,
    last_id: u64,
    /// Committed ones that wrote nothing.
    without_writes: VecDeque<TransactionKey>,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    key: TransactionKey,
    transaction: Arc<Mutex<Transaction>>,
}

#[derive(Debug)]
struct Held {
    until: Instant,
    locks: Vec<Arc<Lock>>,
    collections: HashSet<i64>,
}

impl State {
    /// Forgets a transaction. Its connection closes when its running statement lets go of it.
    fn end(&mut self, id: u64) -> Option<Entry> {
        for lock in self.running.remove(&id)?.locks {
            self.locks.remove(&lock);
        }
        let session = self.by_session.iter().find(|(_, entry)| entry.id == id);
        let session = session.map(|(session, _)| session.clone())?;
        self.by_session.remove(&session)
    }

    fn overlong(&self) -> Vec<u64> {
        let now = Instant::now();
        let open = self.by_session.values().map(|entry| entry.id);
        open.filter(|id| self.running.get(id).is_some_and(|held| held.until <= now))
            .collect()
    }
}

impl Transactions {
    /// The number of the next transaction.
    pub(super) fn next_id(&self) -> u64 {
        let mut state = self.state.lock();
        state.last_id += 1;
        state.last_id
    }

    /// Adds a transaction that has just begun.
    pub(super) fn add(
        &self,
        id: u64,
        key: TransactionKey,
        transaction: Transaction,
        until: Instant,
        max: usize,
    ) -> Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            bail!(InterruptedAtShutdown, "the store is closed");
        }
        if state.by_session.len() >= max {
            bail!(
                LockTimeout,
                "Unable to start a transaction: {max} are open already"
            );
        }
        let held = Held {
            until,
            locks: Vec::new(),
            collections: HashSet::new(),
        };
        state.running.insert(id, held);
        let entry = Entry {
            id,
            key: key.clone(),
            transaction: Arc::new(Mutex::new(transaction)),
        };
        let before = state.by_session.insert(key.session, entry);
        drop(state);
        if let Some(before) = before {
            self.end(before.id);
        }
        Ok(())
    }

    /// The open transaction of a session, by its number.
    pub(super) fn number_of(&self, session: &[u8]) -> Option<i64> {
        let state = self.state.lock();
        state.by_session.get(session).map(|entry| entry.key.number)
    }

    pub(super) fn find(&self, key: &TransactionKey) -> Result<Arc<Mutex<Transaction>>> {
        self.end_overlong();
        let state = self.state.lock();
        match state.by_session.get(&key.session) {
            Some(entry) if entry.key == *key => Ok(Arc::clone(&entry.transaction)),
            _ => Err(no_such(key)),
        }
    }

    /// Takes a transaction out to be committed: it keeps its locks, and nothing else reaches it.
    pub(super) fn take(&self, key: &TransactionKey) -> Option<Arc<Mutex<Transaction>>> {
        let mut state = self.state.lock();
        if state.by_session.get(&key.session)?.key != *key {
            return None;
        }
        let entry = state.by_session.remove(&key.session)?;
        Some(entry.transaction)
    }

    /// Ends a transaction: its locks are free.
    pub(super) fn end(&self, id: u64) {
        let mut state = self.state.lock();
        let ended = state.end(id);
        self.locks.store(state.locks.len(), Ordering::SeqCst);
        drop(state);
        self.ended.notify_all();
        // Closes its connection, which must not hold up the others.
        drop(ended);
    }

    /// Ends the transaction of a session; whether there was one with that number (any number).
    pub(super) fn end_of_session(&self, session: &[u8], number: Option<i64>) -> bool {
        let state = self.state.lock();
        let found = state.by_session.get(session);
        let id = found
            .filter(|entry| number.is_none_or(|number| entry.key.number == number))
            .map(|entry| entry.id);
        drop(state);
        if let Some(id) = id {
            self.end(id);
        }
        id.is_some()
    }

    /// Ends those that are over their time.
    pub(super) fn end_overlong(&self) {
        let overlong = self.state.lock().overlong();
        for id in overlong {
            tracing::warn!("a transaction was over its time and is undone");
            self.end(id);
        }
    }

    /// Ends all and lets none begin.
    pub(in crate::storage) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let all: Vec<u64> = state.by_session.values().map(|entry| entry.id).collect();
        drop(state);
        for id in all {
            self.end(id);
        }
        self.ended.notify_all();
    }

    /// Locks something for a transaction. True: it is new to it. Fails where another has it.
    pub(super) fn lock(&self, id: u64, lock: &Arc<Lock>) -> Result<bool> {
        let mut state = self.state.lock();
        match state.locks.get(lock) {
            Some(owner) if *owner == id => return Ok(false),
            Some(_) => return Err(conflict()),
            None => {}
        }
        let Some(held) = state.running.get_mut(&id) else {
            bail!(NoSuchTransaction, "The transaction has been ended.")
        };
        held.locks.push(Arc::clone(lock));
        if let Lock::Key { collection, .. } = &**lock {
            held.collections.insert(*collection);
        }
        state.locks.insert(Arc::clone(lock), id);
        self.locks.store(state.locks.len(), Ordering::SeqCst);
        Ok(true)
    }

    /// Whether anything is locked.
    pub(in crate::storage) fn any_locks(&self) -> bool {
        self.locks.load(Ordering::SeqCst) > 0
    }

    /// The transaction that has this locked.
    pub(in crate::storage) fn owner(&self, lock: &Lock) -> Option<u64> {
        self.state.lock().locks.get(lock).copied()
    }

    /// A transaction that wrote into the collection.
    pub(in crate::storage) fn writer_of(&self, collection: i64) -> Option<u64> {
        let state = self.state.lock();
        let mut running = state.running.iter();
        let found = running.find(|(_, held)| held.collections.contains(&collection));
        found.map(|(id, _)| *id)
    }

    /// Waits until a transaction has ended. Whoever waits ends overlong ones itself: the background
    /// may be waiting too.
    pub(in crate::storage) fn wait_for_end(
        &self,
        id: u64,
        deadline: Option<Instant>,
    ) -> Result<()> {
        loop {
            self.end_overlong();
            let mut state = self.state.lock();
            if state.closed {
                bail!(InterruptedAtShutdown, "the store is closed");
            }
            let Some(held) = state.running.get(&id) else {
                return Ok(());
            };
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                bail!(
                    MaxTimeMSExpired,
                    "operation exceeded time limit while it waited for a transaction"
                );
            }
            // One that is being committed may be over its time.
            let until = held.until.max(now + Duration::from_millis(100));
            let until = deadline.map_or(until, |deadline| deadline.min(until));
            self.ended.wait_until(&mut state, until);
        }
    }

    pub(super) fn remember_without_writes(&self, key: &TransactionKey) {
        let mut state = self.state.lock();
        if state.without_writes.len() >= REMEMBERED {
            state.without_writes.pop_front();
        }
        state.without_writes.push_back(key.clone());
    }

    pub(super) fn was_without_writes(&self, key: &TransactionKey) -> bool {
        self.state.lock().without_writes.contains(key)
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.state.lock().by_session.len()
    }
}

/// Refuses a second start under the same number.
pub(super) fn already_started(key: &TransactionKey) -> CommandError {
    CommandError::location(
        50911,
        format!(
            "Cannot start transaction {} on the session: it has been started already",
            key.number
        ),
    )
}
