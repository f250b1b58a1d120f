//! Keys that check signatures, and which algorithms each may be used with. A key decides that, never
//! a token.

use std::{path::Path, str::FromStr};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, crypto,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;

use crate::{AuthError, token::UnverifiedToken};

/// Keys of one JWKS document that are used; issuers publish two or three.
const MAX_KEYS: usize = 32;
/// RSA keys below this are refused.
const MIN_RSA_BITS: usize = 2048;
/// A shared secret below this is refused.
const MIN_SECRET_BYTES: usize = 32;
/// A key file above this is refused.
pub(super) const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// One key.
struct VerificationKey {
    /// Its id in a JWKS document.
    id: Option<String>,
    /// What it may be used with.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys that are accepted at a time.
#[derive(Default)]
pub(super) struct KeySet {
    keys: Vec<VerificationKey>,
}

/// What came of checking a signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SignatureCheck {
    /// One of the keys made it.
    Valid,
    /// None of the keys that could have made it did.
    Invalid(AuthError),
    /// The token names a key that is not known.
    UnknownKey,
}

impl KeySet {
    /// A shared secret with its one algorithm.
    pub(super) fn from_secret(secret: &[u8], algorithm: &str) -> Result<Self, String> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(format!(
                "jwt_secret: {} bytes are too short, at least {MIN_SECRET_BYTES} are needed",
                secret.len()
            ));
        }
        let algorithm = Algorithm::from_str(algorithm)
            .ok()
            .filter(|algorithm| algorithm.family() == AlgorithmFamily::Hmac)
            .ok_or_else(|| format!("jwt_algorithm: {algorithm} is none of HS256, HS384, HS512"))?;
        Ok(Self {
            keys: vec![VerificationKey {
                id: None,
                algorithms: vec![algorithm],
                key: DecodingKey::from_secret(secret),
            }],
        })
    }

    /// The public key of a PEM file.
    pub(super) fn from_pem_file(path: &Path) -> Result<Self, String> {
        let fail = |what: &str| format!("jwt_public_key_file {}: {what}", path.display());
        let pem = read_limited(path).map_err(|error| fail(&error))?;
        if pem.windows(11).any(|window| window == b"PRIVATE KEY") {
            return Err(fail("this is a private key; give the public one"));
        }
        if pem.windows(17).any(|window| window == b"BEGIN CERTIFICATE") {
            return Err(fail("this is a certificate; give the public key in it"));
        }
        let key = DecodingKey::from_ec_pem(&pem)
            .or_else(|_| DecodingKey::from_ed_pem(&pem))
            .or_else(|_| DecodingKey::from_rsa_pem(&pem))
            .map_err(|_| fail("no public key of RSA, P-256, P-384 or Ed25519 in PEM"))?;
        // The same checks as for a JWK, so that both formats accept the same keys.
        let jwk = Jwk::from_decoding_key(&key, None)
            .map_err(|_| fail("the key is of a kind that cannot be used"))?;
        let key = VerificationKey::from_jwk(&jwk).map_err(|error| fail(&error))?;
        Ok(Self { keys: vec![key] })
    }

    /// The usable keys of a JWKS document. Others (encryption keys, shared secrets, unknown curves)
    /// are passed over, as an issuer may publish more than the gateway needs.
    ///
    /// A document whose list is empty is an issuer's word that it has no keys now, and gives an empty
    /// set; one with keys of which none can be used is an error, as it is more likely to be a mistake.
    pub(super) fn from_jwks(document: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        let document: Document = serde_json::from_slice(document)
            .map_err(|_| "it is not a JSON object with a list `keys`".to_owned())?;
        let is_empty = document.keys.is_empty();
        let mut keys = Vec::new();
        let mut passed_over = Vec::new();
        for (index, value) in document.keys.into_iter().enumerate() {
            let key = serde_json::from_value::<Jwk>(value)
                .map_err(|_| "it is not a JWK".to_owned())
                .and_then(|jwk| VerificationKey::from_jwk(&jwk));
            match key {
                Ok(key) if keys.len() < MAX_KEYS => keys.push(key),
                Ok(_) => passed_over.push(format!("key {index}: more than {MAX_KEYS} keys")),
                Err(why) => passed_over.push(format!("key {index}: {why}")),
            }
        }
        if keys.is_empty() && !is_empty {
            let why = passed_over.first().map_or("", |why| why);
            return Err(format!("it has no key that can be used ({why})"));
        }
        if !passed_over.is_empty() {
            tracing::warn!(
                jwks.passed_over = passed_over.join("; "),
                "some keys of the JWKS document cannot be used"
            );
        }
        Ok(Self { keys })
    }

    /// Leaves each key only the algorithms that its issuer announces; a key without any goes.
    pub(super) fn restrict_to(&mut self, announced: &[Algorithm]) -> Result<(), String> {
        let was_empty = self.keys.is_empty();
        for key in &mut self.keys {
            key.algorithms.retain(|one| announced.contains(one));
        }
        self.keys.retain(|key| !key.algorithms.is_empty());
        if self.keys.is_empty() && !was_empty {
            return Err("no key is for an algorithm that the issuer announces".into());
        }
        Ok(())
    }

    /// The algorithms that keys are used with, each once.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let mut all: Vec<Algorithm> = Vec::new();
        for algorithm in self.keys.iter().flat_map(|key| &key.algorithms) {
            if !all.contains(algorithm) {
                all.push(*algorithm);
            }
        }
        all
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Checks the signature with the keys that the token can have been signed with.
    ///
    /// A token with a `kid` is checked with the keys of that id, where there is none with keys that
    /// have no id. A token without is checked with every key that fits its algorithm.
    pub(super) fn check(&self, token: &UnverifiedToken<'_>) -> SignatureCheck {
        let id = token.key_id.as_deref();
        let is_named = |key: &&VerificationKey| id.is_some() && key.id.as_deref() == id;
        let named_exists = self.keys.iter().any(|key| is_named(&key));
        let candidates = self.keys.iter().filter(|key| match id {
            None => true,
            Some(_) if named_exists => is_named(key),
            Some(_) => key.id.is_none(),
        });
        let mut fits_algorithm = false;
        for key in candidates {
            if !key.algorithms.contains(&token.algorithm) {
                continue;
            }
            fits_algorithm = true;
            let verified =
                crypto::verify(token.signature, token.message, &key.key, token.algorithm);
            if verified.unwrap_or(false) {
                return SignatureCheck::Valid;
            }
        }
        let has_ids = self.keys.iter().any(|key| key.id.is_some());
        if self.keys.is_empty() || (id.is_some() && has_ids && !named_exists) {
            SignatureCheck::UnknownKey
        } else if fits_algorithm {
            SignatureCheck::Invalid(AuthError::Invalid("its signature does not match"))
        } else {
            SignatureCheck::Invalid(AuthError::Invalid("its algorithm is not one of the key's"))
        }
    }
}

