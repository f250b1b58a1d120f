//! Turns what a filter demands of the fields of an index into ranges of encoded keys.

use bson::{Bson, Document};

use crate::{
    query::{Bound, Filter},
    storage::{
        catalog::{Index, IndexField},
        scan::{KeyRange, successor},
    },
    value::encode_key,
};

/// Most ranges that a scan may have; more conditions are left to the filter.
const MAX_RANGES: usize = 10_000;

/// The part of an index that a filter needs.
#[derive(Debug, Clone)]
pub struct IndexBounds {
    /// In the order of the index, without overlap. Empty: nothing can match.
    pub ranges: Vec<KeyRange>,
    /// Leading fields with exactly one value.
    pub fixed_fields: usize,
    /// Leading fields with any bound.
    pub bound_fields: usize,
    /// Whether all bounds of the bound fields were used in full.
    complete: bool,
}

/// Part of one field's values, encoded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    from: Vec<u8>,
    to: Vec<u8>,
    /// A single value; `from` is its encoding.
    point: bool,
}

/// The ranges of an index for a filter.
pub fn of_index(index: &Index, filter: &Filter, document: &Document) -> IndexBounds {
    let multikey = index.is_multikey();
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    let mut bounds = IndexBounds {
        ranges: Vec::new(),
        fixed_fields: 0,
        bound_fields: 0,
        complete: true,
    };
    let mut all_fixed = true;
    for (at, field) in index.fields.iter().enumerate() {
        if multikey && shares_array(&index.fields[..at], &field.0) {
            break;
        }
        let Some((intervals, complete)) = intervals(field, filter, document, multikey) else {
            break;
        };
        bounds.complete &= complete;
        if prefixes.len().saturating_mul(intervals.len()) > MAX_RANGES {
            break;
        }
        bounds.bound_fields += 1;
        if intervals.iter().all(|interval| interval.point) {
            all_fixed &= intervals.len() == 1;
            bounds.fixed_fields += usize::from(all_fixed);
            prefixes = product(&prefixes, &intervals, |prefix, interval| {
                [prefix, interval.from.as_slice()].concat()
            });
            continue;
        }
        bounds.ranges = product(&prefixes, &intervals, |prefix, interval| KeyRange {
            from: [prefix, interval.from.as_slice()].concat(),
            to: [prefix, interval.to.as_slice()].concat(),
        });
        return bounds;
    }
    bounds.ranges = if bounds.bound_fields == 0 {
        super::whole()
    } else {
        prefixes
            .into_iter()
            .map(|prefix| KeyRange {
                to: successor(&prefix),
                from: prefix,
            })
            .collect()
    };
    bounds
}

fn product<T>(
    prefixes: &[Vec<u8>],
    intervals: &[Interval],
    join: impl Fn(&[u8], &Interval) -> T,
) -> Vec<T> {
    let mut result = Vec::with_capacity(prefixes.len() * intervals.len());
    for prefix in prefixes {
        for interval in intervals {
            result.push(join(prefix, interval));
        }
    }
    result
}

/// Whether bounds on `path` may be met by another element of an array than those on the fields
/// before: then no single key need meet both.
fn shares_array(before: &[IndexField], path: &str) -> bool {
    let head = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
    before.iter().any(|(other, _)| head(other) == head(path))
}

/// The values of one field that can match, in encoded order; `None` without bounds. The flag says
/// whether every bound went into it.
fn intervals(
    (path, descending): &IndexField,
    filter: &Filter,
    document: &Document,
    multikey: bool,
) -> Option<(Vec<Interval>, bool)> {
    let single = scalar_equality(document, path).map(|value| vec![Bound::Eq(value.clone())]);
    let bounds = single.unwrap_or_else(|| filter.bounds(path));
    if has_position(path) && bounds.iter().any(takes_null) {
        // A filter also finds that the elements have no field of that name; keys don't tell.
        return None;
    }
    let total = bounds.len();
    let mut each: Vec<Vec<Interval>> = bounds
        .iter()
        .filter_map(|bound| of_bound(bound, *descending))
        .collect();
    if each.is_empty() {
        return None;
    }
    let mut complete = each.len() == total;
    if multikey && each.len() > 1 {
        // Each bound may be met by another element: only one of them narrows the keys.
        complete = false;
        each.sort_by_key(|list| (!list.iter().all(|interval| interval.point), list.len()));
        each.truncate(1);
    }
    let mut result = each.swap_remove(0);
    for other in each {
        result = intersect(&result, &other);
    }
    Some((result, complete))
}

/// Whether a part of the path may be a position in an array.
fn has_position(path: &str) -> bool {
    path.split('.')
        .skip(1)
        .any(|part| crate::value::array_index(part).is_some())
}

