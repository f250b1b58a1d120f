//! Delivery workers: one queue a channel. Each claims a job, sends it, and says how it ended; a
//! failure is tried again with a growing wait, then left as a dead letter.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bson::DateTime;
use serde_json::Value;
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
};

use super::{
    channels::{self, Delivery, SendError, Sender},
    manager::NotificationsManager,
    model::Channel,
    repository::{Finish, Job, JobKind},
};

/// The longest wait between two attempts.
const MAX_RETRY: Duration = Duration::from_secs(3600);

/// Tells workers of this process that there is something to do; those of others look by themselves.
#[derive(Debug, Default)]
pub(super) struct Wakeups {
    email: Notify,
    sms: Notify,
    push: Notify,
    scheduled: Notify,
    broadcast: Notify,
}

impl Wakeups {
    /// Wakes the worker of a kind.
    pub(super) fn wake(&self, kind: JobKind) {
        self.of(kind).notify_one();
    }

    /// Wakes the workers of all channels.
    pub(super) fn wake_channels(&self) {
        for notify in [&self.email, &self.sms, &self.push] {
            notify.notify_one();
        }
    }

    pub(super) fn of(&self, kind: JobKind) -> &Notify {
        match kind {
            JobKind::Delivery(Channel::Email) => &self.email,
            JobKind::Delivery(Channel::Sms) => &self.sms,
            JobKind::Delivery(Channel::Push) => &self.push,
            JobKind::Broadcast => &self.broadcast,
            JobKind::Delivery(Channel::InApp) | JobKind::Scheduled => &self.scheduled,
        }
    }
}

/// The running workers. They end when [`Self::stop`] is called.
pub struct DeliveryWorkers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl DeliveryWorkers {
    /// Starts a worker for each configured channel. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A sentence that names the setting that cannot be used.
    pub fn start(manager: &Arc<NotificationsManager>) -> Result<Self, String> {
        let senders: BTreeMap<Channel, Arc<dyn Sender>> =
            channels::senders(&manager.config.channels)?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (channel, sender) in senders {
            tasks.spawn(work(manager.clone(), channel, sender, stopped.clone()));
        }
        Ok(Self { stop, tasks })
    }

    /// Takes no further job and waits for those under way.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn work(
    manager: Arc<NotificationsManager>,
    channel: Channel,
    sender: Arc<dyn Sender>,
    mut stopped: watch::Receiver<bool>,
) {
    let kind = JobKind::Delivery(channel);
    let permits = Arc::new(Semaphore::new(manager.config.delivery_concurrency.max(1)));
    let mut running = JoinSet::new();
    loop {
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit,
            _ = stopped.changed() => break,
        };
        let Ok(permit) = permit else { break };
        match manager
            .repository
            .claim_job(kind, manager.config.job_lease)
            .await
        {
            Ok(Some(job)) => {
                let (manager, sender) = (manager.clone(), sender.clone());
                running.spawn(async move {
                    deliver(&manager, channel, &*sender, &job).await;
                    drop(permit);
                });
            }
            outcome => {
                drop(permit);
                if let Err(error) = outcome {
                    tracing::debug!(channel = %channel, error = %error, "no job could be claimed");
                }
                tokio::select! {
                    () = manager.wakeups.of(kind).notified() => {}
                    _ = tokio::time::timeout(manager.config.job_poll, stopped.changed()) => {}
                }
            }
        }
        while running.try_join_next().is_some() {}
        if *stopped.borrow() {
            break;
        }
    }
    while running.join_next().await.is_some() {}
}

async fn deliver(manager: &NotificationsManager, channel: Channel, sender: &dyn Sender, job: &Job) {
    let delivery = Delivery {
        dedup_key: job.id.clone(),
        recipient: job.payload["recipient"].clone(),
        parts: serde_json::from_value(job.payload["parts"].clone()).unwrap_or_default(),
        data: job.payload["data"].clone(),
    };
    let limit = manager.config.channels.send_timeout;
    let outcome = match tokio::time::timeout(limit, sender.send(&delivery)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(SendError::Temporary("no answer in time".into())),
    };
    if let (Err(SendError::Gone(_)), Channel::Push) = (&outcome, channel) {
        forget_browser(manager, job).await;
    }
    let finish = match outcome {
        Ok(()) => Finish::Sent,
        Err(SendError::Temporary(reason))
            if (job.attempts as usize) < manager.config.delivery_attempts =>
        {
            Finish::Retry {
                at: retry_at(manager.config.delivery_retry, job.attempts),
                reason,
            }
        }
        Err(error) => {
            tracing::warn!(
                channel = %channel,
                job = job.id,
                attempts = job.attempts,
                reason = %error,
                "a notification could not be delivered"
            );
            Finish::Failed {
                reason: error.to_string(),
            }
        }
    };
    if let Err(error) = manager.repository.finish_job(job, finish).await {
        // The lease ends and somebody does it again, with the same dedup key.
        tracing::warn!(job = job.id, error = %error, "a delivery's end could not be stored");
    }
}

async fn forget_browser(manager: &NotificationsManager, job: &Job) {
    let endpoint = job.payload["recipient"]
        .get("endpoint")
        .and_then(Value::as_str);
    let (Some(endpoint), Some(user_id)) = (endpoint, job.user_id.as_deref()) else {
        return;
    };
    if let Err(error) = manager
        .unsubscribe_push(&job.app_id, user_id, endpoint)
        .await
    {
        tracing::warn!(error = %error, "a dead push subscription could not be removed");
    }
}

/// Doubles with each attempt.
fn retry_at(first: Duration, attempts: u32) -> DateTime {
    let factor = 2u32.saturating_pow(attempts.saturating_sub(1));
    let wait = first.saturating_mul(factor).min(MAX_RETRY);
    let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2);
    DateTime::from_millis(DateTime::now().timestamp_millis() + wait_ms)
}
