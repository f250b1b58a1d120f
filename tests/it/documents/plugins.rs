//! Plugins that the pages speak of, and the tests that the guides show, run in a folder where nothing else is.

use std::{collections::BTreeSet, fs, path::Path};

use tempfile::TempDir;

use super::blocks::python_files;
use crate::{
    plugin_commands::{mozaiks, printed},
    support::program,
};

/// Where a gateway looks for plugins that is told nothing.
const PLUGINS: &str = "runtime/ai/plugins";

/// Those of the repository.
pub fn of_the_repository(folder: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(PLUGINS);
    copy(&from, &folder.join(PLUGINS));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Those that the guide shows.
pub fn of_the_guide(folder: &Path) {
    write("docs/plugins.md", folder);
}

/// Writes the files that a page shows under their names.
fn write(page: &str, folder: &Path) {
    let files = python_files(page);
    assert!(!files.is_empty(), "{page} shows no files");
    for (name, text) in files {
        assert!(name.starts_with(PLUGINS), "{page}: {name}");
        let file = folder.join(&name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        if name.ends_with("/logic.py") {
            fs::write(file.with_file_name("__init__.py"), "").unwrap();
        }
    }
}

/// As the guide says: `mozaiks plugin validate` and `mozaiks plugin test`, where the reader has written the files.
async fn tests_pass(page: &str) {
    let folder = TempDir::new().unwrap();
    write(page, folder.path());
    let mut tested = BTreeSet::new();
    for entry in fs::read_dir(folder.path().join(PLUGINS)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let plugin = format!("{PLUGINS}/{name}");
        let run = async |what: &str| {
            let mut command = mozaiks(&["plugin", what, &plugin]);
            command
                .current_dir(folder.path())
                // On the path where the gateway is installed.
                .env("MOZAIKS_DOCSTORE", program().with_file_name("docstore"));
            printed(command).await
        };
        let checked = run("validate").await;
        assert!(checked.starts_with("ok "), "{checked}");
        if folder.path().join(&plugin).join("tests").is_dir() {
            let said = run("test").await;
            assert!(said.contains(" passed"), "{said}");
            tested.insert(name);
        }
    }
    assert!(!tested.is_empty(), "{page} shows no tests");
}

#[tokio::test]
async fn tests_of_the_guide_pass_in_a_fresh_folder() {
    tests_pass("docs/plugins.md").await;
}

#[tokio::test]
async fn tests_of_the_tutorial_pass_in_a_fresh_folder() {
    tests_pass("docs/plugin-development.md").await;
}
