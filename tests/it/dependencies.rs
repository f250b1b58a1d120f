//! Who may know whom: the manifests of the crates and the `use` lines of every part keep the rules of
//! the architecture.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use toml::Table;

mod crates;
mod image;
mod python;

use crates::{CRATES, GUARDED};

/// Every part of `src/`: the parts beside it that it may use, and the crates of the workspace.
const PARTS: &[(&str, &[&str], &[&str])] = &[
    ("main", &[], &["mozaiks_gateway"]),
    ("lib", &["app", "cli", "http", "refusals", "server"], &[]),
    (
        "cli",
        &["app"],
        &[
            "docstore",
            "mozaiks_auth",
            "mozaiks_catalog",
            "mozaiks_config",
            "mozaiks_notifications",
            "mozaiks_plugins",
            "mozaiks_python",
            "mozaiks_requirements",
            "mozaiks_telemetry",
            "mozaiks_worker",
        ],
    ),
    (
        "app",
        &["http", "refusals", "server"],
        &[
            "mozaiks_auth",
            "mozaiks_catalog",
            "mozaiks_config",
            "mozaiks_entities",
            "mozaiks_events",
            "mozaiks_files",
            "mozaiks_hooks",
            "mozaiks_jobs",
            "mozaiks_lifecycle",
            "mozaiks_notifications",
            "mozaiks_outbound",
            "mozaiks_plugins",
            "mozaiks_python",
            "mozaiks_realtime",
            "mozaiks_requirements",
            "mozaiks_settings",
            "mozaiks_store",
            "mozaiks_telemetry",
            "mozaiks_worker",
        ],
    ),
    (
        "server",
        &["http"],
        &["mozaiks_config", "mozaiks_telemetry"],
    ),
    (
        "refusals",
        &[],
        &[
            "mozaiks_hooks",
            "mozaiks_notifications",
            "mozaiks_plugins",
            "mozaiks_settings",
            "mozaiks_store",
        ],
    ),
    (
        "http",
        &["refusals"],
        &[
            "mozaiks_auth",
            "mozaiks_catalog",
            "mozaiks_config",
            "mozaiks_entities",
            "mozaiks_events",
            "mozaiks_hooks",
            "mozaiks_lifecycle",
            "mozaiks_notifications",
            "mozaiks_plugins",
            "mozaiks_realtime",
            "mozaiks_settings",
            "mozaiks_store",
            "mozaiks_telemetry",
            "mozaiks_worker",
        ],
    ),
];

