//! Drafts and times as JSON: what callers send and what jobs keep.

use bson::DateTime;
use serde_json::{Map, Value, json};

use super::{
    model::{Channel, Draft, NotificationError},
    moment::read_moment,
};

/// Writes what [`draft_from_json`] reads.
pub(super) fn draft_to_json(draft: &Draft) -> Value {
    let channels = draft.channels.as_ref().map(|channels| {
        channels
            .iter()
            .map(|channel| channel.as_str())
            .collect::<Vec<_>>()
    });
    json!({
        "notification_type": draft.notification_type,
        "title": draft.title,
        "message": draft.message,
        "metadata": draft.metadata,
        "channels": channels,
    })
}

/// Reads what [`draft_to_json`] writes, and what callers send.
pub(super) fn draft_from_json(value: &Value) -> Result<Draft, NotificationError> {
    let text = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(NotificationError::invalid(key, "must be a string")),
    };
    let metadata = match value.get("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(metadata)) => {
            if !keys_can_be_stored(metadata) {
                let what = "has a key with a NUL character in it";
                return Err(NotificationError::invalid("metadata", what));
            }
            metadata.clone()
        }
        Some(_) => return Err(NotificationError::invalid("metadata", "must be an object")),
    };
    let channels = match value.get("channels") {
        None | Some(Value::Null) => None,
        Some(Value::Array(items)) => Some(
            items
                .iter()
                .map(|item| item.as_str().unwrap_or_default().parse())
                .collect::<Result<Vec<Channel>, _>>()?,
        ),
        Some(_) => return Err(NotificationError::invalid("channels", "must be a list")),
    };
    Ok(Draft {
        notification_type: text("notification_type")?,
        title: text("title")?,
        message: text("message")?,
        metadata,
        channels,
    })
}

/// Whether a document of the database can have these keys: they end at a NUL there.
fn keys_can_be_stored(fields: &Map<String, Value>) -> bool {
    fn value_can_be(value: &Value) -> bool {
        match value {
            Value::Object(fields) => keys_can_be_stored(fields),
            Value::Array(items) => items.iter().all(value_can_be),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
    }
    fields
        .iter()
        .all(|(key, value)| !key.contains('\0') && value_can_be(value))
}

/// Reads a time that a caller sent: ISO 8601 with an offset, or without one for UTC.
pub(super) fn time_from_json(value: &Value, path: &str) -> Result<DateTime, NotificationError> {
    let moment = value.as_str().and_then(read_moment);
    moment.ok_or_else(|| NotificationError::invalid(path, "must be a time in ISO 8601"))
}
