//! One command of a migration: done in the database that it is about, and written down as done.
//!
//! What may be done twice is done, then written down. What may not is done and written down in one
//! transaction, where the server has transactions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bson::{Bson, Document, doc};
use mongodb::ClientSession;

use super::{Claim, Owner, Repository, progress};
use crate::{
    access::OwnCollections,
    allowed::{Allowed, Kind},
    error::EntityError,
};
use mozaiks_store::{CommandCaller, StoreError, StoreErrorKind};

const NAMESPACE_NOT_FOUND: i32 = 26;
const INDEX_NOT_FOUND: i32 = 27;
const NAMESPACE_EXISTS: i32 = 48;
const DUPLICATE_KEY: i64 = 11000;
/// `IllegalOperation`: a server that stands alone has no transactions.
const NO_TRANSACTIONS: i32 = 20;

/// What an error is called after which a transaction may be tried again.
const TRANSIENT: &str = "TransientTransactionError";
/// How long it is, and the wait between two tries.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// In which database commands are done, and with which collections.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In that of an app: the plugin's own collections and no other.
    App(Owner, Arc<OwnCollections>),
    /// In the gateway's own.
    Control,
}

/// What has become of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done and written down.
    Recorded,
    /// Not done: the right to run the migration is somebody else's.
    Lost,
    /// Not done: the server has no transactions.
    NoTransactions,
}

impl Repository {
    /// Holds a command against what the store lets plugins say.
    pub(crate) fn check(&self, place: &Place, command: &Document) -> Result<(), EntityError> {
        match place {
            Place::App(owner, access) => {
                let checked = self.store.check_command(&owner.app_id, &**access, command);
                checked.map_err(|error| match error.kind {
                    StoreErrorKind::Invalid => EntityError::invalid("", error.message),
                    _ => error.into(),
                })
            }
            Place::Control => Ok(()),
        }
    }

    /// Does a command. `again` says that it may have been done before.
    pub(crate) async fn run(
        &self,
        place: &Place,
        allowed: Allowed<'_>,
        command: &Document,
        again: bool,
    ) -> Result<(), StoreError> {
        let collection = allowed.collection;
        if again && allowed.kind == Kind::Insert {
            // What is there already keeps none of the others back.
            let mut command = command.clone();
            command.insert("ordered", false);
            return refused(&self.send(place, &command).await?, true);
        }
        let error = match self.send(place, command).await {
            Ok(answer) => return refused(&answer, false),
            Err(error) => error,
        };
        match (allowed.kind, error.code) {
            (Kind::Drop, Some(NAMESPACE_NOT_FOUND)) => Ok(()),
            (Kind::Create, Some(NAMESPACE_EXISTS)) if again => {
                let mut change = doc! { "collMod": collection };
                for key in ["validator", "validationLevel", "validationAction"] {
                    if let Some(value) = command.get(key) {
                        change.insert(key, value.clone());
                    }
                }
                match change.len() {
                    1 => Ok(()),
                    _ => self.send(place, &change).await.map(drop),
                }
            }
            (Kind::DropIndexes, Some(NAMESPACE_NOT_FOUND)) if again => Ok(()),
            (Kind::DropIndexes, Some(INDEX_NOT_FOUND)) if again => {
                let names = match command.get("index") {
                    Some(Bson::Array(names)) => names.clone(),
                    _ => return Ok(()),
                };
                for name in names {
                    let one = doc! { "dropIndexes": collection, "index": name };
                    match self.send(place, &one).await {
                        Err(error) if error.code != Some(INDEX_NOT_FOUND) => return Err(error),
                        _ => {}
                    }
                }
                Ok(())
            }
            (Kind::Rename, Some(NAMESPACE_NOT_FOUND)) if again => {
                let there = doc! { "listIndexes": allowed.to };
                self.send(place, &there).await.map(drop).map_err(|_| error)
            }
            _ => Err(error),
        }
    }

