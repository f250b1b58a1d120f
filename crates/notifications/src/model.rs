//! What a notification is, the channels it can take, and what can go wrong.

use std::{fmt, str::FromStr};

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use serde_json::{Map, Value};

use futures_util::future::BoxFuture;

use super::{
    templates::Parts,
    views::{NotificationView, to_json},
};
use mozaiks_store::StoreError;

/// A way to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Stored, listed over HTTP and pushed to open sockets.
    InApp,
    /// Mail, by SMTP or an HTTP service.
    Email,
    /// Text message.
    Sms,
    /// Web push to the user's browsers.
    Push,
}

impl Channel {
    /// All channels.
    pub const ALL: [Self; 4] = [Self::InApp, Self::Email, Self::Sms, Self::Push];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InApp => "in_app",
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Push => "push",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Channel {
    type Err = NotificationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The two other spellings are those of existing plugins.
        match text {
            "in_app" | "websocket" => Ok(Self::InApp),
            "email" => Ok(Self::Email),
            "sms" => Ok(Self::Sms),
            "push" | "web_push" => Ok(Self::Push),
            other => Err(NotificationError::Invalid {
                path: "channels".into(),
                message: format!("{other:?} is no channel; there are in_app, email, sms and push"),
            }),
        }
    }
}

/// What a caller asks to be told to a user.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The type, as declared by a plugin or free.
    pub notification_type: String,
    /// One line.
    pub title: String,
    /// The text.
    pub message: String,
    /// Whatever the frontend needs; `dedup_key` in it makes creation idempotent.
    pub metadata: Map<String, Value>,
    /// Channels to use; `None` is what the type and the user say.
    pub channels: Option<Vec<Channel>>,
}

/// A stored notification.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its id.
    pub id: ObjectId,
    /// The app.
    pub app_id: String,
    /// Whose it is.
    pub user_id: String,
    /// Its type.
    pub notification_type: String,
    /// One line.
    pub title: String,
    /// The text.
    pub message: String,
    /// Whatever the frontend needs.
    pub metadata: Map<String, Value>,
    /// Whether the user has read it.
    pub read: bool,
    /// When it was created.
    pub created_at: DateTime,
    /// Where it goes; without the in-app channel it is kept for the record, but not listed.
    pub channels: Vec<Channel>,
}

impl Notification {
    /// What clients see.
    pub fn view(&self) -> NotificationView {
        NotificationView {
            id: self.id.to_hex(),
            r#type: self.notification_type.clone(),
            title: self.title.clone(),
            message: self.message.clone(),
            metadata: self.metadata.clone(),
            read: self.read,
            created_at: rfc3339(self.created_at),
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        to_json(self.view())
    }

    pub(super) fn to_document(&self) -> Document {
        let mut document = doc! {
            "_id": self.id,
            "app_id": &self.app_id,
            "user_id": &self.user_id,
            "type": &self.notification_type,
            "title": &self.title,
            "message": &self.message,
            "metadata": json_to_bson(Value::Object(self.metadata.clone())),
            "read": self.read,
            "created_at": self.created_at,
            "channels": self.channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>(),
            "listed": self.is_listed(),
        };
        if let Some(key) = self.dedup_key() {
            document.insert("dedup_key", key);
        }
        document
    }

    pub(super) fn from_document(document: &Document) -> Result<Self, NotificationError> {
        let broken = |field: &str| {
            NotificationError::Internal(format!("a stored notification has no usable {field}"))
        };
        let text = |field: &str| {
            document
                .get_str(field)
                .map(str::to_owned)
                .map_err(|_| broken(field))
        };
        let metadata = match document.get("metadata").map(bson_to_json) {
            Some(Value::Object(metadata)) => metadata,
            _ => Map::new(),
        };
        Ok(Self {
            id: document.get_object_id("_id").map_err(|_| broken("_id"))?,
            app_id: text("app_id")?,
            user_id: text("user_id")?,
            notification_type: text("type")?,
            title: text("title")?,
            message: text("message")?,
            metadata,
            read: document.get_bool("read").unwrap_or(false),
            created_at: *document
                .get_datetime("created_at")
                .map_err(|_| broken("created_at"))?,
            channels: document
                .get_array("channels")
                .map(|names| {
                    let names = names.iter().filter_map(Bson::as_str);
                    names.filter_map(|name| name.parse().ok()).collect()
                })
                .unwrap_or_default(),
        })
    }

    /// Whether it is in the user's list.
    pub fn is_listed(&self) -> bool {
        self.channels.contains(&Channel::InApp)
    }

    pub(super) fn dedup_key(&self) -> Option<&str> {
        self.metadata.get("dedup_key").and_then(Value::as_str)
    }
}

/// What can go wrong with a notification.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotificationError {
    /// What was asked for makes no sense; 422.
    #[error("{path}: {message}")]
    Invalid {
        /// Which part of the request.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// There is no such thing for this user; 404.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The thing is past changing; 409.
    #[error("{0}")]
    Conflict(String),
    /// More often than is allowed; 429.
    #[error("{0}")]
    TooMany(String),
    /// A service that sends for the gateway did not take it; 503.
    #[error("{0}")]
    NotSent(String),
    /// The database said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bug, or a document that something else wrote.
    #[error("{0}")]
    Internal(String),
}

/// The same error, said of another place.
pub(super) fn at_path(error: NotificationError, path: &str) -> NotificationError {
    match error {
        NotificationError::Invalid { message, .. } => NotificationError::invalid(path, message),
        other => other,
    }
}

impl NotificationError {
    /// The contract's code.
    pub fn error_code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "VALIDATION_ERROR",
            Self::NotFound(_) => "NOT_FOUND",
            Self::Conflict(_) => "CONFLICT",
            Self::TooMany(_) => "LIMIT_EXCEEDED",
            Self::NotSent(_) => "OVERLOADED",
            Self::Store(error) => error.error_code(),
            Self::Internal(_) => "INTERNAL_ERROR",
        }
    }

    pub(super) fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// What the notifications need of their siblings.
