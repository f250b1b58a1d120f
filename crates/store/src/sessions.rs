//! Sessions of plugins: the driver's own, kept here under a number that only the load of the plugin
//! that started one, for the app it did so for, can use.
//!
//! A session that ends, by its plugin, with it, or after lying idle, undoes its open transaction. One
//! command at a time uses a session; others wait.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use mongodb::{
    ClientSession,
    bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf, doc},
    options::{ReadConcern, SelectionCriteria, TransactionOptions, WriteConcern},
};
use parking_lot::Mutex;
use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::{
    CommandCaller, StoreError,
    cursors::trouble,
    policy::{HOST_FIELD, READ_PREFERENCE},
    query::{invalid, malformed},
};

/// `NoSuchSession` of MongoDB.
const NO_SUCH_SESSION: i32 = 206;

/// A session of a plugin.
pub(super) struct PluginSession {
    pub(super) driver: ClientSession,
    /// Whether a transaction was begun and has not been ended by the plugin.
    pub(super) in_transaction: bool,
    /// Whether reads see what the session has seen.
    pub(super) is_causal: bool,
}

/// A session that is being used.
pub(super) type Held = OwnedMutexGuard<PluginSession>;

/// All open sessions.
pub(super) struct Sessions {
    // Held for look-ups only.
    open: Mutex<HashMap<CommandCaller, HashMap<i64, Slot>>>,
    next: AtomicI64,
    max_per_owner: usize,
    idle_timeout: Duration,
}

struct Slot {
    session: Arc<tokio::sync::Mutex<PluginSession>>,
    used: Instant,
}

impl Sessions {
    pub(super) fn new(max_per_owner: usize, idle_timeout: Duration) -> Self {
        Self {
            open: Mutex::default(),
            next: AtomicI64::new(1),
            max_per_owner,
            idle_timeout,
        }
    }

    /// Keeps a session; gives its number. At the bound the owner's longest unused one ends.
    pub(super) fn keep(&self, owner: &CommandCaller, session: PluginSession) -> i64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = Slot {
            session: Arc::new(tokio::sync::Mutex::new(session)),
            used: Instant::now(),
        };
        let mut open = self.open.lock();
        let owned = open.entry(owner.clone()).or_default();
        if owned.len() >= self.max_per_owner {
            let oldest = (owned.iter())
                .min_by_key(|(_, slot)| slot.used)
                .map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                owned.remove(&oldest);
                tracing::warn!(
                    plugin.name = %owner.plugin,
                    "a plugin has too many open sessions; its oldest was ended"
                );
            }
        }
        owned.insert(id, slot);
        id
    }

    /// Waits until nobody else uses the session.
    pub(super) async fn hold(&self, owner: &CommandCaller, id: i64) -> Result<Held, StoreError> {
        let session = {
            let mut open = self.open.lock();
            let slot = (open.get_mut(owner))
                .and_then(|owned| owned.get_mut(&id))
                .ok_or_else(|| trouble(NO_SUCH_SESSION, format!("session {id} has ended")))?;
            slot.used = Instant::now();
            Arc::clone(&slot.session)
        };
        Ok(session.lock_owned().await)
    }

    /// Ends a session; whether it was open.
    pub(super) fn end(&self, owner: &CommandCaller, id: i64) -> bool {
        let mut open = self.open.lock();
        let Some(owned) = open.get_mut(owner) else {
            return false;
        };
        let was_open = owned.remove(&id).is_some();
        if owned.is_empty() {
            open.remove(owner);
        }
        was_open
    }

    /// Ends all sessions of a load.
    pub(super) fn end_generation(&self, generation: u64) {
        (self.open.lock()).retain(|owner, _| owner.generation != generation);
    }

    /// Ends what has been idle for too long; what is being used is not.
    pub(super) fn end_idle(&self) {
        let idle_timeout = self.idle_timeout;
        self.open.lock().retain(|_, owned| {
            owned.retain(|_, slot| {
                Arc::strong_count(&slot.session) > 1 || slot.used.elapsed() < idle_timeout
            });
            !owned.is_empty()
        });
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.lock().values().map(HashMap::len).sum()
    }
}

