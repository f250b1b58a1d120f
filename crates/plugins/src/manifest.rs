//! `plugin.json` (or `manifest.json`): read by hand, so that each complaint names its key.

use std::{path::Path, time::Duration};

use serde_json::{Map, Value, json};

/// Bytes of a manifest at most.
const MAX_MANIFEST_BYTES: u64 = 256 * 1024;

/// What a plugin says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Semantic version; `0.0.0` without a manifest.
    pub version: String,
    /// For people; made from the directory's name where it is missing.
    pub display_name: String,
    /// One sentence or more.
    pub description: Option<String>,
    /// Person or organisation.
    pub author: Option<String>,
    /// SPDX identifier.
    pub license: Option<String>,
    /// URL or name of an icon.
    pub icon: Option<String>,
    /// For searching.
    pub tags: Vec<String>,
    /// URL.
    pub homepage: Option<String>,
    /// Oldest gateway it works with.
    pub min_gateway_version: Option<semver::Version>,
    /// What it wants to be allowed.
    pub permissions: Vec<String>,
    /// Default configuration.
    pub config: Map<String, Value>,
    /// JSON Schema (or a form description) of user settings.
    pub settings_schema: Option<Value>,
    /// Notification types it sends.
    pub notifications: Option<Value>,
    /// What it may use.
    pub resource_limits: Map<String, Value>,
    /// One call; the gateway's setting where it is missing.
    pub timeout: Option<Duration>,
    /// Calls at a time; the gateway's setting where it is missing.
    pub max_concurrency: Option<usize>,
    /// Python packages.
    pub requirements: Vec<String>,
    /// Other plugins.
    pub dependencies: Vec<String>,
}

/// A manifest that was read, and what seemed odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadManifest {
    /// The manifest.
    pub manifest: Manifest,
    /// Sentences for the log.
    pub warnings: Vec<String>,
}

/// Reads a plugin's manifest; without one, the defaults.
///
/// # Errors
/// A sentence that names the file and, where there is one, the key.
pub fn read(dir: &Path, name: &str) -> Result<ReadManifest, String> {
    for file in ["plugin.json", "manifest.json"] {
        let path = dir.join(file);
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{file} cannot be read: {error}")),
            Ok(metadata) if metadata.len() > MAX_MANIFEST_BYTES => {
                return Err(format!("{file} is larger than {MAX_MANIFEST_BYTES} bytes"));
            }
            Ok(_) => {}
        }
        let text =
            std::fs::read(&path).map_err(|error| format!("{file} cannot be read: {error}"))?;
        let value: Value = serde_json::from_slice(&text)
            .map_err(|error| format!("{file} is not valid JSON: {error}"))?;
        return parse(value, name).map_err(|reason| format!("{file}: {reason}"));
    }
    Ok(ReadManifest {
        manifest: Manifest::of(name),
        warnings: Vec::new(),
    })
}

impl Manifest {
    /// The manifest of a plugin that has none.
    pub fn of(name: &str) -> Self {
        Self {
            version: "0.0.0".into(),
            display_name: display_name(name),
            description: None,
            author: None,
            license: None,
            icon: None,
            tags: Vec::new(),
            homepage: None,
            min_gateway_version: None,
            permissions: Vec::new(),
            config: Map::new(),
            settings_schema: None,
            notifications: None,
            resource_limits: Map::new(),
            timeout: None,
            max_concurrency: None,
            requirements: Vec::new(),
            dependencies: Vec::new(),
        }
    }
}

