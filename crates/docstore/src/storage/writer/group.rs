//! Writes that share one commit, and how they hear of its end.

use parking_lot::{Condvar, Mutex};

use crate::{bail, error::Result};

/// How a group ended, for those of its members who wait for that.
#[derive(Debug, Default)]
pub(super) struct Group {
    outcome: Mutex<Option<Outcome>>,
    ended: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) enum Outcome {
    Committed,
    /// Committed, but the log could not be flushed to the disk.
    Unflushed,
    /// Rolled back through no fault of the member: run again, alone.
    Retry,
}

impl Outcome {
    /// What a member is told whose write ended with `result` and that wanted the log flushed, or not.
    /// A write that is committed must not run again, whatever became of the flush.
    pub(in crate::storage) fn tell<T>(self, flush: bool, result: Result<T>) -> Result<T> {
        if self == Outcome::Unflushed && flush && result.is_ok() {
            bail!(
                WriteConcernFailed,
                "the write is done, but the log could not be flushed to the disk"
            );
        }
        result
    }
}

impl Group {
    pub(super) fn end(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.ended.notify_all();
    }

    pub(super) fn wait(&self) -> Outcome {
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(outcome) = *outcome {
                return outcome;
            }
            self.ended.wait(&mut outcome);
        }
    }
}
