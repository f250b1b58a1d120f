//! Collections and databases: making, changing, dropping, listing, measuring.

use std::sync::atomic::Ordering;

use bson::{Binary, Bson, Document, doc, spec::BinarySubtype};

use super::{
    call::Call,
    cursors::{Batch, CursorKind},
    insert, names,
    spool::Spool,
};
use crate::{
    bail,
    error::{CommandError, Result},
    query::Filter,
    schema::Schema,
    storage::catalog::Collection,
    wire::{BsonWriter, writer::encode},
};

/// The fields of `create`.
pub const CREATE_FIELDS: &[&str] = &[
    "create",
    "capped",
    "autoIndexId",
    "idIndex",
    "size",
    "max",
    "storageEngine",
    "validator",
    "validationLevel",
    "validationAction",
    "indexOptionDefaults",
    "viewOn",
    "pipeline",
    "collation",
    "timeseries",
    "expireAfterSeconds",
    "clusteredIndex",
    "changeStreamPreAndPostImages",
    "encryptedFields",
    "temp",
    "flags",
];
/// The fields of `renameCollection`.
pub const RENAME_FIELDS: &[&str] = &["renameCollection", "to", "dropTarget", "stayTemp"];
/// The fields of `collMod`.
pub const COLL_MOD_FIELDS: &[&str] = &[
    "collMod",
    "index",
    "validator",
    "validationLevel",
    "validationAction",
    "viewOn",
    "pipeline",
    "cappedSize",
    "cappedMax",
    "changeStreamPreAndPostImages",
    "expireAfterSeconds",
];
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

/// `create`.
pub fn create(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = names::writable_namespace(call.database, call.args.collection()?)?;
    let args = &call.args;
    for option in [
        "viewOn",
        "timeseries",
        "clusteredIndex",
        "encryptedFields",
        "expireAfterSeconds",
    ] {
        if args.has(option)? {
            bail!(
                CommandNotSupported,
                "collections with '{option}' are not supported"
            );
        }
    }
    if args.flag("capped")? {
        bail!(CommandNotSupported, "capped collections are not supported");
    }
    let images = args.document("changeStreamPreAndPostImages")?;
    if images.is_some_and(|images| images.get_bool("enabled").unwrap_or(false)) {
        bail!(
            CommandNotSupported,
            "'changeStreamPreAndPostImages' is not supported"
        );
    }
    super::find::refuse_collation(args.document("collation")?)?;
    let mut options = Document::new();
    if let Some(validator) = args.document("validator")? {
        check_validator(&validator)?;
        options.insert("validator", validator);
    }
    read_validation_options(call, &mut options)?;
    call.write(|txn| match txn.catalog().get(&ns) {
        // Making what is there already, with the same options, is no error.
        Some(existing) if existing.options == options => Ok(()),
        _ => txn.create_collection(&ns, options.clone()).map(|_| ()),
    })?;
    Call::ok(out);
    Ok(())
}

fn check_validator(validator: &Document) -> Result<()> {
    Filter::parse(validator, &Document::new())?;
    if let Ok(schema) = validator.get_document("$jsonSchema") {
        Schema::parse(schema)?;
    }
    Ok(())
}

fn read_validation_options(call: &Call<'_>, options: &mut Document) -> Result<()> {
    let checks: [(&str, &[&str]); 2] = [
        ("validationLevel", &["off", "strict", "moderate"]),
        ("validationAction", &["error", "warn", "errorAndLog"]),
    ];
    for (name, values) in checks {
        if let Some(value) = call.args.string(name)? {
            if !values.contains(&value) {
                bail!(
                    BadValue,
                    "Enumeration value '{value}' for field '{}.{name}' is not a valid value.",
                    call.args.command()
                );
            }
            options.insert(name, value);
        }
    }
    Ok(())
}

/// `drop`.
pub fn drop(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = names::writable_namespace(call.database, call.args.collection()?)?;
    let dropped = call.write(|txn| {
        let Some(collection) = txn.catalog().get(&ns).cloned() else {
            return Ok(None);
        };
        txn.drop_collection(&collection)?;
        Ok(Some(collection.indexes.len()))
    })?;
    call.service.cursors.kill_namespace(&ns);
    match dropped {
        Some(indexes) => insert::finish(
            doc! { "nIndexesWas": i32::try_from(indexes).unwrap_or(i32::MAX), "ns": ns },
            out,
        ),
        None => {
            Call::ok(out);
            Ok(())
        }
    }
}

/// `dropDatabase`.
pub fn drop_database(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let database = call.database;
    let dropped = call.write(|txn| {
        txn.atomically(|txn| {
            let catalog = txn.catalog();
            let collections: Vec<_> = catalog.database(database).cloned().collect();
            for collection in &collections {
                txn.drop_collection(collection)?;
            }
            if !collections.is_empty() {
                txn.record_drop_database(database)?;
            }
            Ok(collections)
        })
    })?;
    for collection in &dropped {
        call.service.cursors.kill_namespace(&collection.ns);
    }
    if dropped.is_empty() {
        Call::ok(out);
        return Ok(());
    }
    insert::finish(doc! { "dropped": database }, out)
}

