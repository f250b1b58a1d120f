//! Tokens as an app's backend signs them.

use std::time::{SystemTime, UNIX_EPOCH};

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
}

fn now_unix() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
