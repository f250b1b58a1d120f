//! `/api/plugins/registry/{name}/dependencies`: packages that a stored plugin wants, and an admin's word.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;

use super::{
    author, catalog,
    types::{Approval, DependencyList, NewDependency},
};
use crate::http::{
    arguments::PathId, error::ApiError, exchange::RequestContext, identify::User, json_body::Body,
    state::AppState, typed::Answer,
};
use mozaiks_catalog::DependencyView;

/// `GET …/dependencies`.
pub(in crate::http) async fn list_dependencies(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Answer<DependencyList>, ApiError> {
    let by = author(&principal, &context);
    let dependencies = catalog(&app)?.dependencies(&by, &name).await?;
    Ok(Answer(DependencyList {
        count: dependencies.len(),
        dependencies,
    }))
}

/// `POST …/dependencies` with `{package_name, version_spec}`.
pub(in crate::http) async fn create_dependency(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(new): Body<NewDependency>,
) -> Result<(StatusCode, Answer<DependencyView>), ApiError> {
    let by = author(&principal, &context);
    let catalog = catalog(&app)?;
    let added = catalog.add_dependency(&by, &name, &new.package_name, &new.version_spec);
    Ok((StatusCode::CREATED, Answer(added.await?)))
}

/// `PATCH …/dependencies/{row}` with `{status}`.
pub(in crate::http) async fn approve(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, package)): PathId<(String, String)>,
    Body(approval): Body<Approval>,
) -> Result<Answer<DependencyView>, ApiError> {
    let by = author(&principal, &context);
    let approved = catalog(&app)?.approve(&by, &name, &package, approval.approved);
    Ok(Answer(approved.await?))
}

/// `DELETE …/dependencies/{row}`.
pub(in crate::http) async fn delete_dependency(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, package)): PathId<(String, String)>,
) -> Result<Answer<DependencyList>, ApiError> {
    let by = author(&principal, &context);
    let catalog = catalog(&app)?;
    catalog.remove_dependency(&by, &name, &package).await?;
    let dependencies = catalog.dependencies(&by, &name).await?;
    Ok(Answer(DependencyList {
        count: dependencies.len(),
        dependencies,
    }))
}
