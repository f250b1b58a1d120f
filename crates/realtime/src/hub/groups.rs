//! The groups of one app: which users are in them, who of these is there, and what is told of it.
//!
//! A group is there while somebody is in it. A map's guard is its lock; it is taken under a channel's
//! lock, never around one.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, Entry};
use serde_json::json;

use super::channel::Channel;
use crate::message::Message;

/// Users that one message tells of.
const TOLD_AT_ONCE: usize = 256;
/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Why somebody was not let into a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// It is no name.
    #[error("a group's name has 1 to 128 bytes and no control characters")]
    Name,
    /// `ws_max_groups`.
    #[error("the app has too many groups")]
    TooManyGroups,
    /// `ws_max_group_members`.
    #[error("the group has too many members")]
    TooManyMembers,
    /// `ws_max_groups_per_user`.
    #[error("the user is in too many groups")]
    TooManyOfUser,
}

/// Who is in a group and has a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupPresence {
    /// The users, sorted.
    pub users: Vec<Arc<str>>,
}

/// How much of groups there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupLimits {
    /// Groups of an app.
    pub(super) groups: usize,
    /// Users in a group.
    pub(super) members: usize,
    /// Groups of a user.
    pub(super) of_user: usize,
}

/// Counts over all apps.
#[derive(Debug, Default)]
pub(super) struct GroupCounts {
    pub(super) groups: AtomicUsize,
    pub(super) members: AtomicUsize,
    pub(super) messages: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// How a user stands to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Out,
    /// Without a connection in it, for as long as the user may come back.
    Away,
    Present,
}

/// All groups of one app.
pub(super) struct Groups {
    pub(super) limits: GroupLimits,
    by_name: DashMap<Arc<str>, Group>,
    /// `by_name.len()`, which cannot be asked under a guard.
    count: AtomicUsize,
    pub(super) counts: Arc<GroupCounts>,
}

#[derive(Default)]
struct Group {
    members: HashMap<Arc<str>, Member>,
    /// How many of them have a connection in it.
    present: usize,
    /// Whether members are told who comes and goes.
    is_announced: bool,
    /// Who has come and gone since the last time.
    joined: BTreeSet<Arc<str>>,
    left: BTreeSet<Arc<str>>,
    is_telling: bool,
    /// Sent one after the other, so that all members see one order.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct Member {
    channel: Arc<Channel>,
    is_present: bool,
}

