//! `$changeStream`: events of a collection, a database or all, out of the change log.

use std::time::{Duration, Instant};

use bson::{Binary, Bson, DateTime, Document, Timestamp, doc, spec::BinarySubtype};

use super::{
    call::Call,
    cursors::Batch,
    read::{ReadQuery, ReadSpec},
};
use crate::{
    bail,
    error::{Code, CommandError, Result},
    expr::Vars,
    pipeline::{Pipeline, Source},
    spill::Memory,
    storage::{
        catalog::decode,
        changes::{Event, cluster_time},
        scan::Flow,
    },
    wire::writer::encode,
};

/// What the stages after `$changeStream` may take for one event.
const EVENT_MEMORY_BYTES: usize = 16 << 20;

/// Events that are read at a time.
const CHUNK_EVENTS: usize = 256;

/// Which collections are watched.
#[derive(Debug)]
enum Scope {
    Collection(String),
    /// The database's name with the dot.
    Database(String),
    All,
}

/// An open stream.
#[derive(Debug)]
pub struct ChangeStream {
    scope: Scope,
    lookup: bool,
    /// Whether `create` and the like are told.
    expanded: bool,
    pipeline: Pipeline,
    /// The last event that was looked at.
    seq: i64,
    /// The collection is gone: nothing will follow.
    ended: bool,
}

impl ChangeStream {
    /// Opens a stream. `options` is the `$changeStream` stage.
    pub fn open(
        call: &Call<'_>,
        options: &Document,
        pipeline: Pipeline,
        ns: &str,
        whole_database: bool,
    ) -> Result<Self> {
        let flag = |name: &str| options.get_bool(name).unwrap_or(false);
        let all = flag("allChangesForCluster");
        for name in options.keys() {
            let known = [
                "fullDocument",
                "fullDocumentBeforeChange",
                "resumeAfter",
                "startAfter",
                "startAtOperationTime",
                "allChangesForCluster",
                "showExpandedEvents",
                "allowToRunOnConfigDB",
                "allowToRunOnSystemNS",
                "showSystemEvents",
                "showMigrationEvents",
                "showRawUpdateDescription",
            ];
            if !known.contains(&name.as_str()) {
                bail!(
                    IDLUnknownField,
                    "BSON field '$changeStream.{name}' is an unknown field."
                );
            }
        }
        for name in [
            "showSystemEvents",
            "showMigrationEvents",
            "showRawUpdateDescription",
        ] {
            if flag(name) {
                bail!(
                    CommandNotSupported,
                    "$changeStream's '{name}' is not supported"
                );
            }
        }
        if all && !(whole_database && call.database == "admin") {
            bail!(
                InvalidOptions,
                "A $changeStream with 'allChangesForCluster:true' may only be opened on the 'admin' database, and with no collection name"
            );
        }
        let lookup = match options.get_str("fullDocument") {
            Err(_) | Ok("default") => false,
            Ok("updateLookup") => true,
            Ok("whenAvailable" | "required") => bail!(
                CommandNotSupported,
                "change streams with pre- and post-images are not supported"
            ),
            Ok(other) => bail!(
                BadValue,
                "Enumeration value '{other}' for field '$changeStream.fullDocument' is not a valid value."
            ),
        };
        match options.get_str("fullDocumentBeforeChange") {
            Err(_) | Ok("off" | "whenAvailable") => {}
            Ok(_) => bail!(
                CommandNotSupported,
                "change streams with pre- and post-images are not supported"
            ),
        }
        let store = &call.service.store;
        let now = store.start_changes()?;
        let seq = match start_of(options)? {
            Start::Now => now,
            Start::After(seq) => {
                if seq + 1 < store.changes().first() || seq > store.changes().last() {
                    bail!(
                        ChangeStreamHistoryLost,
                        "Resume of change stream was not possible, as the resume point may no longer be in the log."
                    );
                }
                seq
            }
            Start::Time(time) => store.event_before(time)?,
        };
        let scope = if all {
            Scope::All
        } else if whole_database {
            Scope::Database(format!("{}.", call.database))
        } else {
            Scope::Collection(ns.to_owned())
        };
        Ok(Self {
            scope,
            lookup,
            expanded: flag("showExpandedEvents"),
            pipeline,
            seq,
            ended: false,
        })
    }

