//! What of plugins is for pages: scripts in their order, listeners, hooks and widgets, and the files
//! themselves under an address that never changes. Never their Python.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    arguments::{Arguments, PathId},
    error::ApiError,
    identify::User,
    state::{App, AppState},
    typed::{Answer, Description, Gives},
    widgets::{WidgetView, widgets_of},
};
use mozaiks_auth::Principal;
use mozaiks_plugins::{
    LiveGeneration,
    assets::{Asset, AssetTree},
    manifest::parts::{HookType, ScriptScope, Side},
    registry::{Plugin, PluginState},
};

/// What pages may do with a file that they have loaded: nothing by itself.
const POLICY: &str = "default-src 'none'; sandbox";
/// What has this address never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Which scripts.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ScriptQuery {
    /// `frontend` where it is missing; `admin` is for admins.
    scope: Option<String>,
}

/// A script that a page adds.
#[derive(Serialize, JsonSchema)]
pub(super) struct ScriptView {
    /// Its path below the plugin's directory.
    file_name: String,
    /// `js` or `css`.
    script_type: &'static str,
    /// Lower ones are added first.
    load_priority: i32,
    /// Where it is.
    url: String,
    /// For the tag's `integrity`.
    integrity: String,
}

/// A plugin's scripts.
#[derive(Serialize, JsonSchema)]
pub(super) struct ScriptList {
    plugin: String,
    /// In the order in which they are added.
    scripts: Vec<ScriptView>,
    count: usize,
}

