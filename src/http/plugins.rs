//! `GET /api/plugins`: what there is to call.

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    arguments::{Arguments, answer},
    error::ApiError,
    identify::User,
    plugin_life::endpoints,
    state::{App, AppState},
};
use mozaiks_auth::Principal;
use mozaiks_plugins::{
    manifest::{Manifest, PluginKind},
    registry::{Plugin, PluginState},
};

/// What a plugin can be.
const STATUSES: [&str; 4] = ["loading", "active", "disabled", "error"];
/// Where plugins come from.
const SOURCES: [&str; 6] = [
    "directory",
    "package",
    "git",
    "database",
    "generated",
    "builtin",
];

/// Which plugins are wanted.
#[derive(Deserialize)]
pub(super) struct Filter {
    status: Option<String>,
    source: Option<String>,
    q: Option<String>,
}

impl Filter {
    fn check(&self) -> Result<(), ApiError> {
        let allowed = |value: &Option<String>, allowed: &[&str], name: &str| match value {
            Some(value) if !allowed.contains(&value.as_str()) => {
                let message = format!("{name} must be one of {}", allowed.join(", "));
                Err(ApiError::invalid(&message, name))
            }
            _ => Ok(()),
        };
        allowed(&self.status, &STATUSES, "status")?;
        allowed(&self.source, &SOURCES, "source")
    }

    fn takes(&self, plugin: &Plugin, described: &Value) -> bool {
        let manifest = plugin.manifest();
        let has = |wanted: &str| {
            let wanted = wanted.to_lowercase();
            let texts = [
                Some(&*plugin.name),
                Some(manifest.display_name.as_str()),
                manifest.description.as_deref(),
            ];
            texts
                .into_iter()
                .flatten()
                .chain(manifest.tags.iter().map(String::as_str))
                .any(|text| text.to_lowercase().contains(&wanted))
        };
        (self.status.as_deref()).is_none_or(|status| described["status"] == status)
            && (self.source.as_deref()).is_none_or(|source| source_of(&manifest) == source)
            && self.q.as_deref().is_none_or(has)
    }
}

/// Where a plugin comes from.
fn source_of(manifest: &Manifest) -> &'static str {
    match manifest.kind {
        PluginKind::Dynamic => "directory",
        PluginKind::Static => "builtin",
    }
}

/// `GET /api/plugins?status&source&q`: all plugins by name.
pub(super) async fn list_plugins(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Arguments(filter): Arguments<Filter>,
) -> Result<Response, ApiError> {
    filter.check()?;
    let plugins: Vec<_> = app
        .registry
        .list()
        .iter()
        .map(|plugin| (plugin, describe(&app, plugin, &principal)))
        .filter(|(plugin, described)| filter.takes(plugin, described))
        .map(|(_, described)| described)
        .collect();
    Ok(answer(
        &json!({ "plugins": plugins, "count": plugins.len() }),
    ))
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
    Ok(answer(&describe_whole(&app, &plugin, &principal)))
}

/// A plugin with all there is to say of it; its insides are for admins.
pub(super) fn describe_whole(app: &App, plugin: &Plugin, principal: &Principal) -> Value {
    let (is_admin, app_id) = (principal.is_admin(), &*principal.app_id);
    let mut described = describe(app, plugin, principal);
    describe_further(&mut described, &plugin.manifest(), is_admin);
    if !is_admin {
        return described;
    }
    described["jobs"] = json!(app.plugin_jobs.live(&plugin.name));
    described["health"] = json!(app.plugin_health.of(&plugin.name, app_id));
    let life = app.plugins.view(&plugin.name);
    if let Some(failure) = life.error {
        described["last_error"] = json!({
            "step": failure.step,
            "summary": failure.summary,
            "traceback": failure.traceback,
        });
    }
    let odd = [
        ("row_error", life.row_error),
        ("config_error", life.config_error),
    ];
    for (key, reason) in odd {
        if let Some(reason) = reason {
            described[key] = reason.into();
        }
    }
    described["generation"] = life.generation.into();
    described["hooks"] = life.hooks.into();
    described["has_execute"] = life.has_execute.into();
    described["warnings"] = life.warnings.into();
    described["checksum"] = life.checksum.into();
    described["source"] = source_of(&plugin.manifest()).into();
    described["endpoints"] = endpoints(app, plugin).into();
    described
}

/// What else the manifest says, where it says it; what operators set is for admins.
fn describe_further(described: &mut Value, manifest: &Manifest, is_admin: bool) {
    let dependencies: Map<String, Value> = manifest
        .dependencies
        .iter()
        .map(|(name, range)| (name.clone(), Value::from(range.to_string())))
        .collect();
    let everybody = [
        ("author", json!(manifest.author)),
        ("license", json!(manifest.license)),
        ("icon", json!(manifest.icon)),
        ("homepage", json!(manifest.homepage)),
        ("tags", json!(manifest.tags)),
        ("gateway_version", json!(manifest.gateway_version)),
        ("permissions", json!(manifest.permissions)),
        ("requirements", json!(manifest.requirements)),
        ("dependencies", Value::Object(dependencies)),
    ];
    let admins = [
        ("config", json!(manifest.config)),
        ("type", json!(manifest.kind)),
        ("resource_limits", json!(manifest.resource_limits)),
        ("isolation", json!(manifest.isolation)),
        ("declared_endpoints", json!(manifest.endpoints)),
    ];
    let is_said = |value: &Value| match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        value => !value.is_null(),
    };
    let told = everybody
        .into_iter()
        .chain(admins.into_iter().filter(|_| is_admin));
    for (key, value) in told.filter(|(_, value)| is_said(value)) {
        described[key] = value;
    }
}

/// A plugin as users of an app see it; why it failed is for admins.
fn describe(app: &App, plugin: &Plugin, principal: &Principal) -> Value {
    let is_on_here = plugin.apps().is_on_for(&principal.app_id);
    let (enabled, status, error) = match plugin.state() {
        PluginState::Disabled => (false, "disabled", None),
        _ if !is_on_here => (false, "disabled", None),
        PluginState::Active(_) => (true, "active", None),
        // Its import runs; until it has succeeded nothing can be called.
        PluginState::Loading => (true, "loading", None),
        PluginState::Failed(reason) => (true, "error", Some(reason)),
    };
    // What was loaded before its files went may still serve.
    let status = if app.plugins.is_source_missing(&plugin.name) {
        "error"
    } else {
        status
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
        && principal.is_admin()
    {
        described["error"] = Value::from(&*error as &str);
    }
    described
}
