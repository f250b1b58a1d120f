//! The image, without Docker: what it is built from is handed over, what it must not hold is not, and what it
//! holds runs in a root directory that has nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::SystemTime,
};

use tempfile::TempDir;

use crate::plugin_commands::{failed, mozaiks, printed};

mod dockerfile;
mod root;
mod runs;

use dockerfile::{Dockerfile, Ignored};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the repository that the libraries of this build are made of, texts that they include among
/// them, as the compiler has told it.
fn compiled() -> BTreeSet<PathBuf> {
    let built = Path::new(env!("CARGO_BIN_EXE_mozaiks")).with_file_name("deps");
    // Of each library the newest, with what it is made of.
    let mut newest: BTreeMap<String, (SystemTime, String)> = BTreeMap::new();
    for entry in std::fs::read_dir(&built).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some((name, _)) = name
            .strip_suffix(".d")
            .and_then(|name| name.rsplit_once('-'))
        else {
            continue;
        };
        let is_ours = name.starts_with("mozaiks_") || name == "docstore";
        if !is_ours {
            continue;
        }
        let told = std::fs::read_to_string(&path).unwrap();
        // Not those of programs and tests, nor what only was checked.
        let library = format!("/lib{name}-");
        let Some((_, files)) = told.lines().find_map(|line| {
            line.split_once(": ")
                .filter(|(made, _)| made.contains(&library) && made.ends_with(".rlib"))
        }) else {
            continue;
        };
        let at = std::fs::metadata(&path).unwrap().modified().unwrap();
        if newest.get(name).is_none_or(|(before, _)| *before < at) {
            newest.insert(name.to_owned(), (at, files.to_owned()));
        }
    }
    let mut found = BTreeSet::new();
    for (_, files) in newest.values() {
        // A space in a name has a backslash before it.
        for file in files.replace("\\ ", "\0").split_whitespace() {
            let file = repository().join(file.replace('\0', " "));
            // What was generated lies elsewhere.
            if let Ok(inside) = file.strip_prefix(repository())
                && !inside.starts_with("target")
            {
                found.insert(inside.components().collect());
            }
        }
    }
    found
}

#[test]
fn what_the_programs_are_made_of_reaches_the_build() {
    let dockerfile = Dockerfile::read();
    let ignored = Ignored::read();
    let mut wanted = compiled();
    assert!(wanted.len() > 300, "only {} files", wanted.len());
    assert!(
        wanted
            .iter()
            .any(|file| file.starts_with("crates/docstore"))
    );
    for name in ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "build.rs"] {
        wanted.insert(name.into());
    }
    // Cargo reads the manifest of every member, and looks for what its targets are.
    for folder in ["crates", "bench/programs"] {
        wanted.insert(folder.into());
    }
    let missing: Vec<_> = wanted
        .iter()
        .filter(|file| !dockerfile.copies(file) || ignored.has(file))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_image_holds_what_was_built_and_nothing_of_the_repository() {
    let dockerfile = Dockerfile::read();
    let last = dockerfile.stages.last().unwrap();
    for copy in &last.copies {
        assert!(copy.from.is_some(), "{copy:?} is not of a build");
        for source in &copy.sources {
            let built = source.starts_with("/src/target/dist/") || source == "/opt/venv";
            assert!(built, "{copy:?}");
        }
    }
    assert_eq!(last.copies.len(), 2);
    // What another stage does not copy is not even handed over.
    let ignored = Ignored::read();
    for inside in [
        ".env",
        ".git/config",
        ".mozaiks/dev-secret",
        ".venv/bin/python",
        "bench/run.sh",
        "clients/js/package.json",
        "crates/docstore/fuzz/corpus/one",
        "mozaiks.toml",
        "python-sdk/mozaiks/__pycache__/http.pyc",
        "runtime/ai/plugins/notes/logic.py",
        "target/debug/mozaiks",
        "tests/it/main.rs",
    ] {
        assert!(ignored.has(Path::new(inside)), "{inside}");
    }
}

#[tokio::test]
async fn the_image_sets_what_the_gateway_knows() {
    let known = printed(mozaiks(&["config", "--markdown"])).await;
    let environment = Dockerfile::read().environment();
    assert!(environment.len() >= 4, "{environment:?}");
    for (name, _) in &environment {
        let is_known = known.contains(&format!("`{name}`")) || name == "VIRTUAL_ENV";
        assert!(is_known, "{name}");
    }
}

#[tokio::test]
async fn doctor_names_what_a_container_must_not_have() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("plugins")).unwrap();
    let doctor = |args: &[&str]| {
        let mut command = mozaiks(&[&["doctor", "--plugins", "plugins"], args].concat());
        command.current_dir(dir.path());
        command
    };
    // All is well for a machine of one's own.
    let said = printed(doctor(&["--dev"])).await;
    assert!(!said.contains("listen"), "{said}");

    let output = doctor(&["--dev", "--container"]).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for start in ["FAIL  mode: ", "FAIL  listen: 127.0.0.1:8000 "] {
        assert!(said.lines().any(|line| line.starts_with(start)), "{said}");
    }

    // No keys, a data directory that cannot be, and nowhere to put temporary files.
    std::fs::write(dir.path().join("file"), "").unwrap();
    let mut command = doctor(&["--container", "--data-dir", "file/data"]);
    command.env("TMPDIR", dir.path().join("none"));
    command.env("SSL_CERT_FILE", dir.path().join("none"));
    command.env("SSL_CERT_DIR", dir.path().join("none"));
    let output = command.output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for what in ["auth", "data", "temporary files", "certificates"] {
        let start = format!("FAIL  {what}: ");
        assert!(said.lines().any(|line| line.starts_with(&start)), "{said}");
    }
    let (code, _) = failed(mozaiks(&["doctor", "--containers"])).await;
    assert_eq!(code, Some(2));
}
