//! Open cursors, batches of their documents, `getMore` and `killCursors`.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use bson::{Bson, Document};
use parking_lot::Mutex;

use super::{call::Call, change_stream::ChangeStream, read::ReadQuery, spool::Spool};
use crate::{
    bail,
    error::{Code, CommandError, Result},
    storage::{documents::MAX_DOCUMENT_BYTES, scan::Flow, transactions::TransactionKey},
    wire::BsonWriter,
};

/// The fields of `getMore`.
pub const GET_MORE_FIELDS: &[&str] = &[
    "getMore",
    "collection",
    "batchSize",
    "term",
    "lastKnownCommittedOpTime",
];
/// The fields of `killCursors`.
pub const KILL_FIELDS: &[&str] = &["killCursors", "cursors"];

/// Where a cursor's documents come from.
#[derive(Debug)]
pub enum CursorKind {
    /// A query that goes on.
    Query(Box<ReadQuery>),
    /// Results that are there already.
    Spool(Spool),
    /// A change stream.
    Changes(Box<ChangeStream>),
}

#[derive(Debug)]
struct Cursor {
    ns: String,
    session: Option<Vec<u8>>,
    /// The transaction it was opened in; nothing else may go on with it.
    transaction: Option<TransactionKey>,
    /// `None` while a `getMore` works with it.
    kind: Option<CursorKind>,
    last_used: Instant,
    /// Never closed for lack of use.
    keep: bool,
}

/// All open cursors.
#[derive(Debug)]
pub struct Cursors {
    /// By number. A working `getMore` takes the inside out and puts it back.
    open: Mutex<HashMap<i64, Cursor>>,
    next: AtomicI64,
    max: usize,
    timeout: Duration,
}

impl Cursors {
    pub(super) fn new(max: usize, timeout: Duration) -> Self {
        // Numbers are hard to guess from outside and differ between runs of the server.
        let seed = bson::Uuid::new().bytes();
        let seed = i64::from_le_bytes([seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], 0, 0]);
        Self {
            open: Mutex::default(),
            next: AtomicI64::new((seed << 12) | 1),
            max,
            timeout,
        }
    }

    /// Opens one and gives its number.
    pub fn open(&self, call: &Call<'_>, ns: &str, kind: CursorKind, keep: bool) -> Result<i64> {
        let mut open = self.open.lock();
        if open.len() >= self.max {
            bail!(ExceededMemoryLimit, "too many open cursors ({})", self.max);
        }
        let id = self.next.fetch_add(7919, Ordering::Relaxed) & i64::MAX;
        open.insert(
            id,
            Cursor {
                ns: ns.to_owned(),
                session: call.session.clone(),
                transaction: call.transaction.clone(),
                kind: Some(kind),
                last_used: Instant::now(),
                keep,
            },
        );
        Ok(id)
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.lock().len()
    }

    fn take(&self, id: i64, ns: &str, by: Option<&TransactionKey>) -> Result<CursorKind> {
        let mut open = self.open.lock();
        let Some(cursor) = open.get_mut(&id) else {
            bail!(CursorNotFound, "cursor id {id} not found")
        };
        if cursor.ns != ns {
            bail!(
                Unauthorized,
                "Requested getMore on namespace '{ns}', but cursor belongs to a different namespace {}",
                cursor.ns
            );
        }
        check_transaction(id, cursor.transaction.as_ref(), by)?;
        match cursor.kind.take() {
            Some(kind) => Ok(kind),
            None => bail!(CursorInUse, "cursor id {id} is already in use"),
        }
    }

    /// Puts a taken one back, unless it was killed meanwhile; false then.
    fn put_back(&self, id: i64, kind: CursorKind) -> bool {
        match self.open.lock().get_mut(&id) {
            Some(cursor) => {
                cursor.kind = Some(kind);
                cursor.last_used = Instant::now();
                true
            }
            None => false,
        }
    }

    fn kill(&self, id: i64) -> bool {
        self.open.lock().remove(&id).is_some()
    }

    fn is_open(&self, id: i64) -> bool {
        self.open.lock().contains_key(&id)
    }

    /// Closes the cursors of a session.
    pub fn kill_session(&self, session: &[u8]) {
        self.open
            .lock()
            .retain(|_, cursor| cursor.session.as_deref() != Some(session));
    }

    /// Closes the cursors of a transaction that has ended.
    pub fn kill_transaction(&self, key: &TransactionKey) {
        self.open
            .lock()
            .retain(|_, cursor| cursor.transaction.as_ref() != Some(key));
    }

    /// Closes those of a collection.
    pub fn kill_namespace(&self, ns: &str) {
        self.open.lock().retain(|_, cursor| {
            cursor.ns != ns || matches!(cursor.kind, Some(CursorKind::Changes(_)))
        });
    }

    /// Closes those that were not used for too long.
    pub fn expire(&self) {
        let timeout = self.timeout;
        self.open.lock().retain(|_, cursor| {
            cursor.keep || cursor.kind.is_none() || cursor.last_used.elapsed() < timeout
        });
    }
}

