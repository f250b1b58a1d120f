//! Configuration: one struct a concern, with default, unit and variable name on each field.
//!
//! Flag > environment > `mozaiks.toml` > default. Loading, checking and printing live in the
//! submodules; nothing here reads the environment by itself.

mod events;
mod hooks;
mod jobs;
mod keys;
mod load;
mod migrations;
mod notifications;
mod original;
mod outbound;
mod print;
mod problem;
mod queue_delay;
mod rates;
mod realtime;
mod redact;
mod requirements;
mod sign_in;
mod source;
mod table;
mod tls;
mod usage;
mod value;
mod workers;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use events::EventsConfig;
pub use hooks::HooksConfig;
pub use ipnet::IpNet as IpNetwork;
pub use jobs::PluginJobsConfig;
pub use keys::{Key, Secrecy};
pub use load::{COMMANDS_OWN, Inputs, Loaded, load};
pub use migrations::MigrationsConfig;
pub use notifications::{ChannelsConfig, EmailConfig, NotificationsConfig, PushConfig, SmsConfig};
pub use outbound::OutboundConfig;
pub use print::{effective, markdown_table};
pub use problem::{Problem, Problems};
pub use queue_delay::QueueDelayConfig;
pub use rates::RatesConfig;
pub use realtime::RealtimeConfig;
pub use redact::redact_uri;
pub use requirements::RequirementsConfig;
pub use sign_in::{ClaimPath, ClaimsConfig};
pub use source::{Environment, MapEnvironment, Origin, ProcessEnvironment};
pub use table::KEYS;
pub use tls::TlsConfig;
pub use usage::UsageConfig;
pub use value::{duration as parse_duration, is_loopback};
pub use workers::WorkersConfig;

/// The whole, checked configuration. Each part of the gateway is given its own section only.
#[derive(Debug, Clone)]
pub struct Config {
    /// Development mode: generated secret, tracebacks to the client, any localhost origin.
    pub dev: bool,
    /// Where the gateway keeps what is its own: dev secret, embedded store.
    pub data_dir: PathBuf,
    /// Listening and HTTP limits.
    pub server: ServerConfig,
    /// Who is let in.
    pub auth: AuthConfig,
    /// Where documents live.
    pub database: DatabaseConfig,
    /// Plugins and their limits.
    pub plugins: PluginsConfig,
    /// How often they and others may be called.
    pub rates: RatesConfig,
    /// How long calls may wait before no more are taken.
    pub queue_delay: QueueDelayConfig,
    /// What is kept of what they use.
    pub usage: UsageConfig,
    /// Where they run.
    pub workers: WorkersConfig,
    /// Their scheduled jobs and health checks.
    pub jobs: PluginJobsConfig,
    /// Migrations of plugins.
    pub migrations: MigrationsConfig,
    /// Live connections and their limits.
    pub realtime: RealtimeConfig,
    /// What is published.
    pub events: EventsConfig,
    /// Filters and actions between plugins.
    pub hooks: HooksConfig,
    /// What users are told, and how.
    pub notifications: NotificationsConfig,
    /// Log lines.
    pub log: LogConfig,
}

