//! Plugins stored in the database, joined with the life of plugins and the audit.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use serde_json::{Value, json};

use mozaiks_catalog::{Author, Catalog, CatalogError, Live, Told, Trees};
use mozaiks_lifecycle::{
    audit::{Actor, AuditLog},
    error::LifeError,
    manager::PluginManager,
    rows::Scope,
};
use mozaiks_python::SourceChecker;
use mozaiks_store::Store;

/// The trees of stored plugins, below the data directory; none where those are switched off.
///
/// # Errors
/// Where they cannot be written.
pub(super) fn trees(
    on: bool,
    data_dir: &Path,
    store: &Arc<Store>,
) -> anyhow::Result<Option<Arc<Trees>>> {
    if !on {
        return Ok(None);
    }
    let dir = data_dir.join("stored");
    let trees = Trees::new(&dir, Arc::clone(store));
    let trees = trees.with_context(|| format!("{} cannot be used", dir.display()))?;
    Ok(Some(trees))
}

/// The catalogue over these trees.
pub(super) fn catalog(
    trees: Arc<Trees>,
    store: &Arc<Store>,
    manager: &Arc<PluginManager>,
    audit: &Arc<AuditLog>,
) -> Arc<Catalog> {
    let life = Life {
        manager: Arc::clone(manager),
        audit: Arc::clone(audit),
    };
    Catalog::new(
        Arc::clone(store),
        trees,
        SourceChecker::new(),
        Arc::new(life),
    )
}

struct Life {
    manager: Arc<PluginManager>,
    audit: Arc<AuditLog>,
}

impl Live for Life {
    fn serve<'a>(
        &'a self,
        plugin: &'a str,
        digest: &'a str,
        switch_on: bool,
        by: &'a Author,
    ) -> Told<'a> {
        Box::pin(async move {
            let actor = actor(by);
            let served = self.manager.serve_stored(plugin, digest, switch_on, &actor);
            served.await.map_err(refused)
        })
    }

    fn switch_off<'a>(&'a self, plugin: &'a str, by: &'a Author) -> Told<'a> {
        Box::pin(async move {
            let actor = actor(by);
            let off = (self.manager).set_enabled(plugin, false, Scope::Gateway, &actor);
            off.await.map_err(refused)
        })
    }

    fn forget<'a>(&'a self, plugin: &'a str, by: &'a Author) -> Told<'a> {
        Box::pin(async move {
            let actor = actor(by);
            self.manager
                .forget_stored(plugin, &actor)
                .await
                .map_err(refused)
        })
    }

    fn note<'a>(
        &'a self,
        by: &'a Author,
        plugin: &'a str,
        action: &'a str,
        before: Value,
        after: Value,
    ) -> Told<'a> {
        Box::pin(async move {
            self.audit
                .write(&actor(by), plugin, action, Some(&before), Some(&after))
                .await;
            Ok(())
        })
    }
}

fn actor(by: &Author) -> Actor {
    Actor {
        app_id: Arc::clone(&by.app_id),
        user_id: Some(by.user_id.to_string()),
        from: "http".into(),
        request_id: Some(Arc::clone(&by.request_id)),
    }
}

fn refused(error: LifeError) -> CatalogError {
    match error {
        LifeError::Store(error) => CatalogError::Store(error),
        LifeError::Conflict { message, list } => {
            let details = (!list.is_empty()).then(|| json!({ "list": list }));
            CatalogError::Conflict { message, details }
        }
        other => CatalogError::Life {
            code: other.code(),
            message: other.public_message(),
            details: other.details(true),
        },
    }
}
