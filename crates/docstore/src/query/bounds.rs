//! What a filter says about single paths: bounds for the planner, equalities for upserts.

use bson::Bson;

use crate::{
    error::{Code, CommandError, Result},
    query::{
        Bound,
        node::{Node, Order, PathNode, Predicate},
    },
    value::{Number, same_bracket},
};

/// Collects the bounds of the conjunction on `path`.
pub(super) fn collect_bounds(node: &Node, path: &str, out: &mut Vec<Bound>) {
    match node {
        Node::And(nodes) => nodes
            .iter()
            .for_each(|node| collect_bounds(node, path, out)),
        Node::Or(nodes) if nodes.len() == 1 => {
            nodes
                .iter()
                .for_each(|node| collect_bounds(node, path, out));
        }
        Node::Path(node) if node.path == path => out.extend(bound_of(&node.predicate)),
        _ => {}
    }
}

fn bound_of(predicate: &Predicate) -> Option<Bound> {
    match predicate {
        Predicate::Eq(value) if !is_array(value) => Some(Bound::Eq(value.clone())),
        Predicate::In(members)
            if members.patterns.is_empty() && !members.values.iter().any(is_array) =>
        {
            Some(Bound::In(members.values.clone()))
        }
        Predicate::Order(order, operand) => range_of(*order, operand),
        Predicate::Exists => Some(Bound::Exists),
        Predicate::ElemMatchValue(node) => element_bound(node),
        _ => None,
    }
}

fn is_array(value: &Bson) -> bool {
    matches!(value, Bson::Array(_))
}

fn range_of(order: Order, operand: &Bson) -> Option<Bound> {
    let inclusive = matches!(order, Order::Gte | Order::Lte);
    match operand {
        Bson::Null => return inclusive.then_some(Bound::Eq(Bson::Null)),
        // These two compare across brackets; arrays are indexed by their elements.
        Bson::MinKey | Bson::MaxKey | Bson::Array(_) => return None,
        _ => {}
    }
    if Number::from_bson(operand).is_some_and(Number::is_nan) {
        return inclusive.then(|| Bound::Eq(operand.clone()));
    }
    let end = Some((operand.clone(), inclusive));
    Some(match order {
        Order::Gt | Order::Gte => Bound::Range {
            lower: end,
            upper: None,
        },
        Order::Lt | Order::Lte => Bound::Range {
            lower: None,
            upper: end,
        },
    })
}

/// One element has to meet all conditions of an `$elemMatch`, so its two ends make one range.
fn element_bound(node: &Node) -> Option<Bound> {
    let nodes = match node {
        Node::And(nodes) => nodes.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut bounds = nodes.iter().filter_map(|node| match node {
        // What an element contains is not in an index on the array.
        Node::Path(PathNode {
            predicate: Predicate::Exists | Predicate::ElemMatchValue(_),
            ..
        }) => None,
        // Missing is not null for an element, but null bounds also take missing: still a superset.
        Node::Path(node) => bound_of(&node.predicate),
        _ => None,
    });
    let first = bounds.next()?;
    Some(bounds.fold(first, |sum, bound| match (sum, bound) {
        (
            Bound::Range {
                lower: Some(lower),
                upper: None,
            },
            Bound::Range {
                lower: None,
                upper: Some(upper),
            },
        )
        | (
            Bound::Range {
                lower: None,
                upper: Some(upper),
            },
            Bound::Range {
                lower: Some(lower),
                upper: None,
            },
        ) if same_bracket(&lower.0, &upper.0) => Bound::Range {
            lower: Some(lower),
            upper: Some(upper),
        },
        (sum, _) => sum,
    }))
}

/// Collects what equalities fix; errors where a path or a part of it is fixed twice.
pub(super) fn collect_equalities(node: &Node, out: &mut Vec<(String, Bson)>) -> Result<()> {
    match node {
        Node::And(nodes) => nodes
            .iter()
            .try_for_each(|node| collect_equalities(node, out)),
        Node::Or(nodes) if nodes.len() == 1 => nodes
            .iter()
            .try_for_each(|node| collect_equalities(node, out)),
        Node::Path(node) => {
            let value = match &node.predicate {
                Predicate::Eq(value) => value,
                Predicate::In(members) if members.patterns.is_empty() => {
                    match members.values.as_slice() {
                        [only] => only,
                        _ => return Ok(()),
                    }
                }
                _ => return Ok(()),
            };
            for (other, _) in out.iter() {
                refuse_overlap(other, &node.path)?;
            }
            out.push((node.path.clone(), value.clone()));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn refuse_overlap(first: &str, second: &str) -> Result<()> {
    let below = |long: &str, short: &str| {
        long.strip_prefix(short)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    let message = if first == second {
        format!("cannot infer query fields to set, path '{second}' is matched twice")
    } else if below(first, second) || below(second, first) {
        format!("cannot infer query fields to set, both paths '{second}' and '{first}' are matched")
    } else {
        return Ok(());
    };
    Err(CommandError::new(Code::NotSingleValueField, message))
}
