//! What users wish: their preferences, and the browsers that they have subscribed.

use bson::DateTime;
use serde_json::{Map, Value};

use super::{MAX_SUBSCRIPTIONS, NotificationsManager};
use crate::{
    channels,
    digests::next_digest,
    model::NotificationError,
    preferences::{Digest, Preferences},
    repository::PushSubscription,
};
use mozaiks_config::PushConfig;

/// How often a change of preferences is tried while others change them.
const MAX_CHANGE_ROUNDS: usize = 32;

impl NotificationsManager {
    /// A user's preferences.
    ///
    /// # Errors
    /// What the database says.
    pub async fn preferences(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<Preferences, NotificationError> {
        self.repository.preferences(app_id, user_id).await
    }

    /// Changes what `patch` names of a user's preferences; see [`Preferences::apply`].
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] with the path of what is wrong.
    pub async fn update_preferences(
        &self,
        app_id: &str,
        user_id: &str,
        patch: &Map<String, Value>,
    ) -> Result<Preferences, NotificationError> {
        // Whoever changes them at the same time does not undo this, nor this theirs.
        for _ in 0..MAX_CHANGE_ROUNDS {
            let repository = &self.repository;
            let (mut preferences, revision) =
                repository.stored_preferences(app_id, user_id).await?;
            let before = preferences.digest;
            preferences.apply(patch)?;
            let now = DateTime::now();
            let next = match (before, preferences.digest) {
                // Who wants none any more is told at once what was waiting.
                (Digest::Daily | Digest::Weekly, Digest::Off) => Some(now),
                (_, digest) => next_digest(digest, now, self.config.digest_hour),
            };
            if repository
                .save_preferences(app_id, user_id, &preferences, revision, next)
                .await?
            {
                return Ok(preferences);
            }
        }
        Err(NotificationError::Conflict(
            "others keep changing these preferences".into(),
        ))
    }

    /// The key that browsers subscribe with; `None` where web push is off.
    ///
    /// # Errors
    /// [`NotificationError::Internal`] for a key that is none.
    pub fn vapid_public_key(&self) -> Result<Option<String>, NotificationError> {
        let push = self.push_config();
        push.map(channels::vapid_public_key)
            .transpose()
            .map_err(NotificationError::Internal)
    }

    /// Whether web push is on.
    pub fn takes_push(&self) -> bool {
        self.push_config().is_some()
    }

    /// Stores a browser's subscription, unless web push is off; whether it did.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] where it cannot be used, or its service is not known.
    pub async fn subscribe_push(
        &self,
        app_id: &str,
        user_id: &str,
        endpoint: &str,
        p256dh: &str,
        auth: &str,
    ) -> Result<bool, NotificationError> {
        let Some(push) = self.push_config() else {
            return Ok(false);
        };
        channels::check_subscription(push, endpoint, p256dh, auth)
            .map_err(|message| NotificationError::invalid("subscription", message))?;
        let subscription = PushSubscription {
            endpoint: endpoint.to_owned(),
            p256dh: p256dh.to_owned(),
            auth: auth.to_owned(),
        };
        self.repository
            .subscribe_push(app_id, user_id, &subscription, MAX_SUBSCRIPTIONS.into())
            .await?;
        Ok(true)
    }

    /// Forgets a browser's subscription; whether there was one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn unsubscribe_push(
        &self,
        app_id: &str,
        user_id: &str,
        endpoint: &str,
    ) -> Result<bool, NotificationError> {
        self.repository
            .unsubscribe_push(app_id, user_id, endpoint)
            .await
    }

    fn push_config(&self) -> Option<&PushConfig> {
        self.config.channels.push.as_ref()
    }
}
