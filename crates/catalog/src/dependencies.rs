//! Packages that a stored plugin wants: none is installed before an admin has approved it.

use mozaiks_plugins::source_check::Problem;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    activation::{admins_only, requirements},
    catalog::{Catalog, whose},
    error::CatalogError,
    live::Author,
    rows::PluginRow,
    tree::MANIFEST,
};

/// A package that a plugin wants.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DependencyView {
    /// Its name.
    pub package_name: String,
    /// Which versions.
    pub version_spec: String,
    /// `pending`, `approved`, `installed` or `failed`.
    pub status: String,
    /// Why it could not be installed.
    pub error: Option<String>,
    /// When, in ISO 8601.
    pub updated_at: Option<String>,
    /// The user who has approved it.
    pub updated_by: Option<String>,
}

impl Catalog {
    /// The packages that a plugin wants.
    ///
    /// # Errors
    /// Where there is no plugin that the caller may read.
    pub async fn dependencies(
        &self,
        by: &Author,
        id: &str,
    ) -> Result<Vec<DependencyView>, CatalogError> {
        let plugin = self.readable(by, id).await?;
        self.dependencies_of(&plugin, &wanted(&plugin)).await
    }

    async fn dependencies_of(
        &self,
        plugin: &PluginRow,
        requirements: &[String],
    ) -> Result<Vec<DependencyView>, CatalogError> {
        let known = self.repository.dependencies(whose(plugin)).await?;
        let wanted = requirements.iter().map(|requirement| {
            let (name, spec) = split(requirement);
            let said = known
                .iter()
                .find(|known| known.package_name == name && known.version_spec == spec);
            DependencyView {
                package_name: name,
                version_spec: spec,
                status: said.map_or("pending", |said| &said.status).to_owned(),
                error: said.and_then(|said| said.error.clone()),
                updated_at: said.and_then(|said| said.updated_at.clone()),
                updated_by: said.and_then(|said| said.updated_by.clone()),
            }
        });
        Ok(wanted.collect())
    }

    /// From here on a plugin wants a package; it waits for an admin.
    ///
    /// # Errors
    /// What cannot be a package, and where there is no plugin that the caller may change.
    pub async fn add_dependency(
        &self,
        by: &Author,
        id: &str,
        package: &str,
        version_spec: &str,
    ) -> Result<DependencyView, CatalogError> {
        let plugin = self.writable(by, id).await?;
        let is_name = !package.is_empty()
            && package.len() <= 100
            && package
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "._-[],".contains(letter));
        if !is_name {
            return Err(CatalogError::invalid(
                "/package_name",
                "package_name is no name of a package",
            ));
        }
        let (name, _) = split(package);
        let mut wanted = wanted(&plugin);
        wanted.retain(|other| split(other).0 != name);
        wanted.push(format!("{package}{version_spec}"));
        let keys = Map::from_iter([("requirements".to_owned(), json!(wanted))]);
        self.describe(by, id, keys, Some(plugin.revision), None, None)
            .await?;
        self.dependency(by, id, &name).await
    }

    /// A plugin wants a package no more.
    ///
    /// # Errors
    /// Where it does not want it.
    pub async fn remove_dependency(
        &self,
        by: &Author,
        id: &str,
        package: &str,
    ) -> Result<(), CatalogError> {
        let plugin = self.writable(by, id).await?;
        let mut wanted = wanted(&plugin);
        let before = wanted.len();
        wanted.retain(|other| split(other).0 != normal(package));
        if wanted.len() == before {
            return Err(no_package());
        }
        let keys = Map::from_iter([("requirements".to_owned(), json!(wanted))]);
        self.describe(by, id, keys, Some(plugin.revision), None, None)
            .await?;
        Ok(())
    }

    /// An admin says whether a package may be installed, in the versions that the plugin wants now.
    ///
    /// # Errors
    /// Where the plugin does not want it.
    pub async fn approve(
        &self,
        by: &Author,
        id: &str,
        package: &str,
        approved: bool,
    ) -> Result<DependencyView, CatalogError> {
        let plugin = self.writable(by, id).await?;
        admins_only(by)?;
        let before = self.dependency(by, id, package).await?;
        let status = if approved { "approved" } else { "pending" };
        let (name, spec) = (&before.package_name, &before.version_spec);
        self.repository
            .set_dependency(whose(&plugin), name, spec, status, None, &by.user_id)
            .await?;
        let after = self.dependency(by, id, package).await?;
        let (old, new) = (json!(before), json!(after));
        self.note(by, &plugin.name, "dependency", old, new).await;
        Ok(after)
    }

    async fn dependency(
        &self,
        by: &Author,
        id: &str,
        package: &str,
    ) -> Result<DependencyView, CatalogError> {
        let all = self.dependencies(by, id).await?;
        let mut all = all.into_iter();
        all.find(|one| one.package_name == normal(package))
            .ok_or_else(no_package)
    }

    /// What keeps a plugin from being run: packages that nobody has approved.
    pub(crate) async fn unapproved(
        &self,
        plugin: &PluginRow,
        requirements: &[String],
    ) -> Result<Vec<Problem>, CatalogError> {
        let all = self.dependencies_of(plugin, requirements).await?;
        let pending = all.into_iter().filter(|one| one.status == "pending");
        Ok(pending
            .map(|one| Problem {
                file: MANIFEST.to_owned(),
                line: None,
                message: format!(
                    "requirements: {}{} waits for an admin's approval",
                    one.package_name, one.version_spec
                ),
            })
            .collect())
    }

    /// What has become of approved packages, which a load has wanted.
    pub(crate) async fn note_installed(
        &self,
        by: &Author,
        plugin: &PluginRow,
        error: Option<&CatalogError>,
    ) -> Result<(), CatalogError> {
        let all = self.dependencies_of(plugin, &wanted(plugin)).await?;
        let message = error.map(ToString::to_string);
        if error.is_some()
            && !message
                .as_ref()
                .is_some_and(|text| text.contains("requirement"))
        {
            return Ok(());
        }
        let status = if error.is_some() {
            "failed"
        } else {
            "installed"
        };
        for one in all.iter().filter(|one| one.status != status) {
            let (name, spec) = (&one.package_name, &one.version_spec);
            let who = one.updated_by.as_deref().unwrap_or(&by.user_id);
            self.repository
                .set_dependency(whose(plugin), name, spec, status, message.as_deref(), who)
                .await?;
        }
        Ok(())
    }
}

fn wanted(plugin: &PluginRow) -> Vec<String> {
    requirements(&Value::Object(plugin.says()))
}

/// A requirement's name, as packages are compared by it, and what stands behind it.
pub(crate) fn split(requirement: &str) -> (String, String) {
    let requirement = requirement.trim();
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let end = requirement.find(|letter| !is_name(letter));
    let (name, spec) = requirement.split_at(end.unwrap_or(requirement.len()));
    (normal(name), spec.trim().to_owned())
}

fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

fn no_package() -> CatalogError {
    CatalogError::NotFound("the plugin wants no such package".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_split_at_the_name() {
        for (written, name, spec) in [
            ("httpx", "httpx", ""),
            ("My_Package >=1,<2", "my-package", ">=1,<2"),
            (
                "a[b]==1; python_version>'3'",
                "a",
                "[b]==1; python_version>'3'",
            ),
            ("git+https://x", "git", "+https://x"),
        ] {
            assert_eq!(split(written), (name.to_owned(), spec.to_owned()));
        }
    }
}
