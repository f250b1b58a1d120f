//! The log.

use super::{KIB, MIB};
use crate::keys::{Key, bytes, choice, count, key, text};

pub(super) const LOG: &[Key] = &[
    key!(
        "log_format",
        "How a log line looks.",
        choice(|s| &mut s.log_format, &["json", "pretty"]),
    ),
    key!(
        "log",
        "Which log lines are written: a level, or a filter such as `info,mozaiks_gateway=debug`.",
        text(
            |s| &mut s.config.log.filter,
            |text| {
                !text.trim().is_empty()
                    && tracing_subscriber::EnvFilter::builder().parse(text).is_ok()
            },
            "error, warn, info, debug, trace or a filter of them"
        ),
    ),
    key!(
        "log_queue_bytes",
        "Log lines that may wait for stderr; further ones are dropped and counted.",
        bytes(|s| &mut s.config.log.queue_bytes, 64 * KIB, 256 * MIB),
    ),
    key!(
        "plugin_log_bytes",
        "Latest log lines of one plugin that are kept for `mozaiks plugin logs`.",
        bytes(|s| &mut s.config.log.plugin_bytes, 4 * KIB, 64 * MIB),
    ),
    key!(
        "plugin_log_followers",
        "Clients that may follow log lines of plugins at a time.",
        count(|s| &mut s.config.log.plugin_followers, 1, 1000),
    ),
];
