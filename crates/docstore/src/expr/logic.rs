//! Comparison operators and `$not`. Missing compares less than null.

use std::cmp::Ordering;

use bson::Bson;

use super::{is_truthy, node::Arguments};
use crate::{error::Result, value::compare};

type Answer = Result<Option<Bson>>;

fn order(arguments: &Arguments<'_>) -> Ordering {
    match (arguments.get(0), arguments.get(1)) {
        (None, None) => Ordering::Equal,
        (None, Some(Bson::MinKey)) => Ordering::Greater,
        (Some(Bson::MinKey), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => compare_distinct(a, b),
    }
}

/// [`compare`], with undefined before null as in aggregation.
fn compare_distinct(a: &Bson, b: &Bson) -> Ordering {
    match (a, b) {
        (Bson::Undefined, Bson::Null) => Ordering::Less,
        (Bson::Null, Bson::Undefined) => Ordering::Greater,
        _ => compare(a, b),
    }
}

fn boolean(value: bool) -> Answer {
    Ok(Some(Bson::Boolean(value)))
}

pub(super) fn eq(arguments: Arguments<'_>) -> Answer {
    boolean(order(&arguments).is_eq())
}

pub(super) fn ne(arguments: Arguments<'_>) -> Answer {
    boolean(order(&arguments).is_ne())
}

pub(super) fn gt(arguments: Arguments<'_>) -> Answer {
    boolean(order(&arguments).is_gt())
}

pub(super) fn gte(arguments: Arguments<'_>) -> Answer {
    boolean(order(&arguments).is_ge())
}

pub(super) fn lt(arguments: Arguments<'_>) -> Answer {
    boolean(order(&arguments).is_lt())
}

pub(super) fn lte(arguments: Arguments<'_>) -> Answer {
    boolean(order(&arguments).is_le())
}

pub(super) fn cmp(arguments: Arguments<'_>) -> Answer {
    Ok(Some(Bson::Int32(order(&arguments) as i32)))
}

pub(super) fn not(arguments: Arguments<'_>) -> Answer {
    boolean(!is_truthy(arguments.get(0)))
}
