//! An [`ApiError`] on its way out: body, headers, and the whole answer where there is no request.

use std::{sync::Arc, time::Duration};

use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::{ApiError, declarations::Declaration};
use crate::http::{body::GatewayBody, request_id::X_REQUEST_ID};

impl ApiError {
    /// The whole response, but for the headers that every response gets.
    pub fn to_response(&self, request_id: &str, dev: bool) -> Response<GatewayBody> {
        let declared = self.declaration();
        let mut response = Response::new(GatewayBody::from(body(&declared, request_id, dev)));
        *response.status_mut() = declared.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(challenge) = declared.challenge {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        if let Some(wait) = declared.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
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

/// How long to wait, in whole seconds and at least one.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The body every error has.
fn body(declared: &Declaration<'_>, request_id: &str, dev: bool) -> Bytes {
    let mut body = json!({
        "error": declared.message,
        "error_code": declared.code,
        "request_id": request_id,
    });
    if let Some(details) = declared.details(dev) {
        body["details"] = details;
    }
    body.to_string().into()
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
    let declared = error.declaration();
    let status = declared.status;
    let body = body(&declared, request_id, false);
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
