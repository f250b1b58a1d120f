//! A JSON object as a handler's typed argument, read by the same rules as calls of plugins.

use axum::extract::{FromRequest, Request};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    body::{BodyLimits, read_body},
    error::ApiError,
    execute::check_content,
    typed::{Description, Takes},
};
use crate::http::state::AppState;
use mozaiks_plugins::body::{BodyError, check_object};

/// Nesting that these routes take.
const MAX_DEPTH: usize = 64;

/// The body of a request; an empty one counts as `{}`.
pub(super) struct Body<T>(pub(super) T);

/// A type that an object of a client's becomes. Each says by itself how it refuses one.
pub(super) trait FromObject: Sized {
    /// Bytes of a body that is larger than usual.
    const MAX_BYTES: usize = 0;

    /// # Errors
    /// Where the object is none of these.
    fn from_object(object: Map<String, Value>) -> Result<Self, ApiError>;
}

/// Reads a type as serde does; `refuse` is given what is wrong.
pub(super) fn read<T: DeserializeOwned>(
    object: Map<String, Value>,
    refuse: fn(String) -> ApiError,
) -> Result<T, ApiError> {
    serde_json::from_value(Value::Object(object)).map_err(|error| refuse(error.to_string()))
}

impl<T: JsonSchema> Takes for Body<T> {
    fn describe(description: &mut Description<'_>) {
        description.body = Some(description.taken.subschema_for::<T>());
    }
}

impl<T: FromObject> FromRequest<AppState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(
        request: Request,
        AppState(app): &AppState,
    ) -> Result<Self, Self::Rejection> {
        let (head, body) = request.into_parts();
        let typed = check_content(&head.headers)?;
        let mut limits = BodyLimits::of(&app.server);
        limits.max_bytes = limits.max_bytes.max(T::MAX_BYTES);
        let body = read_body(body, limits, &app.bodies).await?;
        if body.is_empty() {
            return T::from_object(Map::new()).map(Self);
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
        let object = serde_json::from_slice(&body)
            .map_err(|error| ApiError::InvalidJson(error.to_string()))?;
        T::from_object(object).map(Self)
    }
}
