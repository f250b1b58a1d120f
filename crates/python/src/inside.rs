//! A process that Python has started: its interpreter runs already, and is the one that plugins get.

use std::{
    collections::HashSet,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use pyo3::{prelude::*, types::PyDict};

/// How the interpreter of this process is started.
static RUNNING: OnceLock<PathBuf> = OnceLock::new();

/// Says that an interpreter runs this process and how it is started: no other will be.
///
/// Once, before anything else of this crate is used; the calling thread must not hold the interpreter.
pub fn run_inside(executable: PathBuf) {
    // Said once, by the start of the process.
    drop(RUNNING.set(executable));
}

/// The interpreter that runs this process, where one does.
pub fn running() -> Option<&'static Path> {
    RUNNING.get().map(PathBuf::as_path)
}

/// Whether two paths name interpreters of one environment: `python` and `python3` of one folder do.
pub(super) fn same_environment(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| path.parent()?.canonicalize().ok();
    one == other || (folder(one).is_some() && folder(one) == folder(other))
}

/// What Python noted of the environment before the gateway took its secrets out is forgotten.
pub(super) fn forget_removed_variables(py: Python<'_>) -> PyResult<()> {
    let there: HashSet<OsString> = std::env::vars_os().map(|(name, _)| name).collect();
    let os = py.import("os")?;
    let environ = os.getattr("environ")?;
    // What `os` was made of; its names are bytes.
    let noted = py
        .import("posix")?
        .getattr("environ")?
        .cast_into::<PyDict>()?;
    let names: Vec<OsString> = environ
        .call_method0("copy")?
        .call_method0("keys")?
        .try_iter()?
        .map(|name| name?.extract())
        .collect::<PyResult<_>>()?;
    for name in names.iter().filter(|name| !there.contains(*name)) {
        environ.call_method1("pop", (name, py.None()))?;
        noted.call_method1("pop", (os.call_method1("fsencode", (name,))?, py.None()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_of_one_folder_are_of_one_environment() {
        let dir = tempfile::tempdir().unwrap();
        for bin in ["one/bin", "other/bin"] {
            std::fs::create_dir_all(dir.path().join(bin)).unwrap();
        }
        let at = |path: &str| dir.path().join(path);
        let one = at("one/bin/python");
        assert!(same_environment(&one, &at("one/bin/python3")));
        assert!(same_environment(&one, &at("other/../one/bin/python")));
        assert!(!same_environment(&one, &at("other/bin/python")));
        assert!(!same_environment(
            Path::new("/no/bin/python"),
            Path::new("/none/bin/python")
        ));
    }
}
