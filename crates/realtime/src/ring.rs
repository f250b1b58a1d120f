//! What a user was sent lately, so that a connection that broke can go on where it stopped.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{budget::Budget, message::Message};

/// Bookkeeping of one kept message, charged beside its text.
const ENTRY_BYTES: usize = 48;

/// How much a ring keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingLimits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

/// The last messages of one user, numbered without gaps from 1.
#[derive(Debug)]
pub(super) struct Ring {
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// The newest message's number; 0 before the first.
    offset: u64,
    budget: Arc<Budget>,
    limits: RingLimits,
}

#[derive(Debug)]
struct Kept {
    message: Arc<Message>,
    /// Whose it is, where it is for those in a group alone.
    group: Option<Arc<str>>,
    at: Instant,
}

impl Ring {
    pub(super) fn new(limits: RingLimits, budget: Arc<Budget>) -> Self {
        Self {
            kept: VecDeque::new(),
            kept_bytes: 0,
            offset: 0,
            budget,
            limits,
        }
    }

    /// The newest message's number.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Numbers a message and keeps it. Where it does not fit nothing older is kept either: a history
    /// with a hole would be taken for a whole one.
    pub(super) fn push(
        &mut self,
        message: &Arc<Message>,
        group: Option<&Arc<str>>,
        now: Instant,
    ) -> u64 {
        self.offset += 1;
        self.drop_expired(now);
        let bytes = message.frame().len();
        while self.kept.len() >= self.limits.messages.max(1)
            || (!self.kept.is_empty() && self.kept_bytes + bytes > self.limits.bytes)
        {
            self.drop_oldest();
        }
        let fits = bytes <= self.limits.bytes && self.limits.messages > 0;
        if !fits || !self.charge(message) {
            self.clear();
            return self.offset;
        }
        self.kept_bytes += bytes;
        self.kept.push_back(Kept {
            message: Arc::clone(message),
            group: group.cloned(),
            at: now,
        });
        self.offset
    }

    /// The messages after `offset` with their numbers and groups, oldest first; `None` where some are gone (or
    /// never were).
    pub(super) fn since(
        &mut self,
        offset: u64,
        now: Instant,
    ) -> Option<impl Iterator<Item = (u64, &Arc<Message>, Option<&Arc<str>>)>> {
        self.drop_expired(now);
        let before_oldest = self.offset - self.kept.len() as u64;
        if offset < before_oldest || offset > self.offset {
            return None;
        }
        let skip = (offset - before_oldest) as usize;
        let numbered = (offset + 1..).zip(self.kept.iter().skip(skip));
        Some(numbered.map(|(number, kept)| (number, &kept.message, kept.group.as_ref())))
    }

    /// Whether nothing after `offset` is gone.
    pub(super) fn has_since(&mut self, offset: u64, now: Instant) -> bool {
        self.since(offset, now).is_some()
    }

    /// Forgets what is older than the limit.
    pub(super) fn drop_expired(&mut self, now: Instant) {
        while let Some(oldest) = self.kept.front()
            && now.saturating_duration_since(oldest.at) > self.limits.age
        {
            self.drop_oldest();
        }
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn charge(&self, message: &Message) -> bool {
        if !self.budget.try_take(ENTRY_BYTES) {
            return false;
        }
        let fits = message.enter_history(&self.budget);
        if !fits {
            self.budget.give_back(ENTRY_BYTES);
        }
        fits
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.kept_bytes -= oldest.message.frame().len();
            oldest.message.leave_history(&self.budget);
            self.budget.give_back(ENTRY_BYTES);
        }
    }

