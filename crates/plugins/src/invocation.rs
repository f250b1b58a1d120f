//! One call into plugin code, whatever kind it is of.
//!
//! A new kind of call is a new [`Target`] or [`Input`], not a new way: [`crate::dispatch::Dispatcher`]
//! keeps limits, permits, deadlines and the drain for all, [`crate::PluginRuntime::submit`] runs all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    body::Record,
    generation::{Generation, Permit},
    host::HandlerId,
    runtime::Started,
};
use mozaiks_auth::Principal;

/// Names one call for [`crate::PluginRuntime::cancel`]: of whatever a plugin has, or of an import.
/// Unique in the process, whoever makes the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(u64);

impl CallId {
    /// An id that no other call in this process has. The only source of new ones.
    pub fn next() -> Self {
        Self(Self::counter().fetch_add(1, Ordering::Relaxed))
    }

    /// From now on ids of this process are not those of the process that sends it calls: a worker's own
    /// imports have numbers in the upper half.
    pub fn number_apart() {
        Self::counter().fetch_max(1 << 63, Ordering::Relaxed);
    }

    fn counter() -> &'static AtomicU64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        &NEXT
    }

    /// Its number, for the log and for places that hold a number only.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The id that had this number.
    pub fn of_number(number: u64) -> Self {
        Self(number)
    }
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// `execute` of a load of a plugin; must give a dict.
    Execute(Generation),
    /// A function that a plugin has registered.
    Handler(HandlerId),
    /// A step in the life of a load of a plugin: loading, enabling, disabling, unloading, …
    Life(Generation),
    /// A migration of the load's plugin, in one process of those that run it.
    Migration(Generation),
}

/// What a function is to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wants {
    /// A dict that JSON has a form for.
    Dict,
    /// Whatever JSON has a form for.
    Json,
    /// Anything: what has no form is null.
    Anything,
}

/// What it is called with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Input {
    /// A client's JSON object as it came, empty for `{}`: the one argument, with the caller's identity
    /// put over whatever the client wrote.
    Body(Bytes),
    /// A client's message, a JSON object, whose identity keys are treated alike; the second argument
    /// is the connection that it came on.
    Message {
        /// The message as it came.
        object: Bytes,
        /// Its connection.
        connection_id: Arc<str>,
    },
    /// A JSON array of the gateway's own making with the positional arguments, taken as it is.
    Arguments(Bytes),
}

impl Input {
    /// Its bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Body(bytes) | Self::Arguments(bytes) => bytes.len(),
            Self::Message { object, .. } => object.len(),
        }
    }

    /// The object that a client has sent, where it is one's.
    pub(crate) fn of_client(&self) -> Option<&Bytes> {
        match self {
            Self::Body(object) | Self::Message { object, .. } => Some(object),
            Self::Arguments(_) => None,
        }
    }
}

/// One call on its way into a runtime. Made by the dispatcher.
#[derive(Debug)]
pub struct Invocation {
    /// For cancelling.
    pub id: CallId,
    /// What is called.
    pub target: Target,
    /// What with.
    pub input: Input,
    /// What a large object of a client's holds, where it has been checked already.
    pub record: Option<Box<Record>>,
    /// What it is to give.
    pub wants: Wants,
    /// Whom the call is for; injected into a client's data and visible to the SDK. `None` where no
    /// user is behind it.
    pub principal: Option<Arc<Principal>>,
    /// The app it works for: the principal's where there is one.
    pub app_id: Option<Arc<str>>,
    /// Request or event id; injected and logged.
    pub request_id: Arc<str>,
    /// How long its caller waits.
    pub timeout: Duration,
    /// Its share of the plugin's concurrency. The runtime gives it back before the answer, once nothing
    /// of the call runs or waits any more.
    pub permit: Option<Permit>,
    /// Where the runtime says that the call has begun.
    pub started: Started,
}

/// The kinds of calls, for limits, counters and observers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// A client's call of `execute`.
    Execute,
    /// An event on its way to a subscriber.
    Event,
    /// A message of a live connection on its way to a handler.
    Message,
    /// A client's request to a route of a plugin.
    Route,
    /// A step in the life of a plugin.
    Life,
    /// A run of a scheduled job.
    Job,
    /// A migration.
    Migration,
    /// A function of a hook, in a chain.
    Hook,
}

impl CallKind {
    /// Whether it waits for somebody outside: those are refused while the gateway drains, what the
    /// gateway owes to plugins still goes through.
    pub(crate) fn is_from_outside(self) -> bool {
        match self {
            Self::Execute | Self::Message | Self::Route => true,
            Self::Event | Self::Life | Self::Job | Self::Migration | Self::Hook => false,
        }
    }

    /// As it is counted.
    pub fn counted(self) -> mozaiks_telemetry::metrics::CallKind {
        use mozaiks_telemetry::metrics::CallKind as Counted;
        match self {
            Self::Execute => Counted::Execute,
            Self::Event => Counted::Event,
            Self::Message => Counted::Message,
            Self::Route => Counted::Route,
            Self::Life => Counted::Life,
            Self::Job => Counted::Job,
            Self::Migration => Counted::Migration,
            Self::Hook => Counted::Hook,
        }
    }

    /// Whether its own limit counts where that is longer than the plugin's for calls.
    pub(crate) fn may_take_longer(self) -> bool {
        match self {
            Self::Job | Self::Migration => true,
            Self::Execute | Self::Message | Self::Route | Self::Event | Self::Life | Self::Hook => {
                false
            }
        }
    }

    /// Whether it is about the plugin itself: it does not wait until the plugin is on in its app.
    pub(crate) fn is_about_plugin(self) -> bool {
        match self {
            Self::Life | Self::Migration => true,
            Self::Execute | Self::Message | Self::Route | Self::Event | Self::Job | Self::Hook => {
                false
            }
        }
    }

    /// What its function is to give.
    pub(crate) fn wants(self) -> Wants {
        match self {
            Self::Execute => Wants::Dict,
            Self::Route | Self::Life | Self::Hook => Wants::Json,
            Self::Event | Self::Message | Self::Job | Self::Migration => Wants::Anything,
        }
    }
}
