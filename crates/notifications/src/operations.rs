//! The manager as plugin code reaches it: operations named by a string, JSON in and out.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    broadcasts::{Broadcast, Target},
    drafts::{draft_from_json, time_from_json},
    manager::{NotificationsManager, PageRequest},
    model::NotificationError,
    views::to_json,
};

/// The operations. A user is a user of the caller's app.
#[derive(Clone)]
pub struct Operations {
    manager: Arc<NotificationsManager>,
}

impl Operations {
    /// The operations of a manager.
    pub fn new(manager: Arc<NotificationsManager>) -> Self {
        Self { manager }
    }

    /// Does an operation for a plugin of an app.
    ///
    /// # Errors
    /// [`NotificationError::Invalid`] for arguments of a wrong shape,
    /// [`NotificationError::NotFound`] for an unknown operation, else as the manager says.
    pub async fn request(
        &self,
        app_id: &str,
        operation: &str,
        arguments: &Value,
    ) -> Result<Value, NotificationError> {
        let manager = &self.manager;
        let user_id = user_id(arguments)?;
        let user = || {
            user_id.as_deref().ok_or_else(|| {
                NotificationError::invalid("user_id", "must be a string and not empty")
            })
        };
        match operation {
            "notifications.create" => {
                let draft = draft_from_json(arguments)?;
                Ok(manager.create(app_id, user()?, &draft).await?.to_json())
            }
            "notifications.create_bulk" => {
                let users = user_ids(arguments)?;
                let draft = draft_from_json(arguments)?;
                let results = manager.create_bulk(app_id, &users, &draft).await?;
                let rows = results
                    .iter()
                    .zip(&users)
                    .map(|(result, user_id)| match result {
                        Ok(created) => created.to_json(),
                        Err(error) => json!({
                            "user_id": user_id,
                            "error": error.to_string(),
                            "error_code": error.error_code(),
                        }),
                    });
                Ok(rows.collect())
            }
            "notifications.list" => {
                let request = PageRequest {
                    unread_only: arguments["unread_only"].as_bool().unwrap_or(false),
                    limit: number(arguments, "limit", 20)?,
                    offset: number(arguments, "offset", 0)?,
                    cursor: arguments["cursor"].as_str().map(str::to_owned),
                };
                let page = manager.list(app_id, user()?, &request).await?;
                Ok(page.notifications.iter().map(|one| one.to_json()).collect())
            }
            "notifications.unread_count" => Ok(manager.unread_count(app_id, user()?).await?.into()),
            "notifications.mark_read" => {
                let read = arguments["read"].as_bool().unwrap_or(true);
                found(
                    manager
                        .mark(app_id, user()?, text(arguments, "id")?, read)
                        .await,
                )
            }
            "notifications.mark_all_read" => Ok(manager.mark_all(app_id, user()?).await?.into()),
            "notifications.delete" => found(
                manager
                    .delete(app_id, user()?, text(arguments, "id")?)
                    .await,
            ),
            "notifications.get_preferences" => {
                Ok(manager.preferences(app_id, user()?).await?.to_json())
            }
            "notifications.update_preferences" => {
                let patch = object(arguments, "preferences")?;
                Ok(manager
                    .update_preferences(app_id, user()?, patch)
                    .await?
                    .to_json())
            }
            "broadcast.create" => {
                let broadcast = Broadcast {
                    draft: draft_from_json(arguments)?,
                    target: Target::from_json(&arguments["target"])?,
                    created_by: arguments["created_by"].as_str().map(str::to_owned),
                    send_at: match &arguments["send_at"] {
                        Value::Null => None,
                        at => Some(time_from_json(at, "send_at")?),
                    },
                };
                manager.broadcast(app_id, &broadcast).await
            }
            "broadcast.get" => manager.find_broadcast(app_id, text(arguments, "id")?).await,
            "broadcast.cancel" => found(
                manager
                    .cancel_broadcast(app_id, text(arguments, "id")?)
                    .await,
            ),
            "broadcast.list" => Ok(manager.broadcasts(app_id).await?.into()),
            "digest.schedule" => {
                let at = time_from_json(&arguments["scheduled_for"], "scheduled_for")?;
                let draft = draft_from_json(arguments)?;
                Ok(to_json(
                    manager.schedule(app_id, user()?, &draft, at).await?,
                ))
            }
            "digest.cancel" => found(
                manager
                    .cancel_scheduled(app_id, text(arguments, "id")?)
                    .await,
            ),
            "digest.list" => Ok(to_json(manager.scheduled(app_id).await?)),
            _ => Err(NotificationError::NotFound("operation")),
        }
    }
}

/// True where it was there, false where it was not; other trouble stays an error.
fn found(result: Result<(), NotificationError>) -> Result<Value, NotificationError> {
    match result {
        Ok(()) => Ok(Value::Bool(true)),
        Err(NotificationError::NotFound(_)) => Ok(Value::Bool(false)),
        Err(error) => Err(error),
    }
}

fn text<'a>(arguments: &'a Value, key: &str) -> Result<&'a str, NotificationError> {
    arguments[key]
        .as_str()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| NotificationError::invalid(key, "must be a string and not empty"))
}

/// User ids are text; plugins that count their users may give the number.
fn user_id(arguments: &Value) -> Result<Option<String>, NotificationError> {
    match &arguments["user_id"] {
        Value::Null => Ok(None),
        id => id_text(id, "user_id").map(Some),
    }
}

fn user_ids(arguments: &Value) -> Result<Vec<String>, NotificationError> {
    let invalid = || NotificationError::invalid("user_ids", "must be a list of strings");
    let items = arguments["user_ids"].as_array().ok_or_else(invalid)?;
    items.iter().map(|item| id_text(item, "user_ids")).collect()
}

fn id_text(id: &Value, path: &str) -> Result<String, NotificationError> {
    match id {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        _ => Err(NotificationError::invalid(
            path,
            "must be a string and not empty",
        )),
    }
}

fn number(arguments: &Value, key: &str, default: u64) -> Result<u64, NotificationError> {
    match &arguments[key] {
        Value::Null => Ok(default),
        value => value
            .as_u64()
            .ok_or_else(|| NotificationError::invalid(key, "must be a whole number from 0 up")),
    }
}

fn object<'a>(
    arguments: &'a Value,
    key: &str,
) -> Result<&'a Map<String, Value>, NotificationError> {
    arguments[key]
        .as_object()
        .ok_or_else(|| NotificationError::invalid(key, "must be an object"))
}
