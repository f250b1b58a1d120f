//! The certificate of the moment, and how it follows its files.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::RwLock;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::Pair;
use crate::server::shutdown::Hangups;
use mozaiks_telemetry::metrics::Metrics;

/// What handshakes show. Connections that stand have what they need of it.
#[derive(Debug)]
pub(crate) struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    poll: Duration,
    /// What the files were when the pair was read that is shown.
    loaded: Stamps,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read()))
    }
}

impl Certificates {
    /// # Errors
    /// As [`Pair::load`].
    pub(super) fn load(cert: &Path, key: &Path, poll: Duration) -> Result<Self, String> {
        // Before the files are read: what changes meanwhile is found changed later.
        let loaded = Stamps::of(cert, key);
        let pair = Pair::load(cert, key)?;
        warn_of(&pair);
        Ok(Self {
            cert: cert.to_owned(),
            key: key.to_owned(),
            poll,
            loaded,
            shown: RwLock::new(pair.certified),
        })
    }
}

fn warn_of(pair: &Pair) {
    if let Some(warning) = pair.validity.warning() {
        tracing::warn!(reason = warning, "tls.certificate");
    }
}

/// What tells that a file is another, or has another content.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamps([Stamp; 2]);

impl Stamps {
    fn of(cert: &Path, key: &Path) -> Self {
        let stamp = |path: &Path| {
            // Through links: what is put in place by turning one is another file.
            let found = std::fs::metadata(path).ok()?;
            let (dev, ino, size) = (found.dev(), found.ino(), found.size());
            Some((dev, ino, size, found.mtime(), found.mtime_nsec()))
        };
        Self([stamp(cert), stamp(key)])
    }
}

/// Looks at the files now and then and when told to, for as long as the gateway runs.
pub(crate) async fn follow(
    certificates: Arc<Certificates>,
    mut hangups: Hangups,
    metrics: Arc<Metrics>,
) {
    let mut look = Look {
        used: certificates.loaded,
        seen: certificates.loaded,
    };
    loop {
        let is_told = tokio::select! {
            () = hangups.next() => true,
            () = tokio::time::sleep(certificates.poll) => false,
        };
        let looking = Arc::clone(&certificates);
        // Files may be slow to read.
        let looked = tokio::task::spawn_blocking(move || {
            let found = look.take(&looking, is_told);
            (look, found)
        });
        let Ok((after, found)) = looked.await else {
            return;
        };
        look = after;
        match found {
            None => {}
            Some(Ok(pair)) => {
                *certificates.shown.write() = Arc::clone(&pair.certified);
                metrics.tls_reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!(days_left = pair.validity.days_left(), "tls.reloaded");
                warn_of(&pair);
            }
            Some(Err(reason)) => {
                metrics.tls_reload_failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(reason, "tls.not_reloaded: the pair before stays in use");
            }
        }
    }
}

/// What is known of the files.
#[derive(Clone, Copy)]
struct Look {
    /// When they were last read for good: used, or found wrong and told of.
    used: Stamps,
    /// At the last look.
    seen: Stamps,
}

impl Look {
    /// The new pair, or what is wrong with it; `None` where there is nothing to say. One file is put in place
    /// before the other: a pair that does not fit is told of when it has stayed so until the next look, or when
    /// somebody has asked.
    fn take(&mut self, certificates: &Certificates, is_told: bool) -> Option<Result<Pair, String>> {
        let now = Stamps::of(&certificates.cert, &certificates.key);
        let is_settled = now == std::mem::replace(&mut self.seen, now);
        if now == self.used && !is_told {
            return None;
        }
        let pair = Pair::load(&certificates.cert, &certificates.key);
        if pair.is_err() && !is_settled && !is_told {
            return None;
        }
        self.used = now;
        Some(pair)
    }
}