    /// Adds events to the batch; waits up to `wait` for the first. True: the stream is at its end.
    pub fn fill(
        &mut self,
        call: &Call<'_>,
        wait: Duration,
        alive: &dyn Fn() -> bool,
        batch: &mut Batch<'_>,
    ) -> Result<bool> {
        let until = Instant::now() + wait.min(Duration::from_secs(600));
        let changes = call.service.store.changes();
        loop {
            changes.touch();
            let seen = changes.generation();
            self.fill_with_what_is_there(call, batch)?;
            if batch.count() > 0 || self.ended || Instant::now() >= until {
                return Ok(self.ended);
            }
            call.service.check_time(None)?;
            if !alive() {
                bail!(CursorNotFound, "the cursor was killed");
            }
            // Wakes once a second at least, to see a killed cursor.
            changes.wait(seen, until.min(Instant::now() + Duration::from_secs(1)));
        }
    }

    fn fill_with_what_is_there(&mut self, call: &Call<'_>, batch: &mut Batch<'_>) -> Result<()> {
        loop {
            let events = call.service.store.events_after(self.seq, CHUNK_EVENTS)?;
            if events.is_empty() {
                return Ok(());
            }
            if events[0].seq > self.seq + 1 && self.seq + 1 < call.service.store.changes().first() {
                bail!(
                    ChangeStreamHistoryLost,
                    "the change stream fell behind the log"
                );
            }
            for event in events {
                if self.concerns(&event) {
                    let invalidates = self.invalidates(&event);
                    let document = self.describe(call, &event)?;
                    if self.push(document, batch)? == Flow::StopBefore {
                        return Ok(());
                    }
                    if invalidates {
                        let last = doc! {
                            "_id": token(event.seq, true),
                            "operationType": "invalidate",
                            "clusterTime": cluster_time(event.time_ms, event.seq),
                            "wallTime": DateTime::from_millis(event.time_ms),
                        };
                        self.seq = event.seq;
                        self.ended = true;
                        self.push(last, batch)?;
                        return Ok(());
                    }
                }
                self.seq = event.seq;
            }
        }
    }

    /// Runs the rest of the pipeline on an event and adds what comes out.
    fn push(&self, event: Document, batch: &mut Batch<'_>) -> Result<Flow> {
        let vars = Vars {
            now: Some(DateTime::now()),
            ..Vars::default()
        };
        let input = Box::new(std::iter::once(Ok(event)));
        let memory = Memory {
            limit_bytes: EVENT_MEMORY_BYTES,
            disk: None,
        };
        for result in self.pipeline.run(input, "", &NoCollections, &vars, &memory) {
            let document = result?;
            if !document.contains_key("_id") {
                return Err(CommandError {
                    code_name: "ChangeStreamFatalError".to_owned(),
                    ..CommandError::location(
                        280,
                        "Encountered an event whose _id field, which contains the resume token, was modified by the pipeline.",
                    )
                });
            }
            if batch.push(&encode(&document)?)? == Flow::StopBefore {
                return Ok(Flow::StopBefore);
            }
        }
        Ok(Flow::Continue)
    }

    fn concerns(&self, event: &Event) -> bool {
        let kind = event.event.get_str("operationType").unwrap_or_default();
        if matches!(kind, "create" | "createIndexes" | "dropIndexes" | "modify") && !self.expanded {
            return false;
        }
        match &self.scope {
            Scope::All => true,
            Scope::Database(prefix) => event.ns.starts_with(prefix.as_str()),
            Scope::Collection(ns) => {
                event.ns == *ns
                    || (kind == "rename" && renamed_to(&event.event).as_deref() == Some(ns))
            }
        }
    }

    fn invalidates(&self, event: &Event) -> bool {
        let kind = event.event.get_str("operationType").unwrap_or_default();
        match self.scope {
            Scope::All => false,
            Scope::Database(_) => kind == "dropDatabase",
            Scope::Collection(_) => matches!(kind, "drop" | "rename"),
        }
    }

    fn describe(&self, call: &Call<'_>, event: &Event) -> Result<Document> {
        let (database, collection) = event.ns.split_once('.').unwrap_or((&event.ns, ""));
        let mut ns = doc! { "db": database };
        if !collection.is_empty() {
            ns.insert("coll", collection);
        }
        let kind = event.event.get_str("operationType").unwrap_or_default();
        let mut document = doc! {
            "_id": token(event.seq, false),
            "operationType": kind,
            "clusterTime": cluster_time(event.time_ms, event.seq),
            "wallTime": DateTime::from_millis(event.time_ms),
        };
        if let Some(full) = event.event.get("fullDocument") {
            document.insert("fullDocument", full.clone());
        } else if kind == "update" && self.lookup {
            document.insert("fullDocument", self.look_up(call, event)?);
        }
        document.insert("ns", ns);
        for (name, value) in &event.event {
            let told = match name.as_str() {
                "operationType" | "fullDocument" => false,
                "collectionUUID" | "operationDescription" | "stateBeforeChange" => self.expanded,
                _ => true,
            };
            if told {
                document.insert(name.clone(), value.clone());
            }
        }
        if let Ok(description) = document.get_document_mut("updateDescription") {
            if !self.expanded {
                description.remove("disambiguatedPaths");
            } else if !description.contains_key("disambiguatedPaths") {
                description.insert("disambiguatedPaths", Document::new());
            }
        }
        Ok(document)
    }

