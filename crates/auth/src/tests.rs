//! What the tests of this module share: keys made on the spot, tokens of any shape, a clock that is
//! set, a server that serves keys. The tests themselves are in the folder, by subject.

mod cache;
mod claims;
mod dev_secret;
mod discovery;
mod jwks_url;
mod keys;
mod mapping;
mod shapes;
mod signer;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

use super::{AuthError, Principal, TokenVerifier, jwks_url::UrlTiming};
use mozaiks_config::{AuthConfig, KeySource};

const SECRET: &[u8] = b"a secret of more than 32 bytes for tests only";
/// What the clock of the tests says at first.
const NOW: u64 = 1_800_000_000;

/// A clock that a test sets.
#[derive(Clone)]
struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NOW)))
    }

    fn set(&self, now_unix: u64) {
        self.0.store(now_unix, Ordering::SeqCst);
    }
}

fn secret_config() -> AuthConfig {
    AuthConfig {
        keys: Some(KeySource::Secret {
            secret: SECRET.to_vec(),
            algorithm: "HS256".into(),
        }),
        ..AuthConfig::default()
    }
}

fn build(config: &AuthConfig) -> (TokenVerifier, TestClock) {
    build_with(config, UrlTiming::new(config.jwks_min_refresh))
}

fn build_with(config: &AuthConfig, timing: UrlTiming) -> (TokenVerifier, TestClock) {
    let clock = TestClock::new();
    let time = clock.clone();
    let read = move || time.0.load(Ordering::SeqCst);
    let verifier = TokenVerifier::build(config, timing, Box::new(read)).unwrap();
    (verifier, clock)
}

/// The verdict on a token, where no keys need be fetched.
fn verdict(verifier: &TokenVerifier, token: &str) -> Result<Arc<Principal>, AuthError> {
    verifier.verify_now(token).expect("nothing to be fetched")
}

/// Claims that are accepted, with some added or replaced; `null` takes one away.
fn claims(changes: Value) -> Value {
    let mut claims = json!({"user_id": "u1", "exp": NOW + 3600});
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs any header and payload, also those that no library would write.
fn sign_raw(header: &str, payload: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", base64url(header), base64url(payload));
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A token signed with the shared secret of [`secret_config`].
fn hs256(claims: &Value) -> String {
    hs256_raw(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string())
}

fn hs256_raw(header: &str, payload: &str) -> String {
    sign_raw(
        header,
        payload,
        &EncodingKey::from_secret(SECRET),
        Algorithm::HS256,
    )
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// A key pair made for this run of the tests.
struct TestKey {
    private: EncodingKey,
    private_pem: String,
    public_pem: String,
    /// The public key as a JWK, without `kid` and `alg`.
    jwk: Value,
}

impl TestKey {
    fn rsa() -> &'static Self {
        static KEY: OnceLock<TestKey> = OnceLock::new();
        KEY.get_or_init(|| {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let private_der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
            let private_pem = pem("PRIVATE KEY", private_der.as_ref());
            let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
                pair.public_key().as_der().unwrap();
            Self {
                private: EncodingKey::from_rsa_pem(private_pem.as_bytes()).unwrap(),
                private_pem,
                public_pem: pem("PUBLIC KEY", public.as_ref()),
                jwk: json!({
                    "kty": "RSA",
                    "n": base64url(pair.public_key().modulus().big_endian_without_leading_zero()),
                    "e": base64url(pair.public_key().exponent().big_endian_without_leading_zero()),
                }),
            }
        })
    }

    fn ec(algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> Self {
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref()).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(point.len() / 2);
        let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            private: EncodingKey::from_ec_der(der.as_ref()),
            private_pem: pem("PRIVATE KEY", der.as_ref()),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            jwk: json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)}),
        }
    }

    fn p256() -> Self {
        Self::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")
    }

    fn p384() -> Self {
        Self::ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384")
    }

    fn ed25519() -> Self {
        const SPKI_PREFIX: [u8; 12] = [
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ];
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
        let public = pair.public_key().as_ref();
        Self {
            private: EncodingKey::from_ed_der(der.as_ref()),
            private_pem: pem("PRIVATE KEY", der.as_ref()),
            public_pem: pem("PUBLIC KEY", &[&SPKI_PREFIX[..], public].concat()),
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(public)}),
        }
    }

    fn jwk_named(&self, id: &str) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = id.into();
        jwk
    }

    fn sign(&self, algorithm: Algorithm, id: Option<&str>, claims: &Value) -> String {
        let mut header = json!({"alg": format!("{algorithm:?}"), "typ": "JWT"});
        if let Some(id) = id {
            header["kid"] = id.into();
        }
        sign_raw(
            &header.to_string(),
            &claims.to_string(),
            &self.private,
            algorithm,
        )
    }
}

fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A file that lives as long as the test.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn pem_config(file: &tempfile::NamedTempFile) -> AuthConfig {
    AuthConfig {
        keys: Some(KeySource::PemFile(file.path().to_owned())),
        ..AuthConfig::default()
    }
}

fn jwks_file_config(file: &tempfile::NamedTempFile) -> AuthConfig {
    AuthConfig {
        keys: Some(KeySource::JwksFile(file.path().to_owned())),
        ..AuthConfig::default()
    }
}
