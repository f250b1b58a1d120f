//! Identity: a bearer token becomes a [`Principal`], or an [`AuthError`] that says why not.
//!
//! No HTTP here, and nothing else in the gateway reads a token. `jsonwebtoken` is used only below
//! this module.

use std::sync::Arc;

use crate::config::AuthConfig;

/// Who a verified token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The app the call belongs to.
    pub app_id: Arc<str>,
    /// `user_id`, else `sub`, else `uid`.
    pub user_id: Arc<str>,
    /// `username`, else `preferred_username`, else `email`.
    pub username: Option<Arc<str>>,
    /// `roles`, else `realm_access.roles`.
    pub roles: Vec<Arc<str>>,
    /// Role `superadmin`, or the claim `is_superadmin: true`.
    pub is_superadmin: bool,
    /// `exp` in seconds since 1970.
    pub expires_at_unix: u64,
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
    /// 401 `TOKEN_EXPIRED`.
    #[error("the token has expired")]
    Expired,
    /// 401 `TOKEN_NOT_YET_VALID`.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// 401 `TOKEN_TOO_LARGE`.
    #[error("the token is larger than 8 KiB")]
    TooLarge,
    /// 403 `APP_MISMATCH`.
    #[error("the token belongs to another app")]
    AppMismatch,
}

/// Verifies tokens against the configured keys. Shared by all requests.
pub struct TokenVerifier {}

impl TokenVerifier {
    /// Reads the configured keys. A JWKS URL that is down is not an error: keys are fetched later.
    ///
    /// # Errors
    /// A sentence that names the key of the configuration and what is wrong with it.
    pub fn from_config(_config: &AuthConfig) -> Result<Arc<Self>, String> {
        unimplemented!()
    }

    /// Verifies from what is known now, without waiting: the hot path. `None` where the keys must be
    /// fetched first (unknown `kid` of a JWKS URL); then [`Self::verify`] is the way.
    pub fn verify_now(&self, _token: &str) -> Option<Result<Arc<Principal>, AuthError>> {
        unimplemented!()
    }

    /// Verifies, fetching keys where that is needed and allowed.
    pub async fn verify(&self, _token: &str) -> Result<Arc<Principal>, AuthError> {
        unimplemented!()
    }
}