impl VerificationKey {
    fn from_jwk(jwk: &Jwk) -> Result<Self, String> {
        match &jwk.common.public_key_use {
            None | Some(PublicKeyUse::Signature) => {}
            Some(_) => return Err("it is not for signatures".into()),
        }
        if let Some(operations) = &jwk.common.key_operations
            && !operations.contains(&KeyOperations::Verify)
        {
            return Err("it is not for verifying (key_ops)".into());
        }
        let unusable = |_| "its numbers cannot be read".to_owned();
        let (key, possible): (DecodingKey, &[Algorithm]) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (
                checked_rsa(&DecodingKey::from_jwk(jwk).map_err(unusable)?)?,
                AlgorithmFamily::Rsa.algorithms(),
            ),
            AlgorithmParameters::EllipticCurve(parameters) => {
                let key = DecodingKey::from_jwk(jwk).map_err(unusable)?;
                let length = key.try_get_as_bytes().map_or(0, <[u8]>::len);
                match (&parameters.curve, length) {
                    (EllipticCurve::P256, 65) => (key, &[Algorithm::ES256]),
                    (EllipticCurve::P384, 97) => (key, &[Algorithm::ES384]),
                    _ => return Err("its curve is neither P-256 nor P-384".into()),
                }
            }
            AlgorithmParameters::OctetKeyPair(parameters) => {
                let key = DecodingKey::from_jwk(jwk).map_err(unusable)?;
                let length = key.try_get_as_bytes().map_or(0, <[u8]>::len);
                match (&parameters.curve, length) {
                    (EllipticCurve::Ed25519, 32) => (key, &[Algorithm::EdDSA]),
                    _ => return Err("its curve is not Ed25519".into()),
                }
            }
            AlgorithmParameters::OctetKey(_) => {
                return Err("a shared secret does not belong into a JWKS document".into());
            }
            _ => return Err("its kind (kty) is not supported".into()),
        };
        let algorithms = match jwk.common.key_algorithm {
            None => possible.to_vec(),
            Some(declared) => Algorithm::try_from(declared)
                .ok()
                .filter(|algorithm| possible.contains(algorithm))
                .map(|algorithm| vec![algorithm])
                .ok_or("its algorithm (alg) does not belong to its kind")?,
        };
        Ok(Self {
            id: jwk.common.key_id.clone(),
            algorithms,
            key,
        })
    }
}

/// An RSA key of sufficient length, without leading zeros in its modulus.
fn checked_rsa(key: &DecodingKey) -> Result<DecodingKey, String> {
    let DecodingKeyKind::RsaModulusExponent { n, e } = key.kind() else {
        return Err("its numbers cannot be read".into());
    };
    let leading_zeros = n.iter().take_while(|byte| **byte == 0).count();
    let modulus = &n[leading_zeros..];
    let bits = match modulus.first() {
        None => 0,
        Some(first) => modulus.len() * 8 - first.leading_zeros() as usize,
    };
    if bits < MIN_RSA_BITS {
        return Err(format!(
            "an RSA key of {bits} bits is too short, at least {MIN_RSA_BITS} are needed"
        ));
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, e))
}

/// Reads a key file of sane size.
pub(super) fn read_limited(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;

    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err("it is larger than 1MiB".into());
    }
    Ok(bytes)
}
