//! `createIndexes`, `listIndexes`, `dropIndexes`, and changes of an index.

mod specs;

use std::sync::Arc;

use bson::{Bson, Document, doc};

use self::specs::{check_spec, check_ttl, is_new};
use super::{call::Call, insert, listings, names};
use crate::{
    bail,
    error::Result,
    planner::same_key,
    storage::{
        catalog::{Collection, Index},
        writer::WriteTxn,
    },
    wire::BsonWriter,
};

/// The fields of `createIndexes`.
pub const CREATE_FIELDS: &[&str] = &[
    "createIndexes",
    "indexes",
    "ignoreUnknownIndexOptions",
    "commitQuorum",
];

/// Most indexes of a collection.
const MAX_INDEXES: usize = 64;

/// `createIndexes`.
pub fn create_indexes(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = names::writable_namespace(call.database, call.args.collection()?)?;
    let Some(specs) = call.args.documents("indexes")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'createIndexes.indexes' is missing but a required field"
        )
    };
    if specs.is_empty() {
        bail!(BadValue, "Must specify at least one index to create");
    }
    let ignore_unknown = call.args.flag("ignoreUnknownIndexOptions")?;
    let specs: Vec<Document> = specs
        .iter()
        .map(|spec| check_spec(spec, ignore_unknown))
        .collect::<Result<_>>()?;
    let (made, before, after) = call.write(|txn| {
        let made = txn.catalog().get(&ns).is_none();
        let before = txn.collection_or_new(&ns)?.indexes.len();
        txn.atomically(|txn| {
            let mut added: Vec<Bson> = Vec::new();
            for spec in &specs {
                let collection = txn.collection_or_new(&ns)?;
                if is_new(&collection, spec)? {
                    added.push(Bson::Document(spec.clone()));
                    if collection.indexes.len() >= MAX_INDEXES {
                        bail!(
                            CannotCreateIndex,
                            "add index fails, too many indexes for {ns}"
                        );
                    }
                    txn.create_index(&collection, spec.clone())?;
                }
            }
            let collection = txn.collection_or_new(&ns)?;
            if !added.is_empty() {
                let details = doc! { "operationDescription": { "indexes": added } };
                txn.record_definition(&collection, "createIndexes", details)?;
            }
            Ok((made, before, collection.indexes.len()))
        })
    })?;
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let mut reply = doc! {
        "numIndexesBefore": number(before),
        "numIndexesAfter": number(after),
        "createdCollectionAutomatically": made,
    };
    if before == after {
        reply.insert("note", "all indexes already exist");
    }
    insert::finish(reply, out)
}

/// Checks a spec and gives it as it is kept.
/// `listIndexes`.
pub fn list_indexes(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = call.namespace()?;
    let catalog = call.service.store.catalog();
    let Some(collection) = catalog.get(&ns) else {
        bail!(NamespaceNotFound, "ns does not exist: {ns}")
    };
    let specs = collection
        .indexes
        .iter()
        .map(|index| index.spec.clone())
        .collect();
    listings::reply_with_cursor(call, &ns, specs, out)
}

/// `dropIndexes`: by name, by key, by a list of names, or all but `_id`.
pub fn drop_indexes(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let ns = names::writable_namespace(call.database, call.args.collection()?)?;
    let Some(which) = call.args.value("index")? else {
        bail!(
            IDLFailedToParse,
            "BSON field 'dropIndexes.index' is missing but a required field"
        )
    };
    let (before, all) = call.write(|txn| {
        let Some(collection) = txn.catalog().get(&ns).cloned() else {
            bail!(NamespaceNotFound, "ns not found {ns}")
        };
        let chosen = choose(&collection, &which)?;
        txn.atomically(|txn| {
            for index in &chosen {
                let collection = txn.collection_or_new(&ns)?;
                txn.drop_index(&collection, index)?;
            }
            if !chosen.is_empty() {
                let specs: Vec<Bson> = chosen
                    .iter()
                    .map(|index| Bson::Document(index.spec.clone()))
                    .collect();
                let details = doc! { "operationDescription": { "indexes": specs } };
                txn.record_definition(&collection, "dropIndexes", details)?;
            }
            Ok((collection.indexes.len(), which == Bson::from("*")))
        })
    })?;
    let mut reply = doc! { "nIndexesWas": i32::try_from(before).unwrap_or(i32::MAX) };
    if all {
        reply.insert("msg", "non-_id indexes dropped for collection");
    }
    insert::finish(reply, out)
}

