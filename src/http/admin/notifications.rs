//! `/__mozaiks/admin/notifications`: broadcasts, notifications for later, channels and their log,
//! templates.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::http::{
    arguments::{Arguments, PathId},
    error::ApiError,
    identify::Admin,
    json_body::{Body, FromObject, read},
    state::AppState,
    typed::Answer,
};
use mozaiks_notifications::{
    QueueStats,
    views::{ChannelView, JobView, ScheduledView},
};

/// The log's query.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::http) struct LogQuery {
    /// Only this channel.
    channel: Option<String>,
    /// Only `queued`, `sent`, `failed` or `cancelled`.
    status: Option<String>,
    /// How many lines at most.
    limit: Option<u64>,
}

/// What a notification is to say. The operations, which plugins have too, check each field.
#[derive(Deserialize, Serialize, JsonSchema)]
struct NewDraft {
    /// One of the declared types.
    #[serde(default)]
    #[schemars(with = "String")]
    notification_type: Value,
    #[serde(default)]
    #[schemars(with = "String")]
    title: Value,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    message: Value,
    /// Whatever the frontend needs.
    #[serde(default)]
    #[schemars(with = "Option<Map<String, Value>>")]
    metadata: Value,
    /// Where it goes; the type's channels where nothing is said.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    channels: Value,
}

/// A broadcast to be made.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(in crate::http) struct NewBroadcast {
    #[serde(flatten)]
    draft: NewDraft,
    /// `"all"`, `{"role": "…"}` or `{"users": ["…"]}`.
    #[serde(default)]
    target: Value,
    /// When, in ISO 8601; at once where nothing is said.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    send_at: Value,
}

impl FromObject for NewBroadcast {
    fn from_object(object: Map<String, Value>) -> Result<Self, ApiError> {
        read(object, ApiError::InvalidRequest)
    }
}

/// A notification for later.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(in crate::http) struct NewScheduled {
    #[serde(flatten)]
    draft: NewDraft,
    #[serde(default)]
    #[schemars(with = "String")]
    user_id: Value,
    /// When, in ISO 8601.
    #[serde(default)]
    #[schemars(with = "String")]
    scheduled_for: Value,
}

impl FromObject for NewScheduled {
    fn from_object(object: Map<String, Value>) -> Result<Self, ApiError> {
        read(object, ApiError::InvalidRequest)
    }
}

/// A broadcast as it is recorded.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct OneBroadcast {
    #[schemars(with = "Map<String, Value>")]
    broadcast: Value,
}

/// The newest broadcasts.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Broadcasts {
    #[schemars(with = "Vec<Map<String, Value>>")]
    broadcasts: Value,
}

/// A notification for later that was taken.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct OneScheduled {
    #[schemars(with = "ScheduledView")]
    scheduled: Value,
}

/// The newest notifications for later.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Scheduled {
    scheduled: Vec<JobView>,
}

/// It is done.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Done {
    success: bool,
    id: String,
}

impl Done {
    fn with(id: String) -> Answer<Self> {
        Answer(Self { success: true, id })
    }
}

/// How deliveries are doing.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Deliveries {
    channels: Vec<ChannelView>,
    /// By channel, then by state.
    deliveries: BTreeMap<String, BTreeMap<String, i64>>,
    jobs: QueueStats,
    /// Newest first.
    log: Vec<JobView>,
}

/// The templates as they were configured: by type, channel and part.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct TemplateList {
    #[schemars(with = "Map<String, Value>")]
    templates: Value,
}

/// Runs one of the operations that plugins have too, for the admin's app.
async fn operate(
    AppState(app): &AppState,
    app_id: &str,
    operation: &str,
    arguments: Value,
) -> Result<Value, ApiError> {
    let operations = &app.notification_operations;
    Ok(operations.request(app_id, operation, &arguments).await?)
}

fn to_value(wanted: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(wanted).map_err(|error| ApiError::Internal(error.to_string()))
}

/// `POST …/broadcast`: `{notification_type, title, message, target, channels?, metadata?}`.
pub(in crate::http) async fn create_broadcast(
    State(state): State<AppState>,
    Admin(admin): Admin,
    Body(wanted): Body<NewBroadcast>,
) -> Result<Answer<OneBroadcast>, ApiError> {
    let mut wanted = to_value(&wanted)?;
    wanted["created_by"] = Value::from(&*admin.user_id);
    let broadcast = operate(&state, &admin.app_id, "broadcast.create", wanted).await?;
    Ok(Answer(OneBroadcast { broadcast }))
}

