//! The rows of live connections: WebSocket, event stream, tickets, history.

use super::{KIB, MIB, ms, secs};
use crate::keys::{Field, Key, key};

pub(super) const REALTIME: &[Key] = &[
    key(
        "ws_heartbeat_seconds",
        "MOZAIKS_WS_HEARTBEAT_SECONDS",
        "ws-heartbeat-seconds",
        "Time between two pings to a WebSocket, and between comments on an event stream.",
        Field::Seconds {
            at: |s| &mut s.config.realtime.heartbeat_interval,
            min: ms(10),
            max: secs(3600),
        },
    ),
    key(
        "ws_pong_timeout_seconds",
        "MOZAIKS_WS_PONG_TIMEOUT_SECONDS",
        "ws-pong-timeout-seconds",
        "Time from a ping to its pong.",
        Field::Seconds {
            at: |s| &mut s.config.realtime.pong_timeout,
            min: ms(10),
            max: secs(3600),
        },
    ),
    key(
        "ws_auth_timeout_seconds",
        "MOZAIKS_WS_AUTH_TIMEOUT_SECONDS",
        "ws-auth-timeout-seconds",
        "Time a socket has to send its first `auth` message.",
        Field::Seconds {
            at: |s| &mut s.config.realtime.auth_timeout,
            min: ms(10),
            max: secs(300),
        },
    ),
    key(
        "ws_close_timeout_seconds",
        "MOZAIKS_WS_CLOSE_TIMEOUT_SECONDS",
        "ws-close-timeout-seconds",
        "Time from a close frame to the end of the connection.",
        Field::Seconds {
            at: |s| &mut s.config.realtime.close_timeout,
            min: ms(10),
            max: secs(300),
        },
    ),
    key(
        "ws_max_message_bytes",
        "MOZAIKS_WS_MAX_MESSAGE_BYTES",
        "ws-max-message-bytes",
        "Size of a message from a client.",
        Field::Bytes {
            at: |s| &mut s.config.realtime.max_message_bytes,
            min: 128,
            max: 16 * MIB,
        },
    ),
    key(
        "ws_max_push_bytes",
        "MOZAIKS_WS_MAX_PUSH_BYTES",
        "ws-max-push-bytes",
        "Size of a message to clients.",
        Field::Bytes {
            at: |s| &mut s.config.realtime.max_push_bytes,
            min: KIB,
            max: 64 * MIB,
        },
    ),
    key(
        "ws_queue_bytes",
        "MOZAIKS_WS_QUEUE_BYTES",
        "ws-queue-bytes",
        "What may wait for one connection; a client further behind is closed.",
        Field::Bytes {
            at: |s| &mut s.config.realtime.queue_bytes,
            min: 4 * KIB,
            max: 256 * MIB,
        },
    ),
    key(
        "ws_max_lag_seconds",
        "MOZAIKS_WS_MAX_LAG_SECONDS",
        "ws-max-lag-seconds",
        "How long a message may wait for one connection.",
        Field::Seconds {
            at: |s| &mut s.config.realtime.max_lag,
            min: ms(10),
            max: secs(3600),
        },
    ),
    key(
        "ws_budget_bytes",
        "MOZAIKS_WS_BUDGET_BYTES",
        "ws-budget-bytes",
        "What may wait for all connections together.",
        Field::Bytes {
            at: |s| &mut s.config.realtime.budget_bytes,
            min: 64 * KIB,
            max: 64 * 1024 * MIB,
        },
    ),
    key(
        "ws_history_messages",
        "MOZAIKS_WS_HISTORY_MESSAGES",
        "ws-history-messages",
        "Messages kept for a user who reconnects; 0 keeps none.",
        Field::Count {
            at: |s| &mut s.config.realtime.history_messages,
            min: 0,
            max: 100_000,
        },
    ),
    key(
        "ws_history_seconds",
        "MOZAIKS_WS_HISTORY_SECONDS",
        "ws-history-seconds",
        "How long they are kept.",
        Field::Seconds {
            at: |s| &mut s.config.realtime.history_age,
            min: ms(10),
            max: secs(86_400),
        },
    ),
    key(
        "ws_history_bytes",
        "MOZAIKS_WS_HISTORY_BYTES",
        "ws-history-bytes",
        "Size of what is kept for one user, at most half of `ws_queue_bytes`.",
        Field::Bytes {
            at: |s| &mut s.config.realtime.history_bytes,
            min: 0,
            max: 128 * MIB,
        },
    ),
    key(
        "ws_history_budget_bytes",
        "MOZAIKS_WS_HISTORY_BUDGET_BYTES",
        "ws-history-budget-bytes",
        "Size of what is kept for all users.",
        Field::Bytes {
            at: |s| &mut s.config.realtime.history_budget_bytes,
            min: 0,
            max: 64 * 1024 * MIB,
        },
    ),
    key(
        "ws_max_connections_per_user",
        "MOZAIKS_WS_MAX_CONNECTIONS_PER_USER",
        "ws-max-connections-per-user",
        "Live connections of one user.",
        Field::Count {
            at: |s| &mut s.config.realtime.max_connections_per_user,
            min: 1,
            max: 10_000,
        },
    ),
    key(
        "ws_max_unauthenticated",
        "MOZAIKS_WS_MAX_UNAUTHENTICATED",
        "ws-max-unauthenticated",
        "Sockets that have not said who they are.",
        Field::Count {
            at: |s| &mut s.config.realtime.max_unauthenticated,
            min: 0,
            max: 1_000_000,
        },
    ),
    key(
        "ws_max_running_handlers",
        "MOZAIKS_WS_MAX_RUNNING_HANDLERS",
        "ws-max-running-handlers",
        "Messages of one connection that plugins handle at a time.",
        Field::Count {
            at: |s| &mut s.config.realtime.max_running_handlers,
            min: 1,
            max: 10_000,
        },
    ),
    key(
        "ws_ticket_seconds",
        "MOZAIKS_WS_TICKET_SECONDS",
        "ws-ticket-seconds",
        "How long a ticket may be used.",
        Field::Seconds {
            at: |s| &mut s.config.realtime.ticket_ttl,
            min: secs(1),
            max: secs(300),
        },
    ),
    key(
        "ws_max_tickets",
        "MOZAIKS_WS_MAX_TICKETS",
        "ws-max-tickets",
        "Unused tickets of all users.",
        Field::Count {
            at: |s| &mut s.config.realtime.max_tickets,
            min: 1,
            max: 10_000_000,
        },
    ),
    key(
        "ws_max_tickets_per_user",
        "MOZAIKS_WS_MAX_TICKETS_PER_USER",
        "ws-max-tickets-per-user",
        "Unused tickets of one user.",
        Field::Count {
            at: |s| &mut s.config.realtime.max_tickets_per_user,
            min: 1,
            max: 100_000,
        },
    ),
    key(
        "ws_query_tokens",
        "MOZAIKS_WS_QUERY_TOKENS",
        "ws-query-tokens",
        "Take tokens from the URL (`?token=`, `?access_token=`); always so in development.",
        Field::Switch(|s| &mut s.config.realtime.query_tokens),
    ),
];
