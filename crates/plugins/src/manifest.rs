//! `plugin.json` (or `manifest.json`): reads it, says what is wrong with it by its keys, and gives what
//! the gateway works with.

mod document;
pub mod parts;

use std::{path::Path, time::Duration};

use serde_json::{Map, Value};

use crate::{origin::Origin, permissions::Declared};
pub use document::{DeclaredEndpoint, Isolation, PluginKind};
use document::{Document, kind};
pub use parts::Parts;

use crate::limits::{self, ResourceLimits};

/// Bytes of a manifest at most.
const MAX_MANIFEST_BYTES: u64 = 256 * 1024;

/// Names under which the source of a manifest may give a key; what stands here is in snake case.
const ALIASES: [(&str, &str); 2] = [
    ("catalyst_version", "gateway_version"),
    ("mozaiks_version", "gateway_version"),
];

/// Unknown keys that are nearer to a known one than this are taken for a slip.
const LIKELY_A_SLIP: f64 = 0.75;

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
    /// Versions of the gateway that it works with, as written.
    pub gateway_version: Option<String>,
    /// The file to import, below the directory; by convention where it is missing.
    pub entry: Option<String>,
    /// Whether it comes with the gateway.
    pub kind: PluginKind,
    /// Where its files come from, as whoever has read them says.
    pub origin: Origin,
    /// Plugins that must be active, with the versions wanted.
    pub dependencies: std::collections::BTreeMap<String, semver::VersionReq>,
    /// What it wants to be allowed; by its source where it does not say.
    pub permissions: Option<Declared>,
    /// Routes that it says it has.
    pub endpoints: Vec<DeclaredEndpoint>,
    /// Default configuration.
    pub config: Map<String, Value>,
    /// JSON Schema of the configuration.
    pub config_schema: Option<Value>,
    /// JSON Schema (or a form description) of user settings.
    pub settings_schema: Option<Value>,
    /// Notification types it sends.
    pub notifications: Option<Value>,
    /// What it may use, as written.
    pub resource_limits: Map<String, Value>,
    /// The same, understood.
    pub limits: ResourceLimits,
    /// Where it wishes to run.
    pub isolation: Option<Isolation>,
    /// One call; the gateway's setting where it is missing.
    pub timeout: Option<Duration>,
    /// Calls at a time; the gateway's setting where it is missing.
    pub max_concurrency: Option<usize>,
    /// Python packages.
    pub requirements: Vec<String>,
    /// What it has as files of their own: routes, hooks, listeners, jobs, widgets, …
    pub parts: Parts,
}

/// A manifest that was read, and what seemed odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadManifest {
    /// The manifest.
    pub manifest: Manifest,
    /// Sentences for the log.
    pub warnings: Vec<String>,
    /// The name that it gives, where that is not the directory's, which counts.
    pub other_name: Option<String>,
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
        let mut read = parse(value, name).map_err(|reason| format!("{file}: {reason}"))?;
        let looked = parts::look(dir, &mut read.manifest.parts);
        let warnings = looked.map_err(|reason| format!("{file}: {reason}"))?;
        read.warnings.extend(warnings);
        return Ok(read);
    }
    let mut manifest = Manifest::of(name);
    let warnings = parts::look(dir, &mut manifest.parts)?;
    Ok(ReadManifest {
        manifest,
        warnings,
        other_name: None,
    })
}

impl Manifest {
    /// The manifest of a plugin that has none.
    pub fn of(name: &str) -> Self {
        Self::from_document(Document::default(), Parts::default(), name)
    }

