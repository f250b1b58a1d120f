//! Users as the notifications know them: who has been seen, what each prefers, which browsers
//! take web push, whose digest is due.

use bson::{DateTime, Document, doc, oid::ObjectId};
use serde_json::{Map, Value};

use super::{PREFERENCES, Repository, SUBSCRIPTIONS, USERS};
use crate::{
    model::NotificationError,
    preferences::{Contact, Preferences},
};
use mozaiks_store::StoreErrorKind;

/// A user who has called or connected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) app_id: String,
    pub(crate) user_id: String,
    pub(crate) roles: Vec<String>,
    /// The address that the issuer of the token has verified.
    pub(crate) email: Option<String>,
    /// The number that it has verified.
    pub(crate) phone: Option<String>,
}

/// A browser that takes web push.
#[derive(Debug, Clone)]
pub(crate) struct PushSubscription {
    pub(crate) endpoint: String,
    /// The browser's public key, base64url.
    pub(crate) p256dh: String,
    /// The shared secret, base64url.
    pub(crate) auth: String,
}

pub(super) fn key(app_id: &str, user_id: &str) -> Document {
    doc! { "app_id": app_id, "user_id": user_id }
}

impl Repository {
    /// Remembers that a user exists, for broadcasts.
    pub(crate) async fn remember_user(&self, seen: &Seen) -> Result<(), NotificationError> {
        let mut set = doc! { "roles": &seen.roles, "seen_at": DateTime::now() };
        let verified = [
            ("verified_email", &seen.email),
            ("verified_phone", &seen.phone),
        ];
        for (field, address) in verified {
            if let Some(address) = address {
                set.insert(field, address);
            }
        }
        let collection = self.collection(USERS)?;
        let remembering = collection
            .update_one(key(&seen.app_id, &seen.user_id), doc! { "$set": set })
            .upsert(true);
        self.ask(remembering).await?;
        Ok(())
    }

    /// The next users of an app after `after` in the order of their ids; those with `role` only,
    /// where one is given.
    pub(crate) async fn users_after(
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
        let collection = self.collection(USERS)?;
        let found = collection
            .find(filter)
            .sort(doc! { "user_id": 1 })
            .projection(doc! { "user_id": 1, "_id": 0 })
            .limit(limit);
        let found = self.ask_all(found).await?;
        let ids = found.iter().filter_map(|user| user.get_str("user_id").ok());
        Ok(ids.map(str::to_owned).collect())
    }

    /// The address that the issuer of the user's tokens has verified for a channel.
    pub(crate) async fn verified_address(
        &self,
        app_id: &str,
        user_id: &str,
        contact: Contact,
    ) -> Result<Option<String>, NotificationError> {
        let field = match contact {
            Contact::Email => "verified_email",
            Contact::Phone => "verified_phone",
        };
        let collection = self.collection(USERS)?;
        let found = self.ask(collection.find_one(key(app_id, user_id))).await?;
        Ok(found.and_then(|user| user.get_str(field).ok().map(str::to_owned)))
    }

