//! One user of one app: the connections, the numbering of messages, the history.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

mod groups;

pub(super) use self::groups::ToTell;
use super::{
    PresenceSink, Resume,
    broadcasts::{Batch, Broadcasts},
    groups::Groups,
    memberships::Memberships,
};
use crate::{
    budget::Budget,
    message::Message,
    outbound::{Outbound, Outgoing},
    random::random_hex,
    ring::{Ring, RingLimits},
};

/// How a connection wants its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A socket; messages as the plugin sent them.
    Plain,
    /// A socket; messages with `_epoch` and `_offset`.
    Tracked,
    /// Server-sent events with the position as their id.
    Events,
}

/// One live connection of a user.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: Arc<str>,
    pub(crate) app_id: Arc<str>,
    pub(crate) user_id: Arc<str>,
    pub(crate) form: Form,
    pub(crate) outbound: Arc<Outbound>,
}

impl Connection {
    /// Sends a message that has no place in the user's history.
    pub(crate) fn send_untracked(&self, message: &Arc<Message>) -> bool {
        match self.form {
            Form::Plain | Form::Tracked => self.outbound.send(Outgoing::Shared(message)),
            Form::Events => self.outbound.send(Outgoing::Own(&message.event(None))),
        }
    }

    fn send_numbered(&self, numbered: &mut Numbered<'_>) -> bool {
        match self.form {
            Form::Plain => self.outbound.send(Outgoing::Shared(numbered.message)),
            Form::Tracked => self.outbound.send(Outgoing::Own(numbered.tracked())),
            Form::Events => self.outbound.send(Outgoing::Own(numbered.event())),
        }
    }
}

/// A message with its number, each form encoded at most once for all connections of the user.
struct Numbered<'a> {
    message: &'a Arc<Message>,
    epoch: &'a str,
    offset: u64,
    tracked: Option<Bytes>,
    event: Option<Bytes>,
}

impl<'a> Numbered<'a> {
    fn new(message: &'a Arc<Message>, epoch: &'a str, offset: u64) -> Self {
        Self {
            message,
            epoch,
            offset,
            tracked: None,
            event: None,
        }
    }

    fn tracked(&mut self) -> &Bytes {
        self.tracked
            .get_or_insert_with(|| self.message.tracked_frame(self.epoch, self.offset))
    }

    fn event(&mut self) -> &Bytes {
        self.event
            .get_or_insert_with(|| self.message.event(Some((self.epoch, self.offset))))
    }
}

/// Messages that are sent together, each form encoded at most once for all connections of the user.
struct Pieces<'a> {
    messages: &'a [Arc<Message>],
    epoch: &'a str,
    first_offset: u64,
    /// The frames as one piece, where all of a batch are sent.
    joined: Option<&'a Arc<Message>>,
    forms: [Option<Bytes>; 3],
}

impl Pieces<'_> {
    fn send(&mut self, connection: &Connection) -> bool {
        if let (Form::Plain, Some(joined)) = (connection.form, self.joined) {
            return connection.outbound.send(Outgoing::Shared(joined));
        }
        let form = connection.form;
        if self.forms[form as usize].is_none() {
            self.forms[form as usize] = Some(self.encode(form));
        }
        self.forms[form as usize]
            .as_ref()
            .is_some_and(|bytes| connection.outbound.send(Outgoing::Own(bytes)))
    }

    fn encode(&self, form: Form) -> Bytes {
        let mut out = BytesMut::new();
        for (message, offset) in self.messages.iter().zip(self.first_offset..) {
            match form {
                Form::Plain => out.put_slice(message.frame()),
                Form::Tracked => out.put_slice(&message.tracked_frame(self.epoch, offset)),
                Form::Events => out.put_slice(&message.event(Some((self.epoch, offset)))),
            }
        }
        out.freeze()
    }
}

/// What came of [`Channel::join`].
pub(super) enum Joined {
    /// With the groups whose members are to be told.
    Yes(ToTell),
    /// The user has as many connections as allowed.
    Full,
    /// The channel has just been swept away; the caller looks it up again.
    Retired,
}

