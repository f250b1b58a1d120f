//! Figures that stand alone, without labels.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Gauges, Metrics};

impl Metrics {
    /// Name, kind, meaning and value of each.
    pub(super) fn singles(
        &self,
        gauges: &Gauges,
    ) -> [(&'static str, &'static str, &'static str, u64); 47] {
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
                "mozaiks_auth_keys",
                "gauge",
                "Keys that tokens are checked with.",
                gauges.auth_keys,
            ),
            (
                "mozaiks_key_fetches_total",
                "counter",
                "Fetches that brought keys.",
                gauges.key_fetches,
            ),
            (
                "mozaiks_key_fetch_failures_total",
                "counter",
                "Fetches that brought no keys.",
                gauges.key_fetch_failures,
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
                "mozaiks_groups",
                "gauge",
                "Groups of live connections.",
                gauges.groups,
            ),
            (
                "mozaiks_group_members",
                "gauge",
                "Users in groups, counted in each.",
                gauges.group_members,
            ),
            (
                "mozaiks_group_messages_total",
                "counter",
                "Messages sent to groups.",
                gauges.group_messages,
            ),
            (
                "mozaiks_group_refusals_total",
                "counter",
                "Users and connections that found no room in a group.",
                gauges.group_refusals,
            ),
            (
                "mozaiks_socket_messages_sent_total",
                "counter",
                "Messages given to live connections.",
                gauges.socket_messages_sent,
            ),
            (
                "mozaiks_socket_writes_total",
                "counter",
                "Writes to live connections; one may carry many messages.",
                gauges.socket_writes,
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
                "mozaiks_rate_callers_forgotten_total",
                "counter",
                "Callers whose rate was forgotten to make room.",
                gauges.rate_callers_forgotten,
            ),
            (
                "mozaiks_usage_uncounted_total",
                "counter",
                "Usage of plugins that was not counted, because too many apps were.",
                gauges.usage_uncounted,
            ),
            (
                "mozaiks_event_levels_overrun_total",
                "counter",
                "Subscribers that had waited long enough for those of a lower priority.",
                gauges.event_levels_overrun,
            ),
            (
                "mozaiks_executions_dropped_total",
                "counter",
                "Calls of plugins' parts that were not written down.",
                gauges.executions_dropped,
            ),
            (
                "mozaiks_hook_chains_total",
                "counter",
                "Hooks that were applied and had functions.",
                gauges.hooks[0],
            ),
            (
                "mozaiks_hook_failures_total",
                "counter",
                "Functions of hooks that failed or took too long.",
                gauges.hooks[1],
            ),
            (
                "mozaiks_hooks_skipped_total",
                "counter",
                "Functions of hooks that were left out, because the chain's time was up.",
                gauges.hooks[2],
            ),
            (
                "mozaiks_hooks_too_deep_total",
                "counter",
                "Hooks that were not applied, because they were applied within too many others.",
                gauges.hooks[3],
            ),
            (
                "mozaiks_plugin_requirements_installed_total",
                "counter",
                "Installations of what a plugin requires.",
                gauges.installations.0,
            ),
            (
                "mozaiks_plugin_requirements_failures_total",
                "counter",
                "Installations of what a plugin requires that failed.",
                gauges.installations.1,
            ),
            (
                "mozaiks_plugin_streams_open",
                "gauge",
                "Answers of plugins that come in pieces.",
                gauges.plugin_streams,
            ),
            (
                "mozaiks_plugin_modules_cached_total",
                "counter",
                "Modules of plugins that were loaded from kept bytecode.",
                gauges.plugin_modules_cached,
            ),
            (
                "mozaiks_plugin_modules_compiled_total",
                "counter",
                "Modules of plugins that were compiled for a load.",
                gauges.plugin_modules_compiled,
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
            (
                "mozaiks_tls_handshakes_total",
                "counter",
                "TLS handshakes begun.",
                read(&self.tls_handshakes),
            ),
            (
                "mozaiks_tls_handshake_failures_total",
                "counter",
                "TLS handshakes that failed or took too long.",
                read(&self.tls_handshake_failures),
            ),
            (
                "mozaiks_tls_reloads_total",
                "counter",
                "Certificates that took the place of the one before.",
                read(&self.tls_reloads),
            ),
            (
                "mozaiks_tls_reload_failures_total",
                "counter",
                "Changed certificates that could not be used.",
                read(&self.tls_reload_failures),
            ),
        ]
    }
}
