//! What waits to be told in a digest. A notification's `digest` field says so: `waiting`, or the id
//! of the job that has taken it; a job tells what it has taken and nothing else, so that each is told
//! once, whoever makes the digest and however often it is begun anew.

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};

use super::{NOTIFICATIONS, PREFERENCES, Repository};
use crate::model::{Notification, NotificationError};

/// The value of `digest` in a notification that no job has taken yet.
pub(super) const WAITING: &str = "waiting";

/// A digest whose hour has come.
#[derive(Debug, Clone)]
pub(crate) struct DueDigest {
    pub(crate) app_id: String,
    pub(crate) user_id: String,
    pub(crate) due: DateTime,
}

fn of_user(app_id: &str, user_id: &str) -> Document {
    doc! { "app_id": app_id, "user_id": user_id }
}

fn taken_by(app_id: &str, user_id: &str, job: &str) -> Document {
    doc! { "app_id": app_id, "user_id": user_id, "digest": job }
}

impl Repository {
    /// The user whose digest is due longest.
    pub(crate) async fn due_digest(
        &self,
        now: DateTime,
    ) -> Result<Option<DueDigest>, NotificationError> {
        let collection = self.collection(PREFERENCES)?;
        loop {
            let longest_due = collection
                .find_one(doc! { "digest_at": { "$lte": now } })
                .sort(doc! { "digest_at": 1 });
            let Some(found) = self.ask(longest_due).await? else {
                return Ok(None);
            };
            let text = |field| found.get_str(field).ok().map(str::to_owned);
            if let (Some(app_id), Some(user_id), Ok(due)) = (
                text("app_id"),
                text("user_id"),
                found.get_datetime("digest_at"),
            ) {
                return Ok(Some(DueDigest {
                    app_id,
                    user_id,
                    due: *due,
                }));
            }
            // Nobody's: put aside, or nobody behind it would ever be told anything.
            let id = found.get("_id").cloned().unwrap_or(Bson::Null);
            tracing::error!(document = %id, "stored preferences belong to no user");
            let aside = doc! { "$unset": { "digest_at": "" } };
            self.ask(collection.update_one(doc! { "_id": id }, aside))
                .await?;
        }
    }

    /// Moves a user's digest on, unless somebody else has.
    pub(crate) async fn advance_digest(
        &self,
        digest: &DueDigest,
        to: Option<DateTime>,
    ) -> Result<(), NotificationError> {
        let mut filter = of_user(&digest.app_id, &digest.user_id);
        filter.insert("digest_at", digest.due);
        let change = match to {
            Some(to) => doc! { "$set": { "digest_at": to } },
            None => doc! { "$unset": { "digest_at": "" } },
        };
        let collection = self.collection(PREFERENCES)?;
        self.ask(collection.update_one(filter, change)).await?;
        Ok(())
    }