fn choose(collection: &Collection, which: &Bson) -> Result<Vec<Arc<Index>>> {
    let by_name = |name: &str| -> Result<Arc<Index>> {
        let found = collection.indexes.iter().find(|index| index.name == name);
        match found {
            Some(index) if index.is_id() => bail!(InvalidOptions, "cannot drop _id index"),
            Some(index) => Ok(Arc::clone(index)),
            None => bail!(IndexNotFound, "index not found with name [{name}]"),
        }
    };
    match which {
        Bson::String(name) if name == "*" => Ok(collection
            .indexes
            .iter()
            .filter(|index| !index.is_id())
            .cloned()
            .collect()),
        Bson::String(name) => Ok(vec![by_name(name)?]),
        Bson::Array(names) => names
            .iter()
            .map(|name| match name {
                Bson::String(name) => by_name(name),
                _ => bail!(
                    TypeMismatch,
                    "dropIndexes expects a string or an array of strings"
                ),
            })
            .collect(),
        Bson::Document(key) => {
            let found: Vec<_> = collection
                .indexes
                .iter()
                .filter(|index| same_key(&index.key(), key))
                .collect();
            match found.as_slice() {
                [index] if index.is_id() => bail!(InvalidOptions, "cannot drop _id index"),
                [index] => Ok(vec![Arc::clone(index)]),
                [] => bail!(IndexNotFound, "can't find index with key: {key}"),
                _ => bail!(
                    BadValue,
                    "{} indexes found for key: {key}, identify by name instead.",
                    found.len()
                ),
            }
        }
        _ => bail!(
            TypeMismatch,
            "BSON field 'dropIndexes.index' is the wrong type, expected types '[string, object, array]'"
        ),
    }
}

/// `collMod`'s `index`.
pub fn modify(
    txn: &mut WriteTxn<'_>,
    collection: &Collection,
    request: &Document,
    reply: &mut Document,
) -> Result<()> {
    let found = collection
        .indexes
        .iter()
        .find(|index| match request.get("keyPattern") {
            Some(Bson::Document(key)) => same_key(&index.key(), key),
            _ => request.get_str("name").is_ok_and(|name| index.name == name),
        });
    let Some(index) = found else {
        bail!(
            IndexNotFound,
            "cannot find index {request} for ns {}",
            collection.ns
        )
    };
    let mut changes: Vec<(&str, Bson)> = Vec::new();
    if let Some(seconds) = request.get("expireAfterSeconds") {
        check_ttl(&index.key(), seconds)?;
        if let Some(old) = index.spec.get("expireAfterSeconds") {
            reply.insert("expireAfterSeconds_old", old.clone());
        }
        reply.insert("expireAfterSeconds_new", seconds.clone());
        changes.push(("expireAfterSeconds", seconds.clone()));
    }
    if let Some(hidden) = request.get("hidden") {
        if index.is_id() {
            bail!(BadValue, "can't hide _id index");
        }
        reply.insert("hidden_old", index.hidden);
        reply.insert("hidden_new", hidden.clone());
        changes.push(("hidden", hidden.clone()));
    }
    if changes.is_empty() {
        bail!(
            InvalidOptions,
            "no expireAfterSeconds, hidden or unique field"
        );
    }
    txn.change_index(collection, index, &changes)
}
