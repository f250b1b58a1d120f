//! The notifications manager: creates notifications and hands them on. What users do with theirs, what
//! they wish, and the log of deliveries have files of their own.

mod inbox;
mod log;
mod plan;
mod wishes;

use std::sync::{Arc, OnceLock};

use bson::{DateTime, oid::ObjectId};
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use serde_json::{Map, Value, json};

pub use self::inbox::{Page, PageRequest};
use self::plan::Plan;
use super::{
    NotificationsConfig,
    catalogue::Catalogue,
    delivery::Senders,
    directory::UserDirectory,
    files::Definitions,
    model::{Channel, Draft, Notification, NotificationError, Outlet},
    preferences::{Decision, Digest},
    repository::{JOBS, Repository},
    templates::Templates,
    views::{ChannelView, OfferView},
};
use mozaiks_jobs::JobQueue;
use mozaiks_store::Store;

/// Browsers of one user that a notification is pushed to.
const MAX_SUBSCRIPTIONS: u32 = 20;
/// Notifications of one bulk call or broadcast created at a time.
const CREATED_AT_A_TIME: usize = 8;
/// The most notifications of one page.
const MAX_PAGE: u64 = 200;

/// What became of a creation.
#[derive(Debug, Clone)]
pub struct Created {
    /// The notification, with the channels it goes to: none where it was suppressed.
    pub notification: Notification,
    /// Whether it was stored, now or before.
    pub stored: bool,
    /// Channels that were asked for or declared and that it does not go to, each with the reason.
    pub skipped: Vec<(Channel, &'static str)>,
    /// Why it was not delivered, or that it had been before.
    pub reason: Option<&'static str>,
}

impl Created {
    /// The notification with `user_id`, `delivered`, `channels` and, where there is something to say,
    /// `skipped` (channels, each with the reason) and `reason`.
    pub fn to_json(&self) -> Value {
        let mut value = self.notification.to_json();
        let channels = &self.notification.channels;
        value["user_id"] = Value::from(self.notification.user_id.as_str());
        value["delivered"] = Value::Bool(self.stored);
        value["channels"] = channels
            .iter()
            .map(|channel| Value::from(channel.as_str()))
            .collect();
        if !self.skipped.is_empty() {
            let skipped = self.skipped.iter();
            value["skipped"] = skipped
                .map(|(channel, reason)| (channel.as_str().to_owned(), Value::from(*reason)))
                .collect::<Map<_, _>>()
                .into();
        }
        if !self.stored {
            value["id"] = Value::Null;
        }
        if let Some(reason) = self.reason {
            value["reason"] = Value::from(reason);
        }
        value
    }
}

/// The manager. One for the gateway; every call names the app and the user.
pub struct NotificationsManager {
    pub(super) config: NotificationsConfig,
    pub(super) repository: Arc<Repository>,
    pub(super) outlet: Arc<dyn Outlet>,
    /// What takes longer than a write.
    pub(super) jobs: Arc<JobQueue>,
    /// The configured channels, once the workers have started.
    pub(super) senders: OnceLock<Senders>,
    catalogue: Catalogue,
    templates: Templates,
    directory: Arc<UserDirectory>,
}

impl NotificationsManager {
    /// A manager over a database. Must be called within a tokio runtime.
    pub fn new(
        config: NotificationsConfig,
        store: Arc<Store>,
        outlet: Arc<dyn Outlet>,
        definitions: Definitions,
    ) -> Arc<Self> {
        let jobs = JobQueue::new(Arc::clone(&store), JOBS);
        let repository = Arc::new(Repository::new(store));
        Arc::new(Self {
            config,
            directory: UserDirectory::start(repository.clone()),
            repository,
            outlet,
            jobs,
            senders: OnceLock::new(),
            catalogue: definitions.catalogue,
            templates: definitions.templates,
        })
    }

    /// The declared types.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The templates.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Who has been seen.
    pub fn directory(&self) -> &UserDirectory {
        &self.directory
    }

