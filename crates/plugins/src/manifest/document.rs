//! What `plugin.json` may say, as one typed model: serde reads it, schemars makes its JSON Schema.
//!
//! Keys stand here in snake case; the reader accepts camel case and hyphens too.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use semver::{Version, VersionReq};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

use super::parts::{
    ControllerPart, EventPart, HookPart, JobPart, MiddlewarePart, ScriptPart, Section, WidgetPart,
};
use crate::permissions::{Declared, PermissionsShape};

/// The manifest of a plugin, `plugin.json` or `manifest.json` in its directory.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Plugin manifest")]
pub struct Document {
    /// The plugin's name. The directory's name counts; another one here is a warning.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,63}$"))]
    pub name: Option<String>,
    /// Semantic version; `0.0.0` where it is missing.
    #[serde(deserialize_with = "version")]
    #[schemars(with = "Option<String>")]
    pub version: Option<Version>,
    /// The name that people see; made from the directory's name where it is missing.
    pub display_name: Option<String>,
    /// One sentence or more.
    pub description: Option<String>,
    /// A person or an organisation.
    #[serde(deserialize_with = "author")]
    #[schemars(with = "Option<Author>")]
    pub author: Option<String>,
    /// SPDX identifier.
    pub license: Option<String>,
    /// URL or name of an icon.
    pub icon: Option<String>,
    /// Words to find it by.
    pub tags: Option<Vec<String>>,
    /// URL.
    pub homepage: Option<String>,
    /// Versions of the gateway that it works with, such as `>=0.1, <2`.
    #[serde(deserialize_with = "range")]
    #[schemars(with = "Option<String>")]
    pub gateway_version: Option<VersionReq>,
    /// Oldest gateway that it works with.
    #[serde(deserialize_with = "version")]
    #[schemars(with = "Option<String>")]
    pub min_gateway_version: Option<Version>,
    /// The file with `execute` or the lifecycle functions; `logic.py`, else `backend/logic.py`.
    #[serde(deserialize_with = "relative_path")]
    pub entry: Option<String>,
    /// Another way to name the entry.
    pub backend: Option<Backend>,
    /// `dynamic`, or `static`: shipped with the gateway, neither removed nor watched.
    #[serde(rename = "type")]
    pub kind: Option<PluginKind>,
    /// Other plugins that must be active, with the versions wanted.
    #[serde(deserialize_with = "dependencies")]
    #[schemars(with = "Option<Dependencies>")]
    pub dependencies: Option<BTreeMap<String, VersionReq>>,
    /// What it wants to be allowed: a list such as `server.read`, or an object.
    #[serde(deserialize_with = "permissions")]
    #[schemars(with = "Option<PermissionsShape>")]
    pub permissions: Option<Declared>,
    /// Routes that it says it has; compared with what it registers.
    pub endpoints: Option<Vec<DeclaredEndpoint>>,
    /// Defaults of its configuration.
    pub config: Option<Map<String, Value>>,
    /// JSON Schema of its configuration.
    pub config_schema: Option<Map<String, Value>>,
    /// JSON Schema (or a form description) of its settings, which each user has.
    #[serde(deserialize_with = "list_or_object")]
    #[schemars(with = "Option<ListOrObject>")]
    pub settings_schema: Option<Value>,
    /// Types of notifications that it sends.
    #[serde(deserialize_with = "list_or_object")]
    #[schemars(with = "Option<ListOrObject>")]
    pub notifications: Option<Value>,
    /// What it may use.
    pub resource_limits: Option<Map<String, Value>>,
    /// Where it wishes to run; the operator decides.
    pub isolation: Option<Isolation>,
    /// One call, in seconds.
    #[schemars(range(max = 3600))]
    #[serde(deserialize_with = "seconds")]
    pub timeout_seconds: Option<f64>,
    /// Calls at a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(deserialize_with = "count")]
    pub max_concurrency: Option<usize>,
    /// Python packages, as pip names them.
    pub requirements: Option<Vec<String>>,
    /// Routes kept as files below `controllers/`, by file.
    #[schemars(with = "Option<Section<ControllerPart>>")]
    pub controllers: Option<Value>,
    /// Hooks kept as files below `hooks/`, by file.
    #[schemars(with = "Option<Section<HookPart>>")]
    pub hooks: Option<Value>,
    /// Event listeners kept as files below `events/`, by file.
    #[schemars(with = "Option<Section<EventPart>>")]
    pub events: Option<Value>,
    /// Middleware kept as files below `middleware/`, by file.
    #[schemars(with = "Option<Section<MiddlewarePart>>")]
    pub middleware: Option<Value>,
    /// Scheduled jobs kept as files below `jobs/`, by file.
    #[schemars(with = "Option<Section<JobPart>>")]
    pub jobs: Option<Value>,
    /// Widgets kept as files below `widgets/`, by file.
    #[schemars(with = "Option<Section<WidgetPart>>")]
    pub widgets: Option<Value>,
    /// Files that pages load, by their path below the plugin's directory.
    #[schemars(with = "Option<Section<ScriptPart>>")]
    pub scripts: Option<Value>,
}

/// `backend` of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
pub struct Backend {
    /// As `entry`.
    #[serde(default, deserialize_with = "relative_path")]
    pub entry: Option<String>,
}

/// Whether a plugin comes with the gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// An operator's own.
    #[default]
    Dynamic,
    /// Shipped: neither removed nor watched.
    Static,
}