    /// A user's preferences; the defaults where nothing is stored.
    pub(crate) async fn preferences(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<Preferences, NotificationError> {
        Ok(self.stored_preferences(app_id, user_id).await?.0)
    }

    /// A user's preferences and the revision they have; `None` where nothing is stored.
    pub(crate) async fn stored_preferences(
        &self,
        app_id: &str,
        user_id: &str,
    ) -> Result<(Preferences, Option<i64>), NotificationError> {
        let mut preferences = Preferences::default();
        let collection = self.collection(PREFERENCES)?;
        let found = self.ask(collection.find_one(key(app_id, user_id))).await?;
        let Some(found) = found else {
            return Ok((preferences, None));
        };
        if let Ok(text) = found.get_str("preferences") {
            let stored: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
                NotificationError::Internal(format!("stored preferences cannot be read: {error}"))
            })?;
            preferences.apply(&stored)?;
        }
        for contact in Contact::ALL {
            let confirmed = found
                .get_document("contacts")
                .and_then(|contacts| contacts.get_document(contact.as_str()))
                .and_then(|contact| contact.get_str("confirmed"));
            if let Ok(address) = confirmed {
                preferences.confirmed.insert(contact, address.to_owned());
            }
        }
        Ok((preferences, Some(found.get_i64("revision").unwrap_or(0))))
    }

    /// Stores a user's preferences and when the next digest is due, unless somebody has changed them
    /// since they were read; whether it did.
    pub(crate) async fn save_preferences(
        &self,
        app_id: &str,
        user_id: &str,
        preferences: &Preferences,
        revision: Option<i64>,
        digest_at: Option<DateTime>,
    ) -> Result<bool, NotificationError> {
        let collection = self.collection(PREFERENCES)?;
        // As text: the ids of types are free, the names of fields are not.
        let mut set = doc! {
            "preferences": preferences.to_json().to_string(),
            "updated_at": DateTime::now(),
            "revision": revision.unwrap_or(0) + 1,
        };
        let Some(revision) = revision else {
            set.extend(key(app_id, user_id));
            if let Some(at) = digest_at {
                set.insert("digest_at", at);
            }
            return match self.ask(collection.insert_one(set)).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind == StoreErrorKind::Conflict => Ok(false),
                Err(error) => Err(error.into()),
            };
        };
        let mut change = doc! { "$set": set };
        // One that is due already stays so: it may be the last, of a user who has just said no.
        if let Some(at) = digest_at {
            change.insert("$min", doc! { "digest_at": at });
        }
        let mut as_read = key(app_id, user_id);
        as_read.insert("revision", revision);
        let result = self.ask(collection.update_one(as_read, change)).await?;
        Ok(result.matched_count == 1)
    }

    /// Stores a browser's subscription; an endpoint belongs to whoever subscribed it last. Of more
    /// than `keep` the oldest go.
    pub(crate) async fn subscribe_push(
        &self,
        app_id: &str,
        user_id: &str,
        subscription: &PushSubscription,
        keep: u64,
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
        let collection = self.collection(SUBSCRIPTIONS)?;
        let of_endpoint = doc! { "app_id": app_id, "endpoint": &subscription.endpoint };
        self.ask(collection.update_one(of_endpoint, change).upsert(true))
            .await?;
        let too_many = collection
            .find(key(app_id, user_id))
            .sort(doc! { "updated_at": -1 })
            .projection(doc! { "_id": 1 })
            .skip(keep);
        for old in self.ask_all(too_many).await? {
            if let Some(id) = old.get("_id") {
                let mut filter = key(app_id, user_id);
                filter.insert("_id", id.clone());
                self.ask(collection.delete_one(filter)).await?;
            }
        }
        Ok(())
    }

    /// Forgets a browser's subscription of this user; whether there was one.
    pub(crate) async fn unsubscribe_push(
        &self,
        app_id: &str,
        user_id: &str,
        endpoint: &str,
    ) -> Result<bool, NotificationError> {
        let mut filter = key(app_id, user_id);
        filter.insert("endpoint", endpoint);
        let collection = self.collection(SUBSCRIPTIONS)?;
        let result = self.ask(collection.delete_one(filter)).await?;
        Ok(result.deleted_count == 1)
    }

    /// The latest `limit` browsers of a user.
    pub(crate) async fn push_subscriptions(
        &self,
        app_id: &str,
        user_id: &str,
        limit: i64,
    ) -> Result<Vec<PushSubscription>, NotificationError> {
        let collection = self.collection(SUBSCRIPTIONS)?;
        let found = collection
            .find(key(app_id, user_id))
            .sort(doc! { "updated_at": -1 })
            .limit(limit);
        let found = self.ask_all(found).await?;
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
    pub(crate) fn new_id() -> String {
        ObjectId::new().to_hex()
    }
}
