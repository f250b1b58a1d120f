//! `/api/plugin-settings/{plugin}`: what the user has set for a plugin.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    error::ApiError,
    exchange::RequestContext,
    identify::User,
    json_body::{Body, FromObject},
    typed::Answer,
};
use crate::{
    http::state::{App, AppState},
    refusals::settings_error,
};
use mozaiks_plugins::HostError;
use mozaiks_settings::Whose;

/// What the user has set.
#[derive(Serialize, JsonSchema)]
pub(super) struct UserSettings {
    plugin: String,
    settings: Map<String, Value>,
}

/// What the user sets.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum NewSettings {
    /// `{"settings": {…}}` and nothing beside it.
    Wrapped { settings: Map<String, Value> },
    /// The settings themselves.
    Bare(Map<String, Value>),
}

/// `GET`: `{plugin, settings}`, the settings empty where there are none.
pub(super) async fn get_settings(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    plugin: Result<Path<String>, PathRejection>,
) -> Result<Answer<UserSettings>, ApiError> {
    let plugin = known_plugin(&app, plugin)?;
    let whose = Whose {
        app_id: &principal.app_id,
        user_id: &principal.user_id,
    };
    let settings = (app.settings.get(whose, &plugin).await).map_err(settings_error)?;
    Ok(Answer(UserSettings { plugin, settings }))
}

/// `PUT`, `POST`: replaces them. The body is `{"settings": {…}}`, or the settings themselves.
pub(super) async fn save_settings(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    plugin: Result<Path<String>, PathRejection>,
    Extension(context): Extension<Arc<RequestContext>>,
    Body(body): Body<NewSettings>,
) -> Result<Answer<UserSettings>, ApiError> {
    let plugin = known_plugin(&app, plugin)?;
    let (NewSettings::Wrapped { settings } | NewSettings::Bare(settings)) = body;
    let whose = Whose {
        app_id: &principal.app_id,
        user_id: &principal.user_id,
    };
    app.settings
        .save(
            whose,
            &plugin,
            &settings,
            Some(Arc::clone(&principal)),
            Some(Arc::clone(&context.request_id)),
        )
        .await
        .map_err(settings_error)?;
    Ok(Answer(UserSettings { plugin, settings }))
}

fn known_plugin(
    app: &App,
    plugin: Result<Path<String>, PathRejection>,
) -> Result<String, ApiError> {
    let Ok(Path(plugin)) = plugin else {
        return Err(ApiError::PluginNotFound);
    };
    match app.registry.find(&plugin) {
        Some(_) => Ok(plugin),
        None => Err(ApiError::PluginNotFound),
    }
}

impl FromObject for NewSettings {
    fn from_object(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        match body.remove("settings") {
            // Beside the settings nothing is read: what else is there would be lost without a word.
            Some(Value::Object(_)) if !body.is_empty() => {
                let keys: Vec<String> = body.keys().map(|key| format!("`{key}`")).collect();
                Err(ApiError::Host(HostError {
                    code: "VALIDATION_ERROR",
                    message: format!(
                        "beside `settings` nothing may be given; found {}",
                        keys.join(", ")
                    ),
                    details: None,
                }))
            }
            Some(Value::Object(settings)) => Ok(Self::Wrapped { settings }),
            Some(_) => Err(ApiError::InvalidRequest(
                "`settings` must be a JSON object".into(),
            )),
            None => Ok(Self::Bare(body)),
        }
    }
}
