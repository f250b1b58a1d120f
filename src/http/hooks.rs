//! What pages may do with plugins' hooks and events: apply what is public, publish what is declared.

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    arguments::PathId,
    error::ApiError,
    exchange::RequestContext,
    identify::User,
    json_body::{Body, FromObject},
    plugin_life::nothing_else,
    rates::limited,
    state::AppState,
    typed::Answer,
};
use crate::refusals::hook_error;
use mozaiks_auth::Principal;
use mozaiks_events::EventDraft;
use mozaiks_hooks::Applicant;
use mozaiks_plugins::HostError;

/// Bytes of an event's data, as a page publishes it.
const MAX_EVENT_BYTES: usize = 64 * 1024;
/// Arguments beside a value.
const MAX_ARGS: usize = 16;
/// What the gateway says of a caller, whatever a client sends under these names.
const NEVER_OF_A_CLIENT: [&str; 2] = ["_entitlements", "user_jwt"];

/// What a page sends through a hook.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Application {
    /// What the filters change.
    value: Value,
    /// What they are given beside it.
    #[serde(default)]
    #[schemars(length(max = 16))]
    args: Vec<Value>,
}

impl FromObject for Application {
    fn from_object(mut object: Map<String, Value>) -> Result<Self, ApiError> {
        let value = object.remove("value");
        let value = value.ok_or_else(|| ApiError::invalid("value is missing", "/value"))?;
        let args = match object.remove("args") {
            None => Vec::new(),
            Some(Value::Array(args)) if args.len() <= MAX_ARGS => args,
            Some(_) => {
                let wanted = "args must be an array of at most 16 values";
                return Err(ApiError::invalid(wanted, "/args"));
            }
        };
        nothing_else(&object)?;
        Ok(Self { value, args })
    }
}

/// What came out of a hook.
#[derive(Serialize, JsonSchema)]
pub(super) struct Applied {
    /// The value, as the last filter left it.
    value: Value,
}

/// `POST /api/hooks/{name}/apply` with `{value, args}`: the public filters of a hook.
pub(super) async fn apply(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(Application { value, args }): Body<Application>,
) -> Result<Answer<Applied>, ApiError> {
    let counted = app.rates.count_hook(&principal.app_id, &principal.user_id);
    counted.map_err(limited)?;
    let identify = |value| raw(identified(value, &principal, &context.request_id));
    let value = identify(value)?;
    let args: Vec<_> = args.into_iter().map(identify).collect::<Result<_, _>>()?;
    let args: Vec<&RawValue> = args.iter().map(|arg| &**arg).collect();
    let by = Applicant {
        app_id: Arc::clone(&principal.app_id),
        request_id: Arc::clone(&context.request_id),
        principal: Some(principal),
        within: None,
        is_page: true,
    };
    let given = app.hooks.apply(&by, &name, &value, &args).await;
    let given = given.map_err(|error| ApiError::Host(hook_error(error)))?;
    let mut value: Value =
        serde_json::from_slice(&given).map_err(|error| ApiError::Internal(error.to_string()))?;
    // What handlers were told of the caller is not the page's business.
    if let Value::Object(object) = &mut value {
        object.remove("_context");
    }
    Ok(Answer(Applied { value }))
}

/// What a page publishes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct NewEvent {
    /// An object; who publishes is what the token says.
    #[serde(default)]
    data: Map<String, Value>,
}

impl FromObject for NewEvent {
    fn from_object(mut object: Map<String, Value>) -> Result<Self, ApiError> {
        let data = match object.remove("data") {
            None => Map::new(),
            Some(Value::Object(data)) => data,
            Some(_) => return Err(ApiError::invalid("data must be an object", "/data")),
        };
        nothing_else(&object)?;
        Ok(Self { data })
    }
}

/// What has been published.
#[derive(Serialize, JsonSchema)]
pub(super) struct Published {
    /// The event's name.
    event: String,
}

/// `POST /api/events/{event_name}` with `{data}`: an event of which a plugin says that pages may publish it.
pub(super) async fn publish(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(NewEvent { data }): Body<NewEvent>,
) -> Result<(StatusCode, Answer<Published>), ApiError> {
    let counted = (app.rates).count_client_event(&principal.app_id, &principal.user_id);
    counted.map_err(limited)?;
    if !app.client_events.may_publish(&principal.app_id, &name) {
        return Err(ApiError::NotFound);
    }
    let data = identified(Value::Object(data), &principal, &context.request_id).to_string();
    if data.len() > MAX_EVENT_BYTES {
        return Err(ApiError::PayloadTooLarge {
            limit_bytes: MAX_EVENT_BYTES,
        });
    }
    let published = app.events.publish(EventDraft {
        app_id: Arc::clone(&principal.app_id),
        principal: Some(principal),
        request_id: Some(Arc::clone(&context.request_id)),
        name: name.as_str().into(),
        data: data.into(),
    });
    published.map_err(|error| {
        ApiError::Host(HostError {
            code: "VALIDATION_ERROR",
            message: error.to_string(),
            details: None,
        })
    })?;
    Ok((StatusCode::ACCEPTED, Answer(Published { event: name })))
}

fn raw(value: Value) -> Result<Box<RawValue>, ApiError> {
    serde_json::value::to_raw_value(&value).map_err(|error| ApiError::Internal(error.to_string()))
}

/// A client's value as a plugin is given it: in an object, who calls is what the token says.
pub(super) fn identified(mut value: Value, principal: &Principal, request_id: &str) -> Value {
    if let Value::Object(object) = &mut value {
        for name in NEVER_OF_A_CLIENT {
            object.remove(name);
        }
        object.insert("user_id".into(), json!(&*principal.user_id));
        object.insert("app_id".into(), json!(&*principal.app_id));
        let context = json!({
            "app_id": &*principal.app_id,
            "user_id": &*principal.user_id,
            "username": principal.username,
            "roles": principal.roles,
            "is_superadmin": principal.is_superadmin,
            "request_id": request_id,
        });
        object.insert("_context".into(), context);
    }
    value
}
