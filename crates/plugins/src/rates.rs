//! How often somebody may call: one table of a fixed size for all who are counted, and the limits of the
//! gateway over it.
//!
//! The counting is governor's. The table is ours, because it must not grow with the callers: where it is
//! full, the one who has used least of its rate makes room, so that nobody who is over a limit is forgotten
//! for the sake of many who have called once.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    nanos::Nanos,
    state::StateStore,
};
use mozaiks_config::RatesConfig;
use parking_lot::Mutex;

/// Cells that a caller may be found in.
const WAYS: usize = 8;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted<'a> {
    /// A user of an app, whichever of its tokens it brings.
    User {
        /// The app.
        app_id: &'a str,
        /// The user.
        user_id: &'a str,
    },
    /// Somebody without a valid identity.
    Address(IpAddr),
}

/// A caller's cell: its hash, and until when it has used up what it has called. Zero is a free cell.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    key: u64,
    /// Nanoseconds since the table's making.
    until: u64,
}

/// Who has called lately.
pub struct RateTable {
    /// Made with the first call that is counted: a gateway without limits has none.
    sets: OnceLock<Box<[Mutex<[Cell; WAYS]>]>>,
    callers: usize,
    /// Keyed anew in each process: nobody can choose who shares a set with whom.
    hashing: RandomState,
    began: Instant,
    evicted: AtomicU64,
}

impl RateTable {
    /// A table for so many callers, rounded up.
    pub fn new(callers: usize) -> Arc<Self> {
        Arc::new(Self {
            sets: OnceLock::new(),
            callers,
            hashing: RandomState::new(),
            began: Instant::now(),
            evicted: AtomicU64::new(0),
        })
    }

    /// A rate of `what`, which has it again with the same name: a route that is loaded anew goes on counting.
    pub fn rate(self: &Arc<Self>, what: impl Hash, per_minute: NonZeroU32) -> Rate {
        let share = Share {
            table: Arc::clone(self),
            began: self.now(),
        };
        Rate {
            limiter: RateLimiter::new(
                Quota::per_minute(per_minute),
                share,
                DefaultClock::default(),
            ),
            table: Arc::clone(self),
            what: self.hashing.hash_one(what),
            per_minute,
        }
    }

    /// Callers that were forgotten before their time, to make room.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn set_of(&self, key: u64) -> &Mutex<[Cell; WAYS]> {
        let sets = self.sets.get_or_init(|| {
            let count = self.callers.div_ceil(WAYS).next_power_of_two();
            (0..count).map(|_| Mutex::default()).collect()
        });
        // A power of two, so that the low bits choose.
        let at = usize::try_from(key & (sets.len() as u64 - 1)).unwrap_or(0);
        &sets[at]
    }
}

/// The table as one rate sees it, whose clock has begun with it.
struct Share {
    table: Arc<RateTable>,
    began: u64,
}

impl StateStore for Share {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut set = self.table.set_of(*key).lock();
        let known = set.iter().position(|cell| cell.key == *key);
        let before = known.map(|at| Nanos::from(set[at].until.saturating_sub(self.began)));
        let (outcome, until) = decide(before)?;
        let at = match known {
            Some(at) => at,
            None => {
                let until = |at: &usize| set[*at].until;
                let least = (0..WAYS).min_by_key(until).unwrap_or(0);
                if set[least].until > self.table.now() {
                    self.table.evicted.fetch_add(1, Ordering::Relaxed);
                }
                least
            }
        };
        set[at] = Cell {
            key: *key,
            until: self.began.saturating_add(until.as_u64()),
        };
        Ok(outcome)
    }
}

/// Calls a minute of each caller; as many may come at once.
pub struct Rate {
    limiter: RateLimiter<u64, Share, DefaultClock>,
    table: Arc<RateTable>,
    what: u64,
    /// How many.
    pub per_minute: NonZeroU32,
}

impl Rate {
    /// Counts a call of somebody.
    ///
    /// # Errors
    /// How long to wait, where there were too many.
    pub fn count(&self, who: impl Hash) -> Result<(), Duration> {
        // Zero is a free cell.
        let key = self.table.hashing.hash_one((self.what, who)).max(1);
        self.limiter
            .check_key(&key)
            .map_err(|until| until.wait_time_from(self.limiter.clock().now()))
    }
}

/// Which limit was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateKind {
    /// Of a user.
    User,
    /// Of an address without a valid identity.
    Address,
    /// Of a caller of one route.
    Route,
    /// Of a plugin in an app.
    Plugin,
    /// Of hooks that a user's pages apply.
    Hook,
    /// Of events that a user's pages publish.
    ClientEvent,
}