#[test]
fn every_crate_names_only_the_crates_below_it() {
    let mut broken = Vec::new();
    for folder in folders("crates") {
        let Some((_, allowed)) = CRATES.iter().find(|(name, _)| *name == folder) else {
            broken.push(format!("crates/{folder} has no row"));
            continue;
        };
        let manifest = manifest(&format!("crates/{folder}"));
        for name in names(&manifest, &["dependencies", "build-dependencies"]) {
            if ours().contains(&name) && !allowed.contains(&name.as_str()) {
                broken.push(format!("crates/{folder} depends on {name}"));
            }
        }
        // For tests, too, nothing above: what is allowed, the store as a server, and the settings.
        for name in names(&manifest, &["dev-dependencies"]) {
            let tests = ["docstore", "mozaiks-config", "mozaiks-store"];
            if ours().contains(&name)
                && !allowed.contains(&name.as_str())
                && !tests.contains(&name.as_str())
            {
                broken.push(format!("crates/{folder} tests with {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn guarded_crates_stay_where_they_belong() {
    let mut broken = Vec::new();
    for folder in folders("crates") {
        let home = format!("crates/{folder}/");
        for name in names(
            &manifest(&home),
            &["dependencies", "build-dependencies", "dev-dependencies"],
        ) {
            if let Some((_, places)) = GUARDED.iter().find(|(guarded, _)| *guarded == name)
                && !places
                    .iter()
                    .any(|place| place.starts_with(&home) || place.starts_with('*'))
            {
                broken.push(format!("{home}Cargo.toml names {name}"));
            }
        }
    }
    for (path, text) in sources() {
        for (name, places) in GUARDED {
            if mentions_crate(&text, &name.replace('-', "_"))
                && !places.iter().any(|place| is_in(&path, place))
            {
                broken.push(format!("{path} uses {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn parts_know_only_the_parts_below_them() {
    let mut broken = Vec::new();
    let parts: Vec<String> = PARTS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let crates: Vec<String> = ours()
        .iter()
        .map(|name| name.replace('-', "_"))
        .chain(["mozaiks_gateway".to_owned()])
        .collect();
    for (path, text) in sources() {
        let Some(inside) = path.strip_prefix("src/") else {
            continue;
        };
        let part = inside.split(['/', '.']).next().unwrap_or_default();
        let Some((_, beside, below)) = PARTS.iter().find(|(name, ..)| *name == part) else {
            broken.push(format!("{path} belongs to a part without a row"));
            continue;
        };
        for used in crate_paths(&text) {
            if parts.contains(&used) && used != part && !beside.contains(&used.as_str()) {
                broken.push(format!("{path} uses crate::{used}"));
            }
        }
        // A test may bring the embedded store and the other parts to stand on.
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        for name in &crates {
            if mentions_crate(&text, name) && !below.contains(&name.as_str()) && !is_test {
                broken.push(format!("{path} uses {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The embedded store could be taken out of the repository and stand alone.
#[test]
fn the_store_knows_nothing_of_the_gateway() {
    let manifest = manifest("crates/docstore");
    let all = names(
        &manifest,
        &["dependencies", "build-dependencies", "dev-dependencies"],
    );
    assert!(
        all.iter().all(|name| !name.starts_with("mozaiks")),
        "{all:?}"
    );
}

/// Everybody attaches through one function, which refuses threads of the I/O runtime.
#[test]
fn python_is_entered_through_one_door() {
    let mut read = 0;
    for (path, text) in sources() {
        if path.starts_with("crates/python/") && !path.contains("/tests") {
            let doors = usize::from(path == "crates/python/src/interpreter.rs");
            assert_eq!(text.matches("Python::attach(").count(), doors, "{path}");
            assert_eq!(text.matches("Python::try_attach(").count(), 0, "{path}");
            read += 1;
        }
    }
    assert!(read > 10, "crates/python was not found");
}

#[test]
fn the_rules_notice_what_they_forbid() {
    assert!(mentions_crate("use axum::Router;", "axum"));
    assert!(mentions_crate("use axum;", "axum"));
    assert!(mentions_crate("pub use axum as web;", "axum"));
    assert!(mentions_crate(
        "    let body = axum::body::Body::empty();",
        "axum"
    ));
    assert!(!mentions_crate("//! no axum::Router here", "axum"));
    assert!(!mentions_crate("use hyper_util::rt;", "hyper"));
    assert!(!is_in("src/auth/keys.rs", "src/http/"));
    assert!(is_in("crates/store/src/tests.rs", "*/tests.rs"));
    assert!(is_in("crates/store/src/tests/x.rs", "*/tests/"));
    assert!(is_in(
        "crates/notifications/src/repository/people.rs",
        "crates/notifications/src/repository"
    ));
    assert!(!is_in(
        "crates/notifications/src/manager.rs",
        "crates/notifications/src/repository"
    ));
    let grouped =
        "use crate::{\n    app::App,\n    auth::{Principal, http},\n};\nlet x = crate::store::y();";
    assert_eq!(crate_paths(grouped), ["app", "auth", "store"]);
    let manifest: Table = toml::from_str(
        "[dependencies]\na = '1'\n[target.'cfg(unix)'.dependencies]\nb.workspace = true\n\
         [dev-dependencies]\nc = { package = 'd' }",
    )
    .unwrap();
    assert_eq!(names(&manifest, &["dependencies"]), ["a", "b"]);
    assert_eq!(names(&manifest, &["dev-dependencies"]), ["d"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folders(place: &str) -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(root().join(place))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    assert!(found.len() > 5, "{place} was not found");
    found
}

fn manifest(folder: &str) -> Table {
    let path = root().join(folder).join("Cargo.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The names of the workspace's own crates.
fn ours() -> BTreeSet<String> {
    folders("crates")
        .iter()
        .map(|folder| {
            manifest(&format!("crates/{folder}"))["package"]["name"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// What the sections of a manifest name, those of single targets included, under the package's own name.
fn names(manifest: &Table, sections: &[&str]) -> Vec<String> {
    let targets = manifest.get("target").and_then(|value| value.as_table());
    let tables = std::iter::once(manifest).chain(
        targets
            .into_iter()
            .flat_map(|all| all.values().filter_map(|value| value.as_table())),
    );
    tables
        .flat_map(|table| {
            sections
                .iter()
                .filter_map(|section| table.get(*section)?.as_table())
        })
        .flat_map(|section| section.iter())
        .map(|(name, value)| {
            let renamed = value.get("package").and_then(|name| name.as_str());
            renamed.unwrap_or(name).to_owned()
        })
        .collect()
}

/// Every source file of the gateway and its crates, by its path in the repository.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root().join("src"), &mut found);
    for folder in folders("crates") {
        collect(&root().join("crates").join(folder).join("src"), &mut found);
    }
    assert!(found.len() > 100, "the sources were not found");
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, text)
        })
        .collect()
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a file lies in a place: a folder, a file, or a file with the folder beside it.
fn is_in(path: &str, place: &str) -> bool {
    match place.strip_prefix('*') {
        Some(folder) if folder.ends_with('/') => path.contains(folder),
        Some(suffix) => path.ends_with(suffix),
        None if place.ends_with('/') => path.starts_with(place),
        None => path
            .strip_prefix(place)
            .is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/')),
    }
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
}

fn mentions_crate(text: &str, name: &str) -> bool {
    code_lines(text).any(|line| {
        line.match_indices(name).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let start = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            let after = &line[at + name.len()..];
            let used = line[..at].trim_end().ends_with("use")
                && (after.starts_with(';') || after.starts_with(" as "));
            start && (after.starts_with("::") || used)
        })
    })
}

/// The parts named by `crate::part` and by the groups of `use crate::{…}`.
fn crate_paths(text: &str) -> Vec<String> {
    let code: String = code_lines(text).collect::<Vec<_>>().join("\n");
    let mut parts = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            None => parts.push(first_word(rest)),
            Some(group) => {
                let mut depth = 0usize;
                let mut start = true;
                for (at, character) in group.char_indices() {
                    match character {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && c.is_alphabetic() => {
                            start = false;
                            parts.push(first_word(&group[at..]));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    parts
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}
