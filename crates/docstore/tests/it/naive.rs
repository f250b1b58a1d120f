//! A straightforward evaluation of filters, sort orders and updates, to compare the store with. It
//! works on the BSON of the request and shares no code with the store.

use std::cmp::Ordering;

use bson::{Bson, Document};

/// A candidate of a path: nothing there, or a value and whether its elements are looked at too.
type Candidate<'a> = Option<(&'a Bson, bool)>;

fn candidates<'a>(doc: &'a Document, path: &[&str]) -> Vec<Candidate<'a>> {
    match (doc.get(path[0]), &path[1..]) {
        (None, _) => vec![None],
        (Some(value), []) => vec![Some((value, true))],
        (Some(Bson::Document(inner)), rest) => candidates(inner, rest),
        (Some(Bson::Array(items)), rest) => in_array(items, rest),
        _ => vec![None],
    }
}

fn in_array<'a>(items: &'a [Bson], path: &[&str]) -> Vec<Candidate<'a>> {
    let mut found = Vec::new();
    for (at, item) in items.iter().enumerate() {
        if let Bson::Document(inner) = item {
            found.extend(candidates(inner, path));
        }
        if path[0] == at.to_string() {
            match (item, &path[1..]) {
                (_, []) => found.push(Some((item, false))),
                (Bson::Document(inner), rest) => found.extend(candidates(inner, rest)),
                (Bson::Array(inner), rest) => found.extend(in_array(inner, rest)),
                _ => {}
            }
        }
    }
    found
}

fn rank(value: &Bson) -> u8 {
    match value {
        Bson::Undefined => 0,
        Bson::Null => 1,
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) => 2,
        Bson::String(_) => 3,
        Bson::Document(_) => 4,
        Bson::Array(_) => 5,
        Bson::Boolean(_) => 6,
        other => panic!("no {other:?} here"),
    }
}

fn number(value: &Bson) -> f64 {
    match value {
        Bson::Int32(n) => f64::from(*n),
        Bson::Int64(n) => *n as f64,
        Bson::Double(n) => *n,
        other => panic!("{other:?} is no number"),
    }
}

/// The order of two values.
pub(crate) fn order(a: &Bson, b: &Bson) -> Ordering {
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Bson::String(a), Bson::String(b)) => a.cmp(b),
        (Bson::Boolean(a), Bson::Boolean(b)) => a.cmp(b),
        (Bson::Array(a), Bson::Array(b)) => first_unequal(a.iter().zip(b), |(a, b)| order(a, b))
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        (Bson::Document(a), Bson::Document(b)) => {
            first_unequal(a.iter().zip(b), |((m, a), (n, b))| {
                rank(a).cmp(&rank(b)).then(m.cmp(n)).then(order(a, b))
            })
            .unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Bson::Null, _) | (Bson::Undefined, _) => Ordering::Equal,
        _ => number(a).total_cmp(&number(b)),
    })
}

fn first_unequal<T>(
    pairs: impl Iterator<Item = T>,
    compare: impl Fn(T) -> Ordering,
) -> Option<Ordering> {
    pairs.map(compare).find(|order| order.is_ne())
}

fn holds(operator: &str, operand: &Bson, value: &Bson) -> bool {
    let same = rank(value) == rank(operand);
    match operator {
        "$eq" => order(value, operand).is_eq(),
        "$ne" => order(value, operand).is_ne(),
        "$gt" => same && order(value, operand).is_gt(),
        "$gte" => same && order(value, operand).is_ge(),
        "$lt" => same && order(value, operand).is_lt(),
        "$lte" => same && order(value, operand).is_le(),
        "$in" => operand
            .as_array()
            .unwrap()
            .iter()
            .any(|one| order(value, one).is_eq()),
        other => panic!("no {other} here"),
    }
}

fn meets(doc: &Document, path: &[&str], operator: &str, operand: &Bson) -> bool {
    let positive = |operator| meets(doc, path, operator, operand);
    match (operator, operand) {
        ("$ne", _) => return !positive("$eq"),
        ("$nin", _) => return !positive("$in"),
        ("$not", Bson::Document(operators)) => {
            return !operators
                .iter()
                .all(|(name, operand)| meets(doc, path, name, operand));
        }
        _ => {}
    }
    let found = candidates(doc, path);
    match (operator, operand) {
        ("$exists", Bson::Boolean(wanted)) => {
            found.iter().any(|candidate| candidate.is_some()) == *wanted
        }
        ("$size", size) => found.iter().flatten().any(|(value, _)| {
            value
                .as_array()
                .is_some_and(|items| items.len() as f64 == number(size))
        }),
        ("$elemMatch", Bson::Document(operators)) => found.iter().flatten().any(|(value, _)| {
            value.as_array().into_iter().flatten().any(|item| {
                operators
                    .iter()
                    .all(|(name, operand)| holds(name, operand, item))
            })
        }),
        _ => found.iter().any(|candidate| match candidate {
            None => holds(operator, operand, &Bson::Null),
            Some((value, spread)) => {
                let elements = value.as_array().filter(|_| *spread).into_iter().flatten();
                elements
                    .chain([*value])
                    .any(|value| holds(operator, operand, value))
            }
        }),
    }
}

