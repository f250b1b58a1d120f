//! Where a notification goes on each channel, and the deliveries that take it there.

use serde_json::{Value, json};

use super::{MAX_SUBSCRIPTIONS, NotificationsManager, short_hash};
use crate::{
    jobs::JobKind,
    model::{Channel, Notification, NotificationError, json_to_bson},
    preferences::{Contact, Digest, Preferences},
    templates::Parts,
};
use mozaiks_jobs::NewJob;

/// What becomes of a channel.
pub(super) enum Plan {
    /// Listed and pushed to open sockets.
    List,
    /// Sent to these, each with a name that tells them apart.
    Send(Vec<(String, Value)>),
    /// Told of in the next digest.
    Gather,
    /// Nothing, for this reason.
    Skip(&'static str),
}

impl NotificationsManager {
    /// What becomes of a channel that the user allows.
    pub(super) async fn plan(
        &self,
        channel: Channel,
        app_id: &str,
        user_id: &str,
        preferences: &Preferences,
    ) -> Result<Plan, NotificationError> {
        if !self.is_configured(channel) {
            return Ok(Plan::Skip("this channel is not configured"));
        }
        let to_one = |address: Result<String, _>| match address {
            Ok(address) => Plan::Send(vec![("0".to_owned(), Value::from(address))]),
            Err(missing) => Plan::Skip(missing),
        };
        Ok(match channel {
            Channel::InApp => Plan::List,
            Channel::Email => {
                let mail = Contact::Email;
                let address = self.address(app_id, user_id, mail, preferences).await?;
                match (preferences.digest, address) {
                    (Digest::Daily | Digest::Weekly, Ok(_)) => Plan::Gather,
                    (_, address) => to_one(address),
                }
            }
            Channel::Sms => {
                let phone = Contact::Phone;
                to_one(self.address(app_id, user_id, phone, preferences).await?)
            }
            Channel::Push => {
                let browsers = self
                    .repository
                    .push_subscriptions(app_id, user_id, MAX_SUBSCRIPTIONS.into())
                    .await?;
                if browsers.is_empty() {
                    return Ok(Plan::Skip("the user has no browser subscribed"));
                }
                let recipients = browsers.into_iter().map(|browser| {
                    let recipient = json!({
                        "endpoint": browser.endpoint,
                        "p256dh": browser.p256dh,
                        "auth": browser.auth,
                    });
                    (short_hash(&browser.endpoint), recipient)
                });
                Plan::Send(recipients.collect())
            }
        })
    }

    pub(super) async fn queue_deliveries(
        &self,
        notification: &Notification,
        channel: Channel,
        parts: &Parts,
        recipients: Vec<(String, Value)>,
    ) -> Result<(), NotificationError> {
        let id = notification.id.to_hex();
        for (suffix, recipient) in recipients {
            let payload = json!({
                "recipient": recipient,
                "parts": parts,
                "data": {
                    "id": id,
                    "type": notification.notification_type,
                    "metadata": notification.metadata,
                },
            });
            let job = NewJob::now(
                format!("{id}:{channel}:{suffix}"),
                JobKind::Delivery(channel).queue(),
                &notification.app_id,
                json_to_bson(payload),
            )
            .with_field("user_id", notification.user_id.as_str())
            .with_field("notification_id", notification.id);
            self.jobs.add(job).await?;
        }
        Ok(())
    }
}
