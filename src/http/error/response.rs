//! An [`ApiError`] on its way out: body, headers, and the whole answer where there is no request.

use std::sync::Arc;

use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::ApiError;
use crate::http::{body::GatewayBody, request_id::X_REQUEST_ID};
use mozaiks_auth::AuthError;

/// When a client should come back after an overload.
const RETRY_AFTER_SECONDS: &str = "1";

impl ApiError {
    /// The challenge of a 401 (RFC 6750: the error is named only where credentials were sent).
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::AuthRequired => Some("Bearer realm=\"mozaiks\""),
            Self::AuthInvalid(_) => Some("Bearer realm=\"mozaiks\", error=\"invalid_request\""),
            Self::Token(
                AuthError::Invalid(_)
                | AuthError::Expired
                | AuthError::NotYetValid
                | AuthError::TooLarge,
            ) => Some("Bearer realm=\"mozaiks\", error=\"invalid_token\""),
            Self::Token(AuthError::AppMismatch | AuthError::KeysUnavailable)
            | Self::Forbidden(_)
            | Self::PluginNotFound
            | Self::PluginDisabled
            | Self::PluginUnavailable { .. }
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::UpgradeRequired
            | Self::UnsupportedMediaType
            | Self::UnsupportedEncoding
            | Self::InvalidJson(_)
            | Self::InvalidRequest(_)
            | Self::PayloadTooLarge { .. }
            | Self::RequestTimeout
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::MalformedRequest
            | Self::UnsupportedTransferEncoding
            | Self::PluginRaised { .. }
            | Self::PluginCancelled
            | Self::PluginBadResult(_)
            | Self::OutputNotSerializable { .. }
            | Self::OutputTooLarge { .. }
            | Self::PluginTimeout(_)
            | Self::Overloaded(_)
            | Self::DatabaseUnavailable
            | Self::StorageFull
            | Self::Host(_)
            | Self::Internal(_) => None,
        }
    }

    /// The body every error has.
    fn body(&self, request_id: &str, dev: bool) -> Bytes {
        let (_, code) = self.status_and_code();
        let mut body = json!({
            "error": self.message(),
            "error_code": code,
            "request_id": request_id,
        });
        if let Some(details) = self.details(dev) {
            body["details"] = details;
        }
        body.to_string().into()
    }

    /// The whole response, but for the headers that every response gets.
    pub fn to_response(&self, request_id: &str, dev: bool) -> Response<GatewayBody> {
        let mut response = Response::new(GatewayBody::from(self.body(request_id, dev)));
        *response.status_mut() = self.status_and_code().0;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(challenge) = self.challenge() {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        if let Self::Overloaded(_) | Self::Token(AuthError::KeysUnavailable) = self {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from_static(RETRY_AFTER_SECONDS),
            );
        }
        if let Self::UpgradeRequired = self {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            );
        }
        if let Self::MethodNotAllowed { allow } = self {
            headers.insert(header::ALLOW, allow.clone());
        }
        response
    }

    /// The error for a handler's rejection by axum itself, by its status.
    pub(in crate::http) fn of_foreign_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge { limit_bytes: 0 },
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            status if status.is_client_error() => {
                Self::InvalidRequest("the request is not what this route takes".into())
            }
            other => Self::Internal(format!("a handler answered {other} without saying why")),
        }
    }
}

/// Handlers of the router answer with the error itself: it waits in the response's extensions until
/// [`crate::http::Gateway::answer`], which knows the request id, writes it out.
impl IntoResponse for ApiError {
    fn into_response(self) -> axum::response::Response {
        let mut response = self.status_and_code().0.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The whole answer, head and body, to a request that never became one. The connection ends with it.
pub(in crate::http) fn refusal_answer(error: &ApiError, request_id: &str) -> Vec<u8> {
    let (status, _) = error.status_and_code();
    let body = error.body(request_id, false);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         {}: {}\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n\
         connection: close\r\n\r\n",
        body.len(),
        X_REQUEST_ID,
        request_id,
    );
    let mut answer = head.into_bytes();
    answer.extend_from_slice(&body);
    answer
}
