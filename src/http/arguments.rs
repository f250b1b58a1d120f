//! What handlers take from a request's path and query.

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{
    error::ApiError,
    typed::{Description, Takes},
};
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

impl<T> Takes for PathId<T> {}

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

impl<T: JsonSchema> Takes for Arguments<T> {
    fn describe(description: &mut Description<'_>) {
        // Told parameter by parameter, so it stands nowhere else.
        description.query = Some(T::json_schema(description.taken));
    }
}
