//! Reading documents by a way of access: in order of insertion, or through ranges of an index. A
//! scan can stop anywhere and go on later, in another snapshot, from its [`Position`].

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use rusqlite::Connection;

use super::{
    catalog::{Collection, Index},
    entries,
};
use crate::{
    error::{Code, CommandError, Result},
    wire::BsonWriter,
};

/// Part of an index, in bytes of encoded keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRange {
    /// The first key.
    pub from: Vec<u8>,
    /// The first key after the range.
    pub to: Vec<u8>,
}

/// How documents are reached.
#[derive(Debug, Clone)]
pub enum Access {
    /// All documents in order of insertion.
    Collection {
        /// Last inserted first.
        reverse: bool,
    },
    /// The documents of some ranges of an index.
    Index {
        /// The index.
        index: Arc<Index>,
        /// In the order of the index, without overlap.
        ranges: Vec<KeyRange>,
        /// Last first.
        reverse: bool,
        /// The only fields that are needed: where the entries tell them, what is visited has no
        /// others, and no document is read.
        covered: Option<Vec<String>>,
    },
    /// Nothing can match.
    Nothing,
}

/// Where a scan stands.
#[derive(Debug, Clone, Default)]
pub struct Position {
    /// Ranges that are done.
    range: usize,
    /// The last key and row that were given.
    after: Option<(Vec<u8>, i64)>,
    /// Rows that were given already; kept where an index may hold a row more than once.
    seen: HashSet<i64>,
    /// Nothing is left.
    pub done: bool,
}

/// What was read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// Index entries.
    pub keys: u64,
    /// Documents.
    pub documents: u64,
}

/// What a visitor wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next document.
    Continue,
    /// Stop; the scan goes on after this document.
    Stop,
    /// Stop; the scan goes on with this document.
    StopBefore,
}

/// The key after every key that starts with `key`.
pub fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    while let Some(last) = next.pop() {
        if last < 0xFF {
            next.push(last + 1);
            return next;
        }
    }
    end_of_keys()
}

/// A key after all keys.
pub fn end_of_keys() -> Vec<u8> {
    vec![0xFF; 64]
}

/// Visits documents (rid, bytes) from `position` on until the visitor stops or all are done.
pub fn scan(
    connection: &Connection,
    collection: &Collection,
    access: &Access,
    position: &mut Position,
    counters: &mut Counters,
    visit: &mut dyn FnMut(i64, &[u8]) -> Result<Flow>,
) -> Result<()> {
    if position.done {
        return Ok(());
    }
    let stopped = match access {
        Access::Nothing => false,
        Access::Collection { reverse } => {
            scan_collection(connection, collection, *reverse, position, counters, visit)?
        }
        Access::Index {
            index,
            ranges,
            reverse,
            covered,
        } => {
            if position.range == 0 && position.after.is_none() {
                index.uses.count.fetch_add(1, Ordering::Relaxed);
            }
            let way = Way {
                connection,
                collection,
                index,
                ranges,
                reverse: *reverse,
            };
            // Asked at every turn: the index may hold other forms by now.
            let told = covered
                .as_deref()
                .filter(|wanted| entries::can_tell(&index.fields, index.seen(), wanted));
            match told {
                Some(wanted) => scan_entries(&way, wanted, position, counters, visit)?,
                None => scan_index(&way, position, counters, visit)?,
            }
        }
    };
    position.done = !stopped;
    Ok(())
}