/// Where a plugin runs; what comes later keeps it further apart from others.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// In the gateway's process.
    Inline,
    /// In a pool of processes shared with others.
    Shared,
    /// In a process of its own.
    #[serde(alias = "container")]
    Dedicated,
}

/// A route that a manifest declares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct DeclaredEndpoint {
    /// `GET`, `POST`, …
    pub method: String,
    /// Below `/api/plugins/{name}`.
    #[serde(alias = "url")]
    pub path: String,
}

// The shapes that a value may have, for the schema only.

#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "describes a shape to the schema")]
enum Author {
    Name(String),
    Person { name: String },
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "describes a shape to the schema")]
enum Dependencies {
    Names(Vec<String>),
    Ranges(BTreeMap<String, String>),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "describes a shape to the schema")]
enum ListOrObject {
    List(Vec<Value>),
    Object(Map<String, Value>),
}

/// npm's object form is met in the wild: `{"name": …}`.
fn author<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Option::<Value>::deserialize(from)? {
        None => Ok(None),
        Some(Value::String(name)) => Ok(Some(name)),
        Some(Value::Object(person)) => match person.get("name") {
            Some(Value::String(name)) => Ok(Some(name.clone())),
            _ => Err(D::Error::custom(
                "must be a string or an object with a name",
            )),
        },
        Some(other) => Err(wrong("a string or an object with a name", &other)),
    }
}

fn version<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Version>, D::Error> {
    let Some(text) = text(from)? else {
        return Ok(None);
    };
    Version::parse(&text)
        .map(Some)
        .map_err(|error| D::Error::custom(format!("{text:?} is no semantic version ({error})")))
}

fn range<'de, D: Deserializer<'de>>(from: D) -> Result<Option<VersionReq>, D::Error> {
    let Some(text) = text(from)? else {
        return Ok(None);
    };
    parse_range(&text).map(Some).map_err(D::Error::custom)
}

fn parse_range(text: &str) -> Result<VersionReq, String> {
    VersionReq::parse(text).map_err(|error| format!("{text:?} is no version range ({error})"))
}

fn dependencies<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<BTreeMap<String, VersionReq>>, D::Error> {
    let mut ranges = BTreeMap::new();
    match Option::<Value>::deserialize(from)? {
        None => return Ok(None),
        Some(Value::Array(names)) => {
            for name in names {
                let Value::String(name) = name else {
                    return Err(wrong("an array of names", &name));
                };
                ranges.insert(name, VersionReq::STAR);
            }
        }
        Some(Value::Object(wanted)) => {
            for (name, range) in wanted {
                let Value::String(range) = range else {
                    let reason = format!("{name}: must be a version range, not {}", kind(&range));
                    return Err(D::Error::custom(reason));
                };
                let range = parse_range(&range)
                    .map_err(|reason| D::Error::custom(format!("{name}: {reason}")))?;
                ranges.insert(name, range);
            }
        }
        Some(other) => return Err(wrong("an array of names or an object", &other)),
    }
    if let Some(name) = ranges
        .keys()
        .find(|name| !crate::names::is_plugin_name(name))
    {
        return Err(D::Error::custom(format!("{name:?} is no plugin's name")));
    }
    Ok(Some(ranges))
}

fn permissions<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Declared>, D::Error> {
    let written = Option::<Value>::deserialize(from)?;
    written
        .map(Declared::read)
        .transpose()
        .map_err(D::Error::custom)
}

fn list_or_object<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    match Option::<Value>::deserialize(from)? {
        None => Ok(None),
        Some(value @ (Value::Object(_) | Value::Array(_))) => Ok(Some(value)),
        Some(other) => Err(wrong("an object or an array", &other)),
    }
}

/// A path below the plugin's directory. Whether it leads outside by a link is for whoever opens it.
fn relative_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let Some(path) = text(from)? else {
        return Ok(None);
    };
    let stays_inside = std::path::Path::new(&path)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if path.is_empty() || !stays_inside {
        return Err(D::Error::custom(format!(
            "{path:?} must be a path below the plugin's directory, without `..`"
        )));
    }
    Ok(Some(path))
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    const MAX_SECONDS: f64 = 3600.0;
    match Option::<Value>::deserialize(from)? {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(seconds) if seconds > 0.0 && seconds <= MAX_SECONDS => Ok(Some(seconds)),
            _ => Err(D::Error::custom(format!(
                "must be more than 0 and at most {MAX_SECONDS}, not {number}"
            ))),
        },
        Some(other) => Err(wrong("a number of seconds", &other)),
    }
}

fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    const MAX_COUNT: u64 = 1_000_000;
    match Option::<Value>::deserialize(from)? {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(count @ 1..=MAX_COUNT) => Ok(usize::try_from(count).ok()),
            Some(count) => Err(D::Error::custom(format!(
                "must be 1 to {MAX_COUNT}, not {count}"
            ))),
            None => Err(D::Error::custom(format!(
                "must be a whole number from 1 to {MAX_COUNT}, not {number}"
            ))),
        },
        Some(other) => Err(wrong("a whole number", &other)),
    }
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Option::<Value>::deserialize(from)? {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong("a string", &other)),
    }
}

fn wrong<E: serde::de::Error>(wanted: &str, found: &Value) -> E {
    E::custom(format!("must be {wanted}, not {}", kind(found)))
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