/// What a command says to the host beside what it says to the server.
#[derive(Default)]
pub(super) struct HostOptions {
    /// The session it is part of.
    pub(super) session: Option<i64>,
    /// The transaction that it begins.
    pub(super) transaction: Option<TransactionOptions>,
    /// How long a batch of a change stream is waited for.
    pub(super) wait: Option<Duration>,
    /// Which servers may answer.
    pub(super) from: Option<SelectionCriteria>,
}

impl HostOptions {
    /// Takes them out of a command.
    pub(super) fn split(command: &RawDocument) -> Result<(Self, RawDocumentBuf), StoreError> {
        let mut rest = RawDocumentBuf::new();
        let mut options = Self::default();
        for field in command {
            let (key, value) = field.map_err(malformed)?;
            match key.as_str() {
                HOST_FIELD => options.read(value)?,
                READ_PREFERENCE => options.from = Some(read_preference(value)?),
                _ => rest.append(key, value),
            }
        }
        Ok((options, rest))
    }

    fn read(&mut self, value: RawBsonRef<'_>) -> Result<(), StoreError> {
        for (key, value) in document(value)? {
            match (key.as_str(), value) {
                ("session", mongodb::bson::Bson::Int64(id)) => self.session = Some(id),
                ("startTransaction", mongodb::bson::Bson::Document(options)) => {
                    self.transaction = Some(transaction(options)?);
                }
                ("maxAwaitTimeMS", mongodb::bson::Bson::Int32(millis)) => {
                    self.wait = u64::try_from(millis).ok().map(Duration::from_millis);
                }
                (other, _) => return Err(invalid(format!("`{HOST_FIELD}.{other}` is unknown"))),
            }
        }
        if self.transaction.is_some() && self.session.is_none() {
            return Err(invalid("a transaction needs a session"));
        }
        Ok(())
    }
}

fn transaction(mut said: Document) -> Result<TransactionOptions, StoreError> {
    let mut options = TransactionOptions::default();
    if let Some(concern) = said.remove("readConcern") {
        options.read_concern =
            Some(mongodb::bson::deserialize_from_bson::<ReadConcern>(concern).map_err(malformed)?);
    }
    if let Some(concern) = said.remove("writeConcern") {
        options.write_concern =
            Some(mongodb::bson::deserialize_from_bson::<WriteConcern>(concern).map_err(malformed)?);
    }
    if let Ok(millis) = said.get_i32("maxCommitTimeMS") {
        options.max_commit_time = u64::try_from(millis).ok().map(Duration::from_millis);
    }
    Ok(options)
}

fn read_preference(value: RawBsonRef<'_>) -> Result<SelectionCriteria, StoreError> {
    let mut said = document(value)?;
    // The wire's name and the driver's.
    if let Some(tags) = said.remove("tags") {
        said.insert("tagSets", tags);
    }
    mongodb::bson::deserialize_from_document(said).map_err(malformed)
}

fn document(value: RawBsonRef<'_>) -> Result<Document, StoreError> {
    let raw = (value.as_document()).ok_or_else(|| invalid("a document was expected"))?;
    Document::try_from(raw).map_err(malformed)
}

/// A read of a causally consistent session sees what the session has seen.
pub(super) fn after_what_was_seen(
    command: &mut RawDocumentBuf,
    session: &ClientSession,
) -> Result<(), StoreError> {
    let Some(time) = session.operation_time() else {
        return Ok(());
    };
    let mut concern = match command.get("readConcern").map_err(malformed)? {
        Some(concern) => document(concern)?,
        None => doc! {},
    };
    concern.insert("afterClusterTime", time);
    let mut rest = RawDocumentBuf::new();
    for field in command.iter() {
        let (key, value) = field.map_err(malformed)?;
        if key.as_str() != "readConcern" {
            rest.append(key, value);
        }
    }
    let concern = RawDocumentBuf::try_from(&concern).map_err(malformed)?;
    rest.append(mongodb::bson::raw::cstr!("readConcern"), concern);
    *command = rest;
    Ok(())
}
