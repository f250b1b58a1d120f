//! A count of bytes with a limit that many connections share.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Bytes in use, never more than a limit.
#[derive(Debug)]
pub(super) struct Budget {
    used_bytes: AtomicUsize,
    limit_bytes: usize,
}

impl Budget {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            used_bytes: AtomicUsize::new(0),
            limit_bytes,
        }
    }

    /// Takes `bytes`, or nothing and says `false` where they do not fit.
    #[must_use]
    pub(super) fn try_take(&self, bytes: usize) -> bool {
        let taken = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        if taken.saturating_add(bytes) <= self.limit_bytes {
            return true;
        }
        self.give_back(bytes);
        false
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

/// How often one shared thing is held in one place, so that its bytes are charged once.
///
/// A lock, not an atomic: a second holder must not come in while the first finds out that the bytes
/// do not fit.
#[derive(Debug, Default)]
pub(super) struct Holders(Mutex<u32>);

impl Holders {
    /// One more holder; the first pays `bytes`. `false`, and no holder, where they do not fit.
    #[must_use]
    pub(super) fn enter(&self, bytes: usize, budget: &Budget) -> bool {
        let mut holders = self.0.lock();
        if *holders == 0 && !budget.try_take(bytes) {
            return false;
        }
        *holders += 1;
        true
    }

    /// One holder less; the last gives `bytes` back.
    pub(super) fn leave(&self, bytes: usize, budget: &Budget) {
        let mut holders = self.0.lock();
        *holders -= 1;
        if *holders == 0 {
            budget.give_back(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_budget_refuses_and_keeps_its_count() {
        let budget = Budget::new(10);
        assert!(budget.try_take(6));
        assert!(!budget.try_take(5));
        assert_eq!(budget.used_bytes(), 6);
        assert!(budget.try_take(4));
        budget.give_back(10);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn shared_bytes_are_charged_once() {
        let budget = Budget::new(10);
        let holders = Holders::default();
        for _ in 0..5 {
            assert!(holders.enter(8, &budget));
        }
        assert_eq!(budget.used_bytes(), 8);
        for _ in 0..5 {
            holders.leave(8, &budget);
        }
        assert_eq!(budget.used_bytes(), 0);
        assert!(!holders.enter(11, &budget));
        assert_eq!(budget.used_bytes(), 0);
    }
}
