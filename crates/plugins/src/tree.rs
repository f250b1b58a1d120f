//! The files of a plugin: which of them matter to its code, and one number for all of these.

use std::{
    fs::{File, Metadata},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use aws_lc_rs::digest;

/// Files that a number is made of; a larger tree has none, and counts as changed whenever it is asked.
const MAX_FILES: usize = 8192;
/// Folders in folders.
const MAX_DEPTH: usize = 16;
/// A larger file stands for itself by its size and its time.
const MAX_READ_BYTES: u64 = 1024 * 1024;

/// What a file below a plugin's directory is to the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// Code, manifest, template or data: a change of it asks for a new load.
    Code,
    /// Below `static/`: read whenever it is asked for.
    Static,
    /// Bytecode, tests, what editors and version control leave behind.
    Nothing,
}

/// What a path, relative to a plugin's directory, is to the plugin.
pub fn concern(path: &Path) -> Concern {
    let mut names = path.components().map(|component| match component {
        Component::Normal(name) => name.to_str().unwrap_or(".odd"),
        _ => ".odd",
    });
    let Some(first) = names.clone().next() else {
        return Concern::Code;
    };
    if names.any(is_by_the_way) || first == "tests" {
        return Concern::Nothing;
    }
    if first == "static" {
        Concern::Static
    } else {
        Concern::Code
    }
}

/// Names that no plugin reads: hidden ones, bytecode, packages of other languages, and what editors
/// write for a moment.
fn is_by_the_way(name: &str) -> bool {
    name.starts_with('.')
        || name.ends_with('~')
        || [".pyc", ".pyo", ".swp", ".swx", ".tmp"]
            .iter()
            .any(|ending| name.ends_with(ending))
        || ["__pycache__", "node_modules", "4913"].contains(&name)
}

/// What a plugin's code is made of, below its directory; `None` for a tree that is too large.
///
/// # Errors
/// Where the directory cannot be read.
pub fn files(dir: &Path) -> std::io::Result<Option<Vec<PathBuf>>> {
    let mut files = Vec::new();
    let is_whole = collect(dir, Path::new(""), 0, &mut files)?;
    Ok(is_whole.then_some(files))
}

/// A number that changes with what a plugin's code is made of; `None` for a tree that is too large.
///
/// # Errors
/// Where the directory cannot be read.
pub fn checksum(dir: &Path) -> std::io::Result<Option<String>> {
    let mut files = Vec::new();
    if !collect(dir, Path::new(""), 0, &mut files)? {
        return Ok(None);
    }
    files.sort();
    let mut context = digest::Context::new(&digest::SHA256);
    for relative in files {
        let path = dir.join(&relative);
        // Looked at before it is opened: opening a pipe would wait for somebody to write. What has gone
        // since it was listed is left out.
        let Some(metadata) = path.metadata().ok().filter(Metadata::is_file) else {
            continue;
        };
        let Ok(file) = File::open(path) else {
            continue;
        };
        context.update(relative.as_os_str().as_encoded_bytes());
        add_file(&mut context, file, &metadata);
    }
    let number = context.finish();
    let hex = number.as_ref().iter().map(|byte| format!("{byte:02x}"));
    Ok(Some(hex.collect()))
}

fn add_file(context: &mut digest::Context, file: File, metadata: &Metadata) {
    let mut bytes = Vec::new();
    if metadata.len() <= MAX_READ_BYTES && file.take(MAX_READ_BYTES).read_to_end(&mut bytes).is_ok()
    {
        context.update(&[0]);
        context.update(&(bytes.len() as u64).to_le_bytes());
        context.update(&bytes);
        return;
    }
    context.update(&[1]);
    context.update(&metadata.len().to_le_bytes());
    context.update(&metadata.mtime().to_le_bytes());
    context.update(&metadata.mtime_nsec().to_le_bytes());
}

/// Lists what matters; `false` where there is too much of it.
fn collect(
    root: &Path,
    below: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> std::io::Result<bool> {
    if depth > MAX_DEPTH {
        return Ok(false);
    }
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let relative = below.join(entry.file_name());
        if concern(&relative) != Concern::Code {
            continue;
        }
        // A link is taken for what it leads to where that is a file; folders behind links are not
        // followed, as they may lead in a circle.
        if entry.file_type()?.is_dir() {
            if !collect(root, &relative, depth + 1, files)? {
                return Ok(false);
            }
        } else {
            if files.len() >= MAX_FILES {
                return Ok(false);
            }
            files.push(relative);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_matters() {
        for (path, concerned) in [
            ("", Concern::Code),
            ("logic.py", Concern::Code),
            ("plugin.json", Concern::Code),
            ("templates/mail.html", Concern::Code),
            ("static", Concern::Static),
            ("static/app.js", Concern::Static),
            ("helpers/static/a.py", Concern::Code),
            ("tests/test_a.py", Concern::Nothing),
            ("__pycache__/logic.cpython-312.pyc", Concern::Nothing),
            ("a/__pycache__", Concern::Nothing),
            (".git/HEAD", Concern::Nothing),
            ("logic.py~", Concern::Nothing),
            (".logic.py.swp", Concern::Nothing),
            ("4913", Concern::Nothing),
        ] {
            assert_eq!(concern(Path::new(path)), concerned, "{path}");
        }
    }

    #[test]
    fn the_number_follows_the_code_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let number = || checksum(dir.path()).unwrap().unwrap();
        put("logic.py", "x = 1");
        let first = number();
        put("logic.py", "x = 1");
        put("static/page.html", "<p>");
        put("__pycache__/logic.pyc", "…");
        put("tests/test_x.py", "…");
        assert_eq!(number(), first);
        // The same size within the same moment.
        put("logic.py", "x = 2");
        let second = number();
        assert_ne!(second, first);
        put("helper.py", "");
        assert_ne!(number(), second);
        std::fs::remove_file(dir.path().join("helper.py")).unwrap();
        assert_eq!(number(), second);
        // A file that never ends is not read.
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero.py")).unwrap();
        assert_eq!(number(), second);
        assert!(checksum(&dir.path().join("none")).is_err());
    }
}
