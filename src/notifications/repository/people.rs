//! Users as the notifications know them: who has been seen, what each prefers, which browsers
//! take web push, whose digest is due.

use bson::{DateTime, Document, doc, oid::ObjectId};
use futures_util::TryStreamExt;
use serde_json::Value;

use super::{PREFERENCES, Repository, SUBSCRIPTIONS, USERS};
use crate::notifications::{
    model::{NotificationError, bson_to_json, json_to_bson},
    preferences::Preferences,
};

/// A user who has called or connected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::notifications) struct Seen {
    pub(in crate::notifications) app_id: String,
    pub(in crate::notifications) user_id: String,
    pub(in crate::notifications) roles: Vec<String>,
    pub(in crate::notifications) email: Option<String>,
}

/// A browser that takes web push.
#[derive(Debug, Clone)]
pub(in crate::notifications) struct PushSubscription {
    pub(in crate::notifications) endpoint: String,
    /// The browser's public key, base64url.
    pub(in crate::notifications) p256dh: String,
    /// The shared secret, base64url.
    pub(in crate::notifications) auth: String,
}

fn key(app_id: &str, user_id: &str) -> Document {
    doc! { "app_id": app_id, "user_id": user_id }
}

impl Repository {
    /// Remembers that a user exists, for broadcasts.
    pub(in crate::notifications) async fn remember_user(
        &self,
        seen: &Seen,
    ) -> Result<(), NotificationError> {
        let mut set = doc! { "roles": &seen.roles, "seen_at": DateTime::now() };
        if let Some(email) = &seen.email {
            set.insert("email", email);
        }
        self.collection(USERS)?
            .update_one(key(&seen.app_id, &seen.user_id), doc! { "$set": set })
            .upsert(true)
            .await?;
        Ok(())
    }

