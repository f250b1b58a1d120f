//! `GET /api/plugins/registry/{name}/executions`: calls of a plugin's parts, for admins.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    arguments::{Arguments, PathId},
    error::ApiError,
    identify::Admin,
    state::AppState,
    typed::Answer,
};
use mozaiks_lifecycle::executions::{ExecutionFilter, ExecutionRecord, PartFigures};

/// Calls of an answer where the client does not say.
const DEFAULT_LIMIT: usize = 100;
/// Calls of an answer at most.
const MAX_LIMIT: usize = 1000;

/// Which calls.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ExecutionWindow {
    /// `route`, `hook` or `event`.
    kind: Option<String>,
    /// One part's: `controllers/visits.py`.
    part: Option<String>,
    /// `ok` or `error`.
    status: Option<String>,
    /// How many at most.
    limit: Option<usize>,
    /// `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// Calls of a plugin's parts in the admin's app.
#[derive(Serialize, JsonSchema)]
pub(super) struct ExecutionList {
    count: usize,
    /// Newest first.
    executions: Vec<ExecutionRecord>,
    /// Each part's numbers since the gateway's start.
    parts: Vec<PartFigures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// `GET /api/plugins/registry/{name}/executions`.
pub(super) async fn list_executions(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
    Arguments(window): Arguments<ExecutionWindow>,
) -> Result<Answer<ExecutionList>, ApiError> {
    app.registry.find(&name).ok_or(ApiError::PluginNotFound)?;
    let limit = window.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let filter = ExecutionFilter {
        app_id: &principal.app_id,
        plugin: &name,
        kind: window.kind.as_deref(),
        name: window.part.as_deref(),
        status: window.status.as_deref(),
        before: window.cursor.as_deref(),
        limit: limit + 1,
    };
    let mut executions = app.plugin_executions.list(filter).await?;
    let has_more = executions.len() > limit;
    executions.truncate(limit);
    let last = executions.last().filter(|_| has_more);
    Ok(Answer(ExecutionList {
        count: executions.len(),
        next_cursor: last.map(|last| last.id.clone()),
        parts: app.plugin_executions.figures(&principal.app_id, &name),
        executions,
    }))
}
