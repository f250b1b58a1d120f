//! An OIDC issuer: its discovery document names the keys and the algorithms of its tokens.

use std::str::FromStr as _;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use crate::fetch::Fetcher;

/// Where the document is, below the issuer.
const WELL_KNOWN: &str = ".well-known/openid-configuration";

/// An issuer that is asked for its document each time its keys are fetched.
pub(super) struct Issuer {
    /// As it stands in tokens.
    name: String,
    document: Url,
}

/// What of the document is used.
#[derive(Debug)]
pub(super) struct Announced {
    /// Where the keys are.
    pub(super) jwks: Url,
    /// What tokens are signed with; `None` where the document says nothing of it.
    pub(super) algorithms: Option<Vec<Algorithm>>,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    id_token_signing_alg_values_supported: Option<Vec<Value>>,
}

impl Issuer {
    pub(super) fn new(name: &str) -> Result<Self, String> {
        let document = format!("{}/{WELL_KNOWN}", name.trim_end_matches('/'));
        Ok(Self {
            name: name.to_owned(),
            document: Url::parse(&document).map_err(|error| error.to_string())?,
        })
    }

    pub(super) fn document(&self) -> &Url {
        &self.document
    }

    /// Asks for the document and reads it.
    pub(super) async fn ask(&self, fetcher: &Fetcher) -> Result<Announced, String> {
        let document = fetcher.download(&self.document, "application/json").await;
        document
            .and_then(|document| self.read(&document))
            .map_err(|error| format!("{}: {error}", self.document))
    }

    /// Takes from the document what is used, where it is that of this issuer.
    fn read(&self, document: &[u8]) -> Result<Announced, String> {
        let document: Document = serde_json::from_slice(document).map_err(|error| {
            format!("it is no discovery document with issuer and jwks_uri ({error})")
        })?;
        // Discovery 4.3: whoever can put up a document is not by that the issuer of others' tokens.
        if document.issuer != self.name {
            return Err(format!(
                "its issuer is \"{}\", not \"{}\": oidc_issuer must be exactly what the issuer calls itself",
                document.issuer.escape_debug(),
                self.name
            ));
        }
        let jwks = Url::parse(&document.jwks_uri)
            .map_err(|error| format!("its jwks_uri cannot be read: {error}"))?;
        if !self.may_name(&jwks) {
            return Err(
                "its jwks_uri must be https://, or http:// on this machine where the \
                        issuer is there too"
                    .into(),
            );
        }
        let algorithms = match document.id_token_signing_alg_values_supported {
            None => None,
            Some(listed) => Some(usable(&listed)?),
        };
        Ok(Announced { jwks, algorithms })
    }

    /// Whether keys may be fetched from there.
    fn may_name(&self, jwks: &Url) -> bool {
        match jwks.scheme() {
            "https" => jwks.has_host(),
            "http" => {
                let host = jwks.host_str();
                self.document.scheme() == "http" && host.is_some_and(mozaiks_config::is_loopback)
            }
            _ => false,
        }
    }
}

/// The announced algorithms that a public key can check. Shared secrets are never learned from a
/// document, and there is no token without a signature.
fn usable(listed: &[Value]) -> Result<Vec<Algorithm>, String> {
    let names: Vec<&str> = listed.iter().filter_map(Value::as_str).collect();
    let algorithms: Vec<Algorithm> = names
        .iter()
        .filter_map(|name| Algorithm::from_str(name).ok())
        .filter(|algorithm| algorithm.family() != AlgorithmFamily::Hmac)
        .collect();
    if algorithms.is_empty() {
        return Err(format!(
            "it announces no algorithm of a public key (id_token_signing_alg_values_supported: {})",
            names.join(", ").escape_debug()
        ));
    }
    Ok(algorithms)
}
