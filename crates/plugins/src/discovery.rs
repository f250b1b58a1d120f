//! Finds plugins below the plugins directory. Reads no code.

use std::path::{Path, PathBuf};

pub use crate::names::is_plugin_name;
use crate::{
    manifest::{self, Manifest, PluginKind, ReadManifest},
    names::refusal,
    origin::Origin,
};

/// Plugins in one directory at most; more is a misdirected path.
const MAX_ENTRIES: usize = 4096;

/// A directory that holds a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The directory's name, which follows the rule of [`is_plugin_name`].
    pub name: String,
    /// The directory.
    pub dir: PathBuf,
    /// `logic.py`, else `backend/logic.py`; `None` where the manifest has to say.
    pub entry: Option<PathBuf>,
    /// Where its files come from.
    pub origin: Origin,
}

impl Found {
    /// A directory that a stored plugin was laid down in.
    ///
    /// # Errors
    /// A sentence that says why it holds no plugin.
    pub fn stored(dir: &Path, name: &str) -> Result<Self, String> {
        let dir = dir
            .canonicalize()
            .map_err(|error| format!("its path cannot be resolved: {error}"))?;
        Ok(Self {
            name: name.to_owned(),
            entry: inspect(&dir, &dir, name)?,
            dir,
            origin: Origin::Database,
        })
    }

    /// Its manifest, which knows where the files come from.
    ///
    /// # Errors
    /// As [`manifest::read`].
    pub fn manifest(&self) -> Result<ReadManifest, String> {
        let mut read = manifest::read(&self.dir, &self.name)?;
        if !self.origin.is_operators() {
            // Only what the operator has put there comes with the gateway.
            read.manifest.kind = PluginKind::Dynamic;
            read.manifest.origin = self.origin;
        }
        Ok(read)
    }

    /// The file to import: the manifest's entry, else by convention; none where the plugin is made of
    /// parts alone.
    ///
    /// # Errors
    /// A sentence, where there is no such file, or it is a link to outside.
    pub fn entry_for(&self, manifest: &Manifest) -> Result<Option<PathBuf>, String> {
        let Some(entry) = &manifest.entry else {
            if self.entry.is_none() && manifest.parts.is_empty() {
                return Err("it has neither logic.py nor backend/logic.py".into());
            }
            return Ok(self.entry.clone());
        };
        let path = self.dir.join(entry);
        let real = path
            .canonicalize()
            .map_err(|error| format!("entry: {entry:?} cannot be opened: {error}"))?;
        let root = self
            .dir
            .canonicalize()
            .map_err(|error| format!("its path cannot be resolved: {error}"))?;
        if !real.starts_with(root) {
            return Err(format!("entry: {entry:?} is a link to outside the plugin"));
        }
        if real.extension().is_none_or(|extension| extension != "py") {
            return Err(format!("entry: {entry:?} is no Python file"));
        }
        Ok(Some(path))
    }
}

/// A directory that looks like a plugin and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The directory.
    pub dir: PathBuf,
    /// Why, in a sentence.
    pub reason: String,
}

/// The plugins below `root`, sorted by name, and what was left out.
///
/// # Errors
/// Where the directory cannot be read.
pub fn discover(root: &Path) -> std::io::Result<(Vec<Found>, Vec<Skipped>)> {
    let real_root = root.canonicalize()?;
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(&real_root)?.take(MAX_ENTRIES) {
        let dir = entry?.path();
        let name = dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name.filter(|name| !name.starts_with('.') && name != "__pycache__") else {
            continue;
        };
        if !dir.is_dir() {
            continue;
        }
        match inspect(&real_root, &dir, &name) {
            Ok(entry) => found.push(Found {
                name,
                dir,
                entry,
                origin: Origin::Directory,
            }),
            Err(reason) => skipped.push(Skipped { dir, reason }),
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    skipped.sort_by(|one, other| one.dir.cmp(&other.dir));
    Ok((found, skipped))
}

/// Looks at a plugin's directory again.
///
/// # Errors
/// A sentence that says why it holds no plugin any more.
pub fn locate(root: &Path, dir: &Path, name: &str) -> Result<Found, String> {
    let real_root = root
        .canonicalize()
        .map_err(|error| format!("the plugins directory cannot be resolved: {error}"))?;
    Ok(Found {
        name: name.to_owned(),
        dir: dir.to_owned(),
        entry: inspect(&real_root, dir, name)?,
        origin: Origin::Directory,
    })
}

fn inspect(root: &Path, dir: &Path, name: &str) -> Result<Option<PathBuf>, String> {
    if let Some(reason) = refusal(name) {
        return Err(reason);
    }
    let real = dir
        .canonicalize()
        .map_err(|error| format!("its path cannot be resolved: {error}"))?;
    if !real.starts_with(root) {
        return Err("it is a link to outside the plugins directory".into());
    }
    let entry = [dir.join("logic.py"), dir.join("backend/logic.py")]
        .into_iter()
        .find(|entry| entry.is_file());
    let Some(entry) = entry else {
        // Whether its manifest names what to import is seen when it is loaded.
        let has_manifest = ["plugin.json", "manifest.json"]
            .iter()
            .any(|file| dir.join(file).is_file());
        return if has_manifest {
            Ok(None)
        } else {
            Err("it has neither logic.py nor backend/logic.py".into())
        };
    };
    match entry.canonicalize() {
        Ok(path) if path.starts_with(root) => Ok(Some(entry)),
        Ok(_) => Err("its logic.py is a link to outside the plugins directory".into()),
        Err(error) => Err(format!("its logic.py cannot be resolved: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_entries_and_says_what_it_skips() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        put("both/logic.py");
        put("both/backend/logic.py");
        put("backend_only/backend/logic.py");
        put("empty/other.py");
        put("Upper/logic.py");
        put(".hidden/logic.py");
        put("__pycache__/logic.py");
        put("file.py");
        std::fs::write(outside.path().join("logic.py"), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("linked")).unwrap();
        std::fs::create_dir(root.path().join("half")).unwrap();
        std::os::unix::fs::symlink(
            outside.path().join("logic.py"),
            root.path().join("half/logic.py"),
        )
        .unwrap();

        let (found, skipped) = discover(root.path()).unwrap();

        let names: Vec<_> = found.iter().map(|found| &*found.name).collect();
        assert_eq!(names, ["backend_only", "both"]);
        assert!(
            found[0]
                .entry
                .as_ref()
                .is_some_and(|entry| entry.ends_with("backend_only/backend/logic.py"))
        );
        assert!(
            found[1]
                .entry
                .as_ref()
                .is_some_and(|entry| entry.ends_with("both/logic.py"))
        );
        let left: Vec<_> = skipped
            .iter()
            .map(|skipped| skipped.dir.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(left, ["Upper", "empty", "half", "linked"]);
    }

    #[test]
    fn says_when_the_directory_is_missing() {
        let root = tempfile::tempdir().unwrap();
        assert!(discover(&root.path().join("none")).is_err());
    }
}
