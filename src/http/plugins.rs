//! `GET /api/plugins`: what there is to call.

use std::collections::BTreeMap;

use axum::extract::{Path, State, rejection::PathRejection};
use schemars::JsonSchema;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IntoDeserializer, value::Error as ValueError},
};
use serde_json::{Map, Value};

use super::{
    arguments::Arguments,
    error::ApiError,
    execute::unknown,
    identify::User,
    plugin_actions::{ActionView, actions_of},
    plugin_life::{EndpointView, endpoints},
    plugin_usage::{CallFigures, call_figures},
    plugin_workers::{IsolationInfo, LimitInfo, count_storage, placement},
    state::{App, AppState},
    typed::Answer,
};
use mozaiks_auth::Principal;
use mozaiks_lifecycle::{
    health::Health,
    jobs::LiveJob,
    manager::{LifeView, PermissionsView},
};
use mozaiks_plugins::{
    findings::Finding,
    manifest::{DeclaredEndpoint, Manifest, PluginKind},
    origin::Origin,
    permissions::Denial,
    registry::{Plugin, PluginState},
};

/// All plugins.
#[derive(Serialize, JsonSchema)]
pub(super) struct PluginList {
    /// By name.
    plugins: Vec<PluginView>,
    count: usize,
}

/// A plugin as users see it.
#[derive(Serialize, JsonSchema)]
pub(super) struct PluginView {
    name: String,
    display_name: String,
    version: String,
    description: Option<String>,
    enabled: bool,
    status: PluginStatus,
    /// Why it failed; to admins only.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Whether a plugin can be called.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PluginStatus {
    Loading,
    Active,
    Disabled,
    Error,
}

/// A plugin with all there is to say of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct WholePlugin {
    #[serde(flatten)]
    plugin: PluginView,
    #[serde(flatten)]
    said: Said,
    /// Its typed actions, while it can be called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<ActionView>,
    #[serde(flatten)]
    insides: Option<Insides>,
}

/// What else the manifest says, where it says it.
#[derive(Serialize, JsonSchema)]
struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    homepage: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// Versions of the gateway that it works with.
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway_version: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requirements: Vec<String>,
    /// Plugins that must be active, with the versions wanted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    dependencies: BTreeMap<String, String>,
}

/// What operators set, and how the plugin is doing; to admins only.
#[derive(Serialize, JsonSchema)]
struct Insides {
    #[serde(skip_serializing_if = "Map::is_empty")]
    config: Map<String, Value>,
    r#type: PluginKind,
    #[serde(skip_serializing_if = "Map::is_empty")]
    resource_limits: Map<String, Value>,
    isolation: IsolationInfo,
    limits: Vec<LimitInfo>,
    /// How its calls go since the gateway's start, in all apps.
    metrics: CallFigures,
    /// Why it stands still, where its workers have died too often.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<String>,
    /// Routes that the manifest declares.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    declared_endpoints: Vec<DeclaredEndpoint>,
    /// The last step of its life that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<FailedStep>,
    /// The load's number.
    generation: Option<u64>,
    /// What is installed for the load alone, by distribution with its version.
    installed: BTreeMap<String, String>,
    /// Lifecycle functions of the load.
    hooks: Vec<String>,
    has_execute: bool,
    /// What seemed odd about the manifest.
    warnings: Vec<String>,
    /// What is wrong with its row in the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    row_error: Option<String>,
    /// What is wrong with a configuration in the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    config_error: Option<String>,
    /// What its code is made of, as one number.
    checksum: Option<String>,
    source: Origin,
    /// Its scheduled jobs.
    jobs: Vec<LiveJob>,
    /// How it said that it is, in the admin's app.
    health: Health,
    /// Routes that the load has registered.
    endpoints: Vec<EndpointView>,
    /// What it wants to do beyond its own, and what was granted.
    permissions: PermissionsView,
    /// What it was denied since the start, the newest first.
    denials: Vec<Denial>,
    /// What was noticed about the load that is likely not meant, the newest first.
    findings: Vec<Finding>,
}

/// Why a step failed.
#[derive(Serialize, JsonSchema)]
struct FailedStep {
    step: String,
    summary: String,
    traceback: String,
}

/// Which plugins are wanted.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Filter {
    #[schemars(with = "Option<PluginStatus>")]
    status: Option<String>,
    #[schemars(with = "Option<Origin>")]
    source: Option<String>,
    /// A part of the name, the description or a tag, in any case.
    q: Option<String>,
}

/// One of the values that an enum's type names.
fn named<T: DeserializeOwned>(value: Option<&str>, parameter: &str) -> Result<Option<T>, ApiError> {
    value
        .map(|value| T::deserialize(IntoDeserializer::<ValueError>::into_deserializer(value)))
        .transpose()
        .map_err(|error| ApiError::invalid(&format!("{parameter}: {error}"), parameter))
}

/// Those whose values are known.
struct Wanted<'a> {
    status: Option<PluginStatus>,
    source: Option<Origin>,
    q: Option<&'a str>,
}

impl Filter {
    fn check(&self) -> Result<Wanted<'_>, ApiError> {
        Ok(Wanted {
            status: named(self.status.as_deref(), "status")?,
            source: named(self.source.as_deref(), "source")?,
            q: self.q.as_deref(),
        })
    }
}

impl Wanted<'_> {
    fn takes(&self, plugin: &Plugin, described: &PluginView) -> bool {
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
        (self.status).is_none_or(|status| described.status == status)
            && (self.source).is_none_or(|source| Origin::of(&manifest) == source)
            && self.q.is_none_or(has)
    }
}

