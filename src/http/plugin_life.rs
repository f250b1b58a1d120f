//! What admins do with plugins: enable, disable, reload, configure, remove, discover; and what they see
//! of them under `/api/plugins/registry/`.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    arguments::{Arguments, PathId, answer},
    error::ApiError,
    exchange::RequestContext,
    identify::Admin,
    json_body::JsonObject,
    plugins::describe_whole,
    state::{App, AppState},
};
use mozaiks_auth::Principal;
use mozaiks_lifecycle::{audit::Actor, storage::Owner};
use mozaiks_plugins::{manifest, registry::Plugin};

/// Entries of an answer where the client does not say.
const DEFAULT_LIMIT: usize = 100;
/// Entries of an answer at most.
const MAX_LIMIT: usize = 1000;

fn actor(principal: &Principal, context: &RequestContext) -> Actor {
    Actor::of(principal, "http", &context.request_id)
}

fn find(app: &App, name: &str) -> Result<Arc<Plugin>, ApiError> {
    app.registry.find(name).ok_or(ApiError::PluginNotFound)
}

/// The plugin as it is now.
fn shown(app: &App, principal: &Principal, name: &str) -> Result<Response, ApiError> {
    Ok(answer(&describe_whole(app, &*find(app, name)?, principal)))
}

/// `POST /api/plugins/{name}/enable` with `{"enabled": bool, "scope": "app" | "gateway"}`.
pub(super) async fn set_enabled(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    find(&app, &name)?;
    let enabled = match body.get("enabled") {
        Some(Value::Bool(enabled)) => *enabled,
        _ => {
            return Err(ApiError::invalid(
                "enabled must be true or false",
                "/enabled",
            ));
        }
    };
    if let Some(key) = body.keys().find(|key| *key != "enabled" && *key != "scope") {
        return Err(ApiError::invalid(&format!("{key} is not known here"), key));
    }
    let whole_gateway = is_for_gateway(&body, &principal)?;
    let scope = app.plugins.scope(&principal.app_id, whole_gateway);
    let actor = actor(&principal, &context);
    app.plugins
        .set_enabled(&name, enabled, scope, &actor)
        .await?;
    shown(&app, &principal, &name)
}

/// Whether an act is meant for all apps, which is for superadmins to say.
fn is_for_gateway(body: &Map<String, Value>, principal: &Principal) -> Result<bool, ApiError> {
    match body.get("scope").map(Value::as_str) {
        None | Some(Some("app")) => Ok(false),
        Some(Some("gateway")) if principal.is_superadmin => Ok(true),
        Some(Some("gateway")) => Err(ApiError::Forbidden("this needs the role superadmin")),
        Some(_) => Err(ApiError::invalid("scope must be app or gateway", "/scope")),
    }
}

/// `POST /api/plugins/{name}/reload`.
pub(super) async fn reload(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Response, ApiError> {
    find(&app, &name)?;
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
) -> Result<Response, ApiError> {
    find(&app, &name)?;
    app.plugins
        .remove(&name, &actor(&principal, &context))
        .await?;
    app.plugin_logs.forget(&name);
    Ok(answer(&json!({ "name": name, "removed": true })))
}

/// `GET /api/plugins/{name}/config`.
pub(super) async fn get_config(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Response, ApiError> {
    let manifest = find(&app, &name)?.manifest();
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
    JsonObject(body): JsonObject,
) -> Result<Response, ApiError> {
    find(&app, &name)?;
    let values = match body.get("config") {
        Some(Value::Object(values)) => values,
        _ => return Err(ApiError::invalid("config must be an object", "/config")),
    };
    if let Some(key) = body.keys().find(|key| *key != "config" && *key != "scope") {
        return Err(ApiError::invalid(&format!("{key} is not known here"), key));
    }
    let whole_gateway = is_for_gateway(&body, &principal)?;
    let actor = actor(&principal, &context);
    let config = app
        .plugins
        .set_config(&name, values, whole_gateway, &actor)
        .await?;
    Ok(config_answer(&app, &principal, &name, config))
}

fn config_answer(
    app: &App,
    principal: &Principal,
    name: &str,
    config: Map<String, Value>,
) -> Response {
    let stored = app.plugin_configs.stored(&principal.app_id, name);
    let revision = stored.map_or(0, |stored| stored.revision);
    answer(&json!({ "plugin": name, "config": config, "revision": revision }))
}

/// `POST /api/plugins/registry/discover`: loads what is new.
pub(super) async fn discover(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
) -> Result<Response, ApiError> {
    let names = app.plugins.discover(&actor(&principal, &context)).await?;
    Ok(answer(&json!({ "count": names.len(), "plugins": names })))
}

/// `GET /api/plugins/registry/{name}/endpoints`.
pub(super) async fn list_endpoints(
    State(AppState(app)): State<AppState>,
    Admin(_): Admin,
    PathId(name): PathId<String>,
) -> Result<Response, ApiError> {
    let plugin = find(&app, &name)?;
    let endpoints = endpoints(&app, &plugin);
    Ok(answer(
        &json!({ "count": endpoints.len(), "endpoints": endpoints }),
    ))
}

/// The routes that a plugin has registered.
pub(super) fn endpoints(app: &App, plugin: &Plugin) -> Vec<Value> {
    let generation = app.plugins.view(&plugin.name).generation;
    let routes = generation.and_then(|id| app.plugin_routes.of(mozaiks_plugins::Generation(id)));
    let routes = routes.map(|routes| routes.list()).unwrap_or_default();
    routes
        .iter()
        .map(|route| {
            let spec = &route.spec;
            json!({
                "method": spec.method,
                "path": spec.path,
                "url": format!("/api/plugins/{}{}", plugin.name, spec.path),
                "origin": "code",
                "requires_auth": spec.requires_auth,
                "roles": spec.roles,
                "rate_limit": spec.rate_limit,
                "request_schema": spec.request_schema,
                "response_schema": spec.response_schema,
            })
        })
        .collect()
}

/// How many entries, and from where on.
#[derive(Deserialize)]
pub(super) struct Window {
    limit: Option<usize>,
    prefix: Option<String>,
    cursor: Option<String>,
}

impl Window {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)
    }
}

/// `GET /api/plugins/registry/{name}/audit`: who did what, newest first.
pub(super) async fn list_audit(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
    Arguments(window): Arguments<Window>,
) -> Result<Response, ApiError> {
    // Also of plugins that were removed.
    let acts = app
        .plugin_audit
        .latest(&principal.app_id, &name, window.limit())
        .await?;
    Ok(answer(&json!({ "count": acts.len(), "audit": acts })))
}

/// `GET /api/plugins/registry/{name}/storage`: what the plugin keeps in the admin's app.
pub(super) async fn list_storage(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
    Arguments(window): Arguments<Window>,
) -> Result<Response, ApiError> {
    find(&app, &name)?;
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
    let mut shown = json!({
        "count": page.items.len(),
        "storage": page.items,
        "total": values,
        "bytes": bytes,
    });
    if let Some(next) = page.next_cursor {
        shown["next_cursor"] = next.into();
    }
    Ok(answer(&shown))
}

/// `GET /schemas/plugin.json`: the JSON Schema of manifests.
pub(super) async fn get_manifest_schema() -> Response {
    answer(&manifest::schema())
}
