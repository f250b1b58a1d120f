//! The outside of a token: three parts, the header, the limit on its size. Nothing is trusted here
//! and nothing is looked up but the algorithm's name and the key's id.

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::AuthError;

/// The largest token that is looked at, in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A token that has the right shape. Its signature is still unchecked.
#[derive(Debug)]
pub(super) struct UnverifiedToken<'a> {
    /// What the token says it was signed with; the key decides whether that can be.
    pub(super) algorithm: Algorithm,
    /// Which key the token says it was signed with.
    pub(super) key_id: Option<String>,
    /// Header and payload as they were signed.
    pub(super) message: &'a [u8],
    /// Base64 of the signature.
    pub(super) signature: &'a str,
    payload: &'a str,
}

/// The parts of a header that are read. `jku`, `x5u`, `jwk` and `x5c` are not among them: a token
/// does not bring its own key.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Presence,
}

/// Whether a field is there, whatever its value.
#[derive(Default)]
struct Presence(bool);

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Takes the token apart.
    ///
    /// # Errors
    /// [`AuthError::TooLarge`] before any work, [`AuthError::Invalid`] for a wrong shape.
    pub(super) fn parse(token: &'a str) -> Result<Self, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLarge);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthError::Invalid("it does not have three parts"));
        };
        let header = URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| AuthError::Invalid("its header is not base64url"))?;
        // As text first: what serde skips it does not look at. A list of values would pass for a struct.
        let header: Header = std::str::from_utf8(&header)
            .ok()
            .filter(|text| text.trim_ascii_start().starts_with('{'))
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or(AuthError::Invalid("its header is not what a token needs"))?;
        if header.crit.0 {
            return Err(AuthError::Invalid(
                "it demands extensions (crit) that are not supported",
            ));
        }
        let algorithm = Algorithm::from_str(&header.alg)
            .map_err(|_| AuthError::Invalid("its algorithm is not supported"))?;
        Ok(Self {
            algorithm,
            key_id: header.kid,
            message: &token.as_bytes()[..token.len() - signature.len() - 1],
            signature,
            payload,
        })
    }

    /// The payload's bytes. To be read only once the signature is checked.
    pub(super) fn payload(&self) -> Result<Vec<u8>, AuthError> {
        URL_SAFE_NO_PAD
            .decode(self.payload)
            .map_err(|_| AuthError::Invalid("its payload is not base64url"))
    }
}
