//! Who is connected, and the way of a message to them.
//!
//! Two maps: app → user → `Channel`, and connection id → `Connection`. The app is the first key
//! of everything, so that no call can reach another app's users. A map's guard is never held across
//! an await; a channel's lock is taken after the guard is gone.

mod broadcasts;
mod channel;
mod grouping;
mod groups;
mod memberships;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use dashmap::DashMap;
use tokio::time::Instant;

pub(super) use self::channel::{Connection, Form};
pub use self::groups::{GroupError, GroupPresence};
use self::{
    broadcasts::{BroadcastLimits, Broadcasts},
    channel::{Channel, Joined},
    groups::{GroupCounts, GroupLimits, Groups},
};
use super::{
    budget::Budget,
    close::CloseCode,
    message::Message,
    outbound::{Outbound, Queues},
    random::random_hex,
    ring::RingLimits,
};
use mozaiks_config::RealtimeConfig;

/// Users reached between two yields of a walk.
const BROADCAST_SLICE: usize = 64;
/// The part of a connection's queue that the broadcasts of one walk may fill.
const BROADCAST_QUEUE_FRACTION: usize = 8;

/// Is told of a user's first and last connection. Called while the user's channel is locked, so that
/// the order is right: must return at once and must not call the hub.
pub trait PresenceSink: Send + Sync + 'static {
    /// The user had no connection and has one.
    fn user_connected(&self, app_id: &Arc<str>, user_id: &Arc<str>);
    /// The user's last connection has ended.
    fn user_disconnected(&self, app_id: &Arc<str>, user_id: &Arc<str>);
}

/// Where a client that comes back stopped reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The epoch of its last connection.
    pub epoch: Box<str>,
    /// The last message it has.
    pub offset: u64,
    /// That connection, whose groups it wants to be in again; without it those of all connections of
    /// the user that have ended lately.
    pub connection: Option<Box<str>>,
}

impl Resume {
    /// Reads `<epoch>:<offset>`. Anything else is a position that nobody ever had: it is kept as
    /// such, so that the client is told that it has missed messages.
    pub fn parse(text: &str) -> Self {
        let parsed = text
            .split_once(':')
            .and_then(|(epoch, offset)| Some((epoch, offset.parse().ok()?)));
        let (epoch, offset) = parsed.unwrap_or(("", 0));
        Self {
            epoch: epoch.into(),
            offset,
            connection: None,
        }
    }

    /// In the place of a certain connection, where one is named.
    #[must_use]
    pub fn in_place_of(self, connection: Option<&str>) -> Self {
        Self {
            connection: connection.map(Box::from),
            ..self
        }
    }
}

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// Close code 4429.
    #[error("the user has too many connections")]
    TooMany,
    /// Close code 1001.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// Counts for metrics.
#[derive(Debug, Clone, Default)]
pub struct HubStats {
    /// Live connections, sockets and event streams.
    pub connections: usize,
    /// Bytes waiting for connections that do not keep up.
    pub queued_bytes: usize,
    /// Bytes kept for users who reconnect.
    pub history_bytes: usize,
    /// Groups that somebody is in, and users in them, counted in each.
    pub groups: usize,
    /// Users in groups, counted in each.
    pub group_members: usize,
    /// Messages sent to groups since start.
    pub group_messages: u64,
    /// What was not let into a group since start.
    pub group_refusals: u64,
    /// Messages given to a connection since start.
    pub messages_sent: u64,
    /// Writes that sockets were given since start.
    pub socket_writes: u64,
    /// Connections ended since start, by close code.
    pub closed: Vec<(CloseCode, u64)>,
}

