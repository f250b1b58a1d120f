//! The notifications manager: creates, lists, marks, deletes; keeps preferences and subscriptions.

use std::sync::Arc;

use bson::{DateTime, oid::ObjectId};
use serde_json::{Map, Value, json};

use super::{
    NotificationsConfig,
    catalogue::Catalogue,
    channels::{self, PushConfig},
    delivery::Wakeups,
    directory::UserDirectory,
    model::{Channel, Draft, Notification, NotificationError, Outlet},
    preferences::{Decision, Digest, Preferences},
    repository::{Cursor, JobKind, NewJob, PushSubscription, Repository},
    scheduler,
    templates::{Parts, Templates},
};
use crate::store::Store;

/// Browsers of one user that a notification is pushed to.
const MAX_SUBSCRIPTIONS: i64 = 20;
/// The most notifications of one page.
const MAX_PAGE: u64 = 200;

/// What became of a creation.
#[derive(Debug, Clone)]
pub struct Created {
    /// The notification; where it was suppressed or only went out by other channels, not stored.
    pub notification: Notification,
    /// Whether it is in the user's list.
    pub stored: bool,
    /// The channels it went to; empty where it was suppressed.
    pub channels: Vec<Channel>,
    /// Why it was not delivered, or that it had been before.
    pub reason: Option<&'static str>,
}

impl Created {
    /// The notification with `delivered`, `channels` and, where there is one, `reason`.
    pub fn to_json(&self) -> Value {
        let mut value = self.notification.to_json();
        value["delivered"] = Value::Bool(!self.channels.is_empty());
        value["channels"] = self
            .channels
            .iter()
            .map(|channel| Value::from(channel.as_str()))
            .collect();
        if !self.stored {
            value["id"] = Value::Null;
        }
        if let Some(reason) = self.reason {
            value["reason"] = Value::from(reason);
        }
        value
    }
}

/// Which notifications to list.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Only unread ones.
    pub unread_only: bool,
    /// How many; 0 stands for the default of 20.
    pub limit: u64,
    /// How many of the newest to pass over.
    pub offset: u64,
    /// Where the last page ended: stays right while new ones arrive.
    pub cursor: Option<String>,
}

/// A page of notifications.
#[derive(Debug, Clone)]
pub struct Page {
    /// Newest first.
    pub notifications: Vec<Notification>,
    /// How many are unread altogether.
    pub unread_count: u64,
    /// Where the next page starts; `None` at the end.
    pub next_cursor: Option<String>,
}