/// `renameCollection`.
pub fn rename(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    if call.database != "admin" {
        bail!(
            Unauthorized,
            "renameCollection may only be run against the admin database."
        );
    }
    let split = |full: &str| -> Result<String> {
        match full.split_once('.') {
            Some((database, collection)) => {
                names::check_database(database)?;
                names::writable_namespace(database, collection)
            }
            None => bail!(InvalidNamespace, "Invalid namespace specified '{full}'"),
        }
    };
    let from = split(call.args.collection()?)?;
    let Some(to) = call.args.string("to")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'renameCollection.to' is missing but a required field"
        )
    };
    let to = split(to)?;
    let drop_target = call.args.flag("dropTarget")?;
    if from == to {
        bail!(IllegalOperation, "Can't rename a collection to itself");
    }
    call.write(|txn| {
        let catalog = txn.catalog();
        let Some(collection) = catalog.get(&from) else {
            bail!(NamespaceNotFound, "Source collection {from} does not exist")
        };
        txn.atomically(|txn| {
            if let Some(target) = catalog.get(&to) {
                if !drop_target {
                    bail!(NamespaceExists, "target namespace exists");
                }
                txn.drop_collection(target)?;
            }
            txn.rename_collection(collection, &to)
        })
    })?;
    call.service.cursors.kill_namespace(&from);
    Call::ok(out);
    Ok(())
}

/// `collMod`: the validator, and an index's `expireAfterSeconds` and `hidden`.
pub fn coll_mod(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = names::writable_namespace(call.database, call.args.collection()?)?;
    for option in [
        "viewOn",
        "pipeline",
        "cappedSize",
        "cappedMax",
        "expireAfterSeconds",
    ] {
        if call.args.has(option)? {
            bail!(
                CommandNotSupported,
                "collMod with '{option}' is not supported"
            );
        }
    }
    let validator = call.args.document("validator")?;
    if let Some(validator) = &validator {
        check_validator(validator)?;
    }
    let index = call.args.document("index")?;
    let mut changes = Document::new();
    read_validation_options(call, &mut changes)?;
    if let Some(validator) = validator {
        changes.insert("validator", validator);
    }
    let reply = call.write(|txn| {
        let Some(collection) = txn.catalog().get(&ns).cloned() else {
            bail!(NamespaceNotFound, "ns does not exist")
        };
        let mut reply = Document::new();
        if !changes.is_empty() {
            let mut options = collection.options.clone();
            options.extend(changes.clone());
            if options
                .get_document("validator")
                .is_ok_and(Document::is_empty)
            {
                options.remove("validator");
            }
            txn.set_options(&collection, options)?;
        }
        if let Some(index) = &index {
            let collection = match txn.catalog().get(&ns) {
                Some(collection) => collection.clone(),
                None => collection,
            };
            super::indexes::modify(txn, &collection, index, &mut reply)?;
        }
        Ok(reply)
    })?;
    insert::finish(reply, out)
}

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
    let mut spool = Spool::default();
    for document in &documents {
        spool.push(&call.service.store.options.path, encode(document)?)?;
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

fn totals<'a>(collections: impl Iterator<Item = &'a std::sync::Arc<Collection>>) -> (i64, i64) {
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
    let catalog = call.service.store.catalog();
    let Some(collection) = catalog.get(&ns) else {
        return insert::finish(
            doc! { "ns": ns, "size": 0, "count": 0, "storageSize": 0, "nindexes": 0,
            "totalIndexSize": 0, "indexSizes": {}, "scaleFactor": scale, "capped": false },
            out,
        );
    };
    let (docs, bytes) = totals(std::iter::once(collection));
    let indexes: Document = collection
        .indexes
        .iter()
        .map(|index| (index.name.clone(), Bson::Int64(0)))
        .collect();
    insert::finish(
        doc! {
            "ns": ns,
            "size": bytes / scale,
            "count": docs,
            "avgObjSize": if docs > 0 { bytes / docs } else { 0 },
            "storageSize": bytes / scale,
            "capped": false,
            "nindexes": i32::try_from(collection.indexes.len()).unwrap_or(i32::MAX),
            "totalIndexSize": 0_i64,
            "indexSizes": indexes,
            "scaleFactor": scale,
        },
        out,
    )
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
            "storageSize": bytes / scale,
            "indexes": number(indexes as u64),
            "indexSize": 0_i64,
            "totalSize": bytes / scale,
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
        super::indexes::check(connection, collection, &|| call.check_time())
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