/// One user of one app.
pub(super) struct Channel {
    user_id: Arc<str>,
    /// Distinguishes this history from one before a restart or a long absence.
    epoch: Box<str>,
    /// Held while a message is numbered and handed to every connection, so that all see one order
    /// and a newcomer neither misses nor doubles one. Nothing in it waits.
    state: Mutex<State>,
    /// `connections.len()`, for questions that need not wait for the lock.
    connection_count: AtomicUsize,
    /// The app's, some of which this user may not have been given yet.
    broadcasts: Arc<Broadcasts>,
    /// The app's.
    groups: Arc<Groups>,
}

struct State {
    connections: Vec<Arc<Connection>>,
    ring: Ring,
    /// The number of the first broadcast that this user has not been given.
    next_broadcast: u64,
    /// The groups that the user is in, where there are any.
    memberships: Option<Box<Memberships>>,
    /// When the last connection left.
    idle_since: Instant,
    /// No longer in the map.
    retired: bool,
}

impl Channel {
    /// A user who gets the broadcasts from here on.
    pub(super) fn new(
        user_id: Arc<str>,
        limits: RingLimits,
        history_budget: Arc<Budget>,
        broadcasts: Arc<Broadcasts>,
        groups: Arc<Groups>,
    ) -> Arc<Self> {
        Arc::new(Self {
            user_id,
            epoch: random_hex::<8>().into(),
            state: Mutex::new(State {
                connections: Vec::new(),
                ring: Ring::new(limits, history_budget),
                next_broadcast: broadcasts.end(),
                memberships: None,
                idle_since: Instant::now(),
                retired: false,
            }),
            connection_count: AtomicUsize::new(0),
            broadcasts,
            groups,
        })
    }

    pub(super) fn user_id(&self) -> &Arc<str> {
        &self.user_id
    }

    pub(super) fn connection_count(&self) -> usize {
        self.connection_count.load(Ordering::Acquire)
    }

    /// Numbers a message, keeps it and gives it to every connection; how many took it.
    pub(super) fn send(&self, message: &Arc<Message>, now: Instant) -> usize {
        let mut state = self.state.lock();
        self.catch_up_locked(&mut state, now);
        let offset = state.ring.push(message, None, now);
        let mut numbered = Numbered::new(message, &self.epoch, offset);
        state
            .connections
            .iter()
            .filter(|connection| connection.send_numbered(&mut numbered))
            .count()
    }

    /// Gives the user those broadcasts of a batch that are new to it, as [`Self::send`] does; how
    /// many messages connections took.
    pub(super) fn send_batch(&self, batch: &Batch, now: Instant) -> usize {
        self.take_batch(&mut self.state.lock(), batch, now)
    }

    /// Gives the user the broadcasts that have been sent so far.
    pub(super) fn catch_up(&self, now: Instant) {
        self.catch_up_locked(&mut self.state.lock(), now);
    }

    fn catch_up_locked(&self, state: &mut State, now: Instant) {
        if let Some(batch) = self.broadcasts.since(state.next_broadcast) {
            let sent = self.take_batch(state, &batch, now);
            self.broadcasts.count_sent(sent);
        }
    }

    fn take_batch(&self, state: &mut State, batch: &Batch, now: Instant) -> usize {
        let messages = batch.since(state.next_broadcast);
        if messages.is_empty() {
            return 0;
        }
        state.next_broadcast = batch.end();
        let first_offset = state.ring.offset() + 1;
        for message in messages {
            state.ring.push(message, None, now);
        }
        let mut pieces = Pieces {
            messages,
            epoch: &self.epoch,
            first_offset,
            joined: (messages.len() == batch.len()).then(|| batch.joined()),
            forms: [const { None }; 3],
        };
        let reached = state
            .connections
            .iter()
            .filter(|connection| pieces.send(connection))
            .count();
        reached * messages.len()
    }