    /// Does a command that changes documents, and writes it down, or neither. Where others write the same
    /// documents at that moment it is tried again.
    pub(crate) async fn run_once(
        &self,
        place: &Place,
        command: &Document,
        claim: &Claim,
        position: usize,
        done_checksum: &str,
    ) -> Result<Outcome, StoreError> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let tried = self.try_once(place, command, claim, position, done_checksum);
            match tried.await {
                Err(error)
                    if error.labels.iter().any(|label| label == TRANSIENT)
                        && Instant::now() < patience =>
                {
                    // Nothing tells when they are done.
                    tokio::time::sleep(PAUSE).await;
                }
                ended => return ended,
            }
        }
    }

    async fn try_once(
        &self,
        place: &Place,
        command: &Document,
        claim: &Claim,
        position: usize,
        done_checksum: &str,
    ) -> Result<Outcome, StoreError> {
        let database = match place {
            Place::App(owner, _) => self.store.database(&owner.app_id)?,
            Place::Control => self.store.own_database()?,
        };
        let mut session = database.client().start_session().await?;
        // Whoever ends this run for us ends the session too, with what it holds locked.
        let noted = doc! { "$set": { "session": session.id() } };
        if self
            .rows()?
            .update_one(claim.mine(), noted)
            .await?
            .matched_count
            == 0
        {
            return Ok(Outcome::Lost);
        }
        session.start_transaction().await?;
        let done = async {
            let answer = database
                .run_command(command.clone())
                .session(&mut session)
                .await?;
            refused(&answer, false)?;
            let set = doc! { "$set": progress(position, done_checksum) };
            let noted = self
                .rows()?
                .update_one(claim.mine(), set)
                .session(&mut session)
                .await?;
            Ok::<_, StoreError>(noted.matched_count == 1)
        };
        match done.await {
            Ok(true) => {
                commit(&mut session).await?;
                Ok(Outcome::Recorded)
            }
            Ok(false) => {
                session.abort_transaction().await.ok();
                Ok(Outcome::Lost)
            }
            Err(error) => {
                session.abort_transaction().await.ok();
                if error.code == Some(NO_TRANSACTIONS) {
                    return Ok(Outcome::NoTransactions);
                }
                Err(self.store.failed(error))
            }
        }
    }

    async fn send(&self, place: &Place, command: &Document) -> Result<Document, StoreError> {
        match place {
            Place::App(owner, access) => {
                let caller = CommandCaller {
                    generation: 0,
                    app_id: Arc::clone(&owner.app_id),
                    plugin: Arc::clone(&owner.plugin),
                    user_id: None,
                };
                let odd = |error: &dyn std::fmt::Display| {
                    StoreError::new(StoreErrorKind::Invalid, error.to_string())
                };
                let bytes = bson::serialize_to_vec(command).map_err(|error| odd(&error))?;
                let answer = self
                    .store
                    .run_command(&caller, &**access, bytes.into())
                    .await?;
                bson::deserialize_from_slice(&answer).map_err(|error| odd(&error))
            }
            Place::Control => {
                let answer = self
                    .store
                    .own_database()?
                    .run_command(command.clone())
                    .await;
                answer.map_err(|error| self.store.failed(error))
            }
        }
    }
}

/// Whether it was taken in the end is not known where the answer to a commit is lost: it is asked again.
async fn commit(session: &mut ClientSession) -> Result<(), StoreError> {
    const TRIES: usize = 3;
    let mut last = None;
    for _ in 0..TRIES {
        match session.commit_transaction().await {
            Ok(()) => return Ok(()),
            Err(error) if error.contains_label("UnknownTransactionCommitResult") => {
                last = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// What a server has refused of single documents. `again` lets pass what is there already, under its id.
fn refused(answer: &Document, again: bool) -> Result<(), StoreError> {
    let errors = answer.get_array("writeErrors").into_iter().flatten();
    for error in errors.filter_map(Bson::as_document) {
        let code = match error.get("code") {
            Some(Bson::Int32(code)) => i64::from(*code),
            Some(Bson::Int64(code)) => *code,
            _ => 0,
        };
        let is_there = code == DUPLICATE_KEY
            && error
                .get_document("keyPattern")
                .is_ok_and(|key| key.len() == 1 && key.contains_key("_id"));
        if again && is_there {
            continue;
        }
        let said = error
            .get_str("errmsg")
            .unwrap_or("the server refused a document");
        let index = crate::rows::whole(error, "index").unwrap_or(0);
        let mut refusal =
            StoreError::new(StoreErrorKind::Other, format!("document {index}: {said}"));
        refusal.code = i32::try_from(code).ok();
        return Err(refusal);
    }
    Ok(())
}
