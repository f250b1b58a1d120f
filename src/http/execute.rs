//! `POST /api/execute/{plugin}`: the hot path.
//!
//! Takes the request whole. What it must not do: wait for anything but the body and the plugin. What
//! follows a call (events, counters, the traceback's log line) is the dispatcher's observers': they
//! hear of it also when the client has gone.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;

use super::{
    EXECUTE,
    body::{BodyLimits, GatewayBody, read_body},
    error::{ApiError, domain_status},
    exchange::Exchange,
    identify::authenticate,
    rates::limited,
    request_body::RequestBody,
};
use crate::http::state::{App, Phase};
use mozaiks_auth::Principal;
use mozaiks_plugins::{CallError, CallReply, dispatch::DispatchError};

const SHUTTING_DOWN: &str = "the gateway is shutting down";

/// Calls the plugin that the path names with the body.
pub(super) async fn call_plugin(
    app: &Arc<App>,
    exchange: &mut Exchange<'_>,
    request: Request<RequestBody>,
) -> Result<Response<GatewayBody>, ApiError> {
    let context = exchange.context();
    let principal = authenticate(app, request.headers(), &context.counting).await?;
    let _ = context.principal.set(Arc::clone(&principal));
    starting_or_draining(app)?;
    // The name is looked up as it came: whatever is encoded in it, or has a slash, is no name.
    let name = request
        .uri()
        .path()
        .strip_prefix(EXECUTE)
        .unwrap_or_default();
    let plugin = (app.registry.find(name))
        .filter(|plugin| plugin.is_of(&principal.app_id))
        .ok_or_else(|| unknown(app, name, &principal))?;
    exchange.plugin = Some(Arc::clone(&plugin.name));
    // Before the body: whether the plugin can be called does not depend on what is in it.
    if let Err(error) = app.dispatcher.check(&plugin, &principal.app_id) {
        return Err(refusal(app, error, Some(&principal)));
    }
    let counted = app.rates.count_plugin(&principal.app_id, &plugin.name);
    counted.map_err(limited)?;

    let (head, body) = request.into_parts();
    let typed = check_content(&head.headers)?;
    if !typed && body.size_hint().lower() > 0 {
        return Err(ApiError::UnsupportedMediaType);
    }
    let limits = BodyLimits::of(&app.server);
    let body = read_body(body, limits, &app.bodies).await?;
    if !typed && !body.is_empty() {
        return Err(ApiError::UnsupportedMediaType);
    }

    let request_id = Arc::clone(exchange.request_id());
    let called = app
        .dispatcher
        .call(&plugin, Arc::clone(&principal), request_id, body)
        .await;
    match called {
        Ok(reply) => Ok(reply_response(app, exchange, reply)),
        Err(error) => {
            if let DispatchError::Call(CallError::Raised { action, .. }) = &error {
                exchange.action.clone_from(action);
            }
            Err(refusal(app, error, Some(&principal)))
        }
    }
}

/// There is no plugin of that name; admins and developers are told of a folder with nearly that name.
pub(super) fn unknown(app: &App, name: &str, principal: &Principal) -> ApiError {
    let tell = principal.is_admin();
    let hint = (tell || app.dev)
        .then(|| app.registry.misnamed(name))
        .flatten();
    match hint {
        Some(hint) => ApiError::PluginMisnamed {
            hint: hint.into(),
            tell,
        },
        None => ApiError::PluginNotFound,
    }
}

/// Refuses calls before the gateway is ready and once it drains.
pub(super) fn starting_or_draining(app: &App) -> Result<(), ApiError> {
    match app.phase() {
        Phase::Ready => Ok(()),
        Phase::Starting => Err(ApiError::Overloaded("the gateway is starting")),
        Phase::Draining => Err(ApiError::Overloaded(SHUTTING_DOWN)),
    }
}

/// Why a call gave no answer, as this client may know it.
pub(super) fn refusal(app: &App, error: DispatchError, principal: Option<&Principal>) -> ApiError {
    if matches!(error, DispatchError::Overloaded) && app.phase() == Phase::Draining {
        return ApiError::Overloaded(SHUTTING_DOWN);
    }
    let mut error = ApiError::from(error);
    if let ApiError::PluginUnavailable { tell, .. }
    | ApiError::WorkerCrashed { tell, .. }
    | ApiError::PermissionDenied { tell, .. } = &mut error
    {
        *tell = principal.is_some_and(Principal::is_admin);
    }
    error
}

/// The dict as it is; a domain failure with its status.
fn reply_response(
    app: &App,
    exchange: &mut Exchange<'_>,
    reply: CallReply,
) -> Response<GatewayBody> {
    exchange.action = reply.action;
    let Some(code) = reply.domain_failure else {
        return json_response(StatusCode::OK, reply.body);
    };
    let status = if app.server.domain_errors_as_200 {
        StatusCode::OK
    } else {
        domain_status(code.as_deref())
    };
    exchange.domain_code = code;
    json_response(status, reply.body)
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

/// Whether the body is declared to be JSON; `false` where nothing is declared.
pub(super) fn check_content(headers: &HeaderMap) -> Result<bool, ApiError> {
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
}