/// Listening and HTTP limits.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address to listen on; port 0 picks a free one. `MOZAIKS_LISTEN`
    pub listen: SocketAddr,
    /// First byte and headers of a request. `MOZAIKS_HEADER_TIMEOUT_SECONDS`
    pub header_timeout: Duration,
    /// The whole body of a request. `MOZAIKS_BODY_TIMEOUT_SECONDS`
    pub body_timeout: Duration,
    /// An idle keep-alive connection, and an answer on HTTP/2 that is not taken. `MOZAIKS_IDLE_TIMEOUT_SECONDS`
    pub idle_timeout: Duration,
    /// How long running calls may take to finish at shutdown. `MOZAIKS_DRAIN_TIMEOUT_SECONDS`
    pub drain_timeout: Duration,
    /// Headers in a request. `MOZAIKS_MAX_HEADERS`
    pub max_headers: usize,
    /// Bytes of a request's head. `MOZAIKS_MAX_HEAD_BYTES`
    pub max_head_bytes: usize,
    /// Bytes of a request's URI. `MOZAIKS_MAX_URI_BYTES`
    pub max_uri_bytes: usize,
    /// Bytes of a request's body. `MOZAIKS_MAX_BODY_BYTES`
    pub max_body_bytes: usize,
    /// Bytes of large request bodies held at a time. `MOZAIKS_BODY_MEMORY_BYTES`
    pub body_memory_bytes: usize,
    /// Requests at the same time on one HTTP/2 connection. `MOZAIKS_HTTP2_MAX_STREAMS`
    pub http2_max_streams: usize,
    /// How often an HTTP/2 connection is asked whether it lives. `MOZAIKS_HTTP2_PING_SECONDS`
    pub http2_ping_interval: Duration,
    /// How long a closed connection may take to notice. `MOZAIKS_LINGER_SECONDS`
    pub linger: Duration,
    /// Open connections; further ones wait in the kernel's backlog. `MOZAIKS_MAX_CONNECTIONS`
    pub max_connections: usize,
    /// Origins of browsers that are let in (CORS and WebSocket). `MOZAIKS_CORS_ORIGINS`
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed. `MOZAIKS_TRUSTED_PROXIES`
    pub trusted_proxies: Vec<IpNetwork>,
    /// Answer 200 for domain failures too. `MOZAIKS_DOMAIN_ERRORS_AS_200`
    pub domain_errors_as_200: bool,
    /// Threads that serve connections; 0 takes one per core but one, which is Python's.
    /// `MOZAIKS_IO_THREADS`
    pub io_threads: usize,
    /// TLS on the port, where it is to have it.
    pub tls: TlsConfig,
}

/// Who is let in.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// The app this gateway serves; `*` serves many and demands the claim. `MOZAIKS_APP_ID`
    pub app_id: String,
    /// Where signing keys come from; `None` only where a command needs none.
    pub keys: Option<KeySource>,
    /// Expected `iss`. `MOZAIKS_ISSUER`
    pub issuer: Option<String>,
    /// Expected `aud`. `MOZAIKS_AUDIENCE`
    pub audience: Option<String>,
    /// Clock difference that `exp` and `nbf` forgive. `MOZAIKS_JWT_LEEWAY_SECONDS`
    pub leeway: Duration,
    /// Verified tokens kept. `MOZAIKS_TOKEN_CACHE_SIZE` (0 turns the cache off)
    pub token_cache_size: usize,
    /// Least time between two fetches of keys. `MOZAIKS_JWKS_MIN_REFRESH_SECONDS`
    pub jwks_min_refresh: Duration,
    /// Where in a token users, roles, apps and scopes stand.
    pub claims: ClaimsConfig,
}

/// Where signing keys come from.
#[derive(Clone)]
pub enum KeySource {
    /// A shared secret of at least 32 bytes. `MOZAIKS_JWT_SECRET`, `MOZAIKS_JWT_ALGORITHM`
    Secret {
        /// The secret's bytes.
        secret: Vec<u8>,
        /// HS256, HS384 or HS512.
        algorithm: String,
    },
    /// A public key in PEM. `MOZAIKS_JWT_PUBLIC_KEY_FILE`
    PemFile(PathBuf),
    /// A JWKS document on disk. `MOZAIKS_JWKS_FILE`
    JwksFile(PathBuf),
    /// A JWKS document behind a URL. `MOZAIKS_JWKS_URL`
    JwksUrl(String),
    /// An issuer whose discovery document names its keys. `MOZAIKS_OIDC_ISSUER`
    Oidc(String),
}