pub trait Outlet: Send + Sync + 'static {
    /// Sends a message to the user's open sockets; gives how many it reached.
    fn push(&self, app_id: &str, user_id: &str, message: &Value) -> usize;

    /// Says on the event bus what happened.
    fn publish(&self, app_id: &str, event: &str, data: Value);

    /// The parts of a mail as they are to be sent, of which `about` tells more; those that come, unless
    /// somebody has another idea.
    fn mail<'a>(&'a self, app_id: &'a str, parts: Parts, about: &'a Value) -> BoxFuture<'a, Parts> {
        let _ = (app_id, about);
        Box::pin(async move { parts })
    }
}

/// ISO 8601 in UTC, with milliseconds.
pub(super) fn rfc3339(at: DateTime) -> String {
    // Only years past 9999 have no such form, and no clock here gives one.
    at.try_to_rfc3339_string()
        .unwrap_or_else(|_| at.timestamp_millis().to_string())
}

/// JSON as BSON: integers stay integers.
pub(super) fn json_to_bson(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Bson::Int64(integer),
            (None, Some(float)) => Bson::Double(float),
            (None, None) => Bson::String(number.to_string()),
        },
        Value::String(text) => Bson::String(text),
        Value::Array(items) => Bson::Array(items.into_iter().map(json_to_bson).collect()),
        Value::Object(fields) => Bson::Document(
            fields
                .into_iter()
                .map(|(key, value)| (key, json_to_bson(value)))
                .collect(),
        ),
    }
}

/// BSON as the JSON it was made from.
pub(super) fn bson_to_json(value: &Bson) -> Value {
    match value {
        Bson::Document(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), bson_to_json(value)))
                .collect(),
        ),
        Bson::Array(items) => Value::Array(items.iter().map(bson_to_json).collect()),
        Bson::ObjectId(id) => Value::String(id.to_hex()),
        Bson::DateTime(at) => Value::String(rfc3339(*at)),
        Bson::Null | Bson::Undefined => Value::Null,
        Bson::Boolean(flag) => Value::Bool(*flag),
        Bson::Int32(number) => Value::from(*number),
        Bson::Int64(number) => Value::from(*number),
        Bson::Double(number) => Value::from(*number),
        Bson::String(text) | Bson::Symbol(text) => Value::String(text.clone()),
        // Nothing here writes the other types.
        other => Value::String(other.to_string()),
    }
}
