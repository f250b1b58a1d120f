//! Digests: one mail a day or a week in place of many.

use bson::DateTime;
use serde_json::{Map, json};

use super::{
    manager::{NotificationsManager, short_hash},
    model::{Channel, Draft, Notification, NotificationError},
    preferences::Digest,
    repository::{JobKind, NewJob},
};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// Notifications that a digest tells of.
const DIGEST_ITEMS: i64 = 50;

impl NotificationsManager {
    /// Makes the digest that is due longest; whether there was one. It tells of the time from the one
    /// before to the moment it was due, so that whoever makes it makes the same.
    pub(super) async fn run_digest(&self) -> Result<bool, NotificationError> {
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

fn digest_draft(digest: Digest, items: &[Notification]) -> Draft {
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
