//! Digests: a mail a day or a week in place of many.
//!
//! When a user's hour comes, a job is put into the queue, so that one digest in trouble keeps nobody
//! else's. The job takes what waits for the user and tells all of it, oldest first, in as many
//! messages as it needs: a message holds a number of notifications and of bytes.

use bson::DateTime;
use serde_json::{Map, json};

use super::{
    jobs::JobKind,
    manager::{NotificationsManager, short_hash},
    model::{Channel, Draft, Notification, NotificationError, json_to_bson},
    preferences::Digest,
    repository::{ids_in, ids_of},
    scheduler::Progress,
    templates::{Parts, Templates},
};
use mozaiks_jobs::{Job, NewJob, Stopping};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// Notifications in one message of a digest.
const MESSAGE_ITEMS: usize = 50;
/// Bytes of their titles, texts and metadata; a template may make more of them.
const MESSAGE_BYTES: usize = 128 * 1024;
/// What is left of the text of one that is too large for any message.
const CUT_BYTES: usize = 16 * 1024;

impl NotificationsManager {
    /// Hands the digest that is due longest to the queue; whether there was one. Also the last one of
    /// a user who wants none any more: it tells what was waiting.
    pub(super) async fn call_digest(&self) -> Result<bool, NotificationError> {
        let now = DateTime::now();
        let Some(digest) = self.repository.due_digest(now).await? else {
            return Ok(false);
        };
        let (app_id, user_id) = (&digest.app_id, &digest.user_id);
        let next = match self.repository.preferences(app_id, user_id).await {
            Ok(preferences) => {
                // The id makes a second gateway's job the same job.
                let whose = short_hash(&format!("{app_id}\0{user_id}"));
                let id = format!("digest:{whose}:{}", digest.due.timestamp_millis());
                let payload = json_to_bson(json!({ "digest": preferences.digest.as_str() }));
                let job = NewJob::now(id, JobKind::Digest.queue(), app_id, payload)
                    .with_field("user_id", user_id.as_str());
                self.jobs.add(job).await?;
                next_digest(preferences.digest, now, self.config.digest_hour)
            }
            Err(error @ NotificationError::Store(_)) => return Err(error),
            Err(error) => {
                tracing::error!(user.id = user_id, error = %error, "a digest is put off for a day");
                Some(DateTime::from_millis(now.timestamp_millis() + DAY_MS))
            }
        };
        self.repository.advance_digest(&digest, next).await?;
        Ok(true)
    }

    /// Tells a user what waits for them. Where mail cannot reach them now, it goes on waiting.
    pub(super) async fn run_digest(
        &self,
        job: &Job,
        stopping: &Stopping,
    ) -> Result<Progress, NotificationError> {
        let (app_id, user_id) = (&*job.app_id, job.field("user_id").unwrap_or_default());
        let preferences = self.repository.preferences(app_id, user_id).await?;
        let Ok(address) = self.digest_address(app_id, user_id, &preferences).await? else {
            self.repository.give_back(app_id, user_id, &job.id).await?;
            return Ok(Progress::Done);
        };
        let repository = &self.repository;
        repository.take_for_digest(app_id, user_id, &job.id).await?;
        let limit = i64::try_from(MESSAGE_ITEMS).unwrap_or(i64::MAX);
        loop {
            let (items, waiting) = repository
                .taken_for_digest(app_id, user_id, &job.id, limit)
                .await?;
            let Some(first) = items.first() else {
                return Ok(Progress::Done);
            };
            let message = Message {
                digest: preferences.digest,
                app_id,
                user_id,
                waiting,
            };
            let (told, parts) = message.fit(self.templates(), &items);
            let told = ids_of(&items[..told]);
            // Made again after a crash it is the same message: its id is that of its first.
            let id = format!("{}:{}", job.id, first.id.to_hex());
            let payload = json_to_bson(json!({ "recipient": address, "parts": parts, "data": {} }));
            let mail = JobKind::Delivery(Channel::Email).queue();
            let delivery = NewJob::now(id.as_str(), mail, app_id, payload)
                .with_field("user_id", user_id)
                .with_field("items", told.clone());
            let told = if self.jobs.add(delivery).await? {
                told
            } else {
                let earlier = self.jobs.find(&id).await?;
                let earlier = earlier.map(|job| ids_in(job.document.get("items")));
                earlier.filter(|ids| !ids.is_empty()).unwrap_or(told)
            };
            repository.told_in_digest(app_id, user_id, told).await?;
            if stopping.is_asked() {
                return Ok(Progress::Interrupted);
            }
        }
    }

