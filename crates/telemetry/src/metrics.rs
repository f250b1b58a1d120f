//! Counters, and how Prometheus reads them.
//!
//! Kept by hand: the counters of a request are known when the code is written, so each is an atomic at a
//! fixed place; those of a plugin hang on it ([`PluginMetrics`]). `docs/ARCHITECTURE.md` says what the libraries for it would cost.

mod exposition;
mod gauges;
mod histogram;
mod labels;
mod plugins;
mod singles;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

pub use gauges::{Gauges, JobGauges, PoolGauges, WorkerGauges};
use histogram::Histogram;
pub use labels::{CallKind, CallOutcome, Route};
use plugins::PluginNames;
pub use plugins::{PluginFigures, PluginMetrics, RefusalReason};

/// All counters of the process.
pub struct Metrics {
    /// Requests by route and status class (index 1 to 5; 0 for clients that went away).
    requests: [[AtomicU64; 6]; Route::ALL.len()],
    request_time: Histogram,
    /// Asked when they are read.
    names: PluginNames,
    /// Connections open now.
    pub connections_open: AtomicU64,
    /// Connections accepted since the start.
    pub connections_accepted: AtomicU64,
    /// Accepts that failed.
    pub accept_errors: AtomicU64,
    /// Connections cut because a head, a read or a write took too long.
    pub connections_timed_out: AtomicU64,
    /// Requests refused before they could be read: malformed, too large, too late.
    pub requests_refused: AtomicU64,
    /// TLS handshakes begun.
    pub tls_handshakes: AtomicU64,
    /// TLS handshakes that failed or took too long.
    pub tls_handshake_failures: AtomicU64,
    /// Certificates that have taken the place of the one before.
    pub tls_reloads: AtomicU64,
    /// Changed certificates that could not be used.
    pub tls_reload_failures: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Metrics {
    /// None yet; so many plugins are to be named.
    pub fn new(named_plugins: usize) -> Self {
        Self {
            requests: Default::default(),
            request_time: Histogram::default(),
            names: PluginNames::new(named_plugins),
            connections_open: AtomicU64::default(),
            connections_accepted: AtomicU64::default(),
            accept_errors: AtomicU64::default(),
            connections_timed_out: AtomicU64::default(),
            requests_refused: AtomicU64::default(),
            tls_handshakes: AtomicU64::default(),
            tls_handshake_failures: AtomicU64::default(),
            tls_reloads: AtomicU64::default(),
            tls_reload_failures: AtomicU64::default(),
        }
    }

    /// A finished request. `status` 499 stands for a client that went away.
    pub fn request_finished(&self, route: Route, status: u16, time: Duration) {
        let class = if status == 499 {
            0
        } else {
            usize::from(status / 100).min(5)
        };
        self.requests[route as usize][class].fetch_add(1, Ordering::Relaxed);
        self.request_time.record(time);
    }
}
