//! One call of a command: who calls, in which database, session and transaction, and how it reaches
//! the data.

use std::time::{Duration, Instant};

use bson::{Document, RawBsonRef, RawDocument};
use rusqlite::Connection;

use super::{args::Args, names, service::Service};
use crate::{
    bail,
    error::{Code, CommandError, Result},
    storage::{
        catalog::Catalog,
        transactions::TransactionKey,
        writer::{Manner, WriteTxn},
    },
    wire::{BsonWriter, Request},
};

/// What the server remembers of a connection.
#[derive(Debug)]
pub struct ConnectionState {
    /// Its number.
    pub id: i64,
    /// The address that the client connected to, as `host:port` or a path.
    pub local_address: String,
    /// Where the client is.
    pub peer_address: String,
    /// Whether the client proved who it is.
    pub authenticated: bool,
    /// A begun SCRAM exchange.
    pub scram: Option<super::auth::Exchange>,
}

/// How a write is to be acknowledged.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteConcern {
    /// No answer's content is of interest.
    pub unacknowledged: bool,
    /// The log is flushed first.
    pub journal: bool,
}

/// One call.
pub struct Call<'a> {
    /// Shared by all calls.
    pub service: &'a Service,
    /// The connection it came on.
    pub connection: &'a mut ConnectionState,
    /// As it came.
    pub request: &'a Request<'a>,
    /// Its fields.
    pub args: Args<'a>,
    /// The database it is for.
    pub database: &'a str,
    /// When its time is over.
    pub deadline: Option<Instant>,
    /// The bytes of `lsid.id`.
    pub session: Option<Vec<u8>>,
    /// The transaction it belongs to.
    pub transaction: Option<TransactionKey>,
    /// The number by which a repeated write is known (replica sets only).
    pub retry: Option<TransactionKey>,
    /// From `writeConcern`.
    pub write_concern: WriteConcern,
}

impl<'a> Call<'a> {
    /// Reads the fields that any command may have.
    pub fn new(
        service: &'a Service,
        connection: &'a mut ConnectionState,
        request: &'a Request<'a>,
        args: Args<'a>,
        database: &'a str,
    ) -> Result<Self> {
        let deadline = match args.unsigned("maxTimeMS")? {
            Some(limit) if limit > 0 && args.command() != "getMore" => {
                Some(Instant::now() + Duration::from_millis(limit))
            }
            _ => None,
        };
        let session = session_of(&args)?;
        let (transaction, retry) = transaction_of(service, &args, session.as_ref())?;
        check_read_concern(service, &args, transaction.is_some())?;
        let write_concern = match args.raw_document("writeConcern")? {
            Some(concern) => parse_write_concern(concern, service.config.replica_set.is_some())?,
            None => WriteConcern::default(),
        };
        Ok(Self {
            service,
            connection,
            request,
            args,
            database,
            deadline,
            session,
            transaction,
            retry,
            write_concern,
        })
    }

    /// Begins the transaction where this call is its first.
    pub fn start_transaction_if_asked(&self) -> Result<()> {
        match &self.transaction {
            Some(key) if self.args.flag("startTransaction")? => {
                let store = &self.service.store;
                store.begin_transaction(key.clone(), self.deadline)
            }
            _ => Ok(()),
        }
    }

    /// The namespace of the command's collection.
    pub fn namespace(&self) -> Result<String> {
        names::namespace(self.database, self.args.collection()?)
    }

