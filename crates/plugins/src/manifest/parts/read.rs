//! From what is written to parts: both forms of a section, every spelling of a key.

use serde_json::{Map, Value};

use super::{MAX_PARTS, Part, Parts, check};
use crate::manifest::{
    document::{Document, kind},
    snake_case, unknown_key,
};

/// Bytes of a file's name below its folder.
const MAX_FILE_BYTES: usize = 255;

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {reason}")]
pub struct PartError {
    /// Section, file and key: `controllers.visits.py.method`.
    pub at: String,
    /// A sentence.
    pub reason: String,
}

/// Takes the sections out of a manifest; gives sentences about what seems odd too.
pub(in crate::manifest) fn read(document: &mut Document) -> Result<(Parts, Vec<String>), String> {
    let mut warnings = Vec::new();
    let odd = &mut warnings;
    let parts = Parts {
        controllers: section(document.controllers.take(), odd)?,
        hooks: section(document.hooks.take(), odd)?,
        events: section(document.events.take(), odd)?,
        middleware: section(document.middleware.take(), odd)?,
        jobs: section(document.jobs.take(), odd)?,
        widgets: section(document.widgets.take(), odd)?,
        scripts: section(document.scripts.take(), odd)?,
    };
    check::clashes(&parts).map_err(|error| error.to_string())?;
    Ok((parts, warnings))
}

fn section<P: Part>(written: Option<Value>, warnings: &mut Vec<String>) -> Result<Vec<P>, String> {
    let Some(written) = written else {
        return Ok(Vec::new());
    };
    read_section(written, warnings).map_err(|error| error.to_string())
}

/// Reads one section, an object by file or a list.
///
/// # Errors
/// [`PartError`] naming the key.
pub fn read_section<P: Part>(
    written: Value,
    warnings: &mut Vec<String>,
) -> Result<Vec<P>, PartError> {
    let wrong = |at: &str, reason: String| PartError {
        at: format!("{}{at}", P::SECTION),
        reason,
    };
    let entries: Vec<(String, Option<String>, Value)> = match written {
        Value::Object(by_file) => by_file
            .into_iter()
            .map(|(file, entry)| (format!(".{file}"), Some(file), entry))
            .collect(),
        Value::Array(list) => {
            let numbered = list.into_iter().enumerate();
            let numbered = numbered.map(|(at, entry)| (format!("[{at}]"), None, entry));
            numbered.collect()
        }
        other => {
            let reason = format!("must be an object by file, not {}", kind(&other));
            return Err(wrong("", reason));
        }
    };
    if entries.len() > MAX_PARTS {
        let reason = format!("has {} entries; {MAX_PARTS} are allowed", entries.len());
        return Err(wrong("", reason));
    }
    let known = P::keys();
    let mut parts = Vec::with_capacity(entries.len());
    for (at, file, entry) in entries {
        let Value::Object(entry) = entry else {
            return Err(wrong(
                &at,
                format!("must be an object, not {}", kind(&entry)),
            ));
        };
        let entry = normal::<P>(entry, &known, &at, warnings)
            .map_err(|(key, reason)| wrong(&format!("{at}.{key}"), reason))?;
        let mut part: P =
            serde_path_to_error::deserialize(Value::Object(entry)).map_err(|error| {
                let key = error.path().to_string();
                let at = if key == "." {
                    at.clone()
                } else {
                    format!("{at}.{key}")
                };
                wrong(&at, error.inner().to_string())
            })?;
        let named = match (file, part.file()) {
            (Some(file), _) => file,
            (None, "") => return Err(wrong(&format!("{at}.file"), "is missing".into())),
            (None, file) => file.to_owned(),
        };
        let named = if named.contains('.') {
            named
        } else {
            format!("{named}.py")
        };
        check_file::<P>(&named).map_err(|reason| wrong(&at, reason))?;
        part.set_file(named);
        part.check()
            .map_err(|(key, reason)| wrong(&format!("{at}.{key}"), reason))?;
        parts.push(part);
    }
    Ok(parts)
}

/// An entry with every key under its own name; those that are not known are told of.
fn normal<P: Part>(
    entry: Map<String, Value>,
    known: &[String],
    at: &str,
    warnings: &mut Vec<String>,
) -> Result<Map<String, Value>, (String, String)> {
    let mut normal = Map::new();
    for (written, value) in entry {
        let snake = snake_case(&written);
        let alias = P::ALIASES.iter().find(|(alias, _)| *alias == snake);
        // A name that is a key of this section's own is that key.
        let key = match alias {
            Some((_, key)) if !known.contains(&snake) => (*key).to_owned(),
            _ => snake,
        };
        if !known.contains(&key) {
            let said = unknown_key(&written, &key, known);
            warnings.push(format!("{}{at}.{said}", P::SECTION));
            continue;
        }
        if normal.contains_key(&key) {
            return Err((written, "given twice, in two spellings".into()));
        }
        // `null` says as little as nothing does.
        if !value.is_null() {
            normal.insert(key, value);
        }
    }
    Ok(normal)
}

fn check_file<P: Part>(file: &str) -> Result<(), String> {
    let shown: String = file.chars().take(80).collect();
    let plain = |segment: &str| {
        segment.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    // Each is a module's name in Python.
    let is_module = !file.ends_with(".py") || !stem.contains('.');
    if file.len() > MAX_FILE_BYTES || !file.split('/').all(plain) || !is_module {
        return Err(format!(
            "{shown:?} is no file of a part: letters, digits, '_', '-' and one ending are wanted, \
             below {}/",
            P::SECTION
        ));
    }
    if !P::takes(file) {
        return Err(format!(
            "{shown:?} has an ending that is none of a part of {}",
            P::SECTION
        ));
    }
    Ok(())
}
