//! `POST /api/ws/ticket`: a credential for one connection, for clients that can only give a URL.

use std::sync::Arc;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::{error::ApiError, identify::User, typed::Answer};
use crate::http::state::AppState;
use mozaiks_plugins::HostError;
use mozaiks_realtime::TicketError;

/// A credential for one connection.
#[derive(Serialize, JsonSchema)]
pub(super) struct Ticket {
    ticket: String,
    /// Seconds.
    expires_in: u64,
}

/// `POST /api/ws/ticket`: `{ticket, expires_in}`, `expires_in` in seconds.
pub(super) async fn create_ticket(
    State(AppState(app)): State<AppState>,
    User(principal): User,
) -> Result<Answer<Ticket>, ApiError> {
    let identity = app.realtime.identity_of(&Arc::clone(&principal));
    let ticket = app
        .realtime
        .tickets
        .issue(identity)
        .map_err(|error| match error {
            TicketError::TooManyOfUser => ApiError::Host(HostError {
                code: "LIMIT_EXCEEDED",
                message: error.to_string(),
                details: None,
            }),
            TicketError::TooMany => ApiError::Overloaded("too many tickets are open"),
        })?;
    Ok(Answer(Ticket {
        ticket: ticket.to_string(),
        expires_in: app.realtime.tickets.ttl().as_secs(),
    }))
}
