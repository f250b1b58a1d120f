//! How large things are, and whether they are sound: `collStats`, `dbStats`, `validate`.

use std::sync::{Arc, atomic::Ordering};

use bson::{Bson, Document, RawDocument, doc};
use rusqlite::Connection;

use super::{call::Call, insert};
use crate::{
    bail,
    error::{CommandError, Result},
    storage::{
        catalog::Collection,
        keys,
        scan::{self, Access, Counters, Flow, Position},
    },
    wire::BsonWriter,
};

/// Documents and bytes of collections together.
pub fn totals<'a>(collections: impl Iterator<Item = &'a Arc<Collection>>) -> (i64, i64) {
    collections.fold((0, 0), |(docs, bytes), collection| {
        (
            docs + collection.count(),
            bytes + collection.stats.bytes.load(Ordering::Relaxed),
        )
    })
}

fn scale(call: &Call<'_>) -> Result<i64> {
    match call.args.integer("scale")? {
        None => Ok(1),
        Some(scale) if scale > 0 => Ok(scale),
        Some(scale) => Err(CommandError::location(
            51024,
            format!("BSON field 'scale' value must be >= 1, actual value '{scale}'"),
        )),
    }
}

/// `collStats`.
pub fn coll_stats(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = call.namespace()?;
    let scale = scale(call)?;
    let mut reply = doc! { "ns": &ns };
    let stats = call.read(|connection, catalog| of_collection(connection, catalog.get(&ns), scale));
    reply.extend(stats?);
    insert::finish(reply, out)
}

/// The sizes of a collection, divided by `scale`; zeros where it does not exist.
pub fn of_collection(
    connection: &Connection,
    collection: Option<&Arc<Collection>>,
    scale: i64,
) -> Result<Document> {
    let (docs, bytes) = totals(collection.into_iter());
    let mut index_bytes = Document::new();
    let mut all_indexes = 0;
    let indexes = collection.map_or(&[][..], |collection| &collection.indexes);
    for index in indexes {
        let bytes = table_bytes(connection, &index.table())?;
        all_indexes += bytes;
        index_bytes.insert(index.name.clone(), bytes / scale);
    }
    let stored = match collection {
        Some(collection) => table_bytes(connection, &collection.table())?,
        None => 0,
    };
    Ok(doc! {
        "size": bytes / scale,
        "count": docs,
        "avgObjSize": if docs > 0 { bytes / docs } else { 0 },
        "storageSize": stored / scale,
        "capped": false,
        "nindexes": i32::try_from(indexes.len()).unwrap_or(i32::MAX),
        "totalIndexSize": all_indexes / scale,
        "totalSize": (stored + all_indexes) / scale,
        "indexSizes": index_bytes,
        "scaleFactor": scale,
    })
}

/// Bytes of a table's pages in the file.
fn table_bytes(connection: &Connection, table: &str) -> Result<i64> {
    let bytes: Option<i64> = connection
        .prepare_cached("SELECT sum(pgsize) FROM dbstat WHERE name = ?1 AND aggregate = TRUE")?
        .query_row([table], |row| row.get(0))?;
    Ok(bytes.unwrap_or(0))
}

/// `dbStats`.
pub fn db_stats(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let scale = scale(call)?;
    let catalog = call.service.store.catalog();
    let (docs, bytes) = totals(catalog.database(call.database));
    let collections = catalog.database(call.database).count();
    let indexes: usize = catalog
        .database(call.database)
        .map(|collection| collection.indexes.len())
        .sum();
    let (stored, index_bytes) = call.read(|connection, catalog| {
        let (mut stored, mut index_bytes) = (0, 0);
        for collection in catalog.database(call.database) {
            stored += table_bytes(connection, &collection.table())?;
            for index in &collection.indexes {
                index_bytes += table_bytes(connection, &index.table())?;
            }
        }
        Ok((stored, index_bytes))
    })?;
    let (file_bytes, log_bytes) = call.service.store.file_bytes();
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    insert::finish(
        doc! {
            "db": call.database,
            "collections": number(collections as u64),
            "views": 0_i64,
            "objects": docs,
            "avgObjSize": if docs > 0 { bytes as f64 / docs as f64 } else { 0.0 },
            "dataSize": bytes / scale,
            "storageSize": stored / scale,
            "indexes": number(indexes as u64),
            "indexSize": index_bytes / scale,
            "totalSize": (stored + index_bytes) / scale,
            "fsUsedSize": number(file_bytes + log_bytes) / scale,
            "scaleFactor": scale,
        },
        out,
    )
}

/// `validate`: reads every document of the collection and checks that each index has its keys.
pub fn validate(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = call.namespace()?;
    let (records, indexes, errors) = call.read(|connection, catalog| {
        let Some(collection) = catalog.get(&ns) else {
            bail!(
                NamespaceNotFound,
                "Collection '{ns}' does not exist to validate."
            )
        };
        check_indexes(connection, collection, &|| call.check_time())
    })?;
    let valid = errors.is_empty();
    insert::finish(
        doc! {
            "ns": ns,
            "nInvalidDocuments": 0_i64,
            "nrecords": records,
            "nIndexes": i32::try_from(indexes.len()).unwrap_or(i32::MAX),
            "keysPerIndex": indexes,
            "valid": valid,
            "errors": errors.into_iter().map(Bson::String).collect::<Vec<_>>(),
            "warnings": Vec::<Bson>::new(),
        },
        out,
    )
}

/// Reads a collection and compares its indexes with it: documents, keys by index, what is wrong.
fn check_indexes(
    connection: &Connection,
    collection: &Collection,
    check_time: &dyn Fn() -> Result<()>,
) -> Result<(i64, Document, Vec<String>)> {
    let mut records = 0_i64;
    let mut expected = vec![0_u64; collection.indexes.len()];
    let mut errors = Vec::new();
    scan::scan(
        connection,
        collection,
        &Access::Collection { reverse: false },
        &mut Position::default(),
        &mut Counters::default(),
        &mut |rid, bytes| {
            records += 1;
            if records % 128 == 0 {
                check_time()?;
            }
            if let Err(error) =
                crate::wire::validate::check_document(bytes, crate::wire::validate::MAX_DEPTH)
            {
                errors.push(format!("record {rid}: {error}"));
                return Ok(Flow::Continue);
            }
            let raw: &RawDocument = super::read::raw(bytes)?;
            for (index, count) in collection.indexes.iter().zip(&mut expected) {
                for key in keys::keys_of(index, raw)?.keys {
                    *count += 1;
                    let mut statement = connection.prepare_cached(&index.sql.present)?;
                    if !statement.exists((&key, rid))? {
                        errors.push(format!("record {rid} is missing in index {}", index.name));
                    }
                }
            }
            Ok(Flow::Continue)
        },
    )?;
    let mut counts = Document::new();
    for (index, expected) in collection.indexes.iter().zip(expected) {
        let found = scan::count_entries(connection, index, &crate::planner::whole(), None)?;
        if found != expected {
            errors.push(format!(
                "index {} has {found} entries, not {expected}",
                index.name
            ));
        }
        counts.insert(index.name.clone(), i64::try_from(found).unwrap_or(i64::MAX));
    }
    Ok((records, counts, errors))
}
