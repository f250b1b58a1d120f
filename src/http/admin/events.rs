//! `/__mozaiks/admin/events/…`: what was published, how delivery is doing, what failed for good.
//! Admins see their own app.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{
        arguments::{Arguments, PathId, answer},
        error::ApiError,
        identify::Admin,
        state::AppState,
    },
    refusals::host_error,
};
use mozaiks_events::{DeadLetter, Event, EventError};

const MAX_LIMIT: usize = 1000;

/// Which part of a list.
#[derive(Debug, Deserialize)]
pub(in crate::http) struct Page {
    event: Option<String>,
    #[serde(default = "fifty")]
    limit: usize,
    #[serde(default)]
    offset: usize,
}

fn fifty() -> usize {
    50
}

/// `GET …/history?event&limit`: the latest events, newest first.
pub(in crate::http) async fn get_history(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Arguments(page): Arguments<Page>,
) -> Result<Response, ApiError> {
    let mut events = app.events.history(
        Some(&principal.app_id),
        page.event.as_deref(),
        page.limit.min(MAX_LIMIT),
    );
    events.reverse();
    let events: Vec<_> = events.iter().map(|event| describe(event)).collect();
    Ok(answer(&json!({ "count": events.len(), "events": events })))
}

/// `GET …/stats`: counters of the app, subscriptions and dead letters.
pub(in crate::http) async fn get_stats(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
) -> Response {
    let (kept, dropped) = app.events.dead_letter_count(Some(&principal.app_id));
    let mut body = json!(app.events.stats(Some(&principal.app_id)));
    body["subscriptions"] = json!(app.events.subscription_stats());
    body["dead_letters"] = json!({ "kept": kept, "dropped": dropped });
    body["held_bytes"] = json!(app.events.held_bytes());
    answer(&body)
}

/// `GET …/dead-letters?limit&offset`: deliveries that failed for good, newest first.
pub(in crate::http) async fn list_dead_letters(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Arguments(page): Arguments<Page>,
) -> Result<Response, ApiError> {
    let app_id = Some(&*principal.app_id);
    let letters = app
        .events
        .dead_letters(app_id, page.limit.min(MAX_LIMIT), page.offset);
    let letters: Vec<_> = letters.iter().map(describe_letter).collect();
    Ok(answer(&json!({
        "count": letters.len(),
        "total": app.events.dead_letter_count(app_id).0,
        "dead_letters": letters,
    })))
}

/// `POST …/dead-letters/{id}/retry`: delivers it once more.
pub(in crate::http) async fn retry_dead_letter(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(id): PathId<u64>,
) -> Result<Response, ApiError> {
    app.events
        .retry_dead_letter(Some(&principal.app_id), id)
        .map_err(refused)?;
    Ok(answer(&json!({ "id": id, "retried": true })))
}

/// `DELETE …/dead-letters/{id}`: throws it away.
pub(in crate::http) async fn discard_dead_letter(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(id): PathId<u64>,
) -> Result<Response, ApiError> {
    app.events
        .discard_dead_letter(Some(&principal.app_id), id)
        .map_err(refused)?;
    Ok(answer(&json!({ "id": id, "discarded": true })))
}

fn refused(error: EventError) -> ApiError {
    ApiError::Host(host_error("NOT_FOUND", error.to_string()))
}

fn describe(event: &Event) -> Value {
    let principal = event.principal.as_deref();
    json!({
        "id": event.id,
        "event": &*event.name,
        "timestamp": event.timestamp(),
        "app_id": &*event.app_id,
        "user_id": principal.map(|principal| &*principal.user_id),
        "request_id": event.request_id.as_deref(),
        "data": serde_json::from_slice::<Value>(&event.data.to_json()).unwrap_or_default(),
    })
}

fn describe_letter(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "event": describe(&letter.event),
        "subscriber": &*letter.subscriber,
        "pattern": &*letter.pattern,
        "attempts": letter.attempts,
        "error": &*letter.error,
        "failed_at": letter.failed_at_timestamp(),
    })
}