/// A cursor shows one snapshot: it stays with its transaction, or outside of any.
fn check_transaction(
    id: i64,
    of: Option<&TransactionKey>,
    by: Option<&TransactionKey>,
) -> Result<()> {
    let (code, what) = match (of, by) {
        _ if of == by => return Ok(()),
        (None, _) => (50740, "outside of a transaction, in a transaction"),
        (Some(_), None) => (50741, "in a transaction, without one"),
        (Some(_), Some(_)) => (50739, "in a transaction, in another one"),
    };
    Err(CommandError::location(
        code,
        format!("Cannot run getMore on cursor {id}, which was created {what}"),
    ))
}

/// A batch being written: `{cursor: {firstBatch: […], …}, ok: 1}`.
pub struct Batch<'a> {
    out: &'a mut BsonWriter,
    start: usize,
    count: u64,
    max: u64,
}

impl<'a> Batch<'a> {
    /// Begins the answer of a new cursor; at most `max` documents.
    pub fn first(out: &'a mut BsonWriter, max: u64) -> Self {
        Self::begin(out, "firstBatch", max)
    }

    /// Begins the answer of a `getMore`.
    pub fn next(out: &'a mut BsonWriter, max: u64) -> Self {
        Self::begin(out, "nextBatch", max)
    }

    fn begin(out: &'a mut BsonWriter, name: &str, max: u64) -> Self {
        out.begin();
        out.begin_document("cursor");
        out.begin_array(name);
        let start = out.len();
        Self {
            out,
            start,
            count: 0,
            max,
        }
    }

    /// How many documents it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds a document, unless the batch would get too large.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Flow> {
        if self.count >= self.max
            || (self.count > 0 && self.out.len() - self.start + bytes.len() > MAX_DOCUMENT_BYTES)
        {
            return Ok(Flow::StopBefore);
        }
        self.push_any(bytes);
        Ok(if self.count >= self.max {
            Flow::Stop
        } else {
            Flow::Continue
        })
    }

    /// Adds a document.
    pub fn push_any(&mut self, bytes: &[u8]) {
        self.out
            .item(usize::try_from(self.count).unwrap_or(usize::MAX), bytes);
        self.count += 1;
    }

    /// Ends the answer.
    pub fn finish(out: &mut BsonWriter, id: i64, ns: &str) {
        out.end();
        Self::finish_cursor(out, id, ns);
    }

    /// Ends the answer of a change stream, with the token to go on from.
    pub fn finish_stream(out: &mut BsonWriter, id: i64, ns: &str, token: Document) -> Result<()> {
        out.end();
        out.value("postBatchResumeToken", &Bson::Document(token))?;
        Self::finish_cursor(out, id, ns);
        Ok(())
    }

    fn finish_cursor(out: &mut BsonWriter, id: i64, ns: &str) {
        out.int64("id", id);
        out.string("ns", ns);
        out.end();
        out.double("ok", 1.0);
        out.end();
    }
}

