//! What happens later or to many: broadcasts, notifications for a time, digests.
//!
//! A broadcast is a record and a job; the job creates in batches and saves how far it got. Every
//! notification it creates has a `dedup_key` of its own, so that a job taken over after a crash
//! repeats nothing.

use std::sync::Arc;

use bson::{Bson, DateTime, Document, doc};
use serde_json::{Map, Value, json};
use tokio::{sync::watch, task::JoinSet};

use super::{
    manager::{NotificationsManager, short_hash},
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
    /// When; at once where nothing is said.
    pub send_at: Option<DateTime>,
}

/// How far a job got.
enum Progress {
    Done,
    /// The gateway stops: somebody else goes on.
    Interrupted,
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
        self.validate(app_id, &broadcast.draft)?;
        let id = Repository::new_id();
        let record = doc! {
            "_id": &id,
            "app_id": app_id,
            "draft": json_to_bson(draft_to_json(&broadcast.draft)),
            "target": json_to_bson(broadcast.target.to_json()),
            "state": "queued",
            "send_at": broadcast.send_at.unwrap_or_else(DateTime::now),
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
                id: broadcast_job(&id),
                kind: JobKind::Broadcast,
                app_id: app_id.to_owned(),
                user_id: None,
                notification_id: None,
                run_at: broadcast.send_at.unwrap_or_else(DateTime::now),
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

    /// Cancels a broadcast that has not begun.
    ///
    /// # Errors
    /// [`NotificationError::Conflict`] where it has, [`NotificationError::NotFound`].
    pub async fn cancel_broadcast(&self, app_id: &str, id: &str) -> Result<(), NotificationError> {
        self.repository
            .cancel_job(app_id, JobKind::Broadcast, &broadcast_job(id))
            .await?;
        let cancelled = doc! { "$set": { "state": "cancelled", "ended_at": DateTime::now() } };
        self.repository
            .update_broadcast(app_id, id, cancelled)
            .await?;
        Ok(())
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

    async fn run_broadcast(
        &self,
        job: &Job,
        stopped: &watch::Receiver<bool>,
    ) -> Result<Progress, NotificationError> {
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
            let mut own = draft.clone();
            let dedup_key = Value::from(format!("broadcast:{id}"));
            own.metadata.insert("dedup_key".into(), dedup_key);
            own.metadata
                .insert("broadcast_id".into(), id.as_str().into());
            let mut counts = [0i64; 3];
            let creations = self.create_each(&job.app_id, &users, &own).await;
            for (user_id, created) in users.iter().zip(creations) {
                match created {
                    Ok(created) if !created.stored => counts[1] += 1,
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
                return Ok(Progress::Done);
            }
            if *stopped.borrow() {
                return Ok(Progress::Interrupted);
            }
            after = Some(last);
        }
        let done = doc! { "$set": { "state": "done", "ended_at": DateTime::now() } };
        self.repository
            .update_broadcast(&job.app_id, &id, done)
            .await?;
        Ok(Progress::Done)
    }

    async fn fail_broadcast(&self, kind: JobKind, job: &Job) {
        if kind != JobKind::Broadcast {
            return;
        }
        let id = job.payload["broadcast"].as_str().unwrap_or_default();
        let failed = doc! { "$set": { "state": "failed", "ended_at": DateTime::now() } };
        if let Err(error) = self
            .repository
            .update_broadcast(&job.app_id, id, failed)
            .await
        {
            tracing::warn!(job = job.id, error = %error, "a broadcast's end could not be stored");
        }
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

    /// Makes the digest that is due longest; whether there was one. It tells of the time from the one
    /// before to the moment it was due, so that whoever makes it makes the same.
    async fn run_digest(&self) -> Result<bool, NotificationError> {
        let now = DateTime::now();
        let Some(digest) = self.repository.due_digest(now).await? else {
            return Ok(false);
        };
        let (app_id, user_id, due) = (&digest.app_id, &digest.user_id, digest.due);
        let preferences = self.repository.preferences(app_id, user_id).await?;
        let days = match preferences.digest {
            Digest::Off => 0,
            Digest::Daily => 1,
            Digest::Weekly => 7,
        };
        let address = match preferences.email {
            Some(address) => Some(address),
            None => self.repository.known_email(app_id, user_id).await?,
        };
        let wants_mail = preferences.channels.get(&Channel::Email).copied();
        let can_send = self.config.channels.email.is_some() && wants_mail.unwrap_or(true);
        if let (1.., Some(address), true) = (days, address, can_send) {
            let earliest = DateTime::from_millis(due.timestamp_millis() - days * DAY_MS);
            let from = digest.from.unwrap_or(earliest);
            let items = self
                .repository
                .list_for_digest(app_id, user_id, from, due, DIGEST_ITEMS)
                .await?;
            if !items.is_empty() {
                let draft = digest_draft(preferences.digest, &items);
                let parts = self
                    .templates()
                    .render(Channel::Email, &draft, app_id, user_id)?;
                // The id makes a second replica's job the same job.
                let whose = short_hash(&format!("{app_id}\0{user_id}"));
                let job = NewJob {
                    id: format!("digest:{whose}:{}", due.timestamp_millis()),
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
            .advance_digest(app_id, user_id, due, next)
            .await?;
        Ok(true)
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

/// When the next digest is due: the next day at the hour, or the next Monday.
pub(super) fn next_digest(digest: Digest, now: DateTime, hour: usize) -> Option<DateTime> {
    let day = now.timestamp_millis().div_euclid(DAY_MS);
    let hour_ms = i64::try_from(hour % 24).unwrap_or(0) * 3_600_000;
    let at_hour = |day: i64| day * DAY_MS + hour_ms;
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

fn broadcast_job(id: &str) -> String {
    format!("broadcast:{id}")
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
            ("send_at", "send_at"),
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
