//! What admins do with plugins: enable, disable, reload, configure, remove, discover; and what they see
//! of them under `/api/plugins/registry/`.

mod types;

use std::{num::NonZeroU32, sync::Arc};

use axum::{Extension, extract::State};
use serde_json::{Map, Value};

use super::{
    arguments::{Arguments, PathId},
    error::ApiError,
    exchange::RequestContext,
    identify::Admin,
    json_body::Body,
    plugins::{WholePlugin, describe_whole},
    state::{App, AppState},
    typed::{Answer, Document},
};
use mozaiks_auth::Principal;
use mozaiks_lifecycle::{audit::Actor, storage::Owner};
use mozaiks_plugins::{manifest, registry::Plugin};
use types::{
    ActScope, AuditList, Discovered, EndpointList, NewConfig, PluginConfig, Removed, StorageList,
    Switch,
};
pub(super) use types::{EndpointView, Window, nothing_else};

pub(super) fn actor(principal: &Principal, context: &RequestContext) -> Actor {
    Actor::of(principal, "http", &context.request_id)
}

/// The plugin of that name, where it is there for the caller's app.
pub(super) fn find(app: &App, principal: &Principal, name: &str) -> Result<Arc<Plugin>, ApiError> {
    let found = app.registry.find(name);
    found
        .filter(|plugin| plugin.is_of(&principal.app_id))
        .ok_or(ApiError::PluginNotFound)
}

/// The plugin as it is now.
fn shown(app: &App, principal: &Principal, name: &str) -> Result<Answer<WholePlugin>, ApiError> {
    let plugin = find(app, principal, name)?;
    Ok(Answer(describe_whole(app, &plugin, principal)))
}

/// Whether an act is meant for all apps.
fn is_for_gateway(scope: Option<ActScope>, principal: &Principal) -> Result<bool, ApiError> {
    match scope {
        Some(ActScope::Gateway) if principal.is_superadmin => Ok(true),
        Some(ActScope::Gateway) => Err(ApiError::Forbidden("this needs the role superadmin")),
        Some(ActScope::App) | None => Ok(false),
    }
}

/// `POST /api/plugins/{name}/enable` with `{"enabled": bool, "scope": "app" | "gateway"}`.
pub(super) async fn set_enabled(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(switch): Body<Switch>,
) -> Result<Answer<WholePlugin>, ApiError> {
    find(&app, &principal, &name)?;
    let whole_gateway = is_for_gateway(switch.scope, &principal)?;
    let scope = app.plugins.scope(&principal.app_id, whole_gateway);
    let actor = actor(&principal, &context);
    app.plugins
        .set_enabled(&name, switch.enabled, scope, &actor)
        .await?;
    shown(&app, &principal, &name)
}

