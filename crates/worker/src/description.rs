//! What code that never changes has said of itself when it was loaded, kept in a file: whoever loads it the next
//! time needs no process for it before it is called.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use mozaiks_plugins::LoadedPlugin;
use serde::{Deserialize, Serialize};

/// Longest description that is kept or read.
const MAX_BYTES: u64 = 4 << 20;

/// One load's own account.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) loaded: LoadedPlugin,
    /// Kind and specification of each function that it has registered, in that order.
    pub(crate) registrations: Vec<(Box<str>, Bytes)>,
}

/// Where it is kept. Out of reach of plugins: it is believed.
#[derive(Debug, Clone)]
pub struct DescriptionFile {
    path: PathBuf,
    /// What it is of: code, gateway and Python. Of anything else it says nothing.
    key: Arc<str>,
}

impl DescriptionFile {
    /// The file of a plugin in that directory.
    pub fn new(dir: &Path, plugin: &str, key: Arc<str>) -> Self {
        Self {
            // The name follows the rule of names, which is safe as a part of a path.
            path: dir.join(format!("{plugin}.load")),
            key,
        }
    }

    /// What is kept of exactly this code.
    pub(crate) fn read(&self) -> Option<Description> {
        if fs::metadata(&self.path).ok()?.len() > MAX_BYTES {
            return None;
        }
        let kept = fs::read(&self.path).ok()?;
        // What another gateway has written in another form is none.
        let (key, description): (String, Description) = postcard::from_bytes(&kept).ok()?;
        (*key == *self.key).then_some(description)
    }

    /// Keeps it. Where that fails, the next load asks a worker.
    pub(crate) fn write(&self, description: Description) {
        if let Err(error) = self.try_write(&description) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "worker.description_not_kept");
        }
    }

    fn try_write(&self, description: &Description) -> io::Result<()> {
        let kept = postcard::to_allocvec(&(&*self.key, description)).map_err(io::Error::other)?;
        if kept.len() as u64 > MAX_BYTES {
            return Err(io::Error::other("it is too long"));
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let unfinished = self.path.with_extension("unfinished");
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&kept)?;
        fs::rename(&unfinished, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description {
            loaded: LoadedPlugin {
                doc: Some("Says hello.".into()),
                has_execute: true,
                hooks: Vec::new(),
                cached_modules: 1,
                compiled_modules: 2,
                actions: Vec::new(),
            },
            registrations: vec![("route".into(), Bytes::from_static(b"{}"))],
        }
    }

    #[test]
    fn what_was_kept_is_read_for_the_same_code_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = |key: &str| DescriptionFile::new(dir.path(), "hello", key.into());
        assert!(file("a").read().is_none());
        file("a").write(description());
        let read = file("a").read().unwrap();
        assert_eq!(read.registrations, description().registrations);
        assert_eq!(read.loaded.doc, description().loaded.doc);
        assert!(file("b").read().is_none(), "of other code");
        fs::write(dir.path().join("hello.load"), b"nonsense").unwrap();
        assert!(file("a").read().is_none());
    }
}