impl Groups {
    pub(super) fn new(limits: GroupLimits, counts: Arc<GroupCounts>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            by_name: DashMap::new(),
            count: AtomicUsize::new(0),
            counts,
        })
    }

    /// Notes how a user stands to a group, which comes and goes with its members. `announce` turns on
    /// that members are told. `true` where the caller must see to it that they are.
    ///
    /// # Errors
    /// Where a limit is in the way of a new group or member.
    pub(super) fn place(
        &self,
        name: &Arc<str>,
        channel: &Arc<Channel>,
        standing: Standing,
        announce: bool,
    ) -> Result<bool, GroupError> {
        let mut group = match self.by_name.entry(Arc::clone(name)) {
            Entry::Occupied(found) => found.into_ref(),
            Entry::Vacant(_) if standing == Standing::Out => return Ok(false),
            Entry::Vacant(place) => {
                if self.count.load(Ordering::Relaxed) >= self.limits.groups {
                    return Err(GroupError::TooManyGroups);
                }
                self.count.fetch_add(1, Ordering::Relaxed);
                self.counts.groups.fetch_add(1, Ordering::Relaxed);
                place.insert(Group::default())
            }
        };
        let user = channel.user_id();
        let is_new = !group.members.contains_key(user);
        if is_new && standing != Standing::Out && group.members.len() >= self.limits.members {
            return Err(GroupError::TooManyMembers);
        }
        group.is_announced |= announce;
        let was_present = group.members.get(user).is_some_and(|one| one.is_present);
        let is_present = standing == Standing::Present;
        if standing == Standing::Out {
            if group.members.remove(user).is_some() {
                self.counts.members.fetch_sub(1, Ordering::Relaxed);
            }
        } else {
            let member = Member {
                channel: Arc::clone(channel),
                is_present,
            };
            if group.members.insert(Arc::clone(user), member).is_none() {
                self.counts.members.fetch_add(1, Ordering::Relaxed);
            }
        }
        if was_present != is_present {
            group.note(user, is_present);
        }
        let must_tell = group.begins_telling();
        let is_empty = group.members.is_empty();
        drop(group);
        if is_empty
            && self
                .by_name
                .remove_if(name, |_, group| group.members.is_empty())
                .is_some()
        {
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.counts.groups.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(must_tell)
    }

    /// Where the group's members are reached, and the right to send to them next; `None` where there
    /// is no such group.
    pub(super) fn turn(&self, name: &str) -> Option<Arc<tokio::sync::Mutex<()>>> {
        self.by_name.get(name).map(|group| Arc::clone(&group.turn))
    }

    pub(super) fn channels(&self, name: &str) -> Vec<Arc<Channel>> {
        let group = self.by_name.get(name);
        let members = group.iter().flat_map(|group| group.members.values());
        members.map(|member| Arc::clone(&member.channel)).collect()
    }

    pub(super) fn presence(&self, name: &str) -> GroupPresence {
        let Some(group) = self.by_name.get(name) else {
            return GroupPresence::default();
        };
        let present = group.members.iter().filter(|(_, member)| member.is_present);
        let mut users: Vec<Arc<str>> = present.map(|(user, _)| Arc::clone(user)).collect();
        drop(group);
        users.sort_unstable();
        GroupPresence { users }
    }

    /// What the group's members are to be told next; `None`, and no telling any more, where there is
    /// nothing.
    pub(super) fn take_news(&self, name: &Arc<str>) -> Option<Arc<Message>> {
        let mut group = self.by_name.get_mut(name)?;
        let joined = take_some(&mut group.joined);
        let left = take_some(&mut group.left);
        if joined.is_empty() && left.is_empty() {
            group.is_telling = false;
            return None;
        }
        let news = json!({
            "type": "group_presence",
            "joined": joined,
            "left": left,
            "count": group.present,
            "_group": name,
        });
        drop(group);
        let message = Message::from_value(&news, usize::MAX);
        Some(message.expect("invariant: an object of strings and numbers is a message"))
    }

    /// Whoever told the members has ended too early: the next change begins anew.
    pub(super) fn abandon_telling(&self, name: &str) {
        if let Some(mut group) = self.by_name.get_mut(name) {
            group.is_telling = false;
        }
    }
}

impl Group {
    /// A user has come or gone; both between two messages are nothing to tell.
    fn note(&mut self, user: &Arc<str>, is_present: bool) {
        if is_present {
            self.present += 1;
        } else {
            self.present -= 1;
        }
        if !self.is_announced {
            return;
        }
        let (to, undone) = if is_present {
            (&mut self.joined, &mut self.left)
        } else {
            (&mut self.left, &mut self.joined)
        };
        if !undone.remove(user) {
            to.insert(Arc::clone(user));
        }
    }

    /// Whether there is something to tell and nobody is at it.
    fn begins_telling(&mut self) -> bool {
        let has_news = !self.joined.is_empty() || !self.left.is_empty();
        has_news && !self.members.is_empty() && !std::mem::replace(&mut self.is_telling, true)
    }
}

fn take_some(users: &mut BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
    std::iter::from_fn(|| users.pop_first())
        .take(TOLD_AT_ONCE)
        .collect()
}

/// Whether a group may be called so.
pub(super) fn check_name(name: &str) -> Result<(), GroupError> {
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len());
    if fits && !name.contains(char::is_control) {
        Ok(())
    } else {
        Err(GroupError::Name)
    }
}
