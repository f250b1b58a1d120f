//! The one table of configuration keys. Loading, checking, flags, `mozaiks config` and the table in
//! the documentation are made from it; a new key is a new row here.

mod notifications;
mod realtime;

use std::time::Duration;

use self::{notifications::NOTIFICATIONS, realtime::REALTIME};
use crate::config::{
    keys::{Field, Key, key},
    value,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The least length of a shared secret, in bytes.
const MIN_SECRET_BYTES: usize = 32;

/// Every key there is, in the order of the documentation.
pub static KEYS: &[Key] = &join::<{ GENERAL.len() + REALTIME.len() + NOTIFICATIONS.len() }>(
    &join::<{ GENERAL.len() + REALTIME.len() }>(GENERAL, REALTIME),
    NOTIFICATIONS,
);

const fn join<const ALL: usize>(first: &[Key], second: &[Key]) -> [Key; ALL] {
    let mut all = [first[0]; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < first.len() {
            first[at]
        } else {
            second[at - first.len()]
        };
        at += 1;
    }
    all
}

const GENERAL: &[Key] = &[
    key(
        "dev",
        "MOZAIKS_DEV",
        "dev",
        "Development mode: a secret generated once under the data directory, tracebacks to the client, any localhost origin, pages of plugins under `/demo`.",
        Field::Switch(|s| &mut s.config.dev),
    ),
    key(
        "listen",
        "MOZAIKS_LISTEN",
        "listen",
        "Address to listen on; port 0 picks a free one.",
        Field::Address(|s| &mut s.config.server.listen),
    ),
    key(
        "plugins_path",
        "MOZAIKS_PLUGINS_PATH",
        "plugins",
        "Directory that holds the plugins.",
        Field::Path(|s| &mut s.config.plugins.dir),
    ),
    key(
        "data_dir",
        "MOZAIKS_DATA_DIR",
        "data-dir",
        "Where the gateway keeps what is its own: the development secret and the embedded store.",
        Field::Path(|s| &mut s.config.data_dir),
    ),
    key(
        "database_uri",
        "MOZAIKS_DATABASE_URI",
        "database-uri",
        "MongoDB URI; without one the embedded store is used.",
        Field::OptionalText {
            at: |s| &mut s.config.database.uri,
            check: value::is_database_uri,
            allowed: "mongodb://HOST… or mongodb+srv://HOST…",
        },
    )
    .aliases(&["DATABASE_URI"])
    .uri(),
    key(
        "database_name",
        "MOZAIKS_DATABASE_NAME",
        "database-name",
        "Database used where the URI names none.",
        Field::Text {
            at: |s| &mut s.config.database.name,
            check: value::is_database_name,
            allowed: "1 to 63 bytes without / \\ . \" $ or a space",
        },
    ),
    key(
        "database_pool_size",
        "MOZAIKS_DATABASE_POOL_SIZE",
        "database-pool-size",
        "Connections to the database where the URI says nothing.",
        Field::Count {
            at: |s| &mut s.config.database.pool_size,
            min: 1,
            max: 10_000,
        },
    ),
    key(
        "database_selection_timeout_seconds",
        "MOZAIKS_DATABASE_SELECTION_TIMEOUT_SECONDS",
        "database-selection-timeout",
        "How long to look for a server that takes a command.",
        Field::Seconds {
            at: |s| &mut s.config.database.selection_timeout,
            min: ms(100),
            max: secs(300),
        },
    ),
    key(
        "database_connect_timeout_seconds",
        "MOZAIKS_DATABASE_CONNECT_TIMEOUT_SECONDS",
        "database-connect-timeout",
        "How long connecting to a server may take.",
        Field::Seconds {
            at: |s| &mut s.config.database.connect_timeout,
            min: ms(100),
            max: secs(300),
        },
    ),
    key(
        "database_command_timeout_seconds",
        "MOZAIKS_DATABASE_COMMAND_TIMEOUT_SECONDS",
        "database-command-timeout",
        "How long one command may take all in all.",
        Field::Seconds {
            at: |s| &mut s.config.database.command_timeout,
            min: ms(100),
            max: secs(3600),
        },
    ),
    key(
        "event_max_bytes",
        "MOZAIKS_EVENT_MAX_BYTES",
        "event-max-bytes",
        "Bytes of one event's data.",
        Field::Bytes {
            at: |s| &mut s.config.events.max_event_bytes,
            min: KIB,
            max: 16 * MIB,
        },
    ),
    key(
        "event_queue_size",
        "MOZAIKS_EVENT_QUEUE_SIZE",
        "event-queue-size",
        "Events waiting for one subscription; the oldest goes when there are more.",
        Field::Count {
            at: |s| &mut s.config.events.queue_size,
            min: 1,
            max: 10_000_000,
        },
    ),
    key(
        "event_queue_bytes",
        "MOZAIKS_EVENT_QUEUE_BYTES",
        "event-queue-bytes",
        "Bytes waiting for one subscription.",
        Field::Bytes {
            at: |s| &mut s.config.events.queue_bytes,
            min: MIB,
            max: 4096 * MIB,
        },
    ),
    key(
        "event_total_bytes",
        "MOZAIKS_EVENT_TOTAL_BYTES",
        "event-total-bytes",
        "Bytes of events held at a time; queues with more than their share shrink beyond it.",
        Field::Bytes {
            at: |s| &mut s.config.events.total_bytes,
            min: MIB,
            max: 16 * 1024 * MIB,
        },
    ),
    key(
        "event_delivery_timeout_seconds",
        "MOZAIKS_EVENT_DELIVERY_TIMEOUT_SECONDS",
        "event-delivery-timeout",
        "One attempt to deliver an event to a subscriber.",
        Field::Seconds {
            at: |s| &mut s.config.events.delivery_timeout,
            min: ms(10),
            max: secs(3600),
        },
    ),
    key(
        "event_history_size",
        "MOZAIKS_EVENT_HISTORY_SIZE",
        "event-history-size",
        "Events kept of each name.",
        Field::Count {
            at: |s| &mut s.config.events.history_per_name,
            min: 0,
            max: 10_000,
        },
    ),
    key(
        "event_history_bytes",
        "MOZAIKS_EVENT_HISTORY_BYTES",
        "event-history-bytes",
        "Bytes of events kept as history.",
        Field::Bytes {
            at: |s| &mut s.config.events.history_bytes,
            min: KIB,
            max: 4096 * MIB,
        },
    ),
    key(
        "event_dead_letters",
        "MOZAIKS_EVENT_DEAD_LETTERS",
        "event-dead-letters",
        "Deliveries that failed for good, kept for admins.",
        Field::Count {
            at: |s| &mut s.config.events.max_dead_letters,
            min: 0,
            max: 1_000_000,
        },
    ),
    key(
        "app_id",
        "MOZAIKS_APP_ID",
        "app-id",
        "The app this gateway serves; `*` serves many and demands the claim `app_id`.",
        Field::Text {
            at: |s| &mut s.config.auth.app_id,
            check: |text| {
                (1..=128).contains(&text.len())
                    && !text.contains(|c: char| c.is_whitespace() || c.is_control())
            },
            allowed: "1 to 128 bytes without spaces, or `*`",
        },
    ),
    key(
        "jwt_secret",
        "MOZAIKS_JWT_SECRET",
        "jwt-secret",
        "Shared secret that signs tokens. Prefer the variable: other users can read flags.",
        Field::OptionalText {
            at: |s| &mut s.jwt_secret,
            check: |text| text.len() >= MIN_SECRET_BYTES,
            allowed: "at least 32 bytes",
        },
    )
    .aliases(&["JWT_SECRET"])
    .secret(),
    key(
        "jwt_algorithm",
        "MOZAIKS_JWT_ALGORITHM",
        "jwt-algorithm",
        "Algorithm of the shared secret; a public key brings its own.",
        Field::Choice {
            at: |s| &mut s.jwt_algorithm,
            of: &["HS256", "HS384", "HS512"],
        },
    )
    .aliases(&["JWT_ALGORITHM"]),
    key(
        "jwt_public_key_file",
        "MOZAIKS_JWT_PUBLIC_KEY_FILE",
        "jwt-public-key-file",
        "Public key in PEM (RSA of at least 2048 bits, P-256, P-384 or Ed25519).",
        Field::OptionalPath(|s| &mut s.jwt_public_key_file),
    ),
    key(
        "jwks_file",
        "MOZAIKS_JWKS_FILE",
        "jwks-file",
        "JWKS document on disk, read again when it changes.",
        Field::OptionalPath(|s| &mut s.jwks_file),
    ),
    key(
        "jwks_url",
        "MOZAIKS_JWKS_URL",
        "jwks-url",
        "JWKS document behind a URL, fetched again on an unknown `kid`.",
        Field::OptionalText {
            at: |s| &mut s.jwks_url,
            check: value::is_safe_url,
            allowed: "an https:// URL, or http:// on this machine",
        },
    )
    .uri(),
    key(
        "jwks_min_refresh_seconds",
        "MOZAIKS_JWKS_MIN_REFRESH_SECONDS",
        "jwks-min-refresh-seconds",
        "Least time between two fetches of the JWKS URL.",
        Field::Seconds {
            at: |s| &mut s.config.auth.jwks_min_refresh,
            min: secs(1),
            max: secs(3600),
        },
    ),
    key(
        "issuer",
        "MOZAIKS_ISSUER",
        "issuer",
        "Expected `iss`; not checked where unset.",
        Field::OptionalText {
            at: |s| &mut s.config.auth.issuer,
            check: |text| !text.trim().is_empty(),
            allowed: "a text",
        },
    ),
    key(
        "audience",
        "MOZAIKS_AUDIENCE",
        "audience",
        "Expected `aud`; not checked where unset.",
        Field::OptionalText {
            at: |s| &mut s.config.auth.audience,
            check: |text| !text.trim().is_empty(),
            allowed: "a text",
        },
    ),
    key(
        "jwt_leeway_seconds",
        "MOZAIKS_JWT_LEEWAY_SECONDS",
        "jwt-leeway-seconds",
        "Clock difference that `exp` and `nbf` forgive.",
        Field::Seconds {
            at: |s| &mut s.config.auth.leeway,
            min: secs(0),
            max: secs(300),
        },
    ),
    key(
        "token_cache_size",
        "MOZAIKS_TOKEN_CACHE_SIZE",
        "token-cache-size",
        "Verified tokens kept; 0 verifies every token anew.",
        Field::Count {
            at: |s| &mut s.config.auth.token_cache_size,
            min: 0,
            max: 1_000_000,
        },
    ),
    key(
        "cors_origins",
        "MOZAIKS_CORS_ORIGINS",
        "cors-origins",
        "Origins of browsers that are let in, by comma; serves CORS and the WebSocket check alike.",
        Field::Origins(|s| &mut s.config.server.cors_origins),
    ),
    key(
        "domain_errors_as_200",
        "MOZAIKS_DOMAIN_ERRORS_AS_200",
        "domain-errors-as-200",
        "Answer 200 where a plugin returns an `error`, for clients that want it.",
        Field::Switch(|s| &mut s.config.server.domain_errors_as_200),
    ),
    key(
        "io_threads",
        "MOZAIKS_IO_THREADS",
        "io-threads",
        "Threads that serve connections; 0 takes one per core but one, which is Python's.",
        Field::Count {
            at: |s| &mut s.config.server.io_threads,
            min: 0,
            max: 1024,
        },
    ),
    key(
        "header_timeout_seconds",
        "MOZAIKS_HEADER_TIMEOUT_SECONDS",
        "header-timeout-seconds",
        "Time for the first byte and the headers of a request.",
        Field::Seconds {
            at: |s| &mut s.config.server.header_timeout,
            min: ms(100),
            max: secs(3600),
        },
    ),
    key(
        "body_timeout_seconds",
        "MOZAIKS_BODY_TIMEOUT_SECONDS",
        "body-timeout-seconds",
        "Time for the whole body of a request.",
        Field::Seconds {
            at: |s| &mut s.config.server.body_timeout,
            min: ms(100),
            max: secs(3600),
        },
    ),
    key(
        "idle_timeout_seconds",
        "MOZAIKS_IDLE_TIMEOUT_SECONDS",
        "idle-timeout-seconds",
        "Time an idle keep-alive connection stays open, and an HTTP/2 client may leave an answer untaken.",
        Field::Seconds {
            at: |s| &mut s.config.server.idle_timeout,
            min: ms(100),
            max: secs(3600),
        },
    ),
    key(
        "drain_timeout_seconds",
        "MOZAIKS_DRAIN_TIMEOUT_SECONDS",
        "drain-timeout-seconds",
        "Time that running calls have to finish at shutdown.",
        Field::Seconds {
            at: |s| &mut s.config.server.drain_timeout,
            min: secs(0),
            max: secs(3600),
        },
    ),
    key(
        "max_headers",
        "MOZAIKS_MAX_HEADERS",
        "max-headers",
        "Headers in a request.",
        Field::Count {
            at: |s| &mut s.config.server.max_headers,
            min: 8,
            max: 1024,
        },
    ),
    key(
        "max_head_bytes",
        "MOZAIKS_MAX_HEAD_BYTES",
        "max-head-bytes",
        "Size of a request's head.",
        Field::Bytes {
            at: |s| &mut s.config.server.max_head_bytes,
            min: 8 * KIB,
            max: MIB,
        },
    ),
    key(
        "max_uri_bytes",
        "MOZAIKS_MAX_URI_BYTES",
        "max-uri-bytes",
        "Size of a request's URI.",
        Field::Bytes {
            at: |s| &mut s.config.server.max_uri_bytes,
            min: 256,
            max: 64 * KIB,
        },
    ),
    key(
        "max_body_bytes",
        "MOZAIKS_MAX_BODY_BYTES",
        "max-body-bytes",
        "Size of a request's body.",
        Field::Bytes {
            at: |s| &mut s.config.server.max_body_bytes,
            min: KIB,
            max: 256 * MIB,
        },
    ),
    key(
        "body_memory_bytes",
        "MOZAIKS_BODY_MEMORY_BYTES",
        "body-memory-bytes",
        "Request bodies over 16KiB held at a time; further ones are answered OVERLOADED.",
        Field::Bytes {
            at: |s| &mut s.config.server.body_memory_bytes,
            min: MIB,
            max: 64 * 1024 * MIB,
        },
    ),
    key(
        "http2_max_streams",
        "MOZAIKS_HTTP2_MAX_STREAMS",
        "http2-max-streams",
        "Requests at the same time on one HTTP/2 connection.",
        Field::Count {
            at: |s| &mut s.config.server.http2_max_streams,
            min: 1,
            max: 100_000,
        },
    ),
    key(
        "http2_ping_seconds",
        "MOZAIKS_HTTP2_PING_SECONDS",
        "http2-ping-seconds",
        "How often an HTTP/2 connection is asked whether it still lives.",
        Field::Seconds {
            at: |s| &mut s.config.server.http2_ping_interval,
            min: secs(1),
            max: secs(3600),
        },
    ),
    key(
        "linger_seconds",
        "MOZAIKS_LINGER_SECONDS",
        "linger-seconds",
        "How long a client may go on sending after its connection was closed on our side.",
        Field::Seconds {
            at: |s| &mut s.config.server.linger,
            min: secs(0),
            max: secs(60),
        },
    ),
    key(
        "max_connections",
        "MOZAIKS_MAX_CONNECTIONS",
        "max-connections",
        "Open connections; further ones wait in the kernel's backlog.",
        Field::Count {
            at: |s| &mut s.config.server.max_connections,
            min: 1,
            max: 1_000_000,
        },
    ),
    key(
        "python",
        "MOZAIKS_PYTHON",
        "python",
        "Interpreter whose packages plugins see; unset: a venv beside the working directory or the binary, else the one the gateway was built with.",
        Field::OptionalPath(|s| &mut s.config.plugins.python),
    ),
    key(
        "sdk_path",
        "MOZAIKS_SDK_PATH",
        "sdk-path",
        "Directory with the Python SDK where it is not installed for the interpreter; unset: `python-sdk` beside the working directory or the binary.",
        Field::OptionalPath(|s| &mut s.config.plugins.sdk_path),
    ),
    key(
        "plugin_timeout_seconds",
        "MOZAIKS_PLUGIN_TIMEOUT_SECONDS",
        "plugin-timeout-seconds",
        "Time one call may take; a manifest may say otherwise.",
        Field::Seconds {
            at: |s| &mut s.config.plugins.call_timeout,
            min: ms(10),
            max: secs(3600),
        },
    ),
    key(
        "plugin_import_timeout_seconds",
        "MOZAIKS_PLUGIN_IMPORT_TIMEOUT_SECONDS",
        "plugin-import-timeout-seconds",
        "Time the import of one plugin may take.",
        Field::Seconds {
            at: |s| &mut s.config.plugins.import_timeout,
            min: ms(100),
            max: secs(600),
        },
    ),
    key(
        "plugin_max_concurrency",
        "MOZAIKS_PLUGIN_MAX_CONCURRENCY",
        "plugin-max-concurrency",
        "Calls of one plugin that run or wait; a manifest may say otherwise.",
        Field::Count {
            at: |s| &mut s.config.plugins.max_concurrency,
            min: 1,
            max: 1_000_000,
        },
    ),
    key(
        "python_queue_size",
        "MOZAIKS_PYTHON_QUEUE_SIZE",
        "python-queue-size",
        "Calls of all plugins that wait for the Python thread.",
        Field::Count {
            at: |s| &mut s.config.plugins.queue_size,
            min: 1,
            max: 1_000_000,
        },
    ),
    key(
        "python_threads",
        "MOZAIKS_PYTHON_THREADS",
        "python-threads",
        "Threads for plugins that are plain functions.",
        Field::Count {
            at: |s| &mut s.config.plugins.thread_pool_size,
            min: 1,
            max: 1024,
        },
    ),
    key(
        "plugin_max_requests",
        "MOZAIKS_PLUGIN_MAX_REQUESTS",
        "plugin-max-requests",
        "Requests of plugins to the gateway (database, push) that wait for an answer.",
        Field::Count {
            at: |s| &mut s.config.plugins.max_requests,
            min: 1,
            max: 1_000_000,
        },
    ),
    key(
        "max_output_bytes",
        "MOZAIKS_MAX_OUTPUT_BYTES",
        "max-output-bytes",
        "Size of a plugin's result.",
        Field::Bytes {
            at: |s| &mut s.config.plugins.max_output_bytes,
            min: KIB,
            max: 1024 * MIB,
        },
    ),
    key(
        "max_depth",
        "MOZAIKS_MAX_DEPTH",
        "max-depth",
        "Nesting of bodies and results.",
        Field::Count {
            at: |s| &mut s.config.plugins.max_depth,
            min: 1,
            max: 200,
        },
    ),
    key(
        "log_format",
        "MOZAIKS_LOG_FORMAT",
        "log-format",
        "How a log line looks.",
        Field::Choice {
            at: |s| &mut s.log_format,
            of: &["json", "pretty"],
        },
    ),
    key(
        "log",
        "MOZAIKS_LOG",
        "log",
        "Which log lines are written: a level, or a filter such as `info,mozaiks_gateway=debug`.",
        Field::Text {
            at: |s| &mut s.config.log.filter,
            check: |text| {
                !text.trim().is_empty()
                    && tracing_subscriber::EnvFilter::builder().parse(text).is_ok()
            },
            allowed: "error, warn, info, debug, trace or a filter of them",
        },
    ),
    key(
        "log_queue_bytes",
        "MOZAIKS_LOG_QUEUE_BYTES",
        "log-queue-bytes",
        "Log lines that may wait for stderr; further ones are dropped and counted.",
        Field::Bytes {
            at: |s| &mut s.config.log.queue_bytes,
            min: 64 * KIB,
            max: 256 * MIB,
        },
    ),
];
