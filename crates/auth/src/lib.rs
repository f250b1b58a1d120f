//! Identity: a bearer token becomes a [`Principal`], or an [`AuthError`] that says why not.
//!
//! No HTTP here, and nothing else in the gateway reads a token. `jsonwebtoken` is used only below
//! this module.

mod cache;
mod claims;
pub mod dev_secret;
mod discovery;
mod fetch;
mod jwks_url;
mod key_store;
mod keys;
mod mapping;
pub mod signer;
mod token;
mod verifier;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use cache::CacheStats;
pub use jwks_url::FetchStats;
pub use verifier::TokenVerifier;

/// Who a verified token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The app the call belongs to.
    pub app_id: Arc<str>,
    /// From the configured claims, else `user_id`, else `sub`, else `uid`.
    pub user_id: Arc<str>,
    /// `username`, else `preferred_username`, else `email`.
    pub username: Option<Arc<str>>,
    /// From the configured claims, else `roles`, else `realm_access.roles`.
    pub roles: Vec<Arc<str>>,
    /// Role `superadmin`, or the claim `is_superadmin: true`.
    pub is_superadmin: bool,
    /// `exp` in seconds since 1970.
    pub expires_at_unix: u64,
    /// Addresses that belong to the user, as the issuer says.
    pub verified: VerifiedContacts,
}

/// Addresses that the issuer of a token has verified: a claim alone is what the user has typed there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct VerifiedContacts {
    /// `email`, where `email_verified` is true.
    pub email: Option<Arc<str>>,
    /// `phone_number`, where `phone_number_verified` is true.
    pub phone: Option<Arc<str>>,
}

impl Principal {
    /// Whether the user has `role`; superadmins have every role.
    pub fn has_role(&self, role: &str) -> bool {
        self.is_superadmin || self.roles.iter().any(|have| &**have == role)
    }

    /// Whether admin endpoints are open: role `admin` or superadmin.
    pub fn is_admin(&self) -> bool {
        self.has_role("admin")
    }
}

/// Why a token was not accepted. Each maps to one status and `error_code`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// 401 `TOKEN_INVALID`. The sentence may go to the client; it never quotes the token.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// 401 `TOKEN_INVALID`, of a claim that the configuration names.
    #[error("the token is not valid: {0}")]
    InvalidClaim(Arc<str>),
    /// 401 `TOKEN_EXPIRED`.
    #[error("the token has expired")]
    Expired,
    /// 401 `TOKEN_NOT_YET_VALID`.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// 401 `TOKEN_TOO_LARGE`.
    #[error("the token is larger than 8 KiB")]
    TooLarge,
    /// 503 `OVERLOADED`: whether the token is valid cannot be said, as the keys cannot be fetched at the
    /// moment. The client may try again.
    #[error("the keys to check tokens with cannot be fetched at the moment")]
    KeysUnavailable,
    /// 403 `APP_MISMATCH`.
    #[error("the token belongs to another app")]
    AppMismatch,
    /// 403 `FORBIDDEN`: the token is good and lacks a scope that every token must have.
    #[error("the token lacks the scope {0}")]
    ScopeMissing(Arc<str>),
}
