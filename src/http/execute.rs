//! `POST /api/execute/{plugin}`: the hot path.
//!
//! Takes the request whole. What it must not do: wait for anything but the body and the plugin, or
//! end a call because its client went away.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;

use super::{
    EXECUTE,
    body::{GatewayBody, read_body},
    error::{ApiError, domain_status},
    exchange::Exchange,
    identify::authenticate,
};
use crate::{
    app::{App, Phase},
    auth::Principal,
    plugins::{CallError, CallReply, FinishedCall, dispatch::DispatchError, registry::Plugin},
    telemetry::metrics::CallOutcome,
};

/// Calls the plugin that the path names with the body.
pub(super) async fn call_plugin(
    app: &Arc<App>,
    exchange: &mut Exchange<'_>,
    request: Request<Incoming>,
) -> Result<Response<GatewayBody>, ApiError> {
    let principal = authenticate(app, request.headers()).await?;
    let _ = exchange.context().principal.set(Arc::clone(&principal));
    match app.phase() {
        Phase::Ready => {}
        Phase::Starting => return Err(ApiError::Overloaded("the gateway is starting")),
        Phase::Draining => return Err(ApiError::Overloaded("the gateway is shutting down")),
    }
    // The name is looked up as it came: whatever is encoded in it, or has a slash, is no name.
    let name = request
        .uri()
        .path()
        .strip_prefix(EXECUTE)
        .unwrap_or_default();
    let plugin = app.registry.find(name).ok_or(ApiError::PluginNotFound)?;
    exchange.plugin = Some(Arc::clone(&plugin.name));

    let (head, body) = request.into_parts();
    let typed = check_content(&head.headers)?;
    if !typed && body.size_hint().lower() > 0 {
        return Err(ApiError::UnsupportedMediaType);
    }
    let body = read_body(body, app.server.max_body_bytes, app.server.body_timeout).await?;
    if !typed && !body.is_empty() {
        return Err(ApiError::UnsupportedMediaType);
    }

    let tell_admins = principal.is_admin();
    let call = call_and_tell(
        Arc::clone(app),
        plugin,
        principal,
        Arc::clone(exchange.request_id()),
        body,
    );
    match FinishedAnyway::new(call).await {
        Ok(reply) => {
            exchange.action = reply.action;
            Ok(match reply.domain_failure {
                None => json_response(StatusCode::OK, reply.body),
                Some(code) => {
                    let status = if app.server.domain_errors_as_200 {
                        StatusCode::OK
                    } else {
                        domain_status(code.as_deref())
                    };
                    exchange.domain_code = code;
                    json_response(status, reply.body)
                }
            })
        }
        Err(error) => {
            if let DispatchError::Call(CallError::Raised { action, .. }) = &error {
                exchange.action.clone_from(action);
            }
            let mut error = ApiError::from(error);
            if let ApiError::PluginUnavailable { tell, .. } = &mut error {
                *tell = tell_admins;
            }
            Err(error)
        }
    }
}