    /// The document as it is now.
    fn look_up(&self, call: &Call<'_>, event: &Event) -> Result<Bson> {
        let Ok(key) = event.event.get_document("documentKey") else {
            return Ok(Bson::Null);
        };
        let spec = ReadSpec {
            ns: event.ns.clone(),
            filter: key
                .iter()
                .map(|(name, value)| (name.clone(), Bson::Document(doc! { "$eq": value.clone() })))
                .collect(),
            limit: Some(1),
            ..ReadSpec::default()
        };
        call.read(|connection, catalog| {
            let mut found = Bson::Null;
            ReadQuery::new(connection, catalog, &spec)?.fill(
                connection,
                catalog,
                &|| call.check_time(),
                &mut |bytes| {
                    found = Bson::Document(decode(bytes)?);
                    Ok(Flow::Stop)
                },
            )?;
            Ok(found)
        })
    }

    /// The token from which a client that has seen the batch goes on.
    pub fn token(&self) -> Document {
        token(self.seq, false)
    }
}

/// The pipelines of change streams reach no collections.
struct NoCollections;

impl Source for NoCollections {
    fn find(
        &self,
        _: &str,
        _: &str,
        _: &Document,
        _: &Vars,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + '_>> {
        bail!(
            IllegalOperation,
            "this stage is not permitted in a $changeStream pipeline"
        )
    }
}

fn renamed_to(event: &Document) -> Option<String> {
    let to = event.get_document("to").ok()?;
    Some(format!(
        "{}.{}",
        to.get_str("db").ok()?,
        to.get_str("coll").ok()?
    ))
}

/// `{_data: hex}`: a version byte, the event's number, and whether it is an invalidation.
fn token(seq: i64, invalidation: bool) -> Document {
    doc! { "_data": format!("01{seq:016X}{:02X}", u8::from(invalidation)) }
}

enum Start {
    Now,
    After(i64),
    Time(Timestamp),
}

fn start_of(options: &Document) -> Result<Start> {
    let given: Vec<&str> = ["resumeAfter", "startAfter", "startAtOperationTime"]
        .into_iter()
        .filter(|name| options.get(name).is_some_and(|value| *value != Bson::Null))
        .collect();
    match given.as_slice() {
        [] => Ok(Start::Now),
        ["startAtOperationTime"] => match options.get("startAtOperationTime") {
            Some(Bson::Timestamp(time)) => Ok(Start::Time(*time)),
            _ => bail!(
                TypeMismatch,
                "BSON field '$changeStream.startAtOperationTime' is the wrong type, expected type 'timestamp'"
            ),
        },
        [name] => {
            let (seq, invalidation) = parse_token(options.get(name))?;
            if invalidation && *name == "resumeAfter" {
                bail!(
                    InvalidResumeToken,
                    "Attempting to resume a change stream using 'resumeAfter' is not allowed from an invalidate notification."
                );
            }
            Ok(Start::After(seq))
        }
        _ => Err(CommandError::location(
            50674,
            "Only one type of resume option is allowed, but multiple were found.",
        )),
    }
}

fn parse_token(token: Option<&Bson>) -> Result<(i64, bool)> {
    let refused = || CommandError::new(Code::InvalidResumeToken, "The resume token is not valid");
    let Some(Bson::Document(token)) = token else {
        bail!(
            TypeMismatch,
            "BSON field '$changeStream.resumeAfter' is the wrong type, expected type 'object'"
        )
    };
    let data = match token.get("_data") {
        Some(Bson::String(data)) => data.clone(),
        Some(Bson::Binary(Binary {
            subtype: BinarySubtype::Generic,
            bytes,
        })) => String::from_utf8(bytes.clone()).map_err(|_| refused())?,
        _ => return Err(refused()),
    };
    if data.len() != 20 || !data.is_ascii() || !data.starts_with("01") {
        return Err(refused());
    }
    let seq = i64::from_str_radix(&data[2..18], 16).map_err(|_| refused())?;
    Ok((seq, &data[18..] == "01"))
}
