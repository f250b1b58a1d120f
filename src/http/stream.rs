//! `GET /api/stream`: the messages of a user as server-sent events.

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::{Request, State},
    response::IntoResponse as _,
};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, header};

use super::typed::Events;
use super::{
    error::ApiError,
    ws::{self, Presented, QueryParameters},
};
use crate::http::state::AppState;
use mozaiks_plugins::HostError;
use mozaiks_realtime::{Resume, hub::SubscribeError};

/// Where a browser that reconnects by itself stopped reading.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `GET /api/stream`. Credentials as for a socket, but for the first message; `Last-Event-ID` or
/// `?since=` resumes.
pub(super) async fn get_stream(
    State(AppState(app)): State<AppState>,
    request: Request,
) -> Result<Events, ApiError> {
    let query = QueryParameters::parse(request.uri().query().unwrap_or_default());
    let presented = Presented::find(request.headers(), &query, app.realtime.config.query_tokens)?;
    let resume = resume(request.headers(), &query);
    let identity = presented
        .identify(&app, request.extensions())
        .await?
        .ok_or(ApiError::AuthRequired)?;
    let events = app
        .realtime
        .event_stream(&identity, resume)
        .map_err(|error| match error {
            SubscribeError::TooMany => ApiError::Host(HostError {
                code: "LIMIT_EXCEEDED",
                message: error.to_string(),
                details: None,
            }),
            SubscribeError::ShuttingDown => ApiError::Overloaded("the gateway is shutting down"),
        })?;
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would hold events back until a buffer is full.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok(Events((headers, body).into_response()))
}

fn resume(headers: &HeaderMap, query: &QueryParameters<'_>) -> Option<Resume> {
    match headers.get(&LAST_EVENT_ID) {
        Some(id) => ws::resume(query, Some(id.to_str().unwrap_or_default())),
        None => ws::resume(query, query.get("since").as_deref()),
    }
}