/// All live connections of this process.
pub struct Hub {
    config: Arc<RealtimeConfig>,
    apps: DashMap<Arc<str>, Arc<App>>,
    /// For sending to one connection; the id is not guessable, its app is checked all the same.
    connections: DashMap<Arc<str>, Arc<Connection>>,
    queues: Arc<Queues>,
    /// Bytes kept in histories.
    history_budget: Arc<Budget>,
    presence: Arc<dyn PresenceSink>,
    group_counts: Arc<GroupCounts>,
    /// Set once; nobody is let in afterwards.
    shutting_down: AtomicBool,
    messages_sent: Arc<AtomicU64>,
    closed: [AtomicU64; CloseCode::ALL.len()],
}

struct App {
    users: DashMap<Arc<str>, Arc<Channel>>,
    broadcasts: Arc<Broadcasts>,
    groups: Arc<Groups>,
}

/// Who connects, and how.
pub(super) struct Subscribe {
    pub(super) app_id: Arc<str>,
    pub(super) user_id: Arc<str>,
    pub(super) form: Form,
    pub(super) resume: Option<Resume>,
    pub(super) outbound: Arc<Outbound>,
}

impl Hub {
    /// An empty hub.
    pub fn new(config: Arc<RealtimeConfig>, presence: Arc<dyn PresenceSink>) -> Arc<Self> {
        Arc::new(Self {
            apps: DashMap::new(),
            connections: DashMap::new(),
            queues: Queues::new(&config),
            history_budget: Arc::new(Budget::new(config.history_budget_bytes)),
            presence,
            group_counts: Arc::default(),
            shutting_down: AtomicBool::new(false),
            messages_sent: Arc::default(),
            closed: std::array::from_fn(|_| AtomicU64::new(0)),
            config,
        })
    }

    /// Sends to every connection of one user of one app. Gives the number of connections reached; 0
    /// where nobody is connected (the message is then kept for users who left lately).
    pub fn send_to_user(&self, app_id: &str, user_id: &str, message: &Arc<Message>) -> usize {
        let channel = self.find_channel(app_id, user_id);
        let reached = channel.map_or(0, |channel| channel.send(message, Instant::now()));
        self.count_sent(reached);
        reached
    }

    /// Sends to every connection of every user of one app. Gives the number of connections that the
    /// message goes to. It is on its way then, at once or, behind others, within the time that
    /// broadcasts gather; whoever sends something else to one of them sends it behind. Waits where
    /// broadcasts come faster than they can be written.
    pub async fn broadcast(&self, app_id: &str, message: &Arc<Message>) -> usize {
        let Some(app) = self.app(app_id) else {
            return 0;
        };
        let starts_walk = app.broadcasts.append_waiting(message).await;
        let receivers = app.broadcasts.receivers();
        if starts_walk {
            tokio::spawn(Walk(app).run());
            // Where nobody else broadcasts and the users are few, they have the message now.
            tokio::task::yield_now().await;
        }
        receivers
    }

    /// Sends to one connection of the app. Such a message has no offset and is not replayed. Gives
    /// `false` where there is no such connection in this app.
    pub fn send_to_connection(
        &self,
        app_id: &str,
        connection_id: &str,
        message: &Arc<Message>,
    ) -> bool {
        let connection = self.connection(app_id, connection_id);
        let reached = connection.is_some_and(|connection| {
            if let Some(channel) = self.find_channel(app_id, &connection.user_id) {
                channel.catch_up(Instant::now());
            }
            connection.send_untracked(message)
        });
        self.count_sent(usize::from(reached));
        reached
    }

    /// Whether the user has a connection in this app.
    pub fn is_connected(&self, app_id: &str, user_id: &str) -> bool {
        self.apps.get(app_id).is_some_and(|app| {
            app.users
                .get(user_id)
                .is_some_and(|channel| channel.connection_count() > 0)
        })
    }

    /// The users of this app that have a connection, sorted.
    pub fn connected_users(&self, app_id: &str) -> Vec<Arc<str>> {
        let mut users: Vec<Arc<str>> = match self.apps.get(app_id) {
            Some(app) => app
                .users
                .iter()
                .filter(|user| user.connection_count() > 0)
                .map(|user| Arc::clone(user.key()))
                .collect(),
            None => return Vec::new(),
        };
        users.sort_unstable();
        users
    }

