//! Who asks too often. Users are counted where their token has been verified, everybody else by address: a
//! token that is no good, a path that is none, a public route. What is counted once is not counted again.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::HeaderMap;

use super::{client_address::ClientAddress, error::ApiError, state::App};
use mozaiks_auth::Principal;

/// Whom a request is counted for, as long as nobody has been.
#[derive(Debug, Default)]
pub struct Counting {
    /// Known only where addresses are limited.
    address: Option<IpAddr>,
    done: AtomicBool,
}

impl Counting {
    pub(super) fn of(app: &App, peer: IpAddr, headers: &HeaderMap) -> Self {
        let client = || ClientAddress::of(peer, headers, &app.server.trusted_proxies);
        Self {
            address: app.rates.counts_addresses().then(|| client().counted()),
            done: AtomicBool::new(false),
        }
    }

    /// The request is nobody's to be counted for: what watches the gateway must always see it.
    pub(super) fn spare(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    /// Whether this is the first to count.
    fn begin(&self) -> bool {
        !self.done.swap(true, Ordering::Relaxed)
    }

    /// Counts the request for a verified user.
    pub(super) fn user(&self, app: &App, principal: &Principal) -> Result<(), ApiError> {
        if !self.begin() {
            return Ok(());
        }
        let counted = app.rates.count_user(&principal.app_id, &principal.user_id);
        counted.map_err(limited)
    }

    /// Counts the request for its address, if for nobody else.
    pub(super) fn address(&self, app: &App) -> Result<(), ApiError> {
        match self.address {
            Some(address) if self.begin() => app.rates.count_address(address).map_err(limited),
            _ => Ok(()),
        }
    }

    /// Counts what its credentials have come to.
    pub(super) fn outcome<T>(
        &self,
        app: &App,
        identified: Result<T, ApiError>,
        principal: impl FnOnce(&T) -> Option<&Principal>,
    ) -> Result<T, ApiError> {
        match &identified {
            Ok(identity) => match principal(identity) {
                Some(principal) => self.user(app, principal)?,
                None => self.address(app)?,
            },
            Err(_) => self.address(app)?,
        }
        identified
    }
}

/// Whether a path is asked by what watches the gateway.
pub(super) fn is_watching(path: &str) -> bool {
    matches!(path, "/health" | "/ready" | "/metrics")
}

/// As a client is told.
pub(super) fn limited(wait: Duration) -> ApiError {
    ApiError::RateLimited { wait }
}
