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
];