    /// Forgets users who have been away for longer than their history is kept. Call it from time to
    /// time.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.apps.retain(|_, app| {
            app.users
                .retain(|_, channel| !channel.retire_if_idle(now, self.config.history_age));
            // Users join under the outer map's read guard, which this write guard excludes.
            !app.users.is_empty()
        });
    }

    /// Closes every connection with 1001 and lets nobody in any more. The connections' own tasks say
    /// goodbye; [`Self::stats`] tells when none is left.
    pub fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::SeqCst);
        // What was broadcast goes out before the goodbyes.
        let apps: Vec<Arc<App>> = self.apps.iter().map(|app| Arc::clone(&app)).collect();
        for channel in apps.iter().flat_map(|app| app.channels()) {
            channel.catch_up(Instant::now());
        }
        for connection in &self.connections {
            connection
                .outbound
                .close(CloseCode::GoingAway, "the gateway is shutting down");
        }
    }

    /// Counts for metrics.
    pub fn stats(&self) -> HubStats {
        let groups = &self.group_counts;
        HubStats {
            groups: groups.groups.load(Ordering::Relaxed),
            group_members: groups.members.load(Ordering::Relaxed),
            group_messages: groups.messages.load(Ordering::Relaxed),
            group_refusals: groups.refused.load(Ordering::Relaxed),
            connections: self.connections.len(),
            queued_bytes: self.queues.budget.used_bytes(),
            history_bytes: self.history_budget.used_bytes(),
            messages_sent: self.messages_sent.load(Ordering::Relaxed),
            socket_writes: self.queues.writes.load(Ordering::Relaxed),
            closed: CloseCode::ALL
                .into_iter()
                .zip(&self.closed)
                .map(|(code, count)| (code, count.load(Ordering::Relaxed)))
                .collect(),
        }
    }

    /// A queue for a new connection, under this hub's limits.
    pub(super) fn outbound(&self, socket: Option<crate::wire::Wire>) -> Arc<Outbound> {
        Outbound::new(socket, Arc::clone(&self.queues))
    }

    /// Lets a connection in: in one step under the user's lock it gets its acknowledgement, what it
    /// missed, and its place among the receivers.
    pub(super) fn subscribe(&self, request: Subscribe) -> Result<Arc<Connection>, SubscribeError> {
        let id: Arc<str> = random_hex::<16>().into();
        let connection = Arc::new(Connection {
            id: Arc::clone(&id),
            app_id: request.app_id,
            user_id: request.user_id,
            form: request.form,
            outbound: request.outbound,
        });
        self.connections
            .insert(Arc::clone(&id), Arc::clone(&connection));
        // After the insert: either this sees the flag, or the shutdown's walk sees the connection.
        if self.shutting_down.load(Ordering::SeqCst) {
            self.connections.remove(&id);
            return Err(SubscribeError::ShuttingDown);
        }
        loop {
            let (app, channel) = self.channel(&connection.app_id, &connection.user_id);
            match channel.join(
                &connection,
                request.resume.as_ref(),
                self.config.max_connections_per_user,
                &*self.presence,
            ) {
                Joined::Yes(to_tell) => {
                    self.tell(&app, to_tell);
                    return Ok(connection);
                }
                Joined::Retired => {}
                Joined::Full => {
                    self.connections.remove(&id);
                    return Err(SubscribeError::TooMany);
                }
            }
        }
    }

    /// Takes a connection out. Doing it twice does nothing.
    pub(super) fn unsubscribe(&self, connection: &Connection) {
        if self.connections.remove(&connection.id).is_none() {
            return;
        }
        let Some(app) = self.app(&connection.app_id) else {
            return;
        };
        let channel = app.users.get(&connection.user_id);
        if let Some(channel) = channel.map(|channel| Arc::clone(&channel)) {
            let to_tell = channel.leave(connection, &*self.presence);
            self.tell(&app, to_tell);
        }
    }

    fn app(&self, app_id: &str) -> Option<Arc<App>> {
        self.apps.get(app_id).map(|app| Arc::clone(&app))
    }

    /// A connection of the app.
    fn connection(&self, app_id: &str, connection_id: &str) -> Option<Arc<Connection>> {
        let found = self.connections.get(connection_id);
        found
            .map(|connection| Arc::clone(&connection))
            .filter(|connection| *connection.app_id == *app_id)
    }

    pub(super) fn count_closed(&self, code: CloseCode) {
        for (known, count) in CloseCode::ALL.iter().zip(&self.closed) {
            if *known == code {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn find_channel(&self, app_id: &str, user_id: &str) -> Option<Arc<Channel>> {
        let app = self.apps.get(app_id)?;
        app.users.get(user_id).map(|channel| Arc::clone(&channel))
    }

    fn channel(&self, app_id: &Arc<str>, user_id: &Arc<str>) -> (Arc<App>, Arc<Channel>) {
        let new_app = || {
            let limits = BroadcastLimits {
                bytes: self.config.queue_bytes / BROADCAST_QUEUE_FRACTION,
                gather: self.config.gather,
            };
            let group_limits = GroupLimits {
                groups: self.config.max_groups,
                members: self.config.max_group_members,
                of_user: self.config.max_groups_per_user,
            };
            Arc::new(App {
                groups: Groups::new(group_limits, Arc::clone(&self.group_counts)),
                users: DashMap::new(),
                broadcasts: Broadcasts::new(limits, Arc::clone(&self.messages_sent)),
            })
        };
        let app = self.apps.entry(Arc::clone(app_id)).or_insert_with(new_app);
        // Runs under the guard of the user's place: a walk that does not see the channel has taken
        // its batch before, and the channel begins behind it.
        let new_channel = || {
            Channel::new(
                Arc::clone(user_id),
                RingLimits {
                    messages: self.config.history_messages,
                    bytes: self.config.history_bytes.min(self.config.queue_bytes / 2),
                    age: self.config.history_age,
                },
                Arc::clone(&self.history_budget),
                Arc::clone(&app.broadcasts),
                Arc::clone(&app.groups),
            )
        };
        let channel = app
            .users
            .entry(Arc::clone(user_id))
            .or_insert_with(new_channel);
        (Arc::clone(&app), Arc::clone(&channel))
    }

    fn count_sent(&self, count: usize) {
        self.messages_sent
            .fetch_add(count as u64, Ordering::Relaxed);
    }
}

impl App {
    fn channels(&self) -> Vec<Arc<Channel>> {
        self.users.iter().map(|user| Arc::clone(&user)).collect()
    }
}

/// Brings what was broadcast to the users of an app, until nothing waits. Between two rounds it lets
/// messages gather, so that a round has many, whoever is woken first.
struct Walk(Arc<App>);

impl Walk {
    async fn run(self) {
        let app = &self.0;
        while let Some(batch) = app.broadcasts.next_batch() {
            let channels = app.channels();
            for (index, slice) in channels.chunks(BROADCAST_SLICE).enumerate() {
                if index > 0 {
                    tokio::task::yield_now().await;
                }
                let now = Instant::now();
                let sent = slice.iter().map(|channel| channel.send_batch(&batch, now));
                app.broadcasts.count_sent(sent.sum());
            }
            app.broadcasts.finish(&batch);
            app.broadcasts.gather().await;
        }
    }
}

impl Drop for Walk {
    /// After a panic the next broadcast starts another walk. One more than needed does no harm:
    /// each user knows what it has been given.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broadcasts.abandon_walk();
        }
    }
}

#[cfg(test)]
mod tests;
