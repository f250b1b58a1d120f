//! `find` and `aggregate` of plugins, run by the driver's own cursors.
//!
//! The driver retries them, keeps their session and server, and hands over each batch as the bytes
//! that came from the server.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use mongodb::{
    Database,
    bson::{Bson, Document, RawBsonRef, RawDocument},
    options::{AggregateOptions, Collation, FindOptions, Hint, ReadConcern, WriteConcern},
    raw_batch_cursor::{RawBatch, RawBatchCursor},
};

use super::{StoreError, StoreErrorKind};

/// The first batch as the server sent it, and the cursor where there is more.
pub(super) struct FirstBatch {
    pub(super) reply: Bytes,
    pub(super) more: Option<(i64, RawBatchCursor)>,
}

/// Runs a `find` command.
pub(super) async fn find(
    database: &Database,
    command: &RawDocument,
) -> Result<FirstBatch, StoreError> {
    let mut collection = None;
    let mut filter = Document::new();
    let mut options = FindOptions::default();
    let mut single_batch = false;
    for field in command {
        let (key, value) = field.map_err(malformed)?;
        match key.as_str() {
            "find" => collection = Some(text(value)?.to_owned()),
            "filter" => filter = document(value)?,
            "sort" => options.sort = Some(document(value)?),
            "projection" => options.projection = Some(document(value)?),
            "hint" => options.hint = Some(hint(value)?),
            "skip" => options.skip = Some(unsigned(key.as_str(), value)?),
            "limit" => options.limit = Some(integer(key.as_str(), value)?),
            "batchSize" => options.batch_size = Some(small(key.as_str(), value)?),
            "singleBatch" => single_batch = flag(value),
            "comment" => options.comment = Some(any(value)?),
            "maxTimeMS" => options.max_time = millis(key.as_str(), value)?,
            "max" => options.max = Some(document(value)?),
            "min" => options.min = Some(document(value)?),
            "returnKey" => options.return_key = Some(flag(value)),
            "showRecordId" => options.show_record_id = Some(flag(value)),
            "noCursorTimeout" => options.no_cursor_timeout = Some(flag(value)),
            "allowPartialResults" => options.allow_partial_results = Some(flag(value)),
            "allowDiskUse" => options.allow_disk_use = Some(flag(value)),
            "collation" => options.collation = Some(collation(value)?),
            "let" => options.let_vars = Some(document(value)?),
            "readConcern" => options.read_concern = Some(read_concern(value)?),
            other => return Err(unknown(other)),
        }
    }
    if single_batch {
        // The driver's way to say it.
        options.limit = options.limit.map(|limit| -limit.abs());
    }
    let collection = collection.ok_or_else(|| invalid("`find` needs a collection"))?;
    let cursor = database
        .collection::<Document>(&collection)
        .find(filter)
        .with_options(options)
        .batch()
        .await?;
    first_batch(cursor).await
}

/// Runs an `aggregate` command.
pub(super) async fn aggregate(
    database: &Database,
    command: &RawDocument,
) -> Result<FirstBatch, StoreError> {
    let mut collection = None;
    let mut pipeline = Vec::new();
    let mut options = AggregateOptions::default();
    for field in command {
        let (key, value) = field.map_err(malformed)?;
        match key.as_str() {
            // A number stands for the database itself.
            "aggregate" => collection = value.as_str().map(ToOwned::to_owned),
            "pipeline" => {
                let stages = (value.as_array())
                    .ok_or_else(|| invalid("`pipeline` must be an array of stages"))?;
                for stage in stages {
                    pipeline.push(document(stage.map_err(malformed)?)?);
                }
            }
            "cursor" => {
                let cursor =
                    (value.as_document()).ok_or_else(|| invalid("`cursor` must be a document"))?;
                if let Some(size) = cursor.get("batchSize").map_err(malformed)? {
                    options.batch_size = Some(small("batchSize", size)?);
                }
            }
            "comment" => options.comment = Some(any(value)?),
            "hint" => options.hint = Some(hint(value)?),
            "maxTimeMS" => options.max_time = millis(key.as_str(), value)?,
            "allowDiskUse" => options.allow_disk_use = Some(flag(value)),
            "bypassDocumentValidation" => {
                options.bypass_document_validation = Some(flag(value));
            }
            "collation" => options.collation = Some(collation(value)?),
            "let" => options.let_vars = Some(document(value)?),
            "readConcern" => options.read_concern = Some(read_concern(value)?),
            "writeConcern" => options.write_concern = Some(write_concern(value)?),
            other => return Err(unknown(other)),
        }
    }
    let cursor = match collection {
        Some(name) => {
            let collection = database.collection::<Document>(&name);
            collection
                .aggregate(pipeline)
                .with_options(options)
                .batch()
                .await?
        }
        None => {
            database
                .aggregate(pipeline)
                .with_options(options)
                .batch()
                .await?
        }
    };
    first_batch(cursor).await
}

