//! A user's part in groups: what they are sent stands in the user's history like everything else, so
//! that a connection which comes back has it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Channel, Connection, Numbered, Resume, State};
use crate::{
    hub::{
        groups::{GroupError, Standing},
        memberships::{Memberships, Names},
    },
    message::Message,
};

/// Groups whose members are to be told that somebody has come or gone.
pub(in crate::hub) type ToTell = Vec<Arc<str>>;

impl Channel {
    /// Puts the user, or one connection, into a group. Gives the connections that are in it by that.
    ///
    /// # Errors
    /// [`GroupError`] where a limit is in the way; nothing has changed then.
    pub(in crate::hub) fn enter_group(
        self: &Arc<Self>,
        connection: Option<&Connection>,
        group: &Arc<str>,
        announce: bool,
        to_tell: &mut ToTell,
    ) -> Result<usize, GroupError> {
        let mut state = self.state.lock();
        let is_here = |id: &Arc<str>| state.connections.iter().any(|have| have.id == *id);
        if state.retired || connection.is_some_and(|one| !is_here(&one.id)) {
            return Ok(0);
        }
        let has_connections = !state.connections.is_empty();
        let reached = if connection.is_some() {
            1
        } else {
            state.connections.len()
        };
        let memberships = state.memberships.as_deref();
        let before = memberships.map_or(Standing::Out, |all| all.standing(group, has_connections));
        let has_room = memberships.is_none_or(|all| all.has_room(self.groups.limits.of_user));
        if before == Standing::Out && !has_room {
            return Err(GroupError::TooManyOfUser);
        }
        let standing = if connection.is_some() || has_connections {
            Standing::Present
        } else {
            Standing::Away
        };
        if self.groups.place(group, self, standing, announce)? {
            to_tell.push(Arc::clone(group));
        }
        let memberships = state.memberships.get_or_insert_default();
        memberships.enter(connection.map(|one| &one.id), group);
        Ok(reached)
    }

    /// Takes one connection out of a group, or the user in every way; whether it was in it.
    pub(in crate::hub) fn exit_group(
        self: &Arc<Self>,
        connection_id: Option<&str>,
        group: &Arc<str>,
        to_tell: &mut ToTell,
    ) -> bool {
        let mut state = self.state.lock();
        let Some(memberships) = &mut state.memberships else {
            return false;
        };
        let was_in = memberships.exit(connection_id, group);
        self.settle(&mut state, &Names::from([Arc::clone(group)]), to_tell);
        was_in
    }

    /// As [`Self::send`], to those connections that are in the group.
    pub(in crate::hub) fn send_to_group(
        &self,
        group: &Arc<str>,
        message: &Arc<Message>,
        now: Instant,
    ) -> usize {
        let mut state = self.state.lock();
        self.catch_up_locked(&mut state, now);
        let state = &mut *state;
        // Taken out since the members were asked for.
        let Some(memberships) = &state.memberships else {
            return 0;
        };
        if memberships.standing(group, !state.connections.is_empty()) == Standing::Out {
            return 0;
        }
        let offset = state.ring.push(message, Some(group), now);
        let mut numbered = Numbered::new(message, &self.epoch, offset);
        state
            .connections
            .iter()
            .filter(|connection| memberships.receives(&connection.id, group))
            .filter(|connection| connection.send_numbered(&mut numbered))
            .count()
    }

    /// A connection goes on where one has stopped, in the same groups.
    pub(super) fn take_over_groups(state: &mut State, resume: &Resume, connection: &Connection) {
        if let Some(memberships) = &mut state.memberships {
            memberships.take_over(resume.connection.as_deref(), &connection.id);
        }
    }

    /// The user's first connection has come, or one has taken groups over.
    pub(super) fn groups_joined(self: &Arc<Self>, state: &mut State, to_tell: &mut ToTell) {
        if let Some(memberships) = &state.memberships {
            let names = memberships.names();
            self.settle(state, &names, to_tell);
        }
    }

    /// A connection has ended.
    pub(super) fn groups_left(
        self: &Arc<Self>,
        state: &mut State,
        connection: &Connection,
        to_tell: &mut ToTell,
    ) {
        if let Some(memberships) = &mut state.memberships {
            // Before, as one that waits already may have to make room.
            let names = memberships.names();
            memberships.end(&connection.id, Instant::now());
            self.settle(state, &names, to_tell);
        }
    }

    /// Forgets memberships whose user or connection has been away for too long.
    pub(super) fn expire_groups(self: &Arc<Self>, state: &mut State, now: Instant, age: Duration) {
        let idle_since = state.connections.is_empty().then_some(state.idle_since);
        if let Some(memberships) = &mut state.memberships {
            let names = memberships.names();
            memberships.expire(now, age, idle_since);
            // Who is away has been told of already.
            self.settle(state, &names, &mut ToTell::new());
        }
    }

    /// Brings the app's groups in line with the user's memberships.
    fn settle(self: &Arc<Self>, state: &mut State, names: &Names, to_tell: &mut ToTell) {
        let has_connections = !state.connections.is_empty();
        let none = Memberships::default();
        let memberships = state.memberships.as_deref().unwrap_or(&none);
        for group in names {
            let standing = memberships.standing(group, has_connections);
            // A member stays one, so that no limit is in the way.
            if self.groups.place(group, self, standing, false) == Ok(true) {
                to_tell.push(Arc::clone(group));
            }
        }
        if memberships.is_empty() {
            state.memberships = None;
        }
    }
}
