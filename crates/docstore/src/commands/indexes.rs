//! `createIndexes`, `listIndexes`, `dropIndexes`, and changes of an index.

use std::sync::Arc;

use bson::{Bson, Document, RawDocument, doc};
use rusqlite::Connection;

use super::{call::Call, collections, insert, names};
use crate::{
    bail,
    error::{CommandError, Result},
    planner::same_key,
    query::Filter,
    storage::{
        catalog::{Collection, Index},
        keys,
        scan::{self, Access, Counters, Flow, Position},
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
/// Most fields of an index.
const MAX_FIELDS: usize = 32;

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
            for spec in &specs {
                let collection = txn.collection_or_new(&ns)?;
                if is_new(&collection, spec)? {
                    if collection.indexes.len() >= MAX_INDEXES {
                        bail!(
                            CannotCreateIndex,
                            "add index fails, too many indexes for {ns}"
                        );
                    }
                    txn.create_index(&collection, spec.clone())?;
                }
            }
            let after = txn.collection_or_new(&ns)?.indexes.len();
            Ok((made, before, after))
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
fn check_spec(spec: &Document, ignore_unknown: bool) -> Result<Document> {
    let Ok(key) = spec.get_document("key") else {
        bail!(
            FailedToParse,
            "The 'key' field is a required property of an index specification"
        )
    };
    let Ok(name) = spec.get_str("name") else {
        bail!(
            FailedToParse,
            "The 'name' field is a required property of an index specification"
        )
    };
    if name.is_empty() || name == "*" {
        bail!(CannotCreateIndex, "The index name '{name}' is not valid");
    }
    check_key(key)?;
    let mut kept = doc! { "v": 2, "key": key.clone(), "name": name };
    let only_id = key.len() == 1 && key.contains_key("_id");
    for (option, value) in spec {
        match option.as_str() {
            "key" | "name" | "v" | "ns" | "background" | "comment" => {}
            "unique" | "sparse" | "hidden" => {
                if !matches!(
                    value,
                    Bson::Boolean(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_)
                ) {
                    bail!(
                        TypeMismatch,
                        "The field '{option}' has value {value}, which is not convertible to bool"
                    );
                }
                let set = crate::expr::is_truthy(Some(value));
                if set && only_id && option != "unique" {
                    bail!(
                        InvalidIndexSpecificationOption,
                        "The field '{option}' is not valid for an _id index specification."
                    );
                }
                if set && !only_id {
                    kept.insert(option.clone(), true);
                }
            }
            "expireAfterSeconds" => {
                check_ttl(key, value)?;
                kept.insert(option.clone(), value.clone());
            }
            "partialFilterExpression" => {
                let Bson::Document(filter) = value else {
                    bail!(
                        TypeMismatch,
                        "The field 'partialFilterExpression' must be an object"
                    );
                };
                check_partial(filter)?;
                kept.insert(option.clone(), value.clone());
            }
            "collation" => super::find::refuse_collation(value.as_document().cloned())?,
            "weights"
            | "default_language"
            | "language_override"
            | "textIndexVersion"
            | "2dsphereIndexVersion"
            | "bits"
            | "min"
            | "max"
            | "bucketSize"
            | "wildcardProjection"
            | "storageEngine"
            | "dropDups"
            | "clustered"
            | "prepareUnique" => {
                bail!(
                    CannotCreateIndex,
                    "the index option '{option}' is not supported"
                );
            }
            _ if ignore_unknown => {}
            other => bail!(
                InvalidIndexSpecificationOption,
                "The field '{other}' is not valid for an index specification. Specification: {spec}"
            ),
        }
    }
    if kept.contains_key("sparse") && kept.contains_key("partialFilterExpression") {
        bail!(
            CannotCreateIndex,
            "cannot mix \"partialFilterExpression\" and \"sparse\" options"
        );
    }
    Ok(kept)
}

fn check_key(key: &Document) -> Result<()> {
    if key.is_empty() {
        bail!(CannotCreateIndex, "Index keys cannot be empty.");
    }
    if key.len() > MAX_FIELDS {
        bail!(
            CannotCreateIndex,
            "Index key pattern has more than {MAX_FIELDS} fields"
        );
    }
    for (path, direction) in key {
        if path.is_empty() || path.split('.').any(str::is_empty) {
            bail!(
                CannotCreateIndex,
                "Index keys cannot contain an empty field."
            );
        }
        if path == "$**" || path.ends_with(".$**") {
            bail!(
                CannotCreateIndex,
                "wildcard indexes are not supported: {path}"
            );
        }
        if path
            .split('.')
            .any(|part| part.starts_with('$') && !matches!(part, "$ref" | "$id" | "$db"))
        {
            bail!(
                CannotCreateIndex,
                "Index key contains an illegal field name: field name starts with '$'."
            );
        }
        match direction {
            Bson::Int32(n) if *n != 0 => {}
            Bson::Int64(n) if *n != 0 => {}
            Bson::Double(n) if *n != 0.0 && !n.is_nan() => {}
            Bson::String(plugin) => {
                bail!(CannotCreateIndex, "'{plugin}' indexes are not supported")
            }
            Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) => bail!(
                CannotCreateIndex,
                "Values in the index key pattern cannot be 0."
            ),
            other => bail!(
                CannotCreateIndex,
                "Values in v:2 index key pattern cannot be of type {}. Only numbers > 0, numbers < 0, and strings are allowed.",
                crate::value::type_name(other)
            ),
        }
    }
    Ok(())
}

fn check_ttl(key: &Document, value: &Bson) -> Result<()> {
    let seconds = match value {
        Bson::Int32(n) => f64::from(*n),
        Bson::Int64(n) => *n as f64,
        Bson::Double(n) => *n,
        _ => bail!(
            CannotCreateIndex,
            "TTL index 'expireAfterSeconds' option must be numeric"
        ),
    };
    if seconds < 0.0 || seconds > f64::from(i32::MAX) {
        bail!(
            CannotCreateIndex,
            "TTL index 'expireAfterSeconds' option must be within an acceptable range, try a different number than {seconds}"
        );
    }
    if key.len() != 1 {
        bail!(
            CannotCreateIndex,
            "TTL indexes are single-field indexes, compound indexes do not support TTL."
        );
    }
    if key.contains_key("_id") {
        bail!(
            InvalidIndexSpecificationOption,
            "The field 'expireAfterSeconds' is not valid for an _id index specification."
        );
    }
    Ok(())
}

fn check_partial(filter: &Document) -> Result<()> {
    Filter::parse(filter, &Document::new())
        .map_err(|error| CommandError::new(crate::error::Code::CannotCreateIndex, error.message))?;
    for (path, condition) in filter {
        let refused = match condition {
            _ if matches!(
                path.as_str(),
                "$nor" | "$expr" | "$where" | "$text" | "$jsonSchema"
            ) =>
            {
                Some(path.as_str())
            }
            Bson::Document(operators) => operators.keys().map(String::as_str).find(|name| {
                matches!(
                    *name,
                    "$ne" | "$nin" | "$not" | "$regex" | "$elemMatch" | "$mod" | "$size" | "$all"
                )
            }),
            _ => None,
        };
        if let Some(operator) = refused {
            bail!(
                CannotCreateIndex,
                "Expression not supported in partial index: {operator}"
            );
        }
    }
    Ok(())
}

/// Whether the index is to be made; an equal one may be there, one in conflict is an error.
fn is_new(collection: &Collection, spec: &Document) -> Result<bool> {
    let key = spec.get_document("key").cloned().unwrap_or_default();
    let name = spec.get_str("name").unwrap_or_default();
    for index in &collection.indexes {
        let same = same_key(&index.key(), &key);
        if same && index.is_id() {
            return Ok(false);
        }
        let same_options = options_of(&index.spec) == options_of(spec);
        if index.name == name {
            if same && same_options {
                return Ok(false);
            }
            let message = format!(
                "An existing index has the same name as the requested index. When index names are not specified, they are auto generated and can cause conflicts. Please refer to our documentation. Requested index: {spec}, existing index: {}",
                index.spec
            );
            if same {
                bail!(IndexOptionsConflict, "{message}");
            }
            bail!(IndexKeySpecsConflict, "{message}");
        }
        let same_partial =
            index.spec.get("partialFilterExpression") == spec.get("partialFilterExpression");
        if same && same_partial {
            if same_options {
                bail!(
                    IndexOptionsConflict,
                    "Index already exists with a different name: {}",
                    index.name
                );
            }
            bail!(
                IndexOptionsConflict,
                "An equivalent index already exists with the same name but different options. Requested index: {spec}, existing index: {}",
                index.spec
            );
        }
    }
    Ok(true)
}

fn options_of(spec: &Document) -> Vec<(&String, String)> {
    let mut options: Vec<(&String, String)> = spec
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "v" | "key" | "name" | "hidden"))
        .map(|(name, value)| {
            let shown = match value {
                Bson::Int64(n) => n.to_string(),
                Bson::Double(n) => n.to_string(),
                other => other.to_string(),
            };
            (name, shown)
        })
        .collect();
    options.sort();
    options
}

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
    collections::reply_with_cursor(call, &ns, specs, out)
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

/// Reads a collection and compares its indexes with it: documents, keys by index, what is wrong.
pub fn check(
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
            if let Err(error) = crate::wire::validate::check_document(bytes) {
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
