//! The rows of queues that stand.

use super::secs;
use crate::keys::{Key, key, seconds};

pub(super) const QUEUE_DELAY: &[Key] = &[
    key!(
        "plugin_queue_delay_seconds",
        "Calls of a plugin that have to wait for longer than this, and go on so for an interval, keep further ones out: they are answered OVERLOADED at once; 0 is no limit.",
        seconds(
            |s| &mut s.config.queue_delay.plugin_target,
            secs(0),
            secs(3600)
        ),
    ),
    key!(
        "plugin_queue_interval_seconds",
        "The interval of `plugin_queue_delay_seconds`.",
        seconds(
            |s| &mut s.config.queue_delay.plugin_interval,
            secs(0),
            secs(3600)
        ),
    ),
    key!(
        "gateway_queue_delay_seconds",
        "As `plugin_queue_delay_seconds`, for the calls of all plugins together; one of which no call waits is not kept out.",
        seconds(
            |s| &mut s.config.queue_delay.gateway_target,
            secs(0),
            secs(3600)
        ),
    ),
    key!(
        "gateway_queue_interval_seconds",
        "The interval of `gateway_queue_delay_seconds`.",
        seconds(
            |s| &mut s.config.queue_delay.gateway_interval,
            secs(0),
            secs(3600)
        ),
    ),
];
