//! TLS on the gateway's port.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Origin, Problem};

/// The files of certificate and key; both or neither.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Certificate with its chain. `MOZAIKS_TLS_CERT`
    pub cert: Option<PathBuf>,
    /// Its private key. `MOZAIKS_TLS_KEY`
    pub key: Option<PathBuf>,
    /// How often they are looked at. `MOZAIKS_TLS_POLL_SECONDS`
    pub poll: Duration,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            cert: None,
            key: None,
            poll: Duration::from_secs(5),
        }
    }
}

impl TlsConfig {
    /// Certificate and key, where the port has TLS.
    pub fn files(&self) -> Option<(&Path, &Path)> {
        Some((self.cert.as_deref()?, self.key.as_deref()?))
    }

    /// How addresses of the port begin.
    pub fn scheme(&self) -> &'static str {
        match self.files() {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// One without the other is a mistake, and no reason to serve without TLS.
pub(super) fn check(
    config: &TlsConfig,
    origins: &BTreeMap<&'static str, Origin>,
    problems: &mut Vec<Problem>,
) {
    let (given, missing, about) = match (&config.cert, &config.key) {
        (Some(_), None) => ("tls_cert", "tls_key", "the private key of the certificate"),
        (None, Some(_)) => ("tls_key", "tls_cert", "the certificate of the key"),
        _ => return,
    };
    // One that was given and is wrong is a problem of its own.
    if problems.iter().any(|problem| problem.key == missing) {
        return;
    }
    let origin = origins.get(given).map(ToString::to_string);
    problems.push(Problem {
        key: missing.into(),
        origin: "nowhere".into(),
        found: format!(
            "nothing, beside {given} (from {})",
            origin.unwrap_or_default()
        ),
        allowed: format!("{about}, as a PEM file"),
    });
}
