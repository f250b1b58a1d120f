//! What happens later or to many: broadcasts, notifications for a time, digests.
//!
//! A broadcast is a record and a job; the job creates in batches and saves how far it got. Every
//! notification it creates has a `dedup_key` of its own, so that a job taken over after a crash
//! repeats nothing.

use std::sync::Arc;

use bson::{Bson, DateTime, Document, doc};
use serde_json::{Map, Value, json};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    manager::NotificationsManager,
    model::{Channel, Draft, NotificationError, bson_to_json, json_to_bson, rfc3339},
    preferences::Digest,
    repository::{Finish, Job, JobKind, NewJob, Repository},
};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// Users that a list may name.
const MAX_LISTED_USERS: usize = 10_000;
/// Notifications that a digest tells of.
const DIGEST_ITEMS: i64 = 50;

/// Whom a broadcast is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every user that the gateway has seen.
    All,
    /// Those with a role.
    Role(String),
    /// These.
    Users(Vec<String>),
}

impl Target {
    /// Reads `"all"`, `{"role": "…"}`, `{"users": […]}`, a list of ids, or `"role:…"`.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] with what is allowed.
    pub fn from_json(value: &Value) -> Result<Self, NotificationError> {
        let invalid = || {
            NotificationError::invalid(
                "target",
                "must be \"all\", {\"role\": \"…\"} or {\"users\": [\"…\"]}",
            )
        };
        let list = |items: &Vec<Value>| {
            if items.is_empty() || items.len() > MAX_LISTED_USERS {
                return Err(NotificationError::invalid(
                    "target.users",
                    format!("must hold 1 to {MAX_LISTED_USERS} users"),
                ));
            }
            let mut users = items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(invalid))
                .collect::<Result<Vec<_>, _>>()?;
            users.sort_unstable();
            users.dedup();
            Ok(Self::Users(users))
        };
        match value {
            Value::Null => Ok(Self::All),
            Value::String(text) if text == "all" => Ok(Self::All),
            Value::String(text) => match text.strip_prefix("role:") {
                Some(role) if !role.is_empty() => Ok(Self::Role(role.to_owned())),
                _ => Err(invalid()),
            },
            Value::Array(items) => list(items),
            Value::Object(fields) => match (fields.get("role"), fields.get("users")) {
                (Some(Value::String(role)), None) => Ok(Self::Role(role.clone())),
                (None, Some(Value::Array(items))) => list(items),
                _ => Err(invalid()),
            },
            Value::Bool(_) | Value::Number(_) => Err(invalid()),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::All => json!("all"),
            Self::Role(role) => json!({ "role": role }),
            Self::Users(users) => json!({ "users": users }),
        }
    }
}

/// A broadcast to be made.
#[derive(Debug, Clone)]
pub struct Broadcast {
    /// What to say.
    pub draft: Draft,
    /// To whom.
    pub target: Target,
    /// Who asked for it.
    pub created_by: Option<String>,
}

impl NotificationsManager {
    /// Records a broadcast and starts it; gives the record.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] for a bad draft or target.
    pub async fn broadcast(
        &self,
        app_id: &str,
        broadcast: &Broadcast,
    ) -> Result<Value, NotificationError> {
        if broadcast.draft.title.trim().is_empty() {
            return Err(NotificationError::invalid("title", "must not be empty"));
        }
        let id = Repository::new_id();
        let record = doc! {
            "_id": &id,
            "app_id": app_id,
            "draft": json_to_bson(draft_to_json(&broadcast.draft)),
            "target": json_to_bson(broadcast.target.to_json()),
            "state": "queued",
            "sent": 0i64,
            "suppressed": 0i64,
            "failed": 0i64,
            "created_by": broadcast.created_by.clone().map_or(Bson::Null, Bson::String),
            "created_at": DateTime::now(),
        };
        let answer = broadcast_to_json(&record);
        self.repository.add_broadcast(record).await?;
        self.repository
            .add_job(NewJob {
                id: format!("broadcast:{id}"),
                kind: JobKind::Broadcast,
                app_id: app_id.to_owned(),
                user_id: None,
                notification_id: None,
                run_at: DateTime::now(),
                payload: json!({ "broadcast": id }),
            })
            .await?;
        self.wakeups.wake(JobKind::Broadcast);
        Ok(answer)
    }

