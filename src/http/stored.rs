//! Plugins stored in the database, below `/api/plugins/registry`: for admins, and for those with the role
//! `plugin_author`, who write plugins of their own and let none serve.

mod dependencies;
mod files;
mod packages;
mod parts;
mod storage;
mod types;

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use serde_json::{Map, Value};

use super::{
    arguments::{Arguments, PathId},
    error::ApiError,
    exchange::RequestContext,
    identify::User,
    json_body::Body,
    state::{App, AppState},
    typed::Answer,
};
use mozaiks_auth::Principal;
use mozaiks_catalog::{Author, Catalog, CatalogError, Kind, PluginView, Wanted};
use types::{Activated, Filter, Gone, NewPlugin, PluginChange, Problems, StoredList, WholeStored};

pub(super) use dependencies::{approve, create_dependency, delete_dependency, list_dependencies};
pub(super) use files::{delete_file, list_revisions, put_file, rename_file, restore_file};
pub(super) use packages::{clone_plugin, clone_template, export, import, list_templates, push};
pub(super) use parts::{
    create_entity, create_hook, create_job, create_listener, create_migration, create_part,
    delete_part, get_part, list_parts, remap_listener, update_part,
};
pub(super) use storage::{delete_value, get_value, list_values, put_value};

/// Who may write plugins and is no admin.
const AUTHOR: &str = "plugin_author";

pub(super) fn author(principal: &Principal, context: &RequestContext) -> Author {
    Author {
        app_id: Arc::clone(&principal.app_id),
        user_id: Arc::clone(&principal.user_id),
        is_admin: principal.is_admin(),
        may_write: principal.is_admin() || principal.has_role(AUTHOR),
        request_id: Arc::clone(&context.request_id),
    }
}

pub(super) fn catalog(app: &App) -> Result<&Arc<Catalog>, ApiError> {
    Ok(app.catalog.as_ref().ok_or(CatalogError::Disabled)?)
}

/// `GET /api/plugins/registry?mine&template`.
pub(super) async fn list(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    Arguments(filter): Arguments<Filter>,
) -> Result<Answer<StoredList>, ApiError> {
    let wanted = Wanted {
        mine: filter.mine.unwrap_or_default(),
        template: filter.template,
    };
    let by = author(&principal, &context);
    let plugins = catalog(&app)?.list(&by, wanted).await?;
    Ok(Answer(StoredList {
        count: plugins.len(),
        plugins,
    }))
}

/// `POST /api/plugins/registry`.
pub(super) async fn create(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    Body(new): Body<NewPlugin>,
) -> Result<(StatusCode, Answer<PluginView>), ApiError> {
    let by = author(&principal, &context);
    let category = new.category.as_deref();
    let made = catalog(&app)?
        .create(&by, &new.name, new.manifest, category)
        .await?;
    Ok((StatusCode::CREATED, Answer(made)))
}

/// `GET /api/plugins/registry/{name}`: the plugin with all its files.
pub(super) async fn get(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Answer<WholeStored>, ApiError> {
    let by = author(&principal, &context);
    let catalog = catalog(&app)?;
    Ok(Answer(WholeStored {
        plugin: catalog.get(&by, &name).await?,
        source_code: catalog.source(&by, &name).await?,
    }))
}

/// `PATCH /api/plugins/registry/{name}`: keys of `plugin.json`, the category, whether it is a template.
pub(super) async fn change(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Body(change): Body<PluginChange>,
) -> Result<Answer<PluginView>, ApiError> {
    let by = author(&principal, &context);
    let category = change.category.as_deref();
    let catalog = catalog(&app)?;
    let described = catalog.describe(
        &by,
        &name,
        change.manifest,
        change.revision,
        category,
        change.is_template,
    );
    Ok(Answer(described.await?))
}

/// `DELETE /api/plugins/registry/{name}`.
pub(super) async fn delete(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Answer<Gone>, ApiError> {
    let by = author(&principal, &context);
    let name = catalog(&app)?.delete(&by, &name).await?;
    app.plugin_logs.forget(&name);
    Ok(Answer(Gone {
        name,
        removed: true,
    }))
}

/// `POST /api/plugins/registry/{name}/activate`.
pub(super) async fn activate(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Answer<Activated>, ApiError> {
    let by = author(&principal, &context);
    let (plugin, saved) = catalog(&app)?.activate(&by, &name).await?;
    Ok(Answer(Activated {
        plugin,
        saved: saved.into(),
    }))
}

/// `POST /api/plugins/registry/{name}/deactivate`.
pub(super) async fn deactivate(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Answer<PluginView>, ApiError> {
    let by = author(&principal, &context);
    Ok(Answer(catalog(&app)?.deactivate(&by, &name).await?))
}

/// `POST /api/plugins/registry/{name}/validate`.
pub(super) async fn validate(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
) -> Result<Answer<Problems>, ApiError> {
    let by = author(&principal, &context);
    let problems = catalog(&app)?.validate(&by, &name).await?;
    Ok(Answer(Problems {
        valid: problems.is_empty(),
        count: problems.len(),
        problems,
    }))
}

fn kind(name: &str) -> Result<Kind, ApiError> {
    Kind::named(name).ok_or(ApiError::NotFound)
}

/// What a body says of a row, whatever its kind has.
type Fields = Map<String, Value>;
