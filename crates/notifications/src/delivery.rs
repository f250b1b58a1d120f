//! Deliveries: a worker a channel, each of which hands jobs to its sender. What fails for a passing
//! reason is tried again with a growing wait, then left as a dead letter.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{
    channels::{self, Delivery, SendError, Sender},
    jobs::{DeliveryPayload, JobKind},
    manager::NotificationsManager,
    model::Channel,
};
use mozaiks_jobs::{Backoff, Handler, Job, Outcome, Stopping, WorkerOptions, Workers};

/// The longest wait between two attempts.
const MAX_RETRY: Duration = Duration::from_secs(3600);

/// The senders of the configured channels.
pub(super) type Senders = BTreeMap<Channel, Arc<dyn Sender>>;

/// The running workers. They end when [`Self::stop`] is called.
pub struct DeliveryWorkers(Workers);

impl DeliveryWorkers {
    /// Starts a worker for each configured channel. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A sentence that names the setting that cannot be used.
    pub fn start(manager: &Arc<NotificationsManager>) -> Result<Self, String> {
        let senders = channels::senders(&manager.config.channels)?;
        let mut workers = Workers::default();
        for (channel, sender) in &senders {
            let options = WorkerOptions {
                concurrency: manager.config.delivery_concurrency,
                attempts: u32::try_from(manager.config.delivery_attempts).unwrap_or(u32::MAX),
                retry: Backoff {
                    first: manager.config.delivery_retry,
                    longest: MAX_RETRY,
                },
                ..worker_options(manager, JobKind::Delivery(*channel))
            };
            let handler = Deliveries {
                manager: Arc::clone(manager),
                channel: *channel,
                sender: Arc::clone(sender),
            };
            workers.start(Arc::clone(&manager.jobs), options, Arc::new(handler));
        }
        // The manager itself sends codes, which no queue may keep.
        let _ = manager.senders.set(senders);
        Ok(Self(workers))
    }

    /// Takes no further job and waits for those under way.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// What the workers of the notifications have in common.
pub(super) fn worker_options(manager: &NotificationsManager, kind: JobKind) -> WorkerOptions {
    WorkerOptions {
        queues: vec![kind.queue().to_owned()],
        concurrency: 1,
        lease: manager.config.job_lease,
        poll: manager.config.job_poll,
        attempts: u32::MAX,
        retry: Backoff {
            first: manager.config.delivery_retry,
            longest: manager.config.delivery_retry,
        },
    }
}

struct Deliveries {
    manager: Arc<NotificationsManager>,
    channel: Channel,
    sender: Arc<dyn Sender>,
}

impl Handler for Deliveries {
    fn run<'a>(&'a self, job: &'a Job, _: &'a Stopping) -> BoxFuture<'a, Outcome> {
        Box::pin(self.deliver(job))
    }
}

impl Deliveries {
    async fn deliver(&self, job: &Job) -> Outcome {
        let payload: DeliveryPayload = match job.read() {
            Ok(payload) => payload,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        let parts = match self.channel {
            Channel::Email => {
                let outlet = &self.manager.outlet;
                outlet.mail(&job.app_id, payload.parts, &payload.data).await
            }
            Channel::Sms | Channel::Push | Channel::InApp => payload.parts,
        };
        let delivery = Delivery {
            dedup_key: job.id.clone(),
            recipient: payload.recipient,
            parts,
            data: payload.data,
        };
        let limit = self.manager.config.channels.send_timeout;
        let outcome = match tokio::time::timeout(limit, self.sender.send(&delivery)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SendError::Temporary("no answer in time".into())),
        };
        match outcome {
            Ok(()) => Outcome::Done,
            Err(SendError::Temporary(reason)) => Outcome::Retry(reason),
            Err(error) => {
                if let (SendError::Gone(_), Channel::Push) = (&error, self.channel) {
                    self.forget_browser(job, &delivery.recipient).await;
                }
                Outcome::Failed(error.to_string())
            }
        }
    }

    async fn forget_browser(&self, job: &Job, recipient: &Value) {
        let endpoint = recipient.get("endpoint").and_then(Value::as_str);
        let (Some(endpoint), Some(user_id)) = (endpoint, job.field("user_id")) else {
            return;
        };
        let forgetting = self
            .manager
            .unsubscribe_push(&job.app_id, user_id, endpoint);
        if let Err(error) = forgetting.await {
            tracing::warn!(error = %error, "a dead push subscription could not be removed");
        }
    }
}
