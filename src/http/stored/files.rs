//! `/api/plugins/registry/{name}/files`: files of stored plugins.

use std::sync::Arc;

use axum::{Extension, extract::State};

use super::{
    author, catalog,
    types::{File, FileContent, Rename, Restore, RevisionList, WhichFile},
};
use crate::http::{
    arguments::{Arguments, PathId},
    error::ApiError,
    exchange::RequestContext,
    identify::User,
    json_body::Body,
    state::AppState,
    typed::Answer,
};
use mozaiks_catalog::NewContent;

/// `PUT …/files` with `{path, content, revision}`.
pub(in crate::http) async fn put_file(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(file): Body<FileContent>,
) -> Result<Answer<File>, ApiError> {
    let by = author(&principal, &context);
    let catalog = catalog(&app)?;
    let content = NewContent::decode(&file.content, file.encoding.as_deref())?;
    let new = NewContent {
        path: file.path,
        content: Some(content),
        revision: file.revision,
        said: file.metadata,
        enabled: file.is_enabled,
    };
    Ok(Answer(catalog.save(&by, &name, new).await?))
}

/// `DELETE …/files?path=`.
pub(in crate::http) async fn delete_file(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Arguments(which): Arguments<WhichFile>,
) -> Result<Answer<File>, ApiError> {
    let by = author(&principal, &context);
    let deleted = catalog(&app)?.delete_file(&by, &name, &which.path, which.revision);
    Ok(Answer(deleted.await?))
}

/// `POST …/files/rename` with `{from, to, revision}`.
pub(in crate::http) async fn rename_file(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(rename): Body<Rename>,
) -> Result<Answer<File>, ApiError> {
    let by = author(&principal, &context);
    let catalog = catalog(&app)?;
    let renamed = catalog.rename(&by, &name, &rename.from, &rename.to, rename.revision);
    Ok(Answer(renamed.await?))
}

/// `GET …/files/{path}/revisions`.
pub(in crate::http) async fn list_revisions(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, path)): PathId<(String, String)>,
) -> Result<Answer<RevisionList>, ApiError> {
    let path = path.strip_suffix("/revisions").ok_or(ApiError::NotFound)?;
    let by = author(&principal, &context);
    let revisions = catalog(&app)?.revisions(&by, &name, path).await?;
    Ok(Answer(RevisionList {
        count: revisions.len(),
        revisions,
    }))
}

/// `POST …/files/{path}/restore` with `{revision}`.
pub(in crate::http) async fn restore_file(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, path)): PathId<(String, String)>,
    Body(restore): Body<Restore>,
) -> Result<Answer<File>, ApiError> {
    let path = path.strip_suffix("/restore").ok_or(ApiError::NotFound)?;
    let by = author(&principal, &context);
    let restored = catalog(&app)?.restore(&by, &name, path, restore.revision);
    Ok(Answer(restored.await?))
}
