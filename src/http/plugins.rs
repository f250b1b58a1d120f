//! `GET /api/plugins`: what there is to call.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::{Value, json};

use super::{arguments::answer, error::ApiError, identify::User};
use crate::http::state::AppState;
use mozaiks_plugins::registry::{Plugin, PluginState};

/// `GET /api/plugins`: all plugins by name.
pub(super) async fn list_plugins(
    State(AppState(app)): State<AppState>,
    User(principal): User,
) -> Response {
    let plugins: Vec<_> = app
        .registry
        .list()
        .iter()
        .map(|plugin| describe(plugin, principal.is_admin()))
        .collect();
    answer(&json!({ "plugins": plugins, "count": plugins.len() }))
}

/// `GET /api/plugins/{name}`: one of them.
pub(super) async fn get_plugin(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    name: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Response, ApiError> {
    let plugin = name
        .ok()
        .and_then(|Path(name)| app.registry.find(&name))
        .ok_or(ApiError::PluginNotFound)?;
    Ok(answer(&describe(&plugin, principal.is_admin())))
}

/// A plugin as users see it; why it failed is for admins.
fn describe(plugin: &Arc<Plugin>, is_admin: bool) -> Value {
    let (enabled, status, error) = match plugin.state() {
        PluginState::Active(_) => (true, "active", None),
        // Its import runs; until it has succeeded nothing can be called.
        PluginState::Loading => (true, "error", Some("it is being loaded".into())),
        PluginState::Disabled => (false, "disabled", None),
        PluginState::Failed(reason) => (true, "error", Some(reason)),
    };
    let manifest = plugin.manifest();
    let mut described = json!({
        "name": &*plugin.name,
        "display_name": manifest.display_name,
        "version": manifest.version,
        "description": manifest.description,
        "enabled": enabled,
        "status": status,
    });
    if let Some(error) = error
        && is_admin
    {
        described["error"] = Value::from(&*error as &str);
    }
    described
}