/// `getMore`.
pub fn get_more(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    call.service
        .counters
        .get_mores
        .fetch_add(1, Ordering::Relaxed);
    let Some(id) = call.args.integer("getMore")? else {
        bail!(
            TypeMismatch,
            "BSON field 'getMore.getMore' is the wrong type, expected type 'long'"
        )
    };
    let Some(collection) = call.args.string("collection")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'getMore.collection' is missing but a required field"
        )
    };
    let max = match call.args.unsigned("batchSize")? {
        Some(0) | None => u64::MAX,
        Some(max) => max,
    };
    let ns = format!("{}.{collection}", call.database);
    let cursors = &call.service.cursors;
    let mut kind = cursors.take(id, &ns, call.transaction.as_ref())?;
    let start = out.len();
    let filled = fill(call, &mut kind, id, max, out);
    match filled {
        Ok(done) => {
            let token = match &kind {
                CursorKind::Changes(stream) => Some(stream.token()),
                _ => None,
            };
            let open = !done && cursors.put_back(id, kind);
            if !open {
                cursors.kill(id);
            }
            let id = if open { id } else { 0 };
            match token {
                Some(token) => Batch::finish_stream(out, id, &ns, token),
                None => {
                    Batch::finish(out, id, &ns);
                    Ok(())
                }
            }
        }
        Err(error) => {
            out.truncate(start);
            // A read that ran out of time can go on; after any other failure it cannot.
            let resumable = error.code == Code::MaxTimeMSExpired as i32;
            if !resumable || !cursors.put_back(id, kind) {
                cursors.kill(id);
            }
            Err(error)
        }
    }
}

/// Writes a batch; true where the cursor is at its end.
fn fill(
    call: &Call<'_>,
    kind: &mut CursorKind,
    id: i64,
    max: u64,
    out: &mut BsonWriter,
) -> Result<bool> {
    let start = out.len();
    match kind {
        CursorKind::Query(query) => call.read(|connection, catalog| {
            out.truncate(start);
            let mut batch = Batch::next(out, max);
            query.fill(connection, catalog, &|| call.check_time(), &mut |bytes| {
                batch.push(bytes)
            })?;
            Ok(query.is_done())
        }),
        CursorKind::Spool(spool) => {
            let mut batch = Batch::next(out, max);
            spool.drain(&mut |bytes| batch.push(bytes))?;
            Ok(spool.is_empty())
        }
        CursorKind::Changes(stream) => {
            let mut batch = Batch::next(out, max);
            let wait = match call.args.unsigned("maxTimeMS")? {
                Some(limit) => Duration::from_millis(limit),
                None => crate::storage::changes::DEFAULT_AWAIT,
            };
            let alive = || call.service.cursors.is_open(id);
            stream.fill(call, wait, &alive, &mut batch)
        }
    }
}

/// `killCursors`.
pub fn kill_cursors(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let Some(ids) = call.args.array("cursors")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'killCursors.cursors' is missing but a required field"
        )
    };
    call.args.collection()?;
    let (mut killed, mut unknown) = (Vec::new(), Vec::new());
    for id in ids {
        let number = match id {
            Bson::Int64(id) => id,
            Bson::Int32(id) => i64::from(id),
            _ => {
                return Err(CommandError::new(
                    Code::TypeMismatch,
                    "BSON field 'killCursors.cursors' must hold numbers of type 'long'",
                ));
            }
        };
        let list = if call.service.cursors.kill(number) {
            &mut killed
        } else {
            &mut unknown
        };
        list.push(number);
    }
    out.begin();
    let lists: [(&str, &[i64]); 4] = [
        ("cursorsKilled", &killed),
        ("cursorsNotFound", &unknown),
        ("cursorsAlive", &[]),
        ("cursorsUnknown", &[]),
    ];
    for (name, ids) in lists {
        out.begin_array(name);
        for (at, id) in ids.iter().enumerate() {
            out.int64(&at.to_string(), *id);
        }
        out.end();
    }
    out.double("ok", 1.0);
    out.end();
    Ok(())
}
