//! The ways in which permissions are written: a list of words, or an object; camel case or not.

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::{
    Access, CollectionEntry, EventEntries, FileEntry, Permissions, Scope, Switch, patterns,
};
use crate::manifest::snake_case;

/// Entries of one key.
const MAX_ENTRIES: usize = 1000;
/// Bytes of one entry.
const MAX_ENTRY_BYTES: usize = 255;

/// What a manifest says of permissions.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// As written, for people.
    pub written: Value,
    /// What it means.
    pub permissions: Permissions,
    /// Entries that mean nothing here.
    pub unknown: Vec<String>,
}

/// How permissions may be written, for the schema.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "describes a shape to the schema")]
pub enum PermissionsShape {
    /// `server.read`, `server.write`, `server.*` for collections, and words such as `notifications`.
    List(Vec<String>),
    /// By what is permitted.
    Object(Box<PermissionsObject>),
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "describes a shape to the schema")]
pub struct PermissionsObject {
    /// Collections: names, `prefix_*`, or objects.
    database: Option<Vec<CollectionShape>>,
    /// Names of interfaces that the operator has described.
    api: Option<Vec<String>>,
    /// `host[:port]` or `*.host`.
    network: Option<Vec<String>>,
    /// Paths below the plugin's directory of data; `:ro` at the end for reading alone.
    filesystem: Option<Vec<String>>,
    /// Hooks and events of others that it listens to.
    hooks: Option<Vec<String>>,
    /// Events of others.
    events: Option<EventEntries>,
    /// Telling users.
    notifications: Option<bool>,
    /// Live connections.
    websocket: Option<bool>,
    /// Telling everybody.
    broadcast: Option<bool>,
    /// Settings of other plugins.
    settings_all: Option<bool>,
    /// Scripts of admins.
    admin: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "describes a shape to the schema")]
pub enum CollectionShape {
    Name(String),
    Entry(CollectionEntry),
}

impl Declared {
    /// Reads either form.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn read(written: Value) -> Result<Self, String> {
        let mut reading = Reading::default();
        match &written {
            Value::Array(words) => reading.list(words)?,
            Value::Object(keys) => reading.object(keys)?,
            _ => return Err("must be an object or an array".into()),
        }
        Ok(Self {
            permissions: reading.permissions,
            unknown: reading.unknown,
            written,
        })
    }

    /// Sentences for the log.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        (self.unknown.iter())
            .map(|entry| format!("permissions: {entry} is no permission, and is ignored"))
    }
}

#[derive(Default)]
struct Reading {
    permissions: Permissions,
    unknown: Vec<String>,
}

impl Reading {
    fn list(&mut self, words: &[Value]) -> Result<(), String> {
        for (at, word) in entries("", words)?.iter().enumerate() {
            let Value::String(word) = word else {
                return Err(format!("[{at}]: must be a string"));
            };
            if let Some(switch) = switch_of(word) {
                self.permissions.turn_on(switch, true);
                continue;
            }
            let access = match word.rsplit_once('.') {
                Some((collection, "read")) => Some((collection, Access::Read)),
                Some((collection, "write" | "*")) => Some((collection, Access::Write)),
                _ => None,
            };
            match access {
                Some((collection, access)) => {
                    let collection =
                        self::collection(collection).map_err(|why| format!("[{at}]: {why}"))?;
                    self.permissions.database.push(CollectionEntry {
                        collection,
                        access,
                        scope: None,
                    });
                }
                None => self.unknown.push(format!("{word:?}")),
            }
        }
        Ok(())
    }

    fn object(&mut self, keys: &Map<String, Value>) -> Result<(), String> {
        let mut seen = Vec::new();
        for (key, value) in keys {
            let normal = snake_case(key);
            if seen.contains(&normal) {
                return Err(format!("{key}: given twice, in two spellings"));
            }
            seen.push(normal.clone());
            let here = &mut self.permissions;
            match normal.as_str() {
                "database" => here.database = list(key, value, collection_entry)?,
                "api" => here.api = list(key, value, |value| word(value, is_name))?,
                "network" => here.network = list(key, value, host)?,
                "filesystem" => here.filesystem = list(key, value, path)?,
                "hooks" => here.hooks = list(key, value, |value| word(value, is_event))?,
                "events" => here.events = events(key, value, &mut self.unknown)?,
                other => match switch_of(other) {
                    Some(switch) => {
                        let Value::Bool(on) = value else {
                            return Err(format!("{key}: must be true or false"));
                        };
                        here.turn_on(switch, *on);
                    }
                    None => self.unknown.push(format!("{key:?}")),
                },
            }
        }
        Ok(())
    }
}

