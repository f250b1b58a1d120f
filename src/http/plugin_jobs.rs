//! What admins see of plugins' scheduled jobs and health under `/api/plugins/registry/`, and running a job
//! now.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    arguments::{Arguments, PathId},
    error::ApiError,
    exchange::RequestContext,
    identify::Admin,
    plugin_life::find,
    state::AppState,
    typed::Answer,
};
use mozaiks_lifecycle::{
    audit::Actor,
    health::Health,
    jobs::{JobView, RunFilter, RunRecord},
};

/// Runs of an answer where the client does not say.
const DEFAULT_LIMIT: usize = 100;
/// Runs of an answer at most.
const MAX_LIMIT: usize = 1000;

/// Scheduled jobs of a plugin.
#[derive(Serialize, JsonSchema)]
pub(super) struct JobList {
    count: usize,
    jobs: Vec<JobView>,
}

/// Runs of a plugin's jobs.
#[derive(Serialize, JsonSchema)]
pub(super) struct RunList {
    count: usize,
    /// Newest first.
    job_runs: Vec<RunRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// How a plugin said that it is.
#[derive(Serialize, JsonSchema)]
pub(super) struct PluginHealth {
    plugin: String,
    #[serde(flatten)]
    health: Health,
}

/// `GET /api/plugins/registry/{name}/jobs`.
pub(super) async fn list_jobs(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Answer<JobList>, ApiError> {
    find(&app, &principal, &name)?;
    let jobs = app.plugin_jobs.list(&principal.app_id, &name).await?;
    Ok(Answer(JobList {
        count: jobs.len(),
        jobs,
    }))
}

/// Which runs.
#[derive(Deserialize, JsonSchema)]
pub(super) struct RunWindow {
    /// Only this one's.
    job: Option<String>,
    /// How many at most.
    limit: Option<usize>,
    /// `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// `GET /api/plugins/registry/{name}/job-runs`: newest first.
pub(super) async fn list_runs(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
    Arguments(window): Arguments<RunWindow>,
) -> Result<Answer<RunList>, ApiError> {
    find(&app, &principal, &name)?;
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
    let last = runs.last().filter(|_| has_more);
    Ok(Answer(RunList {
        count: runs.len(),
        next_cursor: last.map(|last| last.id.clone()),
        job_runs: runs,
    }))
}

/// `POST /api/plugins/registry/{name}/jobs/{job}/run`: makes it due now.
pub(super) async fn run_job(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, job)): PathId<(String, String)>,
) -> Result<(StatusCode, Answer<JobView>), ApiError> {
    // A plugin that does not serve runs nothing.
    (app.dispatcher).check(&*find(&app, &principal, &name)?, &principal.app_id)?;
    let app_id = &*principal.app_id;
    app.plugin_jobs.run_now(app_id, &name, &job).await?;
    let actor = Actor::of(&principal, "http", &context.request_id);
    let after = json!({ "job": job });
    app.plugin_audit
        .write(&actor, &name, "run_job", None, Some(&after))
        .await;
    let job = app.plugin_jobs.get(app_id, &name, &job).await?;
    Ok((StatusCode::ACCEPTED, Answer(job)))
}

/// `GET /api/plugins/registry/{name}/health`: how the plugin said that it is, in the admin's app.
pub(super) async fn get_health(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Answer<PluginHealth>, ApiError> {
    find(&app, &principal, &name)?;
    let health = app.plugin_health.of(&name, &principal.app_id);
    Ok(Answer(PluginHealth {
        plugin: name,
        health,
    }))
}
