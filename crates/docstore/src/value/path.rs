//! Dotted paths: as queries see them (arrays are fanned out) and as plain addresses.

use std::ops::ControlFlow;

use bson::{Bson, Document};

/// What a path of a query reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reached<'a> {
    /// No value at a place where one could be.
    Missing {
        /// The outermost array that was fanned out: the position in it.
        position: Option<usize>,
    },
    /// A value; an array is given as itself.
    Value {
        /// The value.
        value: &'a Bson,
        /// The outermost array that was fanned out: the position in it.
        position: Option<usize>,
        /// Whether conditions also look at the elements of an array found here. They don't where
        /// the path's last part was an index into an array.
        expand: bool,
    },
}

/// Parts of a dotted path.
pub fn split_path(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

/// The array position that a path part names: decimal digits without leading zeros.
pub fn array_index(part: &str) -> Option<usize> {
    let digits = part.bytes().all(|b| b.is_ascii_digit());
    let plain = part == "0" || !part.starts_with('0');
    (digits && plain).then(|| part.parse().ok()).flatten()
}

/// All values that `path` reaches in `doc` as a query sees them: arrays along the way are fanned
/// out, numeric parts also index into arrays. An array at the end is given as itself.
///
/// `visit` gets `None` for each place that has no value. It is not called at all where the path
/// ends in an array without anything to go on with: in `{a: [1]}`, `a.b` reaches nothing, which is
/// why `{"a.b": null}` does not match it.
pub fn walk_path(doc: &Document, path: &str, visit: &mut dyn FnMut(Option<&Bson>)) {
    let parts = split_path(path);
    let _ = walk_parts(doc, &parts, &mut |reached| {
        match reached {
            Reached::Missing { .. } => visit(None),
            Reached::Value { value, .. } => visit(Some(value)),
        }
        ControlFlow::Continue(())
    });
}

/// [`walk_path`] with positions; stops where `visit` breaks.
pub(crate) fn walk_parts<'a>(
    doc: &'a Document,
    parts: &[String],
    visit: &mut dyn FnMut(Reached<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    walk_document(doc, parts, None, visit)
}

fn walk_document<'a>(
    mut doc: &'a Document,
    mut parts: &[String],
    position: Option<usize>,
    visit: &mut dyn FnMut(Reached<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    while let [part, rest @ ..] = parts {
        let Some(value) = doc.get(part) else { break };
        if rest.is_empty() {
            return visit(Reached::Value {
                value,
                position,
                expand: true,
            });
        }
        match value {
            Bson::Document(inner) => (doc, parts) = (inner, rest),
            Bson::Array(items) => return walk_array(items, rest, position, visit),
            _ => break,
        }
    }
    visit(Reached::Missing { position })
}

/// `parts` is not empty: the path goes on inside the array.
fn walk_array<'a>(
    items: &'a [Bson],
    parts: &[String],
    position: Option<usize>,
    visit: &mut dyn FnMut(Reached<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let index = parts.first().and_then(|part| array_index(part));
    let rest = parts.get(1..).unwrap_or_default();
    for (i, item) in items.iter().enumerate() {
        if let Bson::Document(inner) = item {
            walk_document(inner, parts, position.or(Some(i)), visit)?;
        }
        if index != Some(i) {
            continue;
        }
        if rest.is_empty() {
            visit(Reached::Value {
                value: item,
                position,
                expand: false,
            })?;
            continue;
        }
        match item {
            Bson::Document(inner) => walk_document(inner, rest, position, visit)?,
            Bson::Array(nested) => walk_array(nested, rest, position, visit)?,
            _ => {}
        }
    }
    ControlFlow::Continue(())
}

/// The value at a plain address: names in documents, indexes in arrays, no fanning out.
pub fn get_path<'a>(doc: &'a Document, path: &str) -> Option<&'a Bson> {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(a, b)| (a, Some(b)));
    let mut value = doc.get(first)?;
    for part in rest.into_iter().flat_map(|rest| rest.split('.')) {
        value = match value {
            Bson::Document(inner) => inner.get(part)?,
            Bson::Array(items) => items.get(array_index(part)?)?,
            _ => return None,
        };
    }
    Some(value)
}

/// Puts a value at a plain address, making documents on the way; an array along the path is
/// indexed if it has that position. False, and nothing changed, where something else is in the way.
pub fn set_path(doc: &mut Document, path: &str, value: Bson) -> bool {
    let Some((first, rest)) = path.split_once('.') else {
        doc.insert(path, value);
        return true;
    };
    let mut at = doc
        .entry(first)
        .or_insert_with(|| Bson::Document(Document::new()));
    let parts: Vec<&str> = rest.split('.').collect();
    let Some((last, middle)) = parts.split_last() else {
        return false;
    };
    for part in middle {
        let next = match at {
            Bson::Document(inner) => Some(
                inner
                    .entry(*part)
                    .or_insert_with(|| Bson::Document(Document::new())),
            ),
            Bson::Array(items) => array_index(part).and_then(|i| items.get_mut(i)),
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    match at {
        Bson::Document(inner) => {
            inner.insert(*last, value);
            true
        }
        Bson::Array(items) => match array_index(last).and_then(|i| items.get_mut(i)) {
            Some(slot) => {
                *slot = value;
                true
            }
            None => false,
        },
        _ => false,
    }
}