/// Reads the next batch; gives the cursor back where there is more.
pub(super) async fn next_batch(
    mut cursor: RawBatchCursor,
) -> Result<(Bytes, Option<RawBatchCursor>), StoreError> {
    let batch = match cursor.next().await {
        Some(batch) => batch?,
        None => return Err(invalid("the cursor has ended")),
    };
    let has_more = cursor_id(&batch) != 0;
    Ok((bytes_of(&batch), has_more.then_some(cursor)))
}

async fn first_batch(mut cursor: RawBatchCursor) -> Result<FirstBatch, StoreError> {
    let batch = match cursor.next().await {
        Some(batch) => batch?,
        None => return Err(StoreError::new(StoreErrorKind::Other, "an empty answer")),
    };
    let id = cursor_id(&batch);
    Ok(FirstBatch {
        reply: bytes_of(&batch),
        more: (id != 0).then_some((id, cursor)),
    })
}

fn bytes_of(batch: &RawBatch) -> Bytes {
    Bytes::copy_from_slice(batch.as_raw_document().as_bytes())
}

fn cursor_id(batch: &RawBatch) -> i64 {
    batch
        .as_raw_document()
        .get_document("cursor")
        .and_then(|cursor| cursor.get_i64("id"))
        .unwrap_or(0)
}

fn document(value: RawBsonRef<'_>) -> Result<Document, StoreError> {
    let raw = value
        .as_document()
        .ok_or_else(|| invalid("a document was expected"))?;
    Document::try_from(raw).map_err(malformed)
}

fn any(value: RawBsonRef<'_>) -> Result<Bson, StoreError> {
    Bson::try_from(value).map_err(malformed)
}

fn hint(value: RawBsonRef<'_>) -> Result<Hint, StoreError> {
    match value.as_str() {
        Some(name) => Ok(Hint::Name(name.to_owned())),
        None => Ok(Hint::Keys(document(value)?)),
    }
}

fn collation(value: RawBsonRef<'_>) -> Result<Collation, StoreError> {
    mongodb::bson::deserialize_from_document(document(value)?).map_err(malformed)
}

fn read_concern(value: RawBsonRef<'_>) -> Result<ReadConcern, StoreError> {
    mongodb::bson::deserialize_from_document(document(value)?).map_err(malformed)
}

fn write_concern(value: RawBsonRef<'_>) -> Result<WriteConcern, StoreError> {
    mongodb::bson::deserialize_from_document(document(value)?).map_err(malformed)
}

fn text<'a>(value: RawBsonRef<'a>) -> Result<&'a str, StoreError> {
    value.as_str().ok_or_else(|| invalid("a name was expected"))
}

fn flag(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Boolean(flag) => flag,
        RawBsonRef::Int32(number) => number != 0,
        RawBsonRef::Int64(number) => number != 0,
        RawBsonRef::Double(number) => number != 0.0,
        _ => false,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the number was checked to be whole and small enough"
)]
fn integer(key: &str, value: RawBsonRef<'_>) -> Result<i64, StoreError> {
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        RawBsonRef::Int32(number) => Ok(i64::from(number)),
        RawBsonRef::Int64(number) => Ok(number),
        RawBsonRef::Double(number) if number.fract() == 0.0 && number.abs() < LARGEST_EXACT => {
            Ok(number as i64)
        }
        _ => Err(invalid(format!("`{key}` must be a whole number"))),
    }
}

fn unsigned(key: &str, value: RawBsonRef<'_>) -> Result<u64, StoreError> {
    u64::try_from(integer(key, value)?)
        .map_err(|_| invalid(format!("`{key}` must not be negative")))
}

fn small(key: &str, value: RawBsonRef<'_>) -> Result<u32, StoreError> {
    let number = integer(key, value)?;
    (i32::try_from(number).ok())
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| invalid(format!("`{key}` must be between 0 and {}", i32::MAX)))
}

/// Zero means no limit, as on the server.
fn millis(key: &str, value: RawBsonRef<'_>) -> Result<Option<Duration>, StoreError> {
    let millis = unsigned(key, value)?;
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

fn unknown(option: &str) -> StoreError {
    invalid(format!("the option `{option}` is not supported here"))
}

pub(super) fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

pub(super) fn malformed(error: mongodb::bson::error::Error) -> StoreError {
    invalid(format!("the command is not valid BSON: {error}"))
}
