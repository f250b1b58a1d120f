//! Broadcasts: the same notification for many users.
//!
//! A broadcast is a record and a job; the job creates in batches and saves how far it got. Every
//! notification it creates has a `dedup_key` of its own, so that a job taken over after a crash
//! repeats nothing.

use bson::{Bson, DateTime, Document, doc};
use serde_json::{Value, json};

use super::{
    drafts::{draft_from_json, draft_to_json},
    jobs::{JobKind, payload_json},
    manager::NotificationsManager,
    model::{Draft, NotificationError, bson_to_json, json_to_bson},
    repository::Repository,
    scheduler::Progress,
};
use mozaiks_jobs::{Job, NewJob, Stopping};

/// Users that a list may name.
const MAX_LISTED_USERS: usize = 10_000;

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
    /// Reads `"all"`, `{"role": "…"}`, `{"users": […]}`, a list of ids, or `"role:…"`; and what
    /// existing plugins write: `{"type": "all"}`, `{"type": "user_ids", "ids": […]}`.
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
            Value::Object(fields) => match fields.get("type").and_then(Value::as_str) {
                Some("all") => Ok(Self::All),
                Some("user_ids") => match fields.get("ids") {
                    Some(Value::Array(items)) => list(items),
                    _ => Err(NotificationError::invalid("target.ids", "must be a list")),
                },
                Some(kind @ ("subscription" | "plugin" | "query")) => {
                    Err(NotificationError::invalid(
                        "target",
                        format!(
                            "{kind:?} asks for what the gateway does not know of users; name a \
                             role or users (plugins: broadcast_service.broadcast() looks for them \
                             in the app's collection `users`)"
                        ),
                    ))
                }
                _ => match (fields.get("role"), fields.get("users")) {
                    (Some(Value::String(role)), None) => Ok(Self::Role(role.clone())),
                    (None, Some(Value::Array(items))) => list(items),
                    _ => Err(invalid()),
                },
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
        let payload = json_to_bson(json!({ "broadcast": id }));
        let job = NewJob::now(
            broadcast_job(&id),
            JobKind::Broadcast.queue(),
            app_id,
            payload,
        )
        .at(broadcast.send_at.unwrap_or_else(DateTime::now));
        self.jobs.add(job).await?;
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

    /// Cancels a broadcast that has not begun.
    ///
    /// # Errors
    /// [`NotificationError::Conflict`] where it has, [`NotificationError::NotFound`].
    pub async fn cancel_broadcast(&self, app_id: &str, id: &str) -> Result<(), NotificationError> {
        let queue = JobKind::Broadcast.queue();
        self.jobs.cancel(app_id, queue, &broadcast_job(id)).await?;
        let cancelled = doc! { "$set": { "state": "cancelled", "ended_at": DateTime::now() } };
        self.repository
            .update_broadcast(app_id, id, cancelled)
            .await?;
        Ok(())
    }

    /// Goes on with a broadcast until it is done or the gateway stops.
    pub(super) async fn run_broadcast(
        &self,
        job: &Job,
        stopping: &Stopping,
    ) -> Result<Progress, NotificationError> {
        let id = id_of(job);
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
            if stopping.is_asked() {
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

    /// Notes in the record that the job has failed.
    pub(super) async fn fail_broadcast(&self, job: &Job) {
        let id = id_of(job);
        let failed = doc! { "$set": { "state": "failed", "ended_at": DateTime::now() } };
        if let Err(error) = self
            .repository
            .update_broadcast(&job.app_id, &id, failed)
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
}

/// The broadcast that a job is about.
fn id_of(job: &Job) -> String {
    let payload = payload_json(&job.payload);
    payload["broadcast"].as_str().unwrap_or_default().to_owned()
}

fn broadcast_job(id: &str) -> String {
    format!("broadcast:{id}")
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
