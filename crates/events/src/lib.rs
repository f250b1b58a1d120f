//! The event bus: a publisher says what happened, subscribers hear of it, none waits for another.
//!
//! Each subscription has its own bounded queue and its own task. Events are first attempted one
//! after the other, in the order in which they were published; one that fails is tried again after
//! 0.5, 1 and 2 seconds beside those that follow it, then kept as a dead letter. No HTTP and no
//! Python here: a [`Subscriber`] is whatever can take an event.
//!
//! Where priorities differ, those with lower ones try an event first ([`EventBus::subscribe_at`]).
//!
//! What is bounded, and what happens at the bound:
//!
//! | what | bound | at the bound |
//! |---|---|---|
//! | queue of a subscription | entries and bytes; less while the bus as a whole holds too much | the oldest waiting event is dropped and counted |
//! | events of a subscription waiting for a retry | entries | the subscription takes no new event until one has ended |
//! | history | events a name, names, bytes | the oldest event of the name that was quiet longest goes |
//! | dead letters | letters and bytes | the oldest goes, and is counted |
//! | event names that are counted | names | further ones are counted together as `(other)` |
//!
//! An event in several queues is held once. Nothing here survives the process.

mod bus;
mod dead_letters;
mod history;
mod levels;
mod pattern;
mod queue;
mod stats;
mod subscriptions;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use mozaiks_auth::Principal;

pub use bus::EventBus;
pub use dead_letters::DeadLetter;
pub use pattern::Pattern;
pub use stats::{EventStats, SubscriptionStats};

/// What a publisher says.
#[derive(Debug, Clone)]
pub struct EventDraft {
    /// The app in which it happened.
    pub app_id: Arc<str>,
    /// Whose call it happened in, where there is one.
    pub principal: Option<Arc<Principal>>,
    /// The call it happened in.
    pub request_id: Option<Arc<str>>,
    /// `task_manager:task_created`.
    pub name: Arc<str>,
    /// A JSON object. The publisher vouches for that.
    pub data: EventData,
}

/// The data of an event: most events of calls are never read, so theirs is written when it is.
#[derive(Debug, Clone)]
pub enum EventData {
    /// A JSON object.
    Json(Bytes),
    /// What becomes one when somebody reads it.
    Deferred(Arc<dyn DeferredData>),
}

/// Data that is written out when it is read.
pub trait DeferredData: std::fmt::Debug + Send + Sync {
    /// The JSON object; the same each time.
    fn to_json(&self) -> Bytes;
    /// About as many bytes as it holds.
    fn size_bytes(&self) -> usize;
}

impl EventData {
    /// The JSON object.
    pub fn to_json(&self) -> Bytes {
        match self {
            Self::Json(bytes) => bytes.clone(),
            Self::Deferred(data) => data.to_json(),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Json(bytes) => bytes.len(),
            Self::Deferred(data) => data.size_bytes(),
        }
    }
}

impl<T: Into<Bytes>> From<T> for EventData {
    fn from(json: T) -> Self {
        Self::Json(json.into())
    }
}

/// Something that happened.
#[derive(Debug)]
pub struct Event {
    /// Unique in the process and rising in the order of publishing.
    pub id: u64,
    /// When it was published.
    pub published_at: SystemTime,
    /// The app in which it happened.
    pub app_id: Arc<str>,
    /// Whose call it happened in, where there is one.
    pub principal: Option<Arc<Principal>>,
    /// The call it happened in.
    pub request_id: Option<Arc<str>>,
    /// `task_manager:task_created`.
    pub name: Arc<str>,
    /// A JSON object.
    pub data: EventData,
    /// The app's counters, so that a delivery finds them without a look-up.
    stats: Arc<stats::AppCounters>,
    /// Gives this event's bytes back when the last holder lets go.
    held: HeldBytes,
}

impl Event {
    /// The moment of publishing in ISO 8601, UTC.
    pub fn timestamp(&self) -> String {
        iso_8601(self.published_at)
    }

    /// What this event counts against byte bounds.
    fn size_bytes(&self) -> usize {
        self.held.bytes
    }
}

/// A moment in ISO 8601, UTC, milliseconds.
fn iso_8601(at: SystemTime) -> String {
    bson::DateTime::from_system_time(at)
        .try_to_rfc3339_string()
        .unwrap_or_default()
}

/// Bytes counted while something holds them.
#[derive(Debug)]
struct HeldBytes {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl HeldBytes {
    fn new(total: &Arc<AtomicUsize>, bytes: usize) -> Self {
        total.fetch_add(bytes, Ordering::Relaxed);
        Self {
            total: total.clone(),
            bytes,
        }
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Takes events. Called by one task, one event at a time.
pub trait Subscriber: Send + Sync + 'static {
    /// Handles an event; the error is a sentence for the dead letter. Dropping the future gives up
    /// the attempt (it has taken too long).
    fn deliver(&self, event: Arc<Event>) -> BoxFuture<'static, Result<(), String>>;
}

impl<F> Subscriber for F
where
    F: Fn(Arc<Event>) -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
{
    fn deliver(&self, event: Arc<Event>) -> BoxFuture<'static, Result<(), String>> {
        self(event)
    }
}

/// Names a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub u64);

/// Who has subscribed: the load of a plugin, or a part of the gateway. Its subscriptions end
/// together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// For people: the plugin's name.
    pub label: Arc<str>,
    /// What [`EventBus::unsubscribe_owner`] goes by.
    pub id: u64,
}

/// Why an event or a subscription was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// No name for an event.
    #[error(
        "an event name has 1 to 200 characters without spaces, control characters and `*`, \
         usually `plugin:thing_happened`"
    )]
    BadName,
    /// No pattern.
    #[error("an event pattern is an event name in which `*` stands for any characters")]
    BadPattern,
    /// More data than allowed.
    #[error("the event's data has {found_bytes} bytes; {limit_bytes} are allowed")]
    TooLarge {
        /// How large it is.
        found_bytes: usize,
        /// How large it may be.
        limit_bytes: usize,
    },
    /// Too many subscriptions.
    #[error("{limit} subscriptions are allowed and exist already")]
    TooManySubscriptions {
        /// The bound that was met.
        limit: usize,
    },
    /// No such dead letter, or whoever failed on it is gone.
    #[error("{0}")]
    NotFound(&'static str),
}
