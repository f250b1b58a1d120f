//! What operators ask: alive, ready, metrics.

use axum::{extract::State, response::IntoResponse};
use http::{StatusCode, header};
use serde_json::json;

use crate::http::state::{AppState, Phase};

/// `GET /health`: the process answers.
pub(super) async fn get_health() -> impl IntoResponse {
    json_answer(StatusCode::OK, json!({ "status": "ok" }))
}

/// `GET /ready`: 200 while calls are taken, 503 while starting, draining, without database or while a
/// plugin holds the event loop.
pub(super) async fn get_ready(State(AppState(app)): State<AppState>) -> impl IntoResponse {
    let (status, word) = match app.phase() {
        Phase::Ready if !app.database_answers() => (StatusCode::SERVICE_UNAVAILABLE, "no database"),
        Phase::Ready if app.loop_is_held() => (StatusCode::SERVICE_UNAVAILABLE, "loop held"),
        Phase::Ready => (StatusCode::OK, "ready"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
    };
    json_answer(status, json!({ "status": word }))
}

/// `GET /metrics`: Prometheus' text format.
pub(super) async fn get_metrics(State(AppState(app)): State<AppState>) -> impl IntoResponse {
    let text = app.metrics.to_prometheus(&app.gauges());
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
}

fn json_answer(status: StatusCode, body: serde_json::Value) -> impl IntoResponse {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
}
