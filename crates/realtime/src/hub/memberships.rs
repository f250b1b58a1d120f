//! The groups that one user is in: with all connections, with some, or with one that has ended and may
//! come back.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::groups::Standing;

/// Ended connections whose groups are kept for their return.
const MAX_AWAY: usize = 16;

/// Names of groups.
pub(super) type Names = BTreeSet<Arc<str>>;

/// In which groups a user is, and how.
#[derive(Default)]
pub(super) struct Memberships {
    /// With every connection.
    whole: Names,
    /// By the connection's id.
    of: Vec<(Arc<str>, Names)>,
    away: VecDeque<Away>,
}

struct Away {
    connection_id: Arc<str>,
    groups: Names,
    since: Instant,
}

impl Memberships {
    /// Puts the user into a group, with one connection or with all.
    pub(super) fn enter(&mut self, connection_id: Option<&Arc<str>>, group: &Arc<str>) {
        match connection_id {
            None => self.whole.insert(Arc::clone(group)),
            Some(id) => self.of_mut(id).insert(Arc::clone(group)),
        };
    }

    /// Takes one connection out of a group, or the user in every way; whether it was in it.
    pub(super) fn exit(&mut self, connection_id: Option<&str>, group: &str) -> bool {
        let mut was_in = false;
        if connection_id.is_none() {
            was_in |= self.whole.remove(group);
            for away in &mut self.away {
                was_in |= away.groups.remove(group);
            }
            self.away.retain(|away| !away.groups.is_empty());
        }
        for (id, groups) in &mut self.of {
            if connection_id.is_none_or(|wanted| wanted == &**id) {
                was_in |= groups.remove(group);
            }
        }
        self.of.retain(|(_, groups)| !groups.is_empty());
        was_in
    }

    /// Whether a connection gets what the group is sent.
    pub(super) fn receives(&self, connection_id: &str, group: &str) -> bool {
        let has =
            |(id, groups): &(Arc<str>, Names)| **id == *connection_id && groups.contains(group);
        self.whole.contains(group) || self.of.iter().any(has)
    }

    /// How the user stands to a group.
    pub(super) fn standing(&self, group: &str, has_connections: bool) -> Standing {
        let is_whole = self.whole.contains(group);
        let has_one = self.of.iter().any(|(_, groups)| groups.contains(group));
        if has_one || (is_whole && has_connections) {
            Standing::Present
        } else if is_whole || self.away.iter().any(|away| away.groups.contains(group)) {
            Standing::Away
        } else {
            Standing::Out
        }
    }

    /// Every group once.
    pub(super) fn names(&self) -> Names {
        let of = self.of.iter().flat_map(|(_, groups)| groups);
        let away = self.away.iter().flat_map(|away| &away.groups);
        self.whole.iter().chain(of).chain(away).cloned().collect()
    }

    /// Whether there is room for one more group.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        let of = self.of.iter().map(|(_, groups)| groups.len());
        let away = self.away.iter().map(|away| away.groups.len());
        let at_most = self.whole.len() + of.chain(away).sum::<usize>();
        at_most < limit || self.names().len() < limit
    }

    /// A connection has ended: its groups wait for its return.
    pub(super) fn end(&mut self, connection_id: &Arc<str>, now: Instant) {
        let Some(at) = self.of.iter().position(|(id, _)| id == connection_id) else {
            return;
        };
        let (connection_id, groups) = self.of.swap_remove(at);
        if self.away.len() >= MAX_AWAY {
            self.away.pop_front();
        }
        self.away.push_back(Away {
            connection_id,
            groups,
            since: now,
        });
    }

    /// A connection goes on where one has stopped: it is in the groups of the one it names, which may
    /// not be known to have ended, or of all that have ended.
    pub(super) fn take_over(&mut self, from: Option<&str>, by: &Arc<str>) {
        let mut groups = Names::new();
        self.away.retain_mut(|away| {
            let is_meant = from.is_none_or(|from| from == &*away.connection_id);
            if is_meant {
                groups.extend(away.groups.iter().cloned());
            }
            // The one that was named has come back, and no other comes back as it.
            !(is_meant && from.is_some())
        });
        for (id, of) in &self.of {
            if from.is_some_and(|from| from == &**id) {
                groups.extend(of.iter().cloned());
            }
        }
        if !groups.is_empty() {
            self.of_mut(by).extend(groups);
        }
    }

    /// Forgets what has waited for longer than histories are kept; of a user without connections for
    /// as long, all of it.
    pub(super) fn expire(&mut self, now: Instant, age: Duration, idle_since: Option<Instant>) {
        let is_old = |since: Instant| now.saturating_duration_since(since) > age;
        self.away.retain(|away| !is_old(away.since));
        if idle_since.is_some_and(is_old) {
            self.whole = Names::new();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.of.is_empty() && self.away.is_empty()
    }

    fn of_mut(&mut self, connection_id: &Arc<str>) -> &mut Names {
        let at = self.of.iter().position(|(id, _)| id == connection_id);
        let at = at.unwrap_or_else(|| {
            self.of.push((Arc::clone(connection_id), Names::new()));
            self.of.len() - 1
        });
        &mut self.of[at].1
    }
}
