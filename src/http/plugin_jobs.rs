//! What admins see of plugins' scheduled jobs and health under `/api/plugins/registry/`, and running a job
//! now.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{
    arguments::{Arguments, PathId, answer},
    error::ApiError,
    exchange::RequestContext,
    identify::Admin,
    state::{App, AppState},
};
use mozaiks_lifecycle::{audit::Actor, jobs::RunFilter};
use mozaiks_plugins::registry::Plugin;

/// Runs of an answer where the client does not say.
const DEFAULT_LIMIT: usize = 100;
/// Runs of an answer at most.
const MAX_LIMIT: usize = 1000;

fn find(app: &App, name: &str) -> Result<Arc<Plugin>, ApiError> {
    app.registry.find(name).ok_or(ApiError::PluginNotFound)
}

/// `GET /api/plugins/registry/{name}/jobs`.
pub(super) async fn list_jobs(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Response, ApiError> {
    find(&app, &name)?;
    let jobs = app.plugin_jobs.list(&principal.app_id, &name).await?;
    Ok(answer(&json!({ "count": jobs.len(), "jobs": jobs })))
}

/// Which runs.
#[derive(Deserialize)]
pub(super) struct RunWindow {
    job: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /api/plugins/registry/{name}/job-runs`: newest first.
pub(super) async fn list_runs(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
    Arguments(window): Arguments<RunWindow>,
) -> Result<Response, ApiError> {
    find(&app, &name)?;
    let limit = window.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let filter = RunFilter {
        app_id: &principal.app_id,
        plugin: &name,
        job: window.job.as_deref(),
        before: window.cursor.as_deref(),
        limit: limit + 1,
    };
    let mut runs = app.plugin_jobs.runs(filter).await?;
    let has_more = runs.len() > limit;
    runs.truncate(limit);
    let mut shown = json!({ "count": runs.len(), "job_runs": runs });
    if let (true, Some(last)) = (has_more, runs.last()) {
        shown["next_cursor"] = last.id.as_str().into();
    }
    Ok(answer(&shown))
}

/// `POST /api/plugins/registry/{name}/jobs/{job}/run`: makes it due now.
pub(super) async fn run_job(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, job)): PathId<(String, String)>,
) -> Result<Response, ApiError> {
    // A plugin that does not serve runs nothing.
    (app.dispatcher).check(&*find(&app, &name)?, &principal.app_id)?;
    let app_id = &*principal.app_id;
    app.plugin_jobs.run_now(app_id, &name, &job).await?;
    let actor = Actor::of(&principal, "http", &context.request_id);
    let after = json!({ "job": job });
    app.plugin_audit
        .write(&actor, &name, "run_job", None, Some(&after))
        .await;
    let job = app.plugin_jobs.get(app_id, &name, &job).await?;
    let mut accepted = answer(&job);
    *accepted.status_mut() = StatusCode::ACCEPTED;
    Ok(accepted)
}

/// `GET /api/plugins/registry/{name}/health`: how the plugin said that it is, in the admin's app.
pub(super) async fn get_health(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Response, ApiError> {
    find(&app, &name)?;
    let mut shown = json!(app.plugin_health.of(&name, &principal.app_id));
    shown["plugin"] = name.into();
    Ok(answer(&shown))
}
