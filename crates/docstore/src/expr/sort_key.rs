//! Sort patterns over documents: keys by MongoDB's rule for arrays (least element ascending,
//! greatest descending) and their comparison.

use std::cmp::Ordering;

use bson::{Bson, Document};

use super::{number::Number, parse::split_path};
use crate::{
    bail,
    error::{CommandError, Result},
    value::{compare, encode_key},
};

/// A parsed sort such as `{a: 1, "b.c": -1}`.
#[derive(Debug, Clone)]
pub struct SortPattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    path: Vec<String>,
    descending: bool,
}

/// Where the walk towards one key stands.
#[derive(Clone, Copy)]
struct Cursor<'d> {
    value: Option<&'d Bson>,
    rest: &'d [String],
}

impl SortPattern {
    /// Parses a sort document; every direction is 1 or -1.
    pub fn parse(sort: &Document) -> Result<Self> {
        if sort.is_empty() {
            return Err(CommandError::location(
                15976,
                "$sort stage must have at least one sort key",
            ));
        }
        if sort.len() > 32 {
            bail!(BadValue, "too many compound keys: a sort has at most 32");
        }
        let mut parts = Vec::with_capacity(sort.len());
        for (path, direction) in sort {
            if matches!(direction, Bson::Document(_)) {
                bail!(
                    CommandNotSupported,
                    "sorting by $meta is not supported (sort key '{path}')"
                );
            }
            let Some(number) = Number::from_bson(direction) else {
                return Err(CommandError::location(
                    15974,
                    format!("Illegal key in $sort specification: {path}: {direction}"),
                ));
            };
            let descending = match number.to_f64() {
                1.0 => false,
                -1.0 => true,
                _ => {
                    return Err(CommandError::location(
                        15975,
                        "$sort key ordering must be 1 (for ascending) or -1 (for descending)",
                    ));
                }
            };
            parts.push(Part {
                path: split_path(path)?,
                descending,
            });
        }
        Ok(Self { parts })
    }

    /// The document's sort key: one value a part, missing as null.
    pub fn key(&self, document: &Document) -> Result<Vec<Bson>> {
        let mut cursors: Vec<Cursor<'_>> = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (first, rest) = part
                .path
                .split_first()
                .unwrap_or((const { &String::new() }, &[]));
            cursors.push(Cursor {
                value: document.get(first),
                rest,
            });
        }
        let mut least: Option<Vec<Bson>> = None;
        self.expand(cursors, 0, &mut least)?;
        Ok(least.unwrap_or_default())
    }

    /// Walks all cursors on; where they meet an array, tries each of its elements and keeps the key
    /// that sorts first.
    fn expand(
        &self,
        mut cursors: Vec<Cursor<'_>>,
        depth: usize,
        least: &mut Option<Vec<Bson>>,
    ) -> Result<()> {
        let mut array: Option<&Vec<Bson>> = None;
        let mut blocked = Vec::new();
        for (index, cursor) in cursors.iter_mut().enumerate() {
            if let Some(found) = advance(cursor) {
                if array.is_some_and(|other| !std::ptr::eq(other, found)) {
                    bail!(BadValue, "cannot sort with keys that are parallel arrays");
                }
                array = Some(found);
                blocked.push(index);
            }
        }
        let Some(items) = array.filter(|_| depth <= super::parse::MAX_DEPTH) else {
            let key: Vec<Bson> = cursors
                .iter()
                .map(|cursor| cursor.value.cloned().unwrap_or(Bson::Null))
                .collect();
            if least
                .as_ref()
                .is_none_or(|best| self.compare(&key, best).is_lt())
            {
                *least = Some(key);
            }
            return Ok(());
        };
        static UNDEFINED: Bson = Bson::Undefined;
        if items.is_empty() {
            for index in blocked {
                let cursor = &mut cursors[index];
                cursor.value = cursor.rest.is_empty().then_some(&UNDEFINED);
                cursor.rest = &[];
            }
            return self.expand(cursors, depth + 1, least);
        }
        for item in items {
            let mut next = cursors.clone();
            for &index in &blocked {
                let cursor = &mut next[index];
                // An array in an array is a value of its own.
                if cursor.rest.is_empty() || matches!(item, Bson::Document(_)) {
                    cursor.value = Some(item);
                } else {
                    cursor.value = None;
                    cursor.rest = &[];
                }
            }
            self.expand_element(next, &blocked, depth + 1, least)?;
        }
        Ok(())
    }

    /// As [`Self::expand`], where the `blocked` cursors that ended in an element are done.
    fn expand_element(
        &self,
        mut cursors: Vec<Cursor<'_>>,
        blocked: &[usize],
        depth: usize,
        least: &mut Option<Vec<Bson>>,
    ) -> Result<()> {
        let nested = blocked.iter().any(|&index| {
            cursors[index].rest.is_empty() && matches!(cursors[index].value, Some(Bson::Array(_)))
        });
        if nested {
            let key: Vec<Bson> = cursors
                .iter_mut()
                .map(|cursor| {
                    // Whatever else is an array here stands for itself.
                    let _ = advance(cursor);
                    let value = if cursor.rest.is_empty() {
                        cursor.value
                    } else {
                        None
                    };
                    value.cloned().unwrap_or(Bson::Null)
                })
                .collect();
            if least
                .as_ref()
                .is_none_or(|best| self.compare(&key, best).is_lt())
            {
                *least = Some(key);
            }
            return Ok(());
        }
        self.expand(cursors, depth, least)
    }

    /// Appends the document's sort key as bytes whose order is the pattern's.
    pub fn encode(&self, document: &Document, key: &mut Vec<u8>) -> Result<()> {
        for (value, part) in self.key(document)?.iter().zip(&self.parts) {
            encode_key(value, part.descending, key);
        }
        Ok(())
    }

    /// Compares two keys of this pattern.
    pub fn compare(&self, a: &[Bson], b: &[Bson]) -> Ordering {
        for ((part, a), b) in self.parts.iter().zip(a).zip(b) {
            let ordering = compare(a, b);
            if ordering.is_ne() {
                return if part.descending {
                    ordering.reverse()
                } else {
                    ordering
                };
            }
        }
        Ordering::Equal
    }
}

/// Walks through documents; gives the array that it is stopped by.
fn advance<'d>(cursor: &mut Cursor<'d>) -> Option<&'d Vec<Bson>> {
    loop {
        match (cursor.value, cursor.rest.split_first()) {
            (Some(Bson::Array(items)), Some((first, rest))) => {
                let positional = first
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index));
                match positional {
                    Some(item) => {
                        cursor.value = Some(item);
                        cursor.rest = rest;
                    }
                    None => return Some(items),
                }
            }
            (Some(Bson::Array(items)), None) => return Some(items),
            (Some(Bson::Document(document)), Some((first, rest))) => {
                cursor.value = document.get(first);
                cursor.rest = rest;
            }
            (_, Some(_)) => {
                cursor.value = None;
                cursor.rest = &[];
            }
            (_, None) => return None,
        }
    }
}
