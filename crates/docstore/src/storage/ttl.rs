//! Deletes documents whose time is over, by indexes with `expireAfterSeconds`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bson::{Bson, DateTime, RawDocument};

use super::{
    Store,
    catalog::{Collection, Index, decode},
    changes::now_ms,
    scan::{self, Access, Counters, Flow, KeyRange, Position},
    writer::Manner,
};
use crate::{
    error::{CommandError, Result},
    value::{encode_key, walk_path},
};

/// Documents that one write deletes; others get their turn in between.
const BATCH_DOCUMENTS: usize = 500;
/// How long one write may wait.
const MAX_WAIT: Duration = Duration::from_millis(500);

impl Store {
    /// One round over all TTL indexes. Returns how many documents were deleted.
    pub fn expire_documents(&self) -> Result<u64> {
        let mut deleted = 0;
        for collection in self.catalog().iter() {
            for index in &collection.indexes {
                if let Some(seconds) = index.expire_after_seconds {
                    let limit = now_ms().saturating_sub(seconds.saturating_mul(1000));
                    loop {
                        let batch = self.expire_batch(&collection.ns, &index.name, limit)?;
                        deleted += batch as u64;
                        if batch < BATCH_DOCUMENTS {
                            break;
                        }
                    }
                }
            }
        }
        Ok(deleted)
    }

    fn expire_batch(&self, ns: &str, index: &str, limit_ms: i64) -> Result<usize> {
        // What a transaction holds is left for the next round.
        let manner = Manner {
            deadline: Some(Instant::now() + MAX_WAIT),
            frees: true,
            ..Manner::default()
        };
        self.write_as(manner, |txn| {
            let catalog = txn.catalog();
            let Some(collection) = catalog.get(ns) else {
                return Ok(0);
            };
            let found = collection.indexes.iter().find(|other| other.name == index);
            let Some(index) = found.filter(|index| index.expire_after_seconds.is_some()) else {
                return Ok(0);
            };
            let expired = expired(txn.connection(), collection, index, limit_ms)?;
            for (rid, bytes) in &expired {
                let raw = RawDocument::from_bytes(bytes).map_err(|error| {
                    CommandError::new(crate::error::Code::InvalidBSON, error.to_string())
                })?;
                txn.delete(collection, *rid, raw)?;
            }
            Ok(expired.len())
        })
    }
}

fn expired(
    connection: &rusqlite::Connection,
    collection: &Collection,
    index: &Arc<Index>,
    limit_ms: i64,
) -> Result<Vec<(i64, Vec<u8>)>> {
    let (path, descending) = &index.fields[0];
    let key = |date: i64| {
        let mut key = Vec::new();
        encode_key(
            &Bson::DateTime(DateTime::from_millis(date)),
            *descending,
            &mut key,
        );
        key
    };
    let (oldest, limit) = (key(i64::MIN), key(limit_ms));
    let range = if *descending {
        KeyRange {
            from: limit,
            to: scan::successor(&oldest),
        }
    } else {
        KeyRange {
            from: oldest,
            to: scan::successor(&limit),
        }
    };
    let access = Access::Index {
        index: Arc::clone(index),
        ranges: vec![range],
        reverse: *descending,
        covered: None,
    };
    let mut batch = Vec::new();
    scan::scan(
        connection,
        collection,
        &access,
        &mut Position::default(),
        &mut Counters::default(),
        &mut |rid, bytes| {
            let document = decode(bytes)?;
            // Of several dates the earliest counts.
            let mut due = false;
            walk_path(&document, path, &mut |value| {
                let is_due = |value: &Bson| matches!(value, Bson::DateTime(date) if date.timestamp_millis() <= limit_ms);
                due |= match value {
                    Some(Bson::Array(items)) => items.iter().any(is_due),
                    Some(value) => is_due(value),
                    None => false,
                };
            });
            if due {
                batch.push((rid, bytes.to_vec()));
            }
            Ok(if batch.len() < BATCH_DOCUMENTS {
                Flow::Continue
            } else {
                Flow::Stop
            })
        },
    )?;
    Ok(batch)
}
