//! The rows of live connections: WebSocket, event stream, tickets, history.

use super::{KIB, MIB, ms, secs};
use crate::keys::{Key, bytes, count, key, seconds, switch};

pub(super) const REALTIME: &[Key] = &[
    key!(
        "ws_heartbeat_seconds",
        "Time between two pings to a WebSocket, and between comments on an event stream.",
        seconds(
            |s| &mut s.config.realtime.heartbeat_interval,
            ms(10),
            secs(3600)
        ),
    ),
    key!(
        "ws_pong_timeout_seconds",
        "Time from a ping to its pong.",
        seconds(|s| &mut s.config.realtime.pong_timeout, ms(10), secs(3600)),
    ),
    key!(
        "ws_auth_timeout_seconds",
        "Time a socket has to send its first `auth` message.",
        seconds(|s| &mut s.config.realtime.auth_timeout, ms(10), secs(300)),
    ),
    key!(
        "ws_close_timeout_seconds",
        "Time from a close frame to the end of the connection.",
        seconds(|s| &mut s.config.realtime.close_timeout, ms(10), secs(300)),
    ),
    key!(
        "ws_max_message_bytes",
        "Size of a message from a client.",
        bytes(|s| &mut s.config.realtime.max_message_bytes, 128, 16 * MIB),
    ),
    key!(
        "ws_max_push_bytes",
        "Size of a message to clients.",
        bytes(|s| &mut s.config.realtime.max_push_bytes, KIB, 64 * MIB),
    ),
    key!(
        "ws_queue_bytes",
        "What may wait for one connection; a client further behind is closed.",
        bytes(|s| &mut s.config.realtime.queue_bytes, 4 * KIB, 256 * MIB),
    ),
    key!(
        "ws_gather_seconds",
        "Time from a round of broadcasts to all users of an app to the next: what comes meanwhile leaves \
         in one write a socket. The first after a pause waits for nothing.",
        seconds(|s| &mut s.config.realtime.gather, ms(0), secs(1)),
    ),
    key!(
        "ws_max_lag_seconds",
        "How long a message may wait for one connection.",
        seconds(|s| &mut s.config.realtime.max_lag, ms(10), secs(3600)),
    ),
    key!(
        "ws_budget_bytes",
        "What may wait for all connections together.",
        bytes(
            |s| &mut s.config.realtime.budget_bytes,
            64 * KIB,
            64 * 1024 * MIB
        ),
    ),
    key!(
        "ws_history_messages",
        "Messages kept for a user who reconnects; 0 keeps none.",
        count(|s| &mut s.config.realtime.history_messages, 0, 100_000),
    ),
    key!(
        "ws_history_seconds",
        "How long they are kept.",
        seconds(|s| &mut s.config.realtime.history_age, ms(10), secs(86_400)),
    ),
    key!(
        "ws_history_bytes",
        "Size of what is kept for one user, at most half of `ws_queue_bytes`.",
        bytes(|s| &mut s.config.realtime.history_bytes, 0, 128 * MIB),
    ),
    key!(
        "ws_history_budget_bytes",
        "Size of what is kept for all users.",
        bytes(
            |s| &mut s.config.realtime.history_budget_bytes,
            0,
            64 * 1024 * MIB
        ),
    ),
    key!(
        "ws_max_connections_per_user",
        "Live connections of one user.",
        count(
            |s| &mut s.config.realtime.max_connections_per_user,
            1,
            10_000
        ),
    )
    .aliases(&["WEBSOCKET_MAX_CONNECTIONS_PER_USER"]),
    key!(
        "ws_max_groups",
        "Groups of one app.",
        count(|s| &mut s.config.realtime.max_groups, 0, 10_000_000),
    ),
    key!(
        "ws_max_group_members",
        "Users in one group.",
        count(|s| &mut s.config.realtime.max_group_members, 1, 1_000_000),
    ),
    key!(
        "ws_max_groups_per_user",
        "Groups that one user is in.",
        count(|s| &mut s.config.realtime.max_groups_per_user, 1, 100_000),
    ),
    key!(
        "ws_group_gather_seconds",
        "From one message that tells a group who comes and goes to the next.",
        seconds(|s| &mut s.config.realtime.group_gather, ms(1), secs(60)),
    ),
    key!(
        "ws_max_unauthenticated",
        "Sockets that have not said who they are.",
        count(|s| &mut s.config.realtime.max_unauthenticated, 0, 1_000_000),
    ),
    key!(
        "ws_max_running_handlers",
        "Messages of one connection that plugins handle at a time.",
        count(|s| &mut s.config.realtime.max_running_handlers, 1, 10_000),
    ),
    key!(
        "ws_ticket_seconds",
        "How long a ticket may be used.",
        seconds(|s| &mut s.config.realtime.ticket_ttl, secs(1), secs(300)),
    ),
    key!(
        "ws_max_tickets",
        "Unused tickets of all users.",
        count(|s| &mut s.config.realtime.max_tickets, 1, 10_000_000),
    ),
    key!(
        "ws_max_tickets_per_user",
        "Unused tickets of one user.",
        count(|s| &mut s.config.realtime.max_tickets_per_user, 1, 100_000),
    ),
    key!(
        "ws_query_tokens",
        "Take tokens from the URL (`?token=`, `?access_token=`); always so in development.",
        switch(|s| &mut s.config.realtime.query_tokens),
    ),
];
