//! What is wrong with a plugin as it stands, and a tree that is to serve.

use mozaiks_plugins::{manifest, source_check::Problem};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    assembly::Pieces,
    catalog::{Catalog, whose},
    dependencies::split,
    error::CatalogError,
    kinds::Kind,
    live::Author,
    rows::{PluginRow, PluginView},
    tree::MANIFEST,
};

/// What became of something that was saved.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Saved {
    /// It is in the database.
    pub saved: bool,
    /// It serves from here on; else what served goes on.
    pub active: bool,
    /// What is wrong with the plugin as it stands.
    pub problems: Vec<Problem>,
    /// The revision of all files that serves.
    pub digest: Option<String>,
    /// What authors have saved waits for an admin, who lets it serve by `activate`.
    pub waiting: bool,
}

impl Catalog {
    /// What is wrong with a plugin as it stands; nothing is changed.
    ///
    /// # Errors
    /// Where there is none that the caller may read.
    pub async fn validate(&self, by: &Author, id: &str) -> Result<Vec<Problem>, CatalogError> {
        let plugin = self.readable(by, id).await?;
        let (pieces, _) = self.pieces(&plugin).await?;
        self.problems(&plugin, &pieces).await
    }

    /// Lets a plugin serve as it stands, for which it takes an admin.
    ///
    /// # Errors
    /// Where something is wrong with it, and what its load says.
    pub async fn activate(
        &self,
        by: &Author,
        id: &str,
    ) -> Result<(PluginView, Saved), CatalogError> {
        let plugin = self.writable(by, id).await?;
        admins_only(by)?;
        let _turn = self.turn(&plugin).await;
        let (pieces, _) = self.pieces(&plugin).await?;
        let problems = self.problems(&plugin, &pieces).await?;
        if !problems.is_empty() {
            return Err(CatalogError::Invalid {
                message: sentence(&problems),
                path: problems[0].file.clone(),
            });
        }
        let digest = self.serve(by, &plugin, &pieces, true).await?;
        let view = self.get(by, &plugin.id).await?;
        let saved = Saved {
            saved: true,
            active: true,
            problems,
            digest: Some(digest),
            waiting: false,
        };
        Ok((view, saved))
    }

    /// Switches a plugin off, for which it takes an admin; what it is stays.
    ///
    /// # Errors
    /// Where another plugin needs it.
    pub async fn deactivate(&self, by: &Author, id: &str) -> Result<PluginView, CatalogError> {
        let plugin = self.writable(by, id).await?;
        admins_only(by)?;
        if plugin.digest.is_none() {
            return Err(CatalogError::conflict("it was never activated", None));
        }
        self.live.switch_off(&plugin.name, by).await?;
        self.get(by, &plugin.id).await
    }

    /// After something was saved: serves it where the plugin is on, an admin has saved it and nobody else
    /// anything since the last activation, and nothing is wrong. Whatever is wrong is told; what served goes
    /// on.
    pub(crate) async fn settle(
        &self,
        by: &Author,
        plugin: &PluginRow,
    ) -> Result<Saved, CatalogError> {
        // As it was written.
        let found = self.repository.plugin(&plugin.app_id, &plugin.id).await?;
        let plugin = found.ok_or(CatalogError::NoPlugin)?;
        let (pieces, _) = self.pieces(&plugin).await?;
        let mut saved = Saved {
            saved: true,
            active: false,
            problems: self.problems(&plugin, &pieces).await?,
            digest: plugin.digest.clone(),
            waiting: plugin.waiting || !by.is_admin,
        };
        if !by.is_admin {
            self.repository.set_waiting(&plugin).await?;
        }
        let is_on = plugin.enabled && plugin.digest.is_some();
        if !saved.problems.is_empty() || !is_on || saved.waiting {
            return Ok(saved);
        }
        let serving = plugin
            .digest
            .as_deref()
            .filter(|_| plugin.status == "active");
        if serving == Some(&*pieces.tree()?.digest()) {
            // What is saved is what serves already.
            saved.active = true;
            return Ok(saved);
        }
        match self.serve(by, &plugin, &pieces, false).await {
            Ok(digest) => {
                saved.active = true;
                saved.digest = Some(digest);
            }
            Err(CatalogError::Store(error)) => return Err(error.into()),
            Err(error) => saved.problems.push(of_load(&error)),
        }
        Ok(saved)
    }

