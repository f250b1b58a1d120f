//! Picks how documents are reached: a range of an index that the filter or the sort can use, or
//! all documents. Does not read documents; may count a few index entries to choose between indexes.

pub mod bounds;
pub mod eligible;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bson::{Bson, Document};
use rusqlite::Connection;

use crate::{
    bail,
    error::{CommandError, Result},
    query::Filter,
    storage::{
        catalog::{Collection, Index, IndexField},
        scan::{self, Access, KeyRange},
    },
    value::encode_key,
};
use bounds::IndexBounds;

/// Index entries that are counted of each candidate before one is chosen.
const PROBE_ENTRIES: u32 = 200;

/// What the client insists on.
#[derive(Debug, Clone)]
pub enum Hint {
    /// An index by name.
    Name(String),
    /// An index by its key pattern.
    Key(Document),
    /// `{$natural: 1}` or -1 (true): no index.
    Natural(bool),
}

impl Hint {
    /// From a command's `hint`.
    pub fn parse(value: &Bson) -> Result<Option<Self>> {
        match value {
            Bson::String(name) => Ok(Some(Hint::Name(name.clone()))),
            Bson::Document(key) if key.is_empty() => Ok(None),
            Bson::Document(key) => match key.get("$natural") {
                Some(direction) => Ok(Some(Hint::Natural(
                    crate::value::compare(direction, &Bson::Int32(0)) == std::cmp::Ordering::Less,
                ))),
                None => Ok(Some(Hint::Key(key.clone()))),
            },
            _ => bail!(FailedToParse, "Hint must be a string or an object"),
        }
    }
}

/// A chosen way.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How documents are reached.
    pub access: Access,
    /// Everything that is reached matches; the filter need not be applied.
    pub exact: bool,
    /// Documents come in the order of the sort.
    pub sorted: bool,
}

impl Plan {
    fn all(reverse: bool, filter: &Filter, sort: &[IndexField]) -> Self {
        Self {
            access: Access::Collection { reverse },
            exact: filter.is_empty(),
            sorted: sort.is_empty(),
        }
    }

    /// The index that is used, if one is.
    pub fn index(&self) -> Option<&Arc<Index>> {
        match &self.access {
            Access::Index { index, .. } => Some(index),
            _ => None,
        }
    }
}

/// A usable index.
struct Candidate {
    index: Arc<Index>,
    bounds: IndexBounds,
    sorted: bool,
    reverse: bool,
}

/// Chooses. `document` is the filter as sent.
pub fn plan(
    connection: &Connection,
    collection: &Collection,
    filter: &Filter,
    document: &Document,
    sort: &[IndexField],
    hint: Option<&Hint>,
) -> Result<Plan> {
    match hint {
        Some(Hint::Natural(reverse)) => return Ok(Plan::all(*reverse, filter, sort)),
        Some(hint) => {
            let index = hinted(collection, hint)?;
            let candidate = candidate(&index, filter, document, sort);
            return Ok(finish(candidate, document));
        }
        None => {}
    }
    if filter.is_empty() && sort.is_empty() {
        return Ok(Plan::all(false, filter, sort));
    }
    let mut candidates: Vec<Candidate> = collection
        .indexes
        .iter()
        .filter(|index| !index.hidden && eligible::is_complete(index, filter, document))
        .map(|index| candidate(index, filter, document, sort))
        .filter(|candidate| {
            candidate.bounds.bound_fields > 0 || candidate.sorted && !sort.is_empty()
        })
        .collect();
    if candidates
        .iter()
        .any(|candidate| candidate.bounds.bound_fields > 0)
    {
        let sorted_too = !sort.is_empty();
        candidates.retain(|candidate| {
            candidate.bounds.bound_fields > 0 || (sorted_too && candidate.sorted)
        });
    }
    match choose(connection, candidates, !sort.is_empty())? {
        Some(candidate) => Ok(finish(candidate, document)),
        None => Ok(Plan::all(false, filter, sort)),
    }
}

/// Narrows a hinted index to what lies from `min` on and before `max`, in the index's order.
pub fn between(
    access: Access,
    hint: Option<&Hint>,
    min: &Document,
    max: &Document,
) -> Result<Access> {
    if !matches!(hint, Some(Hint::Name(_) | Hint::Key(_))) {
        return Err(CommandError::location(
            51173,
            "When using min()/max() a hint of which index to use must be provided",
        ));
    }
    // The filter alone lets nothing match; min and max cannot add to that.
    let Access::Index { index, reverse, .. } = access else {
        return Ok(access);
    };
    let key_of = |bound: &Document| -> Result<Option<Vec<u8>>> {
        if bound.is_empty() {
            return Ok(None);
        }
        if !bound.keys().eq(index.fields.iter().map(|(path, _)| path)) {
            return Err(CommandError::location(
                51174,
                format!(
                    "The index chosen is not compatible with min/max: {} has the fields {}",
                    index.name,
                    index.key()
                ),
            ));
        }
        let mut key = Vec::new();
        for (value, (_, descending)) in bound.iter().map(|(_, value)| value).zip(&index.fields) {
            encode_key(value, *descending, &mut key);
        }
        Ok(Some(key))
    };
    let from = key_of(min)?.unwrap_or_default();
    let to = key_of(max)?.unwrap_or_else(scan::end_of_keys);
    if from >= to {
        return Err(CommandError::location(
            51175,
            "max must be greater than min",
        ));
    }
    Ok(Access::Index {
        index,
        ranges: vec![KeyRange { from, to }],
        reverse,
        covered: None,
    })
}