/// Where documents live.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// MongoDB URI; `None` starts the embedded store. `MOZAIKS_DATABASE_URI`, alias `DATABASE_URI`
    pub uri: Option<String>,
    /// Database name where the URI names none. `MOZAIKS_DATABASE_NAME` (default `mozaiks`)
    pub name: String,
    /// Database of the gateway's own data; `None` is the name with `_control`.
    /// `MOZAIKS_CONTROL_DATABASE`
    pub control: Option<String>,
    /// Open cursors of one plugin in one app. `MOZAIKS_DATABASE_MAX_CURSORS`
    pub max_cursors: usize,
    /// Open change streams of one plugin in one app. `MOZAIKS_DATABASE_MAX_WATCHES`
    pub max_watches: usize,
    /// Open sessions of one plugin in one app. `MOZAIKS_DATABASE_MAX_SESSIONS`
    pub max_sessions: usize,
    /// How long cursors and sessions may lie unused. `MOZAIKS_DATABASE_IDLE_SECONDS`
    pub idle_timeout: Duration,
    /// Connections where the URI says nothing. `MOZAIKS_DATABASE_POOL_SIZE`
    pub pool_size: usize,
    /// How long to look for a server that takes a command.
    /// `MOZAIKS_DATABASE_SELECTION_TIMEOUT_SECONDS`
    pub selection_timeout: Duration,
    /// How long connecting may take. `MOZAIKS_DATABASE_CONNECT_TIMEOUT_SECONDS`
    pub connect_timeout: Duration,
    /// How long one command may take. `MOZAIKS_DATABASE_COMMAND_TIMEOUT_SECONDS`
    pub command_timeout: Duration,
}