    /// Creates a notification: stores and pushes it, queues its deliveries, publishes
    /// `notification_created`. With a `dedup_key` in the metadata the same is created once a day.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] for parts that are missing or too large or a template that
    /// cannot be rendered, else what the database says.
    pub async fn create(
        &self,
        app_id: &str,
        user_id: &str,
        draft: &Draft,
    ) -> Result<Created, NotificationError> {
        self.check(user_id, draft)?;
        let preferences = self.repository.preferences(app_id, user_id).await?;
        let declared = self.catalogue.find(&draft.notification_type);
        let decision = preferences.decide(
            &draft.notification_type,
            declared.as_ref(),
            draft.channels.as_deref(),
        );
        let mut notification = Notification {
            id: ObjectId::new(),
            app_id: app_id.to_owned(),
            user_id: user_id.to_owned(),
            notification_type: draft.notification_type.clone(),
            title: draft.title.clone(),
            message: draft.message.clone(),
            metadata: draft.metadata.clone(),
            read: false,
            created_at: DateTime::now(),
            channels: Vec::new(),
        };
        let allowed = match decision {
            Decision::Deliver(allowed) => allowed,
            Decision::Suppressed(reason) => {
                return Ok(Created {
                    notification,
                    stored: false,
                    skipped: Vec::new(),
                    reason: Some(reason),
                });
            }
        };
        let mut skipped: Vec<(Channel, &'static str)> = draft
            .channels
            .iter()
            .flatten()
            .filter(|asked| !allowed.contains(asked))
            .map(|asked| (*asked, "the user has turned this channel off"))
            .collect();
        // Everything is rendered before anything is stored: a bad template stores nothing.
        let mut outgoing = Vec::new();
        for channel in allowed {
            let parts = self.templates.render(channel, draft, app_id, user_id)?;
            match self.plan(channel, app_id, user_id, &preferences).await? {
                Plan::Skip(reason) => {
                    skipped.push((channel, reason));
                    continue;
                }
                Plan::List => {
                    notification.title = parts.get("title").cloned().unwrap_or_default();
                    notification.message = parts.get("message").cloned().unwrap_or_default();
                }
                Plan::Gather => {}
                Plan::Send(recipients) => outgoing.push((channel, parts, recipients)),
            }
            notification.channels.push(channel);
        }
        if notification.channels.is_empty() {
            return Ok(Created {
                notification,
                stored: false,
                reason: skipped.first().map(|(_, reason)| *reason),
                skipped,
            });
        }
        // What is not listed is the record that deduplication, digests and the delivery log need.
        notification.read = !notification.is_listed();
        let mut reason = None;
        let window = self.config.dedup_window;
        let waits = self.waits_for_digest(app_id, user_id, &preferences).await?;
        let stored = self.repository.insert(&notification, window, waits);
        if let Some(earlier) = stored.await? {
            notification = earlier;
            reason = Some("one with the same dedup_key exists");
        }
        // Also for a repetition: what the first attempt did not get to is made up for, and what it
        // did is found by its id.
        for (channel, parts, recipients) in outgoing {
            self.queue_deliveries(&notification, channel, &parts, recipients)
                .await?;
        }
        if reason.is_none() {
            let keep = self.config.keep_per_user as u64;
            self.repository.trim(app_id, user_id, keep).await?;
            if waits {
                self.see_that_it_is_told(app_id, user_id).await?;
            }
            self.announce(&notification);
        }
        Ok(Created {
            notification,
            stored: true,
            skipped,
            reason,
        })
    }

    /// What waits for a digest is told, also where the user has said no to digests just now, or more
    /// waits than is kept: then at once.
    async fn see_that_it_is_told(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<(), NotificationError> {
        let keep = self.config.keep_per_user as u64;
        let (too_many, lost) = self.repository.bound_waiting(app_id, user_id, keep).await?;
        if lost > 0 {
            tracing::warn!(
                user.id = user_id,
                lost,
                "more waits for a digest than is kept"
            );
        }
        let preferences = self.repository.preferences(app_id, user_id).await?;
        if too_many || preferences.digest == Digest::Off {
            self.repository.hasten_digest(app_id, user_id).await?;
        }
        Ok(())
    }

    fn announce(&self, notification: &Notification) {
        let (app_id, user_id) = (&notification.app_id, &notification.user_id);
        let data = notification.to_json();
        let event = json!({
            "app_id": app_id,
            "user_id": user_id,
            "notification_id": data["id"],
            "notification_type": notification.notification_type,
        });
        if notification.is_listed() {
            let frame = json!({ "type": "notification", "data": data });
            self.outlet.push(app_id, user_id, &frame);
        }
        self.outlet.publish(app_id, "notification_created", event);
    }

    /// Checks a draft that is only made into notifications later: what would keep it from that is
    /// said now.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] with the path of what is wrong.
    pub(super) fn validate(&self, app_id: &str, draft: &Draft) -> Result<(), NotificationError> {
        let anybody = "user";
        self.check(anybody, draft)?;
        let declared = self.catalogue.find(&draft.notification_type);
        let channels = draft
            .channels
            .as_deref()
            .or(declared
                .as_ref()
                .map(|declared| declared.channels.as_slice()))
            .unwrap_or(&[Channel::InApp]);
        for channel in channels {
            self.templates.render(*channel, draft, app_id, anybody)?;
        }
        Ok(())
    }

    /// Creates the same for many users; one that fails does not keep the rest from theirs.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] for too many users or a bad draft.
    pub async fn create_bulk(
        &self,
        app_id: &str,
        user_ids: &[String],
        draft: &Draft,
    ) -> Result<Vec<Result<Created, NotificationError>>, NotificationError> {
        if user_ids.len() > self.config.max_bulk {
            return Err(NotificationError::invalid(
                "user_ids",
                format!(
                    "must not hold more than {}; use a broadcast",
                    self.config.max_bulk
                ),
            ));
        }
        Ok(self.create_each(app_id, user_ids, draft).await)
    }

    /// Creates the same for each of these, some at a time; the results in the order of the users.
    pub(super) async fn create_each(
        &self,
        app_id: &str,
        user_ids: &[String],
        draft: &Draft,
    ) -> Vec<Result<Created, NotificationError>> {
        let mut creations: Vec<BoxFuture<'_, Result<Created, NotificationError>>> =
            Vec::with_capacity(user_ids.len());
        for user_id in user_ids {
            creations.push(Box::pin(self.create(app_id, user_id, draft)));
        }
        stream::iter(creations)
            .buffered(CREATED_AT_A_TIME)
            .collect()
            .await
    }

    fn check(&self, user_id: &str, draft: &Draft) -> Result<(), NotificationError> {
        let required = [
            ("user_id", user_id),
            ("notification_type", draft.notification_type.as_str()),
            ("title", draft.title.as_str()),
        ];
        for (path, text) in required {
            if text.trim().is_empty() {
                return Err(NotificationError::invalid(path, "must not be empty"));
            }
        }
        if draft.notification_type.len() > 128 {
            return Err(NotificationError::invalid(
                "notification_type",
                "is longer than 128 bytes",
            ));
        }
        let metadata = serde_json::to_vec(&draft.metadata)
            .map_err(|error| NotificationError::invalid("metadata", error.to_string()))?;
        let bytes = draft.title.len() + draft.message.len() + metadata.len();
        if bytes > self.config.max_bytes {
            return Err(NotificationError::invalid(
                "metadata",
                format!(
                    "title, message and metadata are {bytes} bytes, more than {}",
                    self.config.max_bytes
                ),
            ));
        }
        match draft.metadata.get("dedup_key") {
            None => Ok(()),
            Some(Value::String(key)) if !key.is_empty() && key.len() <= 256 => Ok(()),
            Some(_) => Err(NotificationError::invalid(
                "metadata.dedup_key",
                "must be a string of 1 to 256 bytes",
            )),
        }
    }

    fn is_configured(&self, channel: Channel) -> bool {
        match channel {
            Channel::InApp => true,
            Channel::Email => self.config.channels.email.is_some(),
            Channel::Sms => self.config.channels.sms.is_some(),
            Channel::Push => self.config.channels.push.is_some(),
        }
    }

    /// What exists: types, channels, and whether each channel is configured.
    pub fn describe(&self) -> OfferView {
        let channels = Channel::ALL.iter().map(|channel| ChannelView {
            id: channel.as_str(),
            configured: self.is_configured(*channel),
        });
        OfferView {
            types: self.catalogue.view(),
            channels: channels.collect(),
            digests: ["off", "daily", "weekly"],
        }
    }
}

/// Enough of a hash to tell one browser of a user from another.
pub(super) fn short_hash(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
