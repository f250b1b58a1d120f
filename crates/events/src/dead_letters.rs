//! Deliveries that failed for good.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use super::{Event, SubscriptionId, iso_8601};

/// A delivery that failed for good.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Unique in the process.
    pub id: u64,
    /// What could not be delivered.
    pub event: Arc<Event>,
    /// The plugin, or the part of the gateway, that failed on it.
    pub subscriber: Arc<str>,
    /// The pattern it had subscribed to.
    pub pattern: Arc<str>,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt said.
    pub error: Arc<str>,
    /// When it was given up.
    pub failed_at: SystemTime,
    /// Where a retry goes.
    pub(super) address: Address,
}

impl DeadLetter {
    /// When it was given up, in ISO 8601, UTC.
    pub fn failed_at_timestamp(&self) -> String {
        iso_8601(self.failed_at)
    }
}

/// Finds a subscription again, also after its plugin was loaded anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) subscription: SubscriptionId,
    /// Which of its owner's subscriptions to the same pattern it was.
    pub(super) ordinal: usize,
}

/// The letters, oldest first.
pub(super) struct DeadLetters {
    letters: VecDeque<DeadLetter>,
    bytes: usize,
    next_id: u64,
    dropped: u64,
    max_letters: usize,
    max_bytes: usize,
}

impl DeadLetters {
    pub(super) fn new(max_letters: usize, max_bytes: usize) -> Self {
        Self {
            letters: VecDeque::new(),
            bytes: 0,
            next_id: 1,
            dropped: 0,
            max_letters,
            max_bytes,
        }
    }

    /// Keeps a letter under a new id.
    pub(super) fn add(&mut self, mut letter: DeadLetter) {
        letter.id = self.next_id;
        self.next_id += 1;
        self.bytes += size_bytes(&letter);
        self.letters.push_back(letter);
        while self.letters.len() > self.max_letters || self.bytes > self.max_bytes {
            let Some(oldest) = self.letters.pop_front() else {
                break;
            };
            self.bytes -= size_bytes(&oldest);
            self.dropped += 1;
        }
    }

    /// The letters of an app (or of all), newest first.
    pub(super) fn read(
        &self,
        app_id: Option<&str>,
        limit: usize,
        offset: usize,
    ) -> Vec<DeadLetter> {
        self.letters
            .iter()
            .rev()
            .filter(|letter| of_app(letter, app_id))
            .skip(offset)
            .take(limit)
            .cloned()
            .collect()
    }

    /// Takes a letter of an app (or of any) out.
    pub(super) fn remove(&mut self, app_id: Option<&str>, id: u64) -> Option<DeadLetter> {
        let at = self
            .letters
            .iter()
            .position(|letter| letter.id == id && of_app(letter, app_id))?;
        let letter = self.letters.remove(at)?;
        self.bytes -= size_bytes(&letter);
        Some(letter)
    }

    /// Puts a letter back that was taken out, in its place.
    pub(super) fn restore(&mut self, letter: DeadLetter) {
        let at = self.letters.partition_point(|other| other.id < letter.id);
        self.bytes += size_bytes(&letter);
        self.letters.insert(at, letter);
    }

    /// How many there are of an app (or of all), and how many were dropped for room.
    pub(super) fn count(&self, app_id: Option<&str>) -> (usize, u64) {
        let kept = self
            .letters
            .iter()
            .filter(|letter| of_app(letter, app_id))
            .count();
        (kept, self.dropped)
    }
}

fn of_app(letter: &DeadLetter, app_id: Option<&str>) -> bool {
    app_id.is_none_or(|id| *id == *letter.event.app_id)
}

fn size_bytes(letter: &DeadLetter) -> usize {
    letter.event.size_bytes() + letter.error.len()
}