    /// Documents that may come as a section or as a field.
    pub fn raw_documents(&self, name: &str) -> Result<Vec<&'a RawDocument>> {
        if let Some(sequence) = self.request.sequence(name) {
            return Ok(sequence.to_vec());
        }
        match self.args.get(name)? {
            Some(RawBsonRef::Array(items)) => items
                .into_iter()
                .map(|item| match item {
                    Ok(RawBsonRef::Document(document)) => Ok(document),
                    _ => bail!(
                        TypeMismatch,
                        "BSON field '{}.{name}' is the wrong type, expected type 'array' of objects",
                        self.args.command()
                    ),
                })
                .collect(),
            Some(_) => bail!(
                TypeMismatch,
                "BSON field '{}.{name}' is the wrong type, expected type 'array'",
                self.args.command()
            ),
            None => bail!(
                IDLFailedToParse,
                "BSON field '{}.{name}' is missing but a required field",
                self.args.command()
            ),
        }
    }

    /// Reads from one snapshot (or from the transaction). Runs again where the catalogue was
    /// changed between looking at it and reading.
    pub fn read<T>(&self, mut read: impl FnMut(&Connection, &Catalog) -> Result<T>) -> Result<T> {
        let store = &self.service.store;
        if let Some(key) = &self.transaction {
            return store.in_transaction(key, self.deadline, |txn| {
                let catalog = txn.catalog();
                read(txn.connection(), &catalog)
            });
        }
        let mut attempts = 0;
        loop {
            let reader = store.reader()?;
            let catalog = store.catalog();
            reader.begin_snapshot()?;
            let result = read(&reader, &catalog);
            reader.end_snapshot()?;
            match result {
                Err(error) if attempts < 3 && error.message.contains("no such table") => {
                    attempts += 1;
                }
                result => return result,
            }
        }
    }

    /// Writes: in the transaction, or as a write of its own.
    pub fn write<T>(&self, job: impl FnMut(&mut WriteTxn<'_>) -> Result<T>) -> Result<T> {
        let store = &self.service.store;
        match &self.transaction {
            Some(key) => store.in_transaction(key, self.deadline, job),
            None => store.write_as(self.manner(), job),
        }
    }

    fn manner(&self) -> Manner {
        Manner {
            flush: self.write_concern.journal,
            deadline: self.deadline,
            frees: matches!(
                self.args.command(),
                "delete" | "drop" | "dropDatabase" | "dropIndexes" | "deleteIndexes"
            ),
        }
    }

    /// Writes and gives the answer (without `ok`). A retryable write that was done before is not
    /// done again: its answer then is given again.
    pub fn write_once(
        &self,
        mut job: impl FnMut(&mut WriteTxn<'_>) -> Result<Document>,
    ) -> Result<Document> {
        let Some(key) = &self.retry else {
            return self.write(job);
        };
        self.write(|txn| {
            if let Some(reply) = txn.earlier_result(key)? {
                return Ok(reply);
            }
            let reply = job(txn)?;
            txn.keep_result(key, &reply)?;
            Ok(reply)
        })
    }

    /// Fails when the time of the call is over.
    pub fn check_time(&self) -> Result<()> {
        self.service.check_time(self.deadline)
    }

    /// The answer of a command that has nothing else to say.
    pub fn ok(out: &mut BsonWriter) {
        out.begin();
        out.double("ok", 1.0);
        out.end();
    }
}

fn session_of(args: &Args<'_>) -> Result<Option<Vec<u8>>> {
    let Some(lsid) = args.raw_document("lsid")? else {
        return Ok(None);
    };
    match lsid.get("id") {
        Ok(Some(RawBsonRef::Binary(id))) if id.bytes.len() == 16 => Ok(Some(id.bytes.to_vec())),
        Ok(Some(RawBsonRef::Binary(_))) => bail!(InvalidUUID, "lsid.id must be a UUID of 16 bytes"),
        _ => bail!(
            IDLFailedToParse,
            "BSON field 'lsid.id' is missing but a required field"
        ),
    }
}

fn transaction_of(
    service: &Service,
    args: &Args<'_>,
    session: Option<&Vec<u8>>,
) -> Result<(Option<TransactionKey>, Option<TransactionKey>)> {
    let Some(number) = args.integer("txnNumber")? else {
        if args.has("startTransaction")? || args.has("autocommit")? {
            bail!(
                InvalidOptions,
                "'autocommit' and 'startTransaction' require a 'txnNumber'"
            );
        }
        return Ok((None, None));
    };
    let Some(session) = session else {
        bail!(
            InvalidOptions,
            "Transaction number requires a session ID to be specified"
        )
    };
    let key = TransactionKey {
        session: session.clone(),
        number,
    };
    match args.optional_flag("autocommit")? {
        Some(false) => Ok((Some(key), None)),
        Some(true) => bail!(
            InvalidOptions,
            "Field 'autocommit' must be false if it is given"
        ),
        None if service.config.replica_set.is_some() => Ok((None, Some(key))),
        None => bail!(
            IllegalOperation,
            "Transaction numbers are only allowed on a replica set member or mongos"
        ),
    }
}

/// Every read sees what is committed, so all levels but one are kept by themselves. `snapshot` would
/// have to hold over the batches of a cursor; only a transaction does that here.
fn check_read_concern(service: &Service, args: &Args<'_>, in_transaction: bool) -> Result<()> {
    let Some(concern) = args.raw_document("readConcern")? else {
        return Ok(());
    };
    for element in concern.iter() {
        let (name, value) =
            element.map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))?;
        match (name.as_str(), value) {
            ("level", RawBsonRef::String("local" | "available" | "majority" | "linearizable"))
            | ("afterOpTime" | "provenance", _) => {}
            ("afterClusterTime", RawBsonRef::Timestamp(wanted)) => {
                // Everything that is committed is read, so only a time to come is not kept.
                let now = service.store.changes().operation_time();
                if service.config.replica_set.is_some() && wanted > now {
                    bail!(
                        InvalidOptions,
                        "readConcern afterClusterTime value must not be greater than the current clusterTime. Requested clusterTime: {wanted}; current clusterTime: {now}"
                    );
                }
            }
            ("level", RawBsonRef::String("snapshot")) if in_transaction => {}
            ("level", RawBsonRef::String("snapshot")) => bail!(
                InvalidOptions,
                "readConcern level 'snapshot' is not supported outside of a transaction"
            ),
            ("atClusterTime", _) => {
                bail!(
                    InvalidOptions,
                    "readConcern's 'atClusterTime' is not supported"
                )
            }
            (name, value) => bail!(FailedToParse, "readConcern's '{name}' cannot be {value:?}"),
        }
    }
    Ok(())
}

