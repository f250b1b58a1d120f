//! Counters, and how Prometheus reads them.
//!
//! Kept by hand: the counters of a request are known when the code is written, so each is an atomic at a
//! fixed place; only plugins need a look-up, and theirs is one shared read lock over a map that holds existing
//! plugins only. `docs/ARCHITECTURE.md` says what the libraries for it would cost.

mod exposition;
mod gauges;
mod histogram;
mod labels;
mod singles;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use foldhash::fast::RandomState;
use parking_lot::RwLock;

pub use gauges::{Gauges, JobGauges, PoolGauges, WorkerGauges};
use histogram::Histogram;
pub use labels::{CallKind, CallOutcome, Route};

/// All counters of the process.
#[derive(Default)]
pub struct Metrics {
    /// Requests by route and status class (index 1 to 5; 0 for clients that went away).
    requests: [[AtomicU64; 6]; Route::ALL.len()],
    request_time: Histogram,
    /// By kind of call, then by plugin.
    plugins: [RwLock<HashMap<Arc<str>, Arc<PluginMetrics>, RandomState>>; CallKind::ALL.len()],
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

#[derive(Default)]
struct PluginMetrics {
    calls: [AtomicU64; CallOutcome::ALL.len()],
    time: Histogram,
}

impl Metrics {
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

    /// A finished call of an existing plugin.
    pub fn call_finished(
        &self,
        plugin: &Arc<str>,
        kind: CallKind,
        outcome: CallOutcome,
        time: Duration,
    ) {
        let metrics = self.plugin(plugin, kind);
        metrics.calls[outcome as usize].fetch_add(1, Ordering::Relaxed);
        metrics.time.record(time);
    }

    /// A call of `execute` of an existing plugin that found no room. It never started, so it has no duration.
    pub fn call_refused(&self, plugin: &Arc<str>) {
        self.plugin(plugin, CallKind::Execute).calls[CallOutcome::Overloaded as usize]
            .fetch_add(1, Ordering::Relaxed);
    }

    fn plugin(&self, plugin: &Arc<str>, kind: CallKind) -> Arc<PluginMetrics> {
        let plugins = &self.plugins[kind as usize];
        if let Some(known) = plugins.read().get(plugin) {
            return Arc::clone(known);
        }
        Arc::clone(plugins.write().entry(Arc::clone(plugin)).or_default())
    }
}
