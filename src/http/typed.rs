//! What handlers take and give, as types: `/openapi.json` is made from the handlers' own signatures.
//!
//! A handler's arguments say what it takes ([`Takes`]), its result what it gives ([`Gives`]); [`by!`] makes
//! of a handler's name both what the router needs and what the description needs.

use std::{future::Future, sync::Arc};

use axum::{
    Extension,
    extract::{Path, Request, State, rejection::PathRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter},
};
use bytes::Bytes;
use http::{HeaderValue, header};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::{
    error::ApiError,
    exchange::RequestContext,
    identify::{Admin, User},
    state::AppState,
};

/// What answers an operation, and how it describes itself.
pub(super) struct Endpoint {
    /// Makes what answers it; `None` where it is recognised before the router.
    pub(super) route: Option<fn(MethodFilter) -> MethodRouter<AppState>>,
    pub(super) describe: fn(&mut Description<'_>),
}

/// The [`Endpoint`] of a handler.
macro_rules! by {
    ($handler:path) => {
        $crate::http::typed::Endpoint {
            route: Some(|method| axum::routing::on(method, $handler)),
            describe: |description| description.handler($handler),
        }
    };
}
pub(super) use by;

/// What is known of one operation from its handler.
pub(super) struct Description<'a> {
    /// Types that clients send.
    pub(super) taken: &'a mut SchemaGenerator,
    /// Types that clients are sent.
    pub(super) given: &'a mut SchemaGenerator,
    /// The query, as an object.
    pub(super) query: Option<Schema>,
    /// The body of the request.
    pub(super) body: Option<Schema>,
    /// The good answer: its media type, and its schema.
    pub(super) answer: Option<(&'static str, Schema)>,
}

impl Description<'_> {
    /// Notes what a handler takes and gives.
    pub(super) fn handler<Arguments, H: Described<Arguments>>(&mut self, _: H) {
        H::describe(self);
    }
}

/// An argument of a handler.
pub(super) trait Takes {
    /// Notes what the client sends for it; nothing unless said.
    fn describe(_: &mut Description<'_>) {}
}

impl Takes for State<AppState> {}
impl Takes for User {}
impl Takes for Admin {}
impl Takes for Request {}
impl Takes for Extension<Arc<RequestContext>> {}
impl<T> Takes for Result<Path<T>, PathRejection> {}

/// What a handler gives where all is well.
pub(super) trait Gives {
    /// Notes the answer.
    fn describe(description: &mut Description<'_>);
}

impl<T: Gives> Gives for Result<T, ApiError> {
    fn describe(description: &mut Description<'_>) {
        T::describe(description);
    }
}

impl<T: Gives> Gives for (StatusCode, T) {
    fn describe(description: &mut Description<'_>) {
        T::describe(description);
    }
}

/// An answer of JSON.
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => Document(json.into()).into_response(),
            Err(error) => ApiError::Internal(error.to_string()).into_response(),
        }
    }
}

impl<T: JsonSchema> Gives for Answer<T> {
    fn describe(description: &mut Description<'_>) {
        let schema = description.given.subschema_for::<T>();
        description.answer = Some(("application/json", schema));
    }
}

/// JSON that is made already: an object of any shape.
pub(super) struct Document(pub(super) Bytes);

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        with_type("application/json", self.0)
    }
}

impl Gives for Document {
    fn describe(description: &mut Description<'_>) {
        description.answer = Some(("application/json", json_schema!({ "type": "object" })));
    }
}

/// Prometheus' text.
pub(super) struct MetricsText(pub(super) String);

impl IntoResponse for MetricsText {
    fn into_response(self) -> Response {
        with_type("text/plain; version=0.0.4; charset=utf-8", self.0.into())
    }
}

impl Gives for MetricsText {
    fn describe(description: &mut Description<'_>) {
        description.answer = Some(("text/plain", json_schema!({ "type": "string" })));
    }
}

/// A page for people.
pub(super) struct Page(pub(super) Response);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Gives for Page {
    fn describe(description: &mut Description<'_>) {
        description.answer = Some(("text/html", json_schema!({ "type": "string" })));
    }
}

/// A script of the gateway's own.
pub(super) struct Script(pub(super) &'static str);

impl IntoResponse for Script {
    fn into_response(self) -> Response {
        with_type(
            "text/javascript; charset=utf-8",
            Bytes::from_static(self.0.as_bytes()),
        )
    }
}

impl Gives for Script {
    fn describe(description: &mut Description<'_>) {
        description.answer = Some(("text/javascript", json_schema!({ "type": "string" })));
    }
}

/// Server-sent events.
pub(super) struct Events(pub(super) Response);

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Gives for Events {
    fn describe(description: &mut Description<'_>) {
        description.answer = Some(("text/event-stream", json_schema!({ "type": "string" })));
    }
}

/// Another protocol from here on, which has no body.
pub(super) struct Upgrade(pub(super) Response);

impl IntoResponse for Upgrade {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Gives for Upgrade {
    fn describe(_: &mut Description<'_>) {}
}

fn with_type(media_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    let value = HeaderValue::from_static(media_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// A handler, by its arguments and its result.
pub(super) trait Described<Arguments> {
    /// Notes all of them.
    fn describe(description: &mut Description<'_>);
}

macro_rules! described {
    ($($argument:ident)*) => {
        impl<F, Fut, $($argument: Takes,)*> Described<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut,
            Fut: Future<Output: Gives>,
        {
            fn describe(description: &mut Description<'_>) {
                $($argument::describe(description);)*
                <Fut::Output as Gives>::describe(description);
            }
        }
    };
}

described!();
described!(A);
described!(A B);
described!(A B C);
described!(A B C D);
described!(A B C D E);
