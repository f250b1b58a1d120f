//! Moves what earlier versions kept among the plugins' data into the gateway's own database.
//!
//! Earlier versions created their indexes at start, so a collection that has one of them is one that
//! they used. What was theirs in it is told by its shape; whatever else is there is the plugins' and
//! stays. A document is copied, then removed where it came from, so whoever is killed in between
//! leaves both and the next one goes on; the indexes go last. One gateway moves at a time.

use std::{collections::HashSet, time::Duration};

use bson::raw::cstr;
use futures_util::TryStreamExt;
use mongodb::{
    Collection, Database,
    bson::{
        Bson, DateTime, Document, RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, doc,
        oid::ObjectId, rawdoc, spec::ElementType,
    },
    error::{Error, ErrorKind},
};

use super::{StoreError, StoreErrorKind, query::malformed};

/// How long a gateway may go without a sign while it moves.
const LEASE: Duration = Duration::from_secs(60);
const LEASES: &str = "leases";
const LEASE_ID: &str = "moving_own_data";

/// What is copied and removed at a time.
const BATCH_DOCUMENTS: usize = 200;
const BATCH_BYTES: usize = 4 << 20;

const NAMESPACE_NOT_FOUND: i32 = 26;
const DUPLICATE_KEY: i32 = 11000;

/// What stands in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// A string.
    Text,
    /// A string or null.
    TextOrNull,
    /// A string or a document.
    TextOrDocument,
    /// An `ObjectId`.
    ObjectId,
    /// A document.
    Document,
    /// A document whose values are all strings.
    Texts,
    /// An array.
    Array,
    /// True or false.
    Bool,
    /// A moment.
    DateTime,
    /// A whole number.
    Integer,
}

/// A collection that earlier versions kept among the plugins' data, and what its documents look like.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// Its name, then and now.
    pub collection: &'static str,
    /// Fields that each of its documents has.
    pub required: &'static [(&'static str, FieldType)],
    /// Fields that it may have. One with any other is not the gateway's.
    pub optional: &'static [(&'static str, FieldType)],
    /// Its indexes: name and fields.
    pub indexes: &'static [(&'static str, &'static [(&'static str, i32)])],
}