    /// The broadcasts of an app with their progress, newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn broadcasts(&self, app_id: &str) -> Result<Vec<Value>, NotificationError> {
        let found = self.repository.list_broadcasts(app_id, 100).await?;
        Ok(found.iter().map(broadcast_to_json).collect())
    }

    /// One broadcast with its progress.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`].
    pub async fn find_broadcast(&self, app_id: &str, id: &str) -> Result<Value, NotificationError> {
        match self.repository.find_broadcast(app_id, id).await? {
            Some(record) => Ok(broadcast_to_json(&record)),
            None => Err(NotificationError::NotFound("broadcast")),
        }
    }

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
        if draft.title.trim().is_empty() || user_id.trim().is_empty() {
            return Err(NotificationError::invalid(
                "title",
                "and user_id must not be empty",
            ));
        }
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
        self.repository.cancel_job(app_id, id).await
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

    async fn run_broadcast(&self, job: &Job) -> Result<(), NotificationError> {
        let id = job.payload["broadcast"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let running = doc! { "$set": { "state": "running" } };
        let Some(record) = self
            .repository
            .update_broadcast(&job.app_id, &id, running)
            .await?
        else {
            return Err(NotificationError::NotFound("broadcast"));
        };
        let target = record.get("target").map(bson_to_json).unwrap_or_default();
        let target = Target::from_json(&target)?;
        let draft = draft_from_json(&record.get("draft").map(bson_to_json).unwrap_or_default())?;
        let mut after = record.get_str("cursor").ok().map(str::to_owned);
        loop {
            let users = self.batch(&job.app_id, &target, after.as_deref()).await?;
            let Some(last) = users.last().cloned() else {
                break;
            };
            let mut counts = [0i64; 3];
            for user_id in &users {
                let mut own = draft.clone();
                own.metadata
                    .insert("dedup_key".into(), format!("broadcast:{id}").into());
                own.metadata
                    .insert("broadcast_id".into(), id.clone().into());
                match self.create(&job.app_id, user_id, &own).await {
                    Ok(created) if created.channels.is_empty() => counts[1] += 1,
                    Ok(_) => counts[0] += 1,
                    // Trouble with the database ends the batch; the job goes on from the cursor.
                    Err(error @ NotificationError::Store(_)) => return Err(error),
                    Err(error) => {
                        tracing::warn!(broadcast = id, user.id = user_id, error = %error,
                            "a user could not be told");
                        counts[2] += 1;
                    }
                }
            }
            let progress = doc! {
                "$set": { "cursor": &last },
                "$inc": { "sent": counts[0], "suppressed": counts[1], "failed": counts[2] },
            };
            self.repository
                .update_broadcast(&job.app_id, &id, progress)
                .await?;
            if !self
                .repository
                .renew_job(job, self.config.job_lease)
                .await?
            {
                // Another worker has taken over, and goes on from the cursor.
                return Ok(());
            }
            after = Some(last);
        }
        let done = doc! { "$set": { "state": "done", "ended_at": DateTime::now() } };
        self.repository
            .update_broadcast(&job.app_id, &id, done)
            .await?;
        Ok(())
    }

    async fn batch(
        &self,
        app_id: &str,
        target: &Target,
        after: Option<&str>,
    ) -> Result<Vec<String>, NotificationError> {
        let size = self.config.broadcast_batch.max(1);
        let limit = i64::try_from(size).unwrap_or(i64::MAX);
        match target {
            Target::All => {
                self.repository
                    .users_after(app_id, None, after, limit)
                    .await
            }
            Target::Role(role) => {
                self.repository
                    .users_after(app_id, Some(role), after, limit)
                    .await
            }
            Target::Users(users) => Ok(users
                .iter()
                .filter(|user| after.is_none_or(|after| user.as_str() > after))
                .take(size)
                .cloned()
                .collect()),
        }
    }

    async fn run_scheduled(&self, job: &Job) -> Result<(), NotificationError> {
        let mut draft = draft_from_json(&job.payload)?;
        let user_id = job.user_id.clone().unwrap_or_default();
        let key = format!("scheduled:{}", job.id);
        draft
            .metadata
            .entry("dedup_key")
            .or_insert_with(|| Value::from(key));
        self.create(&job.app_id, &user_id, &draft).await?;
        Ok(())
    }

    /// Sends the digest that is due longest; whether there was one.
    async fn run_digest(&self) -> Result<bool, NotificationError> {
        let now = DateTime::now();
        let Some((app_id, user_id, due)) = self.repository.due_digest(now).await? else {
            return Ok(false);
        };
        let preferences = self.repository.preferences(&app_id, &user_id).await?;
        let days = match preferences.digest {
            Digest::Off => 0,
            Digest::Daily => 1,
            Digest::Weekly => 7,
        };
        let address = match preferences.email {
            Some(address) => Some(address),
            None => self.repository.known_email(&app_id, &user_id).await?,
        };
        if let (1.., Some(address)) = (days, address) {
            let since = DateTime::from_millis(due.timestamp_millis() - days * DAY_MS);
            let items = self
                .repository
                .list(&app_id, &user_id, true, Some(since), None, DIGEST_ITEMS, 0)
                .await?;
            if !items.is_empty() {
                let draft = digest_draft(preferences.digest, &items);
                let parts = self
                    .templates()
                    .render(Channel::Email, &draft, &app_id, &user_id)?;
                // The id makes a second replica's job the same job.
                let id = format!("digest:{app_id}:{user_id}:{}", due.timestamp_millis());
                let job = NewJob {
                    id,
                    kind: JobKind::Delivery(Channel::Email),
                    app_id: app_id.clone(),
                    user_id: Some(user_id.clone()),
                    notification_id: None,
                    run_at: now,
                    payload: json!({ "recipient": address, "parts": parts, "data": {} }),
                };
                self.repository.add_job(job).await?;
                self.wakeups.wake(JobKind::Delivery(Channel::Email));
            }
        }
        let next = next_digest(preferences.digest, now, self.config.digest_hour);
        self.repository
            .advance_digest(&app_id, &user_id, due, next)
            .await?;
        Ok(true)
    }
}

