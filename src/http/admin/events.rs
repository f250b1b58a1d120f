//! `/__mozaiks/admin/events/…`: what was published, how delivery is doing, what failed for good.
//! Admins see their own app.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    http::{
        arguments::{Arguments, PathId},
        error::ApiError,
        identify::Admin,
        state::AppState,
        typed::Answer,
    },
    refusals::host_error,
};
use mozaiks_events::{DeadLetter, Event, EventError, EventStats, SubscriptionStats};

const MAX_LIMIT: usize = 1000;

/// Which part of a list.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct Page {
    /// Only those of this name.
    event: Option<String>,
    /// How many at most.
    #[serde(default = "fifty")]
    limit: usize,
    /// How many are left out before them.
    #[serde(default)]
    offset: usize,
}

fn fifty() -> usize {
    50
}

/// An event.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct PublishedEvent {
    id: u64,
    /// Its name.
    event: String,
    /// When it was published, in ISO 8601.
    timestamp: String,
    app_id: String,
    /// Whose call or message it came from.
    user_id: Option<String>,
    request_id: Option<String>,
    data: Value,
}

/// The latest events.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct EventHistory {
    count: usize,
    /// Newest first.
    events: Vec<PublishedEvent>,
}

/// How the bus is doing.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct BusStats {
    #[serde(flatten)]
    app: EventStats,
    subscriptions: Vec<SubscriptionStats>,
    dead_letters: DeadLetterCount,
    /// Bytes of events that wait.
    held_bytes: usize,
}

/// How many deliveries failed for good.
#[derive(Serialize, JsonSchema)]
struct DeadLetterCount {
    kept: usize,
    /// For which there was no room.
    dropped: u64,
}

/// A delivery that failed for good.
#[derive(Serialize, JsonSchema)]
struct FailedDelivery {
    id: u64,
    event: PublishedEvent,
    /// The plugin, or the part of the gateway.
    subscriber: String,
    pattern: String,
    attempts: u32,
    error: String,
    /// In ISO 8601.
    failed_at: String,
}

/// Deliveries that failed for good.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct DeadLetters {
    count: usize,
    total: usize,
    /// Newest first.
    dead_letters: Vec<FailedDelivery>,
}

/// A dead letter is delivered once more.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Retried {
    id: u64,
    retried: bool,
}

/// A dead letter is no more.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Discarded {
    id: u64,
    discarded: bool,
}

/// `GET …/history?event&limit`: the latest events, newest first.
pub(in crate::http) async fn get_history(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Arguments(page): Arguments<Page>,
) -> Result<Answer<EventHistory>, ApiError> {
    let mut events = app.events.history(
        Some(&principal.app_id),
        page.event.as_deref(),
        page.limit.min(MAX_LIMIT),
    );
    events.reverse();
    let events: Vec<_> = events.iter().map(|event| describe(event)).collect();
    Ok(Answer(EventHistory {
        count: events.len(),
        events,
    }))
}

/// `GET …/stats`: counters of the app, subscriptions and dead letters.
pub(in crate::http) async fn get_stats(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
) -> Answer<BusStats> {
    let app_id = Some(&*principal.app_id);
    let (kept, dropped) = app.events.dead_letter_count(app_id);
    Answer(BusStats {
        app: app.events.stats(app_id),
        subscriptions: app.events.subscription_stats(),
        dead_letters: DeadLetterCount { kept, dropped },
        held_bytes: app.events.held_bytes(),
    })
}

/// `GET …/dead-letters?limit&offset`: deliveries that failed for good, newest first.
pub(in crate::http) async fn list_dead_letters(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Arguments(page): Arguments<Page>,
) -> Result<Answer<DeadLetters>, ApiError> {
    let app_id = Some(&*principal.app_id);
    let letters = app
        .events
        .dead_letters(app_id, page.limit.min(MAX_LIMIT), page.offset);
    let letters: Vec<_> = letters.iter().map(describe_letter).collect();
    Ok(Answer(DeadLetters {
        count: letters.len(),
        total: app.events.dead_letter_count(app_id).0,
        dead_letters: letters,
    }))
}

/// `POST …/dead-letters/{id}/retry`: delivers it once more.
pub(in crate::http) async fn retry_dead_letter(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(id): PathId<u64>,
) -> Result<Answer<Retried>, ApiError> {
    app.events
        .retry_dead_letter(Some(&principal.app_id), id)
        .map_err(refused)?;
    Ok(Answer(Retried { id, retried: true }))
}

/// `DELETE …/dead-letters/{id}`: throws it away.
pub(in crate::http) async fn discard_dead_letter(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(id): PathId<u64>,
) -> Result<Answer<Discarded>, ApiError> {
    app.events
        .discard_dead_letter(Some(&principal.app_id), id)
        .map_err(refused)?;
    Ok(Answer(Discarded {
        id,
        discarded: true,
    }))
}

fn refused(error: EventError) -> ApiError {
    ApiError::Host(host_error("NOT_FOUND", error.to_string()))
}

fn describe(event: &Event) -> PublishedEvent {
    let principal = event.principal.as_deref();
    PublishedEvent {
        id: event.id,
        event: event.name.to_string(),
        timestamp: event.timestamp(),
        app_id: event.app_id.to_string(),
        user_id: principal.map(|principal| principal.user_id.to_string()),
        request_id: event.request_id.as_deref().map(str::to_owned),
        data: serde_json::from_slice(&event.data.to_json()).unwrap_or_default(),
    }
}

fn describe_letter(letter: &DeadLetter) -> FailedDelivery {
    FailedDelivery {
        id: letter.id,
        event: describe(&letter.event),
        subscriber: letter.subscriber.to_string(),
        pattern: letter.pattern.to_string(),
        attempts: letter.attempts,
        error: letter.error.to_string(),
        failed_at: letter.failed_at_timestamp(),
    }
}
