//! Where plugins run and what they may use: what admins see, say and restart, under
//! `/api/plugins/registry/`.

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
    plugin_life::{actor, find},
    state::{App, AppState},
    typed::Answer,
};
use mozaiks_auth::Principal;
use mozaiks_lifecycle::error::LifeError;
use mozaiks_plugins::{manifest::Isolation, registry::Plugin};

/// Where a plugin runs.
#[derive(Serialize, JsonSchema)]
pub(super) struct IsolationInfo {
    mode: Isolation,
    /// What its manifest wishes.
    wanted: Option<Isolation>,
    /// `operator`, `manifest`, `default`, or why it was moved.
    reason: String,
    workers: Vec<WorkerInfo>,
    /// Calls that wait for a worker.
    waiting: usize,
    /// Whether it has no worker because nobody has called for a while: the next call has one made.
    resting: bool,
    /// Workers that have died since the gateway's start.
    restarts: u64,
    /// Why the last one did.
    last_exit: Option<String>,
    /// What this machine sees to, beside the limits.
    walls: Vec<Wall>,
}

/// A process that runs a plugin.
#[derive(Serialize, JsonSchema)]
struct WorkerInfo {
    pid: u32,
    up_seconds: f64,
    calls: u64,
    running: usize,
    memory_bytes: u64,
    log_lines_lost: u64,
}

/// Something that a worker cannot do.
#[derive(Serialize, JsonSchema)]
struct Wall {
    name: String,
    enforced: bool,
    by: String,
}

/// One limit of a plugin.
#[derive(Serialize, JsonSchema)]
pub(super) struct LimitInfo {
    name: &'static str,
    /// What its manifest says.
    wanted: Option<Value>,
    /// What holds.
    effective: Value,
    enforced: bool,
    /// What sees to it; where nothing does, why.
    by: String,
    used: Option<Value>,
}

/// Where a plugin runs and what it may use.
#[derive(Serialize, JsonSchema)]
pub(super) struct PluginLimits {
    plugin: String,
    isolation: IsolationInfo,
    count: usize,
    limits: Vec<LimitInfo>,
}

/// The operator's word: a key that is missing stays, null takes it back.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "missing, null, or said")]
pub(super) struct NewLimits {
    isolation: Option<Option<Isolation>>,
    limits: Option<Option<Map<String, Value>>>,
}

impl FromObject for NewLimits {
    fn from_object(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        let isolation = match body.remove("isolation") {
            None => None,
            Some(Value::Null) => Some(None),
            Some(said) => Some(Some(serde_json::from_value(said).map_err(|_| {
                let what = "isolation must be inline, shared or dedicated, or null";
                ApiError::invalid(what, "/isolation")
            })?)),
        };
        let limits = match body.remove("limits") {
            None => None,
            Some(Value::Null) => Some(None),
            Some(Value::Object(limits)) => Some(Some(limits)),
            Some(_) => {
                let what = "limits must be an object or null";
                return Err(ApiError::invalid(what, "/limits"));
            }
        };
        if let Some(key) = body.keys().next() {
            return Err(ApiError::invalid(&format!("{key} is not known here"), key));
        }
        Ok(Self { isolation, limits })
    }
}

/// `GET /api/plugins/registry/{name}/limits`.
pub(super) async fn get_limits(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Answer<PluginLimits>, ApiError> {
    let plugin = find(&app, &principal, &name)?;
    Ok(limits_answer(&app, &plugin, &principal).await)
}

/// `PUT /api/plugins/registry/{name}/limits` with `{"isolation": …, "limits": {…}}`.
pub(super) async fn put_limits(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(new): Body<NewLimits>,
) -> Result<Answer<PluginLimits>, ApiError> {
    let plugin = find(&app, &principal, &name)?;
    let actor = actor(&principal, &context);
    app.plugins
        .set_placement(&name, new.isolation, new.limits, &actor)
        .await?;
    Ok(limits_answer(&app, &plugin, &principal).await)
}

/// `POST /api/plugins/registry/{name}/release`: lets a plugin run again whose workers have died too often.
pub(super) async fn release(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Answer<PluginLimits>, ApiError> {
    let plugin = find(&app, &principal, &name)?;
    app.isolations.crashes().forgive(&name);
    app.plugins
        .release(&name, &actor(&principal, &context))
        .await?;
    Ok(limits_answer(&app, &plugin, &principal).await)
}

/// `POST /api/plugins/registry/{name}/restart`: new workers first.
pub(super) async fn restart(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Answer<PluginLimits>, ApiError> {
    let plugin = find(&app, &principal, &name)?;
    if !app.isolations.restart(&plugin) {
        return Err(ApiError::Life(LifeError::Conflict {
            message: format!("{name} has no workers"),
            list: Vec::new(),
        }));
    }
    Ok(limits_answer(&app, &plugin, &principal).await)
}

async fn limits_answer(app: &App, plugin: &Plugin, principal: &Principal) -> Answer<PluginLimits> {
    count_storage(app, plugin, principal).await;
    let (isolation, limits) = placement(app, plugin, principal);
    Answer(PluginLimits {
        plugin: plugin.name.to_string(),
        isolation,
        count: limits.len(),
        limits,
    })
}

/// Counts what a plugin stores in an admin's app, where it is not known.
pub(super) async fn count_storage(app: &App, plugin: &Plugin, principal: &Principal) {
    let counted = app
        .plugin_quotas
        .storage_bytes(&plugin.name, &principal.app_id);
    if let Err(error) = counted.await {
        tracing::debug!(plugin.name = &*plugin.name, %error, "plugin.storage_not_counted");
    }
}

/// Where a plugin runs and what it may use, as admins see it; what it stores is that of their app.
pub(super) fn placement(
    app: &App,
    plugin: &Plugin,
    principal: &Principal,
) -> (IsolationInfo, Vec<LimitInfo>) {
    let view = app.isolations.view(plugin);
    let stored = app
        .plugin_quotas
        .known_bytes(&plugin.name, &principal.app_id);
    let limits = view.limits.into_iter().map(|limit| LimitInfo {
        name: limit.name,
        wanted: limit.wanted,
        effective: limit.effective,
        enforced: limit.enforced,
        by: limit.by,
        used: match limit.name {
            "storage" => stored.map(Value::from),
            _ => limit.used,
        },
    });
    let (workers, waiting, resting, enforced) = view
        .pool
        .map(|pool| (pool.workers, pool.waiting, pool.resting, pool.enforced))
        .unwrap_or_default();
    let isolation = IsolationInfo {
        mode: view.mode,
        wanted: view.wanted,
        reason: view.reason,
        workers: workers
            .into_iter()
            .map(|worker| WorkerInfo {
                pid: worker.pid,
                up_seconds: worker.up_seconds,
                calls: worker.calls,
                running: worker.running,
                memory_bytes: worker.memory_bytes,
                log_lines_lost: worker.log_lines_lost,
            })
            .collect(),
        waiting,
        resting,
        restarts: view.restarts,
        last_exit: view.last_exit.map(|reason| reason.to_string()),
        walls: enforced
            .into_iter()
            .map(|wall| Wall {
                name: wall.name,
                enforced: wall.enforced,
                by: wall.by,
            })
            .collect(),
    };
    (isolation, limits.collect())
}