/// The manager. One for the gateway; every call names the app and the user.
pub struct NotificationsManager {
    pub(super) config: NotificationsConfig,
    pub(super) repository: Arc<Repository>,
    pub(super) outlet: Arc<dyn Outlet>,
    pub(super) wakeups: Wakeups,
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
        templates: Templates,
    ) -> Arc<Self> {
        let repository = Arc::new(Repository::new(store));
        Arc::new(Self {
            config,
            directory: UserDirectory::start(repository.clone()),
            repository,
            outlet,
            wakeups: Wakeups::default(),
            catalogue: Catalogue::default(),
            templates,
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
        };
        let channels = match decision {
            Decision::Deliver(channels) => channels,
            Decision::Suppressed(reason) => {
                return Ok(Created {
                    notification,
                    stored: false,
                    channels: Vec::new(),
                    reason: Some(reason),
                });
            }
        };
        // Everything is rendered before anything is stored: a bad template stores nothing.
        let mut rendered = Vec::with_capacity(channels.len());
        for channel in &channels {
            rendered.push((
                *channel,
                self.templates.render(*channel, draft, app_id, user_id)?,
            ));
        }
        if let Some((_, parts)) = rendered
            .iter()
            .find(|(channel, _)| *channel == Channel::InApp)
        {
            notification.title = parts.get("title").cloned().unwrap_or_default();
            notification.message = parts.get("message").cloned().unwrap_or_default();
        }
        let in_app = channels.contains(&Channel::InApp);
        let mut reason = None;
        // Without the in-app channel it is stored as read, as the record that deduplication and the
        // delivery log refer to.
        notification.read = !in_app;
        let window = self.config.dedup_window;
        if let Some(earlier) = self.repository.insert(&notification, window).await? {
            notification = earlier;
            reason = Some("one with the same dedup_key exists");
        }
        // Also for a repetition: what the first attempt did not get to is made up for, and what it
        // did is found by its id.
        for (channel, parts) in rendered {
            if channel != Channel::InApp {
                self.queue_deliveries(&notification, channel, &parts, &preferences)
                    .await?;
            }
        }
        if reason.is_none() {
            self.repository
                .trim(app_id, user_id, self.config.keep_per_user)
                .await?;
            let message = notification.to_json();
            if in_app {
                let frame = json!({ "type": "notification", "data": message });
                self.outlet.push(app_id, user_id, &frame);
            }
            self.outlet.publish(
                app_id,
                "notification_created",
                json!({
                    "app_id": app_id,
                    "user_id": user_id,
                    "notification_id": message["id"],
                    "notification_type": draft.notification_type,
                }),
            );
        }
        Ok(Created {
            notification,
            stored: true,
            channels,
            reason,
        })
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
        let mut results = Vec::with_capacity(user_ids.len());
        for user_id in user_ids {
            results.push(self.create(app_id, user_id, draft).await);
        }
        Ok(results)
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

    async fn queue_deliveries(
        &self,
        notification: &Notification,
        channel: Channel,
        parts: &Parts,
        preferences: &Preferences,
    ) -> Result<(), NotificationError> {
        let (app_id, user_id) = (&notification.app_id, &notification.user_id);
        if channel == Channel::Email && preferences.digest != Digest::Off {
            // The digest takes it from the list.
            return Ok(());
        }
        let recipients: Vec<(String, Value)> = match channel {
            Channel::InApp => Vec::new(),
            Channel::Email => {
                let address = match &preferences.email {
                    Some(address) => Some(address.clone()),
                    None => self.repository.known_email(app_id, user_id).await?,
                };
                address
                    .into_iter()
                    .map(|to| ("0".to_owned(), Value::from(to)))
                    .collect()
            }
            Channel::Sms => {
                let number = preferences.phone.clone();
                number
                    .into_iter()
                    .map(|to| ("0".to_owned(), Value::from(to)))
                    .collect()
            }
            Channel::Push => self
                .repository
                .push_subscriptions(app_id, user_id, MAX_SUBSCRIPTIONS)
                .await?
                .into_iter()
                .map(|browser| {
                    let recipient = json!({
                        "endpoint": browser.endpoint,
                        "p256dh": browser.p256dh,
                        "auth": browser.auth,
                    });
                    (short_hash(&browser.endpoint), recipient)
                })
                .collect(),
        };
        let id = notification.id.to_hex();
        for (suffix, recipient) in recipients {
            let job = NewJob {
                id: format!("{id}:{channel}:{suffix}"),
                kind: JobKind::Delivery(channel),
                app_id: app_id.clone(),
                user_id: Some(user_id.clone()),
                notification_id: Some(notification.id),
                run_at: DateTime::now(),
                payload: json!({
                    "recipient": recipient,
                    "parts": parts,
                    "data": {
                        "id": id,
                        "type": notification.notification_type,
                        "metadata": notification.metadata,
                    },
                }),
            };
            self.repository.add_job(job).await?;
        }
        self.wakeups.wake(JobKind::Delivery(channel));
        Ok(())
    }

    /// A page of a user's notifications.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] for a cursor that is none.
    pub async fn list(
        &self,
        app_id: &str,
        user_id: &str,
        request: &PageRequest,
    ) -> Result<Page, NotificationError> {
        let limit = match request.limit {
            0 => 20,
            limit => limit.min(MAX_PAGE),
        };
        let after = request.cursor.as_deref().map(parse_cursor).transpose()?;
        let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let mut notifications = self
            .repository
            .list(
                app_id,
                user_id,
                request.unread_only,
                None,
                after,
                wanted,
                request.offset,
            )
            .await?;
        let has_more = notifications.len() as u64 > limit;
        notifications.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next_cursor = notifications.last().filter(|_| has_more).map(|last| {
            format!(
                "{}-{}",
                last.created_at.timestamp_millis(),
                last.id.to_hex()
            )
        });
        let unread_count = self.unread_count(app_id, user_id).await?;
        Ok(Page {
            notifications,
            unread_count,
            next_cursor,
        })
    }

    /// How many of a user's notifications are unread.
    ///
    /// # Errors
    /// What the database says.
    pub async fn unread_count(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<u64, NotificationError> {
        self.repository.count_unread(app_id, user_id).await
    }

    /// Marks one as read or unread.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`] where the user has none of that id.
    pub async fn mark(
        &self,
        app_id: &str,
        user_id: &str,
        id: &str,
        read: bool,
    ) -> Result<(), NotificationError> {
        let id = parse_id(id)?;
        if self.repository.mark(app_id, user_id, id, read).await? {
            Ok(())
        } else {
            Err(NotificationError::NotFound("notification"))
        }
    }

    /// Marks all as read; how many were not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn mark_all(&self, app_id: &str, user_id: &str) -> Result<u64, NotificationError> {
        self.repository.mark_all(app_id, user_id).await
    }

    /// Deletes one.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`] where the user has none of that id.
    pub async fn delete(
        &self,
        app_id: &str,
        user_id: &str,
        id: &str,
    ) -> Result<(), NotificationError> {
        let id = parse_id(id)?;
        if self.repository.delete(app_id, user_id, id).await? {
            Ok(())
        } else {
            Err(NotificationError::NotFound("notification"))
        }
    }

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
        let mut preferences = self.repository.preferences(app_id, user_id).await?;
        preferences.apply(patch)?;
        let next =
            scheduler::next_digest(preferences.digest, DateTime::now(), self.config.digest_hour);
        self.repository
            .save_preferences(app_id, user_id, &preferences, next)
            .await?;
        Ok(preferences)
    }

    /// What exists: types, channels, and whether each channel is configured.
    pub fn describe(&self) -> Value {
        let configured = |channel: Channel| match channel {
            Channel::InApp => true,
            Channel::Email => self.config.channels.email.is_some(),
            Channel::Sms => self.config.channels.sms.is_some(),
            Channel::Push => self.config.channels.push.is_some(),
        };
        json!({
            "types": self.catalogue.to_json(),
            "channels": Channel::ALL
                .iter()
                .map(|channel| json!({ "id": channel.as_str(), "configured": configured(*channel) }))
                .collect::<Vec<_>>(),
            "digests": ["off", "daily", "weekly"],
        })
    }

    /// The key that browsers subscribe with.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`] where web push is off.
    pub fn vapid_public_key(&self) -> Result<String, NotificationError> {
        let push = self.push_config()?;
        channels::vapid_public_key(push).map_err(NotificationError::Internal)
    }

    /// Stores a browser's subscription.
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
    ) -> Result<(), NotificationError> {
        channels::check_subscription(self.push_config()?, endpoint, p256dh, auth)
            .map_err(|message| NotificationError::invalid("subscription", message))?;
        let subscription = PushSubscription {
            endpoint: endpoint.to_owned(),
            p256dh: p256dh.to_owned(),
            auth: auth.to_owned(),
        };
        self.repository
            .subscribe_push(app_id, user_id, &subscription)
            .await
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

    fn push_config(&self) -> Result<&PushConfig, NotificationError> {
        let push = self.config.channels.push.as_ref();
        push.ok_or(NotificationError::NotFound(
            "channel: web push is not configured",
        ))
    }

    /// The log of deliveries, newest first; `channel` and `status` narrow it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delivery_log(
        &self,
        app_id: &str,
        channel: Option<&str>,
        status: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Value>, NotificationError> {
        let limit = i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(1);
        self.repository
            .list_jobs(app_id, channel, status, limit)
            .await
    }

    /// How many deliveries of each channel are queued, sent and failed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delivery_counts(&self, app_id: &str) -> Result<Value, NotificationError> {
        let mut counts = Map::new();
        for (queue, state, count) in self.repository.count_jobs(app_id).await? {
            let states = counts.entry(queue).or_insert_with(|| json!({}));
            let state = if state == "claimed" { "queued" } else { &state };
            let sum = states[state].as_i64().unwrap_or(0) + count;
            states[state] = Value::from(sum);
        }
        Ok(Value::Object(counts))
    }

    /// Puts a failed delivery back into its queue.
    ///
    /// # Errors
    /// [`NotificationError::NotFound`] where there is no failed one of that id.
    pub async fn retry_delivery(&self, app_id: &str, id: &str) -> Result<(), NotificationError> {
        self.repository.retry_job(app_id, id).await?;
        self.wakeups.wake_all();
        Ok(())
    }
}

fn parse_id(text: &str) -> Result<ObjectId, NotificationError> {
    // An id that none can have belongs to no notification.
    ObjectId::parse_str(text).map_err(|_| NotificationError::NotFound("notification"))
}

fn parse_cursor(text: &str) -> Result<Cursor, NotificationError> {
    text.split_once('-')
        .and_then(|(millis, id)| {
            Some(Cursor {
                created_at: DateTime::from_millis(millis.parse().ok()?),
                id: ObjectId::parse_str(id).ok()?,
            })
        })
        .ok_or_else(|| NotificationError::invalid("cursor", "is not one that a page has given"))
}

/// Enough of a hash to tell one browser of a user from another.
fn short_hash(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
