//! Packages that stored plugins want, and what admins say of each.

use futures_util::TryStreamExt as _;
use mongodb::bson::{DateTime, Document, Uuid, doc};

use super::{Repository, Whose, files::filter, text, time};
use crate::error::CatalogError;
use mozaiks_store::StoreError;

const DEPENDENCIES: &str = "plugin_dependencies";

/// A package that a plugin wants.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) package_name: String,
    pub(crate) version_spec: String,
    pub(crate) status: String,
    pub(crate) error: Option<String>,
    pub(crate) updated_at: Option<String>,
    pub(crate) updated_by: Option<String>,
}

impl Repository {
    /// What was said of a plugin's packages.
    pub(crate) async fn dependencies(
        &self,
        whose: Whose<'_>,
    ) -> Result<Vec<Dependency>, StoreError> {
        let rows: Vec<Document> = self
            .collection(DEPENDENCIES)?
            .find(filter(whose))
            .await
            .map_err(|error| self.store.failed(error))?
            .try_collect()
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(rows
            .iter()
            .map(|row| Dependency {
                package_name: text(row, "package_name").unwrap_or_default(),
                version_spec: text(row, "version_spec").unwrap_or_default(),
                status: text(row, "status").unwrap_or_default(),
                error: text(row, "error"),
                updated_at: time(row, "updated_at"),
                updated_by: text(row, "updated_by"),
            })
            .collect())
    }

    /// Says something of a package.
    pub(crate) async fn set_dependency(
        &self,
        whose: Whose<'_>,
        package: &str,
        version_spec: &str,
        status: &str,
        error: Option<&str>,
        by: &str,
    ) -> Result<(), CatalogError> {
        let mut filter = filter(whose);
        filter.insert("package_name", package);
        let update = doc! {
            "$set": {
                "version_spec": version_spec, "status": status, "error": error,
                "updated_at": DateTime::now(), "updated_by": by,
            },
            "$setOnInsert": { "_id": Uuid::new().to_string(), "created_at": DateTime::now() },
        };
        let done = self
            .collection(DEPENDENCIES)?
            .update_one(filter, update)
            .upsert(true)
            .await;
        done.map_err(|error| self.store.failed(error))?;
        Ok(())
    }
}