/// A listener or a hook that runs in pages.
#[derive(Serialize, JsonSchema)]
pub(super) struct PageHandler {
    /// The event's or the hook's name.
    name: String,
    /// Lower ones come first.
    priority: i32,
    /// Of a hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    hook_type: Option<HookType>,
    /// Its module, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// What pages know of a plugin.
#[derive(Serialize, JsonSchema)]
pub(super) struct ActivePlugin {
    name: String,
    display_name: String,
    version: String,
    scripts: Vec<ScriptView>,
    events: Vec<PageHandler>,
    hooks: Vec<PageHandler>,
    widgets: Vec<WidgetView>,
}

/// All of them.
#[derive(Serialize, JsonSchema)]
pub(super) struct ActiveList {
    plugins: Vec<ActivePlugin>,
    count: usize,
}

/// A plugin that serves an app, with the load that does.
pub(super) fn serving(plugin: &Plugin, app_id: &str) -> Option<Arc<LiveGeneration>> {
    match plugin.state() {
        PluginState::Active(load) if load.is_on_for(app_id) => Some(load),
        _ => None,
    }
}

/// The files of a load for pages; read once, off the I/O threads.
pub(super) async fn tree_of(
    app: &Arc<App>,
    plugin: &Arc<Plugin>,
    load: &Arc<LiveGeneration>,
) -> Result<Arc<AssetTree>, ApiError> {
    if let Some(tree) = app.plugin_assets.known(load) {
        return Ok(tree);
    }
    let (app, plugin, load) = (Arc::clone(app), Arc::clone(plugin), Arc::clone(load));
    tokio::task::spawn_blocking(move || app.plugin_assets.read(&load, &plugin.dir()))
        .await
        .map_err(|error| ApiError::Internal(format!("scripts were not read: {error}")))
}

/// Where a file is.
pub(super) fn url_of(plugin: &str, tree: &AssetTree, asset: &Asset) -> String {
    let checksum = &tree.checksum;
    format!(
        "/api/plugins/registry/{plugin}/assets/{checksum}/{}",
        asset.file
    )
}

fn find(
    app: &App,
    name: &str,
    principal: &Principal,
) -> Result<(Arc<Plugin>, Arc<LiveGeneration>), ApiError> {
    let plugin = app.registry.find(name).ok_or(ApiError::PluginNotFound)?;
    let load = serving(&plugin, &principal.app_id).ok_or(ApiError::PluginDisabled)?;
    Ok((plugin, load))
}

fn scripts_of(plugin: &str, tree: &AssetTree, scope: ScriptScope) -> Vec<ScriptView> {
    let wanted = tree
        .assets
        .iter()
        .filter(|asset| asset.is_script && asset.scope == scope);
    wanted
        .map(|asset| ScriptView {
            file_name: asset.file.clone(),
            script_type: asset.script_type,
            load_priority: asset.load_priority,
            url: url_of(plugin, tree, asset),
            integrity: asset.integrity.clone(),
        })
        .collect()
}

/// `GET /api/plugins/{name}/scripts?scope=frontend`.
pub(super) async fn list_scripts(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    PathId(name): PathId<String>,
    Arguments(query): Arguments<ScriptQuery>,
) -> Result<Answer<ScriptList>, ApiError> {
    let scope = match query.scope.as_deref() {
        None | Some("frontend") => ScriptScope::Frontend,
        Some("admin") if principal.is_admin() => ScriptScope::Admin,
        Some("admin") => return Err(ApiError::Forbidden("this needs the role admin")),
        Some(_) => {
            let wanted = "scope must be frontend or admin: what runs in the backend is not shown";
            return Err(ApiError::invalid(wanted, "/scope"));
        }
    };
    let (plugin, load) = find(&app, &name, &principal)?;
    let tree = tree_of(&app, &plugin, &load).await?;
    let scripts = scripts_of(&plugin.name, &tree, scope);
    Ok(Answer(ScriptList {
        plugin: plugin.name.to_string(),
        count: scripts.len(),
        scripts,
    }))
}

/// `GET /api/plugins/active`: what pages load of all plugins that serve the user's app.
pub(super) async fn list_active(
    State(AppState(app)): State<AppState>,
    User(principal): User,
) -> Result<Answer<ActiveList>, ApiError> {
    let mut plugins = Vec::new();
    for plugin in app.registry.list() {
        let Some(load) = serving(&plugin, &principal.app_id) else {
            continue;
        };
        let active = active(&app, &plugin, &load).await?;
        let has_any = !(active.scripts.is_empty()
            && active.events.is_empty()
            && active.hooks.is_empty()
            && active.widgets.is_empty());
        if has_any {
            plugins.push(active);
        }
    }
    Ok(Answer(ActiveList {
        count: plugins.len(),
        plugins,
    }))
}

/// `GET /api/plugins/active/{name}`.
pub(super) async fn get_active(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    PathId(name): PathId<String>,
) -> Result<Answer<ActivePlugin>, ApiError> {
    let (plugin, load) = find(&app, &name, &principal)?;
    active(&app, &plugin, &load).await.map(Answer)
}

async fn active(
    app: &Arc<App>,
    plugin: &Arc<Plugin>,
    load: &Arc<LiveGeneration>,
) -> Result<ActivePlugin, ApiError> {
    let tree = tree_of(app, plugin, load).await?;
    let manifest = plugin.manifest();
    let url = |file: String| {
        tree.find(&file)
            .map(|asset| url_of(&plugin.name, &tree, asset))
    };
    let of_pages = |side: Option<Side>, on: bool| on && side == Some(Side::Frontend);
    let parts = &manifest.parts;
    let events = (parts.events.iter())
        .filter(|part| of_pages(part.scope, part.is_enabled))
        .filter_map(|part| {
            Some(PageHandler {
                name: part.event_name.clone()?,
                priority: part.priority.unwrap_or(10),
                hook_type: None,
                url: url(format!("events/{}", part.file)),
            })
        });
    let hooks = (parts.hooks.iter())
        .filter(|part| of_pages(part.scope, part.is_enabled))
        .filter_map(|part| {
            Some(PageHandler {
                name: part.hook_name.clone()?,
                priority: part.priority.unwrap_or(10),
                hook_type: Some(part.hook_type.unwrap_or_default()),
                url: url(format!("hooks/{}", part.file)),
            })
        });
    Ok(ActivePlugin {
        name: plugin.name.to_string(),
        display_name: manifest.display_name.clone(),
        version: manifest.version.clone(),
        scripts: scripts_of(&plugin.name, &tree, ScriptScope::Frontend),
        events: events.collect(),
        hooks: hooks.collect(),
        widgets: widgets_of(plugin, &tree),
    })
}

/// A file for pages.
pub(super) struct AssetAnswer(Response);

impl IntoResponse for AssetAnswer {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Gives for AssetAnswer {
    fn describe(description: &mut Description<'_>) {
        description.answer = Some(("text/javascript", json_schema!({ "type": "string" })));
    }
}

/// `GET /api/plugins/registry/{name}/assets/{checksum}/{file}`: the tags of a page bring no token, so the
/// address itself, which only a user has been told, is the leave to read it.
pub(super) async fn get_asset(
    State(AppState(app)): State<AppState>,
    PathId((name, checksum, file)): PathId<(String, String, String)>,
) -> Result<AssetAnswer, ApiError> {
    let plugin = app.registry.find(&name).ok_or(ApiError::NotFound)?;
    let PluginState::Active(load) = plugin.state() else {
        return Err(ApiError::NotFound);
    };
    let tree = tree_of(&app, &plugin, &load).await?;
    if tree.checksum != checksum {
        return Err(ApiError::NotFound);
    }
    let asset = tree.find(&file).cloned().ok_or(ApiError::NotFound)?;
    let content_type = HeaderValue::from_static(asset.content_type());
    let bytes = tokio::task::spawn_blocking(move || asset.read())
        .await
        .map_err(|error| ApiError::Internal(format!("a script was not read: {error}")))?
        .ok_or(ApiError::NotFound)?;
    // `nosniff` is on every answer of the gateway.
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, HeaderValue::from_static(FOR_EVER)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    Ok(AssetAnswer((headers, Body::from(bytes)).into_response()))
}