    async fn serve(
        &self,
        by: &Author,
        plugin: &PluginRow,
        pieces: &Pieces,
        switch_on: bool,
    ) -> Result<String, CatalogError> {
        let tree = pieces.tree()?;
        let digest = tree.digest();
        let serving = plugin.digest.as_deref();
        self.repository
            .keep_tree(whose(plugin), &plugin.name, &digest, &tree, serving)
            .await?;
        let laid = self.trees.lay(&plugin.name, &digest, tree, serving).await;
        laid.map_err(|message| CatalogError::Life {
            code: "STORAGE_FULL",
            message,
            details: None,
        })?;
        let served = self.live.serve(&plugin.name, &digest, switch_on, by).await;
        self.note_installed(by, plugin, served.as_ref().err())
            .await?;
        served?;
        Ok(digest)
    }

    pub(crate) async fn problems(
        &self,
        plugin: &PluginRow,
        pieces: &Pieces,
    ) -> Result<Vec<Problem>, CatalogError> {
        let mut problems = Vec::new();
        let manifest: Value = serde_json::from_str(&pieces.manifest()?).unwrap_or_default();
        let requirements = requirements(&manifest);
        if let Err(reason) = manifest::parse(manifest, &plugin.name) {
            problems.push(of_manifest(pieces, reason));
        }
        let files = pieces.files.iter();
        let entities = files.filter(|file| file.kind == Kind::Entities);
        for entity in entities {
            if let Err(error) = serde_json::from_slice::<Value>(&entity.content) {
                problems.push(Problem {
                    file: entity.path.clone(),
                    line: u32::try_from(error.line()).ok(),
                    message: format!("it is not valid JSON: {error}"),
                });
            }
        }
        problems.extend(self.unapproved(plugin, &requirements).await?);
        // By the names that modules have where they have the package's.
        let packages = requirements.iter();
        let packages = packages
            .map(|requirement| split(requirement).0.replace('-', "_"))
            .collect();
        let files = pieces.files.iter();
        let sources = files.map(|file| (file.path.clone(), file.content.clone()));
        match self.check.check(sources.collect(), packages).await {
            Ok(found) => problems.extend(found),
            Err(message) => problems.push(Problem {
                file: String::new(),
                line: None,
                message,
            }),
        }
        Ok(problems)
    }
}

pub(crate) fn admins_only(by: &Author) -> Result<(), CatalogError> {
    if by.is_admin {
        return Ok(());
    }
    Err(CatalogError::Forbidden("this needs the role admin"))
}

/// The packages that a manifest wants.
pub(crate) fn requirements(manifest: &Value) -> Vec<String> {
    let list = manifest["requirements"].as_array();
    let list = list.map(Vec::as_slice).unwrap_or_default().iter();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What the manifest's reader says, at the file that it is about.
fn of_manifest(pieces: &Pieces, reason: String) -> Problem {
    let mut files = pieces.files.iter().filter(|file| file.kind.has_section());
    let about = files.find(|file| {
        let key = format!("{}.{}", file.kind.name(), file.file_name());
        reason
            .strip_prefix(&key)
            .is_some_and(|rest| rest.starts_with(['.', ':', '[']))
    });
    Problem {
        file: about.map_or(MANIFEST, |file| &file.path).to_owned(),
        line: None,
        message: reason,
    }
}

/// What a load says, at the line of the plugin's that its traceback ends with.
fn of_load(error: &CatalogError) -> Problem {
    let traceback = match error {
        CatalogError::Life {
            details: Some(details),
            ..
        } => details["traceback"].as_str().unwrap_or_default(),
        _ => "",
    };
    let place = traceback.lines().rev().find_map(|line| {
        let (_, path) = line
            .trim()
            .strip_prefix("File \"")?
            .split_once("/stored/")?;
        // The plugin's name and the digest come before the path.
        let path = path.splitn(3, '/').nth(2)?;
        let (path, rest) = path.split_once("\", line ")?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some((path.to_owned(), digits.parse().ok()))
    });
    let (file, line) = place.unwrap_or_else(|| (MANIFEST.to_owned(), None));
    Problem {
        file,
        line,
        message: error.to_string(),
    }
}

fn sentence(problems: &[Problem]) -> String {
    let first = problems.iter().take(5).map(|problem| match problem.line {
        Some(line) => format!("{}:{line}: {}", problem.file, problem.message),
        None => format!("{}: {}", problem.file, problem.message),
    });
    first.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_load_that_failed_names_the_line() {
        let traceback = "Traceback\n  File \"/d/stored/cart/0a0b/utils/x.py\", line 12, in <module>\n    \
                         raise ValueError(1)\nValueError: 1\n";
        let problem = of_load(&CatalogError::Life {
            code: "RELOAD_FAILED",
            message: "ValueError: 1".into(),
            details: Some(json!({ "traceback": traceback })),
        });
        assert_eq!((&*problem.file, problem.line), ("utils/x.py", Some(12)));
        assert_eq!(of_load(&CatalogError::NoPlugin).file, MANIFEST);
    }
}
