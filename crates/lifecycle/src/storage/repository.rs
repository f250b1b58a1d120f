//! Values in the database: one document a key. A value is kept as JSON text, so that it comes back
//! exactly as it was; a number is kept as a number, so that the database can add to it.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt as _;
use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc},
    options::ReturnDocument,
};
use serde_json::{Number, Value};

use super::{Entry, Owner};
use crate::error::LifeError;
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError, StoreErrorKind};

pub(super) const COLLECTION: CollectionSpec = CollectionSpec {
    name: "plugin_data",
    indexes: &[
        IndexSpec {
            name: "app_plugin_key",
            keys: &[("app_id", 1), ("plugin", 1), ("key", 1)],
            unique: true,
            expire_after: None,
            only_where_present: None,
        },
        IndexSpec {
            name: "expires_at",
            keys: &[("expires_at", 1)],
            unique: false,
            expire_after: Some(Duration::ZERO),
            only_where_present: None,
        },
    ],
};

/// How often two first writes of a key may meet before it is given up.
const ATTEMPTS: usize = 5;

pub(super) struct Repository {
    store: Arc<Store>,
}

impl Repository {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    pub(super) async fn find(
        &self,
        owner: Owner<'_>,
        key: &str,
    ) -> Result<Option<Value>, LifeError> {
        let found = self
            .collection()?
            .find_one(living(filter(owner, key)))
            .await
            .map_err(|error| self.store.failed(error))?;
        found.as_ref().map(value_of).transpose()
    }

    pub(super) async fn save(
        &self,
        owner: Owner<'_>,
        key: &str,
        value: &Value,
        text: &str,
        ttl: Option<Duration>,
    ) -> Result<(), LifeError> {
        let mut set = doc! {
            "value": stored(value, text),
            "bytes": bson_count(text.len()),
            "updated_at": DateTime::now(),
        };
        let mut update = doc! {};
        match ttl {
            Some(ttl) => {
                set.insert("expires_at", after(ttl));
            }
            None => {
                update.insert("$unset", doc! { "expires_at": "" });
            }
        }
        update.insert("$set", set);
        let collection = self.collection()?;
        let once = || {
            collection
                .update_one(filter(owner, key), update.clone())
                .upsert(true)
        };
        match once().await.map_err(|error| self.store.failed(error)) {
            // Two first writes of a key met; the document exists now.
            Err(error) if error.kind == StoreErrorKind::Conflict => {
                once().await.map_err(|error| self.store.failed(error))?;
            }
            other => {
                other?;
            }
        }
        Ok(())
    }

    pub(super) async fn delete(&self, owner: Owner<'_>, key: &str) -> Result<bool, LifeError> {
        let deleted = self
            .collection()?
            .find_one_and_delete(filter(owner, key))
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(deleted.is_some_and(|document| !has_expired(&document)))
    }

