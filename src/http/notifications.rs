//! `/api/notifications` and `/api/push`: what a user has been told, and how they want to be.

use std::{collections::BTreeMap, time::SystemTime};

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    arguments::{Arguments, PathId},
    error::ApiError,
    identify::User,
    json_body::{Body, FromObject},
    typed::Answer,
};
use crate::{
    http::state::{App, AppState},
    refusals::notification_error,
};
use mozaiks_auth::Principal;
use mozaiks_notifications::{
    Contact, NotificationError, PageRequest,
    preferences::Preferences,
    views::{ContactView, NotificationView, OfferView, PreferencesView},
};

impl From<NotificationError> for ApiError {
    fn from(error: NotificationError) -> Self {
        match error {
            NotificationError::Internal(what) => Self::Internal(what),
            error => Self::Host(notification_error(error)),
        }
    }
}

/// The query of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct ListQuery {
    /// Only unread ones.
    unread_only: Option<bool>,
    /// How many at most.
    limit: Option<u64>,
    /// How many of the newest to pass over.
    offset: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of a user's notifications.
#[derive(Serialize, JsonSchema)]
pub(super) struct NotificationList {
    count: usize,
    /// Newest first.
    notifications: Vec<NotificationView>,
    /// How many are unread altogether.
    unread_count: u64,
    unread_only: bool,
    /// Where the next page starts; null at the end.
    next_cursor: Option<String>,
    /// When this was so, in ISO 8601.
    timestamp: String,
}

/// How many are unread.
#[derive(Serialize, JsonSchema)]
pub(super) struct UnreadCount {
    count: u64,
    unread_count: u64,
}

/// A notification is marked.
#[derive(Serialize, JsonSchema)]
pub(super) struct Marked {
    success: bool,
    id: String,
    read: bool,
}

/// All notifications are marked as read.
#[derive(Serialize, JsonSchema)]
pub(super) struct AllMarked {
    success: bool,
    /// How many were unread.
    count: u64,
}

/// A notification is no more.
#[derive(Serialize, JsonSchema)]
pub(super) struct Deleted {
    success: bool,
    id: String,
}

/// What the user wishes, and which addresses are theirs.
#[derive(Serialize, JsonSchema)]
pub(super) struct Wishes {
    preferences: PreferencesView,
    contacts: BTreeMap<&'static str, ContactView>,
}

/// Changes of preferences, at the top or under `preferences`; the preferences check each.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum NewWishes {
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
pub(super) struct CodeWanted {
    /// `email` or `phone`.
    contact: String,
}

impl FromObject for CodeWanted {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        let contact = text_of(&body, "contact")?;
        Ok(Self { contact })
    }
}

