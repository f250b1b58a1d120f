//! Jobs: deliveries, broadcasts and notifications for later. A job is claimed atomically for a
//! lease; one whose worker dies is claimed again when the lease ends.

use std::time::Duration;

use bson::{DateTime, Document, doc, oid::ObjectId};
use mongodb::options::ReturnDocument;
use serde_json::{Value, json};

use super::{BROADCASTS, JOBS, Repository};
use crate::model::{NotificationError, bson_to_json, json_to_bson, rfc3339};
use mozaiks_store::StoreErrorKind;

/// Which worker takes a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// Sends one notification through one channel.
    Delivery(crate::Channel),
    /// Creates notifications for many users.
    Broadcast,
    /// Creates a notification later.
    Scheduled,
}

impl JobKind {
    /// The `queue` field.
    pub(crate) fn queue(self) -> &'static str {
        match self {
            Self::Delivery(channel) => channel.as_str(),
            Self::Broadcast => "broadcast",
            Self::Scheduled => "scheduled",
        }
    }
}

/// A job to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    /// The dedup key: a second job of the same id is not stored.
    pub(crate) id: String,
    pub(crate) kind: JobKind,
    pub(crate) app_id: String,
    pub(crate) user_id: Option<String>,
    pub(crate) notification_id: Option<ObjectId>,
    pub(crate) run_at: DateTime,
    pub(crate) payload: Value,
}

/// A claimed job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) app_id: String,
    pub(crate) user_id: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) payload: Value,
    /// Whoever holds this may end the job; a later claim takes it away.
    claim: ObjectId,
}

/// How a claimed job ends.
#[derive(Debug, Clone)]
pub(crate) enum Finish {
    /// Done.
    Sent,
    /// To be tried again then.
    Retry { at: DateTime, reason: String },
    /// A dead letter.
    Failed { reason: String },
}

impl Repository {
    /// Stores a job; whether it was new.
    pub(crate) async fn add_job(&self, job: NewJob) -> Result<bool, NotificationError> {
        let mut document = doc! {
            "_id": job.id,
            "queue": job.kind.queue(),
            "app_id": job.app_id,
            "state": "queued",
            "run_at": job.run_at,
            "attempts": 0,
            "payload": json_to_bson(job.payload),
            "created_at": DateTime::now(),
        };
        if let Some(user_id) = job.user_id {
            document.insert("user_id", user_id);
        }
        if let Some(id) = job.notification_id {
            document.insert("notification_id", id);
        }
        let collection = self.collection(JOBS)?;
        match self.ask(collection.insert_one(document)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == StoreErrorKind::Conflict => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the job that is due longest: a queued one, or one whose worker's lease has ended.
    pub(crate) async fn claim_job(
        &self,
        kind: JobKind,
        lease: Duration,
    ) -> Result<Option<Job>, NotificationError> {
        let now = DateTime::now();
        let claim = ObjectId::new();
        let until = DateTime::from_millis(
            now.timestamp_millis() + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 2),
        );
        let change = doc! {
            "$set": { "state": "claimed", "claim": claim, "run_at": until },
            "$inc": { "attempts": 1 },
        };
        // A claimed job is due again when its lease, kept in `run_at`, has passed; one that has ended
        // has no `run_at`.
        let due = doc! { "queue": kind.queue(), "run_at": { "$lte": now } };
        let collection = self.collection(JOBS)?;
        let claiming = collection
            .find_one_and_update(due, change)
            .sort(doc! { "run_at": 1 })
            .return_document(ReturnDocument::After);
        let found = self.ask(claiming).await?;
        Ok(found.map(|document| Job {
            id: document.get_str("_id").unwrap_or_default().to_owned(),
            app_id: document.get_str("app_id").unwrap_or_default().to_owned(),
            user_id: document.get_str("user_id").ok().map(str::to_owned),
            attempts: document
                .get_i32("attempts")
                .ok()
                .and_then(|attempts| u32::try_from(attempts).ok())
                .unwrap_or(1),
            payload: document
                .get("payload")
                .map(bson_to_json)
                .unwrap_or_default(),
            claim,
        }))
    }

    /// Ends a claimed job; whether it was still this worker's.
    pub(crate) async fn finish_job(
        &self,
        job: &Job,
        finish: Finish,
    ) -> Result<bool, NotificationError> {
        let now = DateTime::now();
        let change = match finish {
            Finish::Sent => doc! {
                "$set": { "state": "sent", "ended_at": now },
                "$unset": { "claim": "", "reason": "", "run_at": "" },
            },
            Finish::Retry { at, reason } => doc! {
                "$set": { "state": "queued", "run_at": at, "reason": reason },
                "$unset": { "claim": "" },
            },
            Finish::Failed { reason } => doc! {
                "$set": { "state": "failed", "ended_at": now, "reason": reason },
                "$unset": { "claim": "", "run_at": "" },
            },
        };
        self.change_mine(job, change).await
    }

    /// Lengthens the lease of a claimed job; whether it was still this worker's.
    pub(crate) async fn renew_job(
        &self,
        job: &Job,
        lease: Duration,
    ) -> Result<bool, NotificationError> {
        let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 2);
        let until = DateTime::from_millis(DateTime::now().timestamp_millis() + lease_ms);
        self.change_mine(job, doc! { "$set": { "run_at": until } })
            .await
    }

    /// Changes a claimed job; whether it was still this worker's.
    async fn change_mine(&self, job: &Job, change: Document) -> Result<bool, NotificationError> {
        let collection = self.collection(JOBS)?;
        let mine = doc! { "_id": &job.id, "claim": job.claim };
        let result = self.ask(collection.update_one(mine, change)).await?;
        Ok(result.matched_count == 1)
    }

