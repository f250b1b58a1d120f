//! Indexes that the gateway's collections need, declared beside them.

use std::time::Duration;

use mongodb::{
    Database, IndexModel,
    bson::{Document, doc},
    error::ErrorKind,
    options::IndexOptions,
};

use super::StoreError;

/// A collection of the gateway and its indexes.
#[derive(Debug, Clone, Copy)]
pub struct CollectionSpec {
    /// The collection's name.
    pub name: &'static str,
    /// Its indexes beside that on `_id`.
    pub indexes: &'static [IndexSpec],
}

/// An index.
#[derive(Debug, Clone, Copy)]
pub struct IndexSpec {
    /// Its name. A changed index needs another name.
    pub name: &'static str,
    /// Fields, each with 1 (ascending) or -1.
    pub keys: &'static [(&'static str, i32)],
    /// Whether two documents may not have the same values.
    pub unique: bool,
    /// Documents go this long after the time in the (only) field.
    pub expire_after: Option<Duration>,
    /// Only documents that have this field are in the index.
    pub only_where_present: Option<&'static str>,
}

/// Creates what is missing. An index that exists already is left as it is; one that the data does
/// not allow is reported and does not keep the gateway from working.
pub(super) async fn create(
    database: &Database,
    declared: &[CollectionSpec],
) -> Result<(), StoreError> {
    for spec in declared {
        let collection = database.collection::<Document>(spec.name);
        for index in spec.indexes {
            let Err(error) = collection.create_index(model(index)).await else {
                continue;
            };
            if !matches!(&*error.kind, ErrorKind::Command(_)) {
                return Err(error.into());
            }
            let error = StoreError::from(error);
            if error.kind == super::StoreErrorKind::Unavailable {
                return Err(error);
            }
            tracing::error!(
                collection = spec.name,
                index = index.name,
                error = %error,
                "an index could not be created"
            );
        }
    }
    Ok(())
}

fn model(index: &IndexSpec) -> IndexModel {
    let mut keys = doc! {};
    for (field, direction) in index.keys {
        keys.insert(*field, *direction);
    }
    let mut options = IndexOptions::default();
    options.name = Some(index.name.into());
    options.unique = index.unique.then_some(true);
    options.expire_after = index.expire_after;
    options.partial_filter_expression = index
        .only_where_present
        .map(|field| doc! { field: { "$exists": true } });
    let mut model = IndexModel::default();
    model.keys = keys;
    model.options = Some(options);
    model
}
