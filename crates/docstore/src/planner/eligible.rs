//! Whether an index holds every document that a filter can match: sparse and partial indexes leave
//! some out.

use std::cmp::Ordering;

use bson::{Bson, Document};

use crate::{
    query::{Bound, Filter},
    storage::catalog::Index,
    value::compare,
};

/// Whether no document that matches is missing in the index.
pub fn is_complete(index: &Index, filter: &Filter, document: &Document) -> bool {
    if index.sparse
        && !index
            .fields
            .iter()
            .any(|(path, _)| demands_field(filter, path))
    {
        return false;
    }
    match index.spec.get_document("partialFilterExpression") {
        Ok(partial) => implies(filter, document, partial),
        Err(_) => true,
    }
}

/// Whether matching documents have the field (not null).
fn demands_field(filter: &Filter, path: &str) -> bool {
    filter.bounds(path).iter().any(|bound| match bound {
        Bound::Eq(value) => !is_nullish(value),
        Bound::In(values) => !values.iter().any(is_nullish),
        Bound::Range { lower, upper } => lower
            .iter()
            .chain(upper)
            .all(|(value, _)| !is_nullish(value)),
        Bound::Exists => true,
    })
}

fn is_nullish(value: &Bson) -> bool {
    matches!(value, Bson::Null | Bson::Undefined)
}

/// Whether whatever matches `filter` matches `partial`. Knows the operators that a partial index is
/// commonly made with; says no to others.
fn implies(filter: &Filter, document: &Document, partial: &Document) -> bool {
    partial.iter().all(|(path, condition)| {
        if document.get(path) == Some(condition) {
            return true;
        }
        match condition {
            Bson::Array(parts) if path == "$and" => parts.iter().all(|part| {
                part.as_document()
                    .is_some_and(|part| implies(filter, document, part))
            }),
            _ if path.starts_with('$') => false,
            Bson::Document(operators)
                if operators
                    .keys()
                    .next()
                    .is_some_and(|name| name.starts_with('$')) =>
            {
                operators
                    .iter()
                    .all(|(name, value)| meets(filter, path, name, value))
            }
            value => meets(filter, path, "$eq", value),
        }
    })
}

fn meets(filter: &Filter, path: &str, operator: &str, operand: &Bson) -> bool {
    if operator == "$exists" {
        let wanted = matches!(operand, Bson::Boolean(true) | Bson::Int32(1));
        return wanted && demands_field(filter, path);
    }
    let holds = |value: &Bson| {
        let order = compare(value, operand);
        same_bracket(value, operand)
            && match operator {
                "$eq" => order == Ordering::Equal,
                "$gt" => order == Ordering::Greater,
                "$gte" => order != Ordering::Less,
                "$lt" => order == Ordering::Less,
                "$lte" => order != Ordering::Greater,
                _ => false,
            }
    };
    filter.bounds(path).iter().any(|bound| match bound {
        Bound::Eq(value) => holds(value),
        Bound::In(values) => values.iter().all(holds),
        Bound::Range {
            lower: Some((value, inclusive)),
            ..
        } if operator.starts_with("$gt") => {
            holds(value)
                || (operator == "$gt"
                    && !inclusive
                    && same_bracket(value, operand)
                    && compare(value, operand) == Ordering::Equal)
        }
        Bound::Range {
            upper: Some((value, inclusive)),
            ..
        } if operator.starts_with("$lt") => {
            holds(value)
                || (operator == "$lt"
                    && !inclusive
                    && same_bracket(value, operand)
                    && compare(value, operand) == Ordering::Equal)
        }
        _ => false,
    })
}

fn same_bracket(one: &Bson, other: &Bson) -> bool {
    let kind = |value: &Bson| {
        let mut key = Vec::new();
        crate::value::encode_key(value, false, &mut key);
        key.first().copied()
    };
    kind(one) == kind(other)
}