fn events(key: &str, value: &Value, unknown: &mut Vec<String>) -> Result<EventEntries, String> {
    let Value::Object(parts) = value else {
        return Err(format!(
            "{key}: must be an object with publish and subscribe"
        ));
    };
    let mut events = EventEntries::default();
    for (part, value) in parts {
        let path = format!("{key}.{part}");
        let names = || list(&path, value, |value| word(value, is_event));
        match part.as_str() {
            "publish" => events.publish = names()?,
            "subscribe" => events.subscribe = names()?,
            _ => unknown.push(format!("{path:?}")),
        }
    }
    Ok(events)
}

fn switch_of(word: &str) -> Option<Switch> {
    let normal = snake_case(word);
    (Switch::ALL.into_iter()).find(|switch| switch.as_str() == normal)
}

fn entries<'v>(key: &str, values: &'v [Value]) -> Result<&'v [Value], String> {
    if values.len() > MAX_ENTRIES {
        return Err(format!("{key}: has more than {MAX_ENTRIES} entries"));
    }
    Ok(values)
}

fn list<T>(
    key: &str,
    value: &Value,
    read: impl Fn(&Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let Value::Array(values) = value else {
        return Err(format!("{key}: must be an array"));
    };
    entries(key, values)?
        .iter()
        .enumerate()
        .map(|(at, value)| read(value).map_err(|why| format!("{key}[{at}]: {why}")))
        .collect()
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::String(text) if text.is_empty() => Err("must not be empty".into()),
        Value::String(text) if text.len() > MAX_ENTRY_BYTES => {
            Err(format!("has more than {MAX_ENTRY_BYTES} bytes"))
        }
        Value::String(text) if text.contains(char::is_control) => {
            Err("must not hold control characters".into())
        }
        Value::String(text) => Ok(text),
        _ => Err("must be a string".into()),
    }
}

fn word(value: &Value, check: fn(&str) -> Result<(), String>) -> Result<String, String> {
    let text = text(value)?;
    check(text)?;
    Ok(text.to_owned())
}

fn is_name(text: &str) -> Result<(), String> {
    let good = text == "*"
        || text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'));
    good.then_some(())
        .ok_or_else(|| format!("{text:?} is no name"))
}

fn is_event(text: &str) -> Result<(), String> {
    if text.contains(char::is_whitespace) {
        return Err(format!("{text:?} is no event and no pattern"));
    }
    Ok(())
}

fn collection_entry(value: &Value) -> Result<CollectionEntry, String> {
    match value {
        Value::Object(fields) => {
            for key in fields.keys() {
                if !matches!(key.as_str(), "collection" | "access" | "scope") {
                    return Err(format!("{key:?} is unknown"));
                }
            }
            let entry: CollectionEntry =
                serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
            Ok(CollectionEntry {
                collection: collection(&entry.collection)?,
                ..entry
            })
        }
        _ => Ok(CollectionEntry {
            collection: collection(text(value)?)?,
            access: Access::Write,
            scope: None::<Scope>,
        }),
    }
}

/// A name, or what names begin with before one `*` at the end.
fn collection(name: &str) -> Result<String, String> {
    let plain = name.strip_suffix('*').unwrap_or(name);
    if name.is_empty()
        || name.len() > MAX_ENTRY_BYTES
        || plain.contains(['*', '$', '\0'])
        || plain.starts_with("system.")
    {
        return Err(format!("{name:?} is no collection, and no `prefix_*`"));
    }
    Ok(name.to_owned())
}

fn host(value: &Value) -> Result<String, String> {
    let text = text(value)?.to_ascii_lowercase();
    if text == "*" {
        return Ok(text);
    }
    let (name, _) = patterns::split_port(&text);
    let bare = name.strip_prefix("*.").unwrap_or(name);
    let is_address = bare.starts_with('[') && bare.ends_with(']');
    let is_name = !bare.is_empty()
        && !bare.starts_with('.')
        && bare
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_'));
    if !(is_name || is_address) {
        return Err(format!(
            "{text:?} is no host: write `host`, `host:port` or `*.host`, without a scheme or a path"
        ));
    }
    Ok(text)
}

fn path(value: &Value) -> Result<FileEntry, String> {
    let text = text(value)?;
    let (path, access) = match text.strip_suffix(":ro") {
        Some(path) => (path, Access::Read),
        None => (text, Access::Write),
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    let stays_below = path == "."
        || (!path.contains('\\')
            && path
                .split('/')
                .all(|part| !part.is_empty() && part != "." && part != ".."));
    if !stays_below {
        return Err(format!(
            "{text:?} must be a path below the plugin's directory of data, without `..`"
        ));
    }
    Ok(FileEntry {
        path: path.to_owned(),
        access,
    })
}
