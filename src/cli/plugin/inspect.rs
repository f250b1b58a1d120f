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

/// Looks at one plugin.
pub(super) fn inspect(dir: &Path) -> Inspection {
    let shown = dir.display().to_string();
    // `validate .` means the directory's own name.
    let dir = match dir.canonicalize() {
        Ok(dir) if dir.is_dir() => dir,
        Ok(_) => return Inspection::broken(&shown, "it is not a directory".into()),
        Err(error) => return Inspection::broken(&shown, error.to_string()),
    };
    let Some(parent) = dir.parent() else {
        return Inspection::broken(&shown, "it is not inside of a plugins directory".into());
    };
    match discovery::discover(parent) {
        Err(error) => Inspection::broken(&shown, format!("{}: {error}", parent.display())),
        Ok((found, skipped)) => {
            let skipped = skipped.into_iter().find(|skipped| skipped.dir == dir);
            match (found.iter().find(|found| found.dir == dir), skipped) {
                (Some(found), _) => inspect_manifest(found),
                (None, Some(skipped)) => Inspection::broken(&shown, skipped.reason),
                (None, None) => Inspection::broken(&shown, "it is passed over by its name".into()),
            }
        }
    }
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
