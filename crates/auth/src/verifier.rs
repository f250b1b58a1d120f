//! Puts the parts together: cache, shape, signature, claims.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest;

use crate::{
    AuthError, CacheStats, Principal,
    cache::{Digest, TokenCache},
    claims::ClaimRules,
    jwks_url::{FetchStats, UrlTiming},
    key_store::{CurrentKeys, KeyStore},
    keys::SignatureCheck,
    token::{MAX_TOKEN_BYTES, UnverifiedToken},
};
use mozaiks_config::AuthConfig;

/// Seconds since 1970.
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// Verifies tokens against the configured keys. Shared by all requests.
pub struct TokenVerifier {
    rules: ClaimRules,
    keys: KeyStore,
    /// `None` where the cache is turned off.
    cache: Option<TokenCache>,
    /// Tokens verified while the cache is turned off.
    uncached: AtomicU64,
    clock: Clock,
}

/// What verification without waiting came to.
enum Outcome {
    Settled(Result<Arc<Principal>, AuthError>),
    /// The token names a key that is not known.
    UnknownKey,
}

impl TokenVerifier {
    /// Reads the configured keys. An issuer or a JWKS URL that is down is not an error: keys are fetched later.
    ///
    /// # Errors
    /// A sentence that names the key of the configuration and what is wrong with it.
    pub fn from_config(config: &AuthConfig) -> Result<Arc<Self>, String> {
        let timing = UrlTiming::new(config.jwks_min_refresh);
        Self::build(config, timing, Box::new(system_clock)).map(Arc::new)
    }

    pub(super) fn build(
        config: &AuthConfig,
        timing: UrlTiming,
        clock: Clock,
    ) -> Result<Self, String> {
        Ok(Self {
            rules: ClaimRules::new(config),
            keys: KeyStore::from_config(config, timing)?,
            cache: (config.token_cache_size > 0).then(|| TokenCache::new(config.token_cache_size)),
            uncached: AtomicU64::new(0),
            clock,
        })
    }

    /// Verifies from what is known now, without waiting: the hot path. `None` where the keys must be
    /// fetched first (unknown `kid`, keys behind a URL); then [`Self::verify`] is the way.
    pub fn verify_now(&self, token: &str) -> Option<Result<Arc<Principal>, AuthError>> {
        if token.len() > MAX_TOKEN_BYTES {
            return Some(Err(AuthError::TooLarge));
        }
        let keys = self.keys.current()?;
        match self.verify_with(&keys, token) {
            Outcome::Settled(result) => Some(result),
            Outcome::UnknownKey if self.keys.may_fetch() => None,
            Outcome::UnknownKey => Some(Err(self.unknown_key())),
        }
    }

    /// Verifies, fetching keys where that is needed and allowed.
    ///
    /// # Errors
    /// Why the token is not accepted; see [`AuthError`].
    pub async fn verify(&self, token: &str) -> Result<Arc<Principal>, AuthError> {
        if let Some(result) = self.verify_now(token) {
            return result;
        }
        self.keys.fetch().await;
        let keys = self.keys.known();
        match self.verify_with(&keys, token) {
            Outcome::Settled(result) => result,
            Outcome::UnknownKey => Err(self.unknown_key()),
        }
    }

    /// Fetches the keys of an issuer or a JWKS URL now, so that the first token need not wait. Does nothing for
    /// other sources. Returns after 5 s at the latest, whether keys came or not.
    pub async fn prefetch(&self) {
        self.keys.fetch().await;
    }

    /// How many keys are known at the moment.
    pub fn key_count(&self) -> usize {
        self.keys.known().keys.len()
    }

    /// The algorithms of the keys that are known at the moment, by name.
    pub fn key_algorithms(&self) -> Vec<String> {
        let algorithms = self.keys.known().keys.algorithms();
        algorithms.iter().map(|one| format!("{one:?}")).collect()
    }

    /// Why the last fetch of keys brought none; `None` where it brought some or nothing is fetched.
    pub fn fetch_failure(&self) -> Option<String> {
        self.keys.last_failure()
    }

    /// How fetching keys went so far.
    pub fn fetch_stats(&self) -> FetchStats {
        self.keys.fetch_stats()
    }

    /// What the cache of verified tokens did so far; where it is turned off, every token is a miss.
    pub fn cache_stats(&self) -> CacheStats {
        let Some(cache) = &self.cache else {
            return CacheStats {
                misses: self.uncached.load(Ordering::Relaxed),
                ..CacheStats::default()
            };
        };
        cache.stats(self.keys.known().generation)
    }

    fn verify_with(&self, current: &CurrentKeys, token: &str) -> Outcome {
        let now_unix = (self.clock)();
        let Some(cache) = &self.cache else {
            self.uncached.fetch_add(1, Ordering::Relaxed);
            return self.verify_anew(current, token, now_unix);
        };
        let digest = sha256(token);
        let is_valid =
            |principal: &Principal| !self.rules.is_expired(principal.expires_at_unix, now_unix);
        if let Some(principal) = cache.get(&digest, current.generation, is_valid) {
            return Outcome::Settled(Ok(principal));
        }
        let outcome = self.verify_anew(current, token, now_unix);
        if let Outcome::Settled(Ok(principal)) = &outcome {
            cache.insert(digest, current.generation, Arc::clone(principal));
        }
        outcome
    }

    fn verify_anew(&self, current: &CurrentKeys, token: &str, now_unix: u64) -> Outcome {
        let token = match UnverifiedToken::parse(token) {
            Ok(token) => token,
            Err(error) => return Outcome::Settled(Err(error)),
        };
        match current.keys.check(&token) {
            SignatureCheck::Valid => Outcome::Settled(
                token
                    .payload()
                    .and_then(|payload| self.rules.principal(&payload, now_unix))
                    .map(Arc::new),
            ),
            SignatureCheck::Invalid(error) => Outcome::Settled(Err(error)),
            SignatureCheck::UnknownKey => Outcome::UnknownKey,
        }
    }

    /// A key may be unknown because it is nobody's, or because its source does not answer.
    fn unknown_key(&self) -> AuthError {
        if self.keys.is_unreachable() {
            AuthError::KeysUnavailable
        } else {
            AuthError::Invalid("it was signed with a key that is not known")
        }
    }

    #[cfg(test)]
    pub(super) fn reload_file_now(&self) {
        self.keys.reload_file_now();
    }
}

fn sha256(token: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}

fn system_clock() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
