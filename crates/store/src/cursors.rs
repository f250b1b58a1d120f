//! Cursors that plugins have open, each usable by the load of the plugin that opened it only.
//!
//! The driver keeps a cursor's session and server together and closes it on the server when it is
//! dropped here: by `killCursors`, after lying idle, or with its plugin.

use std::{collections::HashMap, time::Duration};

use mongodb::raw_batch_cursor::RawBatchCursor;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{StoreError, StoreErrorKind};

/// `CursorNotFound`, `CursorInUse` of MongoDB, so that drivers' users see what they know.
const CURSOR_NOT_FOUND: i32 = 43;
const CURSOR_IN_USE: i32 = 143;

type Key = (u64, i64);

/// All open cursors, by generation and the server's cursor id.
pub(super) struct Cursors {
    // Held for look-ups only. `None` is a cursor that is being read from.
    open: Mutex<HashMap<Key, Slot>>,
    max_per_owner: usize,
    idle_timeout: Duration,
}

struct Slot {
    cursor: Option<RawBatchCursor>,
    used: Instant,
}

impl Cursors {
    pub(super) fn new(max_per_owner: usize, idle_timeout: Duration) -> Self {
        Self {
            open: Mutex::default(),
            max_per_owner,
            idle_timeout,
        }
    }

    /// Keeps a cursor that has more to give. At the bound the owner's longest unused cursor goes.
    pub(super) fn keep(&self, owner: u64, id: i64, cursor: RawBatchCursor) {
        let mut open = self.open.lock();
        let of_owner = open.keys().filter(|(other, _)| *other == owner).count();
        if of_owner >= self.max_per_owner {
            let oldest = open
                .iter()
                .filter(|((other, _), slot)| *other == owner && slot.cursor.is_some())
                .min_by_key(|(_, slot)| slot.used)
                .map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                open.remove(&oldest);
                tracing::warn!("a plugin has too many open cursors; its oldest was closed");
            }
        }
        open.insert(
            (owner, id),
            Slot {
                cursor: Some(cursor),
                used: Instant::now(),
            },
        );
    }

    /// Takes a cursor for reading; its place is kept.
    pub(super) fn take(&self, owner: u64, id: i64) -> Result<RawBatchCursor, StoreError> {
        let mut open = self.open.lock();
        match open.get_mut(&(owner, id)) {
            Some(slot) => (slot.cursor.take())
                .ok_or_else(|| trouble(CURSOR_IN_USE, format!("cursor id {id} is being used"))),
            None => Err(trouble(
                CURSOR_NOT_FOUND,
                format!("cursor id {id} not found"),
            )),
        }
    }

    /// Puts a cursor back that [`Self::take`] gave. Where it was closed meanwhile, it ends now.
    pub(super) fn put_back(&self, owner: u64, id: i64, cursor: RawBatchCursor) {
        if let Some(slot) = self.open.lock().get_mut(&(owner, id)) {
            slot.cursor = Some(cursor);
            slot.used = Instant::now();
        }
    }

    /// Closes a cursor; whether it was open.
    pub(super) fn close(&self, owner: u64, id: i64) -> bool {
        self.open.lock().remove(&(owner, id)).is_some()
    }

    /// Closes all cursors of a load.
    pub(super) fn close_owner(&self, owner: u64) {
        self.open.lock().retain(|(other, _), _| *other != owner);
    }

    /// Closes what has been idle for too long.
    pub(super) fn close_idle(&self) {
        let idle_timeout = self.idle_timeout;
        (self.open.lock())
            .retain(|_, slot| slot.cursor.is_none() || slot.used.elapsed() < idle_timeout);
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.open.lock().len()
    }
}

fn trouble(code: i32, message: String) -> StoreError {
    StoreError {
        code: Some(code),
        ..StoreError::new(StoreErrorKind::Other, message)
    }
}
