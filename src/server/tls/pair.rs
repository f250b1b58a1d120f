//! A certificate with its private key, as two PEM files hold them.

use std::{
    fs::File,
    io::Read as _,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    InconsistentKeys,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};
use webpki::{EndEntityCert, KeyUsage};

/// Chains and keys are small; a larger file is the wrong one.
const MAX_FILE_BYTES: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A certificate that ends sooner is worth a word.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A certificate that can be shown, with the key that proves it.
#[derive(Debug)]
pub struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    /// When clients accept it.
    pub validity: Validity,
}

/// From when until when a certificate is valid, in time since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    not_before: Duration,
    not_after: Duration,
}

impl Pair {
    /// Reads both files and checks that they fit.
    ///
    /// # Errors
    /// A sentence that names the file, never what is in it.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, String> {
        let wrong_cert = |why: String| format!("tls_cert {}: {why}", cert.display());
        let wrong_key = |why: String| format!("tls_key {}: {why}", key.display());
        let chain = read(cert).map_err(wrong_cert)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong_cert(format!("not PEM: {error}")))?;
        let Some(leaf) = chain.first() else {
            return Err(wrong_cert("it holds no certificate in PEM form".into()));
        };
        let validity = Validity::of(leaf).map_err(wrong_cert)?;
        let secret = read(key).map_err(wrong_key)?;
        let secret = PrivateKeyDer::from_pem_slice(&secret)
            .map_err(|_| wrong_key("it holds no private key in PEM form, unencrypted".into()))?;
        let certified = CertifiedKey::from_der(chain, secret, &default_provider()).map_err(
            |error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    wrong_key(format!("it is not the key of {}", cert.display()))
                }
                error => wrong_key(error.to_string()),
            },
        )?;
        Ok(Self {
            certified: Arc::new(certified),
            validity,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err("larger than 1MiB, which no certificate is".into());
    }
    Ok(bytes)
}

impl Validity {
    /// The verifier tells what it finds expired or too early since when: so it is asked about the first
    /// and the last moment there is.
    fn of(leaf: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = EndEntityCert::try_from(leaf).map_err(|error| error.to_string())?;
        let at = |seconds| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            parsed
                .verify_for_usage(&[], &[], &[], time, KeyUsage::server_auth(), None, None)
                .err()
        };
        let not_before = match at(0) {
            Some(webpki::Error::CertNotValidYet { not_before, .. }) => not_before.as_secs(),
            _ => 0,
        };
        let not_after = match at(u64::MAX) {
            Some(webpki::Error::CertExpired { not_after, .. }) => not_after.as_secs(),
            Some(error) => return Err(error.to_string()),
            None => u64::MAX,
        };
        Ok(Self {
            not_before: Duration::from_secs(not_before),
            not_after: Duration::from_secs(not_after),
        })
    }

    /// What an operator should know today, if anything.
    pub fn warning(&self) -> Option<String> {
        self.warning_at(SystemTime::now().duration_since(UNIX_EPOCH).ok()?)
    }

    fn warning_at(&self, now: Duration) -> Option<String> {
        if now > self.not_after {
            let since = days(now - self.not_after);
            Some(format!(
                "the certificate has expired ({since} ago): clients refuse it"
            ))
        } else if now < self.not_before {
            let until = days(self.not_before - now);
            Some(format!(
                "the certificate is not valid yet (for {until}): clients refuse it"
            ))
        } else if self.not_after - now < SOON {
            let left = days(self.not_after - now);
            Some(format!("the certificate expires in {left}"))
        } else {
            None
        }
    }

    /// How many whole days are left.
    pub fn days_left(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.not_after
            .saturating_sub(now.unwrap_or_default())
            .as_secs()
            / DAY.as_secs()
    }
}

fn days(time: Duration) -> String {
    match time.as_secs() / DAY.as_secs() {
        0 => "less than a day".into(),
        1 => "a day".into(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests;