    fn clear(&mut self) {
        while !self.kept.is_empty() {
            self.drop_oldest();
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(messages: usize, bytes: usize) -> RingLimits {
        RingLimits {
            messages,
            bytes,
            age: Duration::from_secs(300),
        }
    }

    fn message(n: u64) -> Arc<Message> {
        Message::from_value(&serde_json::json!({ "n": n }), 1024).unwrap()
    }

    fn numbers(ring: &mut Ring, offset: u64, now: Instant) -> Option<Vec<u64>> {
        Some(
            ring.since(offset, now)?
                .map(|(number, _, _)| number)
                .collect(),
        )
    }

    #[test]
    fn replays_exactly_what_is_missing() {
        let budget = Arc::new(Budget::new(1 << 20));
        let mut ring = Ring::new(limits(3, 4096), Arc::clone(&budget));
        let now = Instant::now();
        assert_eq!(numbers(&mut ring, 0, now), Some(vec![]));
        for n in 1..=5 {
            assert_eq!(ring.push(&message(n), None, now), n);
        }
        assert_eq!(numbers(&mut ring, 5, now), Some(vec![]));
        assert_eq!(numbers(&mut ring, 3, now), Some(vec![4, 5]));
        assert_eq!(numbers(&mut ring, 2, now), Some(vec![3, 4, 5]));
        assert_eq!(numbers(&mut ring, 1, now), None, "2 is gone");
        assert_eq!(numbers(&mut ring, 6, now), None, "6 never was");
        let texts: Vec<_> = ring
            .since(3, now)
            .unwrap()
            .map(|(_, message, _)| message.payload().to_vec())
            .collect();
        assert_eq!(texts, [b"{\"n\":4}".to_vec(), b"{\"n\":5}".to_vec()]);
        drop(ring);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn old_messages_are_forgotten() {
        let mut ring = Ring::new(limits(10, 4096), Arc::new(Budget::new(1 << 20)));
        let start = Instant::now();
        ring.push(&message(1), None, start);
        ring.push(&message(2), None, start + Duration::from_secs(200));
        let later = start + Duration::from_secs(301);
        assert_eq!(numbers(&mut ring, 0, later), None);
        assert_eq!(numbers(&mut ring, 1, later), Some(vec![2]));
        ring.drop_expired(start + Duration::from_secs(600));
        assert!(ring.is_empty());
        assert_eq!(ring.offset(), 2);
        assert_eq!(numbers(&mut ring, 2, later), Some(vec![]));
    }

    #[test]
    fn bytes_of_one_user_are_bounded() {
        let one = message(1).frame().len();
        let mut ring = Ring::new(limits(100, one * 2), Arc::new(Budget::new(1 << 20)));
        let now = Instant::now();
        for n in 1..=3 {
            ring.push(&message(n), None, now);
        }
        assert_eq!(numbers(&mut ring, 1, now), Some(vec![2, 3]));
        assert_eq!(numbers(&mut ring, 0, now), None);
        let large = Message::from_value(&serde_json::json!({ "x": "y".repeat(99) }), 1024).unwrap();
        ring.push(&large, None, now);
        assert_eq!(numbers(&mut ring, 3, now), None, "too large to keep");
        assert_eq!(numbers(&mut ring, 4, now), Some(vec![]));
    }

    #[test]
    fn a_spent_budget_leaves_no_hole() {
        let one = message(1).frame().len() + ENTRY_BYTES;
        let budget = Arc::new(Budget::new(one * 2));
        let now = Instant::now();
        let mut other = Ring::new(limits(10, 4096), Arc::clone(&budget));
        other.push(&message(1), None, now);
        let mut ring = Ring::new(limits(10, 4096), Arc::clone(&budget));
        ring.push(&message(1), None, now);
        ring.push(&message(2), None, now);
        assert_eq!(numbers(&mut ring, 0, now), None);
        assert_eq!(numbers(&mut ring, 1, now), None);
        assert_eq!(numbers(&mut ring, 2, now), Some(vec![]));
        assert_eq!(budget.used_bytes(), one);
    }

    #[test]
    fn one_message_in_many_histories_is_charged_once() {
        let budget = Arc::new(Budget::new(1 << 20));
        let now = Instant::now();
        let shared = message(1);
        let rings: Vec<Ring> = (0..10)
            .map(|_| {
                let mut ring = Ring::new(limits(10, 4096), Arc::clone(&budget));
                ring.push(&shared, None, now);
                ring
            })
            .collect();
        assert_eq!(
            budget.used_bytes(),
            shared.frame().len() + rings.len() * ENTRY_BYTES
        );
    }
}