/// `GET /api/plugins?status&source&q`: all plugins by name.
pub(super) async fn list_plugins(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Arguments(filter): Arguments<Filter>,
) -> Result<Answer<PluginList>, ApiError> {
    let wanted = filter.check()?;
    let plugins = app.registry.list();
    let plugins: Vec<_> = plugins
        .iter()
        .filter(|plugin| plugin.is_of(&principal.app_id))
        .map(|plugin| (plugin, describe(&app, plugin, &principal)))
        .filter(|(plugin, described)| wanted.takes(plugin, described))
        .map(|(_, described)| described)
        .collect();
    Ok(Answer(PluginList {
        count: plugins.len(),
        plugins,
    }))
}

/// `GET /api/plugins/{name}`: one of them.
pub(super) async fn get_plugin(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    name: Result<Path<String>, PathRejection>,
) -> Result<Answer<WholePlugin>, ApiError> {
    let Path(name) = name.map_err(|_| ApiError::PluginNotFound)?;
    let plugin = (app.registry.find(&name))
        .filter(|plugin| plugin.is_of(&principal.app_id))
        .ok_or_else(|| unknown(&app, &name, &principal))?;
    if principal.is_admin() {
        count_storage(&app, &plugin, &principal).await;
    }
    Ok(Answer(describe_whole(&app, &plugin, &principal)))
}

/// A plugin with all there is to say of it; its insides are for admins.
pub(super) fn describe_whole(app: &App, plugin: &Plugin, principal: &Principal) -> WholePlugin {
    let manifest = plugin.manifest();
    let insides = || insides(app, plugin, &manifest, principal);
    WholePlugin {
        plugin: describe(app, plugin, principal),
        said: said(&manifest),
        actions: actions_of(plugin, principal),
        insides: principal.is_admin().then(insides),
    }
}

fn said(manifest: &Manifest) -> Said {
    let dependencies = manifest.dependencies.iter();
    Said {
        author: manifest.author.clone(),
        license: manifest.license.clone(),
        icon: manifest.icon.clone(),
        homepage: manifest.homepage.clone(),
        tags: manifest.tags.clone(),
        gateway_version: manifest.gateway_version.clone(),
        requirements: manifest.requirements.clone(),
        dependencies: dependencies
            .map(|(name, range)| (name.clone(), range.to_string()))
            .collect(),
    }
}

fn insides(app: &App, plugin: &Plugin, manifest: &Manifest, principal: &Principal) -> Insides {
    let app_id = Some(&*principal.app_id).filter(|_| !principal.is_superadmin);
    let LifeView {
        generation,
        hooks,
        has_execute,
        warnings,
        error,
        row_error,
        config_error,
        checksum,
        source_missing: _,
        quarantine,
    } = app.plugins.view(&plugin.name);
    let (isolation, limits) = placement(app, plugin, principal);
    Insides {
        config: manifest.config.clone(),
        r#type: manifest.kind,
        resource_limits: manifest.resource_limits.clone(),
        isolation,
        limits,
        metrics: call_figures(app, plugin),
        quarantine,
        declared_endpoints: manifest.endpoints.clone(),
        last_error: error.map(|failure| FailedStep {
            step: failure.step,
            summary: failure.summary,
            traceback: failure.traceback,
        }),
        generation,
        installed: installed(plugin),
        hooks,
        has_execute,
        warnings,
        row_error,
        config_error,
        checksum,
        source: Origin::of(manifest),
        jobs: app.plugin_jobs.live(&plugin.name),
        health: app.plugin_health.of(&plugin.name, &principal.app_id),
        endpoints: endpoints(app, plugin),
        permissions: app.plugins.permissions(plugin),
        denials: app.plugin_denials.latest(&plugin.name, app_id),
        findings: app.registry.findings().of(&plugin.name),
    }
}

fn installed(plugin: &Plugin) -> BTreeMap<String, String> {
    let PluginState::Active(load) = plugin.state() else {
        return BTreeMap::new();
    };
    load.site()
        .map(|site| site.distributions.clone())
        .unwrap_or_default()
}

/// A plugin as users of an app see it; why it failed is for admins.
fn describe(app: &App, plugin: &Plugin, principal: &Principal) -> PluginView {
    let is_on_here = plugin.apps().is_on_for(&principal.app_id);
    let (enabled, status, error) = match plugin.state() {
        PluginState::Disabled => (false, PluginStatus::Disabled, None),
        _ if !is_on_here => (false, PluginStatus::Disabled, None),
        PluginState::Active(generation) => match generation.failure_in(&principal.app_id) {
            None => (true, PluginStatus::Active, None),
            // It serves other apps.
            reason => (true, PluginStatus::Error, reason),
        },
        // Its import runs; until it has succeeded nothing can be called.
        PluginState::Loading => (true, PluginStatus::Loading, None),
        PluginState::Failed(reason) => (true, PluginStatus::Error, Some(reason)),
    };
    // What was loaded before its files went may still serve.
    let status = if app.plugins.is_quarantined(&plugin.name) {
        PluginStatus::Disabled
    } else if app.plugins.is_source_missing(&plugin.name) {
        PluginStatus::Error
    } else {
        status
    };
    let manifest = plugin.manifest();
    let is_admin = principal.is_admin();
    PluginView {
        name: plugin.name.to_string(),
        display_name: manifest.display_name.clone(),
        version: manifest.version.clone(),
        description: manifest.description.clone(),
        enabled,
        status,
        error: error.filter(|_| is_admin).map(|error| error.to_string()),
    }
}
