//! Commands that plugins send, BSON in and BSON out.
//!
//! A command is what MongoDB's own drivers send, without the fields that belong to the connection:
//! the database, the session and the retry number are the host's. Only commands on the app's data
//! are let through. Documents stay bytes where they are many: inserts go to the server as they
//! come, batches come back as the server sent them.

use bytes::Bytes;
use mongodb::{
    Database,
    bson::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf, doc, raw::CStr},
};

use super::{
    Store, StoreError, StoreErrorKind, health,
    query::{self, invalid, malformed},
};

/// Who sends a command.
#[derive(Debug, Clone)]
pub struct CommandCaller {
    /// The load of the plugin; its cursors end with it.
    pub generation: u64,
    /// The app of the running call, `None` in background work.
    pub app_id: Option<std::sync::Arc<str>>,
}

/// What kind of command it is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Find,
    Aggregate,
    GetMore,
    KillCursors,
    /// Changes nothing: may be sent again.
    Read,
    /// Changes documents.
    Write,
    /// Changes collections or indexes.
    Schema,
}

fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "find" => Kind::Find,
        "aggregate" => Kind::Aggregate,
        "getMore" => Kind::GetMore,
        "killCursors" => Kind::KillCursors,
        "count" | "distinct" | "explain" | "ping" | "hello" | "buildInfo" | "buildinfo"
        | "dbStats" | "dbstats" | "collStats" | "collstats" | "validate" => Kind::Read,
        "insert" | "update" | "delete" | "findAndModify" | "findandmodify" => Kind::Write,
        "create" | "drop" | "collMod" | "createIndexes" | "dropIndexes" => Kind::Schema,
        _ => return None,
    })
}

