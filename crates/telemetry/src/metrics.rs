//! Counters, and how Prometheus reads them.
//!
//! Kept by hand: the counters of a request are known when the code is written, so each is an atomic
//! at a fixed place and an increment is one instruction. The `metrics` and `prometheus-client`
//! crates look a series up by its labels first, which costs more than everything else here; only
//! plugins need a look-up, and theirs is one shared read lock over a map that holds existing plugins
//! only.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use foldhash::fast::RandomState;
use parking_lot::RwLock;

/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS_US: [u64; 13] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// Which route answered, as far as counting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /api/execute/{plugin}`
    Execute,
    /// Everything else below `/api`.
    Api,
    /// `/__mozaiks/admin`
    Admin,
    /// `/ws`
    WebSocket,
    /// Health, readiness, metrics, documentation.
    Operations,
    /// No route.
    Unknown,
}

impl Route {
    const ALL: [(Route, &'static str); 6] = [
        (Route::Execute, "execute"),
        (Route::Api, "api"),
        (Route::Admin, "admin"),
        (Route::WebSocket, "websocket"),
        (Route::Operations, "operations"),
        (Route::Unknown, "unknown"),
    ];
}

/// The kinds of calls of a plugin that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// `execute`, by a client.
    Execute,
    /// A handler of an event.
    Event,
    /// A handler of a live connection's message.
    Message,
    /// A route of a plugin.
    Route,
    /// A lifecycle function.
    Life,
    /// A run of a scheduled job.
    Job,
}

impl CallKind {
    const ALL: [(CallKind, &'static str); 6] = [
        (CallKind::Execute, "execute"),
        (CallKind::Event, "event"),
        (CallKind::Message, "message"),
        (CallKind::Route, "route"),
        (CallKind::Life, "life"),
        (CallKind::Job, "job"),
    ];
}

/// How a call of a plugin ended, as far as counting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// A dict without an error.
    Ok,
    /// A dict with an error.
    DomainFailure,
    /// The plugin's fault: raised, or returned what cannot be sent.
    PluginError,
    /// Over its time limit.
    TimedOut,
    /// Not taken: full or draining.
    Overloaded,
    /// The request's or the gateway's fault.
    Rejected,
}

impl CallOutcome {
    const ALL: [(CallOutcome, &'static str); 6] = [
        (CallOutcome::Ok, "ok"),
        (CallOutcome::DomainFailure, "domain_failure"),
        (CallOutcome::PluginError, "plugin_error"),
        (CallOutcome::TimedOut, "timeout"),
        (CallOutcome::Overloaded, "overloaded"),
        (CallOutcome::Rejected, "rejected"),
    ];
}

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
}

#[derive(Default)]
struct PluginMetrics {
    calls: [AtomicU64; CallOutcome::ALL.len()],
    time: Histogram,
}

#[derive(Default)]
struct Histogram {
    /// Not cumulative; the last is everything above the largest bound.
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

/// What is measured at the moment of asking rather than counted.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Calls waiting for the runtime.
    pub calls_queued: u64,
    /// Calls running.
    pub calls_running: u64,
    /// Age of the plugin loop's last turn in milliseconds.
    pub loop_lag_ms: u64,
    /// How often a plugin was seen to hold the loop, since the start.
    pub loop_holds: u64,
    /// Scheduled jobs of plugins.
    pub jobs: JobGauges,
    /// Python's threads beside the loop's.
    pub pools: Vec<PoolGauges>,
    /// Verified tokens found in the cache, since the start.
    pub token_cache_hits: u64,
    /// Tokens verified anew, since the start.
    pub token_cache_misses: u64,
    /// Live connections: sockets and event streams.
    pub sockets_open: u64,
    /// Bytes waiting for live connections that do not keep up.
    pub socket_queued_bytes: u64,
    /// Bytes kept for users who reconnect.
    pub socket_history_bytes: u64,
    /// Messages given to live connections, since the start.
    pub socket_messages_sent: u64,
    /// Live connections that the gateway ended, by close code, since the start.
    pub sockets_closed: Vec<(u16, u64)>,
    /// Bytes of large request bodies held now.
    pub body_bytes_held: u64,
    /// Log lines that found no room, since the start.
    pub log_lines_dropped: u64,
    /// Clients that follow log lines of plugins.
    pub plugin_log_followers: u64,
    /// Kept log lines of plugins that made room for newer ones, since the start.
    pub plugin_log_lines_overwritten: u64,
    /// Answers of plugins that come in pieces.
    pub plugin_streams: u64,
    /// Documents of the gateway that could not be read, since the start.
    pub malformed_documents: u64,
    /// Database cursors that plugins have open.
    pub database_cursors: u64,
    /// Database sessions that plugins have open.
    pub database_sessions: u64,
    /// Whether the gateway is ready.
    pub ready: bool,
    /// Seconds since the start.
    pub uptime_seconds: u64,
}