/// `POST /api/plugins/{name}/reload`.
pub(super) async fn reload(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Answer<WholePlugin>, ApiError> {
    find(&app, &principal, &name)?;
    app.plugins
        .reload(&name, &actor(&principal, &context))
        .await?;
    shown(&app, &principal, &name)
}

/// `DELETE /api/plugins/{name}`.
pub(super) async fn remove(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Answer<Removed>, ApiError> {
    find(&app, &principal, &name)?;
    app.plugins
        .remove(&name, &actor(&principal, &context))
        .await?;
    app.plugin_logs.forget(&name);
    Ok(Answer(Removed {
        name,
        removed: true,
    }))
}

/// `GET /api/plugins/{name}/config`.
pub(super) async fn get_config(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Answer<PluginConfig>, ApiError> {
    let manifest = find(&app, &principal, &name)?.manifest();
    let config = app
        .plugin_configs
        .effective(&principal.app_id, &name, &manifest.config);
    Ok(config_answer(&app, &principal, &name, config))
}

/// `PUT /api/plugins/{name}/config` with `{"config": {…}, "scope": "app" | "gateway"}`: sets the keys that
/// are given.
pub(super) async fn put_config(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(new): Body<NewConfig>,
) -> Result<Answer<PluginConfig>, ApiError> {
    find(&app, &principal, &name)?;
    let whole_gateway = is_for_gateway(new.scope, &principal)?;
    let actor = actor(&principal, &context);
    let config = app
        .plugins
        .set_config(&name, &new.config, whole_gateway, &actor)
        .await?;
    Ok(config_answer(&app, &principal, &name, config))
}

fn config_answer(
    app: &App,
    principal: &Principal,
    name: &str,
    config: Map<String, Value>,
) -> Answer<PluginConfig> {
    let stored = app.plugin_configs.stored(&principal.app_id, name);
    let revision = stored.map_or(0, |stored| stored.revision);
    Answer(PluginConfig {
        plugin: name.to_owned(),
        config,
        revision,
    })
}

/// `POST /api/plugins/registry/discover`: loads what is new.
pub(super) async fn discover(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
) -> Result<Answer<Discovered>, ApiError> {
    let names = app.plugins.discover(&actor(&principal, &context)).await?;
    Ok(Answer(Discovered {
        count: names.len(),
        plugins: names,
    }))
}

/// `GET /api/plugins/registry/{name}/endpoints`.
pub(super) async fn list_endpoints(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Answer<EndpointList>, ApiError> {
    let plugin = find(&app, &principal, &name)?;
    let endpoints = endpoints(&app, &plugin);
    Ok(Answer(EndpointList {
        count: endpoints.len(),
        endpoints,
    }))
}

/// The routes that a plugin has registered.
pub(super) fn endpoints(app: &App, plugin: &Plugin) -> Vec<EndpointView> {
    let generation = app.plugins.view(&plugin.name).generation;
    let routes = generation.and_then(|id| app.plugin_routes.of(mozaiks_plugins::Generation(id)));
    let routes = routes.map(|routes| routes.list()).unwrap_or_default();
    routes
        .iter()
        .map(|route| {
            let spec = &route.spec;
            EndpointView {
                method: spec.method.clone(),
                path: spec.path.clone(),
                url: format!("/api/plugins/{}{}", plugin.name, spec.path),
                origin: "code",
                requires_auth: spec.requires_auth,
                roles: spec.roles.clone(),
                rate_limit: route.rate_limit().map(NonZeroU32::get),
                request_schema: spec.request_schema.clone(),
                response_schema: spec.response_schema.clone(),
            }
        })
        .collect()
}

/// `GET /api/plugins/registry/{name}/audit`: who did what, newest first.
pub(super) async fn list_audit(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
    Arguments(window): Arguments<Window>,
) -> Result<Answer<AuditList>, ApiError> {
    // Also of plugins that were removed.
    let acts = app
        .plugin_audit
        .latest(&principal.app_id, &name, window.limit())
        .await?;
    Ok(Answer(AuditList {
        count: acts.len(),
        audit: acts,
    }))
}

/// `GET /api/plugins/registry/{name}/storage`: what the plugin keeps in the admin's app.
pub(super) async fn list_storage(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
    Arguments(window): Arguments<Window>,
) -> Result<Answer<StorageList>, ApiError> {
    find(&app, &principal, &name)?;
    let owner = Owner {
        app_id: &principal.app_id,
        plugin: &name,
    };
    let prefix = window.prefix.as_deref().unwrap_or_default();
    let cursor = window.cursor.as_deref();
    let page = app
        .plugin_storage
        .list(owner, prefix, window.limit(), cursor)
        .await?;
    let (values, bytes) = app.plugin_storage.usage(owner).await?;
    Ok(Answer(StorageList {
        count: page.items.len(),
        storage: page.items,
        total: values,
        bytes,
        next_cursor: page.next_cursor,
    }))
}

/// `GET /schemas/plugin.json`: the JSON Schema of manifests.
pub(super) async fn get_manifest_schema() -> Document {
    Document(manifest::schema().to_string().into())
}
