//! `/api/plugins/registry/{name}/{part}`: the same files as rows of their kind, in the words of each.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use serde_json::Map;

use super::{
    Fields, author, catalog, kind,
    types::{PartList, Remap, RowBody, SavedPart},
};
use crate::http::{
    arguments::PathId,
    error::ApiError,
    exchange::RequestContext,
    identify::User,
    json_body::Body,
    state::{App, AppState},
    typed::Answer,
};
use mozaiks_auth::Principal;
use mozaiks_catalog::{Kind, PartView, Saved};

type Made = Result<(StatusCode, Answer<SavedPart>), ApiError>;

/// `GET …/{part}`.
pub(in crate::http) async fn list_parts(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, part)): PathId<(String, String)>,
) -> Result<Answer<PartList>, ApiError> {
    let by = author(&principal, &context);
    let rows = catalog(&app)?.parts(&by, &name, kind(&part)?).await?;
    Ok(Answer(PartList {
        count: rows.len(),
        rows,
    }))
}

/// `POST …/{part}`.
pub(in crate::http) async fn create_part(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, part)): PathId<(String, String)>,
    Body(body): Body<RowBody>,
) -> Made {
    let kind = kind(&part)?;
    made(&app, &principal, &context, &name, kind, body.fields).await
}

/// `POST …/jobs`: what runs of a plugin's jobs is listed under the same address.
pub(in crate::http) async fn create_job(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(body): Body<RowBody>,
) -> Made {
    made(&app, &principal, &context, &name, Kind::Jobs, body.fields).await
}

/// `POST …/entities`: how far the collection of each is is listed under the same address.
pub(in crate::http) async fn create_entity(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(body): Body<RowBody>,
) -> Made {
    let kind = Kind::Entities;
    made(&app, &principal, &context, &name, kind, body.fields).await
}

/// `POST …/migrations`: how far each is is listed under the same address.
pub(in crate::http) async fn create_migration(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(body): Body<RowBody>,
) -> Made {
    let kind = Kind::Migrations;
    made(&app, &principal, &context, &name, kind, body.fields).await
}

/// `POST /api/plugins/{name}/event-listeners` with `{event_name, listener_function, priority}`.
pub(in crate::http) async fn create_listener(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(body): Body<RowBody>,
) -> Made {
    made(&app, &principal, &context, &name, Kind::Events, body.fields).await
}

/// `POST /api/plugins/{name}/hooks` with `{hook_name, handler_function, priority}`.
pub(in crate::http) async fn create_hook(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(body): Body<RowBody>,
) -> Made {
    made(&app, &principal, &context, &name, Kind::Hooks, body.fields).await
}

async fn made(
    app: &App,
    principal: &Principal,
    context: &RequestContext,
    name: &str,
    kind: Kind,
    fields: Fields,
) -> Made {
    let by = author(principal, context);
    let (row, saved) = catalog(app)?.create_part(&by, name, kind, fields).await?;
    Ok((StatusCode::CREATED, Answer(SavedPart { row, saved })))
}

/// `GET …/{part}/{row}`.
pub(in crate::http) async fn get_part(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, part, row)): PathId<(String, String, String)>,
) -> Result<Answer<PartView>, ApiError> {
    let by = author(&principal, &context);
    let part = catalog(&app)?.part(&by, &name, kind(&part)?, &row);
    Ok(Answer(part.await?))
}

/// `PATCH …/{part}/{row}`.
pub(in crate::http) async fn update_part(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, part, row)): PathId<(String, String, String)>,
    Body(body): Body<RowBody>,
) -> Result<Answer<SavedPart>, ApiError> {
    let by = author(&principal, &context);
    let kind = kind(&part)?;
    let updated = catalog(&app)?.update_part(&by, &name, kind, &row, body.fields);
    let (row, saved) = updated.await?;
    Ok(Answer(SavedPart { row, saved }))
}

/// `PATCH …/event-listeners/{file}` with `{event_name}`: the file stays, what it hears is another.
pub(in crate::http) async fn remap_listener(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, file)): PathId<(String, String)>,
    Body(remap): Body<Remap>,
) -> Result<Answer<SavedPart>, ApiError> {
    let by = author(&principal, &context);
    let mut fields = Map::new();
    fields.insert("event_name".into(), remap.event_name.into());
    if let Some(revision) = remap.revision {
        fields.insert("revision".into(), revision.into());
    }
    let updated = catalog(&app)?.update_part(&by, &name, Kind::Events, &file, fields);
    let (row, saved) = updated.await?;
    Ok(Answer(SavedPart { row, saved }))
}

/// `DELETE …/{part}/{row}`.
pub(in crate::http) async fn delete_part(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, part, row)): PathId<(String, String, String)>,
) -> Result<Answer<Saved>, ApiError> {
    let by = author(&principal, &context);
    let deleted = catalog(&app)?.delete_part(&by, &name, kind(&part)?, &row);
    Ok(Answer(deleted.await?))
}
