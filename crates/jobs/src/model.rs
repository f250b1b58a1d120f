//! What a job is, how it can end, and what can go wrong.

use std::time::Duration;

use bson::{Bson, DateTime, Document, oid::ObjectId};
use serde::{Serialize, de::DeserializeOwned};

use mozaiks_schedule::Schedule;
use mozaiks_store::{StoreError, StoreErrorKind};

/// The states of a job's document.
pub(crate) mod state {
    /// Waits for its time or for a worker.
    pub(crate) const QUEUED: &str = "queued";
    /// A worker has it; due again when the lease ends.
    pub(crate) const CLAIMED: &str = "claimed";
    /// Has been done.
    pub(crate) const DONE: &str = "done";
    /// A dead letter.
    pub(crate) const FAILED: &str = "failed";
    /// Called off before it began.
    pub(crate) const CANCELLED: &str = "cancelled";
}

/// A job to be stored.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Tells it from all others: a second job of the same id is not stored.
    pub id: String,
    /// Which workers take it.
    pub queue: String,
    /// The app it belongs to.
    pub app_id: String,
    /// When it is due.
    pub run_at: DateTime,
    /// What it is about.
    pub payload: Bson,
    /// Fields that the owner lists jobs by; the queue's own names are not theirs.
    pub fields: Document,
}

impl NewJob {
    /// A job that is due now.
    pub fn now(id: impl Into<String>, queue: &str, app_id: &str, payload: Bson) -> Self {
        Self {
            id: id.into(),
            queue: queue.to_owned(),
            app_id: app_id.to_owned(),
            run_at: DateTime::now(),
            payload,
            fields: Document::new(),
        }
    }

    /// The same, due then.
    #[must_use]
    pub fn at(self, run_at: DateTime) -> Self {
        Self { run_at, ..self }
    }

    /// The same, with a field of the owner's.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: impl Into<Bson>) -> Self {
        self.fields.insert(name, value);
        self
    }
}

/// Writes a typed payload.
///
/// # Errors
/// [`JobError::Invalid`] where it has no form in BSON.
pub(crate) fn to_payload<P: Serialize>(payload: &P) -> Result<Bson, JobError> {
    bson::serialize_to_bson(payload)
        .map_err(|error| JobError::Invalid(format!("the payload cannot be stored: {error}")))
}

/// A claimed job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// The queue it came from, which says whose handler it is for.
    pub queue: String,
    /// The app it belongs to.
    pub app_id: String,
    /// Which attempt this is, from 1 up; claims whose worker died count too.
    pub attempts: u32,
    /// When it was due: for a recurring entry the time that this run stands for.
    pub due_at: DateTime,
    /// What it is about.
    pub payload: Bson,
    /// The owner's fields.
    pub fields: Document,
    /// When it comes again, where it does.
    pub schedule: Option<Schedule>,
    /// Whether somebody has asked for this run, whatever the schedule says.
    pub asked: bool,
    /// Whoever holds this may end the job; a later claim takes it away.
    pub(crate) claim: ObjectId,
}

impl Job {
    /// The typed payload.
    ///
    /// # Errors
    /// [`JobError::Invalid`] where the stored one is another.
    pub fn read<P: DeserializeOwned>(&self) -> Result<P, JobError> {
        bson::deserialize_from_bson(self.payload.clone())
            .map_err(|error| JobError::Invalid(format!("the payload cannot be read: {error}")))
    }

    /// One of the owner's fields, where it is text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get_str(name).ok()
    }

    /// Reads a job as it was before it was claimed.
    ///
    /// # Errors
    /// The field that cannot be used.
    pub(crate) fn before_claim(
        mut document: Document,
        claim: ObjectId,
    ) -> Result<Self, &'static str> {
        let text = |field: &'static str| {
            document
                .get_str(field)
                .map(str::to_owned)
                .map_err(|_| field)
        };
        let (id, queue, app_id) = (text("_id")?, text("queue")?, text("app_id")?);
        let attempts = document.get("attempts").and_then(whole).ok_or("attempts")?;
        let run_at = *document.get_datetime("run_at").map_err(|_| "run_at")?;
        let schedule = match document.get("schedule") {
            None => None,
            Some(stored) => Some(schedule_of(stored).ok_or("schedule")?),
        };
        Ok(Self {
            id,
            queue,
            app_id,
            attempts: attempts.saturating_add(1),
            due_at: document.get_datetime("due_at").copied().unwrap_or(run_at),
            payload: document.remove("payload").unwrap_or(Bson::Null),
            schedule,
            asked: document.contains_key("asked_at"),
            fields: document,
            claim,
        })
    }
}

/// The stored form of a schedule.
pub(crate) fn schedule_document(schedule: &Schedule) -> Document {
    bson::doc! { "cron": schedule.expression(), "zone": schedule.zone() }
}

/// Reads what [`schedule_document`] writes.
pub(crate) fn schedule_of(stored: &Bson) -> Option<Schedule> {
    let stored = stored.as_document()?;
    let (cron, zone) = (stored.get_str("cron").ok()?, stored.get_str("zone").ok()?);
    Schedule::parse(cron, zone).ok()
}

/// A count, whichever integer it was written as.
pub(crate) fn whole(value: &Bson) -> Option<u32> {
    let number = value.as_i64().or_else(|| value.as_i32().map(i64::from))?;
    u32::try_from(number).ok()
}

/// This much later.
pub(crate) fn later(from: DateTime, by: Duration) -> DateTime {
    let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 2);
    DateTime::from_millis(from.timestamp_millis().saturating_add(by_ms))
}

/// How a claimed job ends. A recurring entry goes back for its next time in place of ending.
#[derive(Debug, Clone)]
pub enum Finish {
    /// Done.
    Done,
    /// To be tried again then.
    Retry {
        /// When.
        at: DateTime,
        /// What went wrong.
        reason: String,
    },
    /// Put back as if it had not been claimed: due at once, the attempt does not count.
    Release {
        /// Why.
        reason: String,
    },
    /// A dead letter.
    Failed {
        /// What went wrong.
        reason: String,
    },
    /// Left out: a recurring entry waits for its next time as if this one had not come, any other job
    /// is done.
    Skipped,
}

/// What can go wrong with a job.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JobError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no such job.
    #[error("there is no such job")]
    NotFound,
    /// The job is past changing; the state that it is in.
    #[error("it cannot be changed any more: it is {0}")]
    Conflict(String),
    /// The database said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether another document has the id already.
pub(crate) fn is_taken(error: &StoreError) -> bool {
    error.kind == StoreErrorKind::Conflict
}
