//! The index keys of a document: what each field of an index sees, arrays fanned out, and the
//! encoded bytes. Also gives sort keys, which are the least index key of a document.

use bson::{Bson, Document, RawBsonRef, RawDocument};

use super::{
    catalog::{Index, IndexField},
    entries,
};
use crate::{
    bail,
    error::{CommandError, Result},
    value::encode_key,
};

/// The encoded keys of one document.
#[derive(Debug, Default)]
pub struct Keys {
    /// Sorted, without duplicates.
    pub keys: Vec<Vec<u8>>,
    /// Whether an array was fanned out.
    pub multikey: bool,
    /// The forms of the values, as bits of [`entries`].
    pub forms: u64,
}

impl Keys {
    /// What the index holds with these keys, as bits of [`entries`].
    pub fn bits(&self) -> u64 {
        self.forms | if self.multikey { entries::MULTIKEY } else { 0 }
    }
}

/// The keys of a stored document in an index; none where a sparse or partial index leaves it out.
pub fn keys_of(index: &Index, raw: &RawDocument) -> Result<Keys> {
    if index.partial.is_none()
        && let Some(key) = simple_key(index, raw)?
    {
        return Ok(key);
    }
    let document = super::catalog::decode(raw.as_bytes())?;
    keys_of_document(index, &document)
}

/// As [`keys_of`], from a decoded document.
pub fn keys_of_document(index: &Index, document: &Document) -> Result<Keys> {
    if let Some(partial) = &index.partial
        && !partial.matches(document)?
    {
        return Ok(Keys::default());
    }
    if index.sparse && !has_some_field(document, &index.fields) {
        return Ok(Keys::default());
    }
    let mut result = Keys::default();
    result.multikey = each_tuple(document, &index.fields, &mut |values| {
        result.keys.push(encode(values, &index.fields));
        for (field, value) in values.iter().enumerate() {
            result.forms |= entries::form_of(field, value);
        }
    })?;
    result.keys.sort_unstable();
    result.keys.dedup();
    Ok(result)
}

/// Appends the least (in the pattern's order) key of a document: what it is sorted by.
pub fn sort_key(raw: &RawDocument, fields: &[IndexField], key: &mut Vec<u8>) -> Result<()> {
    let start = key.len();
    for (path, descending) in fields {
        match reach(raw, path)? {
            Reached::Array => {
                key.truncate(start);
                let document = super::catalog::decode(raw.as_bytes())?;
                return sort_key_of_document(&document, fields, key);
            }
            Reached::Value(value) => encode_raw_key(value, *descending, key)?,
            Reached::Nothing => encode_key(&Bson::Null, *descending, key),
        }
    }
    Ok(())
}

fn sort_key_of_document(
    document: &Document,
    fields: &[IndexField],
    key: &mut Vec<u8>,
) -> Result<()> {
    let mut least: Option<Vec<u8>> = None;
    each_tuple(document, fields, &mut |values| {
        let key = encode(values, fields);
        if least.as_ref().is_none_or(|other| key < *other) {
            least = Some(key);
        }
    })?;
    key.extend(least.unwrap_or_default());
    Ok(())
}

/// What stands at a path of stored bytes.
enum Reached<'a> {
    Value(RawBsonRef<'a>),
    Nothing,
    /// An array on the way or at the end, which has several values.
    Array,
}

fn reach<'a>(raw: &'a RawDocument, path: &str) -> Result<Reached<'a>> {
    let (mut raw, mut rest) = (raw, path);
    loop {
        let (part, tail) = rest.split_once('.').unwrap_or((rest, ""));
        match raw.get(part).map_err(damaged)? {
            None => return Ok(Reached::Nothing),
            Some(RawBsonRef::Array(_)) => return Ok(Reached::Array),
            Some(value) if tail.is_empty() => return Ok(Reached::Value(value)),
            Some(RawBsonRef::Document(inner)) => (raw, rest) = (inner, tail),
            Some(_) => return Ok(Reached::Nothing),
        }
    }
}

/// As [`encode_key`], from stored bytes.
fn encode_raw_key(value: RawBsonRef<'_>, descending: bool, out: &mut Vec<u8>) -> Result<()> {
    let value = match value {
        // Not copied out of the document.
        RawBsonRef::String(text) => {
            crate::value::encode_string_key(text, descending, out);
            return Ok(());
        }
        RawBsonRef::Int32(n) => Bson::Int32(n),
        RawBsonRef::Int64(n) => Bson::Int64(n),
        RawBsonRef::Double(n) => Bson::Double(n),
        RawBsonRef::ObjectId(id) => Bson::ObjectId(id),
        RawBsonRef::DateTime(date) => Bson::DateTime(date),
        other => Bson::try_from(other).map_err(damaged)?,
    };
    encode_key(&value, descending, out);
    Ok(())
}

/// The values behind an encoded key of the document, for an error message.
pub fn values_of_key(document: &Document, fields: &[IndexField], key: &[u8]) -> Document {
    let mut found = Document::new();
    // Cannot fail for a document whose keys were made before; an empty answer is good enough.
    let _ = each_tuple(document, fields, &mut |values| {
        if found.is_empty() && encode(values, fields) == key {
            for ((path, _), value) in fields.iter().zip(values) {
                found.insert(path.clone(), (*value).clone());
            }
        }
    });
    found
}

fn encode(values: &[&Bson], fields: &[IndexField]) -> Vec<u8> {
    let mut key = Vec::with_capacity(16 * values.len());
    for (value, (_, descending)) in values.iter().zip(fields) {
        encode_key(value, *descending, &mut key);
    }
    key
}

