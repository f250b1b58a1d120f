//! The rows of usage.

use super::{ms, secs};
use crate::keys::{Key, count, key, seconds};

pub(super) const USAGE: &[Key] = &[
    key!(
        "usage_flush_seconds",
        "Time between two times of writing down what plugins have used.",
        seconds(|s| &mut s.config.usage.flush, ms(50), secs(3600)),
    ),
    key!(
        "usage_retention_seconds",
        "How long an hour of usage is kept.",
        seconds(
            |s| &mut s.config.usage.retention,
            secs(3600),
            secs(10 * 366 * 86_400)
        ),
    ),
    key!(
        "usage_apps",
        "Apps of one plugin whose usage is counted between two times of writing it down.",
        count(|s| &mut s.config.usage.apps, 1, 1_000_000),
    ),
    key!(
        "execution_flush_seconds",
        "Time between two times of writing down calls of plugins' parts.",
        seconds(|s| &mut s.config.usage.executions_flush, ms(50), secs(3600)),
    ),
    key!(
        "execution_retention_seconds",
        "How long a call of a plugin's part is kept.",
        seconds(
            |s| &mut s.config.usage.executions_retention,
            secs(60),
            secs(366 * 86_400)
        ),
    ),
    key!(
        "execution_queue",
        "Calls of plugins' parts that wait to be written down; more are left out and counted.",
        count(|s| &mut s.config.usage.executions_queue, 1, 1_000_000),
    ),
];
