//! The log.

use super::{KIB, MIB};
use crate::keys::{Field, Key, key};

pub(super) const LOG: &[Key] = &[
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
