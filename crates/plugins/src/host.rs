//! What plugin code may ask of the gateway.
//!
//! A trait of plain data, so that code in a worker process can be given the same over a socket:
//! operations are named by a string, payloads are JSON (managers) or BSON (database) bytes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{findings::FindingKind, generation::Generation, invocation::CallId};
use mozaiks_auth::Principal;

/// A function that a plugin has registered with its runtime. Unique in the process, whichever runtime
/// holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HandlerId(pub u64);

impl HandlerId {
    /// An id that no other function in this process has. The only source of new ones.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Something registered with the host; it ends with [`HostServices::unregister`] or with the
/// plugin's generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrationId(pub u64);

/// Who asks. The runtime fills it in from the running call's context; plugin code cannot.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The load that asks.
    pub generation: Generation,
    /// Whom the running call is for; `None` where no user is behind it.
    pub principal: Option<Arc<Principal>>,
    /// The app that the running call works for: the principal's, the event's. `None` in an import and
    /// in what one started: nobody knows whose work that is.
    pub app_id: Option<Arc<str>>,
    /// The running call's request id.
    pub request_id: Option<Arc<str>>,
    /// The call itself; `None` in an import and in what one started.
    pub call: Option<CallId>,
}

/// Why the host did not do it: a code of the contract and a sentence.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// `VALIDATION_ERROR`, `DATABASE_UNAVAILABLE`, `NOT_FOUND`…
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// More, in the payload's format (JSON, or BSON for the database).
    pub details: Option<Bytes>,
}

/// What a plugin registers a function for: the kind says which part of the gateway takes it, the
/// specification is that part's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// `event`, `websocket`, `route`, `execute`, …
    pub kind: Box<str>,
    /// A JSON object.
    pub spec: Bytes,
}

/// What plugin code may ask of the gateway.
pub trait HostServices: Send + Sync + 'static {
    /// Does something that takes time: database, settings, notifications, pushes.
    fn request(
        &self,
        caller: Caller,
        operation: &str,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, HostError>>;

    /// Answers at once from memory: connected users, event history. Must not block.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown operation, else as the operation says.
    fn query(&self, caller: &Caller, operation: &str, payload: &[u8]) -> Result<Bytes, HostError>;

    /// Publishes an event and returns at once.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for a bad name or data that is no JSON object.
    fn publish(&self, caller: &Caller, event: &str, data: Bytes) -> Result<(), HostError>;

    /// Registers a function.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for a bad pattern or type, `LIMIT_EXCEEDED` for too many.
    fn register(
        &self,
        caller: &Caller,
        registration: Registration,
        handler: HandlerId,
    ) -> Result<RegistrationId, HostError>;

    /// Ends a registration.
    fn unregister(&self, id: RegistrationId);

    /// Nothing runs any more for a call, neither itself nor what it has started.
    fn call_ended(&self, call: CallId) {
        // Only those that keep a table of calls want to know.
        let _ = call;
    }

    /// Something was noticed about code of a load.
    fn found(&self, plugin: &Arc<str>, generation: Generation, kind: FindingKind, sentence: &str) {
        // Only the gateway keeps what was noticed.
        let _ = (plugin, generation, kind, sentence);
    }

    /// The plugin's generation is gone: everything it registered ends.
    fn forget_generation(&self, generation: Generation);
}