/// Fields that only the host sets.
const HOST_FIELDS: [&str; 9] = [
    "$db",
    "$clusterTime",
    "$readPreference",
    "lsid",
    "txnNumber",
    "startTransaction",
    "autocommit",
    "apiVersion",
    "apiStrict",
];

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
        command: Bytes,
    ) -> Result<Bytes, StoreError> {
        let limit = self.config.command_timeout;
        match tokio::time::timeout(limit, self.run(caller, command)).await {
            Ok(result) => result.map_err(|error| self.failed(error)),
            Err(_) => Err(self.failed(health::no_answer(limit))),
        }
    }

    /// Closes what a load of a plugin has left open.
    pub fn forget_generation(&self, generation: u64) {
        self.cursors.close_owner(generation);
    }

    async fn run(&self, caller: &CommandCaller, command: Bytes) -> Result<Bytes, StoreError> {
        let raw = RawDocument::from_bytes(&command).map_err(malformed)?;
        let (name, kind) = check(raw)?;
        let database = self.database(caller.app_id.as_deref())?;
        let owner = caller.generation;
        match kind {
            Kind::Find => self.first(owner, query::find(&database, raw).await?),
            Kind::Aggregate if explains(raw) => self.read(&database, raw).await,
            Kind::Aggregate => self.first(owner, query::aggregate(&database, raw).await?),
            Kind::GetMore => self.get_more(owner, raw).await,
            Kind::KillCursors => self.kill_cursors(owner, raw),
            Kind::Read => self.read(&database, raw).await,
            Kind::Write => {
                let numbered = may_be_numbered(name, raw);
                self.write(&database, self.with_write_concern(raw)?, numbered)
                    .await
            }
            Kind::Schema => {
                let reply = database
                    .run_raw_command(self.with_write_concern(raw)?)
                    .await?;
                encode(&reply)
            }
        }
    }

    fn first(&self, owner: u64, first: query::FirstBatch) -> Result<Bytes, StoreError> {
        if let Some((id, cursor)) = first.more {
            self.cursors.keep(owner, id, cursor);
        }
        Ok(first.reply)
    }

    async fn get_more(&self, owner: u64, command: &RawDocument) -> Result<Bytes, StoreError> {
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
        let (reply, more) = query::next_batch(cursor).await?;
        if let Some(cursor) = more {
            self.cursors.put_back(owner, id, cursor);
            std::mem::forget(place);
        }
        Ok(reply)
    }

    fn kill_cursors(&self, owner: u64, command: &RawDocument) -> Result<Bytes, StoreError> {
        let ids = command
            .get_array("cursors")
            .map_err(|_| invalid("`cursors` must be an array of cursor ids"))?;
        let (mut killed, mut unknown) = (Vec::new(), Vec::new());
        for id in ids {
            let Some(id) = id.map_err(malformed)?.as_i64() else {
                return Err(invalid("`cursors` must be an array of cursor ids"));
            };
            if self.cursors.close(owner, id) {
                killed.push(id);
            } else {
                unknown.push(id);
            }
        }
        encode(&doc! {
            "cursorsKilled": killed,
            "cursorsNotFound": unknown,
            "cursorsAlive": [],
            "cursorsUnknown": [],
            "ok": 1.0,
        })
    }

    async fn read(&self, database: &Database, command: &RawDocument) -> Result<Bytes, StoreError> {
        let once = || async {
            let reply = database.run_raw_command(command.to_owned()).await?;
            Ok::<_, StoreError>(reply)
        };
        let reply = match once().await {
            // One more time, as the driver does with its own reads.
            Err(error) if error.is_passing => once().await?,
            other => other?,
        };
        encode(&reply)
    }

    async fn write(
        &self,
        database: &Database,
        command: RawDocumentBuf,
        may_be_numbered: bool,
    ) -> Result<Bytes, StoreError> {
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
    fn with_write_concern(&self, command: &RawDocument) -> Result<RawDocumentBuf, StoreError> {
        let mut command = command.to_owned();
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
            None if self.numbered.is_allowed() => {
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
const C_WRITE_CONCERN: &CStr = mongodb::bson::raw::cstr!("writeConcern");

/// Gives up a cursor's place unless it is forgotten.
struct PlaceKept<'a> {
    store: &'a Store,
    owner: u64,
    id: i64,
}

impl Drop for PlaceKept<'_> {
    fn drop(&mut self) {
        self.store.cursors.close(self.owner, self.id);
    }
}

/// The command's name and kind, where it is let through.
fn check(command: &RawDocument) -> Result<(&str, Kind), StoreError> {
    let mut name = None;
    for field in command {
        let (key, _) = field.map_err(malformed)?;
        let key = key.as_str();
        if HOST_FIELDS.contains(&key) {
            return Err(invalid(format!("the field `{key}` is set by the gateway")));
        }
        name.get_or_insert(key);
    }
    let name = name.ok_or_else(|| invalid("the command is empty"))?;
    match kind_of(name) {
        Some(kind) => Ok((name, kind)),
        None => Err(invalid(format!(
            "the command `{name}` is not among those that plugins may send through the gateway"
        ))),
    }
}

fn explains(command: &RawDocument) -> bool {
    matches!(command.get("explain"), Ok(Some(RawBsonRef::Boolean(true))))
}

/// Whether every part of the write changes one document at most: what servers can remember.
fn may_be_numbered(name: &str, command: &RawDocument) -> bool {
    let all = |key: &str, is_single: &dyn Fn(&RawDocument) -> bool| {
        command.get_array(key).is_ok_and(|parts: &RawArray| {
            parts
                .into_iter()
                .all(|part| matches!(part, Ok(RawBsonRef::Document(part)) if is_single(part)))
        })
    };
    match name {
        "insert" | "findAndModify" | "findandmodify" => true,
        "update" => all("updates", &|part| {
            !matches!(part.get("multi"), Ok(Some(RawBsonRef::Boolean(true))))
        }),
        "delete" => all("deletes", &|part| {
            matches!(
                part.get("limit"),
                Ok(Some(RawBsonRef::Int32(1) | RawBsonRef::Int64(1)))
            )
        }),
        _ => false,
    }
}

fn encode(reply: &mongodb::bson::Document) -> Result<Bytes, StoreError> {
    mongodb::bson::serialize_to_vec(reply)
        .map(Bytes::from)
        .map_err(malformed)
}