    /// The next users of an app after `after` in the order of their ids; those with `role` only,
    /// where one is given.
    pub(in crate::notifications) async fn users_after(
        &self,
        app_id: &str,
        role: Option<&str>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<String>, NotificationError> {
        let mut filter = doc! { "app_id": app_id };
        if let Some(role) = role {
            filter.insert("roles", role);
        }
        if let Some(after) = after {
            filter.insert("user_id", doc! { "$gt": after });
        }
        let found: Vec<Document> = self
            .collection(USERS)?
            .find(filter)
            .sort(doc! { "user_id": 1 })
            .projection(doc! { "user_id": 1, "_id": 0 })
            .limit(limit)
            .await?
            .try_collect()
            .await?;
        let ids = found.iter().filter_map(|user| user.get_str("user_id").ok());
        Ok(ids.map(str::to_owned).collect())
    }

    /// The address that a user's token named, where it named one.
    pub(in crate::notifications) async fn known_email(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<Option<String>, NotificationError> {
        let found = self
            .collection(USERS)?
            .find_one(key(app_id, user_id))
            .await?;
        Ok(found.and_then(|user| user.get_str("email").ok().map(str::to_owned)))
    }

    /// A user's preferences; the defaults where nothing is stored.
    pub(in crate::notifications) async fn preferences(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<Preferences, NotificationError> {
        let mut preferences = Preferences::default();
        let found = self
            .collection(PREFERENCES)?
            .find_one(key(app_id, user_id))
            .await?;
        if let Some(stored) = found.as_ref().and_then(|found| found.get("preferences"))
            && let Value::Object(stored) = bson_to_json(stored)
        {
            preferences.apply(&stored)?;
        }
        Ok(preferences)
    }

    /// Stores a user's preferences and when the next digest is due.
    pub(in crate::notifications) async fn save_preferences(
        &self,
        app_id: &str,
        user_id: &str,
        preferences: &Preferences,
        digest_at: Option<DateTime>,
    ) -> Result<(), NotificationError> {
        let mut change = doc! { "$set": {
            "preferences": json_to_bson(preferences.to_json()),
            "updated_at": DateTime::now(),
        } };
        match digest_at {
            Some(at) => change.insert("$min", doc! { "digest_at": at }),
            None => change.insert("$unset", doc! { "digest_at": "" }),
        };
        self.collection(PREFERENCES)?
            .update_one(key(app_id, user_id), change)
            .upsert(true)
            .await?;
        Ok(())
    }

    /// The user whose digest is due longest: app, user, when it was due.
    pub(in crate::notifications) async fn due_digest(
        &self,
        now: DateTime,
    ) -> Result<Option<(String, String, DateTime)>, NotificationError> {
        let found = self
            .collection(PREFERENCES)?
            .find_one(doc! { "digest_at": { "$lte": now } })
            .sort(doc! { "digest_at": 1 })
            .await?;
        Ok(found.and_then(|found| {
            let app_id = found.get_str("app_id").ok()?.to_owned();
            let user_id = found.get_str("user_id").ok()?.to_owned();
            Some((app_id, user_id, *found.get_datetime("digest_at").ok()?))
        }))
    }

    /// Moves a user's digest on, unless somebody else has.
    pub(in crate::notifications) async fn advance_digest(
        &self,
        app_id: &str,
        user_id: &str,
        from: DateTime,
        to: Option<DateTime>,
    ) -> Result<(), NotificationError> {
        let mut filter = key(app_id, user_id);
        filter.insert("digest_at", from);
        let change = match to {
            Some(to) => doc! { "$set": { "digest_at": to, "digest_sent_at": from } },
            None => doc! { "$unset": { "digest_at": "" } },
        };
        self.collection(PREFERENCES)?
            .update_one(filter, change)
            .await?;
        Ok(())
    }

    /// Stores a browser's subscription; an endpoint belongs to whoever subscribed it last.
    pub(in crate::notifications) async fn subscribe_push(
        &self,
        app_id: &str,
        user_id: &str,
        subscription: &PushSubscription,
    ) -> Result<(), NotificationError> {
        let change = doc! {
            "$set": {
                "user_id": user_id,
                "p256dh": &subscription.p256dh,
                "auth": &subscription.auth,
                "updated_at": DateTime::now(),
            },
            "$setOnInsert": { "created_at": DateTime::now() },
        };
        self.collection(SUBSCRIPTIONS)?
            .update_one(
                doc! { "app_id": app_id, "endpoint": &subscription.endpoint },
                change,
            )
            .upsert(true)
            .await?;
        Ok(())
    }

    /// Forgets a browser's subscription of this user; whether there was one.
    pub(in crate::notifications) async fn unsubscribe_push(
        &self,
        app_id: &str,
        user_id: &str,
        endpoint: &str,
    ) -> Result<bool, NotificationError> {
        let mut filter = key(app_id, user_id);
        filter.insert("endpoint", endpoint);
        let result = self.collection(SUBSCRIPTIONS)?.delete_one(filter).await?;
        Ok(result.deleted_count == 1)
    }

    /// The oldest `limit` browsers of a user.
    pub(in crate::notifications) async fn push_subscriptions(
        &self,
        app_id: &str,
        user_id: &str,
        limit: i64,
    ) -> Result<Vec<PushSubscription>, NotificationError> {
        let found: Vec<Document> = self
            .collection(SUBSCRIPTIONS)?
            .find(key(app_id, user_id))
            .sort(doc! { "_id": 1 })
            .limit(limit)
            .await?
            .try_collect()
            .await?;
        Ok(found
            .iter()
            .filter_map(|document| {
                let text = |field| document.get_str(field).ok().map(str::to_owned);
                Some(PushSubscription {
                    endpoint: text("endpoint")?,
                    p256dh: text("p256dh")?,
                    auth: text("auth")?,
                })
            })
            .collect())
    }

    /// A new id for something that has none yet.
    pub(in crate::notifications) fn new_id() -> String {
        ObjectId::new().to_hex()
    }
}