/// The index that a hint names.
fn hinted(collection: &Collection, hint: &Hint) -> Result<Arc<Index>> {
    let found = collection.indexes.iter().find(|index| match hint {
        Hint::Name(name) => index.name == *name,
        Hint::Key(key) => same_key(&index.key(), key),
        Hint::Natural(_) => false,
    });
    match found {
        Some(index) => Ok(Arc::clone(index)),
        None => bail!(
            BadValue,
            "error processing query: planner returned error: hint provided does not correspond to an existing index"
        ),
    }
}

/// Whether two key patterns are the same, whatever the number types.
pub fn same_key(one: &Document, other: &Document) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((a, x), (b, y))| {
            a == b && crate::value::compare(x, y) == std::cmp::Ordering::Equal
        })
}

fn candidate(
    index: &Arc<Index>,
    filter: &Filter,
    document: &Document,
    sort: &[IndexField],
) -> Candidate {
    let bounds = bounds::of_index(index, filter, document);
    let direction = sort_direction(index, bounds.fixed_fields, sort);
    Candidate {
        index: Arc::clone(index),
        sorted: sort.is_empty() || direction.is_some(),
        reverse: direction.unwrap_or(false),
        bounds,
    }
}

/// Whether the index gives the order of the sort, and if so whether it must be read backwards.
/// The first `fixed` fields of the index have one value only.
fn sort_direction(index: &Index, fixed: usize, sort: &[IndexField]) -> Option<bool> {
    // An array field is sorted by its least or greatest element, which the bounds may leave out.
    if index.is_multikey() || sort.is_empty() {
        return None;
    }
    let constant = |path: &str| index.fields[..fixed].iter().any(|(other, _)| other == path);
    let mut rest = index.fields[fixed..].iter();
    let mut reverse = None;
    for (path, descending) in sort {
        if constant(path) {
            continue;
        }
        let (other, other_descending) = rest.next()?;
        if other != path {
            return None;
        }
        let backwards = descending != other_descending;
        if *reverse.get_or_insert(backwards) != backwards {
            return None;
        }
    }
    Some(reverse.unwrap_or(false))
}

/// The best candidate: the one with the fewest entries; where that is not known, the one whose
/// bounds say most.
fn choose(
    connection: &Connection,
    mut candidates: Vec<Candidate>,
    wants_sort: bool,
) -> Result<Option<Candidate>> {
    if candidates.len() <= 1 {
        return Ok(candidates.pop());
    }
    let unique = candidates.iter().position(|candidate| {
        candidate.index.unique && candidate.bounds.fixed_fields == candidate.index.fields.len()
    });
    if let Some(at) = unique {
        return Ok(Some(candidates.swap_remove(at)));
    }
    let mut best: Option<(u64, i64, usize)> = None;
    for (at, candidate) in candidates.iter().enumerate() {
        let bounded = candidate.bounds.bound_fields > 0;
        let entries = if bounded {
            scan::count_entries(
                connection,
                &candidate.index,
                &candidate.bounds.ranges,
                Some(PROBE_ENTRIES),
            )?
        } else {
            u64::from(PROBE_ENTRIES)
        };
        let score = candidate.bounds.fixed_fields as i64 * 10
            + candidate.bounds.bound_fields as i64 * 4
            + if wants_sort && candidate.sorted { 7 } else { 0 }
            - if bounded { 0 } else { 3 };
        let better = best.is_none_or(|(least, highest, _)| {
            entries < least || (entries == least && score > highest)
        });
        if better {
            best = Some((entries, score, at));
        }
    }
    Ok(best.map(|(_, _, at)| candidates.swap_remove(at)))
}

fn finish(candidate: Candidate, document: &Document) -> Plan {
    let exact = bounds::is_exact(&candidate.index, &candidate.bounds, document);
    let access = if candidate.bounds.ranges.is_empty() {
        Access::Nothing
    } else {
        Access::Index {
            index: candidate.index,
            ranges: candidate.bounds.ranges,
            reverse: candidate.reverse,
            covered: None,
        }
    };
    Plan {
        access,
        exact,
        sorted: candidate.sorted,
    }
}

/// The whole of an index.
pub(crate) fn whole() -> Vec<KeyRange> {
    vec![KeyRange {
        from: Vec::new(),
        to: scan::end_of_keys(),
    }]
}