/// Whether a document matches a filter.
pub(crate) fn matches(doc: &Document, filter: &Document) -> bool {
    filter
        .iter()
        .all(|(name, value)| match (name.as_str(), value) {
            ("$and" | "$or" | "$nor", Bson::Array(branches)) => {
                let mut each = branches
                    .iter()
                    .map(|branch| matches(doc, branch.as_document().unwrap()));
                match name.as_str() {
                    "$and" => each.all(|met| met),
                    "$or" => each.any(|met| met),
                    _ => !each.any(|met| met),
                }
            }
            (path, condition) => {
                let path: Vec<&str> = path.split('.').collect();
                match condition {
                    Bson::Document(operators)
                        if operators.keys().any(|key| key.starts_with('$')) =>
                    {
                        operators
                            .iter()
                            .all(|(name, operand)| meets(doc, &path, name, operand))
                    }
                    value => meets(doc, &path, "$eq", value),
                }
            }
        })
}

/// The values of a path that a document is sorted and indexed by.
pub(crate) fn key_values(value: Option<&Bson>, path: &[&str]) -> Vec<Bson> {
    match (value, path) {
        (None, _) => vec![Bson::Null],
        (Some(Bson::Array(items)), []) if items.is_empty() => vec![Bson::Undefined],
        (Some(Bson::Array(items)), []) => items.clone(),
        (Some(value), []) => vec![value.clone()],
        (Some(Bson::Document(inner)), [name, rest @ ..]) => key_values(inner.get(*name), rest),
        (Some(Bson::Array(items)), path) if !items.is_empty() => items
            .iter()
            .flat_map(|item| match item {
                Bson::Document(_) => key_values(Some(item), path),
                _ => vec![Bson::Null],
            })
            .collect(),
        _ => vec![Bson::Null],
    }
}

/// Whether the path crosses an array.
pub(crate) fn has_array(doc: &Document, path: &str) -> bool {
    let mut value: Option<&Bson> = None;
    for (at, name) in path.split('.').enumerate() {
        value = match (at, value) {
            (0, _) => doc.get(name),
            (_, Some(Bson::Document(inner))) => inner.get(name),
            _ => None,
        };
        if matches!(value, Some(Bson::Array(_))) {
            return true;
        }
    }
    false
}

/// Compares two documents by a sort pattern.
pub(crate) fn by_pattern(pattern: &Document, a: &Document, b: &Document) -> Ordering {
    for (path, direction) in pattern {
        let path: Vec<&str> = path.split('.').collect();
        let descending = number(direction) < 0.0;
        let key = |doc: &Document| {
            let mut values = key_values(doc.get(path[0]), &path[1..]);
            values.sort_by(order);
            if descending {
                values.pop()
            } else {
                Some(values.swap_remove(0))
            }
            .unwrap()
        };
        let (a, b) = (key(a), key(b));
        let order = if descending {
            order(&b, &a)
        } else {
            order(&a, &b)
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// What an update of top-level fields makes of a document; `None` where it cannot be applied.
pub(crate) fn updated(doc: &Document, update: &Document) -> Option<Document> {
    let mut new = doc.clone();
    let mut changes: Vec<(&String, &String, &Bson)> = update
        .iter()
        .flat_map(|(operator, fields)| {
            fields
                .as_document()
                .unwrap()
                .iter()
                .map(move |(field, operand)| (field, operator, operand))
        })
        .collect();
    // New fields come in the order of their names.
    changes.sort_by_key(|(field, ..)| *field);
    for (field, operator, operand) in changes {
        let old = new.get(field).cloned();
        let value = match (operator.as_str(), old) {
            ("$unset", _) => {
                new.remove(field);
                continue;
            }
            ("$set", _) => operand.clone(),
            ("$inc" | "$min" | "$max", None) => operand.clone(),
            ("$inc", Some(old)) if rank(&old) == 2 => sum(&old, operand),
            ("$min", Some(old)) if order(operand, &old).is_lt() => operand.clone(),
            ("$max", Some(old)) if order(operand, &old).is_gt() => operand.clone(),
            ("$min" | "$max", Some(old)) => old,
            ("$push" | "$addToSet", None) => Bson::Array(vec![operand.clone()]),
            ("$push", Some(Bson::Array(mut items))) => {
                items.push(operand.clone());
                Bson::Array(items)
            }
            ("$addToSet", Some(Bson::Array(mut items))) => {
                if items.iter().all(|item| order(item, operand).is_ne()) {
                    items.push(operand.clone());
                }
                Bson::Array(items)
            }
            ("$pull", None) => continue,
            ("$pull", Some(Bson::Array(mut items))) => {
                items.retain(|item| order(item, operand).is_ne());
                Bson::Array(items)
            }
            _ => return None,
        };
        new.insert(field, value);
    }
    Some(new)
}

fn sum(old: &Bson, operand: &Bson) -> Bson {
    match (old, operand) {
        (Bson::Int32(a), Bson::Int32(b)) => Bson::Int32(a + b),
        (Bson::Double(_), _) | (_, Bson::Double(_)) => Bson::Double(number(old) + number(operand)),
        _ => Bson::Int64(number(old) as i64 + number(operand) as i64),
    }
}