fn takes_null(bound: &Bound) -> bool {
    let is_null = |value: &Bson| matches!(value, Bson::Null | Bson::Undefined);
    match bound {
        Bound::Eq(value) => is_null(value),
        Bound::In(values) => values.iter().any(is_null),
        Bound::Range { .. } | Bound::Exists => false,
    }
}

/// The value of a plain `{path: value}` in the filter.
fn scalar_equality<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    document.get(path).filter(|value| is_plain(value))
}

/// Values for which equality is exactly "the index has this key".
fn is_plain(value: &Bson) -> bool {
    match value {
        Bson::Double(n) => !n.is_nan(),
        Bson::String(_)
        | Bson::Boolean(_)
        | Bson::Int32(_)
        | Bson::Int64(_)
        | Bson::ObjectId(_)
        | Bson::DateTime(_)
        | Bson::Timestamp(_)
        | Bson::Binary(_) => true,
        _ => false,
    }
}

fn encode(value: &Bson, descending: bool) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    encode_key(value, descending, &mut key);
    key
}

fn of_bound(bound: &Bound, descending: bool) -> Option<Vec<Interval>> {
    match bound {
        Bound::Eq(value) => Some(vec![point(value, descending)?]),
        Bound::In(values) => {
            let mut points = Vec::with_capacity(values.len());
            for value in values {
                points.push(point(value, descending)?);
            }
            points.sort_unstable();
            points.dedup();
            Some(points)
        }
        Bound::Range { lower, upper } => range(lower.as_ref(), upper.as_ref(), descending),
        Bound::Exists => None,
    }
}

fn point(value: &Bson, descending: bool) -> Option<Interval> {
    // An index holds the elements of an array, not the array.
    if matches!(value, Bson::Array(_) | Bson::RegularExpression(_)) {
        return None;
    }
    let from = encode(value, descending);
    Some(Interval {
        to: successor(&from),
        from,
        point: true,
    })
}

fn range(
    lower: Option<&(Bson, bool)>,
    upper: Option<&(Bson, bool)>,
    descending: bool,
) -> Option<Vec<Interval>> {
    let sample = &lower.or(upper)?.0;
    if [lower, upper]
        .into_iter()
        .flatten()
        .any(|(value, _)| !has_range(value))
    {
        return None;
    }
    // The first byte of a key is its type's.
    let kind = encode(sample, descending);
    let kind = &kind[..1];
    let (low, high) = if descending {
        (upper, lower)
    } else {
        (lower, upper)
    };
    let from = match low {
        None => kind.to_vec(),
        Some((value, true)) => encode(value, descending),
        Some((value, false)) => successor(&encode(value, descending)),
    };
    let to = match high {
        None => successor(kind),
        Some((value, true)) => successor(&encode(value, descending)),
        Some((value, false)) => encode(value, descending),
    };
    if from < to {
        Some(vec![Interval {
            from,
            to,
            point: false,
        }])
    } else {
        Some(Vec::new())
    }
}

/// Types whose ranges an index can give as they are.
fn has_range(value: &Bson) -> bool {
    matches!(value, Bson::Decimal128(_)) || is_plain(value)
}

fn intersect(one: &[Interval], other: &[Interval]) -> Vec<Interval> {
    let mut result = Vec::new();
    for a in one {
        for b in other {
            let from = a.from.clone().max(b.from.clone());
            let to = a.to.clone().min(b.to.clone());
            if from < to {
                let point = a.point || b.point;
                result.push(Interval { from, to, point });
            }
        }
    }
    result.sort_unstable();
    result.dedup();
    result
}

/// Whether the ranges hold exactly the documents that match: every condition of the filter is a
/// plain one on a field that the ranges cover in full.
pub fn is_exact(index: &Index, bounds: &IndexBounds, document: &Document) -> bool {
    if !bounds.complete || index.partial.is_some() {
        return false;
    }
    let multikey = index.is_multikey();
    document.iter().all(|(path, condition)| {
        index.fields[..bounds.bound_fields]
            .iter()
            .any(|(other, _)| other == path)
            && (is_plain(condition) || (!multikey && is_plain_range(condition)))
    })
}

/// `{$gt: 1, $lte: 5}` and the like, with a lower end (below it there might be NaN).
fn is_plain_range(condition: &Bson) -> bool {
    let Bson::Document(operators) = condition else {
        return false;
    };
    let mut has_lower = false;
    !operators.is_empty()
        && operators.iter().all(|(name, value)| {
            has_lower |= matches!(name.as_str(), "$gt" | "$gte" | "$eq");
            matches!(name.as_str(), "$gt" | "$gte" | "$lt" | "$lte" | "$eq") && is_plain(value)
        })
        && has_lower
}
