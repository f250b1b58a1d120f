//! Tokens as an app's backend signs them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

/// The secret every gateway under test is given.
pub const SECRET: &str = "a-secret-of-the-tests-that-is-long-enough";

/// A token's claims, starting from those of an ordinary user.
#[derive(Clone)]
pub struct Claims(Value);

impl Claims {
    /// A user whose token is valid for an hour.
    pub fn user(id: &str) -> Self {
        Self(json!({ "user_id": id, "exp": now_unix() + 3600 }))
    }

    /// With one claim set.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0[name] = value.into();
        self
    }

    /// Without one claim.
    pub fn without(mut self, name: &str) -> Self {
        self.0.as_object_mut().unwrap().remove(name);
        self
    }

    /// Expired an hour ago.
    pub fn expired(self) -> Self {
        self.with("exp", now_unix() - 3600)
    }

    /// Valid from an hour on.
    pub fn not_yet_valid(self) -> Self {
        let from = now_unix() + 3600;
        self.with("nbf", from).with("exp", from + 3600)
    }

    /// Signed with the secret of the tests.
    pub fn sign(&self) -> String {
        self.sign_with(SECRET)
    }

    /// Signed with any secret.
    pub fn sign_with(&self, secret: &str) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::default(), &self.0, &key).unwrap()
    }

    /// Signed with the secret of the tests under a header that no library would write.
    pub fn sign_with_header(&self, header: Value) -> String {
        hs256(&header, &self.0, SECRET.as_bytes())
    }

    /// The claims themselves, for other ways to sign.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

/// A token with any header, signed with any bytes.
pub fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

fn now_unix() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
