//! Paths of updates: their parts, the positions they stand for in a document, and writing to them.

use std::cmp::Ordering;

use bson::{Bson, Document};

use crate::{
    bail,
    error::Result,
    update::{ApplyContext, filters::ArrayFilters},
    value::array_index,
};

/// As deep as a path may go.
const MAX_PARTS: usize = 100;
/// How many nulls writing past the end of an array may add.
const MAX_BACKFILL: usize = 1_500_000;

/// A part of a path as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A field name or an array index.
    Name(String),
    /// `$`: the position that the filter matched.
    Matched,
    /// `$[]`: every position.
    All,
    /// `$[id]`: the positions that an array filter admits.
    Filtered(String),
}

/// A path as written.
#[derive(Debug, Clone)]
pub(super) struct UpdatePath {
    pub(super) text: String,
    pub(super) parts: Vec<Part>,
}

impl UpdatePath {
    /// Splits and checks a path.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            bail!(EmptyFieldName, "An empty update path is not valid.");
        }
        let parts: Vec<Part> = text
            .split('.')
            .enumerate()
            .map(|(depth, part)| parse_part(text, part, depth))
            .collect::<Result<_>>()?;
        if parts.len() > MAX_PARTS {
            bail!(
                Overflow,
                "the update path '{text}' has more than {MAX_PARTS} parts"
            );
        }
        if !matches!(parts.first(), Some(Part::Name(_))) {
            bail!(
                BadValue,
                "Cannot have positional (i.e. '$') element in the first position in path '{text}'"
            );
        }
        if parts.iter().filter(|part| **part == Part::Matched).count() > 1 {
            bail!(
                BadValue,
                "Too many positional (i.e. '$') elements found in path '{text}'"
            );
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// Whether any part stands for positions.
    pub(super) fn is_dynamic(&self) -> bool {
        !self.parts.iter().all(|part| matches!(part, Part::Name(_)))
    }

    /// The plain addresses that the path stands for in `doc`.
    pub(super) fn expand(
        &self,
        doc: &Document,
        ctx: ApplyContext,
        filters: &ArrayFilters,
    ) -> Result<Vec<Vec<String>>> {
        let mut addresses = vec![Vec::with_capacity(self.parts.len())];
        for part in &self.parts {
            let mut next = Vec::with_capacity(addresses.len());
            for address in addresses {
                match part {
                    Part::Name(name) => next.push(joined(&address, name.clone())),
                    Part::Matched => match ctx.position {
                        Some(position) => next.push(joined(&address, position.to_string())),
                        None => bail!(
                            BadValue,
                            "The positional operator did not find the match needed from the query."
                        ),
                    },
                    Part::All | Part::Filtered(_) => {
                        let items = array_at(doc, &address)?;
                        for (i, item) in items.iter().enumerate() {
                            let admitted = match part {
                                Part::Filtered(id) => filters.admit(id, item)?,
                                _ => true,
                            };
                            if admitted {
                                next.push(joined(&address, i.to_string()));
                            }
                        }
                    }
                }
            }
            addresses = next;
        }
        Ok(addresses)
    }
}

fn joined(address: &[String], part: String) -> Vec<String> {
    let mut longer = Vec::with_capacity(address.len() + 1);
    longer.extend_from_slice(address);
    longer.push(part);
    longer
}

fn parse_part(text: &str, part: &str, depth: usize) -> Result<Part> {
    if part.is_empty() {
        bail!(
            EmptyFieldName,
            "The update path '{text}' contains an empty field name, which is not allowed."
        );
    }
    if part == "$" {
        return Ok(Part::Matched);
    }
    if let Some(id) = part
        .strip_prefix("$[")
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return Ok(if id.is_empty() {
            Part::All
        } else {
            Part::Filtered(id.to_owned())
        });
    }
    // Below the top level any name may start with `$` since MongoDB 5.0, but for those in `_id`.
    let below = depth > 0 && !text.starts_with("_id.");
    if part.starts_with('$') && !below && !crate::expr::parse::is_reference_part(part) {
        bail!(
            DollarPrefixedFieldName,
            "The dollar ($) prefixed field '{part}' in '{text}' is not valid for storage."
        );
    }
    Ok(Part::Name(part.to_owned()))
}

