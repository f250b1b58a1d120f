//! What happens later: the tasks that run broadcasts, digests and notifications for a time, and the
//! last of these themselves.

use std::sync::Arc;

use bson::DateTime;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use super::views::{JobView, ScheduledView};
use super::{
    delivery::worker_options,
    drafts::{draft_from_json, draft_to_json},
    jobs::{JobKind, job_view, payload_json},
    manager::NotificationsManager,
    model::{Draft, NotificationError, json_to_bson, rfc3339},
    repository::Repository,
};
use mozaiks_jobs::{Handler, Job, JobFilter, NewJob, Outcome, Stopping, WorkerOptions, Workers};

/// Attempts of a job that only the database can keep from its end: hours of trouble at the longest.
const ATTEMPTS: u32 = 1000;
/// Digests made at a time: one that is slow or in trouble does not keep the others waiting.
const DIGESTS_AT_A_TIME: usize = 4;
/// The most notifications for later that are listed.
const MAX_LISTED: i64 = 100;

/// How far a job got.
pub(super) enum Progress {
    Done,
    /// The gateway stops: somebody else goes on.
    Interrupted,
}

impl NotificationsManager {
    /// Stores a notification for later; gives `{id, scheduled_for}`.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] for a bad draft.
    pub async fn schedule(
        &self,
        app_id: &str,
        user_id: &str,
        draft: &Draft,
        at: DateTime,
    ) -> Result<ScheduledView, NotificationError> {
        if user_id.trim().is_empty() {
            return Err(NotificationError::invalid("user_id", "must not be empty"));
        }
        self.validate(app_id, draft)?;
        let id = Repository::new_id();
        let payload = json_to_bson(draft_to_json(draft));
        let job = NewJob::now(id.as_str(), JobKind::Scheduled.queue(), app_id, payload)
            .at(at)
            .with_field("user_id", user_id);
        self.jobs.add(job).await?;
        Ok(ScheduledView {
            id,
            user_id: user_id.to_owned(),
            scheduled_for: rfc3339(at),
            status: "queued",
        })
    }

    /// Cancels a notification for later.
    ///
    /// # Errors
    /// [`NotificationError::Conflict`] where it has gone out, [`NotificationError::NotFound`].
    pub async fn cancel_scheduled(&self, app_id: &str, id: &str) -> Result<(), NotificationError> {
        let queue = JobKind::Scheduled.queue();
        Ok(self.jobs.cancel(app_id, queue, id).await?)
    }

    /// The notifications for later, newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn scheduled(&self, app_id: &str) -> Result<Vec<JobView>, NotificationError> {
        let filter = JobFilter {
            app_id,
            queues: &[JobKind::Scheduled.queue()],
            limit: MAX_LISTED,
            ..JobFilter::default()
        };
        let jobs = self.jobs.list(&filter).await?;
        Ok(jobs.iter().map(job_view).collect())
    }

    async fn run_scheduled(&self, job: &Job) -> Result<Progress, NotificationError> {
        let mut draft = draft_from_json(&payload_json(&job.payload))?;
        let user_id = job.field("user_id").unwrap_or_default();
        let key = format!("scheduled:{}", job.id);
        draft
            .metadata
            .entry("dedup_key")
            .or_insert_with(|| Value::from(key));
        self.create(&job.app_id, user_id, &draft).await?;
        Ok(Progress::Done)
    }
}

/// Runs broadcasts, notifications for later and digests. They end when [`Self::stop`] is called.
pub struct Scheduler {
    workers: Workers,
    stop: watch::Sender<bool>,
    digests: JoinHandle<()>,
}

impl Scheduler {
    /// Starts it. Must be called within a tokio runtime.
    pub fn start(manager: &Arc<NotificationsManager>) -> Self {
        let mut workers = Workers::default();
        for kind in [JobKind::Scheduled, JobKind::Broadcast, JobKind::Digest] {
            let options = WorkerOptions {
                attempts: ATTEMPTS,
                concurrency: match kind {
                    JobKind::Digest => DIGESTS_AT_A_TIME,
                    JobKind::Scheduled | JobKind::Broadcast | JobKind::Delivery(_) => 1,
                },
                ..worker_options(manager, kind)
            };
            let handler = Arc::new(Later {
                manager: Arc::clone(manager),
                kind,
            });
            workers.start(Arc::clone(&manager.jobs), options, handler);
        }
        let (stop, stopped) = watch::channel(false);
        let digests = tokio::spawn(call_digests(Arc::clone(manager), stopped));
        Self {
            workers,
            stop,
            digests,
        }
    }

    /// Finishes the batch under way and ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.digests.await;
        self.workers.stop().await;
    }
}

/// Hands digests whose hour has come to the queue.
async fn call_digests(manager: Arc<NotificationsManager>, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let called = manager.call_digest().await.unwrap_or_else(|error| {
            tracing::debug!(error = %error, "no digest could be called for");
            false
        });
        if !called {
            let _ = tokio::time::timeout(manager.config.job_poll, stopped.changed()).await;
        }
    }
}

struct Later {
    manager: Arc<NotificationsManager>,
    kind: JobKind,
}

impl Handler for Later {
    fn run<'a>(&'a self, job: &'a Job, stopping: &'a Stopping) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let manager = &self.manager;
            let outcome = match self.kind {
                JobKind::Broadcast => manager.run_broadcast(job, stopping).await,
                JobKind::Digest => manager.run_digest(job, stopping).await,
                JobKind::Scheduled | JobKind::Delivery(_) => manager.run_scheduled(job).await,
            };
            match outcome {
                Ok(Progress::Done) => Outcome::Done,
                Ok(Progress::Interrupted) => Outcome::Interrupted,
                Err(NotificationError::Store(error)) => Outcome::Retry(error.to_string()),
                Err(error) => Outcome::Failed(error.to_string()),
            }
        })
    }

    fn give_up<'a>(&'a self, job: &'a Job, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            match self.kind {
                JobKind::Broadcast => self.manager.fail_broadcast(job).await,
                JobKind::Digest => self.manager.give_up_digest(job).await,
                JobKind::Scheduled | JobKind::Delivery(_) => {}
            }
        })
    }
}
