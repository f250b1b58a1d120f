//! What the notifications keep in the job queue: deliveries, broadcasts, digests, and notifications
//! for later.

use bson::Bson;
use serde::Deserialize;
use serde_json::Value;

use super::views::JobView;
use super::{
    model::{Channel, NotificationError, rfc3339},
    templates::Parts,
};
use mozaiks_jobs::{JobError, JobRecord};

/// Which worker takes a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobKind {
    /// Sends one notification through one channel.
    Delivery(Channel),
    /// Creates notifications for many users.
    Broadcast,
    /// Creates a notification later.
    Scheduled,
    /// Makes a user's digest.
    Digest,
}

impl JobKind {
    /// The queue's name.
    pub(super) fn queue(self) -> &'static str {
        match self {
            Self::Delivery(channel) => channel.as_str(),
            Self::Broadcast => "broadcast",
            Self::Scheduled => "scheduled",
            Self::Digest => "digest",
        }
    }
}

/// The queues of deliveries.
pub(super) const DELIVERIES: [&str; 3] = ["email", "sms", "push"];

/// What a delivery's job holds.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct DeliveryPayload {
    /// An address, a number, or a browser's subscription.
    pub(super) recipient: Value,
    /// What is sent, rendered.
    pub(super) parts: Parts,
    /// What a frontend needs.
    #[serde(default)]
    pub(super) data: Value,
}

impl From<JobError> for NotificationError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::NotFound => Self::NotFound("job"),
            JobError::Conflict(state) => Self::Conflict(format!(
                "it cannot be changed any more: it is {}",
                known_state(&state)
            )),
            JobError::Invalid(what) => Self::Internal(what),
            JobError::Store(error) => Self::Store(error),
        }
    }
}

/// The state that users and admins know: a claimed job is still on its way, and what is done was
/// sent.
pub(super) fn known_state(state: &str) -> &str {
    match state {
        "claimed" => "queued",
        "done" => "sent",
        state => state,
    }
}

/// The states of jobs that stand behind a known one. Earlier versions wrote `sent`.
pub(super) fn states_of(known: &str) -> Vec<&str> {
    match known {
        "queued" => vec!["queued", "claimed"],
        "sent" => vec!["done", "sent"],
        state => vec![state],
    }
}

/// A job as the logs show it.
pub(super) fn job_view(job: &JobRecord) -> JobView {
    let fields = &job.document;
    JobView {
        id: job.id.clone(),
        channel: job.queue.clone(),
        user_id: fields.get_str("user_id").ok().map(str::to_owned),
        notification_id: fields
            .get_object_id("notification_id")
            .ok()
            .map(|id| id.to_hex()),
        status: known_state(&job.state).to_owned(),
        attempts: job.attempts,
        reason: job.reason.clone(),
        created_at: job.created_at.map(rfc3339),
        ended_at: job.ended_at.map(rfc3339),
        run_at: job.run_at.map(rfc3339),
    }
}

/// A payload as JSON.
pub(super) fn payload_json(payload: &Bson) -> Value {
    super::model::bson_to_json(payload)
}
