//! Looking at jobs, calling them off, and putting dead letters back.

use bson::{DateTime, Document, doc};

use crate::{
    model::{JobError, state, whole},
    queue::JobQueue,
};

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter<'a> {
    /// Of this app.
    pub app_id: &'a str,
    /// Of these queues; of all where none is named.
    pub queues: &'a [&'a str],
    /// In these states; in any where none is named.
    pub states: &'a [&'a str],
    /// With these of the owner's fields.
    pub fields: Document,
    /// At most so many.
    pub limit: i64,
}

/// A job as it is listed.
#[derive(Debug, Clone)]
pub struct JobRecord {
    /// Its id.
    pub id: String,
    /// Its queue.
    pub queue: String,
    /// `queued`, `claimed`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// What went wrong last.
    pub reason: Option<String>,
    /// When it was stored.
    pub created_at: Option<DateTime>,
    /// When it ended.
    pub ended_at: Option<DateTime>,
    /// When it is due, where it waits.
    pub run_at: Option<DateTime>,
    /// When it comes, where it is a recurring entry: the expression and its time zone.
    pub schedule: Option<(String, String)>,
    /// The whole document, with the owner's fields.
    pub document: Document,
}

impl From<Document> for JobRecord {
    fn from(document: Document) -> Self {
        let text = |field: &str| document.get_str(field).ok().map(str::to_owned);
        let time = |field: &str| document.get_datetime(field).ok().copied();
        let state = text("state").unwrap_or_default();
        let schedule = document.get_document("schedule").ok().and_then(|stored| {
            let text = |field| stored.get_str(field).ok().map(str::to_owned);
            Some((text("cron")?, text("zone")?))
        });
        Self {
            id: text("_id").unwrap_or_default(),
            queue: text("queue").unwrap_or_default(),
            attempts: document.get("attempts").and_then(whole).unwrap_or(0),
            reason: text("reason"),
            created_at: time("created_at"),
            ended_at: time("ended_at"),
            run_at: time("run_at").filter(|_| state == state::QUEUED),
            schedule,
            state,
            document,
        }
    }
}

impl JobQueue {
    /// A job by its id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find(&self, id: &str) -> Result<Option<JobRecord>, JobError> {
        let found = self.ask(self.jobs()?.find_one(doc! { "_id": id })).await?;
        Ok(found.map(JobRecord::from))
    }

    /// Jobs, newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list(&self, filter: &JobFilter<'_>) -> Result<Vec<JobRecord>, JobError> {
        let mut wanted = filter.fields.clone();
        wanted.insert("app_id", filter.app_id);
        if !filter.queues.is_empty() {
            wanted.insert("queue", doc! { "$in": filter.queues });
        }
        if !filter.states.is_empty() {
            wanted.insert("state", doc! { "$in": filter.states });
        }
        let jobs = self.jobs()?;
        let found = jobs
            .find(wanted)
            .sort(doc! { "created_at": -1 })
            .limit(filter.limit);
        let found = self.ask_all(found).await?;
        Ok(found.into_iter().map(JobRecord::from).collect())
    }

    /// How many jobs of each state an app's queues hold, as `(queue, state, count)`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count(&self, app_id: &str) -> Result<Vec<(String, String, i64)>, JobError> {
        let stages = [
            doc! { "$match": { "app_id": app_id } },
            doc! { "$group": {
                "_id": { "queue": "$queue", "state": "$state" },
                "count": { "$sum": 1 },
            } },
        ];
        let found = self.ask_all(self.jobs()?.aggregate(stages)).await?;
        let row = |row: &Document| {
            let key = row.get_document("_id").ok()?;
            let count = row.get("count")?;
            let count = count.as_i64().or_else(|| count.as_i32().map(i64::from))?;
            let queue = key.get_str("queue").ok()?.to_owned();
            Some((queue, key.get_str("state").ok()?.to_owned(), count))
        };
        Ok(found.iter().filter_map(row).collect())
    }

    /// Calls a job off that has not begun.
    ///
    /// # Errors
    /// [`JobError::Conflict`] where it has begun or ended, [`JobError::NotFound`].
    pub async fn cancel(&self, app_id: &str, queue: &str, id: &str) -> Result<(), JobError> {
        let jobs = self.jobs()?;
        let asked = doc! { "_id": id, "app_id": app_id, "queue": queue };
        let mut waiting = asked.clone();
        waiting.insert("state", state::QUEUED);
        let change = doc! {
            "$set": { "state": state::CANCELLED, "ended_at": DateTime::now() },
            "$unset": { "run_at": "" },
        };
        let cancelled = self.ask(jobs.update_one(waiting, change)).await?;
        if cancelled.matched_count == 1 {
            return Ok(());
        }
        match self.ask(jobs.find_one(asked)).await? {
            Some(found) => Err(JobError::Conflict(
                found.get_str("state").unwrap_or("unknown").to_owned(),
            )),
            None => Err(JobError::NotFound),
        }
    }

    /// Puts a dead letter of these queues back, with all its attempts.
    ///
    /// # Errors
    /// [`JobError::NotFound`] where there is none of that id.
    pub async fn revive(&self, app_id: &str, queues: &[&str], id: &str) -> Result<(), JobError> {
        let dead = doc! {
            "_id": id, "app_id": app_id, "state": state::FAILED, "queue": { "$in": queues },
        };
        let change = doc! {
            "$set": { "state": state::QUEUED, "run_at": DateTime::now(), "attempts": 0 },
            "$unset": { "ended_at": "" },
        };
        let jobs = self.jobs()?;
        match self.ask(jobs.find_one_and_update(dead, change)).await? {
            Some(found) => {
                self.wakeups
                    .wake(found.get_str("queue").unwrap_or_default());
                Ok(())
            }
            None => Err(JobError::NotFound),
        }
    }
}
