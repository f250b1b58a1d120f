//! Cursors that plugins have open, each usable by the load of the plugin that opened it, and for the
//! app it was opened for, only.
//!
//! The driver keeps a cursor's session and server together and closes it on the server when it is
//! dropped here: by `killCursors`, after lying idle, or with its plugin.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{CommandCaller, StoreError, StoreErrorKind, query::OpenCursor};

/// `CursorNotFound`, `CursorInUse` of MongoDB, so that drivers' users see what they know.
const CURSOR_NOT_FOUND: i32 = 43;
const CURSOR_IN_USE: i32 = 143;

/// All open cursors, by whose they are and the server's cursor id.
pub(super) struct Cursors {
    // Held for look-ups only.
    open: Mutex<HashMap<CommandCaller, Owned>>,
    max_per_owner: usize,
    max_watches_per_owner: usize,
    idle_timeout: Duration,
}

type Owned = HashMap<i64, Slot>;

struct Slot {
    /// `None` while it is being read from.
    cursor: Option<OpenCursor>,
    watches: bool,
    used: Instant,
}

impl Cursors {
    pub(super) fn new(
        max_per_owner: usize,
        max_watches_per_owner: usize,
        idle_timeout: Duration,
    ) -> Self {
        Self {
            open: Mutex::default(),
            max_per_owner,
            max_watches_per_owner,
            idle_timeout,
        }
    }

    /// Keeps a cursor that has more to give. At the bound the owner's longest unused cursor of the
    /// same sort goes.
    pub(super) fn keep(&self, owner: &CommandCaller, id: i64, cursor: OpenCursor) {
        let mut open = self.open.lock();
        let owned = open.entry(owner.clone()).or_default();
        let watches = cursor.watches;
        let bound = if watches {
            self.max_watches_per_owner
        } else {
            self.max_per_owner
        };
        if owned
            .values()
            .filter(|slot| slot.watches == watches)
            .count()
            >= bound
        {
            let oldest = owned
                .iter()
                .filter(|(_, slot)| slot.watches == watches && slot.cursor.is_some())
                .min_by_key(|(_, slot)| slot.used)
                .map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                owned.remove(&oldest);
                tracing::warn!(
                    plugin.name = %owner.plugin,
                    "a plugin has too many open cursors; its oldest was closed"
                );
            }
        }
        owned.insert(
            id,
            Slot {
                cursor: Some(cursor),
                watches,
                used: Instant::now(),
            },
        );
    }

    /// Takes a cursor for reading; its place is kept.
    pub(super) fn take(&self, owner: &CommandCaller, id: i64) -> Result<OpenCursor, StoreError> {
        let mut open = self.open.lock();
        match open.get_mut(owner).and_then(|owned| owned.get_mut(&id)) {
            Some(slot) => (slot.cursor.take())
                .ok_or_else(|| trouble(CURSOR_IN_USE, format!("cursor id {id} is being used"))),
            None => Err(trouble(
                CURSOR_NOT_FOUND,
                format!("cursor id {id} not found"),
            )),
        }
    }

    /// Puts a cursor back that [`Self::take`] gave. Where it was closed meanwhile, it ends now.
    pub(super) fn put_back(&self, owner: &CommandCaller, id: i64, cursor: OpenCursor) {
        let mut open = self.open.lock();
        if let Some(slot) = open.get_mut(owner).and_then(|owned| owned.get_mut(&id)) {
            slot.cursor = Some(cursor);
            slot.used = Instant::now();
        }
    }

    /// Closes a cursor; whether it was open.
    pub(super) fn close(&self, owner: &CommandCaller, id: i64) -> bool {
        let mut open = self.open.lock();
        let Some(owned) = open.get_mut(owner) else {
            return false;
        };
        let was_open = owned.remove(&id).is_some();
        if owned.is_empty() {
            open.remove(owner);
        }
        was_open
    }

    /// Closes all cursors of a load.
    pub(super) fn close_generation(&self, generation: u64) {
        (self.open.lock()).retain(|owner, _| owner.generation != generation);
    }

    /// Closes the cursors of a session.
    pub(super) fn close_session(&self, owner: &CommandCaller, session: i64) {
        if let Some(owned) = self.open.lock().get_mut(owner) {
            owned.retain(|_, slot| {
                slot.cursor.as_ref().and_then(OpenCursor::session) != Some(session)
            });
        }
    }

    /// Closes what has been idle for too long.
    pub(super) fn close_idle(&self) {
        let idle_timeout = self.idle_timeout;
        self.open.lock().retain(|_, owned| {
            owned.retain(|_, slot| slot.cursor.is_none() || slot.used.elapsed() < idle_timeout);
            !owned.is_empty()
        });
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.lock().values().map(HashMap::len).sum()
    }
}

pub(super) fn trouble(code: i32, message: String) -> StoreError {
    StoreError {
        code: Some(code),
        ..StoreError::new(StoreErrorKind::Other, message)
    }
}
