//! Set operators: arrays without order or duplicates. Results are sorted, as MongoDB's are.

use std::{cmp::Ordering, collections::BTreeSet};

use bson::Bson;

use super::{is_truthy, node::Arguments, types};
use crate::{error::Result, value::compare};

type Answer = Result<Option<Bson>>;

/// A value in MongoDB's order.
#[derive(Debug)]
pub(crate) struct Ordered<'v>(pub(crate) &'v Bson);

impl PartialEq for Ordered<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered<'_> {}

impl PartialOrd for Ordered<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0, other.0)
    }
}

/// The elements of the argument as a set; `None` for null.
fn set<'v>(
    arguments: &'v Arguments<'_>,
    index: usize,
    code: i32,
) -> Result<Option<BTreeSet<Ordered<'v>>>> {
    match arguments.get(index) {
        Some(Bson::Array(items)) => Ok(Some(items.iter().map(Ordered).collect())),
        other if types::is_nullish(other) => Ok(None),
        other => arguments.fail(
            code,
            format!(
                "All operands of {} must be arrays. One argument is of type: {}",
                arguments.name,
                types::name(other)
            ),
        ),
    }
}

fn array(set: BTreeSet<Ordered<'_>>) -> Answer {
    Ok(Some(Bson::Array(
        set.into_iter().map(|value| value.0.clone()).collect(),
    )))
}

pub(super) fn union(arguments: Arguments<'_>) -> Answer {
    let mut all = BTreeSet::new();
    for index in 0..arguments.len() {
        match set(&arguments, index, 17043)? {
            Some(items) => all.extend(items),
            None => return Ok(Some(Bson::Null)),
        }
    }
    array(all)
}

pub(super) fn intersection(arguments: Arguments<'_>) -> Answer {
    let mut common: Option<BTreeSet<Ordered<'_>>> = None;
    for index in 0..arguments.len() {
        let Some(items) = set(&arguments, index, 17047)? else {
            return Ok(Some(Bson::Null));
        };
        common = Some(match common {
            None => items,
            Some(mut common) => {
                common.retain(|value| items.contains(value));
                common
            }
        });
    }
    array(common.unwrap_or_default())
}

pub(super) fn difference(arguments: Arguments<'_>) -> Answer {
    if arguments.any_nullish() {
        return Ok(Some(Bson::Null));
    }
    let (Some(Bson::Array(items)), Some(without)) = (arguments.get(0), set(&arguments, 1, 17049)?)
    else {
        return arguments.fail(
            17048,
            format!(
                "both operands of $setDifference must be arrays. First argument is of type: {}",
                arguments.type_name(0)
            ),
        );
    };
    let mut seen = BTreeSet::new();
    let kept = items
        .iter()
        .filter(|item| !without.contains(&Ordered(item)) && seen.insert(Ordered(item)));
    Ok(Some(Bson::Array(kept.cloned().collect())))
}

pub(super) fn equals(arguments: Arguments<'_>) -> Answer {
    if arguments.len() < 2 {
        return arguments.fail(
            17045,
            format!(
                "$setEquals needs at least two arguments had: {}",
                arguments.len()
            ),
        );
    }
    let mut first = None;
    let mut equal = true;
    for index in 0..arguments.len() {
        let Some(items) = set(&arguments, index, 17044)? else {
            return arguments.fail(
                17044,
                format!(
                    "All operands of $setEquals must be arrays. {}-th argument is of type: {}",
                    index + 1,
                    arguments.type_name(index)
                ),
            );
        };
        match &first {
            None => first = Some(items),
            Some(first) => equal &= *first == items,
        }
    }
    Ok(Some(Bson::Boolean(equal)))
}

pub(super) fn is_subset(arguments: Arguments<'_>) -> Answer {
    let (Some(inner), Some(outer)) = (set(&arguments, 0, 17046)?, set(&arguments, 1, 17042)?)
    else {
        return arguments.fail(
            if arguments.nullish(0) { 17046 } else { 17042 },
            format!(
                "both operands of $setIsSubset must be arrays. Arguments are of types: {} and {}",
                arguments.type_name(0),
                arguments.type_name(1)
            ),
        );
    };
    Ok(Some(Bson::Boolean(inner.is_subset(&outer))))
}

pub(super) fn any_true(arguments: Arguments<'_>) -> Answer {
    let Some(Bson::Array(items)) = arguments.get(0) else {
        return arguments.fail(
            17041,
            format!(
                "$anyElementTrue's argument must be an array, but is {}",
                arguments.type_name(0)
            ),
        );
    };
    Ok(Some(Bson::Boolean(
        items.iter().any(|item| is_truthy(Some(item))),
    )))
}

pub(super) fn all_true(arguments: Arguments<'_>) -> Answer {
    let Some(Bson::Array(items)) = arguments.get(0) else {
        return arguments.fail(
            17040,
            format!(
                "$allElementsTrue's argument must be an array, but is {}",
                arguments.type_name(0)
            ),
        );
    };
    Ok(Some(Bson::Boolean(
        items.iter().all(|item| is_truthy(Some(item))),
    )))
}