/// Plugins and their limits.
#[derive(Debug, Clone)]
pub struct PluginsConfig {
    /// Answers of one plugin that are streamed at a time. `MOZAIKS_PLUGIN_MAX_STREAMS`
    pub max_streams: usize,
    /// The plugins directory. `MOZAIKS_PLUGINS_PATH`
    pub dir: PathBuf,
    /// Where bytecode of plugins is kept. `MOZAIKS_PLUGIN_CACHE_DIR` (default: below the data directory)
    pub cache_dir: Option<PathBuf>,
    /// Bytes of it. `MOZAIKS_PLUGIN_CACHE_BYTES`
    pub cache_bytes: usize,
    /// One call. `MOZAIKS_PLUGIN_TIMEOUT_SECONDS`; a manifest may say otherwise
    pub call_timeout: Duration,
    /// Waiting for a call's start. `MOZAIKS_PLUGIN_QUEUE_TIMEOUT_SECONDS`
    pub queue_timeout: Duration,
    /// Importing one plugin. `MOZAIKS_PLUGIN_IMPORT_TIMEOUT_SECONDS`
    pub import_timeout: Duration,
    /// One lifecycle function. `MOZAIKS_PLUGIN_HOOK_TIMEOUT_SECONDS`
    pub hook_timeout: Duration,
    /// Whether a plugin that is found for the first time is enabled. `MOZAIKS_PLUGINS_ENABLE_NEW`
    pub enable_new: bool,
    /// Whether changed files are loaded at once; in development mode they are in any case.
    /// `MOZAIKS_PLUGINS_WATCH`
    pub watch: bool,
    /// Time between two looks at the files; 0 waits for the system's notices, where it has any.
    /// `MOZAIKS_PLUGINS_WATCH_POLL_SECONDS`
    pub watch_poll: Duration,
    /// Time between two looks at the registry where the database tells of no changes.
    /// `MOZAIKS_REGISTRY_POLL_SECONDS`
    pub registry_poll: Duration,
    /// Whether plugins stored in the database can be written and run. `MOZAIKS_DATABASE_PLUGINS`
    pub stored: bool,
    /// App of requests to public routes without a token, of a gateway of many. `MOZAIKS_PUBLIC_APP_ID`
    pub public_app_id: Option<String>,
    /// How long the start waits for imports. `MOZAIKS_PLUGIN_START_WAIT_SECONDS`
    pub start_wait: Duration,
    /// Calls waiting for the Python thread, all plugins. `MOZAIKS_PYTHON_QUEUE_SIZE`
    pub queue_size: usize,
    /// Calls of one plugin running or waiting. `MOZAIKS_PLUGIN_MAX_CONCURRENCY`
    pub max_concurrency: usize,
    /// Threads for plain `def` functions. `MOZAIKS_PYTHON_THREADS`
    pub thread_pool_size: usize,
    /// Of these, for one plugin. `MOZAIKS_PYTHON_THREADS_PER_PLUGIN`
    pub threads_per_plugin: usize,
    /// Threads for `asyncio.to_thread` and `run_in_executor`. `MOZAIKS_EXECUTOR_THREADS`
    pub executor_threads: usize,
    /// Of these, for one plugin. `MOZAIKS_EXECUTOR_THREADS_PER_PLUGIN`
    pub executor_threads_per_plugin: usize,
    /// Threads for look-ups of host names; a plugin may have half. `MOZAIKS_RESOLVER_THREADS`
    pub resolver_threads: usize,
    /// A loop held for longer is told of. `MOZAIKS_LOOP_WARNING_SECONDS`
    pub hold_warning: Duration,
    /// A loop held for longer makes the gateway unready. `MOZAIKS_LOOP_UNREADY_SECONDS`
    pub hold_unready: Duration,
    /// Requests of plugins to the gateway that wait for an answer. `MOZAIKS_PLUGIN_MAX_REQUESTS`
    pub max_requests: usize,
    /// Bytes of a result. `MOZAIKS_MAX_OUTPUT_BYTES`
    pub max_output_bytes: usize,
    /// Plugins that `/metrics` names. `MOZAIKS_METRICS_PLUGINS`
    pub named_in_metrics: usize,
    /// Nesting of bodies and results. `MOZAIKS_MAX_DEPTH`
    pub max_depth: usize,
    /// Whether permissions of plugins in directories need an admin's consent too.
    /// `MOZAIKS_PERMISSIONS_CONSENT`
    pub permissions_consent: bool,
    /// Bytes of one file of a plugin's. `MOZAIKS_FILES_MAX_BYTES`
    pub files_max_bytes: usize,
    /// Between two looks at what plugins store. `MOZAIKS_STORAGE_RECOUNT_SECONDS`
    pub storage_recount: Duration,
    /// What the operator lets plugins reach outside. `MOZAIKS_HTTP_APIS`, …
    pub outbound: OutboundConfig,
    /// How what they require is installed. `MOZAIKS_REQUIREMENTS_…`
    pub requirements: RequirementsConfig,
    /// The interpreter whose packages plugins see. `MOZAIKS_PYTHON` (default: a venv beside the
    /// working directory or the binary, else the one the gateway was built with)
    pub python: Option<PathBuf>,
    /// Where the Python SDK lies if it is not installed. `MOZAIKS_SDK_PATH` (default: `python-sdk`
    /// beside the working directory or the binary)
    pub sdk_path: Option<PathBuf>,
}

/// Log lines.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `json` or `pretty`. `MOZAIKS_LOG_FORMAT`
    pub format: LogFormat,
    /// A tracing filter. `MOZAIKS_LOG`
    pub filter: String,
    /// Bytes of lines that may wait for stderr before lines are dropped.
    /// `MOZAIKS_LOG_QUEUE_BYTES`
    pub queue_bytes: usize,
    /// Bytes of the latest lines of one plugin that are kept for admins. `MOZAIKS_PLUGIN_LOG_BYTES`
    pub plugin_bytes: usize,
    /// How many may follow lines of plugins at a time. `MOZAIKS_PLUGIN_LOG_FOLLOWERS`
    pub plugin_followers: usize,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person's terminal.
    Pretty,
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret { algorithm, .. } => write!(f, "Secret({algorithm}, redacted)"),
            Self::PemFile(path) => write!(f, "PemFile({})", path.display()),
            Self::JwksFile(path) => write!(f, "JwksFile({})", path.display()),
            Self::JwksUrl(url) => write!(f, "JwksUrl({})", redact_uri(url)),
            Self::Oidc(issuer) => write!(f, "Oidc({issuer})"),
        }
    }
}