/// Moves what is there.
///
/// # Errors
/// The database's; [`StoreErrorKind::Unavailable`] while another gateway is moving.
pub(super) async fn run(from: &Database, to: &Database, moved: &[Moved]) -> Result<(), StoreError> {
    let mut left = Vec::new();
    for each in moved {
        let indexes = own_indexes(from, each).await?;
        if !indexes.is_empty() {
            left.push((each, indexes));
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    let lease = Lease {
        collection: to.collection(LEASES),
        holder: ObjectId::new(),
    };
    lease.take().await?;
    for (each, indexes) in left {
        let counts = move_collection(from, to, each, &lease).await?;
        for name in indexes {
            ignore_missing(
                from.collection::<Document>(each.collection)
                    .drop_index(name)
                    .await,
            )?;
        }
        tracing::info!(
            collection = each.collection,
            moved = counts.moved,
            kept = counts.kept,
            conflicting = counts.conflicting,
            "the gateway's documents are now in its own database"
        );
    }
    lease.give_back().await
}

/// The indexes of earlier versions that the collection has.
async fn own_indexes(from: &Database, moved: &Moved) -> Result<Vec<String>, StoreError> {
    let collection = from.collection::<Document>(moved.collection);
    let found = match collection.list_indexes().await {
        Ok(found) => found.try_collect::<Vec<_>>().await?,
        Err(error) if code(&error) == Some(NAMESPACE_NOT_FOUND) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let names = found.into_iter().filter_map(|index| {
        let name = index.options?.name?;
        let (_, keys) = moved.indexes.iter().find(|(own, _)| *own == name)?;
        let same = index.keys.len() == keys.len()
            && (index.keys.iter().zip(*keys)).all(|((field, order), (own, own_order))| {
                field == own && number(order) == Some(i64::from(*own_order))
            });
        same.then_some(name)
    });
    Ok(names.collect())
}

#[derive(Default)]
struct Counts {
    moved: usize,
    kept: usize,
    /// The gateway's, but there is another in its place already.
    conflicting: usize,
}

async fn move_collection(
    from: &Database,
    to: &Database,
    moved: &Moved,
    lease: &Lease,
) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut found = from
        .collection::<RawDocumentBuf>(moved.collection)
        .find(doc! { "app_id": { "$type": "string" } })
        .await?;
    while let Some(document) = found.try_next().await? {
        if !moved.is_shape_of(&document) {
            counts.kept += 1;
            continue;
        }
        bytes += document.as_bytes().len();
        batch.push(document);
        if batch.len() >= BATCH_DOCUMENTS || bytes >= BATCH_BYTES {
            lease.take().await?;
            move_batch(from, to, moved.collection, &batch, &mut counts).await?;
            batch.clear();
            bytes = 0;
        }
    }
    move_batch(from, to, moved.collection, &batch, &mut counts).await?;
    Ok(counts)
}

async fn move_batch(
    from: &Database,
    to: &Database,
    name: &str,
    batch: &[RawDocumentBuf],
    counts: &mut Counts,
) -> Result<(), StoreError> {
    if batch.is_empty() {
        return Ok(());
    }
    let target = to.collection::<RawDocumentBuf>(name);
    if let Err(error) = target.insert_many(batch).ordered(false).await
        && !only_duplicates(&error)
    {
        return Err(error.into());
    }
    // What is there under its own id has been copied, now or before; the rest stays where it is.
    let ids: Vec<Bson> = batch
        .iter()
        .filter_map(|document| id_of(document))
        .collect();
    let there: HashSet<String> = to
        .collection::<Document>(name)
        .find(doc! { "_id": { "$in": ids } })
        .projection(doc! { "_id": 1 })
        .await?
        .try_filter_map(async |found| Ok(found.get("_id").map(ToString::to_string)))
        .try_collect()
        .await?;
    let mut deletes = RawArrayBuf::new();
    for document in batch {
        if id_of(document).is_some_and(|id| there.contains(&id.to_string())) {
            deletes.push(rawdoc! { "q": exactly(document)?, "limit": 1 });
            counts.moved += 1;
        } else {
            counts.conflicting += 1;
        }
    }
    if !deletes.is_empty() {
        let mut delete = rawdoc! { "delete": name };
        delete.append(cstr!("deletes"), deletes);
        from.run_raw_command(delete).await?;
    }
    Ok(())
}

/// A filter for the document as it was read: one that has changed since is not removed.
fn exactly(document: &RawDocument) -> Result<RawDocumentBuf, StoreError> {
    let mut filter = RawDocumentBuf::new();
    for field in document {
        let (key, value) = field.map_err(malformed)?;
        let mut equal = RawDocumentBuf::new();
        equal.append(cstr!("$eq"), value);
        filter.append(key, equal);
    }
    Ok(filter)
}

fn id_of(document: &RawDocument) -> Option<Bson> {
    Bson::try_from(document.get("_id").ok()??).ok()
}

impl Moved {
    /// Whether an earlier version of the gateway wrote the document, as far as can be told.
    fn is_shape_of(&self, document: &RawDocument) -> bool {
        let mut required = 0;
        for field in document {
            let Ok((key, value)) = field else {
                return false;
            };
            let named = |fields: &[(&str, FieldType)]| {
                (fields.iter())
                    .find(|(name, _)| *name == key.as_str())
                    .map(|(_, expected)| *expected)
            };
            let expected = match named(self.required) {
                Some(expected) => {
                    required += 1;
                    expected
                }
                None => match named(self.optional) {
                    Some(expected) => expected,
                    None => return false,
                },
            };
            if !expected.is_of(value) {
                return false;
            }
        }
        required == self.required.len()
    }
}

impl FieldType {
    fn is_of(self, value: RawBsonRef<'_>) -> bool {
        let found = value.element_type();
        match self {
            Self::Text => found == ElementType::String,
            Self::TextOrNull => matches!(found, ElementType::String | ElementType::Null),
            Self::TextOrDocument => {
                matches!(found, ElementType::String | ElementType::EmbeddedDocument)
            }
            Self::ObjectId => found == ElementType::ObjectId,
            Self::Document => found == ElementType::EmbeddedDocument,
            Self::Texts => value.as_document().is_some_and(|document| {
                (document.into_iter()).all(|field| matches!(field, Ok((_, RawBsonRef::String(_)))))
            }),
            Self::Array => found == ElementType::Array,
            Self::Bool => found == ElementType::Boolean,
            Self::DateTime => found == ElementType::DateTime,
            Self::Integer => matches!(found, ElementType::Int32 | ElementType::Int64),
        }
    }
}

/// The right to move, for a while.
struct Lease {
    collection: Collection<Document>,
    holder: ObjectId,
}

impl Lease {
    /// Takes it, or keeps it for longer.
    async fn take(&self) -> Result<(), StoreError> {
        let now = DateTime::now();
        let lease = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let until = DateTime::from_millis(now.timestamp_millis().saturating_add(lease));
        let free = doc! {
            "_id": LEASE_ID,
            "$or": [{ "holder": self.holder }, { "until": { "$lte": now } }],
        };
        let change = doc! { "$set": { "holder": self.holder, "until": until } };
        match self.collection.update_one(free, change).upsert(true).await {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some(DUPLICATE_KEY) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "another gateway is moving the gateway's own data",
            )),
            Err(error) => Err(error.into()),
        }
    }

    async fn give_back(&self) -> Result<(), StoreError> {
        let mine = doc! { "_id": LEASE_ID, "holder": self.holder };
        self.collection.delete_one(mine).await?;
        Ok(())
    }
}

fn code(error: &Error) -> Option<i32> {
    StoreError::from(error.clone()).code
}

fn number(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) if number.to_bits() == 1f64.to_bits() => Some(1),
        Bson::Double(number) if number.to_bits() == (-1f64).to_bits() => Some(-1),
        _ => None,
    }
}

fn only_duplicates(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::InsertMany(many) => {
            many.write_concern_error.is_none()
                && (many.write_errors.as_ref())
                    .is_some_and(|errors| errors.iter().all(|each| each.code == DUPLICATE_KEY))
        }
        _ => false,
    }
}

fn ignore_missing(result: Result<(), Error>) -> Result<(), StoreError> {
    const INDEX_NOT_FOUND: i32 = 27;
    match result {
        Err(error) if matches!(code(&error), Some(INDEX_NOT_FOUND | NAMESPACE_NOT_FOUND)) => Ok(()),
        other => Ok(other?),
    }
}
