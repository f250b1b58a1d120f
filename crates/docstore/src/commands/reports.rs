//! `$collStats`, `$indexStats`, `$currentOp` and `$listLocalSessions`: first stages that report on the server.

use std::sync::atomic::Ordering;

use bson::{Bson, DateTime, Document, doc};
use rusqlite::Connection;

use super::{call::Call, measures};
use crate::{
    bail,
    error::Result,
    storage::catalog::{Catalog, Collection},
};

/// The documents that the stage `name` gives.
pub fn report(
    call: &Call<'_>,
    connection: &Connection,
    catalog: &Catalog,
    ns: &str,
    (name, argument): (&str, &Bson),
) -> Result<Vec<Document>> {
    let Bson::Document(options) = argument else {
        bail!(
            FailedToParse,
            "{name} must take a nested object but found: {argument}"
        )
    };
    match name {
        "$collStats" => {
            coll_stats(call, connection, catalog.get(ns), ns, options).map(|found| vec![found])
        }
        "$indexStats" => {
            if !options.is_empty() {
                bail!(
                    InvalidOptions,
                    "The $indexStats stage specification must be an empty object"
                );
            }
            let collection = catalog.get(ns);
            Ok(collection.map_or_else(Vec::new, |collection| index_stats(call, collection)))
        }
        "$currentOp" => current_op(call, options),
        "$listLocalSessions" => list_local_sessions(call, options),
        other => bail!(CommandNotSupported, "{other} is not supported"),
    }
}

fn coll_stats(
    call: &Call<'_>,
    connection: &Connection,
    collection: Option<&std::sync::Arc<Collection>>,
    ns: &str,
    options: &Document,
) -> Result<Document> {
    let mut report = doc! {
        "ns": ns,
        "host": &call.connection.local_address,
        "localTime": DateTime::now(),
    };
    for (option, argument) in options {
        let Bson::Document(argument) = argument else {
            bail!(
                TypeMismatch,
                "$collStats' '{option}' must be an object, but is {argument}"
            )
        };
        match option.as_str() {
            "count" => match collection {
                Some(collection) => report.insert("count", collection.count()),
                None => bail!(
                    NamespaceNotFound,
                    "Unable to retrieve count in $collStats stage :: caused by :: Collection [{ns}] not found."
                ),
            },
            "storageStats" => {
                let scale = match argument.get("scale") {
                    None => 1,
                    Some(scale) => match super::listings::as_count(scale) {
                        Some(scale) if scale > 0 => i64::try_from(scale).unwrap_or(i64::MAX),
                        _ => bail!(BadValue, "$collStats' 'scale' must be at least 1"),
                    },
                };
                report.insert(
                    "storageStats",
                    measures::of_collection(connection, collection, scale)?,
                )
            }
            "latencyStats" | "queryExecStats" | "operationStats" => bail!(
                CommandNotSupported,
                "$collStats' '{option}' is not supported: times and scans are not counted by collection"
            ),
            other => bail!(
                IDLUnknownField,
                "BSON field '$collStats.{other}' is an unknown field."
            ),
        };
    }
    Ok(report)
}

fn index_stats(call: &Call<'_>, collection: &Collection) -> Vec<Document> {
    let indexes = collection.indexes.iter();
    indexes
        .map(|index| {
            let ops = index.uses.count.load(Ordering::Relaxed);
            doc! {
                "name": &index.name,
                "key": index.key(),
                "host": &call.connection.local_address,
                "accesses": {
                    "ops": i64::try_from(ops).unwrap_or(i64::MAX),
                    "since": index.uses.since,
                },
                "spec": index.spec.clone(),
            }
        })
        .collect()
}

fn list_local_sessions(call: &Call<'_>, options: &Document) -> Result<Vec<Document>> {
    for option in options.keys() {
        match option.as_str() {
            // All users are one.
            "allUsers" => {}
            "users" | "$_internalPredicate" => bail!(
                CommandNotSupported,
                "$listLocalSessions' '{option}' is not supported"
            ),
            other => bail!(
                IDLUnknownField,
                "BSON field '$listLocalSessions.{other}' is an unknown field."
            ),
        }
    }
    let user = call.service.config.user.as_ref();
    Ok(call.service.sessions.describe(user.map(|user| user.name())))
}

/// Refuses what is asked for beyond commands under way.
fn current_op(call: &Call<'_>, options: &Document) -> Result<Vec<Document>> {
    for (option, wanted) in options {
        let wanted = match wanted {
            Bson::Boolean(wanted) => *wanted,
            other => bail!(
                FailedToParse,
                "The '{option}' parameter of the $currentOp stage must be a boolean value, but found: {other}"
            ),
        };
        match option.as_str() {
            // All users are one.
            "allUsers" | "localOps" | "truncateOps" => {}
            "idleConnections" | "idleCursors" | "idleSessions" | "backtrace" | "targetAllNodes" => {
                if wanted {
                    bail!(
                        CommandNotSupported,
                        "$currentOp's '{option}' is not supported"
                    );
                }
            }
            other => bail!(
                FailedToParse,
                "Unrecognized option '{other}' in $currentOp stage."
            ),
        }
    }
    Ok(call.service.operations.describe())
}