    pub(super) async fn list(
        &self,
        owner: Owner<'_>,
        prefix: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Vec<Entry>, LifeError> {
        let mut key = doc! { "$gte": prefix };
        if let Some(end) = end_of_prefix(prefix) {
            key.insert("$lt", end);
        }
        if let Some(cursor) = cursor.filter(|cursor| *cursor >= prefix) {
            key.remove("$gte");
            key.insert("$gt", cursor);
        }
        let wanted = living(doc! { "app_id": owner.app_id, "plugin": owner.plugin, "key": key });
        let documents: Vec<Document> = self
            .collection()?
            .find(wanted)
            .sort(doc! { "key": 1 })
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        documents
            .iter()
            .map(|document| {
                Ok(Entry {
                    key: document.get_str("key").unwrap_or_default().to_owned(),
                    value: value_of(document)?,
                    expires_at: document
                        .get_datetime("expires_at")
                        .ok()
                        .and_then(|at| at.try_to_rfc3339_string().ok()),
                })
            })
            .collect()
    }

    pub(super) async fn increment(
        &self,
        owner: Owner<'_>,
        key: &str,
        by: &Number,
    ) -> Result<Value, LifeError> {
        let collection = self.collection()?;
        let addend = number(by).ok_or_else(|| LifeError::invalid(format!("{by} is too large")))?;
        let mut wanted = filter(owner, key);
        wanted.insert("value", doc! { "$type": "number" });
        for _ in 0..ATTEMPTS {
            // What has expired and was not yet taken away counts as missing.
            let mut gone = filter(owner, key);
            gone.insert("expires_at", doc! { "$lte": DateTime::now() });
            collection
                .delete_one(gone)
                .await
                .map_err(|error| self.store.failed(error))?;
            let updated = collection
                .find_one_and_update(
                    wanted.clone(),
                    doc! {
                        "$inc": { "value": addend.clone() },
                        "$set": { "updated_at": DateTime::now() },
                    },
                )
                .return_document(ReturnDocument::After)
                .await
                .map_err(|error| self.store.failed(error))?;
            if let Some(document) = updated {
                return value_of(&document);
            }
            let mut first = filter(owner, key);
            first.insert("value", addend.clone());
            first.insert("bytes", 8);
            first.insert("updated_at", DateTime::now());
            match collection
                .insert_one(first)
                .await
                .map_err(|error| self.store.failed(error))
            {
                Ok(_) => return Ok(Value::Number(by.clone())),
                Err(error) if error.kind == StoreErrorKind::Conflict => {
                    if self
                        .find(owner, key)
                        .await?
                        .is_some_and(|value| !value.is_number())
                    {
                        return Err(LifeError::Invalid {
                            message: format!("the value of {key:?} is no number"),
                            path: Some("key".into()),
                        });
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::new(
            StoreErrorKind::Conflict,
            format!("the value of {key:?} changes all the time"),
        )
        .into())
    }

    pub(super) async fn usage(&self, owner: Owner<'_>) -> Result<(u64, u64), LifeError> {
        let pipeline = vec![
            doc! { "$match": { "app_id": owner.app_id, "plugin": owner.plugin } },
            doc! { "$group": {
                "_id": Bson::Null,
                "count": { "$sum": 1_i64 },
                "bytes": { "$sum": { "$add": ["$bytes", { "$strLenBytes": "$key" }] } },
            } },
        ];
        let mut found = self
            .collection()?
            .aggregate(pipeline)
            .await
            .map_err(|error| self.store.failed(error))?;
        let sums = found
            .try_next()
            .await
            .map_err(|error| self.store.failed(error))?;
        let number = |name: &str| {
            let value = sums.as_ref().and_then(|sums| sums.get(name));
            let number = match value {
                Some(Bson::Int32(number)) => i64::from(*number),
                Some(Bson::Int64(number)) => *number,
                _ => 0,
            };
            u64::try_from(number).unwrap_or(0)
        };
        Ok((number("count"), number("bytes")))
    }

    pub(super) async fn clear(&self, owner: Owner<'_>) -> Result<u64, LifeError> {
        let deleted = self
            .collection()?
            .delete_many(doc! { "app_id": owner.app_id, "plugin": owner.plugin })
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(deleted.deleted_count)
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

fn filter(owner: Owner<'_>, key: &str) -> Document {
    doc! { "app_id": owner.app_id, "plugin": owner.plugin, "key": key }
}

/// The database takes what has expired away within a minute; until then it is not seen.
fn living(mut filter: Document) -> Document {
    filter.insert(
        "$or",
        vec![
            doc! { "expires_at": { "$exists": false } },
            doc! { "expires_at": { "$gt": DateTime::now() } },
        ],
    );
    filter
}

fn has_expired(document: &Document) -> bool {
    document
        .get_datetime("expires_at")
        .is_ok_and(|at| *at <= DateTime::now())
}

fn after(ttl: Duration) -> DateTime {
    let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_millis(DateTime::now().timestamp_millis().saturating_add(millis))
}

/// The first text after all that begin with `prefix`; `None` where all do.
fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        let next = (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32);
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

fn stored(value: &Value, text: &str) -> Bson {
    match value {
        Value::Number(found) => number(found).unwrap_or_else(|| Bson::String(text.into())),
        _ => Bson::String(text.into()),
    }
}

/// As the database adds it, where that is exact.
fn number(number: &Number) -> Option<Bson> {
    if let Some(whole) = number.as_i64() {
        return Some(Bson::Int64(whole));
    }
    if number.is_u64() {
        return None;
    }
    number
        .as_f64()
        .filter(|found| found.is_finite())
        .map(Bson::Double)
}

fn value_of(document: &Document) -> Result<Value, LifeError> {
    let damaged = |reason: String| {
        LifeError::Store(StoreError::new(
            StoreErrorKind::Other,
            format!("a stored value is damaged: {reason}"),
        ))
    };
    match document.get("value") {
        Some(Bson::String(text)) => {
            serde_json::from_str(text).map_err(|error| damaged(error.to_string()))
        }
        Some(Bson::Int32(whole)) => Ok(Value::from(*whole)),
        Some(Bson::Int64(whole)) => Ok(Value::from(*whole)),
        Some(Bson::Double(found)) => Number::from_f64(*found)
            .map(Value::Number)
            .ok_or_else(|| damaged(format!("{found} is no number of JSON"))),
        other => Err(damaged(format!("it is {other:?}"))),
    }
}

fn bson_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
