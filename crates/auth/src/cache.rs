//! Verified tokens, so that a signature is checked once and not on every request.
//!
//! Holds digests, never tokens. Only good tokens are kept, so nobody without one can push others out;
//! the bound and what is dropped first are `quick_cache`'s.

use std::{
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{
    OptionsBuilder, UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};

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

/// A digest is random already: its first bytes are the hash.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length that comes before the bytes says nothing here.
    fn write_usize(&mut self, _: usize) {}
}

type DigestHash = BuildHasherDefault<FirstBytes>;

/// A token that was found good.
#[derive(Clone)]
struct Verified {
    /// The keys that it was verified with: what comes late must not outlive them.
    key_generation: u64,
    principal: Arc<Principal>,
}

/// Verified tokens by digest. All methods are short and never wait for anything but a shard's lock,
/// under which nothing but map operations happens.
pub(super) struct TokenCache {
    tokens: Cache<Digest, Verified, UnitWeighter, DigestHash>,
    /// The newest keys that were seen.
    key_generation: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl TokenCache {
    /// A cache of about `capacity` tokens, never more (but two at least).
    pub(super) fn new(capacity: usize) -> Self {
        let shards = if capacity < SMALL { 1 } else { SHARDS };
        // A share that is no whole number would be rounded up.
        let capacity = (capacity / shards * shards).max(2);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(capacity)
            .weight_capacity(capacity as u64)
            .build()
            .expect("both capacities are given");
        let (hashes, lifecycle) = (DigestHash::default(), DefaultLifecycle::default());
        Self {
            tokens: Cache::with_options(options, UnitWeighter, hashes, lifecycle),
            key_generation: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The principal of a token that was verified with these keys and passes `is_valid` still.
    pub(super) fn get(
        &self,
        digest: &Digest,
        key_generation: u64,
        is_valid: impl Fn(&Principal) -> bool,
    ) -> Option<Arc<Principal>> {
        self.advance_to(key_generation);
        let found = self
            .tokens
            .get(digest)
            .filter(|verified| verified.key_generation == key_generation);
        if let Some(Verified { principal, .. }) = found {
            if is_valid(&principal) {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Some(principal);
            }
            self.tokens.remove(digest);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Keeps a token that was verified with these keys, unless the keys have changed meanwhile.
    pub(super) fn insert(&self, digest: Digest, key_generation: u64, principal: Arc<Principal>) {
        if self.advance_to(key_generation) {
            let verified = Verified {
                key_generation,
                principal,
            };
            self.tokens.insert(digest, verified);
        }
    }

    /// Counters, and how many tokens are held that were verified with these keys.
    pub(super) fn stats(&self, key_generation: u64) -> CacheStats {
        let are_newest = self.advance_to(key_generation);
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: if are_newest {
                self.tokens.len() as u64
            } else {
                0
            },
        }
    }

    /// Drops everything when keys are newer than all before; says whether they are the newest.
    fn advance_to(&self, key_generation: u64) -> bool {
        // Order does not matter: each entry says which keys it was verified with.
        let newest = self.key_generation.load(Ordering::Relaxed);
        if key_generation > newest
            && self
                .key_generation
                .fetch_max(key_generation, Ordering::Relaxed)
                < key_generation
        {
            self.tokens.clear();
        }
        key_generation >= newest
    }
}
