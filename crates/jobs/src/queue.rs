//! The queue: jobs are added, claimed for a lease, and ended.

use std::{sync::Arc, time::Duration};

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use futures_util::TryStreamExt as _;
use mongodb::{Collection, Cursor, error::Result as DatabaseResult, options::ReturnDocument};
use serde::Serialize;

use crate::{
    model::{
        Finish, Job, JobError, NewJob, is_taken, later, schedule_document, schedule_of, state,
        to_payload,
    },
    stats::{Counters, QueueStats},
    wakeups::Wakeups,
};
use mozaiks_store::{Store, StoreError};

/// Documents that are no jobs, buried by one claim.
const MAX_BURIED: usize = 16;
/// How often an end is written anew while others change the entry's schedule.
const MAX_ROUNDS: usize = 8;

/// A collection of jobs. Shared by whoever adds jobs and the workers of this process.
pub struct JobQueue {
    store: Arc<Store>,
    collection: &'static str,
    pub(crate) wakeups: Wakeups,
    pub(crate) counters: Counters,
}

impl JobQueue {
    /// The queue in a collection declared with [`crate::collection`].
    pub fn new(store: Arc<Store>, collection: &'static str) -> Arc<Self> {
        Arc::new(Self {
            store,
            collection,
            wakeups: Wakeups::default(),
            counters: Counters::default(),
        })
    }

    /// What has become of jobs in this process.
    pub fn stats(&self) -> QueueStats {
        self.counters.read()
    }

    pub(crate) fn jobs(&self) -> Result<Collection<Document>, JobError> {
        Ok(self.store.own_database()?.collection(self.collection))
    }

    /// Asks the database something. Nothing here goes another way: where the server may be gone, the
    /// store hears of it.
    pub(crate) async fn ask<T>(
        &self,
        operation: impl IntoFuture<Output = DatabaseResult<T>>,
    ) -> Result<T, StoreError> {
        operation.await.map_err(|error| self.store.failed(error))
    }

    /// The documents that an operation finds.
    pub(crate) async fn ask_all(
        &self,
        operation: impl IntoFuture<Output = DatabaseResult<Cursor<Document>>>,
    ) -> Result<Vec<Document>, StoreError> {
        let found = self.ask(operation).await?;
        self.ask(found.try_collect()).await
    }

