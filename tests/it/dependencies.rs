//! Who may know whom: the `use` lines of `src/` keep the rules of the architecture.

use std::path::{Path, PathBuf};

/// A crate, and the places below `src/` that may use it.
const CRATES: &[(&str, &[&str])] = &[
    (
        "axum",
        &["http.rs", "http/", "server.rs", "server/", "app.rs"],
    ),
    ("hyper", &["http.rs", "http/", "server.rs", "server/"]),
    ("hyper_util", &["server.rs", "server/"]),
    ("pyo3", &["python.rs", "python/"]),
    ("jsonwebtoken", &["auth.rs", "auth/"]),
    (
        "mongodb",
        &[
            "store.rs",
            "store/",
            "*/repository.rs",
            "notifications/repository/",
        ],
    ),
    (
        "docstore",
        &["store.rs", "store/", "app.rs", "app/", "*/tests.rs"],
    ),
    ("clap", &["cli.rs", "cli/", "config.rs", "config/"]),
    ("anyhow", &["main.rs", "cli.rs", "cli/", "app.rs", "app/"]),
];

/// A part, and the parts it must not use.
const PARTS: &[(&str, &[&str])] = &[
    (
        "config",
        &["app", "auth", "cli", "http", "plugins", "python", "server"],
    ),
    (
        "telemetry",
        &["app", "auth", "cli", "http", "plugins", "python", "server"],
    ),
    (
        "auth",
        &["app", "cli", "http", "plugins", "python", "server"],
    ),
    ("plugins", &["app", "cli", "http", "python", "server"]),
    ("python", &["app", "cli", "http", "server"]),
    ("http", &["app", "cli", "python", "server"]),
    ("refusals", &["app", "cli", "http", "server"]),
    ("server", &["app", "auth", "cli", "plugins", "python"]),
    (
        "store",
        &["app", "auth", "cli", "http", "plugins", "python", "server"],
    ),
    ("events", &["app", "cli", "http", "python", "server"]),
    ("realtime", &["app", "cli", "http", "python", "server"]),
    ("notifications", &["app", "cli", "http", "python", "server"]),
    ("settings", &["app", "cli", "http", "python", "server"]),
];

#[test]
fn crates_stay_where_they_belong() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (name, allowed) in CRATES {
            if mentions_crate(&text, name) && !allowed.iter().any(|place| is_in(&path, place)) {
                broken.push(format!("src/{path} uses {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn parts_know_only_the_parts_below_them() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let part = path.split(['/', '.']).next().unwrap_or_default();
        let Some((_, forbidden)) = PARTS.iter().find(|(name, _)| *name == part) else {
            continue;
        };
        for used in crate_paths(&text) {
            if forbidden.contains(&used.as_str()) {
                broken.push(format!("src/{path} uses crate::{used}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Everybody attaches through one function, which refuses threads of the I/O runtime.
#[test]
fn python_is_entered_through_one_door() {
    for (path, text) in sources() {
        let is_test = path.contains("/tests");
        if path.starts_with("python") && !is_test {
            let doors = usize::from(path == "python/interpreter.rs");
            assert_eq!(text.matches("Python::attach(").count(), doors, "src/{path}");
            assert_eq!(text.matches("Python::try_attach(").count(), 0, "src/{path}");
        }
    }
}

#[test]
fn the_rules_notice_what_they_forbid() {
    assert!(mentions_crate("use axum::Router;", "axum"));
    assert!(mentions_crate(
        "    let body = axum::body::Body::empty();",
        "axum"
    ));
    assert!(!mentions_crate("//! no axum::Router here", "axum"));
    assert!(!mentions_crate("use hyper_util::rt;", "hyper"));
    assert!(!is_in("auth/keys.rs", "http/"));
    assert!(is_in("notifications/repository.rs", "*/repository.rs"));
    let grouped =
        "use crate::{\n    app::App,\n    auth::{Principal, http},\n};\nlet x = crate::store::y();";
    assert_eq!(crate_paths(grouped), ["app", "auth", "store"]);
}

/// Every file below `src/` with its text without comments, by its path below `src/`.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &mut found);
    assert!(found.len() > 20, "src/ was not found");
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
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

fn is_in(path: &str, place: &str) -> bool {
    if let Some(suffix) = place.strip_prefix('*') {
        path.ends_with(suffix)
    } else if place.ends_with('/') {
        path.starts_with(place)
    } else {
        path == place
    }
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
}

fn mentions_crate(text: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code_lines(text).any(|line| {
        line.match_indices(&path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
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
