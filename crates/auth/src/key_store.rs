//! The keys that are accepted now, and when they are read again: never (secret, PEM), when the file
//! changes, or from a URL.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Mutex, RwLock};

use crate::{
    jwks_url::{FetchStats, JwksUrl, UrlTiming},
    keys::{KeySet, read_limited},
};
use mozaiks_config::{AuthConfig, KeySource};

/// How often a JWKS file is looked at.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Keys and their generation: the generation grows whenever keys are replaced.
#[derive(Clone)]
pub(super) struct CurrentKeys {
    pub(super) generation: u64,
    pub(super) keys: Arc<KeySet>,
}

/// The place of the current keys: read for every token, written when keys change.
pub(super) struct KeySlot(RwLock<CurrentKeys>);

impl KeySlot {
    pub(super) fn new(keys: KeySet) -> Arc<Self> {
        Arc::new(Self(RwLock::new(CurrentKeys {
            generation: 1,
            keys: Arc::new(keys),
        })))
    }

    pub(super) fn current(&self) -> CurrentKeys {
        self.0.read().clone()
    }

    pub(super) fn replace(&self, keys: KeySet) {
        let mut slot = self.0.write();
        slot.generation += 1;
        slot.keys = Arc::new(keys);
    }
}

/// Keys and what keeps them fresh.
pub(super) struct KeyStore {
    slot: Arc<KeySlot>,
    source: Source,
}

enum Source {
    Fixed,
    File(JwksFile),
    Url(Arc<JwksUrl>),
}

impl KeyStore {
    pub(super) fn from_config(config: &AuthConfig, timing: UrlTiming) -> Result<Self, String> {
        let source = config.keys.as_ref().ok_or(
            "no source of keys is configured: set MOZAIKS_OIDC_ISSUER, MOZAIKS_JWT_SECRET, MOZAIKS_JWKS_URL, \
             MOZAIKS_JWKS_FILE or MOZAIKS_JWT_PUBLIC_KEY_FILE",
        )?;
        let fixed = |keys| Self {
            slot: KeySlot::new(keys),
            source: Source::Fixed,
        };
        Ok(match source {
            KeySource::Secret { secret, algorithm } => {
                fixed(KeySet::from_secret(secret, algorithm)?)
            }
            KeySource::PemFile(path) => fixed(KeySet::from_pem_file(path)?),
            KeySource::JwksFile(path) => {
                let (file, keys) = JwksFile::open(path.clone())
                    .map_err(|error| format!("jwks_file {}: {error}", path.display()))?;
                Self {
                    slot: KeySlot::new(keys),
                    source: Source::File(file),
                }
            }
            KeySource::JwksUrl(url) => {
                let slot = KeySlot::new(KeySet::default());
                let source = JwksUrl::new(url, timing, Arc::clone(&slot))
                    .map_err(|error| format!("jwks_url: {error}"))?;
                Self {
                    slot,
                    source: Source::Url(source),
                }
            }
            KeySource::Oidc(issuer) => {
                let slot = KeySlot::new(KeySet::default());
                let source = JwksUrl::of_issuer(issuer, timing, Arc::clone(&slot))
                    .map_err(|error| format!("oidc_issuer: {error}"))?;
                Self {
                    slot,
                    source: Source::Url(source),
                }
            }
        })
    }

    /// The keys to use now. A changed file is read here; a URL is fetched in the background once its
    /// keys have aged. `None` where they are so old that they must be fetched first.
    pub(super) fn current(&self) -> Option<CurrentKeys> {
        match &self.source {
            Source::Fixed => {}
            Source::File(file) => file.reload_if_changed(&self.slot),
            Source::Url(url) => {
                if url.must_wait() {
                    return None;
                }
            }
        }
        Some(self.slot.current())
    }

    /// The keys known at the moment, whatever their age.
    pub(super) fn known(&self) -> CurrentKeys {
        self.slot.current()
    }

    /// Whether fetching could bring keys that are not known yet: now, or in a fetch that runs.
    pub(super) fn may_fetch(&self) -> bool {
        match &self.source {
            Source::Fixed | Source::File(_) => false,
            Source::Url(url) => url.may_fetch(),
        }
    }

    /// Whether the last try to fetch keys brought none.
    pub(super) fn is_unreachable(&self) -> bool {
        match &self.source {
            Source::Fixed | Source::File(_) => false,
            Source::Url(url) => url.is_unreachable(),
        }
    }

    /// Why the last try to fetch keys brought none.
    pub(super) fn last_failure(&self) -> Option<String> {
        match &self.source {
            Source::Fixed | Source::File(_) => None,
            Source::Url(url) => url.last_failure(),
        }
    }

    /// How fetching went so far.
    pub(super) fn fetch_stats(&self) -> FetchStats {
        match &self.source {
            Source::Fixed | Source::File(_) => FetchStats::default(),
            Source::Url(url) => url.stats(),
        }
    }

    /// Fetches keys, or waits for the fetch that runs already; returns at once where none is allowed.
    pub(super) async fn fetch(&self) {
        if let Source::Url(url) = &self.source {
            url.fetch().await;
        }
    }
}

/// A JWKS document on disk.
struct JwksFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

/// When the file was looked at, and which version was read.
struct Seen {
    checked: Instant,
    modified: Option<SystemTime>,
}

impl JwksFile {
    fn open(path: PathBuf) -> Result<(Self, KeySet), String> {
        let modified = modified(&path);
        let keys = KeySet::from_jwks(&read_limited(&path)?)?;
        if keys.len() == 0 {
            return Err("it holds no keys".into());
        }
        let seen = Mutex::new(Seen {
            checked: Instant::now(),
            modified,
        });
        Ok((Self { path, seen }, keys))
    }

    /// Reads the file again if its time of change differs; a file that cannot be used leaves the old
    /// keys in place. Whoever finds the lock taken goes on with the keys that are there.
    fn reload_if_changed(&self, slot: &KeySlot) {
        let Some(mut seen) = self.seen.try_lock() else {
            return;
        };
        if seen.checked.elapsed() < FILE_CHECK_INTERVAL {
            return;
        }
        seen.checked = Instant::now();
        self.reload(&mut seen, slot);
    }

    fn reload(&self, seen: &mut Seen, slot: &KeySlot) {
        let modified = modified(&self.path);
        if modified == seen.modified {
            return;
        }
        seen.modified = modified;
        match read_limited(&self.path).and_then(|document| KeySet::from_jwks(&document)) {
            Ok(keys) => {
                tracing::info!(jwks.keys = keys.len(), "read the changed JWKS file");
                slot.replace(keys);
            }
            Err(error) => {
                tracing::warn!(
                    error,
                    "the changed JWKS file cannot be used; the keys of before are kept"
                );
            }
        }
    }

    /// Looks at the file now, whenever it was looked at last.
    #[cfg(test)]
    fn reload_now(&self, slot: &KeySlot) {
        self.reload(&mut self.seen.lock(), slot);
    }
}

fn modified(path: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|data| data.modified())
        .ok()
}

#[cfg(test)]
impl KeyStore {
    /// Looks at a JWKS file now.
    pub(super) fn reload_file_now(&self) {
        if let Source::File(file) = &self.source {
            file.reload_now(&self.slot);
        }
    }
}
