//! Connections and requests.

use super::{KIB, MIB, ms, secs};
use crate::keys::{Field, Key, key};

pub(super) const SERVER: &[Key] = &[
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
];