/// The key where all fields are top-level and no array is among them; saves decoding the document.
fn simple_key(index: &Index, raw: &RawDocument) -> Result<Option<Keys>> {
    let mut key = Vec::with_capacity(16 * index.fields.len());
    let (mut missing, mut forms) = (0, 0);
    for (field, (path, descending)) in index.fields.iter().enumerate() {
        if path.contains('.') {
            return Ok(None);
        }
        let value = raw.get(path).map_err(damaged)?;
        forms |= entries::form(field, value);
        match value {
            Some(RawBsonRef::Array(_)) => return Ok(None),
            Some(value) => encode_raw_key(value, *descending, &mut key)?,
            None => {
                missing += 1;
                encode_key(&Bson::Null, *descending, &mut key);
            }
        }
    }
    if index.sparse && missing == index.fields.len() {
        return Ok(Some(Keys::default()));
    }
    Ok(Some(Keys {
        keys: vec![key],
        multikey: false,
        forms,
    }))
}

fn damaged(error: impl std::fmt::Display) -> crate::error::CommandError {
    crate::error::CommandError::new(crate::error::Code::InvalidBSON, error.to_string())
}

fn has_some_field(document: &Document, fields: &[IndexField]) -> bool {
    fields.iter().any(|(path, _)| {
        let mut found = false;
        crate::value::walk_path(document, path, &mut |value| found |= value.is_some());
        found
    })
}

/// Where a field stands on its way through the document.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// Arrived.
    Value(&'a Bson),
    /// At an array, with this much of the path left (empty at the end of it).
    Array(&'a [Bson], &'a str),
}

/// Calls `visit` with the values of each key. True where an array was fanned out.
fn each_tuple<'a>(
    document: &'a Document,
    fields: &'a [IndexField],
    visit: &mut dyn FnMut(&[&Bson]),
) -> Result<bool> {
    let steps: Vec<Step<'a>> = fields
        .iter()
        .map(|(path, _)| walk(document, path))
        .collect::<Result<_>>()?;
    fan_out(steps, visit)
}

fn fan_out(steps: Vec<Step<'_>>, visit: &mut dyn FnMut(&[&Bson])) -> Result<bool> {
    let mut array: Option<&[Bson]> = None;
    for step in &steps {
        if let Step::Array(items, _) = step {
            match array {
                None => array = Some(items),
                Some(other)
                    if std::ptr::eq(other.as_ptr(), items.as_ptr())
                        && other.len() == items.len() => {}
                Some(_) => bail!(CannotIndexParallelArrays, "cannot index parallel arrays"),
            }
        }
    }
    let Some(items) = array else {
        let values: Vec<&Bson> = steps
            .iter()
            .map(|step| match step {
                Step::Value(value) => *value,
                Step::Array(..) => &Bson::Null,
            })
            .collect();
        visit(&values);
        return Ok(false);
    };
    if items.is_empty() {
        let values = steps
            .iter()
            .map(|step| match step {
                Step::Array(_, "") => Step::Value(&Bson::Undefined),
                Step::Array(..) => Step::Value(&Bson::Null),
                Step::Value(value) => Step::Value(value),
            })
            .collect();
        fan_out(values, visit)?;
        return Ok(true);
    }
    for item in items {
        let next = steps
            .iter()
            .map(|step| {
                Ok(match *step {
                    Step::Value(value) => Step::Value(value),
                    Step::Array(_, "") => Step::Value(item),
                    Step::Array(_, rest) => match item {
                        Bson::Document(inner) => walk(inner, rest)?,
                        _ => Step::Value(&Bson::Null),
                    },
                })
            })
            .collect::<Result<_>>()?;
        fan_out(next, visit)?;
    }
    Ok(true)
}

/// Follows `path` until its end or an array.
fn walk<'a>(document: &'a Document, path: &'a str) -> Result<Step<'a>> {
    let (mut document, mut rest) = (document, path);
    loop {
        let (part, tail) = rest.split_once('.').unwrap_or((rest, ""));
        let Some(mut value) = document.get(part) else {
            return Ok(Step::Value(&Bson::Null));
        };
        rest = tail;
        loop {
            match value {
                Bson::Array(items) => {
                    let (part, tail) = rest.split_once('.').unwrap_or((rest, ""));
                    // A number after an array is a position, if there is one; else it is a name in
                    // the documents of the array.
                    match part
                        .parse::<usize>()
                        .ok()
                        .and_then(|position| items.get(position))
                    {
                        Some(item) => {
                            refuse_ambiguous(items, part)?;
                            value = item;
                            rest = tail;
                        }
                        None => return Ok(Step::Array(items, rest)),
                    }
                }
                _ if rest.is_empty() => return Ok(Step::Value(value)),
                Bson::Document(inner) => {
                    document = inner;
                    break;
                }
                _ => return Ok(Step::Value(&Bson::Null)),
            }
        }
    }
}

/// A filter looks for both a position and a name; a key can hold only one of them.
fn refuse_ambiguous(items: &[Bson], part: &str) -> Result<()> {
    let named = |item: &Bson| matches!(item, Bson::Document(inner) if inner.contains_key(part));
    if items.iter().any(named) {
        return Err(CommandError::location(
            16746,
            format!(
                "Ambiguous field name found in array (do not use numeric field names in embedded \
                 elements in an array), field: '{part}'"
            ),
        ));
    }
    Ok(())
}
