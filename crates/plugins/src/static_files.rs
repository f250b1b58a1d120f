//! The files of a plugin's `static/` directory: what there is to show of it in a browser.
//!
//! A name is looked up among the files that are listed, never joined into a path. Knows no HTTP; it
//! reads the disk, so callers on an I/O thread hand it to another one.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// The directory below a plugin's own.
const DIRECTORY: &str = "static";
/// Entries of the directory that are looked at; what comes after them is not listed.
const MAX_ENTRIES: usize = 256;
/// Bytes of a file at most; a larger one is not listed.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024;

/// Endings of names and what they hold. A file of another kind is not listed.
const CONTENT_TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("txt", "text/plain; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
];

/// A file that may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticFile {
    /// Its name in the directory.
    pub name: String,
    /// What it holds, by its name's ending.
    pub content_type: &'static str,
    /// Where it really is, without links.
    path: PathBuf,
}

impl StaticFile {
    /// Its bytes.
    ///
    /// # Errors
    /// Where it cannot be read, is no longer a file, or has grown too large.
    pub fn read(&self) -> std::io::Result<Vec<u8>> {
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(std::io::Error::other("it is too large"));
        }
        Ok(bytes)
    }
}

/// The files that may be shown of the plugin in `plugin_dir`, sorted by name; none where it has no
/// such directory. Left out are directories, names that begin with a dot, kinds that are not known,
/// what is too large, and links to outside the directory.
pub fn list(plugin_dir: &Path) -> Vec<StaticFile> {
    let Some(root) = real_root(plugin_dir) else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir(&root) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .take(MAX_ENTRIES)
        .filter_map(|entry| inspect(&root, entry.ok()?.file_name().into_string().ok()?))
        .collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

/// The file of that name, if it is among those listed.
pub fn find(plugin_dir: &Path, name: &str) -> Option<StaticFile> {
    list(plugin_dir).into_iter().find(|file| file.name == name)
}

/// The directory without links, where it is one inside the plugin's own.
fn real_root(plugin_dir: &Path) -> Option<PathBuf> {
    let own = plugin_dir.canonicalize().ok()?;
    let root = own.join(DIRECTORY).canonicalize().ok()?;
    (root.starts_with(&own) && root != own && root.is_dir()).then_some(root)
}

fn inspect(root: &Path, name: String) -> Option<StaticFile> {
    if name.starts_with('.') {
        return None;
    }
    let (_, ending) = name.rsplit_once('.')?;
    let (_, content_type) = CONTENT_TYPES.iter().find(|(known, _)| *known == ending)?;
    let path = root.join(&name).canonicalize().ok()?;
    let metadata = path.metadata().ok()?;
    let fits = path.starts_with(root) && metadata.is_file() && metadata.len() <= MAX_FILE_BYTES;
    fits.then_some(StaticFile {
        name,
        content_type,
        path,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(plugin: &Path) -> Vec<String> {
        list(plugin).into_iter().map(|file| file.name).collect()
    }

    fn put(path: PathBuf, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn lists_what_may_be_shown_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let plugin = dir.path().join("plugin");
        for name in [
            "index.html",
            "app.js",
            ".hidden.html",
            "notes.py",
            "bare",
            "UPPER.HTML",
            "more/inner.html",
        ] {
            put(plugin.join("static").join(name), name);
        }
        put(plugin.join("logic.py"), "secret");
        put(plugin.join("other.html"), "of the plugin, not of its page");
        put(dir.path().join("outside.html"), "outside");
        let large = File::create(plugin.join("static/large.txt")).unwrap();
        large.set_len(MAX_FILE_BYTES + 1).unwrap();
        for (target, link) in [
            (dir.path().join("outside.html"), "outside.html"),
            (plugin.join("other.html"), "sideways.html"),
            (plugin.join("static/app.js"), "alias.js"),
            (plugin.join("static/none.js"), "dangling.js"),
            (plugin.join("static/more"), "directory.html"),
        ] {
            symlink(target, plugin.join("static").join(link)).unwrap();
        }

        assert_eq!(names(&plugin), ["alias.js", "app.js", "index.html"]);

        let page = find(&plugin, "index.html").unwrap();
        assert_eq!(page.content_type, "text/html; charset=utf-8");
        assert_eq!(page.read().unwrap(), b"index.html");
        for name in [
            "",
            "..",
            "../logic.py",
            "../other.html",
            "more/inner.html",
            "./app.js",
        ] {
            assert_eq!(find(&plugin, name), None, "{name}");
        }
    }

    #[test]
    fn what_changes_after_it_was_listed_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path().join("static/a.txt"), "a");
        let file = find(dir.path(), "a.txt").unwrap();
        let grown = File::options()
            .write(true)
            .open(dir.path().join("static/a.txt"))
            .unwrap();
        grown.set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(file.read().is_err());
        std::fs::remove_file(dir.path().join("static/a.txt")).unwrap();
        assert!(file.read().is_err());
    }

    #[test]
    fn a_directory_that_is_a_link_to_elsewhere_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let plugin = dir.path().join("plugin");
        put(dir.path().join("elsewhere/index.html"), "");
        std::fs::create_dir(&plugin).unwrap();
        assert!(names(&plugin).is_empty());
        for target in [dir.path().join("elsewhere"), plugin.clone()] {
            symlink(target, plugin.join("static")).unwrap();
            assert!(names(&plugin).is_empty());
            std::fs::remove_file(plugin.join("static")).unwrap();
        }
    }

    #[test]
    fn a_directory_is_looked_at_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..=MAX_ENTRIES {
            put(dir.path().join(format!("static/{number}.txt")), "");
        }
        assert_eq!(list(dir.path()).len(), MAX_ENTRIES);
    }
}