/// Scheduled jobs of plugins.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobGauges {
    /// Jobs that are live.
    pub live: u64,
    /// Runs under way.
    pub running: u64,
    /// Runs since the start, by how they ended.
    pub runs: [(&'static str, u64); 5],
}

/// One pool of Python threads.
#[derive(Debug, Clone, Default)]
pub struct PoolGauges {
    /// Its name: `plain`, `executor`, `resolver`.
    pub name: &'static str,
    /// Work on a thread.
    pub running: u64,
    /// Work that waits for a thread or for its plugin's share.
    pub waiting: u64,
    /// Threads that are in code that does not end.
    pub lost: u64,
    /// Work that found no room, since the start.
    pub refused: u64,
}

/// A family of a pool's figures: name, kind, meaning, which figure.
type PoolFamily = (
    &'static str,
    &'static str,
    &'static str,
    fn(&PoolGauges) -> u64,
);

const POOL_FAMILIES: [PoolFamily; 4] = [
    (
        "mozaiks_python_pool_running",
        "gauge",
        "Work on Python's threads.",
        |pool| pool.running,
    ),
    (
        "mozaiks_python_pool_waiting",
        "gauge",
        "Work that waits for a thread or its plugin's share.",
        |pool| pool.waiting,
    ),
    (
        "mozaiks_python_pool_lost",
        "gauge",
        "Threads in code that does not end.",
        |pool| pool.lost,
    ),
    (
        "mozaiks_python_pool_refused_total",
        "counter",
        "Work that found no room.",
        |pool| pool.refused,
    ),
];

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

    /// Everything in Prometheus' text format.
    pub fn to_prometheus(&self, gauges: &Gauges) -> String {
        let mut text = Text::default();
        text.family("mozaiks_requests_total", "counter", "Requests answered.");
        for (route, name) in Route::ALL {
            for (class, count) in self.requests[route as usize].iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let class = ["client_gone", "1xx", "2xx", "3xx", "4xx", "5xx"][class];
                    text.sample("", &[("route", name), ("status", class)], count);
                }
            }
        }
        text.family(
            "mozaiks_request_duration_seconds",
            "histogram",
            "From a request's head to its answer.",
        );
        self.request_time.write(&mut text, &[]);
        let mut plugins: Vec<_> = self
            .plugins
            .iter()
            .zip(CallKind::ALL)
            .flat_map(|(plugins, (_, kind))| {
                let plugins = plugins.read();
                let named = plugins
                    .iter()
                    .map(|(name, metrics)| (Arc::clone(name), kind, Arc::clone(metrics)));
                named.collect::<Vec<_>>()
            })
            .collect();
        plugins.sort_by(|left, right| (&left.0, left.1).cmp(&(&right.0, right.1)));
        text.family(
            "mozaiks_plugin_calls_total",
            "counter",
            "Calls of plugins that ended.",
        );
        for (plugin, kind, metrics) in &plugins {
            for (outcome, name) in CallOutcome::ALL {
                let count = metrics.calls[outcome as usize].load(Ordering::Relaxed);
                if count > 0 {
                    text.sample(
                        "",
                        &[("plugin", plugin), ("kind", kind), ("outcome", name)],
                        count,
                    );
                }
            }
        }
        text.family(
            "mozaiks_plugin_call_duration_seconds",
            "histogram",
            "How long calls took.",
        );
        for (plugin, kind, metrics) in &plugins {
            metrics
                .time
                .write(&mut text, &[("plugin", plugin), ("kind", kind)]);
        }
        for (name, kind, help, value) in self.singles(gauges) {
            text.family(name, kind, help);
            text.sample("", &[], value);
        }
        text.family(
            "mozaiks_plugin_loop_lag_seconds",
            "gauge",
            "Age of the plugin loop's last turn.",
        );
        text.sample("", &[], gauges.loop_lag_ms as f64 / 1000.0);
        text.family(
            "mozaiks_plugin_loop_holds_total",
            "counter",
            "How often a plugin was seen to hold the loop.",
        );
        text.sample("", &[], gauges.loop_holds);
        text.family("mozaiks_plugin_jobs", "gauge", "Scheduled jobs of plugins.");
        text.sample("", &[], gauges.jobs.live);
        text.family(
            "mozaiks_plugin_job_runs_running",
            "gauge",
            "Runs of jobs under way.",
        );
        text.sample("", &[], gauges.jobs.running);
        text.family(
            "mozaiks_plugin_job_runs_total",
            "counter",
            "Runs of jobs, by how they ended.",
        );
        for (outcome, count) in gauges.jobs.runs {
            text.sample("", &[("outcome", outcome)], count);
        }
        for (name, kind, help, figure) in POOL_FAMILIES {
            text.family(name, kind, help);
            for pool in &gauges.pools {
                text.sample("", &[("pool", pool.name)], figure(pool));
            }
        }
        text.family(
            "mozaiks_sockets_closed_total",
            "counter",
            "Live connections that the gateway ended, by close code.",
        );
        for (code, count) in &gauges.sockets_closed {
            text.sample("", &[("code", &code.to_string())], count);
        }
        text.out
    }

    fn singles(&self, gauges: &Gauges) -> [(&'static str, &'static str, &'static str, u64); 23] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            (
                "mozaiks_calls_queued",
                "gauge",
                "Calls waiting for Python.",
                gauges.calls_queued,
            ),
            (
                "mozaiks_calls_running",
                "gauge",
                "Calls running.",
                gauges.calls_running,
            ),
            (
                "mozaiks_body_bytes_held",
                "gauge",
                "Bytes of large request bodies held.",
                gauges.body_bytes_held,
            ),
            (
                "mozaiks_token_cache_hits_total",
                "counter",
                "Tokens found verified.",
                gauges.token_cache_hits,
            ),
            (
                "mozaiks_token_cache_misses_total",
                "counter",
                "Tokens verified anew.",
                gauges.token_cache_misses,
            ),
            (
                "mozaiks_sockets_open",
                "gauge",
                "Live connections: sockets and event streams.",
                gauges.sockets_open,
            ),
            (
                "mozaiks_socket_queued_bytes",
                "gauge",
                "Waiting for live connections that do not keep up.",
                gauges.socket_queued_bytes,
            ),
            (
                "mozaiks_socket_history_bytes",
                "gauge",
                "Kept for users who reconnect.",
                gauges.socket_history_bytes,
            ),
            (
                "mozaiks_socket_messages_sent_total",
                "counter",
                "Messages given to live connections.",
                gauges.socket_messages_sent,
            ),
            (
                "mozaiks_malformed_documents_total",
                "counter",
                "Documents of the gateway that could not be read.",
                gauges.malformed_documents,
            ),
            (
                "mozaiks_database_cursors_open",
                "gauge",
                "Database cursors that plugins have open.",
                gauges.database_cursors,
            ),
            (
                "mozaiks_database_sessions_open",
                "gauge",
                "Database sessions that plugins have open.",
                gauges.database_sessions,
            ),
            (
                "mozaiks_log_lines_dropped_total",
                "counter",
                "Log lines that found no room.",
                gauges.log_lines_dropped,
            ),
            (
                "mozaiks_plugin_streams_open",
                "gauge",
                "Answers of plugins that come in pieces.",
                gauges.plugin_streams,
            ),
            (
                "mozaiks_plugin_log_followers",
                "gauge",
                "Clients that follow log lines of plugins.",
                gauges.plugin_log_followers,
            ),
            (
                "mozaiks_plugin_log_lines_overwritten_total",
                "counter",
                "Kept log lines of plugins that made room for newer ones.",
                gauges.plugin_log_lines_overwritten,
            ),
            (
                "mozaiks_ready",
                "gauge",
                "1 while ready.",
                u64::from(gauges.ready),
            ),
            (
                "mozaiks_uptime_seconds",
                "gauge",
                "Since the start.",
                gauges.uptime_seconds,
            ),
            (
                "mozaiks_connections_open",
                "gauge",
                "Connections open.",
                read(&self.connections_open),
            ),
            (
                "mozaiks_connections_accepted_total",
                "counter",
                "Connections accepted.",
                read(&self.connections_accepted),
            ),
            (
                "mozaiks_accept_errors_total",
                "counter",
                "Accepts that failed.",
                read(&self.accept_errors),
            ),
            (
                "mozaiks_connections_timed_out_total",
                "counter",
                "Connections cut for being too slow.",
                read(&self.connections_timed_out),
            ),
            (
                "mozaiks_requests_refused_total",
                "counter",
                "Requests refused before they could be read.",
                read(&self.requests_refused),
            ),
        ]
    }
}

