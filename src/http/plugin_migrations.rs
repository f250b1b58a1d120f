//! Entities and migrations of plugins under `/api/plugins/registry/`: what there is, and running it.

use std::sync::Arc;

use axum::{Extension, extract::State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    arguments::PathId,
    error::ApiError,
    exchange::RequestContext,
    identify::Admin,
    json_body::{Body, FromObject},
    plugin_life::nothing_else,
    state::{App, AppState},
    typed::Answer,
};
use mozaiks_auth::Principal;
use mozaiks_entities::{
    machine::{RunOptions, RunReport},
    rows::{EntityView, MigrationView},
    subject::Subject,
};
use mozaiks_lifecycle::audit::Actor;

/// A file that cannot be used.
#[derive(Serialize, JsonSchema)]
pub(super) struct FileProblem {
    file_name: String,
    problem: String,
}

/// Entities of a plugin.
#[derive(Serialize, JsonSchema)]
pub(super) struct EntityList {
    count: usize,
    entities: Vec<EntityView>,
    /// Files that are none.
    problems: Vec<FileProblem>,
}

/// Migrations of a plugin.
#[derive(Serialize, JsonSchema)]
pub(super) struct MigrationList {
    count: usize,
    /// By their versions.
    migrations: Vec<MigrationView>,
    /// Files that are none.
    problems: Vec<FileProblem>,
}

/// How a migration is to be run.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct RunRequest {
    /// Nothing is done; what would be is told.
    #[schemars(default)]
    dry_run: bool,
    /// Also where it was run already, or has changed since.
    #[schemars(default)]
    force: bool,
}

impl FromObject for RunRequest {
    fn from_object(mut object: Map<String, Value>) -> Result<Self, ApiError> {
        let mut flag = |key: &str| match object.remove(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(ApiError::invalid(
                &format!("{key} must be true or false"),
                &format!("/{key}"),
            )),
        };
        let (dry_run, force) = (flag("dry_run")?, flag("force")?);
        nothing_else(&object)?;
        Ok(Self { dry_run, force })
    }
}

impl RunRequest {
    fn by(&self, principal: &Principal) -> RunOptions {
        RunOptions {
            dry_run: self.dry_run,
            force: self.force,
            by: Some(principal.user_id.to_string()),
        }
    }
}

fn subject(app: &App, name: &str, principal: &Principal) -> Result<Subject, ApiError> {
    let plugin = app.registry.find(name).ok_or(ApiError::PluginNotFound)?;
    Ok(Subject::of(&app.registry, &plugin, &principal.app_id))
}

fn problems(found: Vec<(String, String)>) -> Vec<FileProblem> {
    let problem = |(file_name, problem)| FileProblem { file_name, problem };
    found.into_iter().map(problem).collect()
}

/// `GET /api/plugins/registry/{name}/entities`.
pub(super) async fn list_entities(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Answer<EntityList>, ApiError> {
    let subject = subject(&app, &name, &principal)?;
    let (entities, odd) = app.migrations.entities(&subject).await?;
    Ok(Answer(EntityList {
        count: entities.len(),
        entities,
        problems: problems(odd),
    }))
}

/// `GET /api/plugins/registry/{name}/migrations`.
pub(super) async fn list_migrations(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    PathId(name): PathId<String>,
) -> Result<Answer<MigrationList>, ApiError> {
    let subject = subject(&app, &name, &principal)?;
    let listing = app.migrations.list(&subject).await?;
    Ok(Answer(MigrationList {
        count: listing.migrations.len(),
        migrations: listing.migrations,
        problems: problems(listing.problems),
    }))
}

/// `POST /api/plugins/registry/{name}/entities/{entity_name}/migrate` with `{dry_run, force}`.
pub(super) async fn migrate_entity(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, entity)): PathId<(String, String)>,
    Body(request): Body<RunRequest>,
) -> Result<Answer<RunReport>, ApiError> {
    let subject = subject(&app, &name, &principal)?;
    let options = request.by(&principal);
    let report = app
        .migrations
        .migrate_entity(&subject, &entity, &options)
        .await?;
    let actor = Actor::of(&principal, "http", &context.request_id);
    audit(&app, &actor, &name, "migrate_entity", &report, &options).await;
    Ok(Answer(report))
}

/// `POST /api/plugins/registry/{name}/migrations/{version}/run` with `{dry_run, force}`.
pub(super) async fn run_migration(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, version)): PathId<(String, String)>,
    Body(request): Body<RunRequest>,
) -> Result<Answer<RunReport>, ApiError> {
    let subject = subject(&app, &name, &principal)?;
    let options = request.by(&principal);
    let report = app.migrations.run(&subject, &version, &options).await?;
    let actor = Actor::of(&principal, "http", &context.request_id);
    audit(&app, &actor, &name, "migrate", &report, &options).await;
    Ok(Answer(report))
}

/// `POST /api/plugins/registry/{name}/migrations/{version}/rollback` with `{dry_run, force}`.
pub(super) async fn roll_back_migration(
    State(AppState(app)): State<AppState>,
    Admin(principal): Admin,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, version)): PathId<(String, String)>,
    Body(request): Body<RunRequest>,
) -> Result<Answer<RunReport>, ApiError> {
    let subject = subject(&app, &name, &principal)?;
    let options = request.by(&principal);
    let report = app
        .migrations
        .roll_back(&subject, &version, &options)
        .await?;
    let actor = Actor::of(&principal, "http", &context.request_id);
    audit(&app, &actor, &name, "roll_back", &report, &options).await;
    Ok(Answer(report))
}

/// Writes down what was done; a dry run has done nothing.
async fn audit(
    app: &App,
    actor: &Actor,
    plugin: &str,
    action: &str,
    report: &RunReport,
    options: &RunOptions,
) {
    if report.dry_run {
        return;
    }
    let migration = &report.migration;
    let after = json!({
        "version": migration.version,
        "name": migration.name,
        "entity_name": migration.entity_name,
        "checksum": migration.checksum,
        "status": migration.status,
        "force": options.force,
    });
    app.plugin_audit
        .write(actor, plugin, action, None, Some(&after))
        .await;
}
