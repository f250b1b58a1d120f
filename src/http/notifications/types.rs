//! What requests about notifications carry, and what they are answered with.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::{error::ApiError, json_body::FromObject};
use mozaiks_notifications::views::{ContactView, NotificationView, PreferencesView};

/// The query of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::http) struct ListQuery {
    /// Only unread ones.
    pub(super) unread_only: Option<bool>,
    /// How many at most.
    pub(super) limit: Option<u64>,
    /// How many of the newest to pass over.
    pub(super) offset: Option<u64>,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

/// A page of a user's notifications.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct NotificationList {
    pub(super) count: usize,
    /// Newest first.
    pub(super) notifications: Vec<NotificationView>,
    /// How many are unread altogether.
    pub(super) unread_count: u64,
    pub(super) unread_only: bool,
    /// Where the next page starts; null at the end.
    pub(super) next_cursor: Option<String>,
    /// When this was so, in ISO 8601.
    pub(super) timestamp: String,
}

/// How many are unread.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct UnreadCount {
    pub(super) count: u64,
    pub(super) unread_count: u64,
}

/// A notification is marked.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Marked {
    pub(super) success: bool,
    pub(super) id: String,
    pub(super) read: bool,
}

/// All notifications are marked as read.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct AllMarked {
    pub(super) success: bool,
    /// How many were unread.
    pub(super) count: u64,
}

/// A notification is no more.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Deleted {
    pub(super) success: bool,
    pub(super) id: String,
}

/// What the user wishes, and which addresses are theirs.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Wishes {
    pub(super) preferences: PreferencesView,
    pub(super) contacts: BTreeMap<&'static str, ContactView>,
}

/// Changes of preferences, at the top or under `preferences`; the preferences check each.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(in crate::http) enum NewWishes {
    Wrapped { preferences: Map<String, Value> },
    Bare(Map<String, Value>),
}

impl FromObject for NewWishes {
    fn from_object(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        match body.remove("preferences") {
            Some(Value::Object(preferences)) => Ok(Self::Wrapped { preferences }),
            Some(_) => Err(ApiError::InvalidRequest(
                "`preferences` must be a JSON object".into(),
            )),
            None => Ok(Self::Bare(body)),
        }
    }
}

/// Which address a code goes to.
#[derive(JsonSchema)]
pub(in crate::http) struct CodeWanted {
    /// `email` or `phone`.
    pub(super) contact: String,
}

impl FromObject for CodeWanted {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        let contact = text_of(&body, "contact")?;
        Ok(Self { contact })
    }
}

/// The code that was sent.
#[derive(JsonSchema)]
pub(in crate::http) struct CodeGiven {
    /// `email` or `phone`.
    pub(super) contact: String,
    pub(super) code: String,
}

impl FromObject for CodeGiven {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        Ok(Self {
            contact: text_of(&body, "contact")?,
            code: text_of(&body, "code")?,
        })
    }
}

/// How an address stands.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct AddressState {
    pub(super) contact: &'static str,
    pub(super) address: String,
    pub(super) confirmed: bool,
}

/// The key that browsers subscribe with.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct VapidKey {
    /// Whether web push is configured.
    pub(super) enabled: bool,
    /// Null where it is not.
    pub(super) public_key: Option<String>,
}

/// Something of a browser's subscription, alone or under `subscription`.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(in crate::http) enum MaybeWrapped<T> {
    Wrapped { subscription: T },
    Bare(T),
}

impl<T: FromObject> FromObject for MaybeWrapped<T> {
    fn from_object(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        match body.remove("subscription") {
            None => T::from_object(body).map(Self::Bare),
            Some(Value::Object(subscription)) => Ok(Self::Wrapped {
                subscription: T::from_object(subscription)?,
            }),
            Some(_) => Err(ApiError::InvalidRequest(
                "`subscription` must be a JSON object".into(),
            )),
        }
    }
}

/// What `PushSubscription.toJSON()` gives.
#[derive(JsonSchema)]
pub(in crate::http) struct PushSubscription {
    pub(super) endpoint: String,
    pub(super) keys: PushKeys,
}

#[derive(JsonSchema)]
pub(in crate::http) struct PushKeys {
    pub(super) p256dh: String,
    pub(super) auth: String,
}

impl FromObject for PushSubscription {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        let endpoint = text_of(&body, "endpoint")?;
        let keys = body.get("keys").and_then(Value::as_object);
        let key = |name: &str| {
            keys.and_then(|keys| text_of(keys, name).ok())
                .ok_or_else(|| ApiError::InvalidRequest(format!("`keys.{name}` must be a string")))
        };
        Ok(Self {
            endpoint,
            keys: PushKeys {
                p256dh: key("p256dh")?,
                auth: key("auth")?,
            },
        })
    }
}

/// Which subscription is no more.
#[derive(JsonSchema)]
pub(in crate::http) struct GoneSubscription {
    pub(super) endpoint: String,
}

impl FromObject for GoneSubscription {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        let endpoint = text_of(&body, "endpoint")?;
        Ok(Self { endpoint })
    }
}

/// Whether the browser is subscribed now.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Subscribed {
    pub(super) success: bool,
    /// Whether web push is configured.
    pub(super) enabled: bool,
}

/// It is done.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Unsubscribed {
    pub(super) success: bool,
    /// Whether web push is configured.
    pub(super) enabled: bool,
    /// Whether there was one.
    pub(super) removed: bool,
}

fn text_of(body: &Map<String, Value>, name: &str) -> Result<String, ApiError> {
    let text = body.get(name).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| ApiError::InvalidRequest(format!("`{name}` must be a string")))
}
