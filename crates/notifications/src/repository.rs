//! The notifications' collections. The only place of this part that speaks to the database.

mod broadcasts;
mod codes;
mod digests;
mod people;

use std::{sync::Arc, time::Duration};

use bson::{DateTime, Document, doc, oid::ObjectId};
use futures_util::TryStreamExt;
use mongodb::{Collection, Cursor as DatabaseCursor, error::Result as DatabaseResult};

use super::model::{Notification, NotificationError};
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError, StoreErrorKind};

pub(super) use codes::PendingCode;
pub(super) use digests::{ids_in, ids_of};
pub(super) use people::{PushSubscription, Seen};

const NOTIFICATIONS: &str = "notifications";
const PREFERENCES: &str = "notification_preferences";
/// The job queue's collection.
pub(super) const JOBS: &str = "notification_jobs";
const BROADCASTS: &str = "notification_broadcasts";
const USERS: &str = "notification_users";
const SUBSCRIPTIONS: &str = "push_subscriptions";
const CODES: &str = "notification_codes";

/// How often a dedup_key is tried for while others take it and give it up.
const MAX_DEDUP_ROUNDS: usize = 8;
const DAYS_30: Duration = Duration::from_secs(30 * 24 * 3600);

const PLAIN: IndexSpec = IndexSpec {
    name: "",
    keys: &[],
    unique: false,
    expire_after: None,
    only_where_present: None,
};

/// The collections and their indexes, created at start.
pub const COLLECTIONS: &[CollectionSpec] = &[
    CollectionSpec {
        name: NOTIFICATIONS,
        indexes: &[
            IndexSpec {
                name: "user_time",
                keys: &[
                    ("app_id", 1),
                    ("user_id", 1),
                    ("created_at", -1),
                    ("_id", -1),
                ],
                ..PLAIN
            },
            IndexSpec {
                name: "user_read_time",
                keys: &[
                    ("app_id", 1),
                    ("user_id", 1),
                    ("read", 1),
                    ("created_at", -1),
                    ("_id", -1),
                ],
                ..PLAIN
            },
            IndexSpec {
                name: "user_dedup",
                keys: &[("app_id", 1), ("user_id", 1), ("dedup_key", 1)],
                unique: true,
                only_where_present: Some("dedup_key"),
                ..PLAIN
            },
            IndexSpec {
                name: "expiry",
                keys: &[("created_at", 1)],
                expire_after: Some(DAYS_30),
                ..PLAIN
            },
        ],
    },
    CollectionSpec {
        name: PREFERENCES,
        indexes: &[
            IndexSpec {
                name: "user",
                keys: &[("app_id", 1), ("user_id", 1)],
                unique: true,
                ..PLAIN
            },
            IndexSpec {
                name: "digest_due",
                keys: &[("digest_at", 1)],
                only_where_present: Some("digest_at"),
                ..PLAIN
            },
        ],
    },
    mozaiks_jobs::collection(JOBS),
    CollectionSpec {
        name: BROADCASTS,
        indexes: &[IndexSpec {
            name: "app_time",
            keys: &[("app_id", 1), ("created_at", -1)],
            ..PLAIN
        }],
    },
    CollectionSpec {
        name: USERS,
        indexes: &[IndexSpec {
            name: "user",
            keys: &[("app_id", 1), ("user_id", 1)],
            unique: true,
            ..PLAIN
        }],
    },
    CollectionSpec {
        name: CODES,
        indexes: &[IndexSpec {
            name: "expiry",
            keys: &[("ends_at", 1)],
            expire_after: Some(codes::COUNTER_KEPT),
            ..PLAIN
        }],
    },
    CollectionSpec {
        name: SUBSCRIPTIONS,
        indexes: &[
            IndexSpec {
                name: "user",
                keys: &[("app_id", 1), ("user_id", 1)],
                ..PLAIN
            },
            IndexSpec {
                name: "endpoint",
                keys: &[("app_id", 1), ("endpoint", 1)],
                unique: true,
                ..PLAIN
            },
        ],
    },
];

/// What a list starts after: stable while new notifications arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When the last one seen was created.
    pub created_at: DateTime,
    /// Its id.
    pub id: ObjectId,
}

/// Access to the notifications' collections.
pub(super) struct Repository {
    store: Arc<Store>,
}

impl Repository {
    /// Access through a connection.
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    fn collection(&self, name: &str) -> Result<Collection<Document>, NotificationError> {
        Ok(self.store.own_database()?.collection(name))
    }

    /// Asks the database something. Nothing here goes another way: where the server may be gone, the
    /// store hears of it.
    async fn ask<T>(
        &self,
        operation: impl IntoFuture<Output = DatabaseResult<T>>,
    ) -> Result<T, StoreError> {
        operation.await.map_err(|error| self.store.failed(error))
    }

    /// The documents that an operation finds.
    async fn ask_all(
        &self,
        operation: impl IntoFuture<Output = DatabaseResult<DatabaseCursor<Document>>>,
    ) -> Result<Vec<Document>, StoreError> {
        let found = self.ask(operation).await?;
        self.ask(found.try_collect()).await
    }

