//! The database and the event bus.

use super::{KIB, MIB, ms, secs};
use crate::{
    keys::{Key, bytes, count, key, optional_text, seconds, text},
    value,
};

pub(super) const DATA: &[Key] = &[
    key!(
        "database_uri",
        "MongoDB URI; without one the embedded store is used.",
        optional_text(
            |s| &mut s.config.database.uri,
            value::is_database_uri,
            "mongodb://HOST… or mongodb+srv://HOST…"
        ),
    )
    .aliases(&["DATABASE_URI", "MONGODB_URI", "MONGO_URI"])
    .uri(),
    key!(
        "database_name",
        "Database used where the URI names none.",
        text(
            |s| &mut s.config.database.name,
            value::is_database_name,
            "1 to 63 bytes without / \\ . \" $ or a space"
        ),
    )
    .aliases(&["DATABASE_NAME"]),
    key!(
        "control_database",
        "Database of the gateway's own data; else the plugins' name with `_control`.",
        optional_text(
            |s| &mut s.config.database.control,
            value::is_database_name,
            "1 to 63 bytes without / \\ . \" $ or a space"
        ),
    ),
    key!(
        "database_pool_size",
        "Connections to the database where the URI says nothing.",
        count(|s| &mut s.config.database.pool_size, 1, 10_000),
    ),
    key!(
        "database_selection_timeout_seconds",
        "How long to look for a server that takes a command.",
        seconds(
            |s| &mut s.config.database.selection_timeout,
            ms(100),
            secs(300)
        ),
    )
    .flag("database-selection-timeout"),
    key!(
        "database_connect_timeout_seconds",
        "How long connecting to a server may take.",
        seconds(
            |s| &mut s.config.database.connect_timeout,
            ms(100),
            secs(300)
        ),
    )
    .flag("database-connect-timeout"),
    key!(
        "database_command_timeout_seconds",
        "How long one command may take all in all.",
        seconds(
            |s| &mut s.config.database.command_timeout,
            ms(100),
            secs(3600)
        ),
    )
    .flag("database-command-timeout"),
    key!(
        "database_max_cursors",
        "Open cursors of one plugin in one app.",
        count(|s| &mut s.config.database.max_cursors, 1, 100_000),
    ),
    key!(
        "database_max_watches",
        "Open change streams of one plugin in one app.",
        count(|s| &mut s.config.database.max_watches, 1, 100_000),
    ),
    key!(
        "database_max_sessions",
        "Open sessions of one plugin in one app.",
        count(|s| &mut s.config.database.max_sessions, 1, 100_000),
    ),
    key!(
        "database_idle_seconds",
        "How long cursors and sessions of plugins may lie unused.",
        seconds(
            |s| &mut s.config.database.idle_timeout,
            secs(1),
            secs(86_400)
        ),
    )
    .flag("database-idle"),
    key!(
        "event_max_bytes",
        "Bytes of one event's data.",
        bytes(|s| &mut s.config.events.max_event_bytes, KIB, 16 * MIB),
    ),
    key!(
        "event_queue_size",
        "Events waiting for one subscription; the oldest goes when there are more.",
        count(|s| &mut s.config.events.queue_size, 1, 10_000_000),
    ),
    key!(
        "event_queue_bytes",
        "Bytes waiting for one subscription.",
        bytes(|s| &mut s.config.events.queue_bytes, MIB, 4096 * MIB),
    ),
    key!(
        "event_total_bytes",
        "Bytes of events held at a time; queues with more than their share shrink beyond it.",
        bytes(|s| &mut s.config.events.total_bytes, MIB, 16 * 1024 * MIB),
    ),
    key!(
        "event_level_seconds",
        "How long subscribers of one priority may keep those of the next waiting for an event.",
        seconds(|s| &mut s.config.events.level_wait, ms(10), secs(60)),
    ),
    key!(
        "event_delivery_timeout_seconds",
        "One attempt to deliver an event to a subscriber.",
        seconds(
            |s| &mut s.config.events.delivery_timeout,
            ms(10),
            secs(3600)
        ),
    )
    .flag("event-delivery-timeout"),
    key!(
        "event_history_size",
        "Events kept of each name.",
        count(|s| &mut s.config.events.history_per_name, 0, 10_000),
    ),
    key!(
        "event_history_bytes",
        "Bytes of events kept as history.",
        bytes(|s| &mut s.config.events.history_bytes, KIB, 4096 * MIB),
    ),
    key!(
        "event_dead_letters",
        "Deliveries that failed for good, kept for admins.",
        count(|s| &mut s.config.events.max_dead_letters, 0, 1_000_000),
    ),
];
