//! `/__mozaiks/admin/notifications`: broadcasts, notifications for later, channels and their log,
//! templates.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{
    arguments::{Arguments, PathId, answer},
    error::ApiError,
    identify::Admin,
    json_body::JsonObject,
    state::AppState,
};

/// The log's query.
#[derive(Debug, Default, Deserialize)]
pub(in crate::http) struct LogQuery {
    channel: Option<String>,
    status: Option<String>,
    limit: Option<u64>,
}

/// Runs one of the operations that plugins have too, for the admin's app.
async fn operate(
    AppState(app): &AppState,
    app_id: &str,
    operation: &str,
    arguments: Value,
) -> Result<Value, ApiError> {
    Ok(app
        .notification_operations
        .request(app_id, operation, &arguments)
        .await?)
}

/// `POST …/broadcast`: `{notification_type, title, message, target, channels?, metadata?}`.
pub(in crate::http) async fn create_broadcast(
    State(state): State<AppState>,
    Admin(admin): Admin,
    JsonObject(mut body): JsonObject,
) -> Result<Response, ApiError> {
    body.insert("created_by".into(), Value::from(&*admin.user_id));
    let made = operate(
        &state,
        &admin.app_id,
        "broadcast.create",
        Value::Object(body),
    )
    .await?;
    Ok(answer(&json!({ "broadcast": made })))
}

/// `GET …/broadcasts`: the newest hundred with their progress.
pub(in crate::http) async fn list_broadcasts(
    State(state): State<AppState>,
    Admin(admin): Admin,
) -> Result<Response, ApiError> {
    let listed = operate(&state, &admin.app_id, "broadcast.list", json!({})).await?;
    Ok(answer(&json!({ "broadcasts": listed })))
}

/// `GET …/broadcasts/{id}`
pub(in crate::http) async fn get_broadcast(
    State(state): State<AppState>,
    Admin(admin): Admin,
    PathId(id): PathId<String>,
) -> Result<Response, ApiError> {
    let found = operate(&state, &admin.app_id, "broadcast.get", json!({ "id": id })).await?;
    Ok(answer(&json!({ "broadcast": found })))
}

/// `DELETE …/broadcasts/{id}`: cancels one that has not begun.
pub(in crate::http) async fn cancel_broadcast(
    State(AppState(app)): State<AppState>,
    Admin(admin): Admin,
    PathId(id): PathId<String>,
) -> Result<Response, ApiError> {
    app.notifications
        .cancel_broadcast(&admin.app_id, &id)
        .await?;
    Ok(answer(&json!({ "success": true, "id": id })))
}

/// `POST …/schedule`: `{user_id, notification_type, title, message, scheduled_for}`.
pub(in crate::http) async fn create_scheduled(
    State(state): State<AppState>,
    Admin(admin): Admin,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    let made = operate(
        &state,
        &admin.app_id,
        "digest.schedule",
        Value::Object(body),
    )
    .await?;
    Ok(answer(&json!({ "scheduled": made })))
}

/// `GET …/schedule`
pub(in crate::http) async fn list_scheduled(
    State(state): State<AppState>,
    Admin(admin): Admin,
) -> Result<Response, ApiError> {
    let listed = operate(&state, &admin.app_id, "digest.list", json!({})).await?;
    Ok(answer(&json!({ "scheduled": listed })))
}

/// `DELETE …/schedule/{id}`: cancels one that has not gone out.
pub(in crate::http) async fn cancel_scheduled(
    State(AppState(app)): State<AppState>,
    Admin(admin): Admin,
    PathId(id): PathId<String>,
) -> Result<Response, ApiError> {
    app.notifications
        .cancel_scheduled(&admin.app_id, &id)
        .await?;
    Ok(answer(&json!({ "success": true, "id": id })))
}

/// `GET …/channels`: what is configured, how many deliveries are in which state, and the log's
/// newest lines; `channel`, `status` and `limit` narrow these.
pub(in crate::http) async fn list_channels(
    State(AppState(app)): State<AppState>,
    Admin(admin): Admin,
    Arguments(query): Arguments<LogQuery>,
) -> Result<Response, ApiError> {
    let log = app
        .notifications
        .delivery_log(
            &admin.app_id,
            query.channel.as_deref(),
            query.status.as_deref(),
            query.limit.unwrap_or(50),
        )
        .await?;
    let mut described = app.notifications.describe();
    let mut body = Map::new();
    body.insert("channels".into(), described["channels"].take());
    body.insert(
        "deliveries".into(),
        app.notifications.delivery_counts(&admin.app_id).await?,
    );
    body.insert("jobs".into(), json!(app.notifications.job_stats()));
    body.insert("log".into(), log.into());
    Ok(answer(&Value::Object(body)))
}

/// `POST …/deliveries/{id}/retry`: puts a dead letter back into its queue.
pub(in crate::http) async fn retry_delivery(
    State(AppState(app)): State<AppState>,
    Admin(admin): Admin,
    PathId(id): PathId<String>,
) -> Result<Response, ApiError> {
    app.notifications.retry_delivery(&admin.app_id, &id).await?;
    Ok(answer(&json!({ "success": true, "id": id })))
}

/// `GET …/templates`
pub(in crate::http) async fn list_templates(
    State(AppState(app)): State<AppState>,
    _: Admin,
) -> Response {
    answer(&json!({ "templates": app.notifications.templates().to_json() }))
}