    /// Stores a job; whether it was new. With an id that names what it is for (the run of an hour, the
    /// delivery of a notification), adding it again changes nothing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn add(&self, job: NewJob) -> Result<bool, JobError> {
        let queue = job.queue.clone();
        let new = self.insert(job.id.clone(), new_document(job)).await?;
        self.wakeups.wake(&queue);
        Ok(new)
    }

    /// As [`Self::add`], with a typed payload for [`Job::read`].
    ///
    /// # Errors
    /// [`JobError::Invalid`] where the payload cannot be stored, else what the database says.
    pub async fn add_with<P: Serialize>(&self, job: NewJob, payload: &P) -> Result<bool, JobError> {
        let payload = to_payload(payload)?;
        self.add(NewJob { payload, ..job }).await
    }

    /// Stores a document under an id; whether the id was free.
    pub(crate) async fn insert(
        &self,
        id: String,
        mut document: Document,
    ) -> Result<bool, JobError> {
        document.insert("_id", id);
        match self.ask(self.jobs()?.insert_one(document)).await {
            Ok(_) => Ok(true),
            Err(error) if is_taken(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the job of these queues that is due longest: a queued one, or one whose worker's lease
    /// has ended. Of all workers of all gateways one gets it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim(&self, queues: &[String], lease: Duration) -> Result<Option<Job>, JobError> {
        let queue = match queues {
            [one] => Bson::from(one.as_str()),
            many => Bson::from(doc! { "$in": many }),
        };
        for _ in 0..MAX_BURIED {
            let now = DateTime::now();
            let claim = ObjectId::new();
            // A claimed job is due again when its lease, kept in `run_at`, has passed; one that has
            // ended has no `run_at`.
            let due = doc! { "queue": &queue, "run_at": { "$lte": now } };
            let change = doc! {
                "$set": { "state": state::CLAIMED, "claim": claim, "run_at": later(now, lease) },
                "$inc": { "attempts": 1 },
            };
            let jobs = self.jobs()?;
            let claiming = jobs
                .find_one_and_update(due, change)
                .sort(doc! { "run_at": 1 })
                .return_document(ReturnDocument::Before);
            let Some(before) = self.ask(claiming).await? else {
                return Ok(None);
            };
            let id = before.get("_id").cloned().unwrap_or(Bson::Null);
            match Job::before_claim(before, claim) {
                Ok(job) => {
                    Counters::add(&self.counters.claimed);
                    return Ok(Some(job));
                }
                Err(field) => self.bury(&id, claim, field).await?,
            }
        }
        Ok(None)
    }

    /// Ends a document that is no job, so that it does not come up again with every lease.
    async fn bury(&self, id: &Bson, claim: ObjectId, field: &str) -> Result<(), JobError> {
        Counters::add(&self.counters.malformed);
        tracing::error!(job = %id, field, "a stored job cannot be used");
        let change = doc! {
            "$set": {
                "state": state::FAILED,
                "ended_at": DateTime::now(),
                "reason": format!("the job's {field} cannot be used"),
            },
            "$unset": { "claim": "", "run_at": "" },
        };
        let jobs = self.jobs()?;
        let mine = doc! { "_id": id, "claim": claim };
        self.ask(jobs.update_one(mine, change)).await?;
        Ok(())
    }

    /// Ends a claimed job; whether it was still this worker's. A recurring entry goes back to its
    /// queue for its next time, in the same write.
    ///
    /// # Errors
    /// What the database says.
    pub async fn finish(&self, job: &Job, finish: Finish) -> Result<bool, JobError> {
        let Some(mut schedule) = job.schedule.clone() else {
            return self.change_mine(job, doc! {}, end_of(finish)).await;
        };
        for _ in 0..MAX_ROUNDS {
            let now = DateTime::now();
            let change = match (schedule.next_after(now), &finish) {
                (Some(next), Finish::Retry { at, .. }) if *at < next => end_of(finish.clone()),
                (_, Finish::Release { .. }) | (None, _) => end_of(finish.clone()),
                (Some(next), _) => next_run(&finish, now, next),
            };
            let as_read = doc! { "schedule": schedule_document(&schedule) };
            if self.change_mine(job, as_read, change).await? {
                return Ok(true);
            }
            // Somebody has changed the schedule meanwhile, or the job is not ours any more.
            let mine = doc! { "_id": &job.id, "claim": job.claim };
            let found = self.ask(self.jobs()?.find_one(mine)).await?;
            match found
                .as_ref()
                .and_then(|found| schedule_of(found.get("schedule")?))
            {
                Some(changed) => schedule = changed,
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Lengthens the lease of a claimed job; whether it was still this worker's.
    ///
    /// # Errors
    /// What the database says.
    pub async fn renew(&self, job: &Job, lease: Duration) -> Result<bool, JobError> {
        let until = later(DateTime::now(), lease);
        self.change_mine(job, doc! {}, doc! { "$set": { "run_at": until } })
            .await
    }

    /// Changes a claimed job; whether it was still this worker's.
    async fn change_mine(
        &self,
        job: &Job,
        mut filter: Document,
        change: Document,
    ) -> Result<bool, JobError> {
        filter.insert("_id", &job.id);
        filter.insert("claim", job.claim);
        let jobs = self.jobs()?;
        let result = self.ask(jobs.update_one(filter, change)).await?;
        Ok(result.matched_count == 1)
    }
}

/// The document of a new job, without its id.
pub(crate) fn new_document(job: NewJob) -> Document {
    let mut document = job.fields;
    document.extend(doc! {
        "queue": job.queue,
        "app_id": job.app_id,
        "state": state::QUEUED,
        "run_at": job.run_at,
        "due_at": job.run_at,
        "attempts": 0,
        "payload": job.payload,
        "created_at": DateTime::now(),
    });
    document
}

fn end_of(finish: Finish) -> Document {
    let now = DateTime::now();
    match finish {
        Finish::Done | Finish::Skipped => doc! {
            "$set": { "state": state::DONE, "ended_at": now },
            "$unset": { "claim": "", "reason": "", "run_at": "" },
        },
        Finish::Retry { at, reason } => doc! {
            "$set": { "state": state::QUEUED, "run_at": at, "reason": reason },
            "$unset": { "claim": "" },
        },
        Finish::Release { reason } => doc! {
            "$set": { "state": state::QUEUED, "run_at": now, "reason": reason },
            "$inc": { "attempts": -1 },
            "$unset": { "claim": "" },
        },
        Finish::Failed { reason } => doc! {
            "$set": { "state": state::FAILED, "ended_at": now, "reason": reason },
            "$unset": { "claim": "", "run_at": "" },
        },
    }
}

/// Back to the queue for the next time, with a note of how this run ended.
fn next_run(finish: &Finish, now: DateTime, next: DateTime) -> Document {
    let (ended, reason) = match finish {
        Finish::Done => (state::DONE, None),
        Finish::Retry { reason, .. } | Finish::Failed { reason } | Finish::Release { reason } => {
            (state::FAILED, Some(reason.as_str()))
        }
        Finish::Skipped => {
            return doc! {
                "$set": { "state": state::QUEUED, "run_at": next, "due_at": next, "attempts": 0 },
                "$unset": { "claim": "", "reason": "", "asked_at": "" },
            };
        }
    };
    doc! {
        "$set": {
            "state": state::QUEUED,
            "run_at": next,
            "due_at": next,
            "attempts": 0,
            "last_run": { "ended_at": now, "state": ended, "reason": reason },
        },
        "$inc": { "runs": 1 },
        "$unset": { "claim": "", "reason": "", "asked_at": "" },
    }
}
