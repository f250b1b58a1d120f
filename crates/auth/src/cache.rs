//! Verified tokens, so that a signature is checked once and not on every request.
//!
//! Holds digests, never tokens. Bounded: each shard keeps a young and an old half; when the young one
//! is full it becomes the old one and the old one is dropped whole, so nothing is ever scanned. What
//! is used again moves back to the young half. Only good tokens are kept, so nobody without one can
//! push others out.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use crate::Principal;

/// SHA-256 of a token.
pub(super) type Digest = [u8; 32];

/// Shards of a large cache; a small one has a single shard, so that its bound is exact.
const SHARDS: usize = 16;
const SMALL: usize = 1024;

/// What the cache did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Tokens found.
    pub hits: u64,
    /// Tokens not found, or found and expired.
    pub misses: u64,
    /// Tokens held now.
    pub entries: u64,
}

/// The digest is random already: its first bytes are the hash.
#[derive(Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    // The length that arrays and slices write before their bytes says nothing here.
    fn write_usize(&mut self, _: usize) {}
}

type Half = HashMap<Digest, Arc<Principal>, BuildHasherDefault<DigestHasher>>;

/// Entries that are freed once the lock is given back: a full half is many frees.
type Dropped = (Half, Half);

#[derive(Default)]
struct Shard {
    /// The keys that its entries were verified with.
    key_generation: u64,
    young: Half,
    old: Half,
}

/// Verified tokens by digest. All methods are short and never wait for anything but a shard's lock,
/// under which nothing but map operations happens.
pub(super) struct TokenCache {
    shards: Box<[Mutex<Shard>]>,
    half_capacity: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl TokenCache {
    /// A cache of about `capacity` tokens, never more (but two at least).
    pub(super) fn new(capacity: usize) -> Self {
        let shards = if capacity < SMALL { 1 } else { SHARDS };
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            half_capacity: (capacity / shards / 2).max(1),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    fn shard(&self, digest: &Digest) -> &Mutex<Shard> {
        &self.shards[usize::from(digest[31]) % self.shards.len()]
    }

    /// The principal of a token that was verified with these keys and passes `is_valid` still.
    pub(super) fn get(
        &self,
        digest: &Digest,
        key_generation: u64,
        is_valid: impl Fn(&Principal) -> bool,
    ) -> Option<Arc<Principal>> {
        let (found, dropped) =
            self.shard(digest)
                .lock()
                .find(digest, key_generation, self.half_capacity);
        drop(dropped);
        let found = found.filter(|principal| is_valid(principal));
        let counter = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps a token that was verified with these keys, unless the keys have changed meanwhile.
    pub(super) fn insert(&self, digest: Digest, key_generation: u64, principal: Arc<Principal>) {
        let dropped = {
            let mut shard = self.shard(&digest).lock();
            if key_generation < shard.key_generation {
                return;
            }
            let outdated = shard.advance_to(key_generation);
            (outdated, shard.put(digest, principal, self.half_capacity))
        };
        drop(dropped);
    }

    /// Counters, and how many tokens are held that were verified with these keys.
    pub(super) fn stats(&self, key_generation: u64) -> CacheStats {
        let entries = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            if shard.key_generation != key_generation {
                return 0;
            }
            (shard.young.len() + shard.old.len()) as u64
        };
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: self.shards.iter().map(entries).sum(),
        }
    }
}

impl Shard {
    /// What is known of the token, and what is to be freed after the lock.
    fn find(
        &mut self,
        digest: &Digest,
        key_generation: u64,
        half_capacity: usize,
    ) -> (Option<Arc<Principal>>, Dropped) {
        let mut dropped = self.advance_to(key_generation);
        if key_generation != self.key_generation {
            return (None, dropped);
        }
        if let Some(principal) = self.young.get(digest) {
            return (Some(Arc::clone(principal)), dropped);
        }
        let found = self.old.remove(digest);
        if let Some(principal) = &found {
            dropped.0 = self.put(*digest, Arc::clone(principal), half_capacity);
        }
        (found, dropped)
    }

    fn put(&mut self, digest: Digest, principal: Arc<Principal>, half_capacity: usize) -> Half {
        let mut dropped = Half::default();
        if self.young.len() >= half_capacity {
            dropped = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        }
        self.old.remove(&digest);
        self.young.insert(digest, principal);
        dropped
    }

    /// Moves on to newer keys; gives back what was verified with the older ones.
    fn advance_to(&mut self, key_generation: u64) -> Dropped {
        if key_generation <= self.key_generation {
            return (Half::default(), Half::default());
        }
        self.key_generation = key_generation;
        (
            std::mem::take(&mut self.young),
            std::mem::take(&mut self.old),
        )
    }
}
