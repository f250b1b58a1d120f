//! Looks at a plugin's directory without running it: name, files, manifest.

use std::path::Path;

use serde_json::{Map, Value};

/// Manifest files, the first that exists counts.
const MANIFESTS: [&str; 2] = ["plugin.json", "manifest.json"];
/// Files that hold `execute`, the first that exists counts.
const ENTRY_FILES: [&str; 2] = ["logic.py", "backend/logic.py"];
/// Version of a plugin without a manifest.
const NO_VERSION: &str = "0.0.0";

/// What a manifest's value must be.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Version,
    Texts,
    Object,
    Seconds,
    Count,
    Any,
}

/// The keys of a manifest, in snake case; camel case is accepted too.
const SHAPES: [(&str, Shape); 20] = [
    ("name", Shape::Text),
    ("version", Shape::Version),
    ("display_name", Shape::Text),
    ("description", Shape::Text),
    ("author", Shape::Any),
    ("license", Shape::Text),
    ("icon", Shape::Text),
    ("tags", Shape::Texts),
    ("homepage", Shape::Text),
    ("min_gateway_version", Shape::Version),
    ("permissions", Shape::Any),
    ("config", Shape::Object),
    ("settings_schema", Shape::Object),
    ("notifications", Shape::Any),
    ("resource_limits", Shape::Object),
    ("timeout_seconds", Shape::Seconds),
    ("max_concurrency", Shape::Count),
    ("requirements", Shape::Texts),
    ("dependencies", Shape::Any),
    ("enabled", Shape::Any),
];

/// What was found.
pub(super) struct Inspection {
    /// The directory's name.
    pub(super) name: String,
    /// The manifest's version.
    pub(super) version: String,
    /// What keeps the plugin from being loaded.
    pub(super) errors: Vec<String>,
    /// What is likely not meant.
    pub(super) warnings: Vec<String>,
}

/// Whether this can be a plugin's name.
pub(super) fn is_plugin_name(name: &str) -> bool {
    let rest =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(rest)
}

/// Whether the directory holds a plugin's code.
pub(crate) fn has_entry_file(dir: &Path) -> bool {
    ENTRY_FILES.iter().any(|file| dir.join(file).is_file())
}

/// Looks at one plugin.
pub(super) fn inspect(dir: &Path) -> Inspection {
    // `validate .` means the directory's own name.
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let name = full
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut found = Inspection {
        name,
        version: NO_VERSION.into(),
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    if !dir.is_dir() {
        found
            .errors
            .push(format!("{} is not a directory", dir.display()));
        return found;
    }
    if !is_plugin_name(&found.name) {
        found.errors.push(format!(
            "the name \"{}\" is not a lower-case letter and up to 63 lower-case letters, digits, - \
             or _",
            found.name
        ));
    }
    if !has_entry_file(dir) {
        found
            .errors
            .push("neither logic.py nor backend/logic.py exists".into());
    }
    if !dir.join("__init__.py").is_file() {
        found.warnings.push("there is no __init__.py".into());
    }
    if let Some(file) = MANIFESTS.iter().find(|file| dir.join(file).is_file()) {
        inspect_manifest(&dir.join(file), file, &mut found);
    }
    found
}

fn inspect_manifest(path: &Path, file: &str, found: &mut Inspection) {
    let manifest = std::fs::read(path)
        .map_err(|error| error.to_string())
        .and_then(|bytes| {
            serde_json::from_slice::<Map<String, Value>>(&bytes).map_err(|error| error.to_string())
        });
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(error) => {
            found.errors.push(format!("{file}: {error}"));
            return;
        }
    };
    for (key, value) in &manifest {
        let snake = snake_case(key);
        match SHAPES.iter().find(|(name, _)| *name == snake) {
            None => found
                .warnings
                .push(format!("{file}: the key \"{key}\" is not known")),
            Some((_, shape)) => {
                if let Err(expected) = check_shape(*shape, value) {
                    found
                        .errors
                        .push(format!("{file}: \"{key}\" must be {expected}"));
                }
            }
        }
    }
    if let Some(version) = manifest.get("version").and_then(Value::as_str) {
        found.version = version.to_owned();
    }
    if let Some(name) = manifest.get("name").and_then(Value::as_str)
        && name != found.name
    {
        found.warnings.push(format!(
            "{file}: the name \"{name}\" is not the directory's, which counts"
        ));
    }
}

fn check_shape(shape: Shape, value: &Value) -> Result<(), &'static str> {
    let (fits, expected) = match shape {
        Shape::Text => (value.is_string(), "a string"),
        Shape::Version => (
            value
                .as_str()
                .is_some_and(|text| semver::Version::parse(text).is_ok()),
            "a version such as 1.2.3",
        ),
        Shape::Texts => (
            value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_string)),
            "a list of strings",
        ),
        Shape::Object => (value.is_object(), "an object"),
        Shape::Seconds => (
            value.as_f64().is_some_and(|seconds| seconds > 0.0),
            "a number of seconds above 0",
        ),
        Shape::Count => (
            value.as_u64().is_some_and(|count| count > 0),
            "a whole number above 0",
        ),
        Shape::Any => (true, ""),
    };
    if fits { Ok(()) } else { Err(expected) }
}

fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 2);
    for character in key.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}
