//! What is measured at the moment of asking.

/// What is measured at the moment of asking rather than counted.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Plugins and their calls.
    pub plugins: Vec<(std::sync::Arc<str>, super::PluginFigures)>,
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
    /// Processes that run plugins.
    pub workers: Vec<WorkerGauges>,
    /// Workers that have ended without being asked, since the start, by plugin or pool.
    pub worker_restarts: Vec<(String, u64)>,
    /// Python's threads beside the loop's.
    pub pools: Vec<PoolGauges>,
    /// Verified tokens found in the cache, since the start.
    pub token_cache_hits: u64,
    /// Tokens verified anew, since the start.
    pub token_cache_misses: u64,
    /// Keys that tokens are checked with.
    pub auth_keys: u64,
    /// Fetches of keys that brought some, since the start.
    pub key_fetches: u64,
    /// Fetches of keys that brought none, since the start.
    pub key_fetch_failures: u64,
    /// Live connections: sockets and event streams.
    pub sockets_open: u64,
    /// Bytes waiting for live connections that do not keep up.
    pub socket_queued_bytes: u64,
    /// Bytes kept for users who reconnect.
    pub socket_history_bytes: u64,
    /// Groups of live connections.
    pub groups: u64,
    /// Users in groups, counted in each.
    pub group_members: u64,
    /// Messages sent to groups, since the start.
    pub group_messages: u64,
    /// Users and connections that found no room in a group, since the start.
    pub group_refusals: u64,
    /// Messages given to live connections, since the start.
    pub socket_messages_sent: u64,
    /// Writes to live connections, since the start.
    pub socket_writes: u64,
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
    /// What plugins asked for without the permission, by plugin, since the start.
    pub permission_denials: Vec<(std::sync::Arc<str>, u64)>,
    /// What was noticed about plugins, by kind, since the start.
    pub findings: Vec<(&'static str, u64)>,
    /// Requests and messages over a rate, by limit, since the start.
    pub rate_limited: Vec<(&'static str, u64)>,
    /// Usage of plugins that was not counted, since the start.
    pub usage_uncounted: u64,
    /// Hooks: chains, functions that failed, functions that were left out, chains that were too deep.
    pub hooks: [u64; 4],
    /// Calls of parts that were not written down.
    pub executions_dropped: u64,
    /// Levels of subscribers that did not wait for the end of those before them.
    pub event_levels_overrun: u64,
    /// Callers whose rate was forgotten to make room, since the start.
    pub rate_callers_forgotten: u64,
    /// Writes of plugins that found what they may store used up, since the start.
    pub storage_refusals: u64,
    /// Sites of packages that were installed for plugins, and those that could not be, since the start.
    pub installations: (u64, u64),
    /// Answers of plugins that come in pieces.
    pub plugin_streams: u64,
    /// Modules of plugins that came from kept bytecode.
    pub plugin_modules_cached: u64,
    /// Modules of plugins that were compiled.
    pub plugin_modules_compiled: u64,
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

/// The workers of one plugin, or those that are shared.
#[derive(Debug, Clone, Default)]
pub struct WorkerGauges {
    /// The plugin, or `shared`.
    pub pool: String,
    /// Processes.
    pub count: u64,
    /// Calls in them.
    pub running: u64,
    /// Calls that wait for one.
    pub waiting: u64,
    /// Resident bytes of all.
    pub memory_bytes: u64,
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