/// Runs broadcasts, notifications for later and digests. Ends when [`Self::stop`] is called.
pub struct Scheduler {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Scheduler {
    /// Starts it. Must be called within a tokio runtime.
    pub fn start(manager: Arc<NotificationsManager>) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self {
            stop,
            task: tokio::spawn(run(manager, stopped)),
        }
    }

    /// Finishes the batch under way and ends.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

async fn run(manager: Arc<NotificationsManager>, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let mut did_something = false;
        for kind in [JobKind::Scheduled, JobKind::Broadcast] {
            did_something |= run_one(&manager, kind).await;
        }
        did_something |= match manager.run_digest().await {
            Ok(sent) => sent,
            Err(error) => {
                tracing::debug!(error = %error, "no digest could be made");
                false
            }
        };
        if !did_something {
            tokio::select! {
                () = manager.wakeups.of(JobKind::Scheduled).notified() => {}
                _ = tokio::time::timeout(manager.config.job_poll, stopped.changed()) => {}
            }
        }
    }
}

async fn run_one(manager: &NotificationsManager, kind: JobKind) -> bool {
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
        JobKind::Broadcast => manager.run_broadcast(&job).await,
        JobKind::Scheduled | JobKind::Delivery(_) => manager.run_scheduled(&job).await,
    };
    let finish = match outcome {
        Ok(()) => Finish::Sent,
        Err(NotificationError::Store(error)) => {
            let wait = i64::try_from(manager.config.delivery_retry.as_millis()).unwrap_or(5000);
            Finish::Retry {
                at: DateTime::from_millis(DateTime::now().timestamp_millis() + wait),
                reason: error.to_string(),
            }
        }
        Err(error) => {
            tracing::warn!(job = job.id, error = %error, "a job of the notifications failed");
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

/// When the next digest is due: the next day at the hour, or the next Monday.
pub(super) fn next_digest(digest: Digest, now: DateTime, hour: u32) -> Option<DateTime> {
    let day = now.timestamp_millis().div_euclid(DAY_MS);
    let at_hour = |day: i64| day * DAY_MS + i64::from(hour % 24) * 3_600_000;
    let now_ms = now.timestamp_millis();
    let next = match digest {
        Digest::Off => return None,
        Digest::Daily => (0..=1)
            .map(|add| at_hour(day + add))
            .find(|at| *at > now_ms)?,
        // The first of January 1970 was a Thursday: Mondays are the days with a remainder of 4.
        Digest::Weekly => (0..=7)
            .filter(|add| (day + add).rem_euclid(7) == 4)
            .map(|add| at_hour(day + add))
            .find(|at| *at > now_ms)?,
    };
    Some(DateTime::from_millis(next))
}

fn digest_draft(digest: Digest, items: &[super::model::Notification]) -> Draft {
    let lines: Vec<String> = items
        .iter()
        .map(|item| format!("{}: {}", item.title, item.message))
        .collect();
    let mut metadata = Map::new();
    metadata.insert("count".into(), items.len().into());
    metadata.insert(
        "items".into(),
        items.iter().map(|item| item.to_json()).collect(),
    );
    Draft {
        notification_type: format!("{}_digest", digest.as_str()),
        title: format!("{} unread notifications", items.len()),
        message: lines.join("\n"),
        metadata,
        channels: None,
    }
}

fn draft_to_json(draft: &Draft) -> Value {
    let channels = draft.channels.as_ref().map(|channels| {
        channels
            .iter()
            .map(|channel| channel.as_str())
            .collect::<Vec<_>>()
    });
    json!({
        "notification_type": draft.notification_type,
        "title": draft.title,
        "message": draft.message,
        "metadata": draft.metadata,
        "channels": channels,
    })
}

/// Reads what [`draft_to_json`] writes, and what callers send.
pub(super) fn draft_from_json(value: &Value) -> Result<Draft, NotificationError> {
    let text = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(NotificationError::invalid(key, "must be a string")),
    };
    let metadata = match value.get("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(metadata)) => metadata.clone(),
        Some(_) => return Err(NotificationError::invalid("metadata", "must be an object")),
    };
    let channels = match value.get("channels") {
        None | Some(Value::Null) => None,
        Some(Value::Array(items)) => Some(
            items
                .iter()
                .map(|item| item.as_str().unwrap_or_default().parse())
                .collect::<Result<Vec<Channel>, _>>()?,
        ),
        Some(_) => return Err(NotificationError::invalid("channels", "must be a list")),
    };
    Ok(Draft {
        notification_type: text("notification_type")?,
        title: text("title")?,
        message: text("message")?,
        metadata,
        channels,
    })
}

fn broadcast_to_json(record: &Document) -> Value {
    let field = |name: &str| record.get(name).map(bson_to_json).unwrap_or_default();
    let mut value = field("draft");
    if let Some(fields) = value.as_object_mut() {
        for (name, from) in [
            ("id", "_id"),
            ("target", "target"),
            ("status", "state"),
            ("sent", "sent"),
            ("suppressed", "suppressed"),
            ("failed", "failed"),
            ("created_by", "created_by"),
            ("created_at", "created_at"),
            ("ended_at", "ended_at"),
        ] {
            fields.insert(name.into(), field(from));
        }
    }
    value
}

/// Reads a time that a caller sent: ISO 8601 with an offset, or without one for UTC.
pub(super) fn time_from_json(value: &Value, path: &str) -> Result<DateTime, NotificationError> {
    let invalid = || NotificationError::invalid(path, "must be a time in ISO 8601");
    let text = value.as_str().ok_or_else(invalid)?;
    let has_zone =
        text.ends_with(['Z', 'z']) || text.get(10..).is_some_and(|time| time.contains(['+', '-']));
    let full = if has_zone {
        text.to_owned()
    } else {
        format!("{text}Z")
    };
    DateTime::parse_rfc3339_str(full.replacen(' ', "T", 1)).map_err(|_| invalid())
}
