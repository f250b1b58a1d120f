//! Committing: what a transaction wrote in private is done to the file, by the writer.
//!
//! Everything that it wrote is locked, and was checked against the file when it was locked, so
//! nothing here can be in conflict.

use std::sync::Arc;

use bson::RawDocument;

use super::{Transaction, conflict, open::Lock};
use crate::{
    error::{Code, CommandError, Result},
    storage::{
        catalog::Collection,
        keys,
        sql::overlay::{self as sql, FIRST_OWN_RID},
        writer::WriteTxn,
    },
};

fn raw(bytes: &[u8]) -> Result<&RawDocument> {
    RawDocument::from_bytes(bytes)
        .map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))
}

/// Fails where something that the running statement locked was changed since the transaction's
/// snapshot was taken. `txn` is the writer's.
pub(super) fn check_unchanged(txn: &WriteTxn<'_>, transaction: &Transaction) -> Result<()> {
    let now = txn.catalog();
    for lock in &transaction.overlay.fresh {
        let (collection, index, key) = match &**lock {
            Lock::Namespace(ns) if now.get(ns).is_some() => return Err(conflict()),
            Lock::Namespace(_) => continue,
            Lock::Key { collection, .. } if transaction.overlay.has_made(*collection) => continue,
            Lock::Key {
                collection,
                index,
                key,
            } => (*collection, *index, key),
        };
        let known = transaction.work.catalog.by_id(collection);
        let same = match (known, now.by_id(collection)) {
            (Some(known), Some(now)) => is_as_before(known, now),
            _ => false,
        };
        if !same {
            return Err(CommandError::new(
                Code::SnapshotUnavailable,
                "Unable to read from a snapshot due to pending collection catalog changes; please retry the operation.",
            ));
        }
        let statement = sql::in_file(index, collection);
        let row = |connection: &rusqlite::Connection| -> Result<Option<(i64, Vec<u8>)>> {
            let mut statement = connection.prepare_cached(&statement)?;
            let mut rows = statement.query([key])?;
            Ok(match rows.next()? {
                Some(row) => Some((row.get(0)?, row.get(1)?)),
                None => None,
            })
        };
        if row(txn.connection())? != row(&transaction.work.connection)? {
            return Err(conflict());
        }
    }
    Ok(())
}

fn is_as_before(known: &Collection, now: &Collection) -> bool {
    let ids = |collection: &Collection| -> Vec<i64> {
        collection.indexes.iter().map(|index| index.id).collect()
    };
    known.ns == now.ns && known.options == now.options && ids(known) == ids(now)
}

/// Does to the file what the transaction wrote.
pub(super) fn apply(txn: &mut WriteTxn<'_>, transaction: &Transaction) -> Result<()> {
    let overlay = &transaction.overlay;
    for id in &overlay.made {
        if let Some(collection) = transaction.work.catalog.by_id(*id) {
            make(txn, transaction, collection)?;
        }
    }
    for id in overlay.written_ids() {
        let Some(collection) = txn.catalog().by_id(id).cloned() else {
            return Err(conflict());
        };
        free_keys(txn, transaction, &collection)?;
        write_rows(txn, transaction, &collection)?;
    }
    let session = bson::doc! {
        "id": bson::Binary {
            subtype: bson::spec::BinarySubtype::Uuid,
            bytes: overlay.key.session.clone(),
        },
    };
    for (ns, event) in &overlay.events {
        let mut event = event.clone();
        event.insert("lsid", session.clone());
        event.insert("txnNumber", overlay.key.number);
        txn.record_event(ns, &event)?;
    }
    Ok(())
}

/// A collection that the transaction made, with its documents.
fn make(txn: &mut WriteTxn<'_>, transaction: &Transaction, made: &Arc<Collection>) -> Result<()> {
    let collection = txn.make_collection(made)?;
    let mut statement = transaction.work.connection.prepare(&made.sql.forward)?;
    let mut rows = statement.query([0])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        txn.put_row(&collection, raw(bytes)?)?;
    }
    Ok(())
}

/// Visits the rows that the transaction wrote; `None`: deleted.
fn each_written(
    transaction: &Transaction,
    collection: &Collection,
    visit: &mut dyn FnMut(i64, Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    let connection = &transaction.work.connection;
    let mut statement = connection.prepare(&sql::written(collection.id))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let doc = row.get_ref(1)?;
        visit(
            row.get(0)?,
            doc.as_blob_or_null().map_err(rusqlite::Error::from)?,
        )?;
    }
    Ok(())
}

/// Deletes what is to be deleted, and takes away the index entries that others get: the values of
/// two documents may have been exchanged.
fn free_keys(
    txn: &mut WriteTxn<'_>,
    transaction: &Transaction,
    collection: &Arc<Collection>,
) -> Result<()> {
    each_written(transaction, collection, &mut |rid, doc| {
        if rid >= FIRST_OWN_RID {
            return Ok(());
        }
        let Some(before) = txn.document(collection, rid)? else {
            return Err(conflict());
        };
        for index in &collection.indexes {
            let kept = match doc {
                Some(doc) => keys::keys_of(index, raw(doc)?)?.keys,
                None => Vec::new(),
            };
            for key in keys::keys_of(index, &before)?.keys {
                if kept.binary_search(&key).is_err() {
                    txn.execute(&index.sql.delete, (key, rid))?;
                }
            }
        }
        if doc.is_none() {
            txn.execute(&collection.sql.delete, [rid])?;
            txn.count(collection.id, -1, -(before.as_bytes().len() as i64));
        }
        Ok(())
    })
}

fn write_rows(
    txn: &mut WriteTxn<'_>,
    transaction: &Transaction,
    collection: &Arc<Collection>,
) -> Result<()> {
    each_written(transaction, collection, &mut |rid, doc| {
        let Some(doc) = doc else { return Ok(()) };
        let new = raw(doc)?;
        if rid >= FIRST_OWN_RID {
            return txn.put_row(collection, new);
        }
        let Some(before) = txn.document(collection, rid)? else {
            return Err(conflict());
        };
        for index in &collection.indexes {
            let (old, new_keys) = (keys::keys_of(index, &before)?, keys::keys_of(index, new)?);
            txn.note_contents(index, &new_keys)?;
            for key in &new_keys.keys {
                if old.keys.binary_search(key).is_err() {
                    txn.add_key(collection, index, key, rid, new)?;
                }
            }
        }
        txn.execute(&collection.sql.update, (doc, rid))?;
        let grown = doc.len() as i64 - before.as_bytes().len() as i64;
        txn.count(collection.id, 0, grown);
        Ok(())
    })
}
