//! What plugins may do beyond their own, and what they may reach outside.

use super::{KIB, MIB, ms, secs};
use crate::keys::{Key, bytes, count, hosts, key, optional_path, seconds, switch};

pub(super) const OUTBOUND: &[Key] = &[
    key!(
        "permissions_consent",
        "Whether plugins in the plugins directory run only once an admin has granted what their manifests want, as those of other sources do.",
        switch(|s| &mut s.config.plugins.permissions_consent),
    ),
    key!(
        "files_max_bytes",
        "Size of one file that a plugin keeps through the gateway.",
        bytes(|s| &mut s.config.plugins.files_max_bytes, KIB, 48 * MIB),
    ),
    key!(
        "storage_recount_seconds",
        "Time between two counts of what plugins have stored; in between it is estimated.",
        seconds(
            |s| &mut s.config.plugins.storage_recount,
            ms(100),
            secs(86_400)
        ),
    ),
    key!(
        "http_apis",
        "TOML file with the interfaces that plugins may call by name: a table each, with `base_url`, `methods` and `headers`.",
        optional_path(|s| &mut s.config.plugins.outbound.apis),
    ),
    key!(
        "http_private_hosts",
        "Hosts and addresses that plugins with the permission may reach although they are private, also without TLS.",
        hosts(|s| &mut s.config.plugins.outbound.private_hosts),
    ),
    key!(
        "http_ca_file",
        "Certificates, in PEM, of authorities that are trusted for requests of plugins to others, beside those that the system trusts.",
        optional_path(|s| &mut s.config.plugins.outbound.ca_file),
    ),
    key!(
        "http_timeout_seconds",
        "Time one request of a plugin to others may take, redirects included.",
        seconds(
            |s| &mut s.config.plugins.outbound.timeout,
            ms(10),
            secs(600)
        ),
    ),
    key!(
        "http_max_request_bytes",
        "Size of the body of a plugin's request to others.",
        bytes(
            |s| &mut s.config.plugins.outbound.max_request_bytes,
            KIB,
            64 * MIB
        ),
    ),
    key!(
        "http_max_response_bytes",
        "Size of the body of the answer to it.",
        bytes(
            |s| &mut s.config.plugins.outbound.max_response_bytes,
            KIB,
            256 * MIB
        ),
    ),
    key!(
        "http_max_connections",
        "Requests of one plugin to others at a time; a manifest may say fewer.",
        count(
            |s| &mut s.config.plugins.outbound.max_connections,
            1,
            10_000
        ),
    ),
];
