//! `/api/notifications` and `/api/push`: what a user has been told, and how they want to be.

use std::time::SystemTime;

use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    arguments::{Arguments, PathId, answer},
    error::ApiError,
    identify::User,
    json_body::JsonObject,
};
use crate::{
    http::state::{App, AppState},
    refusals::notification_error,
};
use mozaiks_auth::Principal;
use mozaiks_notifications::{Contact, NotificationError, PageRequest, preferences::Preferences};

impl From<NotificationError> for ApiError {
    fn from(error: NotificationError) -> Self {
        match error {
            NotificationError::Internal(what) => Self::Internal(what),
            error => Self::Host(notification_error(error)),
        }
    }
}

/// The query of a list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    unread_only: Option<bool>,
    limit: Option<u64>,
    offset: Option<u64>,
    cursor: Option<String>,
}

/// `GET /api/notifications`: newest first; `next_cursor` stays right while new ones arrive.
pub(super) async fn list_notifications(
    State(AppState(app)): State<AppState>,
    User(user): User,
    Arguments(query): Arguments<ListQuery>,
) -> Result<Response, ApiError> {
    let unread_only = query.unread_only.unwrap_or(false);
    let request = PageRequest {
        unread_only,
        limit: query.limit.unwrap_or(0),
        offset: query.offset.unwrap_or(0),
        cursor: query.cursor,
    };
    let page = app
        .notifications
        .list(&user.app_id, &user.user_id, &request)
        .await?;
    let notifications: Vec<Value> = page.notifications.iter().map(|one| one.to_json()).collect();
    Ok(answer(&json!({
        "count": notifications.len(),
        "notifications": notifications,
        "unread_count": page.unread_count,
        "unread_only": unread_only,
        "next_cursor": page.next_cursor,
        "timestamp": bson::DateTime::from_system_time(SystemTime::now())
            .try_to_rfc3339_string()
            .unwrap_or_default(),
    })))
}

/// `GET /api/notifications/count`
pub(super) async fn count_notifications(
    State(AppState(app)): State<AppState>,
    User(user): User,
) -> Result<Response, ApiError> {
    let unread = app
        .notifications
        .unread_count(&user.app_id, &user.user_id)
        .await?;
    Ok(answer(&json!({ "count": unread, "unread_count": unread })))
}

/// `POST /api/notifications/{id}/read`
pub(super) async fn mark_read(
    State(AppState(app)): State<AppState>,
    User(user): User,
    PathId(id): PathId<String>,
) -> Result<Response, ApiError> {
    mark(&app, &user, &id, true).await
}

/// `POST /api/notifications/{id}/unread`
pub(super) async fn mark_unread(
    State(AppState(app)): State<AppState>,
    User(user): User,
    PathId(id): PathId<String>,
) -> Result<Response, ApiError> {
    mark(&app, &user, &id, false).await
}

async fn mark(app: &App, user: &Principal, id: &str, read: bool) -> Result<Response, ApiError> {
    app.notifications
        .mark(&user.app_id, &user.user_id, id, read)
        .await?;
    Ok(answer(&json!({ "success": true, "id": id, "read": read })))
}

/// `POST /api/notifications/read-all` and `mark-all-read`
pub(super) async fn mark_all_read(
    State(AppState(app)): State<AppState>,
    User(user): User,
) -> Result<Response, ApiError> {
    let count = app
        .notifications
        .mark_all(&user.app_id, &user.user_id)
        .await?;
    Ok(answer(&json!({ "success": true, "count": count })))
}

/// `DELETE /api/notifications/{id}`
pub(super) async fn delete_notification(
    State(AppState(app)): State<AppState>,
    User(user): User,
    PathId(id): PathId<String>,
) -> Result<Response, ApiError> {
    app.notifications
        .delete(&user.app_id, &user.user_id, &id)
        .await?;
    Ok(answer(&json!({ "success": true, "id": id })))
}

/// `GET /api/notifications/preferences`
pub(super) async fn get_preferences(
    State(AppState(app)): State<AppState>,
    User(user): User,
) -> Result<Response, ApiError> {
    let preferences = app
        .notifications
        .preferences(&user.app_id, &user.user_id)
        .await?;
    tell_preferences(&app, &user, &preferences).await
}

/// `{preferences, contacts}`: what the user wishes, and which addresses are theirs.
async fn tell_preferences(
    app: &App,
    user: &Principal,
    preferences: &Preferences,
) -> Result<Response, ApiError> {
    let contacts = app
        .notifications
        .contacts(&user.app_id, &user.user_id, preferences)
        .await?;
    Ok(answer(
        &json!({ "preferences": preferences.to_json(), "contacts": contacts }),
    ))
}

