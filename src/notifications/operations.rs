//! The manager as plugin code reaches it: operations named by a string, JSON in and out.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    manager::{NotificationsManager, PageRequest},
    model::NotificationError,
    scheduler::{Broadcast, Target, draft_from_json, time_from_json},
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

    /// Whether an operation is one of these.
    pub fn knows(operation: &str) -> bool {
        let part = operation.split_once('.').map(|(part, _)| part);
        matches!(part, Some("notifications" | "broadcast" | "digest"))
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
        let user = || text(arguments, "user_id");
        match operation {
            "notifications.create" => {
                let draft = draft_from_json(arguments)?;
                Ok(manager.create(app_id, user()?, &draft).await?.to_json())
            }
            "notifications.create_bulk" => {
                let users = list_of_text(arguments, "user_ids")?;
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
                };
                manager.broadcast(app_id, &broadcast).await
            }
            "broadcast.get" => manager.find_broadcast(app_id, text(arguments, "id")?).await,
            "broadcast.list" => Ok(manager.broadcasts(app_id).await?.into()),
            "digest.schedule" => {
                let at = time_from_json(&arguments["scheduled_for"], "scheduled_for")?;
                let draft = draft_from_json(arguments)?;
                manager.schedule(app_id, user()?, &draft, at).await
            }
            "digest.cancel" => found(
                manager
                    .cancel_scheduled(app_id, text(arguments, "id")?)
                    .await,
            ),
            "digest.list" => Ok(manager.scheduled(app_id).await?.into()),
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

fn list_of_text(arguments: &Value, key: &str) -> Result<Vec<String>, NotificationError> {
    let invalid = || NotificationError::invalid(key, "must be a list of strings");
    let items = arguments[key].as_array().ok_or_else(invalid)?;
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned).ok_or_else(invalid))
        .collect()
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
