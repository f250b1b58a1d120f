//! Commands that plugins send, BSON in and BSON out.
//!
//! A command is what MongoDB's own drivers send, without the fields that belong to the connection:
//! the database, the session and the retry number are the host's. Only what [`super::policy`] lets
//! through is sent. Documents stay bytes where they are many: commands go to the server as they
//! come, batches come back as the server sent them.

mod parts;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mongodb::{
    ClientSession, Database,
    bson::{RawBsonRef, RawDocument, RawDocumentBuf, doc, raw::CStr},
    options::SelectionCriteria,
};

use super::{
    Store, StoreError, StoreErrorKind,
    access::DatabaseAccess,
    answers, health,
    policy::{self, Kind},
    query::{self, Reading, invalid, malformed},
    scope,
    sessions::{self, Held, HostOptions, PluginSession},
};

use parts::{explains, ids, may_be_numbered};

/// Longest that a batch of a change stream is waited for; plugins ask again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Who sends a command, and whose cursors and sessions it can use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommandCaller {
    /// The load of the plugin; its cursors and sessions end with it.
    pub generation: u64,
    /// The app that the running call is for.
    pub app_id: Arc<str>,
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The user, where what one user's call has opened is not for another's.
    pub user_id: Option<Arc<str>>,
}

impl Store {
    /// Runs a command of a plugin in its app's database and gives the server's answer.
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] for a command that is not let through; otherwise what the server
    /// or the connection says, at the latest after the command timeout. Write errors of single
    /// documents are no error here: they are in the answer, as with MongoDB.
    pub async fn run_command(
        &self,
        caller: &CommandCaller,
        access: &dyn DatabaseAccess,
        command: Bytes,
    ) -> Result<Bytes, StoreError> {
        let limit = self.config.command_timeout;
        match tokio::time::timeout(limit, self.run(caller, access, command)).await {
            Ok(result) => result.map_err(|error| self.failed(error)),
            Err(_) => Err(self.failed(health::no_answer(limit))),
        }
    }

    /// Closes what a load of a plugin has left open.
    pub fn forget_generation(&self, generation: u64) {
        self.cursors.close_generation(generation);
        self.sessions.end_generation(generation);
    }

    /// Cursors and sessions that plugins have open.
    pub fn open_for_plugins(&self) -> (usize, usize) {
        (self.cursors.count(), self.sessions.count())
    }

    async fn run(
        &self,
        caller: &CommandCaller,
        access: &dyn DatabaseAccess,
        command: Bytes,
    ) -> Result<Bytes, StoreError> {
        let raw = RawDocument::from_bytes(&command).map_err(malformed)?;
        let name = self.database_name(&caller.app_id)?;
        let checked = policy::check(raw, &name, access)?;
        let database = self.database(&caller.app_id)?;
        let (options, raw) = if checked.speaks_to_host {
            HostOptions::split(raw)?
        } else {
            (HostOptions::default(), raw.to_owned())
        };
        let raw = if checked.of_user {
            scope::of_user(&raw, checked.name, access)?
        } else if checked.name == "listCollections" {
            scope::listed(raw, access)?
        } else {
            raw
        };
        let mut held = self.begin(caller, &options).await?;
        let session = held.as_deref_mut();
        match checked.kind {
            Kind::Read | Kind::List => {
                if checked.name == "aggregate" && explains(&raw) {
                    return self
                        .ask(&database, raw, options.from, driver(session))
                        .await;
                }
                let reading = self.reading(checked.name, raw, &options, session.as_deref())?;
                let session = options.session.zip(driver(session));
                let first = self.first(&database, &reading, session).await?;
                if let Some((id, cursor)) = first.more {
                    self.cursors.keep(caller, id, cursor);
                }
                Ok(first.reply)
            }
            Kind::GetMore => self.get_more(caller, &raw).await,
            Kind::KillCursors => self.kill_cursors(caller, &raw),
            Kind::Ask => {
                self.ask(&database, raw, options.from, driver(session))
                    .await
            }
            Kind::Write => {
                let raw = self.with_write_concern(raw, is_in_transaction(session.as_deref()))?;
                let numbered = session.is_none() && may_be_numbered(checked.name, &raw);
                self.write(&database, raw, driver(session), numbered).await
            }
            Kind::Schema => {
                let raw = self.with_write_concern(raw, is_in_transaction(session.as_deref()))?;
                self.write(&database, raw, driver(session), false).await
            }
            Kind::Rename => self.rename(&database, &raw).await,
            Kind::StartSession => self.start_session(caller, &raw).await,
            Kind::EndSessions => {
                for id in ids(&raw, "sessions")? {
                    self.cursors.close_session(caller, id);
                    self.sessions.end(caller, id);
                }
                encode(&doc! { "ok": 1.0 })
            }
            Kind::Commit | Kind::Abort => {
                let session = session.ok_or_else(|| invalid("a transaction needs a session"))?;
                session.in_transaction = false;
                if checked.kind == Kind::Commit {
                    session.driver.commit_transaction().await?;
                } else {
                    session.driver.abort_transaction().await?;
                }
                encode(&doc! { "ok": 1.0 })
            }
        }
    }

    /// The session of a command, in the transaction that the command is to begin.
    async fn begin(
        &self,
        caller: &CommandCaller,
        options: &HostOptions,
    ) -> Result<Option<Held>, StoreError> {
        let Some(id) = options.session else {
            return Ok(None);
        };
        let mut session = self.sessions.hold(caller, id).await?;
        if let Some(transaction) = &options.transaction {
            (session.driver.start_transaction())
                .with_options(transaction.clone())
                .await?;
            session.in_transaction = true;
        }
        Ok(Some(session))
    }

    async fn start_session(
        &self,
        caller: &CommandCaller,
        command: &RawDocument,
    ) -> Result<Bytes, StoreError> {
        let flag = |key| matches!(command.get(key), Ok(Some(RawBsonRef::Boolean(true))));
        let snapshot = flag("snapshot");
        let is_causal = flag("causalConsistency") && !snapshot;
        let driver = self
            .client()?
            .start_session()
            .causal_consistency(is_causal)
            .snapshot(snapshot)
            .await?;
        let session = PluginSession {
            driver,
            in_transaction: false,
            is_causal,
        };
        let id = self.sessions.keep(caller, session);
        encode(&doc! { "session": id, "ok": 1.0 })
    }

    /// What a command that is answered in batches needs beside what the plugin said.
    fn reading(
        &self,
        name: &str,
        mut command: RawDocumentBuf,
        options: &HostOptions,
        session: Option<&PluginSession>,
    ) -> Result<Reading, StoreError> {
        let stages = command.get_array("pipeline").ok();
        let mut watches = false;
        let mut writes = false;
        for stage in stages.into_iter().flatten() {
            let Ok(RawBsonRef::Document(stage)) = stage else {
                continue;
            };
            watches |= matches!(stage.get("$changeStream"), Ok(Some(_)));
            writes |= matches!(stage.get("$out"), Ok(Some(_)))
                || matches!(stage.get("$merge"), Ok(Some(_)));
        }
        let in_transaction = is_in_transaction(session);
        if writes {
            command = self.with_write_concern(command, in_transaction)?;
        } else if name != "listCollections" && name != "listIndexes" && !in_transaction {
            if let Some(session) = session.filter(|session| session.is_causal) {
                sessions::after_what_was_seen(&mut command, &session.driver)?;
            } else if let Some(concern) = self.read_concern()
                && command.get("readConcern").map_err(malformed)?.is_none()
            {
                command.append(C_READ_CONCERN, concern);
            }
        }
        Ok(Reading {
            command,
            from: if writes {
                None
            } else {
                self.selection(options)
            },
            wait: (options.wait.filter(|_| watches)).map(|wait| wait.min(LONGEST_WAIT)),
            watches,
        })
    }

    fn selection(&self, options: &HostOptions) -> Option<SelectionCriteria> {
        options
            .from
            .clone()
            .or_else(|| self.client().ok()?.selection_criteria().cloned())
    }

    async fn first(
        &self,
        database: &Database,
        reading: &Reading,
        mut session: Option<(i64, &mut ClientSession)>,
    ) -> Result<query::FirstBatch, StoreError> {
        let again = session.as_ref().map(|(id, _)| *id);
        let first = match &mut session {
            Some((id, session)) => reading.start(database, Some((*id, &mut **session))).await,
            None => reading.start(database, None).await,
        };
        match first {
            // One more time, as the driver does with its own reads.
            Err(error) if error.is_passing && again.is_none() => {
                reading.start(database, None).await
            }
            other => other,
        }
    }

    async fn get_more(
        &self,
        owner: &CommandCaller,
        command: &RawDocument,
    ) -> Result<Bytes, StoreError> {
        let id = command
            .get_i64("getMore")
            .map_err(|_| invalid("`getMore` must be a 64-bit cursor id"))?;
        let cursor = self.cursors.take(owner, id)?;
        // On an error, or when the call is abandoned, the cursor is dropped, which closes it on the
        // server, and its place goes with it.
        let place = PlaceKept {
            store: self,
            owner,
            id,
        };
        // Those who wait for what has not happened yet leave connections to the others.
        let _room = match cursor.watches {
            true => self.waiting.acquire().await.ok(),
            false => None,
        };
        let mut session = match cursor.session() {
            Some(session) => Some(self.sessions.hold(owner, session).await?),
            None => None,
        };
        let session = driver(session.as_deref_mut());
        let (reply, more) = query::next_batch(cursor, session).await?;
        if let Some(cursor) = more {
            self.cursors.put_back(owner, id, cursor);
            std::mem::forget(place);
        }
        Ok(reply)
    }

    fn kill_cursors(
        &self,
        owner: &CommandCaller,
        command: &RawDocument,
    ) -> Result<Bytes, StoreError> {
        let (killed, unknown): (Vec<i64>, Vec<i64>) = ids(command, "cursors")?
            .into_iter()
            .partition(|id| self.cursors.close(owner, *id));
        encode(&doc! {
            "cursorsKilled": killed,
            "cursorsNotFound": unknown,
            "cursorsAlive": [],
            "cursorsUnknown": [],
            "ok": 1.0,
        })
    }

    /// Names of both collections in full are what the server wants; both are in the app's database.
    async fn rename(
        &self,
        database: &Database,
        command: &RawDocument,
    ) -> Result<Bytes, StoreError> {
        let full = |key| {
            let name = command.get_str(key).unwrap_or_default();
            format!("{}.{name}", database.name())
        };
        let mut renaming = doc! { "renameCollection": full("renameCollection"), "to": full("to") };
        for field in command {
            let (key, value) = field.map_err(malformed)?;
            if !renaming.contains_key(key.as_str()) {
                renaming.insert(
                    key.as_str(),
                    mongodb::bson::Bson::try_from(value).map_err(malformed)?,
                );
            }
        }
        let reply = self
            .client()?
            .database("admin")
            .run_command(renaming)
            .await?;
        encode(&reply)
    }

    /// Asks something that has one answer.
    async fn ask(
        &self,
        database: &Database,
        command: RawDocumentBuf,
        from: Option<SelectionCriteria>,
        session: Option<&mut ClientSession>,
    ) -> Result<Bytes, StoreError> {
        let once = || async {
            let mut action = database.run_raw_command(command.clone());
            if let Some(from) = &from {
                action = action.selection_criteria(from.clone());
            }
            Ok::<_, StoreError>(action.await?)
        };
        let reply = match session {
            Some(session) => {
                let mut action = database.run_raw_command(command.clone()).session(session);
                if let Some(from) = &from {
                    action = action.selection_criteria(from.clone());
                }
                action.await?
            }
            None => match once().await {
                // One more time, as the driver does with its own reads.
                Err(error) if error.is_passing => once().await?,
                other => other?,
            },
        };
        encode(&answers::without_addresses(reply))
    }

    async fn write(
        &self,
        database: &Database,
        command: RawDocumentBuf,
        session: Option<&mut ClientSession>,
        may_be_numbered: bool,
    ) -> Result<Bytes, StoreError> {
        if let Some(session) = session {
            return encode(&database.run_raw_command(command).session(session).await?);
        }
        let numbered = if may_be_numbered {
            self.numbered.next(database.client()).await
        } else {
            None
        };
        let Some(mut numbered) = numbered else {
            return encode(&database.run_raw_command(command).await?);
        };
        let mut command = command;
        command.append(C_TXN_NUMBER, numbered.number);
        for is_last in [false, true] {
            let Some(session) = numbered.session() else {
                break;
            };
            let result = database
                .run_raw_command(command.clone())
                .session(session)
                .await;
            match result.map_err(StoreError::from) {
                Ok(reply) => {
                    self.numbered.put_back(numbered);
                    return encode(&reply);
                }
                Err(error) if error.is_passing && !is_last => {}
                Err(error) => {
                    if error.code.is_some() {
                        self.numbered.put_back(numbered);
                    } else {
                        numbered.give_up();
                    }
                    return Err(error);
                }
            }
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "the connection to the database was lost",
        ))
    }

    /// Adds the configured write concern where the command brings none. Single servers have one
    /// anyway: what they acknowledge.
    fn with_write_concern(
        &self,
        mut command: RawDocumentBuf,
        in_transaction: bool,
    ) -> Result<RawDocumentBuf, StoreError> {
        match command.get("writeConcern").map_err(malformed)? {
            Some(RawBsonRef::Document(concern)) => {
                if matches!(
                    concern.get("w").map_err(malformed)?,
                    Some(RawBsonRef::Int32(0) | RawBsonRef::Int64(0))
                ) {
                    return Err(invalid("unacknowledged writes are not supported"));
                }
            }
            Some(_) => return Err(invalid("`writeConcern` must be a document")),
            // A transaction is as safe as its commit.
            None if self.numbered.is_allowed() && !in_transaction => {
                if let Some(concern) = self.write_concern() {
                    let concern = RawDocumentBuf::try_from(&concern).map_err(malformed)?;
                    command.append(C_WRITE_CONCERN, concern);
                }
            }
            None => {}
        }
        Ok(command)
    }
}

const C_TXN_NUMBER: &CStr = mongodb::bson::raw::cstr!("txnNumber");
const C_READ_CONCERN: &CStr = mongodb::bson::raw::cstr!("readConcern");
const C_WRITE_CONCERN: &CStr = mongodb::bson::raw::cstr!("writeConcern");

/// Gives up a cursor's place unless it is forgotten.
struct PlaceKept<'a> {
    store: &'a Store,
    owner: &'a CommandCaller,
    id: i64,
}

impl Drop for PlaceKept<'_> {
    fn drop(&mut self) {
        self.store.cursors.close(self.owner, self.id);
    }
}

fn driver(session: Option<&mut PluginSession>) -> Option<&mut ClientSession> {
    session.map(|session| &mut session.driver)
}

fn is_in_transaction(session: Option<&PluginSession>) -> bool {
    session.is_some_and(|session| session.in_transaction)
}

fn encode(reply: &mongodb::bson::Document) -> Result<Bytes, StoreError> {
    mongodb::bson::serialize_to_vec(reply)
        .map(Bytes::from)
        .map_err(malformed)
}