fn json_response(status: StatusCode, body: Bytes) -> Response<GatewayBody> {
    let mut response = Response::new(GatewayBody::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// The call, and what must happen after it whoever still waits: counters, the traceback's log line,
/// the observer.
async fn call_and_tell(
    app: Arc<App>,
    plugin: Arc<Plugin>,
    principal: Arc<Principal>,
    request_id: Arc<str>,
    body: Bytes,
) -> Result<CallReply, DispatchError> {
    let started = Instant::now();
    let result = app
        .dispatcher
        .call(
            &plugin,
            Arc::clone(&principal),
            Arc::clone(&request_id),
            body,
        )
        .await;
    let execution_time = started.elapsed();
    app.metrics
        .call_finished(&plugin.name, outcome(&result), execution_time);
    let (action, error_code) = match &result {
        Ok(reply) => (
            reply.action.as_deref(),
            reply
                .domain_failure
                .as_ref()
                .map(|code| code.as_deref().unwrap_or("DOMAIN_ERROR")),
        ),
        Err(error) => {
            let action = if let DispatchError::Call(CallError::Raised {
                action, traceback, ..
            }) = error
            {
                tracing::event!(
                    target: "plugin",
                    tracing::Level::ERROR,
                    plugin.name = &*plugin.name,
                    request.id = &*request_id,
                    user.id = &*principal.user_id,
                    traceback = traceback.as_str(),
                    "the plugin raised"
                );
                action.as_deref()
            } else {
                None
            };
            (action, Some(ApiError::code_of_call(error)))
        }
    };
    app.observer.call_finished(&FinishedCall {
        principal: &principal,
        plugin: &plugin.name,
        action,
        execution_time,
        request_id: &request_id,
        error_code,
    });
    result
}

fn outcome(result: &Result<CallReply, DispatchError>) -> CallOutcome {
    match result {
        Ok(reply) if reply.domain_failure.is_some() => CallOutcome::DomainFailure,
        Ok(_) => CallOutcome::Ok,
        Err(DispatchError::TimedOut(_)) => CallOutcome::TimedOut,
        Err(DispatchError::Overloaded) => CallOutcome::Overloaded,
        Err(DispatchError::Disabled | DispatchError::Unavailable(_)) => CallOutcome::Rejected,
        Err(DispatchError::Call(error)) => match error {
            CallError::InvalidJson(_)
            | CallError::NotAnObject(_)
            | CallError::NotLoaded
            | CallError::Internal(_) => CallOutcome::Rejected,
            CallError::Raised { .. }
            | CallError::BadResult(_)
            | CallError::NotSerializable { .. }
            | CallError::OutputTooLarge { .. }
            | CallError::Cancelled => CallOutcome::PluginError,
        },
    }
}

/// Whether the body is declared to be JSON; `false` where nothing is declared.
fn check_content(headers: &HeaderMap) -> Result<bool, ApiError> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(ApiError::UnsupportedEncoding);
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(declared) = types.next() else {
        return Ok(false);
    };
    if types.next().is_some() {
        return Err(ApiError::UnsupportedMediaType);
    }
    if declared.as_bytes() == b"application/json" || is_utf8_json(declared) {
        Ok(true)
    } else {
        Err(ApiError::UnsupportedMediaType)
    }
}

fn is_utf8_json(declared: &HeaderValue) -> bool {
    let Ok(text) = declared.to_str() else {
        return false;
    };
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json"
        || essence
            .strip_prefix("application/")
            .is_some_and(|subtype| subtype.len() > 5 && subtype.ends_with("+json"));
    is_json
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                let charset = value.trim().trim_matches('"');
                charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
            }
            Some(_) => true,
            None => parameter.trim().is_empty(),
        })
}

/// A future that goes on in a task of its own when nobody waits for it any more.
struct FinishedAnyway<T: Send + 'static> {
    future: Option<BoxFuture<'static, T>>,
}

impl<T: Send + 'static> FinishedAnyway<T> {
    fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            future: Some(Box::pin(future)),
        }
    }
}

impl<T: Send + 'static> Future for FinishedAnyway<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.future else {
            return Poll::Pending;
        };
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for FinishedAnyway<T> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_recognised_by_its_content_type() {
        let is_json = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(text));
            check_content(&headers).is_ok()
        };
        for taken in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/vnd.api+json",
            "application/json;",
        ] {
            assert!(is_json(taken), "{taken}");
        }
        for refused in [
            "text/json",
            "application/jsonp",
            "application/+json",
            "application/json; charset=latin1",
            "text/plain",
            "",
        ] {
            assert!(!is_json(refused), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_call_nobody_waits_for_still_ends() {
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let (end, ended) = tokio::sync::oneshot::channel::<u8>();
        let call = FinishedAnyway::new(async move {
            begun.await.ok();
            end.send(7).ok();
        });
        drop(call);
        begin.send(()).unwrap();
        assert_eq!(ended.await.unwrap(), 7);
    }
}