    /// Acknowledges a connection, replays what it missed and makes it a receiver.
    pub(super) fn join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        resume: Option<&Resume>,
        max_connections: usize,
        presence: &dyn PresenceSink,
    ) -> Joined {
        let mut state = self.state.lock();
        if state.retired {
            return Joined::Retired;
        }
        if state.connections.len() >= max_connections {
            return Joined::Full;
        }
        self.catch_up_locked(&mut state, Instant::now());
        let state = &mut *state;
        let newest = state.ring.offset();
        let resumes = resume.filter(|resume| {
            let is_ours = resume.epoch == self.epoch;
            is_ours && state.ring.has_since(resume.offset, Instant::now())
        });
        if let Some(resume) = resumes {
            Self::take_over_groups(state, resume, connection);
        }
        let memberships = state.memberships.as_deref();
        let is_for = |group: Option<&Arc<str>>| {
            let receives = |name| memberships.is_some_and(|all| all.receives(&connection.id, name));
            group.is_none_or(|name| receives(name))
        };
        let missed = resumes.and_then(|resume| {
            let missed = state.ring.since(resume.offset, Instant::now())?;
            Some((resume.offset, missed))
        });
        // The position after which messages follow, so that a client which breaks off during the
        // replay asks for the rest.
        let position = missed.as_ref().map_or(newest, |(offset, _)| *offset);
        let recovered = resume.is_some().then_some(missed.is_some());
        self.acknowledge(connection, position, recovered);
        for (offset, message, group) in missed.into_iter().flat_map(|(_, missed)| missed) {
            if is_for(group) {
                connection.send_numbered(&mut Numbered::new(message, &self.epoch, offset));
            }
        }
        state.connections.push(Arc::clone(connection));
        self.connection_count
            .store(state.connections.len(), Ordering::Release);
        self.broadcasts.add_receiver();
        if state.connections.len() == 1 {
            presence.user_connected(&connection.app_id, &connection.user_id);
        }
        let mut to_tell = ToTell::new();
        self.groups_joined(state, &mut to_tell);
        Joined::Yes(to_tell)
    }

    /// Takes a connection out. Gives the groups whose members are to be told.
    pub(super) fn leave(
        self: &Arc<Self>,
        connection: &Connection,
        presence: &dyn PresenceSink,
    ) -> ToTell {
        let mut to_tell = ToTell::new();
        let mut state = self.state.lock();
        let before = state.connections.len();
        state.connections.retain(|have| have.id != connection.id);
        if state.connections.len() == before {
            return to_tell;
        }
        self.connection_count
            .store(state.connections.len(), Ordering::Release);
        self.broadcasts.remove_receiver();
        if state.connections.is_empty() {
            state.connections = Vec::new();
            state.idle_since = Instant::now();
            presence.user_disconnected(&connection.app_id, &connection.user_id);
        }
        self.groups_left(&mut state, connection, &mut to_tell);
        to_tell
    }

    /// Drops expired history. `true`, and no joining any more, where nobody is connected and nobody
    /// can come back to anything. Never waits: a channel in use is left for the next time.
    pub(super) fn retire_if_idle(self: &Arc<Self>, now: Instant, history_age: Duration) -> bool {
        let Some(mut state) = self.state.try_lock() else {
            return false;
        };
        state.ring.drop_expired(now);
        self.expire_groups(&mut state, now, history_age);
        let is_idle = state.connections.is_empty()
            && state.memberships.is_none()
            && state.ring.is_empty()
            && now.saturating_duration_since(state.idle_since) > history_age;
        state.retired |= is_idle;
        is_idle
    }

    fn acknowledge(&self, connection: &Connection, position: u64, recovered: Option<bool>) {
        let mut ack = json!({
            "type": "connection_ack",
            "user_id": connection.user_id,
            "connection_id": connection.id,
            "epoch": self.epoch,
            "offset": position,
        });
        if let Some(recovered) = recovered {
            ack["recovered"] = recovered.into();
        }
        let ack = Message::from_value(&ack, usize::MAX)
            .expect("invariant: an object of strings and numbers is a message");
        match connection.form {
            Form::Plain | Form::Tracked => {
                connection.outbound.send(Outgoing::Shared(&ack));
            }
            Form::Events => {
                let event = ack.event(Some((&self.epoch, position)));
                connection.outbound.send(Outgoing::Own(&event));
            }
        }
    }
}
