//! `/api/plugins/registry/{name}/permissions`: what a plugin wants to do beyond its own, and what an
//! admin grants.

use std::sync::Arc;

use axum::{Extension, extract::State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    arguments::PathId,
    error::ApiError,
    exchange::RequestContext,
    identify::Admin,
    json_body::{Body, FromObject},
    plugin_life::{find, nothing_else},
    state::{App, AppState},
    typed::Answer,
};
use mozaiks_auth::Principal;
use mozaiks_lifecycle::{audit::Actor, manager::PermissionsView, rows::Scope};

/// What an admin grants.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct NewGrant {
    /// A list or an object, as in `plugin.json`; what was granted before counts no more.
    granted: Value,
}

impl FromObject for NewGrant {
    fn from_object(mut object: Map<String, Value>) -> Result<Self, ApiError> {
        match object.remove("granted") {
            Some(granted @ (Value::Object(_) | Value::Array(_))) => {
                nothing_else(&object)?;
                Ok(Self { granted })
            }
            _ => Err(ApiError::invalid(
                "granted must be an object or an array",
                "/granted",
            )),
        }
    }
}

/// A plugin's permissions.
#[derive(Serialize, JsonSchema)]
pub(super) struct PluginPermissions {
    plugin: String,
    #[serde(flatten)]
    permissions: PermissionsView,
}

/// `GET /api/plugins/registry/{name}/permissions`.
pub(super) async fn get_permissions(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Answer<PluginPermissions>, ApiError> {
    shown(&app, &principal, name)
}

/// `PUT /api/plugins/registry/{name}/permissions` with `{"granted": {…}}`.
pub(super) async fn put_permissions(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(new): Body<NewGrant>,
) -> Result<Answer<PluginPermissions>, ApiError> {
    let scope = app.plugins.scope(&principal.app_id, false);
    if matches!(scope, Scope::App(_)) && !principal.is_superadmin {
        // What a plugin may do it may do in every app.
        return Err(ApiError::Forbidden("this needs the role superadmin"));
    }
    find(&app, &principal, &name)?;
    let actor = Actor::of(&principal, "http", &context.request_id);
    app.plugins.grant(&name, new.granted, &actor).await?;
    shown(&app, &principal, name)
}

fn shown(
    app: &App,
    principal: &Principal,
    name: String,
) -> Result<Answer<PluginPermissions>, ApiError> {
    let plugin = find(app, principal, &name)?;
    Ok(Answer(PluginPermissions {
        plugin: name,
        permissions: app.plugins.permissions(&plugin),
    }))
}
