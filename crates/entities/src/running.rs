//! Migrations of Python's that run: what their calls ask of the database is answered here, whichever way the
//! code asks. All of the plugin's own collections are there for them and no other; in a dry run what they would
//! write is noted, and answered as if it had found nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bson::{Bson, Document, doc};
use bytes::Bytes;
use mozaiks_plugins::{
    LiveGeneration,
    dispatch::{Call, DispatchError, Dispatcher, PendingCall},
    invocation::CallId,
};
use mozaiks_store::{CommandCaller, Store, StoreError, StoreErrorKind};
use parking_lot::Mutex;

use crate::{
    access::OwnCollections,
    repository::{Owner, Place, Repository},
};

/// Writes of one dry run that are noted.
const MAX_NOTED: usize = 10_000;

/// `Unauthorized`, as the server has it.
const UNAUTHORIZED: i32 = 13;

/// The migrations that run in this process, by their calls.
#[derive(Default)]
pub struct RunningMigrations(Mutex<HashMap<CallId, Arc<Running>>>);

/// One of them.
pub struct Running {
    store: Arc<Store>,
    owner: Owner,
    access: Arc<OwnCollections>,
    /// Whether the run is still this gateway's.
    held: Arc<AtomicBool>,
    dry: bool,
    noted: Mutex<Vec<Document>>,
}

impl RunningMigrations {
    /// The one that a call is of.
    pub fn of(&self, call: Option<CallId>) -> Option<Arc<Running>> {
        self.0.lock().get(&call?).cloned()
    }

    /// Begins a call that is known here before it asks for anything.
    pub(crate) fn begin(
        self: &Arc<Self>,
        dispatcher: &Arc<Dispatcher>,
        generation: Arc<LiveGeneration>,
        call: Call,
        running: &Arc<Running>,
    ) -> Result<RunningCall, DispatchError> {
        let mut table = self.0.lock();
        let pending = dispatcher.invoke(generation, call)?;
        let id = pending.id();
        if let Some(id) = id {
            table.insert(id, Arc::clone(running));
        }
        Ok(RunningCall {
            pending: Some(pending),
            id,
            table: Arc::clone(self),
            held: Arc::clone(&running.held),
        })
    }
}

/// A call of a migration. Dropped before its end, it is cancelled; until nothing of it runs any more it writes
/// nothing.
pub(crate) struct RunningCall {
    pending: Option<PendingCall>,
    id: Option<CallId>,
    table: Arc<RunningMigrations>,
    held: Arc<AtomicBool>,
}

impl RunningCall {
    /// How it ended.
    pub(crate) async fn outcome(&mut self) -> Result<(), DispatchError> {
        match &mut self.pending {
            Some(pending) => {
                let outcome = pending.await.map(drop);
                if let (Ok(()), Some(id)) = (&outcome, self.id.take()) {
                    self.table.0.lock().remove(&id);
                    self.pending = None;
                }
                outcome
            }
            None => Ok(()),
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        let (Some(mut pending), Some(id)) = (self.pending.take(), self.id.take()) else {
            return;
        };
        self.held.store(false, Ordering::Release);
        pending.cancel();
        let table = Arc::clone(&self.table);
        tokio::spawn(async move {
            pending.ended().await;
            table.0.lock().remove(&id);
        });
    }
}

impl Repository {
    /// What answers the code of a migration in its place.
    pub(crate) fn running_of(
        &self,
        place: &Place,
        held: &Arc<AtomicBool>,
        dry: bool,
    ) -> Result<Arc<Running>, crate::error::EntityError> {
        match place {
            Place::App(owner, access) => Ok(Arc::new(Running {
                store: self.store(),
                owner: owner.clone(),
                access: Arc::clone(access),
                held: Arc::clone(held),
                dry,
                noted: Mutex::default(),
            })),
            Place::Control => Err(crate::error::EntityError::Conflict(
                "the gateway's own migrations are lists of commands".into(),
            )),
        }
    }
}

impl Running {
    /// What was noted of a dry run.
    pub(crate) fn noted(&self) -> Vec<Document> {
        self.noted.lock().clone()
    }

    /// Does a command, BSON in and BSON out.
    ///
    /// # Errors
    /// As [`Store::run_command`]; also once the run is over.
    pub async fn command(&self, generation: u64, command: Bytes) -> Result<Bytes, StoreError> {
        if !self.held.load(Ordering::Acquire) {
            return Err(refused("the migration is over"));
        }
        if self.dry
            && let Some(answer) = self.note(&command)?
        {
            return bson::serialize_to_vec(&answer)
                .map(Bytes::from)
                .map_err(|error| refused(&error.to_string()));
        }
        let caller = CommandCaller {
            generation,
            app_id: Arc::clone(&self.owner.app_id),
            plugin: Arc::clone(&self.owner.plugin),
            user_id: None,
        };
        self.store
            .run_command(&caller, &*self.access, command)
            .await
    }

    /// Takes note of what would change something, and says what it is answered with.
    fn note(&self, command: &[u8]) -> Result<Option<Document>, StoreError> {
        let odd = |error: bson::error::Error| refused(&error.to_string());
        let mut command: Document = bson::deserialize_from_slice(command).map_err(odd)?;
        let Some((name, subject)) = command.iter().next() else {
            return Ok(None);
        };
        let (name, subject) = (name.clone(), subject.clone());
        let length = |key: &str| {
            let items = command.get_array(key).map_or(0, Vec::len);
            i32::try_from(items).unwrap_or(i32::MAX)
        };
        let answer = match &*name {
            "insert" => doc! { "n": length("documents"), "ok": 1.0 },
            "update" => doc! { "n": 0, "nModified": 0, "ok": 1.0 },
            "delete" => doc! { "n": 0, "ok": 1.0 },
            "findAndModify" | "findandmodify" => doc! {
                "value": Bson::Null,
                "lastErrorObject": { "n": 0, "updatedExisting": false },
                "ok": 1.0,
            },
            "createIndexes" => doc! { "numIndexesBefore": 1, "numIndexesAfter": 1, "ok": 1.0 },
            "create" | "drop" | "collMod" | "dropIndexes" | "renameCollection" => {
                doc! { "ok": 1.0 }
            }
            "commitTransaction" | "abortTransaction" => return Ok(Some(doc! { "ok": 1.0 })),
            "aggregate" if writes(&command) => doc! {
                "cursor": { "id": 0_i64, "ns": subject.to_string(), "firstBatch": [] },
                "ok": 1.0,
            },
            _ => return Ok(None),
        };
        let app_id = &self.owner.app_id;
        self.store.check_command(app_id, &*self.access, &command)?;
        command.remove("$gateway");
        let mut noted = self.noted.lock();
        if noted.len() >= MAX_NOTED {
            return Err(refused(&format!(
                "a dry run writes {MAX_NOTED} times at most"
            )));
        }
        noted.push(command);
        Ok(Some(answer))
    }
}

fn writes(command: &Document) -> bool {
    let stages = command.get_array("pipeline").into_iter().flatten();
    (stages.filter_map(Bson::as_document))
        .any(|stage| stage.contains_key("$out") || stage.contains_key("$merge"))
}

fn refused(message: &str) -> StoreError {
    let mut error = StoreError::new(StoreErrorKind::Invalid, message);
    error.code = Some(UNAUTHORIZED);
    error
}