/// The code that was sent.
#[derive(JsonSchema)]
pub(super) struct CodeGiven {
    /// `email` or `phone`.
    contact: String,
    code: String,
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
pub(super) struct AddressState {
    contact: &'static str,
    address: String,
    confirmed: bool,
}

/// The key that browsers subscribe with.
#[derive(Serialize, JsonSchema)]
pub(super) struct VapidKey {
    public_key: String,
}

/// Something of a browser's subscription, alone or under `subscription`.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum MaybeWrapped<T> {
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
pub(super) struct PushSubscription {
    endpoint: String,
    keys: PushKeys,
}

#[derive(JsonSchema)]
struct PushKeys {
    p256dh: String,
    auth: String,
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
pub(super) struct GoneSubscription {
    endpoint: String,
}

impl FromObject for GoneSubscription {
    fn from_object(body: Map<String, Value>) -> Result<Self, ApiError> {
        let endpoint = text_of(&body, "endpoint")?;
        Ok(Self { endpoint })
    }
}

/// It is done.
#[derive(Serialize, JsonSchema)]
pub(super) struct Subscribed {
    success: bool,
}

/// It is done.
#[derive(Serialize, JsonSchema)]
pub(super) struct Unsubscribed {
    success: bool,
    /// Whether there was one.
    removed: bool,
}

/// `GET /api/notifications`: newest first; `next_cursor` stays right while new ones arrive.
pub(super) async fn list_notifications(
    State(AppState(app)): State<AppState>,
    User(user): User,
    Arguments(query): Arguments<ListQuery>,
) -> Result<Answer<NotificationList>, ApiError> {
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
    let notifications: Vec<_> = page.notifications.iter().map(|one| one.view()).collect();
    Ok(Answer(NotificationList {
        count: notifications.len(),
        notifications,
        unread_count: page.unread_count,
        unread_only,
        next_cursor: page.next_cursor,
        timestamp: bson::DateTime::from_system_time(SystemTime::now())
            .try_to_rfc3339_string()
            .unwrap_or_default(),
    }))
}

/// `GET /api/notifications/count`
pub(super) async fn count_notifications(
    State(AppState(app)): State<AppState>,
    User(user): User,
) -> Result<Answer<UnreadCount>, ApiError> {
    let unread_count = app
        .notifications
        .unread_count(&user.app_id, &user.user_id)
        .await?;
    Ok(Answer(UnreadCount {
        count: unread_count,
        unread_count,
    }))
}

/// `POST /api/notifications/{id}/read`
pub(super) async fn mark_read(
    State(AppState(app)): State<AppState>,
    User(user): User,
    PathId(id): PathId<String>,
) -> Result<Answer<Marked>, ApiError> {
    mark(&app, &user, id, true).await
}

/// `POST /api/notifications/{id}/unread`
pub(super) async fn mark_unread(
    State(AppState(app)): State<AppState>,
    User(user): User,
    PathId(id): PathId<String>,
) -> Result<Answer<Marked>, ApiError> {
    mark(&app, &user, id, false).await
}

async fn mark(
    app: &App,
    user: &Principal,
    id: String,
    read: bool,
) -> Result<Answer<Marked>, ApiError> {
    app.notifications
        .mark(&user.app_id, &user.user_id, &id, read)
        .await?;
    Ok(Answer(Marked {
        success: true,
        id,
        read,
    }))
}

/// `POST /api/notifications/read-all` and `mark-all-read`
pub(super) async fn mark_all_read(
    State(AppState(app)): State<AppState>,
    User(user): User,
) -> Result<Answer<AllMarked>, ApiError> {
    let count = app
        .notifications
        .mark_all(&user.app_id, &user.user_id)
        .await?;
    Ok(Answer(AllMarked {
        success: true,
        count,
    }))
}

/// `DELETE /api/notifications/{id}`
pub(super) async fn delete_notification(
    State(AppState(app)): State<AppState>,
    User(user): User,
    PathId(id): PathId<String>,
) -> Result<Answer<Deleted>, ApiError> {
    app.notifications
        .delete(&user.app_id, &user.user_id, &id)
        .await?;
    Ok(Answer(Deleted { success: true, id }))
}

/// `GET /api/notifications/preferences`
pub(super) async fn get_preferences(
    State(AppState(app)): State<AppState>,
    User(user): User,
) -> Result<Answer<Wishes>, ApiError> {
    let preferences = app
        .notifications
        .preferences(&user.app_id, &user.user_id)
        .await?;
    tell_preferences(&app, &user, &preferences).await
}

async fn tell_preferences(
    app: &App,
    user: &Principal,
    preferences: &Preferences,
) -> Result<Answer<Wishes>, ApiError> {
    let contacts = app
        .notifications
        .contacts(&user.app_id, &user.user_id, preferences)
        .await?;
    Ok(Answer(Wishes {
        preferences: preferences.view(),
        contacts,
    }))
}

/// `PUT`, `POST /api/notifications/preferences`: changes what the body names, either at its top or
/// under `preferences`.
pub(super) async fn save_preferences(
    State(AppState(app)): State<AppState>,
    User(user): User,
    Body(body): Body<NewWishes>,
) -> Result<Answer<Wishes>, ApiError> {
    let (NewWishes::Wrapped { preferences: patch } | NewWishes::Bare(patch)) = body;
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
    Body(wanted): Body<CodeWanted>,
) -> Result<Answer<AddressState>, ApiError> {
    let contact: Contact = wanted.contact.parse()?;
    let manager = &app.notifications;
    // A handler's own future would be as large as all that sending needs.
    let sent = Box::pin(manager.request_code(&user.app_id, &user.user_id, contact)).await?;
    Ok(Answer(AddressState {
        contact: contact.as_str(),
        address: sent.address,
        confirmed: sent.confirmed,
    }))
}

/// `POST /api/notifications/preferences/confirm`: `{"contact", "code"}`.
pub(super) async fn confirm_code(
    State(AppState(app)): State<AppState>,
    User(user): User,
    Body(given): Body<CodeGiven>,
) -> Result<Answer<AddressState>, ApiError> {
    let contact: Contact = given.contact.parse()?;
    let manager = &app.notifications;
    let done = manager
        .confirm_code(&user.app_id, &user.user_id, contact, &given.code)
        .await?;
    Ok(Answer(AddressState {
        contact: contact.as_str(),
        address: done.address,
        confirmed: done.confirmed,
    }))
}

fn text_of(body: &Map<String, Value>, name: &str) -> Result<String, ApiError> {
    let text = body.get(name).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| ApiError::InvalidRequest(format!("`{name}` must be a string")))
}

/// `GET /api/notifications/config`: types and channels that exist.
pub(super) async fn get_config(
    State(AppState(app)): State<AppState>,
    _: User,
) -> Answer<OfferView> {
    Answer(app.notifications.describe())
}

/// `GET /api/push/vapid-public-key`
pub(super) async fn get_vapid_key(
    State(AppState(app)): State<AppState>,
    _: User,
) -> Result<Answer<VapidKey>, ApiError> {
    let public_key = app.notifications.vapid_public_key()?;
    Ok(Answer(VapidKey { public_key }))
}

/// `POST /api/push/subscribe`: what `PushSubscription.toJSON()` gives, alone or under
/// `subscription`.
pub(super) async fn subscribe_push(
    State(AppState(app)): State<AppState>,
    User(user): User,
    Body(body): Body<MaybeWrapped<PushSubscription>>,
) -> Result<Answer<Subscribed>, ApiError> {
    let (MaybeWrapped::Wrapped { subscription } | MaybeWrapped::Bare(subscription)) = body;
    let PushSubscription { endpoint, keys } = subscription;
    app.notifications
        .subscribe_push(
            &user.app_id,
            &user.user_id,
            &endpoint,
            &keys.p256dh,
            &keys.auth,
        )
        .await?;
    Ok(Answer(Subscribed { success: true }))
}

/// `POST /api/push/unsubscribe`: `{"endpoint"}`.
pub(super) async fn unsubscribe_push(
    State(AppState(app)): State<AppState>,
    User(user): User,
    Body(body): Body<MaybeWrapped<GoneSubscription>>,
) -> Result<Answer<Unsubscribed>, ApiError> {
    let (MaybeWrapped::Wrapped { subscription } | MaybeWrapped::Bare(subscription)) = body;
    let removed = app
        .notifications
        .unsubscribe_push(&user.app_id, &user.user_id, &subscription.endpoint)
        .await?;
    Ok(Answer(Unsubscribed {
        success: true,
        removed,
    }))
}
