//! Object operators, and the sizes of values.

use bson::{Bson, Document, doc};

use super::{node::Arguments, types};
use crate::{
    bail,
    error::{CommandError, Result},
};

type Answer = Result<Option<Bson>>;

fn null() -> Answer {
    Ok(Some(Bson::Null))
}

pub(super) fn merge(mut arguments: Arguments<'_>) -> Answer {
    let inputs = if arguments.len() == 1 && matches!(arguments.get(0), Some(Bson::Array(_))) {
        match arguments.take(0) {
            Some(Bson::Array(items)) => items,
            _ => Vec::new(),
        }
    } else {
        (0..arguments.len())
            .filter_map(|index| arguments.take(index))
            .collect()
    };
    let mut merged = Document::new();
    for input in inputs {
        match input {
            Bson::Document(document) if merged.is_empty() => merged = document,
            Bson::Document(document) => merged.extend(document),
            Bson::Null | Bson::Undefined => {}
            other => {
                return arguments.fail(
                    40400,
                    format!(
                        "$mergeObjects requires object inputs, but input {other} is of type {}",
                        types::name(Some(&other))
                    ),
                );
            }
        }
    }
    Ok(Some(Bson::Document(merged)))
}

fn field_name(arguments: &Arguments<'_>) -> Result<String> {
    match arguments.get(0) {
        Some(Bson::String(name)) => Ok(name.clone()),
        other => arguments.fail(
            4_161_107,
            format!(
                "{} requires 'field' to evaluate to type String, but got {}",
                arguments.name,
                types::name(other)
            ),
        ),
    }
}

fn object(arguments: &mut Arguments<'_>, index: usize) -> Result<Option<Document>> {
    match arguments.take(index) {
        Some(Bson::Document(document)) => Ok(Some(document)),
        None | Some(Bson::Null | Bson::Undefined) => Ok(None),
        other => arguments.fail(
            4_161_105,
            format!(
                "{} requires 'input' to evaluate to type Object, but got {}",
                arguments.name,
                types::name(other.as_ref())
            ),
        ),
    }
}

pub(super) fn set_field(mut arguments: Arguments<'_>) -> Answer {
    let name = field_name(&arguments)?;
    let Some(mut document) = object(&mut arguments, 1)? else {
        return null();
    };
    match arguments.take(2) {
        Some(value) => {
            document.insert(name, value);
        }
        None => {
            document.remove(&name);
        }
    }
    Ok(Some(Bson::Document(document)))
}

pub(super) fn unset_field(mut arguments: Arguments<'_>) -> Answer {
    let name = field_name(&arguments)?;
    let Some(mut document) = object(&mut arguments, 1)? else {
        return null();
    };
    document.remove(&name);
    Ok(Some(Bson::Document(document)))
}

pub(super) fn to_array(mut arguments: Arguments<'_>) -> Answer {
    if arguments.nullish(0) {
        return null();
    }
    match arguments.take(0) {
        Some(Bson::Document(document)) => {
            let pairs = document
                .into_iter()
                .map(|(k, v)| Bson::Document(doc! { "k": k, "v": v }));
            Ok(Some(Bson::Array(pairs.collect())))
        }
        other => arguments.fail(
            40390,
            format!(
                "$objectToArray requires a document input, found: {}",
                types::name(other.as_ref())
            ),
        ),
    }
}

pub(super) fn from_array(mut arguments: Arguments<'_>) -> Answer {
    if arguments.nullish(0) {
        return null();
    }
    let items = match arguments.take(0) {
        Some(Bson::Array(items)) => items,
        other => {
            return arguments.fail(
                40386,
                format!(
                    "$arrayToObject requires an array input, found: {}",
                    types::name(other.as_ref())
                ),
            );
        }
    };
    let mut document = Document::new();
    let mut pairs: Option<bool> = None;
    for item in items {
        let is_pair = matches!(item, Bson::Array(_));
        let (key, value) = match item {
            Bson::Array(pair) => array_pair(pair)?,
            Bson::Document(pair) => object_pair(pair)?,
            other => {
                return arguments.fail(
                    40398,
                    format!(
                        "Unrecognised input type format for $arrayToObject: {}",
                        types::name(Some(&other))
                    ),
                );
            }
        };
        if *pairs.get_or_insert(is_pair) != is_pair {
            return arguments.fail(
                if is_pair { 40396 } else { 40391 },
                "$arrayToObject requires a consistent input format: either all pairs are arrays, \
                 or all are objects with fields 'k' and 'v'",
            );
        }
        if key.contains('\0') {
            return arguments.fail(4_940_400, "Key field cannot contain an embedded null byte");
        }
        document.insert(key, value);
    }
    Ok(Some(Bson::Document(document)))
}

fn array_pair(pair: Vec<Bson>) -> Result<(String, Bson)> {
    let length = pair.len();
    let mut parts = pair.into_iter();
    match (parts.next(), parts.next(), length) {
        (Some(Bson::String(key)), Some(value), 2) => Ok((key, value)),
        (Some(key), Some(_), 2) => Err(CommandError::location(
            40395,
            format!(
                "$arrayToObject requires an array of key-value pairs, where the key must be of \
                 type string. Found key type: {}",
                types::name(Some(&key))
            ),
        )),
        _ => Err(CommandError::location(
            40397,
            format!(
                "$arrayToObject requires an array of size 2 arrays,found array of size: {length}"
            ),
        )),
    }
}

fn object_pair(mut pair: Document) -> Result<(String, Bson)> {
    if pair.len() != 2 {
        return Err(CommandError::location(
            40392,
            format!(
                "$arrayToObject requires an object keys of 'k' and 'v'. Found incorrect number of \
                 keys:{}",
                pair.len()
            ),
        ));
    }
    match (pair.remove("k"), pair.remove("v")) {
        (Some(Bson::String(key)), Some(value)) => Ok((key, value)),
        (Some(key), Some(_)) => Err(CommandError::location(
            40394,
            format!(
                "$arrayToObject requires an object with keys 'k' and 'v', where the value of 'k' \
                 must be of type string. Found type: {}",
                types::name(Some(&key))
            ),
        )),
        _ => Err(CommandError::location(
            40393,
            "$arrayToObject requires an object with keys 'k' and 'v'. Missing either or both keys",
        )),
    }
}

pub(super) fn binary_size(arguments: Arguments<'_>) -> Answer {
    match arguments.get(0) {
        value if types::is_nullish(value) => null(),
        Some(Bson::String(text)) => Ok(Some(Bson::Int32(text.len() as i32))),
        Some(Bson::Binary(binary)) => Ok(Some(Bson::Int32(binary.bytes.len() as i32))),
        other => arguments.fail(
            51276,
            format!(
                "$binarySize requires a string or BinData argument, found: {}",
                types::name(other)
            ),
        ),
    }
}

pub(super) fn bson_size(arguments: Arguments<'_>) -> Answer {
    match arguments.get(0) {
        value if types::is_nullish(value) => null(),
        Some(Bson::Document(document)) => match document.to_vec() {
            Ok(bytes) => Ok(Some(Bson::Int32(bytes.len() as i32))),
            Err(error) => bail!(
                InvalidBSON,
                "$bsonSize got an object that is no BSON: {error}"
            ),
        },
        other => arguments.fail(
            31393,
            format!(
                "$bsonSize requires a document input, found: {}",
                types::name(other)
            ),
        ),
    }
}