/// `task_manager` becomes `Task Manager`.
fn display_name(name: &str) -> String {
    name.split(['_', '-'])
        .filter(|word| !word.is_empty())
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Checks a manifest key by key.
///
/// # Errors
/// A sentence that names the key, what was found and what is wanted.
pub fn parse(value: Value, name: &str) -> Result<ReadManifest, String> {
    let Value::Object(object) = value else {
        return Err(format!("must be a JSON object, not {}", kind(&value)));
    };
    let mut manifest = Manifest::of(name);
    let mut warnings = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (written, value) in object {
        let key = snake_case(&written);
        if seen.contains(&key) {
            return Err(format!("{written}: given twice, in two spellings"));
        }
        if value.is_null() {
            continue;
        }
        match key.as_str() {
            "name" => {
                let given = text(&written, &value)?;
                if given != name {
                    warnings.push(format!(
                        "name: {given:?} differs from the directory's name {name:?}, which counts"
                    ));
                }
            }
            "version" => {
                let version = text(&written, &value)?;
                version_of(&written, &version)?;
                manifest.version = version;
            }
            "display_name" => manifest.display_name = text(&written, &value)?,
            "description" => manifest.description = Some(text(&written, &value)?),
            "author" => manifest.author = Some(author(&written, &value)?),
            "license" => manifest.license = Some(text(&written, &value)?),
            "icon" => manifest.icon = Some(text(&written, &value)?),
            "tags" => manifest.tags = texts(&written, &value)?,
            "homepage" => manifest.homepage = Some(text(&written, &value)?),
            "min_gateway_version" => {
                let version = version_of(&written, &text(&written, &value)?)?;
                manifest.min_gateway_version = Some(version);
            }
            "permissions" => manifest.permissions = texts(&written, &value)?,
            "config" => manifest.config = object_of(&written, value)?,
            "settings_schema" => match value {
                Value::Object(_) | Value::Array(_) => manifest.settings_schema = Some(value),
                other => return Err(wrong(&written, "an object or an array", &other)),
            },
            "notifications" => match value {
                Value::Object(_) | Value::Array(_) => manifest.notifications = Some(value),
                other => return Err(wrong(&written, "an object or an array", &other)),
            },
            "resource_limits" => manifest.resource_limits = object_of(&written, value)?,
            "timeout_seconds" => manifest.timeout = Some(seconds(&written, &value)?),
            "max_concurrency" => manifest.max_concurrency = Some(count(&written, &value)?),
            "requirements" => manifest.requirements = texts(&written, &value)?,
            "dependencies" => manifest.dependencies = names_of(&written, &value)?,
            _ => warnings.push(format!("{written}: unknown key, ignored")),
        }
        seen.push(key);
    }
    if let Some(wanted) = &manifest.min_gateway_version {
        let ours = env!("CARGO_PKG_VERSION");
        if semver::Version::parse(ours).is_ok_and(|ours| ours < *wanted) {
            return Err(format!(
                "min_gateway_version: needs {wanted}, this gateway is {ours}"
            ));
        }
    }
    Ok(ReadManifest { manifest, warnings })
}

/// `displayName` and `display-name` are `display_name`.
fn snake_case(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            out.push(letter.to_ascii_lowercase());
        } else if letter == '-' {
            out.push('_');
        } else {
            out.push(letter);
        }
    }
    out
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wrong(key: &str, wanted: &str, found: &Value) -> String {
    format!("{key}: must be {wanted}, not {}", kind(found))
}

fn text(key: &str, value: &Value) -> Result<String, String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| wrong(key, "a string", value))
}

/// npm's object form is met in the wild: `{"name": …}`.
fn author(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::Object(object) => match object.get("name") {
            Some(name) => text(&format!("{key}.name"), name),
            None => Err(format!("{key}: must be a string or an object with a name")),
        },
        value => text(key, value),
    }
}

fn texts(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let items = value
        .as_array()
        .ok_or_else(|| wrong(key, "an array of strings", value))?;
    items
        .iter()
        .enumerate()
        .map(|(index, item)| text(&format!("{key}[{index}]"), item))
        .collect()
}

/// A list of names, or an object from name to version.
fn names_of(key: &str, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Object(object) => {
            for (name, version) in object {
                text(&format!("{key}.{name}"), version)?;
            }
            Ok(object.keys().cloned().collect())
        }
        value => texts(key, value),
    }
}

fn object_of(key: &str, value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(wrong(key, "an object", &other)),
    }
}

fn version_of(key: &str, version: &str) -> Result<semver::Version, String> {
    semver::Version::parse(version)
        .map_err(|error| format!("{key}: {version:?} is no semantic version ({error})"))
}

fn seconds(key: &str, value: &Value) -> Result<Duration, String> {
    const MAX_SECONDS: f64 = 3600.0;
    let number = value
        .as_f64()
        .ok_or_else(|| wrong(key, "a number of seconds", value))?;
    if !(number > 0.0 && number <= MAX_SECONDS) {
        return Err(format!(
            "{key}: must be more than 0 and at most {MAX_SECONDS}, not {number}"
        ));
    }
    Ok(Duration::from_secs_f64(number))
}

fn count(key: &str, value: &Value) -> Result<usize, String> {
    const MAX_COUNT: u64 = 1_000_000;
    match value.as_u64() {
        Some(count @ 1..=MAX_COUNT) => usize::try_from(count).map_err(|error| error.to_string()),
        Some(count) => Err(format!("{key}: must be 1 to {MAX_COUNT}, not {count}")),
        None => Err(wrong(key, "a whole number", value)),
    }
}

/// The manifest's JSON Schema, for editors and for the plugin developer's commands.
pub fn schema() -> Value {
    let string = json!({"type": "string"});
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let version = json!({
        "type": "string",
        "pattern": r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$",
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Plugin manifest",
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$"},
            "version": version,
            "display_name": string,
            "description": string,
            "author": {"type": ["string", "object"]},
            "license": string,
            "icon": string,
            "tags": strings,
            "homepage": string,
            "min_gateway_version": version,
            "permissions": strings,
            "config": {"type": "object"},
            "settings_schema": {"type": ["object", "array"]},
            "notifications": {"type": ["object", "array"]},
            "resource_limits": {"type": "object"},
            "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
            "max_concurrency": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
            "requirements": strings,
            "dependencies": {"type": ["array", "object"]},
        },
    })
}

#[cfg(test)]
mod tests;
