//! `/api/plugins/registry/{name}/data`: what a stored plugin keeps under keys, as it sees it by
//! `ctx.get_storage`.

use std::sync::Arc;

use axum::{Extension, extract::State};

use super::{
    author, catalog,
    types::{Gone, NewValue, StoredValue, ValueList},
};
use crate::http::{
    arguments::{Arguments, PathId},
    error::ApiError,
    exchange::RequestContext,
    identify::User,
    json_body::Body,
    plugin_life::Window,
    state::{App, AppState},
    typed::Answer,
};
use mozaiks_auth::Principal;
use mozaiks_catalog::CatalogError;
use mozaiks_lifecycle::storage::Owner;

/// The name of a plugin of an admin's app.
async fn named(
    app: &App,
    principal: &Principal,
    context: &RequestContext,
    id: &str,
) -> Result<String, ApiError> {
    let by = author(principal, context);
    if !by.is_admin {
        // Its users' data is not its author's.
        return Err(CatalogError::Forbidden("this needs the role admin").into());
    }
    Ok(catalog(app)?.get(&by, id).await?.name)
}

/// `GET …/data`.
pub(in crate::http) async fn list_values(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId(name): PathId<String>,
    Arguments(window): Arguments<Window>,
) -> Result<Answer<ValueList>, ApiError> {
    let name = named(&app, &principal, &context, &name).await?;
    let owner = owner(&principal, &name);
    let prefix = window.prefix.as_deref().unwrap_or_default();
    let cursor = window.cursor.as_deref();
    let page = app
        .plugin_storage
        .list(owner, prefix, window.limit(), cursor)
        .await?;
    Ok(Answer(ValueList {
        count: page.items.len(),
        data: page.items,
        next_cursor: page.next_cursor,
    }))
}

/// `GET …/data/{key}`.
pub(in crate::http) async fn get_value(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, key)): PathId<(String, String)>,
) -> Result<Answer<StoredValue>, ApiError> {
    let name = named(&app, &principal, &context, &name).await?;
    let value = app.plugin_storage.get(owner(&principal, &name), &key);
    let value = value.await?.ok_or(ApiError::NotFound)?;
    Ok(Answer(StoredValue { key, value }))
}

/// `PUT …/data/{key}` with `{value}`.
pub(in crate::http) async fn put_value(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, key)): PathId<(String, String)>,
    Body(new): Body<NewValue>,
) -> Result<Answer<StoredValue>, ApiError> {
    let name = named(&app, &principal, &context, &name).await?;
    app.plugin_storage
        .set(owner(&principal, &name), &key, &new.value, None)
        .await?;
    Ok(Answer(StoredValue {
        key,
        value: new.value,
    }))
}

/// `DELETE …/data/{key}`.
pub(in crate::http) async fn delete_value(
    State(AppState(app)): State<AppState>,
    User(principal): User,
    Extension(context): Extension<Arc<RequestContext>>,
    PathId((name, key)): PathId<(String, String)>,
) -> Result<Answer<Gone>, ApiError> {
    let name = named(&app, &principal, &context, &name).await?;
    let removed = app.plugin_storage.delete(owner(&principal, &name), &key);
    Ok(Answer(Gone {
        removed: removed.await?,
        name: key,
    }))
}

fn owner<'a>(principal: &'a Principal, plugin: &'a str) -> Owner<'a> {
    Owner {
        app_id: &principal.app_id,
        plugin,
    }
}