    /// Makes a user's digest due now.
    pub(crate) async fn hasten_digest(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<(), NotificationError> {
        let collection = self.collection(PREFERENCES)?;
        let now = doc! { "$min": { "digest_at": DateTime::now() } };
        self.ask(collection.update_one(of_user(app_id, user_id), now))
            .await?;
        Ok(())
    }

    /// Whether more than `keep` of a user's notifications wait. The oldest of more than twice as many
    /// go, as nobody can tell them to anybody: how many.
    pub(crate) async fn bound_waiting(
        &self,
        app_id: &str,
        user_id: &str,
        keep: u64,
    ) -> Result<(bool, u64), NotificationError> {
        let collection = self.collection(NOTIFICATIONS)?;
        let mut waiting = of_user(app_id, user_id);
        waiting.insert("digest", WAITING);
        let count = self
            .ask(collection.count_documents(waiting.clone()))
            .await?;
        if count <= keep.saturating_mul(2) {
            return Ok((count > keep, 0));
        }
        let oldest = collection
            .find(waiting)
            .sort(super::newest_first())
            .projection(doc! { "_id": 1 })
            .skip(keep.saturating_mul(2))
            .limit(100);
        let oldest = self.ask_all(oldest).await?;
        let ids: Vec<_> = oldest.iter().filter_map(|found| found.get("_id")).collect();
        let mut gone = of_user(app_id, user_id);
        gone.insert("_id", doc! { "$in": ids });
        let deleted = self.ask(collection.delete_many(gone)).await?;
        Ok((true, deleted.deleted_count))
    }

    /// Takes what waits for a job: all that is not in the user's list, and of the list what is unread.
    pub(crate) async fn take_for_digest(
        &self,
        app_id: &str,
        user_id: &str,
        job: &str,
    ) -> Result<(), NotificationError> {
        let collection = self.collection(NOTIFICATIONS)?;
        let mut untold = taken_by(app_id, user_id, WAITING);
        untold.insert(
            "$or",
            vec![
                doc! { "listed": false },
                doc! { "listed": true, "read": false },
            ],
        );
        let mine = doc! { "$set": { "digest": job } };
        self.ask(collection.update_many(untold, mine)).await?;
        // Read in the list meanwhile: there is nothing to tell.
        let mut read = taken_by(app_id, user_id, WAITING);
        read.extend(doc! { "listed": true, "read": true });
        let told = doc! { "$unset": { "digest": "" } };
        self.ask(collection.update_many(read, told)).await?;
        Ok(())
    }

    /// The oldest of what a job has taken, and how many that are in all.
    pub(crate) async fn taken_for_digest(
        &self,
        app_id: &str,
        user_id: &str,
        job: &str,
        limit: i64,
    ) -> Result<(Vec<Notification>, u64), NotificationError> {
        let collection = self.collection(NOTIFICATIONS)?;
        loop {
            let taken = taken_by(app_id, user_id, job);
            let count = self.ask(collection.count_documents(taken.clone())).await?;
            let oldest_first = doc! { "created_at": 1, "_id": 1 };
            let found = collection.find(taken).sort(oldest_first).limit(limit);
            let found = self.ask_all(found).await?;
            let mut items = Vec::with_capacity(found.len());
            let mut unusable = Vec::new();
            for document in &found {
                match Notification::from_document(document) {
                    Ok(item) => items.push(item),
                    Err(error) => {
                        tracing::error!(error = %error, user.id = user_id,
                            "a stored notification is left out of a digest");
                        unusable.extend(document.get("_id").cloned());
                    }
                }
            }
            if unusable.is_empty() {
                return Ok((items, count));
            }
            self.told_in_digest(app_id, user_id, unusable).await?;
        }
    }

    /// Notes that these have been told.
    pub(crate) async fn told_in_digest(
        &self,
        app_id: &str,
        user_id: &str,
        ids: Vec<Bson>,
    ) -> Result<(), NotificationError> {
        let collection = self.collection(NOTIFICATIONS)?;
        let mut these = of_user(app_id, user_id);
        these.insert("_id", doc! { "$in": ids });
        let told = doc! { "$unset": { "digest": "" } };
        self.ask(collection.update_many(these, told)).await?;
        Ok(())
    }

    /// Gives back what a job has taken and not told: the next digest tells it.
    pub(crate) async fn give_back(
        &self,
        app_id: &str,
        user_id: &str,
        job: &str,
    ) -> Result<(), NotificationError> {
        let collection = self.collection(NOTIFICATIONS)?;
        let waiting = doc! { "$set": { "digest": WAITING } };
        let taken = taken_by(app_id, user_id, job);
        self.ask(collection.update_many(taken, waiting)).await?;
        Ok(())
    }
}

/// The ids of these.
pub(crate) fn ids_of(items: &[Notification]) -> Vec<Bson> {
    items.iter().map(|item| Bson::from(item.id)).collect()
}

/// The ids that a job's field holds.
pub(crate) fn ids_in(field: Option<&Bson>) -> Vec<Bson> {
    let ids = field.and_then(Bson::as_array).map(Vec::as_slice);
    ids.unwrap_or_default()
        .iter()
        .filter_map(Bson::as_object_id)
        .map(|id: ObjectId| Bson::from(id))
        .collect()
}