    /// Cancels a job that has not started.
    pub(crate) async fn cancel_job(
        &self,
        app_id: &str,
        kind: JobKind,
        id: &str,
    ) -> Result<(), NotificationError> {
        let collection = self.collection(JOBS)?;
        let asked = doc! { "_id": id, "app_id": app_id, "queue": kind.queue() };
        let mut waiting = asked.clone();
        waiting.insert("state", "queued");
        let change = doc! {
            "$set": { "state": "cancelled", "ended_at": DateTime::now() },
            "$unset": { "run_at": "" },
        };
        let cancelled = self.ask(collection.update_one(waiting, change)).await?;
        if cancelled.matched_count == 1 {
            return Ok(());
        }
        match self.ask(collection.find_one(asked)).await? {
            Some(found) => Err(NotificationError::Conflict(format!(
                "it cannot be cancelled any more: it is {}",
                found.get_str("state").unwrap_or("unknown")
            ))),
            None => Err(NotificationError::NotFound("job")),
        }
    }

    /// Puts a dead letter back into its queue.
    pub(crate) async fn retry_job(&self, app_id: &str, id: &str) -> Result<(), NotificationError> {
        let queues = ["email", "sms", "push"];
        let dead =
            doc! { "_id": id, "app_id": app_id, "state": "failed", "queue": { "$in": queues } };
        let change = doc! {
            "$set": { "state": "queued", "run_at": DateTime::now(), "attempts": 0 },
            "$unset": { "ended_at": "" },
        };
        let collection = self.collection(JOBS)?;
        let changed = self.ask(collection.update_one(dead, change)).await?;
        match changed.matched_count {
            1 => Ok(()),
            _ => Err(NotificationError::NotFound("failed delivery")),
        }
    }

    /// The log of deliveries and other jobs, newest first.
    pub(crate) async fn list_jobs(
        &self,
        app_id: &str,
        queue: Option<&str>,
        state: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Value>, NotificationError> {
        let mut filter = doc! { "app_id": app_id };
        if let Some(queue) = queue {
            filter.insert("queue", queue);
        }
        if let Some(state) = state {
            filter.insert("state", state);
        }
        let collection = self.collection(JOBS)?;
        let found = collection
            .find(filter)
            .sort(doc! { "created_at": -1 })
            .limit(limit);
        let found = self.ask_all(found).await?;
        Ok(found.iter().map(job_to_json).collect())
    }

    /// How many jobs of each state a queue holds, as `(queue, state, count)`.
    pub(crate) async fn count_jobs(
        &self,
        app_id: &str,
    ) -> Result<Vec<(String, String, i64)>, NotificationError> {
        let stages = [
            doc! { "$match": { "app_id": app_id } },
            doc! { "$group": {
                "_id": { "queue": "$queue", "state": "$state" },
                "count": { "$sum": 1 },
            } },
        ];
        let collection = self.collection(JOBS)?;
        let found = self.ask_all(collection.aggregate(stages)).await?;
        Ok(found
            .iter()
            .filter_map(|row| {
                let key = row.get_document("_id").ok()?;
                let count = row.get("count")?;
                let count = count.as_i64().or_else(|| count.as_i32().map(i64::from))?;
                let queue = key.get_str("queue").ok()?.to_owned();
                Some((queue, key.get_str("state").ok()?.to_owned(), count))
            })
            .collect())
    }

    /// Stores the record of a broadcast.
    pub(crate) async fn add_broadcast(&self, record: Document) -> Result<(), NotificationError> {
        let collection = self.collection(BROADCASTS)?;
        self.ask(collection.insert_one(record)).await?;
        Ok(())
    }

    /// Changes the record of a broadcast; `None` where there is none of that id.
    pub(crate) async fn update_broadcast(
        &self,
        app_id: &str,
        id: &str,
        change: Document,
    ) -> Result<Option<Document>, NotificationError> {
        let collection = self.collection(BROADCASTS)?;
        let changing = collection
            .find_one_and_update(doc! { "_id": id, "app_id": app_id }, change)
            .return_document(ReturnDocument::After);
        Ok(self.ask(changing).await?)
    }

    /// The record of a broadcast.
    pub(crate) async fn find_broadcast(
        &self,
        app_id: &str,
        id: &str,
    ) -> Result<Option<Document>, NotificationError> {
        let collection = self.collection(BROADCASTS)?;
        let filter = doc! { "_id": id, "app_id": app_id };
        Ok(self.ask(collection.find_one(filter)).await?)
    }

    /// The broadcasts of an app, newest first.
    pub(crate) async fn list_broadcasts(
        &self,
        app_id: &str,
        limit: i64,
    ) -> Result<Vec<Document>, NotificationError> {
        let collection = self.collection(BROADCASTS)?;
        let found = collection
            .find(doc! { "app_id": app_id })
            .sort(doc! { "created_at": -1 })
            .limit(limit);
        Ok(self.ask_all(found).await?)
    }
}

fn job_to_json(job: &Document) -> Value {
    let at = |field: &str| job.get_datetime(field).ok().map(|at| rfc3339(*at));
    let text = |field: &str| job.get_str(field).ok();
    let run_at = text("state")
        .filter(|state| *state == "queued")
        .and_then(|_| at("run_at"));
    // The state a user knows: a claimed job is still on its way.
    let state = match text("state") {
        Some("claimed") => Some("queued"),
        state => state,
    };
    json!({
        "id": text("_id"),
        "channel": text("queue"),
        "user_id": text("user_id"),
        "notification_id": job.get_object_id("notification_id").ok().map(|id| id.to_hex()),
        "status": state,
        "attempts": job.get_i32("attempts").unwrap_or(0),
        "reason": text("reason"),
        "created_at": at("created_at"),
        "ended_at": at("ended_at"),
        "run_at": run_at,
    })
}