fn array_at<'a>(doc: &'a Document, address: &[String]) -> Result<&'a [Bson]> {
    let path = address.join(".");
    match lookup(doc, address) {
        Lookup::Found(Bson::Array(items)) => Ok(items),
        Lookup::Found(other) => {
            bail!(
                BadValue,
                "Cannot apply array updates to non-array element {path}: {other}"
            )
        }
        Lookup::Missing | Lookup::Blocked { .. } => bail!(
            BadValue,
            "The path '{path}' must exist in the document in order to apply array updates."
        ),
    }
}

/// What stands at an address.
pub(super) enum Lookup<'a> {
    Found(&'a Bson),
    /// Nothing, but it could be written.
    Missing,
    /// Nothing could be written: `field` would be in something that is no document.
    Blocked {
        field: String,
        holder: String,
        value: &'a Bson,
    },
}

/// Looks an address up.
pub(super) fn lookup<'a>(doc: &'a Document, address: &[String]) -> Lookup<'a> {
    let Some((first, rest)) = address.split_first() else {
        return Lookup::Missing;
    };
    let Some(mut value) = doc.get(first) else {
        return Lookup::Missing;
    };
    let mut holder = first;
    for part in rest {
        let blocked = || Lookup::Blocked {
            field: part.clone(),
            holder: holder.clone(),
            value,
        };
        let next = match value {
            Bson::Document(inner) => inner.get(part),
            Bson::Array(items) => match array_index(part) {
                Some(index) => items.get(index),
                None => return blocked(),
            },
            _ => return blocked(),
        };
        let Some(next) = next else {
            return Lookup::Missing;
        };
        (value, holder) = (next, part);
    }
    Lookup::Found(value)
}

/// Whether the way to an address leads through an array: the name of that array.
pub(super) fn array_on_the_way<'a>(doc: &Document, address: &'a [String]) -> Option<&'a str> {
    (1..address.len()).find_map(|end| {
        let is_array = matches!(lookup(doc, &address[..end]), Lookup::Found(Bson::Array(_)));
        is_array.then(|| address[end - 1].as_str())
    })
}

/// Writes to an address that [`lookup`] did not find blocked, making what is missing on the way.
pub(super) fn write(doc: &mut Document, address: &[String], value: Bson) -> Result<()> {
    let Some((last, middle)) = address.split_last() else {
        return Ok(());
    };
    let Some((first, middle)) = middle.split_first() else {
        doc.insert(last, value);
        return Ok(());
    };
    let mut at = doc.entry(first).or_insert_with(empty);
    for part in middle {
        at = child(at, part)?;
        if matches!(at, Bson::Undefined) {
            *at = empty();
        }
    }
    *child(at, last)? = value;
    Ok(())
}

fn empty() -> Bson {
    Bson::Document(Document::new())
}

/// The slot of `part`, new ones being undefined.
fn child<'a>(at: &'a mut Bson, part: &str) -> Result<&'a mut Bson> {
    match at {
        Bson::Document(inner) => Ok(inner.entry(part).or_insert(Bson::Undefined)),
        Bson::Array(items) => {
            let Some(index) = array_index(part) else {
                bail!(PathNotViable, "Cannot create field '{part}' in an array")
            };
            if index > items.len().saturating_add(MAX_BACKFILL) {
                bail!(BadValue, "can't backfill more than {MAX_BACKFILL} elements");
            }
            if index >= items.len() {
                items.resize(index, Bson::Null);
                items.push(Bson::Undefined);
            }
            Ok(&mut items[index])
        }
        other => bail!(
            PathNotViable,
            "Cannot create field '{part}' in element {other}"
        ),
    }
}

/// Removes what stands at an address; an array element becomes null. True where there was something
/// to change.
pub(super) fn remove(doc: &mut Document, address: &[String]) -> bool {
    let Some((last, middle)) = address.split_last() else {
        return false;
    };
    let Some((first, middle)) = middle.split_first() else {
        return doc.remove(last).is_some();
    };
    let Some(mut at) = doc.get_mut(first) else {
        return false;
    };
    for part in middle {
        let next = match at {
            Bson::Document(inner) => inner.get_mut(part),
            Bson::Array(items) => array_index(part).and_then(|i| items.get_mut(i)),
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    match at {
        Bson::Document(inner) => inner.remove(last).is_some(),
        Bson::Array(items) => match array_index(last).and_then(|i| items.get_mut(i)) {
            Some(slot) if !matches!(slot, Bson::Null) => {
                *slot = Bson::Null;
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// The order in which paths are applied: by parts, numeric parts by number.
pub(super) fn apply_order(a: &[String], b: &[String]) -> Ordering {
    for (left, right) in a.iter().zip(b) {
        let order = match (array_index(left), array_index(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left.cmp(right),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}
