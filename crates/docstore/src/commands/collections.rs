//! Collections and databases: making, changing, dropping.

use std::sync::Arc;

use bson::{Document, doc};

use super::{call::Call, insert, names};
use crate::{bail, error::Result, query::Filter, schema::Schema, wire::BsonWriter};

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
    refuse_create_options(call)?;
    let mut options = Document::new();
    if let Some(validator) = args.document("validator")? {
        check_validator(&validator)?;
        options.insert("validator", validator);
    }
    read_validation_options(call, &mut options)?;
    let in_transaction = call.transaction.is_some();
    call.write(|txn| match txn.catalog().get(&ns) {
        // Making what is there already, with the same options, is no error; but in a transaction.
        Some(existing) if existing.options == options && !in_transaction => Ok(()),
        _ => txn.create_collection(&ns, options.clone()).map(|_| ()),
    })?;
    Call::ok(out);
    Ok(())
}

/// Options that change nothing here, or are for another kind of collection.
fn refuse_create_options(call: &Call<'_>) -> Result<()> {
    let args = &call.args;
    if args.has("size")? || args.has("max")? {
        bail!(
            InvalidOptions,
            "the 'capped' field needs to be true when either the 'size' or 'max' fields are present"
        );
    }
    if args.has("pipeline")? {
        bail!(
            InvalidOptions,
            "'pipeline' requires 'viewOn' to also be specified"
        );
    }
    if args.optional_flag("autoIndexId")? == Some(false) {
        bail!(
            InvalidOptions,
            "autoIndexId: false is not supported: every collection has an _id index"
        );
    }
    for option in ["storageEngine", "indexOptionDefaults", "idIndex"] {
        let given = args.document(option).ok().flatten().unwrap_or_default();
        let plain_id = option == "idIndex"
            && given.get("collation").is_none()
            && given
                .get_document("key")
                .is_ok_and(|key| crate::planner::same_key(key, &doc! { "_id": 1 }));
        if args.has(option)? && !given.is_empty() && !plain_id {
            bail!(
                CommandNotSupported,
                "the option '{option}' of create is not supported"
            );
        }
    }
    if args.flag("temp")? {
        bail!(
            CommandNotSupported,
            "the option 'temp' of create is not supported"
        );
    }
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
        ("validationAction", &["error", "warn"]),
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
    let images = call.args.document("changeStreamPreAndPostImages")?;
    if images.is_some_and(|images| images.get_bool("enabled").unwrap_or(false)) {
        bail!(
            CommandNotSupported,
            "'changeStreamPreAndPostImages' is not supported"
        );
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
                None => Arc::clone(&collection),
            };
            super::indexes::modify(txn, &collection, index, &mut reply)?;
        }
        let mut description = changes.clone();
        if let Some(index) = &index {
            description.insert("index", index.clone());
        }
        let details = doc! {
            "operationDescription": description,
            "stateBeforeChange": { "collectionOptions": collection.options.clone() },
        };
        txn.record_definition(&collection, "modify", details)?;
        Ok(reply)
    })?;
    insert::finish(reply, out)
}