    fn from_document(document: Document, parts: Parts, name: &str) -> Self {
        Self {
            version: document
                .version
                .map_or_else(|| "0.0.0".into(), |version| version.to_string()),
            display_name: document.display_name.unwrap_or_else(|| display_name(name)),
            description: document.description,
            author: document.author,
            license: document.license,
            icon: document.icon,
            tags: document.tags.unwrap_or_default(),
            homepage: document.homepage,
            gateway_version: document
                .gateway_version
                .map(|range| range.to_string())
                .or(document
                    .min_gateway_version
                    .map(|oldest| format!(">={oldest}"))),
            entry: document
                .entry
                .or(document.backend.and_then(|backend| backend.entry)),
            kind: document.kind.unwrap_or_default(),
            origin: Origin::Directory,
            dependencies: document.dependencies.unwrap_or_default(),
            permissions: document.permissions,
            endpoints: document.endpoints.unwrap_or_default(),
            config: document.config.unwrap_or_default(),
            config_schema: document.config_schema.map(Value::Object),
            settings_schema: document.settings_schema,
            notifications: document.notifications,
            resource_limits: document.resource_limits.unwrap_or_default(),
            limits: ResourceLimits::default(),
            isolation: document.isolation,
            timeout: document.timeout_seconds.map(Duration::from_secs_f64),
            max_concurrency: document.max_concurrency,
            requirements: document.requirements.unwrap_or_default(),
            parts,
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
/// A sentence that names the key as it is written, what was found and what is wanted.
pub fn parse(value: Value, name: &str) -> Result<ReadManifest, String> {
    let Value::Object(written) = value else {
        return Err(format!("must be a JSON object, not {}", kind(&value)));
    };
    let known = known_keys();
    let mut warnings = Vec::new();
    let mut spelling: Vec<(String, String)> = Vec::new();
    let mut object = Map::new();
    for (key, value) in written {
        let normal = normal_key(&key);
        if spelling.iter().any(|(earlier, _)| *earlier == normal) {
            return Err(format!("{key}: given twice, in two spellings"));
        }
        if known.contains(&normal) {
            object.insert(normal.clone(), value);
            spelling.push((normal, key));
        } else {
            warnings.push(unknown_key(&key, &normal, &known));
        }
    }
    let mut document: Document =
        serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
            let path = error.path().to_string();
            let top = path.split(['.', '[']).next().unwrap_or_default();
            let written = spelling.iter().find(|(normal, _)| normal == top);
            let written = written.map_or(top, |(_, written)| written);
            format!("{written}{}: {}", &path[top.len()..], error.inner())
        })?;
    let other_name = document.name.clone().filter(|given| *given != name);
    if let Some(given) = &other_name {
        warnings.push(format!(
            "name: {given:?} differs from the directory's name {name:?}, which counts"
        ));
    }
    check_gateway_version(&document)?;
    let permissions = document.permissions.as_ref();
    warnings.extend(permissions.map(Declared::warnings).into_iter().flatten());
    let (parts, odd) = parts::read(&mut document)?;
    warnings.extend(odd);
    let mut manifest = Manifest::from_document(document, parts, name);
    let (limits, unknown) = ResourceLimits::parse(&manifest.resource_limits)?;
    manifest.limits = limits;
    for key in unknown {
        let known = limits::NAMES.join(", ");
        warnings.push(format!(
            "resource_limits.{key}: unknown limit, ignored; there are {known}"
        ));
    }
    Ok(ReadManifest {
        manifest,
        warnings,
        other_name,
    })
}

fn check_gateway_version(document: &Document) -> Result<(), String> {
    let ours = env!("CARGO_PKG_VERSION");
    // The invariant of Cargo's: a package's version is semantic.
    let Ok(version) = semver::Version::parse(ours) else {
        return Ok(());
    };
    if let Some(wanted) = &document.min_gateway_version
        && version < *wanted
    {
        return Err(format!(
            "min_gateway_version: needs {wanted}, this gateway is {ours}"
        ));
    }
    if let Some(wanted) = &document.gateway_version
        && !wanted.matches(&version)
    {
        return Err(format!(
            "gateway_version: needs {wanted}, this gateway is {ours}"
        ));
    }
    Ok(())
}

fn known_keys() -> Vec<String> {
    let schema = schema();
    let properties = schema["properties"].as_object();
    properties
        .into_iter()
        .flat_map(|keys| keys.keys().cloned())
        .collect()
}

fn unknown_key(written: &str, normal: &str, known: &[String]) -> String {
    let nearest = known
        .iter()
        .map(|key| (strsim::jaro_winkler(normal, key), key))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(nearness, _)| *nearness >= LIKELY_A_SLIP);
    match nearest {
        Some((_, key)) => format!("{written}: unknown key, ignored; did you mean {key:?}?"),
        None => format!("{written}: unknown key, ignored"),
    }
}

/// `displayName` and `display-name` are `display_name`; other names of a key are its own.
fn normal_key(key: &str) -> String {
    let snake = snake_case(key);
    ALIASES
        .iter()
        .find(|(alias, _)| *alias == snake)
        .map_or(snake, |(_, key)| (*key).to_owned())
}

pub(crate) fn snake_case(key: &str) -> String {
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

/// The manifest's JSON Schema (2020-12), for editors and for the plugin developer's commands.
pub fn schema() -> Value {
    schemars::schema_for!(Document).to_value()
}

#[cfg(test)]
mod tests;
