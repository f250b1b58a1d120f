//! `plugin.json` of a stored plugin: what it says of parts stands in their rows, and comes back from there.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    error::CatalogError,
    kinds::Kind,
    rows::NewFile,
    tree::{MANIFEST, MAX_FILE_BYTES},
};

/// What is said of a part: by the file's name in its folder.
pub(crate) type Section = BTreeMap<String, Map<String, Value>>;
/// What is said of all parts.
pub(crate) type Sections = BTreeMap<Kind, Section>;

/// Other spellings of keys that are met in older manifests and packages.
const KEYS: [(&str, &str); 14] = [
    ("roles", "allowed_roles"),
    ("event", "event_name"),
    ("hook", "hook_name"),
    ("type", "hook_type"),
    ("order", "priority"),
    ("schedule", "cron"),
    ("name", "widget_name"),
    ("enabled", "is_enabled"),
    ("name", "hook_name"),
    ("id", "widget_id"),
    ("type", "script_type"),
    ("priority", "load_priority"),
    ("handler", "function"),
    ("url", "path"),
];

/// The object that a manifest's text is.
///
/// # Errors
/// Where it is none.
pub(crate) fn parse(text: &str) -> Result<Map<String, Value>, CatalogError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(CatalogError::too_large(format!(
            "{MANIFEST}: a file has at most {MAX_FILE_BYTES} bytes"
        )));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(CatalogError::invalid(MANIFEST, "it must be a JSON object")),
        Err(error) => Err(CatalogError::invalid(
            MANIFEST,
            format!("it is not valid JSON: {error}"),
        )),
    }
}

/// A key as rows have it; `None` where the kind has no such field.
pub(crate) fn field(kind: Kind, key: &str) -> Option<String> {
    let snake = snake_case(key);
    let known = |name: &str| name == "is_enabled" || kind.fields().contains(&name);
    if known(&snake) {
        return Some(snake);
    }
    let other = KEYS
        .iter()
        .find(|(other, name)| *other == snake && known(name));
    other.map(|(_, name)| (*name).to_owned())
}

/// An entry in the words of the wire; keys that are not known stay as they are.
fn normal(kind: Kind, entry: &Map<String, Value>) -> Map<String, Value> {
    let named = entry.iter().map(|(key, value)| {
        let key = field(kind, key).unwrap_or_else(|| key.clone());
        (key, value.clone())
    });
    named
        .filter(|(key, value)| !(key == "is_enabled" && *value == Value::Bool(true)))
        .collect()
}

/// What a manifest says of parts. Lists of older manifests name the file in each entry.
///
/// # Errors
/// A section that is neither.
pub(crate) fn sections(manifest: &Map<String, Value>) -> Result<Sections, CatalogError> {
    let mut all = Sections::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.has_section()) {
        let mut section = Section::new();
        let wrong = |what: String| {
            let message = format!("{}{what}", kind.name());
            Err(CatalogError::invalid(MANIFEST, message))
        };
        match manifest.get(kind.name()) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(entries)) => {
                for (file, entry) in entries {
                    let Value::Object(entry) = entry else {
                        return wrong(format!(".{file}: must be an object"));
                    };
                    section.insert(named(kind, file), normal(kind, entry));
                }
            }
            Some(Value::Array(entries)) => {
                for entry in entries {
                    let file = entry.get("file").and_then(Value::as_str);
                    let (Some(file), Value::Object(entry)) = (file, entry) else {
                        return wrong(": an entry of a list names its file".into());
                    };
                    let mut entry = normal(kind, entry);
                    entry.remove("file");
                    section.insert(named(kind, file), entry);
                }
            }
            Some(_) => return wrong(": must be an object".into()),
        }
        all.insert(kind, section);
    }
    Ok(all)
}

/// A file of code may be named without its ending.
fn named(kind: Kind, file: &str) -> String {
    let is_code = !matches!(kind, Kind::Scripts | Kind::Widgets);
    if is_code && !file.contains('.') {
        format!("{file}.py")
    } else {
        file.to_owned()
    }
}

/// What rows say of parts.
pub(crate) fn sections_of<'a>(files: impl Iterator<Item = &'a NewFile>) -> Sections {
    let mut all = Sections::new();
    for file in files.filter(|file| file.kind.has_section()) {
        let mut entry = file.meta.clone();
        if !file.enabled {
            entry.insert("is_enabled".into(), false.into());
        }
        let section = all.entry(file.kind).or_default();
        section.insert(file.file_name().to_owned(), entry);
    }
    all
}

/// The manifest with these sections: the very text where it says so already.
///
/// # Errors
/// As [`parse`] and [`sections`], of a text that was not checked.
pub(crate) fn with_sections(text: &str, wanted: &Sections) -> Result<String, CatalogError> {
    let mut manifest = parse(text)?;
    if told(&sections(&manifest)?) == told(wanted) {
        return Ok(text.to_owned());
    }
    for kind in Kind::ALL.into_iter().filter(|kind| kind.has_section()) {
        manifest.remove(kind.name());
    }
    for (kind, section) in told(wanted) {
        let section: Map<String, Value> = section
            .into_iter()
            .map(|(file, entry)| (file.to_owned(), Value::Object(entry.clone())))
            .collect();
        manifest.insert(kind.name().to_owned(), Value::Object(section));
    }
    Ok(canonical(&manifest))
}

/// The entries that say something.
fn told(sections: &Sections) -> BTreeMap<Kind, BTreeMap<&str, &Map<String, Value>>> {
    let kinds = sections.iter().map(|(kind, section)| {
        let entries = section.iter().filter(|(_, entry)| !entry.is_empty());
        let entries = entries.map(|(file, entry)| (file.as_str(), entry));
        (*kind, entries.collect::<BTreeMap<_, _>>())
    });
    kinds.filter(|(_, entries)| !entries.is_empty()).collect()
}

/// One way to write an object.
pub(crate) fn canonical(object: &Map<String, Value>) -> String {
    format!("{:#}\n", Value::Object(object.clone()))
}

pub(crate) fn snake_case(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
