//! Where a pipeline may run: stages that have no place in a transaction or in a change stream.

use bson::Bson;

use super::call::Call;
use crate::{bail, error::Result};

/// The stages that may follow `$changeStream`.
const IN_CHANGE_STREAMS: &[&str] = &[
    "$changeStream",
    "$match",
    "$project",
    "$addFields",
    "$set",
    "$unset",
    "$replaceRoot",
    "$replaceWith",
    "$redact",
    "$changeStreamSplitLargeEvent",
];

/// Stages that write, or that do not read documents of a snapshot.
const NOT_IN_TRANSACTIONS: &[&str] = &[
    "$out",
    "$merge",
    "$changeStream",
    "$collStats",
    "$currentOp",
    "$indexStats",
    "$listLocalSessions",
    "$listSessions",
    "$planCacheStats",
];

/// Refuses a pipeline with a stage that may not stand where the call wants it.
pub fn check_stages(call: &Call<'_>, stages: &[Bson]) -> Result<()> {
    let names: Vec<&str> = stages
        .iter()
        .filter_map(|stage| stage.as_document()?.keys().next())
        .map(String::as_str)
        .collect();
    if call.transaction.is_some()
        && let Some(name) = names.iter().find(|name| NOT_IN_TRANSACTIONS.contains(name))
    {
        bail!(
            OperationNotSupportedInTransaction,
            "Operation not permitted in transaction :: caused by :: Stage not supported inside of a multi-document transaction: {name}"
        );
    }
    if names.first() == Some(&"$changeStream")
        && let Some(name) = names.iter().find(|name| !IN_CHANGE_STREAMS.contains(name))
    {
        bail!(
            IllegalOperation,
            "{name} is not permitted in a $changeStream pipeline"
        );
    }
    Ok(())
}