fn scan_collection(
    connection: &Connection,
    collection: &Collection,
    reverse: bool,
    position: &mut Position,
    counters: &mut Counters,
    visit: &mut dyn FnMut(i64, &[u8]) -> Result<Flow>,
) -> Result<bool> {
    let (sql, first) = if reverse {
        (&collection.sql.backward, i64::MAX)
    } else {
        (&collection.sql.forward, 0)
    };
    let mut from = position.after.as_ref().map_or(first, |(_, rid)| *rid);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([from])?;
    while let Some(row) = rows.next()? {
        let rid: i64 = row.get(0)?;
        counters.documents += 1;
        match visit(rid, blob(row, 1)?)? {
            Flow::Continue => from = rid,
            Flow::Stop => {
                position.after = Some((Vec::new(), rid));
                return Ok(true);
            }
            Flow::StopBefore => {
                position.after = Some((Vec::new(), from));
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Ranges of an index, and where to read them.
struct Way<'a> {
    connection: &'a Connection,
    collection: &'a Collection,
    index: &'a Index,
    ranges: &'a [KeyRange],
    reverse: bool,
}

fn scan_index(
    way: &Way<'_>,
    position: &mut Position,
    counters: &mut Counters,
    visit: &mut dyn FnMut(i64, &[u8]) -> Result<Flow>,
) -> Result<bool> {
    let dedupe = way.index.is_multikey();
    let sql = if way.reverse {
        &way.index.sql.backward
    } else {
        &way.index.sql.forward
    };
    scan_ranges(way, sql, position, &mut |position, row| {
        let rid: i64 = row.get(1)?;
        counters.keys += 1;
        if dedupe && !position.seen.insert(rid) {
            return Ok(Flow::Continue);
        }
        counters.documents += 1;
        let flow = visit(rid, blob(row, 2)?)?;
        if flow == Flow::StopBefore {
            position.seen.remove(&rid);
        }
        Ok(flow)
    })
}

/// As [`scan_index`], but what is visited is made of the entries. A document is read only where its entry leaves something open.
fn scan_entries(
    way: &Way<'_>,
    wanted: &[String],
    position: &mut Position,
    counters: &mut Counters,
    visit: &mut dyn FnMut(i64, &[u8]) -> Result<Flow>,
) -> Result<bool> {
    let sql = if way.reverse {
        &way.index.sql.entries_backward
    } else {
        &way.index.sql.entries_forward
    };
    let mut told = None;
    let mut get = way.connection.prepare_cached(&way.collection.sql.get)?;
    let mut entry = BsonWriter::default();
    scan_ranges(way, sql, position, &mut |position, row| {
        let rid: i64 = row.get(1)?;
        counters.keys += 1;
        // Asked after the first row, when the snapshot is settled, so that it tells of all in it.
        let seen = *told.get_or_insert_with(|| way.index.seen());
        let multikey = seen & entries::MULTIKEY != 0;
        if multikey && !position.seen.insert(rid) {
            return Ok(Flow::Continue);
        }
        entry.truncate(0);
        if !multikey && entries::read(&way.index.fields, seen, wanted, blob(row, 0)?, &mut entry) {
            return visit(rid, entry.bytes());
        }
        counters.documents += 1;
        let mut rows = get.query([rid])?;
        match rows.next()? {
            Some(row) => {
                let flow = visit(rid, blob(row, 0)?)?;
                if flow == Flow::StopBefore {
                    position.seen.remove(&rid);
                }
                Ok(flow)
            }
            // Its own transaction has deleted it since the query was planned.
            None => Ok(Flow::Continue),
        }
    })
}

fn scan_ranges(
    way: &Way<'_>,
    sql: &str,
    position: &mut Position,
    visit: &mut dyn FnMut(&mut Position, &rusqlite::Row<'_>) -> Result<Flow>,
) -> Result<bool> {
    let Way {
        ranges, reverse, ..
    } = *way;
    let mut statement = way.connection.prepare_cached(sql)?;
    while position.range < ranges.len() {
        let at = if reverse {
            ranges.len() - 1 - position.range
        } else {
            position.range
        };
        let range = &ranges[at];
        let (first, last) = if reverse {
            (&range.to, &range.from)
        } else {
            (&range.from, &range.to)
        };
        let after = position.after.take();
        let (from_key, from_rid) = after
            .as_ref()
            .map_or((first.as_slice(), 0), |(key, rid)| (key.as_slice(), *rid));
        let mut rows = statement.query((from_key, from_rid, last))?;
        let mut before: Option<(Vec<u8>, i64)> = None;
        while let Some(row) = rows.next()? {
            let flow = visit(position, row)?;
            if flow == Flow::Continue {
                continue;
            }
            let rid: i64 = row.get(1)?;
            match flow {
                Flow::Continue => {}
                Flow::Stop => {
                    position.after = Some((blob(row, 0)?.to_vec(), rid));
                    return Ok(true);
                }
                Flow::StopBefore => {
                    // The row before in index order: same key with a row number next to it.
                    let key = blob(row, 0)?.to_vec();
                    before = Some((key, if reverse { rid + 1 } else { rid - 1 }));
                    break;
                }
            }
        }
        if before.is_some() {
            position.after = before;
            return Ok(true);
        }
        position.range += 1;
    }
    Ok(false)
}

fn blob<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> Result<&'a [u8]> {
    row.get_ref(column)?
        .as_blob()
        .map_err(|error| CommandError::new(Code::InternalError, format!("storage: {error}")))
}

/// How many entries the ranges hold; `limit` bounds the count of each range.
pub fn count_entries(
    connection: &Connection,
    index: &Index,
    ranges: &[KeyRange],
    limit: Option<u32>,
) -> Result<u64> {
    let mut total = 0_i64;
    for range in ranges {
        total += match limit {
            None => connection
                .prepare_cached(&index.sql.count)?
                .query_row((&range.from, &range.to), |row| row.get::<_, i64>(0))?,
            Some(limit) => connection
                .prepare_cached(&index.sql.probe)?
                .query_row((&range.from, &range.to, limit), |row| row.get::<_, i64>(0))?,
        };
        if limit.is_some_and(|limit| total >= i64::from(limit)) {
            break;
        }
    }
    Ok(u64::try_from(total).unwrap_or(0))
}