impl std::fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseConfig")
            .field("uri", &self.uri.as_deref().map(redact_uri))
            .field("name", &self.name)
            .finish()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dev: false,
            data_dir: PathBuf::from(".mozaiks"),
            server: ServerConfig::default(),
            auth: AuthConfig::default(),
            database: DatabaseConfig::default(),
            plugins: PluginsConfig::default(),
            rates: RatesConfig::default(),
            queue_delay: QueueDelayConfig::default(),
            usage: UsageConfig::default(),
            workers: WorkersConfig::default(),
            jobs: PluginJobsConfig::default(),
            migrations: MigrationsConfig::default(),
            realtime: RealtimeConfig::default(),
            events: EventsConfig::default(),
            hooks: HooksConfig::default(),
            notifications: NotificationsConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            uri: None,
            name: "mozaiks".into(),
            control: None,
            max_cursors: 1000,
            max_watches: 32,
            max_sessions: 100,
            idle_timeout: Duration::from_secs(600),
            pool_size: 64,
            selection_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(60),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(30),
            max_headers: 64,
            max_head_bytes: 16 * 1024,
            max_uri_bytes: 4 * 1024,
            max_body_bytes: 1024 * 1024,
            body_memory_bytes: 256 * 1024 * 1024,
            http2_max_streams: 256,
            http2_ping_interval: Duration::from_secs(25),
            linger: Duration::from_secs(2),
            max_connections: 16 * 1024,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            domain_errors_as_200: false,
            io_threads: 0,
            tls: TlsConfig::default(),
        }
    }
}

impl ServerConfig {
    /// Threads that serve connections: as configured, else one per core but one; at least one.
    pub fn io_thread_count(&self) -> usize {
        if self.io_threads > 0 {
            return self.io_threads;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        cores.saturating_sub(1).max(1)
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            app_id: "default".into(),
            keys: None,
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(30),
            token_cache_size: 16 * 1024,
            jwks_min_refresh: Duration::from_secs(30),
            claims: ClaimsConfig::default(),
        }
    }
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("runtime/ai/plugins"),
            max_streams: 256,
            cache_dir: None,
            cache_bytes: 256 << 20,
            call_timeout: Duration::from_secs(30),
            queue_timeout: Duration::from_secs(60),
            import_timeout: Duration::from_secs(10),
            hook_timeout: Duration::from_secs(10),
            enable_new: true,
            watch: false,
            watch_poll: Duration::ZERO,
            registry_poll: Duration::from_secs(1),
            stored: false,
            public_app_id: None,
            start_wait: Duration::from_secs(2),
            queue_size: 4096,
            max_concurrency: 1024,
            thread_pool_size: 32,
            threads_per_plugin: 16,
            executor_threads: 32,
            executor_threads_per_plugin: 8,
            resolver_threads: 8,
            hold_warning: Duration::from_millis(250),
            hold_unready: Duration::from_secs(5),
            max_requests: 16 * 1024,
            max_output_bytes: 8 * 1024 * 1024,
            max_depth: 64,
            named_in_metrics: 200,
            permissions_consent: false,
            files_max_bytes: 16 * 1024 * 1024,
            storage_recount: Duration::from_secs(60),
            outbound: OutboundConfig::default(),
            requirements: RequirementsConfig::default(),
            python: None,
            sdk_path: None,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            filter: "info".into(),
            queue_bytes: 4 * 1024 * 1024,
            plugin_bytes: 256 * 1024,
            plugin_followers: 32,
        }
    }
}
