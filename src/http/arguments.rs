//! What handlers take from a request's path and query, and the JSON that they answer with.

use axum::{
    extract::{FromRequestParts, Path, Query},
    response::{IntoResponse, Response},
};
use http::{header, request::Parts};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use crate::http::state::AppState;

/// The id in a path. What cannot be read is the id of nothing.
pub(super) struct PathId<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(ApiError::NotFound),
        }
    }
}

/// The query of a request.
pub(super) struct Arguments<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Arguments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(ApiError::InvalidRequest(format!(
                "the query cannot be read: {}",
                rejection.body_text()
            ))),
        }
    }
}

/// A good answer.
pub(super) fn answer(body: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, body.to_string()).into_response()
}
