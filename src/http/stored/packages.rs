//! Stored plugins carried elsewhere: export, import, templates, copies, and the whole tree of one.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;

use super::{
    author, catalog,
    types::{CopyName, Imported, NewTree, PackageBody, Pushed, StoredList},
};
use crate::http::{
    arguments::PathId, error::ApiError, exchange::RequestContext, identify::User, json_body::Body,
    state::AppState, typed::Answer,
};
use mozaiks_catalog::{NewContent, Package, PluginView, Tree};

/// `GET …/export`.
pub(in crate::http) async fn export(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Answer<Package>, ApiError> {
    let by = author(&principal, &context);
    Ok(Answer(catalog(&app)?.export(&by, &name).await?))
}

/// `POST /api/plugins/registry/import`.
pub(in crate::http) async fn import(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    Body(body): Body<PackageBody>,
) -> Result<(StatusCode, Answer<Imported>), ApiError> {
    let by = author(&principal, &context);
    let (plugin, warnings) = catalog(&app)?.import(&by, body.package).await?;
    Ok((StatusCode::CREATED, Answer(Imported { plugin, warnings })))
}

/// `GET /api/plugins/templates`.
pub(in crate::http) async fn list_templates(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
) -> Result<Answer<StoredList>, ApiError> {
    let by = author(&principal, &context);
    let plugins = catalog(&app)?.templates(&by).await?;
    Ok(Answer(StoredList {
        count: plugins.len(),
        plugins,
    }))
}

/// `POST /api/plugins/templates/{name}/clone`.
pub(in crate::http) async fn clone_template(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(copy): Body<CopyName>,
) -> Result<(StatusCode, Answer<PluginView>), ApiError> {
    let by = author(&principal, &context);
    let copied = catalog(&app)?.copy(&by, &name, copy.name.as_deref(), true);
    Ok((StatusCode::CREATED, Answer(copied.await?)))
}

/// `POST …/clone`.
pub(in crate::http) async fn clone_plugin(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(copy): Body<CopyName>,
) -> Result<(StatusCode, Answer<PluginView>), ApiError> {
    let by = author(&principal, &context);
    let copied = catalog(&app)?.copy(&by, &name, copy.name.as_deref(), false);
    Ok((StatusCode::CREATED, Answer(copied.await?)))
}

/// `PUT …/tree`: the plugin is made what the files are.
pub(in crate::http) async fn push(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(tree): Body<NewTree>,
) -> Result<Answer<Pushed>, ApiError> {
    let by = author(&principal, &context);
    let catalog = catalog(&app)?;
    let files = tree.files.into_iter().map(|file| {
        let content = NewContent::decode(&file.content, file.encoding.as_deref())?;
        Ok::<_, ApiError>((file.name, content))
    });
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let pushed = catalog.push(&by, &name, Tree::new(files)?, tree.digest.as_deref());
    let (plugin, saved, changed) = pushed.await?;
    Ok(Answer(Pushed {
        plugin,
        changed,
        saved,
    }))
}