impl Histogram {
    fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    fn write(&self, text: &mut Text, labels: &[(&str, &str)]) {
        let mut cumulative = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            cumulative += bucket.load(Ordering::Relaxed);
            let bound = match BUCKETS_US.get(index) {
                Some(micros) => (*micros as f64 / 1e6).to_string(),
                None => "+Inf".to_owned(),
            };
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            text.sample("_bucket", &labels, cumulative);
        }
        text.sample(
            "_sum",
            labels,
            self.sum_us.load(Ordering::Relaxed) as f64 / 1e6,
        );
        text.sample("_count", labels, cumulative);
    }
}

/// The text format, one family after the other.
#[derive(Default)]
struct Text {
    out: String,
    family: &'static str,
}

impl Text {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing into a String cannot fail.
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.out.push_str(self.family);
        self.out.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.out.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.out, "{name}=\"{value}\"");
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_with_the_count() {
        let metrics = Metrics::default();
        let plugin: Arc<str> = "notes".into();
        for micros in [100, 250, 251, 60_000_000] {
            metrics.call_finished(
                &plugin,
                CallKind::Execute,
                CallOutcome::Ok,
                Duration::from_micros(micros),
            );
        }
        metrics.request_finished(Route::Execute, 200, Duration::from_millis(1));
        metrics.request_finished(Route::Execute, 499, Duration::from_millis(1));
        let text = metrics.to_prometheus(&Gauges::default());
        for line in [
            r#"mozaiks_requests_total{route="execute",status="2xx"} 1"#,
            r#"mozaiks_requests_total{route="execute",status="client_gone"} 1"#,
            r#"mozaiks_plugin_calls_total{plugin="notes",kind="execute",outcome="ok"} 4"#,
            r#"mozaiks_plugin_call_duration_seconds_bucket{plugin="notes",kind="execute",le="0.00025"} 2"#,
            r#"mozaiks_plugin_call_duration_seconds_bucket{plugin="notes",kind="execute",le="0.0005"} 3"#,
            r#"mozaiks_plugin_call_duration_seconds_bucket{plugin="notes",kind="execute",le="30"} 3"#,
            r#"mozaiks_plugin_call_duration_seconds_bucket{plugin="notes",kind="execute",le="+Inf"} 4"#,
            r#"mozaiks_plugin_call_duration_seconds_count{plugin="notes",kind="execute"} 4"#,
        ] {
            assert!(
                text.lines().any(|have| have == line),
                "{line} is missing in\n{text}"
            );
        }
    }

    #[test]
    fn the_tables_follow_the_enums() {
        for (index, (route, _)) in Route::ALL.iter().enumerate() {
            assert_eq!(*route as usize, index);
        }
        for (index, (outcome, _)) in CallOutcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, index);
        }
    }
}
