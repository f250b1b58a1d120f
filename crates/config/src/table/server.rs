//! Connections and requests.

use super::{KIB, MIB, ms, secs};
use crate::keys::{Key, bytes, count, key, networks, optional_path, seconds};

pub(super) const SERVER: &[Key] = &[
    key!(
        "io_threads",
        "Threads that serve connections; 0 takes one per core but one, which is Python's.",
        count(|s| &mut s.config.server.io_threads, 0, 1024),
    ),
    key!(
        "header_timeout_seconds",
        "Time for the first byte and the headers of a request.",
        seconds(|s| &mut s.config.server.header_timeout, ms(100), secs(3600)),
    ),
    key!(
        "body_timeout_seconds",
        "Time for the whole body of a request.",
        seconds(|s| &mut s.config.server.body_timeout, ms(100), secs(3600)),
    ),
    key!(
        "idle_timeout_seconds",
        "Time an idle keep-alive connection stays open, and an HTTP/2 client may leave an answer untaken.",
        seconds(|s| &mut s.config.server.idle_timeout, ms(100), secs(3600)),
    ),
    key!(
        "drain_timeout_seconds",
        "Time that running calls have to finish at shutdown.",
        seconds(|s| &mut s.config.server.drain_timeout, secs(0), secs(3600)),
    ),
    key!(
        "max_headers",
        "Headers in a request.",
        count(|s| &mut s.config.server.max_headers, 8, 1024),
    ),
    key!(
        "max_head_bytes",
        "Size of a request's head.",
        bytes(|s| &mut s.config.server.max_head_bytes, 8 * KIB, MIB),
    ),
    key!(
        "max_uri_bytes",
        "Size of a request's URI.",
        bytes(|s| &mut s.config.server.max_uri_bytes, 256, 64 * KIB),
    ),
    key!(
        "max_body_bytes",
        "Size of a request's body.",
        bytes(|s| &mut s.config.server.max_body_bytes, KIB, 256 * MIB),
    )
    .aliases(&["MAX_REQUEST_BODY_BYTES"]),
    key!(
        "body_memory_bytes",
        "Request bodies over 16KiB held at a time; further ones are answered OVERLOADED.",
        bytes(
            |s| &mut s.config.server.body_memory_bytes,
            MIB,
            64 * 1024 * MIB
        ),
    ),
    key!(
        "http2_max_streams",
        "Requests at the same time on one HTTP/2 connection.",
        count(|s| &mut s.config.server.http2_max_streams, 1, 100_000),
    ),
    key!(
        "http2_ping_seconds",
        "How often an HTTP/2 connection is asked whether it still lives.",
        seconds(
            |s| &mut s.config.server.http2_ping_interval,
            secs(1),
            secs(3600)
        ),
    ),
    key!(
        "linger_seconds",
        "How long a client may go on sending after its connection was closed on our side.",
        seconds(|s| &mut s.config.server.linger, secs(0), secs(60)),
    ),
    key!(
        "trusted_proxies",
        "Addresses and networks of proxies whose `X-Forwarded-For` names the client, by comma; from others it is ignored.",
        networks(|s| &mut s.config.server.trusted_proxies),
    ),
    key!(
        "max_connections",
        "Open connections; further ones wait in the kernel's backlog.",
        count(|s| &mut s.config.server.max_connections, 1, 1_000_000),
    ),
    key!(
        "tls_cert",
        "Certificate and its chain as PEM, for HTTPS; with `tls_key`.",
        optional_path(|s| &mut s.config.server.tls.cert),
    ),
    key!(
        "tls_key",
        "Private key of `tls_cert` as PEM, not encrypted.",
        optional_path(|s| &mut s.config.server.tls.key),
    ),
    key!(
        "tls_poll_seconds",
        "How often `tls_cert` and `tls_key` are looked at; `SIGHUP` does it at once.",
        seconds(|s| &mut s.config.server.tls.poll, ms(100), secs(86_400)),
    ),
];
