//! The log.

use super::{KIB, MIB};
use crate::keys::{Key, bytes, choice, key, text};

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
];
