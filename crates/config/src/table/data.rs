//! The database and the event bus.

use super::{KIB, MIB, ms, secs};
use crate::{
    keys::{Field, Key, key},
    value,
};

pub(super) const DATA: &[Key] = &[
    key(
        "database_uri",
        "MOZAIKS_DATABASE_URI",
        "database-uri",
        "MongoDB URI; without one the embedded store is used.",
        Field::OptionalText {
            at: |s| &mut s.config.database.uri,
            check: value::is_database_uri,
            allowed: "mongodb://HOST… or mongodb+srv://HOST…",
        },
    )
    .aliases(&["DATABASE_URI"])
    .uri(),
    key(
        "database_name",
        "MOZAIKS_DATABASE_NAME",
        "database-name",
        "Database used where the URI names none.",
        Field::Text {
            at: |s| &mut s.config.database.name,
            check: value::is_database_name,
            allowed: "1 to 63 bytes without / \\ . \" $ or a space",
        },
    ),
    key(
        "control_database",
        "MOZAIKS_CONTROL_DATABASE",
        "control-database",
        "Database of the gateway's own data; else the plugins' name with `_control`.",
        Field::OptionalText {
            at: |s| &mut s.config.database.control,
            check: value::is_database_name,
            allowed: "1 to 63 bytes without / \\ . \" $ or a space",
        },
    ),
    key(
        "database_pool_size",
        "MOZAIKS_DATABASE_POOL_SIZE",
        "database-pool-size",
        "Connections to the database where the URI says nothing.",
        Field::Count {
            at: |s| &mut s.config.database.pool_size,
            min: 1,
            max: 10_000,
        },
    ),
    key(
        "database_selection_timeout_seconds",
        "MOZAIKS_DATABASE_SELECTION_TIMEOUT_SECONDS",
        "database-selection-timeout",
        "How long to look for a server that takes a command.",
        Field::Seconds {
            at: |s| &mut s.config.database.selection_timeout,
            min: ms(100),
            max: secs(300),
        },
    ),
    key(
        "database_connect_timeout_seconds",
        "MOZAIKS_DATABASE_CONNECT_TIMEOUT_SECONDS",
        "database-connect-timeout",
        "How long connecting to a server may take.",
        Field::Seconds {
            at: |s| &mut s.config.database.connect_timeout,
            min: ms(100),
            max: secs(300),
        },
    ),
    key(
        "database_command_timeout_seconds",
        "MOZAIKS_DATABASE_COMMAND_TIMEOUT_SECONDS",
        "database-command-timeout",
        "How long one command may take all in all.",
        Field::Seconds {
            at: |s| &mut s.config.database.command_timeout,
            min: ms(100),
            max: secs(3600),
        },
    ),
    key(
        "database_max_cursors",
        "MOZAIKS_DATABASE_MAX_CURSORS",
        "database-max-cursors",
        "Open cursors of one plugin in one app.",
        Field::Count {
            at: |s| &mut s.config.database.max_cursors,
            min: 1,
            max: 100_000,
        },
    ),
    key(
        "database_max_watches",
        "MOZAIKS_DATABASE_MAX_WATCHES",
        "database-max-watches",
        "Open change streams of one plugin in one app.",
        Field::Count {
            at: |s| &mut s.config.database.max_watches,
            min: 1,
            max: 100_000,
        },
    ),
    key(
        "database_max_sessions",
        "MOZAIKS_DATABASE_MAX_SESSIONS",
        "database-max-sessions",
        "Open sessions of one plugin in one app.",
        Field::Count {
            at: |s| &mut s.config.database.max_sessions,
            min: 1,
            max: 100_000,
        },
    ),
    key(
        "database_idle_seconds",
        "MOZAIKS_DATABASE_IDLE_SECONDS",
        "database-idle",
        "How long cursors and sessions of plugins may lie unused.",
        Field::Seconds {
            at: |s| &mut s.config.database.idle_timeout,
            min: secs(1),
            max: secs(86_400),
        },
    ),
    key(
        "event_max_bytes",
        "MOZAIKS_EVENT_MAX_BYTES",
        "event-max-bytes",
        "Bytes of one event's data.",
        Field::Bytes {
            at: |s| &mut s.config.events.max_event_bytes,
            min: KIB,
            max: 16 * MIB,
        },
    ),
    key(
        "event_queue_size",
        "MOZAIKS_EVENT_QUEUE_SIZE",
        "event-queue-size",
        "Events waiting for one subscription; the oldest goes when there are more.",
        Field::Count {
            at: |s| &mut s.config.events.queue_size,
            min: 1,
            max: 10_000_000,
        },
    ),
    key(
        "event_queue_bytes",
        "MOZAIKS_EVENT_QUEUE_BYTES",
        "event-queue-bytes",
        "Bytes waiting for one subscription.",
        Field::Bytes {
            at: |s| &mut s.config.events.queue_bytes,
            min: MIB,
            max: 4096 * MIB,
        },
    ),
    key(
        "event_total_bytes",
        "MOZAIKS_EVENT_TOTAL_BYTES",
        "event-total-bytes",
        "Bytes of events held at a time; queues with more than their share shrink beyond it.",
        Field::Bytes {
            at: |s| &mut s.config.events.total_bytes,
            min: MIB,
            max: 16 * 1024 * MIB,
        },
    ),
    key(
        "event_delivery_timeout_seconds",
        "MOZAIKS_EVENT_DELIVERY_TIMEOUT_SECONDS",
        "event-delivery-timeout",
        "One attempt to deliver an event to a subscriber.",
        Field::Seconds {
            at: |s| &mut s.config.events.delivery_timeout,
            min: ms(10),
            max: secs(3600),
        },
    ),
    key(
        "event_history_size",
        "MOZAIKS_EVENT_HISTORY_SIZE",
        "event-history-size",
        "Events kept of each name.",
        Field::Count {
            at: |s| &mut s.config.events.history_per_name,
            min: 0,
            max: 10_000,
        },
    ),
    key(
        "event_history_bytes",
        "MOZAIKS_EVENT_HISTORY_BYTES",
        "event-history-bytes",
        "Bytes of events kept as history.",
        Field::Bytes {
            at: |s| &mut s.config.events.history_bytes,
            min: KIB,
            max: 4096 * MIB,
        },
    ),
    key(
        "event_dead_letters",
        "MOZAIKS_EVENT_DEAD_LETTERS",
        "event-dead-letters",
        "Deliveries that failed for good, kept for admins.",
        Field::Count {
            at: |s| &mut s.config.events.max_dead_letters,
            min: 0,
            max: 1_000_000,
        },
    ),
];