fn parse_write_concern(concern: &RawDocument, replica_set: bool) -> Result<WriteConcern> {
    let mut parsed = WriteConcern::default();
    for element in concern.iter() {
        let (name, value) =
            element.map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))?;
        match (name.as_str(), value) {
            ("w", RawBsonRef::String("majority")) => {}
            ("w", RawBsonRef::String(mode)) if replica_set => {
                return Err(unknown_mode(mode));
            }
            ("w", RawBsonRef::String(_)) => {
                bail!(
                    BadValue,
                    "cannot use non-majority 'w' mode when a host is not a member of a replica set"
                )
            }
            ("w", value) => match number(value) {
                Some(0) => parsed.unacknowledged = true,
                Some(1) => {}
                Some(n) if !(0..=50).contains(&n) => {
                    bail!(
                        FailedToParse,
                        "w has to be a non-negative number and not greater than 50; found: {n}"
                    )
                }
                Some(_) if replica_set => {
                    return Err(CommandError {
                        code_name: "UnsatisfiableWriteConcern".to_owned(),
                        ..CommandError::location(100, "Not enough data-bearing nodes")
                    });
                }
                Some(_) => {
                    bail!(BadValue, "cannot use 'w' > 1 when a host is not replicated")
                }
                None => bail!(FailedToParse, "w has to be a number or a string"),
            },
            ("j" | "fsync", RawBsonRef::Boolean(flag)) => parsed.journal |= flag,
            ("j" | "fsync", value) => parsed.journal |= number(value).is_some_and(|n| n != 0),
            ("wtimeout" | "provenance" | "wtimeoutMS", _) => {}
            (other, _) => bail!(FailedToParse, "unrecognized write concern field: {other}"),
        }
    }
    Ok(parsed)
}

fn unknown_mode(mode: &str) -> CommandError {
    CommandError {
        code_name: "UnknownReplWriteConcern".to_owned(),
        ..CommandError::location(
            79,
            format!("No write concern mode named '{mode}' found in replica set configuration"),
        )
    }
}

fn number(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(n) => Some(i64::from(n)),
        RawBsonRef::Int64(n) => Some(n),
        #[allow(clippy::cast_possible_truncation, reason = "saturates")]
        RawBsonRef::Double(n) => Some(n as i64),
        _ => None,
    }
}
