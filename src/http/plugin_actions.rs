//! The typed actions of a plugin, as `GET /api/plugins/{name}` tells of them.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use mozaiks_auth::Principal;
use mozaiks_plugins::registry::{Plugin, PluginState};

/// What a client may call by `POST /api/execute/{plugin}`.
#[derive(Serialize, JsonSchema)]
pub(super) struct ActionView {
    /// What stands under `action`.
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// JSON Schema of the body.
    input_schema: Value,
    /// JSON Schema of the answer.
    result_schema: Value,
}

/// Those of the load that serves, where it serves this user's app.
pub(super) fn actions_of(plugin: &Plugin, principal: &Principal) -> Vec<ActionView> {
    let PluginState::Active(generation) = plugin.state() else {
        return Vec::new();
    };
    let Some(actions) = generation.actions() else {
        return Vec::new();
    };
    if !plugin.apps().is_on_for(&principal.app_id) {
        return Vec::new();
    }
    let views = actions.list().iter().map(|action| ActionView {
        name: action.name.to_string(),
        description: action.description.clone(),
        input_schema: action.input.clone(),
        result_schema: action.result.clone(),
    });
    views.collect()
}