    /// Stores a notification; where it `waits`, for the next digest. One with the same `dedup_key` that
    /// is younger than `window` is given instead.
    pub(super) async fn insert(
        &self,
        notification: &Notification,
        window: Duration,
        waits: bool,
    ) -> Result<Option<Notification>, NotificationError> {
        let collection = self.collection(NOTIFICATIONS)?;
        let mut document = notification.to_document();
        if waits {
            document.insert("digest", digests::WAITING);
        }
        for _ in 0..MAX_DEDUP_ROUNDS {
            let error = match self.ask(collection.insert_one(&document)).await {
                Ok(_) => return Ok(None),
                Err(error) => error,
            };
            let Some(key) = notification.dedup_key() else {
                return Err(error.into());
            };
            if error.kind != StoreErrorKind::Conflict {
                return Err(error.into());
            }
            let by_key = doc! {
                "app_id": &notification.app_id,
                "user_id": &notification.user_id,
                "dedup_key": key,
            };
            let Some(found) = self.ask(collection.find_one(by_key)).await? else {
                continue;
            };
            let earlier = Notification::from_document(&found)?;
            let age =
                notification.created_at.timestamp_millis() - earlier.created_at.timestamp_millis();
            if age < i64::try_from(window.as_millis()).unwrap_or(i64::MAX) {
                return Ok(Some(earlier));
            }
            // The window has passed: the older one gives up the key, whoever asks first.
            let forget = doc! { "$unset": { "dedup_key": "" } };
            let holds_it = doc! { "_id": earlier.id, "dedup_key": key };
            self.ask(collection.update_one(holds_it, forget)).await?;
        }
        Err(NotificationError::Conflict(
            "others keep taking the same dedup_key".into(),
        ))
    }

    /// Removes what is older than the user's newest `keep`; what waits for a digest is not counted.
    pub(super) async fn trim(
        &self,
        app_id: &str,
        user_id: &str,
        keep: u64,
    ) -> Result<(), NotificationError> {
        let collection = self.collection(NOTIFICATIONS)?;
        let mine = doc! {
            "app_id": app_id, "user_id": user_id, "digest": { "$exists": false },
        };
        let oldest = collection
            .find(mine.clone())
            .sort(newest_first())
            .projection(doc! { "_id": 1 })
            .skip(keep)
            .limit(100);
        let oldest = self.ask_all(oldest).await?;
        let ids: Vec<_> = oldest.iter().filter_map(|found| found.get("_id")).collect();
        if !ids.is_empty() {
            let mut old = mine;
            old.insert("_id", doc! { "$in": ids });
            self.ask(collection.delete_many(old)).await?;
        }
        Ok(())
    }

    /// A user's notifications, newest first.
    pub(super) async fn list(
        &self,
        app_id: &str,
        user_id: &str,
        unread_only: bool,
        after: Option<Cursor>,
        limit: i64,
        offset: u64,
    ) -> Result<Vec<Notification>, NotificationError> {
        let mut filter = doc! { "app_id": app_id, "user_id": user_id };
        if unread_only {
            filter.insert("read", false);
        }
        filter.insert("listed", true);
        if let Some(after) = after {
            // The bound lets the index begin there; the rest tells those of the same moment apart.
            filter.insert("created_at", doc! { "$lte": after.created_at });
            filter.insert(
                "$or",
                vec![
                    doc! { "created_at": { "$lt": after.created_at } },
                    doc! { "_id": { "$lt": after.id } },
                ],
            );
        }
        let collection = self.collection(NOTIFICATIONS)?;
        let found = collection
            .find(filter)
            .sort(newest_first())
            .skip(offset)
            .limit(limit);
        let found = self.ask_all(found).await?;
        Ok(self.readable(&found))
    }

    /// Those that can be read; the others are counted.
    fn readable(&self, found: &[Document]) -> Vec<Notification> {
        let read = |document| match Notification::from_document(document) {
            Ok(notification) => Some(notification),
            Err(error) => {
                self.store.skip_malformed(NOTIFICATIONS, error);
                None
            }
        };
        found.iter().filter_map(read).collect()
    }

    /// How many of a user's notifications are unread.
    pub(super) async fn count_unread(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<u64, NotificationError> {
        let filter = doc! { "app_id": app_id, "user_id": user_id, "read": false };
        let collection = self.collection(NOTIFICATIONS)?;
        Ok(self.ask(collection.count_documents(filter)).await?)
    }

    /// Marks one as read or unread; whether it exists.
    pub(super) async fn mark(
        &self,
        app_id: &str,
        user_id: &str,
        id: ObjectId,
        read: bool,
    ) -> Result<bool, NotificationError> {
        let filter = doc! { "app_id": app_id, "user_id": user_id, "_id": id, "listed": true };
        let change = doc! { "$set": { "read": read } };
        let collection = self.collection(NOTIFICATIONS)?;
        let result = self.ask(collection.update_one(filter, change)).await?;
        Ok(result.matched_count == 1)
    }

    /// Marks all as read; how many were not.
    pub(super) async fn mark_all(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<u64, NotificationError> {
        let filter = doc! { "app_id": app_id, "user_id": user_id, "read": false };
        let change = doc! { "$set": { "read": true } };
        let collection = self.collection(NOTIFICATIONS)?;
        let result = self.ask(collection.update_many(filter, change)).await?;
        Ok(result.modified_count)
    }

    /// Deletes one; whether it existed.
    pub(super) async fn delete(
        &self,
        app_id: &str,
        user_id: &str,
        id: ObjectId,
    ) -> Result<bool, NotificationError> {
        let filter = doc! { "app_id": app_id, "user_id": user_id, "_id": id, "listed": true };
        let collection = self.collection(NOTIFICATIONS)?;
        let result = self.ask(collection.delete_one(filter)).await?;
        Ok(result.deleted_count == 1)
    }
}

fn newest_first() -> Document {
    doc! { "created_at": -1, "_id": -1 }
}

#[cfg(test)]
mod tests;
