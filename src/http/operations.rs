//! What operators ask: alive, ready, metrics.

use axum::extract::State;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::typed::{Answer, MetricsText};
use crate::http::state::{AppState, Phase};

/// One word.
#[derive(Serialize, JsonSchema)]
pub(super) struct Status {
    status: &'static str,
}

/// `GET /health`: the process answers.
pub(super) async fn get_health() -> Answer<Status> {
    Answer(Status { status: "ok" })
}

/// `GET /ready`: 200 while calls are taken, 503 while starting, draining, without database or while a
/// plugin holds the event loop.
pub(super) async fn get_ready(
    State(AppState(app)): State<AppState>,
) -> (StatusCode, Answer<Status>) {
    let (code, status) = match app.phase() {
        Phase::Ready if !app.database_answers() => (StatusCode::SERVICE_UNAVAILABLE, "no database"),
        Phase::Ready if app.loop_is_held() => (StatusCode::SERVICE_UNAVAILABLE, "loop held"),
        Phase::Ready => (StatusCode::OK, "ready"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    (code, Answer(Status { status }))
}

/// `GET /metrics`: Prometheus' text format.
pub(super) async fn get_metrics(State(AppState(app)): State<AppState>) -> MetricsText {
    MetricsText(app.metrics.to_prometheus(&app.gauges()))
}
