//! Directories whose names are nearly those of plugins: whoever asks for one is told what it lacks.

use std::path::Path;

use super::Registry;
use crate::{discovery::Skipped, names};

impl Registry {
    /// Why there is no plugin of a name, where a directory has nearly that name and is passed over for it: a
    /// sentence for its author.
    pub fn misnamed(&self, name: &str) -> Option<String> {
        let skipped = self.skipped.read();
        let near = skipped.iter().find_map(|skipped| {
            let folder = skipped.dir.file_name()?.to_str()?;
            let is_near = folder.eq_ignore_ascii_case(name) && names::refusal(folder).is_some();
            // It may have been renamed since.
            (is_near && skipped.dir.is_dir()).then_some((folder, &skipped.reason))
        });
        near.map(|(folder, reason)| format!("the folder {folder:?} is passed over: {reason}"))
    }

    /// Takes note of a directory that is no plugin, by its name; whether that is news.
    pub fn note_misnamed(&self, name: &str) -> Option<Skipped> {
        let reason = names::refusal(name)?;
        // One folder below the plugins directory, and nothing that a tool has made.
        if Path::new(name).components().count() != 1
            || name.starts_with('.')
            || name == "__pycache__"
        {
            return None;
        }
        let dir = self.config.dir.canonicalize().ok()?.join(name);
        let mut skipped = self.skipped.write();
        let is_known = skipped.iter().any(|known| known.dir == dir);
        if is_known || skipped.len() >= MOST || !dir.is_dir() {
            return None;
        }
        let noted = Skipped { dir, reason };
        skipped.push(noted.clone());
        Some(noted)
    }
}

/// Directories that are remembered between two looks at all of them.
const MOST: usize = 4096;