/// `GET …/broadcasts`: the newest hundred with their progress.
pub(in crate::http) async fn list_broadcasts(
    State(state): State<AppState>,
    Admin(admin): Admin,
) -> Result<Answer<Broadcasts>, ApiError> {
    let broadcasts = operate(&state, &admin.app_id, "broadcast.list", json!({})).await?;
    Ok(Answer(Broadcasts { broadcasts }))
}

/// `GET …/broadcasts/{id}`
pub(in crate::http) async fn get_broadcast(
    State(state): State<AppState>,
    Admin(admin): Admin,
    PathId(id): PathId<String>,
) -> Result<Answer<OneBroadcast>, ApiError> {
    let broadcast = operate(&state, &admin.app_id, "broadcast.get", json!({ "id": id })).await?;
    Ok(Answer(OneBroadcast { broadcast }))
}

/// `DELETE …/broadcasts/{id}`: cancels one that has not begun.
pub(in crate::http) async fn cancel_broadcast(
    State(AppState(app)): State<AppState>,
    Admin(admin): Admin,
    PathId(id): PathId<String>,
) -> Result<Answer<Done>, ApiError> {
    app.notifications
        .cancel_broadcast(&admin.app_id, &id)
        .await?;
    Ok(Done::with(id))
}

/// `POST …/schedule`: `{user_id, notification_type, title, message, scheduled_for}`.
pub(in crate::http) async fn create_scheduled(
    State(state): State<AppState>,
    Admin(admin): Admin,
    Body(wanted): Body<NewScheduled>,
) -> Result<Answer<OneScheduled>, ApiError> {
    let wanted = to_value(&wanted)?;
    let scheduled = operate(&state, &admin.app_id, "digest.schedule", wanted).await?;
    Ok(Answer(OneScheduled { scheduled }))
}

/// `GET …/schedule`
pub(in crate::http) async fn list_scheduled(
    State(AppState(app)): State<AppState>,
    Admin(admin): Admin,
) -> Result<Answer<Scheduled>, ApiError> {
    let scheduled = app.notifications.scheduled(&admin.app_id).await?;
    Ok(Answer(Scheduled { scheduled }))
}

/// `DELETE …/schedule/{id}`: cancels one that has not gone out.
pub(in crate::http) async fn cancel_scheduled(
    State(AppState(app)): State<AppState>,
    Admin(admin): Admin,
    PathId(id): PathId<String>,
) -> Result<Answer<Done>, ApiError> {
    app.notifications
        .cancel_scheduled(&admin.app_id, &id)
        .await?;
    Ok(Done::with(id))
}

/// `GET …/channels`: what is configured, how many deliveries are in which state, and the log's
/// newest lines; `channel`, `status` and `limit` narrow these.
pub(in crate::http) async fn list_channels(
    State(AppState(app)): State<AppState>,
    Admin(admin): Admin,
    Arguments(query): Arguments<LogQuery>,
) -> Result<Answer<Deliveries>, ApiError> {
    let log = app
        .notifications
        .delivery_log(
            &admin.app_id,
            query.channel.as_deref(),
            query.status.as_deref(),
            query.limit.unwrap_or(50),
        )
        .await?;
    Ok(Answer(Deliveries {
        channels: app.notifications.describe().channels,
        deliveries: app.notifications.delivery_counts(&admin.app_id).await?,
        jobs: app.notifications.job_stats(),
        log,
    }))
}

/// `POST …/deliveries/{id}/retry`: puts a dead letter back into its queue.
pub(in crate::http) async fn retry_delivery(
    State(AppState(app)): State<AppState>,
    Admin(admin): Admin,
    PathId(id): PathId<String>,
) -> Result<Answer<Done>, ApiError> {
    app.notifications.retry_delivery(&admin.app_id, &id).await?;
    Ok(Done::with(id))
}

/// `GET …/templates`
pub(in crate::http) async fn list_templates(
    State(AppState(app)): State<AppState>,
    _: Admin,
) -> Answer<TemplateList> {
    let templates = app.notifications.templates().to_json().clone();
    Answer(TemplateList { templates })
}
