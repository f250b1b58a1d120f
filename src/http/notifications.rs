//! `/api/notifications` and `/api/push`: what a user has been told, and how they want to be.

mod types;

use std::time::SystemTime;

use axum::extract::State;

use super::{
    arguments::{Arguments, PathId},
    error::ApiError,
    identify::User,
    json_body::Body,
    typed::Answer,
};
use crate::{
    http::state::{App, AppState},
    refusals::notification_error,
};
use mozaiks_auth::Principal;
use mozaiks_notifications::{
    Contact, NotificationError, PageRequest, preferences::Preferences, views::OfferView,
};
use types::{
    AddressState, AllMarked, CodeGiven, CodeWanted, Deleted, GoneSubscription, ListQuery, Marked,
    MaybeWrapped, NewWishes, NotificationList, PushSubscription, Subscribed, UnreadCount,
    Unsubscribed, VapidKey, Wishes,
};

impl From<NotificationError> for ApiError {
    fn from(error: NotificationError) -> Self {
        match error {
            NotificationError::Internal(what) => Self::Internal(what),
            error => Self::Host(notification_error(error)),
        }
    }
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
    Ok(Answer(VapidKey {
        enabled: public_key.is_some(),
        public_key,
    }))
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
    let enabled = app
        .notifications
        .subscribe_push(
            &user.app_id,
            &user.user_id,
            &endpoint,
            &keys.p256dh,
            &keys.auth,
        )
        .await?;
    Ok(Answer(Subscribed {
        success: enabled,
        enabled,
    }))
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
        enabled: app.notifications.takes_push(),
        removed,
    }))
}