    /// Gives back what a digest has taken that will not be made: the next one tells it.
    pub(super) async fn give_up_digest(&self, job: &Job) {
        let user_id = job.field("user_id").unwrap_or_default();
        let giving = self.repository.give_back(&job.app_id, user_id, &job.id);
        if let Err(error) = giving.await {
            tracing::warn!(job = job.id, error = %error, "a digest's notifications were not given back");
        }
    }
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

/// One message of a digest.
pub(super) struct Message<'a> {
    pub(super) digest: Digest,
    pub(super) app_id: &'a str,
    pub(super) user_id: &'a str,
    /// How many are still to be told, those of this message among them.
    pub(super) waiting: u64,
}

impl Message<'_> {
    /// Renders as many of these, from the first on, as go into one message; at least one. Where the
    /// operator's template cannot be used, the built-in one is: a digest is not lost to either.
    pub(super) fn fit(&self, templates: &Templates, items: &[Notification]) -> (usize, Parts) {
        let mut bytes = 0;
        let most = items
            .iter()
            .take(MESSAGE_ITEMS)
            .take_while(|item| {
                bytes += size_of(item);
                bytes <= MESSAGE_BYTES
            })
            .count()
            .max(1);
        let built_in = Templates::default();
        for templates in [templates, &built_in] {
            let mut count = most;
            loop {
                match self.render(templates, &items[..count]) {
                    Ok(parts) => return (count, parts),
                    Err(error) if count == 1 => {
                        tracing::warn!(user.id = self.user_id, error = %error,
                            "a digest's template cannot be used");
                        break;
                    }
                    Err(_) => count /= 2,
                }
            }
        }
        let mut draft = self.draft(&items[..1]);
        draft.metadata.insert("items".into(), json!([]));
        draft.message = cut(&draft.message).to_owned() + "…";
        let parts = built_in.render(Channel::Email, &draft, self.app_id, self.user_id);
        (1, parts.unwrap_or_default())
    }

    fn render(
        &self,
        templates: &Templates,
        items: &[Notification],
    ) -> Result<Parts, NotificationError> {
        let draft = self.draft(items);
        templates.render(Channel::Email, &draft, self.app_id, self.user_id)
    }

    fn draft(&self, items: &[Notification]) -> Draft {
        let more = self.waiting.saturating_sub(items.len() as u64);
        let mut lines: Vec<String> = items
            .iter()
            .map(|item| format!("{}: {}", item.title, item.message))
            .collect();
        if more > 0 {
            lines.push(format!("{more} more follow in another message"));
        }
        let mut metadata = Map::new();
        metadata.insert("count".into(), items.len().into());
        metadata.insert("more".into(), more.into());
        metadata.insert(
            "items".into(),
            items.iter().map(|item| item.to_json()).collect(),
        );
        let noun = if items.len() == 1 {
            "notification"
        } else {
            "notifications"
        };
        let kind = match self.digest {
            // The last one, of somebody who wants none any more.
            Digest::Off | Digest::Daily => Digest::Daily,
            Digest::Weekly => Digest::Weekly,
        };
        Draft {
            notification_type: format!("{}_digest", kind.as_str()),
            title: format!("{} unread {noun}", items.len()),
            message: lines.join("\n"),
            metadata,
            channels: None,
        }
    }
}

fn size_of(item: &Notification) -> usize {
    let metadata = serde_json::to_string(&item.metadata).map_or(0, |text| text.len());
    item.title.len() + item.message.len() + metadata
}

/// The beginning of a text.
fn cut(text: &str) -> &str {
    let mut end = CUT_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
