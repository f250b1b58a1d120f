//! What happens later: the tasks that run broadcasts, digests and notifications for a time, and the
//! last of these themselves.

use std::sync::Arc;

use bson::DateTime;
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

use super::{
    drafts::{draft_from_json, draft_to_json},
    manager::NotificationsManager,
    model::{Draft, NotificationError, rfc3339},
    repository::{Finish, Job, JobKind, NewJob, Repository},
};

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
    ) -> Result<Value, NotificationError> {
        if user_id.trim().is_empty() {
            return Err(NotificationError::invalid("user_id", "must not be empty"));
        }
        self.validate(app_id, draft)?;
        let id = Repository::new_id();
        self.repository
            .add_job(NewJob {
                id: id.clone(),
                kind: JobKind::Scheduled,
                app_id: app_id.to_owned(),
                user_id: Some(user_id.to_owned()),
                notification_id: None,
                run_at: at,
                payload: draft_to_json(draft),
            })
            .await?;
        self.wakeups.wake(JobKind::Scheduled);
        Ok(
            json!({ "id": id, "user_id": user_id, "scheduled_for": rfc3339(at), "status": "queued" }),
        )
    }

    /// Cancels a notification for later.
    ///
    /// # Errors
    /// [`NotificationError::Conflict`] where it has gone out, [`NotificationError::NotFound`].
    pub async fn cancel_scheduled(&self, app_id: &str, id: &str) -> Result<(), NotificationError> {
        self.repository
            .cancel_job(app_id, JobKind::Scheduled, id)
            .await
    }

    /// The notifications for later, newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn scheduled(&self, app_id: &str) -> Result<Vec<Value>, NotificationError> {
        self.repository
            .list_jobs(app_id, Some(JobKind::Scheduled.queue()), None, 100)
            .await
    }

    async fn run_scheduled(&self, job: &Job) -> Result<Progress, NotificationError> {
        let mut draft = draft_from_json(&job.payload)?;
        let user_id = job.user_id.clone().unwrap_or_default();
        let key = format!("scheduled:{}", job.id);
        draft
            .metadata
            .entry("dedup_key")
            .or_insert_with(|| Value::from(key));
        self.create(&job.app_id, &user_id, &draft).await?;
        Ok(Progress::Done)
    }
}

/// Runs broadcasts, notifications for later and digests, each in a task of its own. They end when
/// [`Self::stop`] is called.
pub struct Scheduler {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Scheduler {
    /// Starts it. Must be called within a tokio runtime.
    pub fn start(manager: &Arc<NotificationsManager>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for kind in [JobKind::Scheduled, JobKind::Broadcast] {
            tasks.spawn(run_jobs(manager.clone(), kind, stopped.clone()));
        }
        tasks.spawn(run_digests(manager.clone(), stopped));
        Self { stop, tasks }
    }

    /// Finishes the batch under way and ends.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn run_jobs(
    manager: Arc<NotificationsManager>,
    kind: JobKind,
    mut stopped: watch::Receiver<bool>,
) {
    while !*stopped.borrow() {
        if !run_one(&manager, kind, &stopped).await {
            tokio::select! {
                () = manager.wakeups.of(kind).notified() => {}
                _ = tokio::time::timeout(manager.config.job_poll, stopped.changed()) => {}
            }
        }
    }
}

async fn run_digests(manager: Arc<NotificationsManager>, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let made = manager.run_digest().await.unwrap_or_else(|error| {
            tracing::debug!(error = %error, "no digest could be made");
            false
        });
        if !made {
            let _ = tokio::time::timeout(manager.config.job_poll, stopped.changed()).await;
        }
    }
}

async fn run_one(
    manager: &NotificationsManager,
    kind: JobKind,
    stopped: &watch::Receiver<bool>,
) -> bool {
    let job = match manager
        .repository
        .claim_job(kind, manager.config.job_lease)
        .await
    {
        Ok(Some(job)) => job,
        Ok(None) => return false,
        Err(error) => {
            tracing::debug!(queue = kind.queue(), error = %error, "no job could be claimed");
            return false;
        }
    };
    let outcome = match kind {
        JobKind::Broadcast => manager.run_broadcast(&job, stopped).await,
        JobKind::Scheduled | JobKind::Delivery(_) => manager.run_scheduled(&job).await,
    };
    let finish = match outcome {
        Ok(Progress::Done) => Finish::Sent,
        Ok(Progress::Interrupted) => Finish::Retry {
            at: DateTime::now(),
            reason: "the gateway stopped".into(),
        },
        Err(NotificationError::Store(error)) => {
            let wait = i64::try_from(manager.config.delivery_retry.as_millis()).unwrap_or(5000);
            Finish::Retry {
                at: DateTime::from_millis(DateTime::now().timestamp_millis() + wait),
                reason: error.to_string(),
            }
        }
        Err(error) => {
            tracing::warn!(job = job.id, error = %error, "a job of the notifications failed");
            manager.fail_broadcast(kind, &job).await;
            Finish::Failed {
                reason: error.to_string(),
            }
        }
    };
    if let Err(error) = manager.repository.finish_job(&job, finish).await {
        tracing::warn!(job = job.id, error = %error, "a job's end could not be stored");
    }
    true
}
