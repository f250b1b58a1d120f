//! Counters and gauges in Prometheus' text format.

use std::{fmt::Write as _, sync::atomic::Ordering};

use super::{
    CallKind, CallOutcome, Gauges, Metrics, PluginFigures, PoolGauges, Route, WorkerGauges,
};

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

type WorkerFamily = (&'static str, &'static str, fn(&WorkerGauges) -> u64);

const WORKER_FAMILIES: [WorkerFamily; 4] = [
    ("mozaiks_workers", "Processes that run plugins.", |pool| {
        pool.count
    }),
    (
        "mozaiks_worker_calls_running",
        "Calls in processes that run plugins.",
        |pool| pool.running,
    ),
    (
        "mozaiks_worker_calls_waiting",
        "Calls that wait for such a process.",
        |pool| pool.waiting,
    ),
    (
        "mozaiks_worker_memory_bytes",
        "Resident memory of processes that run plugins.",
        |pool| pool.memory_bytes,
    ),
];

impl Metrics {
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
        self.write_plugins(&mut text, gauges);
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
        text.family(
            "mozaiks_plugin_permission_denials_total",
            "counter",
            "What plugins asked for without the permission.",
        );
        for (plugin, count) in &gauges.permission_denials {
            text.sample("", &[("plugin", plugin)], count);
        }
        text.family(
            "mozaiks_plugin_findings_total",
            "counter",
            "What was noticed about plugins that is likely not meant, by kind.",
        );
        for (kind, count) in &gauges.findings {
            text.sample("", &[("kind", kind)], count);
        }
        text.family(
            "mozaiks_rate_limited_total",
            "counter",
            "Requests and messages over a rate, by limit.",
        );
        for (limit, count) in &gauges.rate_limited {
            text.sample("", &[("limit", limit)], count);
        }
        text.family(
            "mozaiks_plugin_storage_refusals_total",
            "counter",
            "Writes of plugins that found what they may store used up.",
        );
        text.sample("", &[], gauges.storage_refusals);
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
        for (name, help, figure) in WORKER_FAMILIES {
            text.family(name, "gauge", help);
            for pool in &gauges.workers {
                text.sample("", &[("pool", &pool.pool)], figure(pool));
            }
        }
        text.family(
            "mozaiks_worker_restarts_total",
            "counter",
            "Processes that run plugins and have ended without being asked.",
        );
        for (pool, count) in &gauges.worker_restarts {
            text.sample("", &[("pool", pool)], count);
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
}

impl Metrics {
    fn write_plugins(&self, text: &mut Text, gauges: &Gauges) {
        let plugins = self.names.group(&gauges.plugins);
        text.family(
            "mozaiks_plugin_calls_total",
            "counter",
            "Calls of plugins that ended.",
        );
        for (plugin, PluginFigures { metrics, .. }) in &plugins {
            for (kind, kind_name) in CallKind::ALL {
                for (outcome, name) in CallOutcome::ALL {
                    let labels = [
                        ("plugin", &**plugin),
                        ("kind", kind_name),
                        ("outcome", name),
                    ];
                    text.counter(&labels, metrics.calls(kind, outcome));
                }
            }
        }
        text.family(
            "mozaiks_plugin_call_duration_seconds",
            "histogram",
            "How long calls took.",
        );
        for (plugin, PluginFigures { metrics, .. }) in &plugins {
            for (kind, name) in CallKind::ALL {
                let time = metrics.time(kind);
                time.write_used(text, &[("plugin", plugin), ("kind", name)]);
            }
        }
        text.family(
            "mozaiks_plugin_errors_total",
            "counter",
            "Calls of plugins that failed, by error code.",
        );
        for (plugin, PluginFigures { metrics, .. }) in &plugins {
            for (code, count) in metrics.errors() {
                text.counter(&[("plugin", plugin), ("code", code)], count);
            }
        }
        text.family(
            "mozaiks_plugin_calls_refused_total",
            "counter",
            "Calls of plugins that were not taken, by reason.",
        );
        for (plugin, PluginFigures { metrics, .. }) in &plugins {
            for (reason, count) in metrics.refused() {
                text.counter(&[("plugin", plugin), ("reason", reason)], count);
            }
        }
        text.family(
            "mozaiks_plugin_queue_delay_seconds",
            "histogram",
            "From a call's acceptance to its start.",
        );
        for (plugin, PluginFigures { metrics, .. }) in &plugins {
            metrics
                .queue_delay()
                .write_used(text, &[("plugin", plugin)]);
        }
        text.family(
            "mozaiks_plugin_calls_waiting",
            "gauge",
            "Calls that were taken and have not begun.",
        );
        for (plugin, figures) in &plugins {
            text.sample("", &[("plugin", plugin)], figures.waiting);
        }
        text.family("mozaiks_plugin_calls_running", "gauge", "Calls that run.");
        for (plugin, figures) in &plugins {
            text.sample("", &[("plugin", plugin)], figures.running);
        }
    }
}

/// The text format, one family after the other.
#[derive(Default)]
pub(super) struct Text {
    out: String,
    family: &'static str,
}

impl Text {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing into a String cannot fail.
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample of the family, if anything was counted.
    fn counter(&mut self, labels: &[(&str, &str)], count: u64) {
        if count > 0 {
            self.sample("", labels, count);
        }
    }

    /// A sample of the family; its name may have a suffix.
    pub(super) fn sample(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl std::fmt::Display,
    ) {
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_with_the_count() {
        let metrics = Metrics::default();
        let figures = PluginFigures::default();
        for micros in [100, 250, 251, 60_000_000] {
            figures.metrics.call_finished(
                CallKind::Execute,
                CallOutcome::Ok,
                Duration::from_micros(micros),
            );
        }
        metrics.request_finished(Route::Execute, 200, Duration::from_millis(1));
        metrics.request_finished(Route::Execute, 499, Duration::from_millis(1));
        let text = metrics.to_prometheus(&Gauges {
            plugins: vec![("notes".into(), figures)],
            ..Gauges::default()
        });
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
}
