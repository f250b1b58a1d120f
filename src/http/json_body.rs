//! A JSON object as a handler's argument, read by the same rules as calls of plugins.

use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use super::{
    body::{BodyLimits, read_body},
    error::ApiError,
    execute::check_content,
};
use crate::http::state::AppState;
use mozaiks_plugins::body::{BodyError, check_object};

/// Nesting that these routes take.
const MAX_DEPTH: usize = 64;

/// The body of a request; an empty one counts as `{}`.
pub(super) struct JsonObject(pub(super) Map<String, Value>);

impl FromRequest<AppState> for JsonObject {
    type Rejection = ApiError;

    async fn from_request(
        request: Request,
        AppState(app): &AppState,
    ) -> Result<Self, Self::Rejection> {
        let (head, body) = request.into_parts();
        let typed = check_content(&head.headers)?;
        let body = read_body(body, BodyLimits::of(&app.server), &app.bodies).await?;
        if body.is_empty() {
            return Ok(Self(Map::new()));
        }
        if !typed {
            return Err(ApiError::UnsupportedMediaType);
        }
        check_object(&body, MAX_DEPTH).map_err(|error| match error {
            BodyError::Invalid(reason) => ApiError::InvalidJson(reason),
            BodyError::WrongType(found) => {
                ApiError::InvalidRequest(format!("the body must be a JSON object, not {found}"))
            }
            BodyError::Sink(reason) => ApiError::Internal(reason),
        })?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| ApiError::InvalidJson(error.to_string()))
    }
}
