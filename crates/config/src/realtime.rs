//! Limits of live connections: WebSocket, event stream, tickets, history.

use std::time::Duration;

/// Limits of live connections. Every queue and every wait of the real-time part is named here.
#[derive(Debug, Clone)]
pub struct RealtimeConfig {
    /// Between two protocol pings (and comments on event streams).
    /// `MOZAIKS_WS_HEARTBEAT_SECONDS`
    pub heartbeat_interval: Duration,
    /// From a ping to its pong. `MOZAIKS_WS_PONG_TIMEOUT_SECONDS`
    pub pong_timeout: Duration,
    /// From the upgrade to the first `auth` message of a socket that came without credentials.
    /// `MOZAIKS_WS_AUTH_TIMEOUT_SECONDS`
    pub auth_timeout: Duration,
    /// From our close frame to the end of the connection. `MOZAIKS_WS_CLOSE_TIMEOUT_SECONDS`
    pub close_timeout: Duration,
    /// A message of a client, in bytes. `MOZAIKS_WS_MAX_MESSAGE_BYTES`
    pub max_message_bytes: usize,
    /// A message to clients, in bytes. `MOZAIKS_WS_MAX_PUSH_BYTES`
    pub max_push_bytes: usize,
    /// Bytes waiting for one connection. `MOZAIKS_WS_QUEUE_BYTES`
    pub queue_bytes: usize,
    /// From a round of broadcasts to all users of an app to the next; what comes meanwhile leaves in
    /// one write. `MOZAIKS_WS_GATHER_SECONDS`
    pub gather: Duration,
    /// Age of the oldest message waiting for one connection. `MOZAIKS_WS_MAX_LAG_SECONDS`
    pub max_lag: Duration,
    /// Bytes waiting for all connections together. `MOZAIKS_WS_BUDGET_BYTES`
    pub budget_bytes: usize,
    /// Messages kept for a user who reconnects. `MOZAIKS_WS_HISTORY_MESSAGES`
    pub history_messages: usize,
    /// How long they are kept. `MOZAIKS_WS_HISTORY_SECONDS`
    pub history_age: Duration,
    /// Bytes of them, one user. At most half of `queue_bytes` is used, so that a replay fits.
    /// `MOZAIKS_WS_HISTORY_BYTES`
    pub history_bytes: usize,
    /// Bytes of them, all users. `MOZAIKS_WS_HISTORY_BUDGET_BYTES`
    pub history_budget_bytes: usize,
    /// Live connections of one user, sockets and event streams.
    /// `MOZAIKS_WS_MAX_CONNECTIONS_PER_USER`
    pub max_connections_per_user: usize,
    /// Groups of one app. `MOZAIKS_WS_MAX_GROUPS`
    pub max_groups: usize,
    /// Users in one group. `MOZAIKS_WS_MAX_GROUP_MEMBERS`
    pub max_group_members: usize,
    /// Groups that one user is in. `MOZAIKS_WS_MAX_GROUPS_PER_USER`
    pub max_groups_per_user: usize,
    /// From one message that tells a group who comes and goes to the next.
    /// `MOZAIKS_WS_GROUP_GATHER_SECONDS`
    pub group_gather: Duration,
    /// Sockets that have not said who they are. `MOZAIKS_WS_MAX_UNAUTHENTICATED`
    pub max_unauthenticated: usize,
    /// Messages of one connection being handled by plugins. `MOZAIKS_WS_MAX_RUNNING_HANDLERS`
    pub max_running_handlers: usize,
    /// How long a ticket may be used. `MOZAIKS_WS_TICKET_SECONDS`
    pub ticket_ttl: Duration,
    /// Tickets given out and not used, all users. `MOZAIKS_WS_MAX_TICKETS`
    pub max_tickets: usize,
    /// Tickets given out and not used, one user. `MOZAIKS_WS_MAX_TICKETS_PER_USER`
    pub max_tickets_per_user: usize,
    /// Accept `?token=` and `?access_token=`; always on in `--dev`. `MOZAIKS_WS_QUERY_TOKENS`
    pub query_tokens: bool,
}

impl Default for RealtimeConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(10),
            auth_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(5),
            max_message_bytes: 64 * 1024,
            max_push_bytes: 1024 * 1024,
            queue_bytes: 1024 * 1024,
            gather: Duration::from_millis(2),
            max_lag: Duration::from_secs(10),
            budget_bytes: 256 * 1024 * 1024,
            history_messages: 300,
            history_age: Duration::from_secs(300),
            history_bytes: 512 * 1024,
            history_budget_bytes: 64 * 1024 * 1024,
            max_connections_per_user: 10,
            max_groups: 10_000,
            max_group_members: 10_000,
            max_groups_per_user: 100,
            group_gather: Duration::from_millis(100),
            max_unauthenticated: 1024,
            max_running_handlers: 32,
            ticket_ttl: Duration::from_secs(30),
            max_tickets: 16 * 1024,
            max_tickets_per_user: 32,
            query_tokens: false,
        }
    }
}