impl RateKind {
    /// All, as they are named where they are counted.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::User, "user"),
        (Self::Address, "address"),
        (Self::Route, "route"),
        (Self::Plugin, "plugin"),
        (Self::Hook, "hook"),
        (Self::ClientEvent, "client_event"),
    ];
}

/// The gateway's limits, each of which may be off.
pub struct RateLimits {
    table: Arc<RateTable>,
    user: Option<Rate>,
    address: Option<Rate>,
    plugin: Option<Rate>,
    hooks: Option<Rate>,
    client_events: Option<Rate>,
    /// Of routes that say none.
    route: Option<NonZeroU32>,
    refused: [AtomicU64; RateKind::ALL.len()],
}

impl RateLimits {
    /// As configured.
    pub fn new(config: &RatesConfig) -> Arc<Self> {
        let table = RateTable::new(config.callers);
        let limit = |count: usize| NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX));
        let rate = |what: &str, count| limit(count).map(|count| table.rate(what, count));
        Arc::new(Self {
            user: rate("user", config.user),
            address: rate("address", config.address),
            plugin: rate("plugin", config.plugin),
            hooks: rate("hook", config.hooks),
            client_events: rate("client_event", config.client_events),
            route: limit(config.route),
            refused: Default::default(),
            table,
        })
    }

    /// Counts a request or message of a user.
    ///
    /// # Errors
    /// How long to wait.
    pub fn count_user(&self, app_id: &str, user_id: &str) -> Result<(), Duration> {
        let Some(rate) = &self.user else {
            return Ok(());
        };
        let counted = rate.count(Counted::User { app_id, user_id });
        self.refused_by(RateKind::User, counted)
    }

    /// Whether those without a valid identity are counted.
    pub fn counts_addresses(&self) -> bool {
        self.address.is_some()
    }

    /// Counts a request without a valid identity.
    ///
    /// # Errors
    /// How long to wait.
    pub fn count_address(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(rate) = &self.address else {
            return Ok(());
        };
        self.refused_by(RateKind::Address, rate.count(Counted::Address(address)))
    }

    /// Counts a call of a plugin for an app.
    ///
    /// # Errors
    /// How long to wait.
    pub fn count_plugin(&self, app_id: &str, plugin: &str) -> Result<(), Duration> {
        let Some(rate) = &self.plugin else {
            return Ok(());
        };
        self.refused_by(RateKind::Plugin, rate.count((app_id, plugin)))
    }

    /// Counts a hook that a user's page applies.
    ///
    /// # Errors
    /// How long to wait.
    pub fn count_hook(&self, app_id: &str, user_id: &str) -> Result<(), Duration> {
        self.count_of_pages(RateKind::Hook, self.hooks.as_ref(), app_id, user_id)
    }

    /// Counts an event that a user's page publishes.
    ///
    /// # Errors
    /// How long to wait.
    pub fn count_client_event(&self, app_id: &str, user_id: &str) -> Result<(), Duration> {
        let rate = self.client_events.as_ref();
        self.count_of_pages(RateKind::ClientEvent, rate, app_id, user_id)
    }

    fn count_of_pages(
        &self,
        kind: RateKind,
        rate: Option<&Rate>,
        app_id: &str,
        user_id: &str,
    ) -> Result<(), Duration> {
        let Some(rate) = rate else {
            return Ok(());
        };
        self.refused_by(kind, rate.count(Counted::User { app_id, user_id }))
    }

    /// Counts a call of a route, by its own rate.
    ///
    /// # Errors
    /// How long to wait.
    pub fn count_route(&self, rate: &Rate, caller: Counted<'_>) -> Result<(), Duration> {
        self.refused_by(RateKind::Route, rate.count(caller))
    }

    /// The rate of a route of a plugin: what it says, else what all routes have.
    pub(crate) fn of_route(
        &self,
        (plugin, method, path): (&str, &str, &str),
        said: Option<NonZeroU32>,
    ) -> Option<Rate> {
        let count = said.or(self.route)?;
        Some(self.table.rate(("route", plugin, method, path), count))
    }

    /// How many were refused by each limit, since the start.
    pub fn refused(&self) -> [(&'static str, u64); RateKind::ALL.len()] {
        RateKind::ALL.map(|(kind, name)| {
            let count = self.refused[kind as usize].load(Ordering::Relaxed);
            (name, count)
        })
    }

    /// Callers that were forgotten before their time, to make room.
    pub fn evicted(&self) -> u64 {
        self.table.evicted()
    }

    fn refused_by(&self, kind: RateKind, counted: Result<(), Duration>) -> Result<(), Duration> {
        if counted.is_err() {
            self.refused[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
        counted
    }
}

#[cfg(test)]
mod tests;
