//! What there is: `listCollections`, `listDatabases`, and the cursors that lists are answered with.

use bson::{Binary, Bson, Document, doc, spec::BinarySubtype};

use super::{
    call::Call,
    cursors::{Batch, CursorKind},
    insert,
    measures::totals,
    spool::Spool,
};
use crate::{
    bail,
    error::Result,
    query::Filter,
    storage::catalog::Collection,
    wire::{BsonWriter, writer::encode},
};

/// The fields of `listCollections`.
pub const LIST_FIELDS: &[&str] = &[
    "listCollections",
    "filter",
    "nameOnly",
    "authorizedCollections",
    "cursor",
];
/// The fields of `listDatabases`.
pub const LIST_DATABASES_FIELDS: &[&str] =
    &["listDatabases", "filter", "nameOnly", "authorizedDatabases"];

/// `listCollections`.
pub fn list_collections(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let filter = Filter::parse(&call.args.document_or_empty("filter")?, &Document::new())?;
    let name_only = call.args.flag("nameOnly")?;
    let catalog = call.service.store.catalog();
    let mut entries = Vec::new();
    for collection in catalog.database(call.database) {
        let full = describe(collection);
        if filter.matches(&full)? {
            entries.push(if name_only {
                doc! { "name": collection.name(), "type": "collection" }
            } else {
                full
            });
        }
    }
    let ns = format!("{}.$cmd.listCollections", call.database);
    reply_with_cursor(call, &ns, entries, out)
}

fn describe(collection: &Collection) -> Document {
    let uuid = Binary {
        subtype: BinarySubtype::Uuid,
        bytes: collection.uuid.to_vec(),
    };
    doc! {
        "name": collection.name(),
        "type": "collection",
        "options": collection.options.clone(),
        "info": { "readOnly": false, "uuid": uuid },
        "idIndex": collection.id_index().spec.clone(),
    }
}

/// Answers with a cursor over documents that are there already.
pub fn reply_with_cursor(
    call: &Call<'_>,
    ns: &str,
    documents: Vec<Document>,
    out: &mut BsonWriter,
) -> Result<()> {
    let batch_size = match call.args.document("cursor")? {
        Some(cursor) => cursor.get("batchSize").and_then(as_count),
        None => None,
    };
    let mut spool = Spool::new(&call.service.spill);
    for document in &documents {
        spool.push(&encode(document)?)?;
    }
    let mut batch = Batch::first(out, batch_size.unwrap_or(u64::MAX));
    if batch_size != Some(0) {
        spool.drain(&mut |bytes| batch.push(bytes))?;
    }
    let id = if spool.is_empty() {
        0
    } else {
        call.service
            .cursors
            .open(call, ns, CursorKind::Spool(spool), false)?
    };
    Batch::finish(out, id, ns);
    Ok(())
}

/// A batch size of any number type.
pub fn as_count(value: &Bson) -> Option<u64> {
    match value {
        Bson::Int32(n) => u64::try_from(*n).ok(),
        Bson::Int64(n) => u64::try_from(*n).ok(),
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates"
        )]
        Bson::Double(n) => Some(*n as u64),
        _ => None,
    }
}

/// `listDatabases`.
pub fn list_databases(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    if call.database != "admin" {
        bail!(
            Unauthorized,
            "listDatabases may only be run against the admin database."
        );
    }
    let filter = Filter::parse(&call.args.document_or_empty("filter")?, &Document::new())?;
    let name_only = call.args.flag("nameOnly")?;
    let catalog = call.service.store.catalog();
    let mut databases: Vec<Bson> = Vec::new();
    let mut total = 0;
    for name in catalog.databases() {
        let (docs, bytes) = totals(catalog.database(&name));
        let full = doc! { "name": &name, "sizeOnDisk": bytes.max(4096), "empty": docs == 0 };
        if filter.matches(&full)? {
            total += bytes.max(4096);
            databases.push(Bson::Document(if name_only {
                doc! { "name": name }
            } else {
                full
            }));
        }
    }
    let mut reply = doc! { "databases": databases };
    if !name_only {
        reply.insert("totalSize", total);
        reply.insert("totalSizeMb", total >> 20);
    }
    insert::finish(reply, out)
}
