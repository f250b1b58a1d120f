//! Tickets: credentials that a browser can put into a URL, because they are worth nothing a moment
//! later.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{random::random_hex, services::Identity};
use mozaiks_config::RealtimeConfig;

/// Why no ticket was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// This user holds as many as allowed.
    #[error("you hold too many unused tickets")]
    TooManyOfUser,
    /// All users together do.
    #[error("too many unused tickets")]
    TooMany,
}

/// Tickets given out and not used yet.
pub struct Tickets {
    ttl: Duration,
    max: usize,
    max_per_user: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: HashMap<Arc<str>, Ticket>,
    /// Oldest first. Used tickets stay in it until their time is over or it is twice as long as the
    /// tickets allowed.
    order: VecDeque<(Instant, Arc<str>)>,
    /// Open tickets by app and user.
    by_user: HashMap<(Arc<str>, Arc<str>), usize>,
}

struct Ticket {
    identity: Identity,
    expires_at: Instant,
}

impl Tickets {
    /// No tickets, under the configured limits.
    pub fn new(config: &RealtimeConfig) -> Self {
        Self {
            ttl: config.ticket_ttl,
            max: config.max_tickets,
            max_per_user: config.max_tickets_per_user,
            state: Mutex::new(State::default()),
        }
    }

    /// How long a ticket may be used.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// A ticket for a verified user.
    ///
    /// # Errors
    /// [`TicketError`] where too many are open.
    pub fn issue(&self, identity: Identity) -> Result<Arc<str>, TicketError> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.drop_expired(now);
        if state.open.len() >= self.max {
            return Err(TicketError::TooMany);
        }
        if state.order.len() >= self.max * 2 {
            let State { open, order, .. } = &mut *state;
            order.retain(|(_, name)| open.contains_key(name));
        }
        let held = state.by_user.entry(owner(&identity)).or_default();
        if *held >= self.max_per_user {
            return Err(TicketError::TooManyOfUser);
        }
        *held += 1;
        let name: Arc<str> = random_hex::<32>().into();
        let expires_at = now + self.ttl;
        state.order.push_back((expires_at, Arc::clone(&name)));
        state.open.insert(
            Arc::clone(&name),
            Ticket {
                identity,
                expires_at,
            },
        );
        Ok(name)
    }

    /// Takes a ticket: whose it is, the first time and in time; else `None`.
    pub fn redeem(&self, ticket: &str) -> Option<Identity> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let found = state.remove(ticket)?;
        (now < found.expires_at).then_some(found.identity)
    }
}

impl State {
    fn remove(&mut self, name: &str) -> Option<Ticket> {
        let ticket = self.open.remove(name)?;
        let owner = owner(&ticket.identity);
        if let Some(held) = self.by_user.get_mut(&owner) {
            *held -= 1;
            if *held == 0 {
                self.by_user.remove(&owner);
            }
        }
        Some(ticket)
    }

    fn drop_expired(&mut self, now: Instant) {
        while let Some((expires_at, _)) = self.order.front()
            && *expires_at <= now
            && let Some((_, name)) = self.order.pop_front()
        {
            self.remove(&name);
        }
    }
}

fn owner(identity: &Identity) -> (Arc<str>, Arc<str>) {
    let principal = &identity.principal;
    (
        Arc::clone(&principal.app_id),
        Arc::clone(&principal.user_id),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::identity;

    fn tickets() -> Tickets {
        Tickets::new(&RealtimeConfig {
            max_tickets: 5,
            max_tickets_per_user: 3,
            ..RealtimeConfig::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_works_once() {
        let tickets = tickets();
        let ticket = tickets.issue(identity("a", "u1")).unwrap();
        assert_eq!(ticket.len(), 64);
        assert!(tickets.redeem("nothing").is_none());
        assert_eq!(&*tickets.redeem(&ticket).unwrap().principal.user_id, "u1");
        assert!(tickets.redeem(&ticket).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn used_tickets_do_not_pile_up() {
        let tickets = tickets();
        for _ in 0..100 {
            let ticket = tickets.issue(identity("a", "u1")).unwrap();
            assert!(tickets.redeem(&ticket).is_some());
        }
        assert!(tickets.state.lock().order.len() <= 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_works_for_thirty_seconds() {
        let tickets = tickets();
        let first = tickets.issue(identity("a", "u1")).unwrap();
        let second = tickets.issue(identity("a", "u1")).unwrap();
        tokio::time::advance(Duration::from_millis(29_999)).await;
        assert!(tickets.redeem(&first).is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(tickets.redeem(&second).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_and_all_users_are_limited_until_tickets_end() {
        let tickets = tickets();
        for _ in 0..3 {
            tickets.issue(identity("a", "u1")).unwrap();
        }
        let of_user = tickets.issue(identity("a", "u1")).unwrap_err();
        assert_eq!(of_user, TicketError::TooManyOfUser);
        // The same id in another app is another user.
        for _ in 0..2 {
            tickets.issue(identity("b", "u1")).unwrap();
        }
        let of_all = tickets.issue(identity("b", "u2")).unwrap_err();
        assert_eq!(of_all, TicketError::TooMany);
        tokio::time::advance(Duration::from_secs(30)).await;
        tickets.issue(identity("a", "u1")).unwrap();
        assert_eq!(tickets.state.lock().by_user.len(), 1);
    }
}
