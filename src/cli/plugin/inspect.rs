//! Looks at a plugin's directory without running it: by the rules the gateway itself goes by.

use std::path::Path;

use mozaiks_plugins::{discovery, manifest};

/// What was found.
pub(super) struct Inspection {
    /// The directory's name.
    pub(super) name: String,
    /// The manifest's version.
    pub(super) version: String,
    /// What keeps the plugin from being loaded.
    pub(super) errors: Vec<String>,
    /// What is likely not meant.
    pub(super) warnings: Vec<String>,
}

impl Inspection {
    fn broken(name: &str, error: String) -> Self {
        Self {
            name: name.to_owned(),
            version: String::new(),
            errors: vec![error],
            warnings: Vec::new(),
        }
    }
}

/// Looks at one plugin; gives its files too, where they are those of one.
pub(super) fn inspect(dir: &Path) -> (Inspection, Option<discovery::Found>) {
    match find(dir) {
        Ok(found) => (inspect_manifest(&found), Some(found)),
        Err(error) => (Inspection::broken(&dir.display().to_string(), error), None),
    }
}

fn find(dir: &Path) -> Result<discovery::Found, String> {
    // `validate .` means the directory's own name.
    let dir = dir.canonicalize().map_err(|error| error.to_string())?;
    if !dir.is_dir() {
        return Err("it is not a directory".into());
    }
    let parent = dir
        .parent()
        .ok_or("it is not inside of a plugins directory")?;
    let (found, skipped) =
        discovery::discover(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    if let Some(found) = found.into_iter().find(|found| found.dir == dir) {
        return Ok(found);
    }
    Err(skipped
        .into_iter()
        .find(|skipped| skipped.dir == dir)
        .map_or_else(
            || "it is passed over by its name".into(),
            |skipped| skipped.reason,
        ))
}

/// Looks at the manifest of a plugin whose name and files are right.
pub(super) fn inspect_manifest(found: &discovery::Found) -> Inspection {
    let mut warnings = Vec::new();
    if !found.dir.join("__init__.py").is_file() {
        warnings.push("there is no __init__.py".to_owned());
    }
    match manifest::read(&found.dir, &found.name) {
        Ok(read) => {
            warnings.extend(read.warnings);
            Inspection {
                name: found.name.clone(),
                version: read.manifest.version,
                errors: Vec::new(),
                warnings,
            }
        }
        Err(error) => Inspection {
            warnings,
            ..Inspection::broken(&found.name, error)
        },
    }
}
