//! Checks the tokens of live connections, and notes who connects.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::http::ApiError;
use mozaiks_auth::{AuthError, Principal, TokenVerifier};
use mozaiks_lifecycle::apps::KnownApps;
use mozaiks_notifications::NotificationsManager;
use mozaiks_plugins::rates::RateLimits;
use mozaiks_realtime::{AuthFailure, Authenticator, CloseCode, Identity};

/// A token is looked at again after a year at the latest.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Checks the tokens of live connections.
pub struct SocketTokens {
    verifier: Arc<TokenVerifier>,
    leeway: Duration,
    rates: Arc<RateLimits>,
    // Told who connects.
    notifications: Arc<NotificationsManager>,
    // Likewise.
    apps: Arc<KnownApps>,
}

impl SocketTokens {
    /// With the verifier of all requests, the leeway it grants and how often users may come; notes who
    /// connects, for broadcasts and for what plugins do in each app.
    pub fn new(
        verifier: Arc<TokenVerifier>,
        leeway: Duration,
        rates: Arc<RateLimits>,
        notifications: Arc<NotificationsManager>,
        apps: Arc<KnownApps>,
    ) -> Arc<Self> {
        Arc::new(Self {
            verifier,
            leeway,
            rates,
            notifications,
            apps,
        })
    }
}

impl Authenticator for SocketTokens {
    fn authenticate(
        &self,
        token: String,
    ) -> BoxFuture<'static, Result<Arc<Principal>, AuthFailure>> {
        let (verifier, rates) = (Arc::clone(&self.verifier), Arc::clone(&self.rates));
        Box::pin(async move {
            let verified = match verifier.verify_now(&token) {
                Some(verified) => verified,
                None => verifier.verify(&token).await,
            };
            let principal = verified.map_err(failure)?;
            let counted = rates.count_user(&principal.app_id, &principal.user_id);
            counted.map_err(|wait| AuthFailure {
                error_code: ApiError::RateLimited { wait }.status_and_code().1,
                close: CloseCode::TooMany,
            })?;
            Ok(principal)
        })
    }

    fn identity_of(&self, principal: &Arc<Principal>) -> Identity {
        self.notifications.directory().note(principal);
        self.apps.see(&principal.app_id);
        let now_unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let expires_at = Duration::from_secs(principal.expires_at_unix);
        let left = expires_at.saturating_sub(now_unix);
        // Only a token that is let in thanks to the leeway is given it.
        let left = if left.is_zero() {
            (expires_at + self.leeway).saturating_sub(now_unix)
        } else {
            left
        };
        Identity {
            principal: Arc::clone(principal),
            valid_until: Instant::now() + left.min(LONGEST),
        }
    }
}

fn failure(error: AuthError) -> AuthFailure {
    let close = match &error {
        AuthError::AppMismatch | AuthError::ScopeMissing(_) => CloseCode::Forbidden,
        AuthError::Invalid(_)
        | AuthError::InvalidClaim(_)
        | AuthError::Expired
        | AuthError::NotYetValid
        | AuthError::TooLarge
        | AuthError::KeysUnavailable => CloseCode::Unauthorized,
    };
    AuthFailure {
        error_code: ApiError::from(error).status_and_code().1,
        close,
    }
}
