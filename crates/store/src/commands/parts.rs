//! What stands in a command.

use mongodb::bson::{RawArray, RawBsonRef, RawDocument};

use crate::{
    StoreError,
    query::{invalid, malformed},
};

/// Numbers of cursors or sessions.
pub(super) fn ids(command: &RawDocument, field: &str) -> Result<Vec<i64>, StoreError> {
    let wrong = || invalid(format!("`{field}` must be an array of 64-bit numbers"));
    let ids = command.get_array(field).map_err(|_| wrong())?;
    ids.into_iter()
        .map(|id| id.map_err(malformed)?.as_i64().ok_or_else(wrong))
        .collect()
}

/// Whether a pipeline is to be explained and not run.
pub(super) fn explains(command: &RawDocument) -> bool {
    matches!(command.get("explain"), Ok(Some(RawBsonRef::Boolean(true))))
}

/// Whether every part of the write changes one document at most: what servers can remember.
pub(super) fn may_be_numbered(name: &str, command: &RawDocument) -> bool {
    let all = |key: &str, is_single: &dyn Fn(&RawDocument) -> bool| {
        command.get_array(key).is_ok_and(|parts: &RawArray| {
            parts
                .into_iter()
                .all(|part| matches!(part, Ok(RawBsonRef::Document(part)) if is_single(part)))
        })
    };
    match name {
        "insert" | "findAndModify" | "findandmodify" => true,
        "update" => all("updates", &|part| {
            !matches!(part.get("multi"), Ok(Some(RawBsonRef::Boolean(true))))
        }),
        "delete" => all("deletes", &|part| {
            matches!(
                part.get("limit"),
                Ok(Some(RawBsonRef::Int32(1) | RawBsonRef::Int64(1)))
            )
        }),
        _ => false,
    }
}
