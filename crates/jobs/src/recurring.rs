//! Recurring entries: one document a key, which goes back to the queue after each run.

use bson::{Bson, DateTime, Document, doc};

use crate::{
    listing::JobRecord,
    model::{JobError, NewJob, schedule_document, state},
    queue::{JobQueue, new_document},
};
use mozaiks_schedule::Schedule;

/// How often a declaration is tried while others change the same entry.
const MAX_ROUNDS: usize = 8;

/// What comes again and again.
#[derive(Debug, Clone)]
pub struct Recurring {
    /// Its name, unique in the collection: declaring it again, from any gateway, is the same entry.
    pub key: String,
    /// Which workers take its runs.
    pub queue: String,
    /// The app it belongs to.
    pub app_id: String,
    /// When it runs.
    pub schedule: Schedule,
    /// What its runs are about.
    pub payload: Bson,
    /// Fields that the owner lists entries by.
    pub fields: Document,
}

impl JobQueue {
    /// Declares an entry. One that exists keeps its next time unless its schedule is another now; a
    /// run under way ends as it would.
    ///
    /// # Errors
    /// [`JobError::Invalid`] where no such time comes or the key is a plain job's; else what the
    /// database says.
    pub async fn put_recurring(&self, entry: Recurring) -> Result<(), JobError> {
        let Some(first) = entry.schedule.next_after(DateTime::now()) else {
            return Err(JobError::Invalid("the schedule never comes".into()));
        };
        let schedule = schedule_document(&entry.schedule);
        let (key, queue) = (entry.key, entry.queue);
        let job = NewJob {
            id: key.clone(),
            queue: queue.clone(),
            app_id: entry.app_id.clone(),
            run_at: first,
            payload: entry.payload.clone(),
            fields: entry.fields.clone(),
        };
        let mut document = new_document(job);
        document.insert("schedule", &schedule);
        if self.insert(key.clone(), document).await? {
            self.wakeups.wake(&queue);
            return Ok(());
        }
        let jobs = self.jobs()?;
        let mut what = entry.fields;
        what.extend(doc! { "queue": &queue, "app_id": entry.app_id, "payload": entry.payload });
        let existing = doc! { "_id": &key, "schedule": { "$exists": true } };
        let described = self
            .ask(jobs.update_one(existing, doc! { "$set": what }))
            .await?;
        if described.matched_count == 0 {
            return Err(JobError::Invalid(format!(
                "{key:?} is the id of another job"
            )));
        }
        // Whether it runs decides which of the two changes fits; a worker may change that in between.
        for _ in 0..MAX_ROUNDS {
            let other = doc! { "_id": &key, "schedule": { "$ne": &schedule } };
            let mut idle = other.clone();
            idle.insert("state", doc! { "$ne": state::CLAIMED });
            let anew = doc! {
                "$set": {
                    "schedule": &schedule, "state": state::QUEUED,
                    "run_at": first, "due_at": first, "attempts": 0,
                },
                "$unset": { "reason": "", "ended_at": "" },
            };
            let mut running = other.clone();
            running.insert("state", state::CLAIMED);
            let for_its_end = doc! { "$set": { "schedule": &schedule } };
            let changed = self.ask(jobs.update_one(idle, anew)).await?.matched_count == 1
                || self
                    .ask(jobs.update_one(running, for_its_end))
                    .await?
                    .matched_count
                    == 1;
            if changed || self.ask(jobs.find_one(other)).await?.is_none() {
                self.wakeups.wake(&queue);
                return Ok(());
            }
        }
        Err(JobError::Conflict("being changed by others".into()))
    }

    /// Makes an entry due now; its next time by the schedule follows after that run.
    ///
    /// # Errors
    /// [`JobError::Conflict`] while it runs, [`JobError::NotFound`].
    pub async fn run_now(&self, app_id: &str, key: &str) -> Result<(), JobError> {
        let jobs = self.jobs()?;
        let entry = doc! { "_id": key, "app_id": app_id, "schedule": { "$exists": true } };
        let mut idle = entry.clone();
        idle.insert("state", state::QUEUED);
        let now = DateTime::now();
        let due = doc! { "$set": { "run_at": now, "due_at": now, "asked_at": now } };
        if let Some(found) = self.ask(jobs.find_one_and_update(idle, due)).await? {
            self.wakeups
                .wake(found.get_str("queue").unwrap_or_default());
            return Ok(());
        }
        match self.ask(jobs.find_one(entry)).await? {
            Some(found) => Err(JobError::Conflict(
                found.get_str("state").unwrap_or("unknown").to_owned(),
            )),
            None => Err(JobError::NotFound),
        }
    }

    /// Takes an entry out; whether there was one. A run under way ends without a next.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove_recurring(&self, app_id: &str, key: &str) -> Result<bool, JobError> {
        let entry = doc! { "_id": key, "app_id": app_id, "schedule": { "$exists": true } };
        let result = self.ask(self.jobs()?.delete_one(entry)).await?;
        Ok(result.deleted_count == 1)
    }

    /// The entries whose fields are these, of all apps.
    ///
    /// # Errors
    /// What the database says.
    pub async fn recurring(&self, mut fields: Document) -> Result<Vec<JobRecord>, JobError> {
        fields.insert("schedule", doc! { "$exists": true });
        let found = self.ask_all(self.jobs()?.find(fields)).await?;
        Ok(found.into_iter().map(JobRecord::from).collect())
    }

    /// Takes out the entries whose fields are these, of all apps; how many there were. A run under way
    /// ends without a next.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove_recurring_where(&self, mut fields: Document) -> Result<u64, JobError> {
        fields.insert("schedule", doc! { "$exists": true });
        let result = self.ask(self.jobs()?.delete_many(fields)).await?;
        Ok(result.deleted_count)
    }
}
