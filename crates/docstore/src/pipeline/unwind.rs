//! `$unwind`: one document for each element of an array.

use bson::{Bson, Document};

use super::options::check_known;
use crate::{
    error::{CommandError, Result},
    expr::{parse::split_path, types},
};

/// A parsed `$unwind`.
#[derive(Debug)]
pub(super) struct Unwind {
    path: Vec<String>,
    index: Option<Vec<String>>,
    preserve: bool,
}

impl Unwind {
    pub(super) fn parse(argument: &Bson) -> Result<Self> {
        let (path, index, preserve) = match argument {
            Bson::String(path) => (path, None, false),
            Bson::Document(options) => {
                check_known(
                    "$unwind stage",
                    options,
                    &["path", "includeArrayIndex", "preserveNullAndEmptyArrays"],
                    28811,
                )?;
                let path = match options.get("path") {
                    Some(Bson::String(path)) => path,
                    None => {
                        return Err(CommandError::location(
                            28812,
                            "no path specified to $unwind stage",
                        ));
                    }
                    other => {
                        return Err(CommandError::location(
                            28808,
                            format!(
                                "expected a string as the path for $unwind stage, got {}",
                                types::name(other)
                            ),
                        ));
                    }
                };
                let index = match options.get("includeArrayIndex") {
                    None => None,
                    Some(Bson::String(name)) if name.starts_with('$') => {
                        return Err(CommandError::location(
                            28822,
                            format!(
                                "includeArrayIndex option to $unwind stage should not be prefixed with a '$': {name}"
                            ),
                        ));
                    }
                    Some(Bson::String(name)) if !name.is_empty() => Some(split_path(name)?),
                    other => {
                        return Err(CommandError::location(
                            28810,
                            format!(
                                "expected a non-empty string for the includeArrayIndex  option to $unwind stage, got {}",
                                types::name(other)
                            ),
                        ));
                    }
                };
                let preserve = match options.get("preserveNullAndEmptyArrays") {
                    None => false,
                    Some(Bson::Boolean(preserve)) => *preserve,
                    other => {
                        return Err(CommandError::location(
                            28809,
                            format!(
                                "expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage, got {}",
                                types::name(other)
                            ),
                        ));
                    }
                };
                (path, index, preserve)
            }
            other => {
                return Err(CommandError::location(
                    15981,
                    format!(
                        "expected either a string or an object as specification for $unwind stage, got {}",
                        types::name(Some(other))
                    ),
                ));
            }
        };
        let Some(path) = path.strip_prefix('$') else {
            return Err(CommandError::location(
                28818,
                format!("path option to $unwind stage should be prefixed with a '$': {path}"),
            ));
        };
        Ok(Self {
            path: split_path(path)?,
            index,
            preserve,
        })
    }

    /// The top-level field that is unwound.
    pub(super) fn field(&self) -> Option<String> {
        self.path.first().cloned()
    }

    /// The documents that one becomes.
    pub(super) fn run<'a>(
        &'a self,
        mut document: Document,
    ) -> Box<dyn Iterator<Item = Document> + 'a> {
        let items = match find(&mut document, &self.path) {
            Some(Bson::Array(items)) => std::mem::take(items),
            value if types::is_nullish(value.as_deref()) => {
                return Box::new(
                    self.preserve
                        .then(|| self.numbered(document, None))
                        .into_iter(),
                );
            }
            _ => return Box::new(std::iter::once(self.numbered(document, None))),
        };
        if items.is_empty() {
            return Box::new(
                self.preserve
                    .then(|| {
                        remove(&mut document, &self.path);
                        self.numbered(document, None)
                    })
                    .into_iter(),
            );
        }
        // The last element takes the document itself; the others take copies without the array.
        let last = items.len() - 1;
        let mut base = Some(document);
        Box::new(
            items
                .into_iter()
                .enumerate()
                .filter_map(move |(index, item)| {
                    let mut document = if index == last {
                        base.take()?
                    } else {
                        base.clone()?
                    };
                    *find(&mut document, &self.path)? = item;
                    Some(self.numbered(document, Some(index as i64)))
                }),
        )
    }

    fn numbered(&self, mut document: Document, index: Option<i64>) -> Document {
        if let Some(path) = &self.index {
            set(&mut document, path, index.map_or(Bson::Null, Bson::Int64));
        }
        document
    }
}

fn find<'d>(document: &'d mut Document, path: &[String]) -> Option<&'d mut Bson> {
    let (first, rest) = path.split_first()?;
    let value = document.get_mut(first)?;
    match (rest.is_empty(), value) {
        (true, value) => Some(value),
        (false, Bson::Document(inner)) => find(inner, rest),
        (false, _) => None,
    }
}

fn remove(document: &mut Document, path: &[String]) {
    if let Some((last, parents)) = path.split_last() {
        if parents.is_empty() {
            document.remove(last);
        } else if let Some(Bson::Document(parent)) = find(document, parents) {
            parent.remove(last);
        }
    }
}

/// Sets a dotted path, making documents on the way.
pub(super) fn set(document: &mut Document, path: &[String], value: Bson) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        document.insert(first.as_str(), value);
        return;
    }
    if !matches!(document.get(first), Some(Bson::Document(_))) {
        document.insert(first.as_str(), Document::new());
    }
    if let Some(Bson::Document(inner)) = document.get_mut(first) {
        set(inner, rest, value);
    }
}