/// `PUT`, `POST /api/notifications/preferences`: changes what the body names, either at its top or
/// under `preferences`.
pub(super) async fn save_preferences(
    State(AppState(app)): State<AppState>,
    User(user): User,
    JsonObject(mut body): JsonObject,
) -> Result<Response, ApiError> {
    let patch = match body.remove("preferences") {
        Some(Value::Object(patch)) => patch,
        Some(_) => {
            return Err(ApiError::InvalidRequest(
                "`preferences` must be a JSON object".into(),
            ));
        }
        None => body,
    };
    let manager = &app.notifications;
    let preferences = manager
        .update_preferences(&user.app_id, &user.user_id, &patch)
        .await?;
    tell_preferences(&app, &user, &preferences).await
}

/// `POST /api/notifications/preferences/code`: `{"contact": "email"|"phone"}`. Sends a code to the
/// address in the preferences, unless it is the user's already.
pub(super) async fn request_code(
    State(AppState(app)): State<AppState>,
    User(user): User,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let contact: Contact = text_of(&body, "contact")?.parse()?;
    let manager = &app.notifications;
    // A handler's own future would be as large as all that sending needs.
    let sent = Box::pin(manager.request_code(&user.app_id, &user.user_id, contact)).await?;
    Ok(answer(&json!({
        "contact": contact.as_str(), "address": sent.address, "confirmed": sent.confirmed,
    })))
}

/// `POST /api/notifications/preferences/confirm`: `{"contact", "code"}`.
pub(super) async fn confirm_code(
    State(AppState(app)): State<AppState>,
    User(user): User,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let contact: Contact = text_of(&body, "contact")?.parse()?;
    let code = text_of(&body, "code")?;
    let manager = &app.notifications;
    let done = manager
        .confirm_code(&user.app_id, &user.user_id, contact, code)
        .await?;
    Ok(answer(&json!({
        "contact": contact.as_str(), "address": done.address, "confirmed": done.confirmed,
    })))
}

fn text_of<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a str, ApiError> {
    let text = body.get(name).and_then(Value::as_str);
    text.ok_or_else(|| ApiError::InvalidRequest(format!("`{name}` must be a string")))
}

/// `GET /api/notifications/config`: types and channels that exist.
pub(super) async fn get_config(State(AppState(app)): State<AppState>, _: User) -> Response {
    answer(&app.notifications.describe())
}

/// `GET /api/push/vapid-public-key`
pub(super) async fn get_vapid_key(
    State(AppState(app)): State<AppState>,
    _: User,
) -> Result<Response, ApiError> {
    let key = app.notifications.vapid_public_key()?;
    Ok(answer(&json!({ "public_key": key })))
}

/// `POST /api/push/subscribe`: what `PushSubscription.toJSON()` gives, alone or under
/// `subscription`.
pub(super) async fn subscribe_push(
    State(AppState(app)): State<AppState>,
    User(user): User,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let subscription = subscription_of(&body)?;
    let text = |value: Option<&Value>, name: &str| {
        value
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| ApiError::InvalidRequest(format!("`{name}` must be a string")))
    };
    let keys = subscription.get("keys");
    let endpoint = text(subscription.get("endpoint"), "endpoint")?;
    let p256dh = text(keys.and_then(|keys| keys.get("p256dh")), "keys.p256dh")?;
    let auth = text(keys.and_then(|keys| keys.get("auth")), "keys.auth")?;
    app.notifications
        .subscribe_push(&user.app_id, &user.user_id, &endpoint, &p256dh, &auth)
        .await?;
    Ok(answer(&json!({ "success": true })))
}

/// `POST /api/push/unsubscribe`: `{"endpoint"}`.
pub(super) async fn unsubscribe_push(
    State(AppState(app)): State<AppState>,
    User(user): User,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let subscription = subscription_of(&body)?;
    let endpoint = subscription
        .get("endpoint")
        .and_then(Value::as_str)
        .ok_or_else(|| ApiError::InvalidRequest("`endpoint` must be a string".into()))?;
    let manager = &app.notifications;
    let removed = manager
        .unsubscribe_push(&user.app_id, &user.user_id, endpoint)
        .await?;
    Ok(answer(&json!({ "success": true, "removed": removed })))
}

fn subscription_of(body: &Map<String, Value>) -> Result<&Map<String, Value>, ApiError> {
    match body.get("subscription") {
        None => Ok(body),
        Some(Value::Object(subscription)) => Ok(subscription),
        Some(_) => Err(ApiError::InvalidRequest(
            "`subscription` must be a JSON object".into(),
        )),
    }
}
