//! What plugins do with groups: let users and connections in, send to all in it, ask who is there.

use std::sync::{Arc, atomic::Ordering};

use tokio::{runtime::Handle, time::Instant};

use super::{
    App, BROADCAST_SLICE, Hub,
    channel::ToTell,
    groups::{self, GroupError, GroupPresence},
};
use crate::message::Message;

impl Hub {
    /// Puts a connection of the app, or a user with every connection there is and will be, into a
    /// group. Gives how many connections are in it by that: 0 where there is no such connection or
    /// user in this app. With `announce` the group's members are told from now on who comes and goes.
    ///
    /// # Errors
    /// [`GroupError`] where the name is none or a limit is in the way.
    pub fn subscribe_to_group(
        &self,
        app_id: &str,
        target: &str,
        group: &str,
        announce: bool,
    ) -> Result<usize, GroupError> {
        let entered = groups::check_name(group).and_then(|()| {
            let Some(app) = self.app(app_id) else {
                return Ok(0);
            };
            let connection = self.connection(app_id, target);
            let user = connection.as_ref().map_or(target, |one| &*one.user_id);
            let Some(channel) = app.users.get(user).map(|found| Arc::clone(&found)) else {
                return Ok(0);
            };
            let mut to_tell = ToTell::new();
            let name = Arc::from(group);
            let one = connection.as_deref();
            let entered = channel.enter_group(one, &name, announce, &mut to_tell);
            self.tell(&app, to_tell);
            entered
        });
        if entered.is_err() {
            self.group_counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    /// Takes a connection out of a group, or a user, in whichever way it has come in. Whether it was
    /// in it.
    ///
    /// # Errors
    /// [`GroupError::Name`].
    pub fn unsubscribe_from_group(
        &self,
        app_id: &str,
        target: &str,
        group: &str,
    ) -> Result<bool, GroupError> {
        groups::check_name(group)?;
        let Some(app) = self.app(app_id) else {
            return Ok(false);
        };
        let connection = self.connection(app_id, target);
        let user = connection.as_ref().map_or(target, |one| &*one.user_id);
        let Some(channel) = app.users.get(user).map(|found| Arc::clone(&found)) else {
            return Ok(false);
        };
        let mut to_tell = ToTell::new();
        let one = connection.as_ref().map(|one| &*one.id);
        let was_in = channel.exit_group(one, &Arc::from(group), &mut to_tell);
        self.tell(&app, to_tell);
        Ok(was_in)
    }

    /// Sends to every connection in a group of the app, and keeps the message for those who are away.
    /// Gives the number of connections reached. Messages of one group arrive in one order everywhere.
    pub async fn send_to_group(&self, app_id: &str, group: &str, message: &Arc<Message>) -> usize {
        let Some(app) = self.app(app_id) else {
            return 0;
        };
        self.group_counts.messages.fetch_add(1, Ordering::Relaxed);
        let reached = app.send_to_group(&Arc::from(group), message).await;
        self.count_sent(reached);
        reached
    }

    /// Who is in a group of the app and has a connection.
    pub fn group_presence(&self, app_id: &str, group: &str) -> GroupPresence {
        self.app(app_id)
            .map_or_else(GroupPresence::default, |app| app.groups.presence(group))
    }

    /// Tells the members of groups who has come and gone.
    pub(super) fn tell(&self, app: &Arc<App>, to_tell: ToTell) {
        for group in to_tell {
            let teller = Teller {
                app: Arc::clone(app),
                group,
                has_ended: false,
            };
            let (gather, sent) = (self.config.group_gather, Arc::clone(&self.messages_sent));
            // Without a runtime, at the very end, nobody is left to be told.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(async move {
                    let mut teller = teller;
                    while let Some(news) = teller.app.groups.take_news(&teller.group) {
                        let reached = teller.app.send_to_group(&teller.group, &news).await;
                        sent.fetch_add(reached as u64, Ordering::Relaxed);
                        // A timer, not a wait: what comes meanwhile goes out together.
                        tokio::time::sleep(gather).await;
                    }
                    teller.has_ended = true;
                });
            }
        }
    }
}

impl App {
    async fn send_to_group(&self, group: &Arc<str>, message: &Arc<Message>) -> usize {
        let Some(turn) = self.groups.turn(group) else {
            return 0;
        };
        let _turn = turn.lock().await;
        let mut reached = 0;
        let channels = self.groups.channels(group);
        for (index, slice) in channels.chunks(BROADCAST_SLICE).enumerate() {
            if index > 0 {
                tokio::task::yield_now().await;
            }
            let now = Instant::now();
            let sent = slice
                .iter()
                .map(|channel| channel.send_to_group(group, message, now));
            reached += sent.sum::<usize>();
        }
        reached
    }
}

/// Tells a group's members, round by round. However it ends, the next change finds somebody to tell.
struct Teller {
    app: Arc<App>,
    group: Arc<str>,
    has_ended: bool,
}

impl Drop for Teller {
    fn drop(&mut self) {
        if !self.has_ended {
            self.app.groups.abandon_telling(&self.group);
        }
    }
}
