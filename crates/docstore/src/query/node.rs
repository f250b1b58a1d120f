//! The parsed filter as a tree, and its evaluation.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    ops::ControlFlow,
};

use bson::{Bson, Document};

use crate::{
    error::Result,
    expr::{Expr, Vars, is_truthy},
    query::{bits::BitTest, pattern::Pattern},
    schema::Schema,
    value::{
        Number, Reached, TypeSet, canonical_rank, compare, exact_i64, same_bracket, walk_parts,
    },
};

/// A condition on a whole document.
#[derive(Debug, Clone)]
pub(super) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Nor(Vec<Node>),
    Not(Box<Node>),
    /// A condition on what a path reaches.
    Path(PathNode),
    /// `$expr` with the variables it may read.
    Expr(Box<(Expr, Vars)>),
    Schema(Box<Schema>),
    /// `$sampleRate`: matches at random with this probability.
    Sample(f64),
    Constant(bool),
}

/// A predicate on what a path reaches.
#[derive(Debug, Clone)]
pub(super) struct PathNode {
    pub(super) path: String,
    pub(super) parts: Vec<String>,
    pub(super) predicate: Predicate,
}

/// A condition on one value.
#[derive(Debug, Clone)]
pub(super) enum Predicate {
    Eq(Bson),
    Order(Order, Bson),
    In(Members),
    Regex(Pattern),
    Mod {
        divisor: i64,
        remainder: i64,
    },
    Exists,
    Type(TypeSet),
    Bits(BitTest),
    Size(i64),
    /// `$elemMatch` with conditions on fields of the elements.
    ElemMatchDocument(Box<Node>),
    /// `$elemMatch` with operators on the elements themselves.
    ElemMatchValue(Box<Node>),
}

/// A range operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Gt,
    Gte,
    Lt,
    Lte,
}

/// The list of `$in`.
#[derive(Debug, Clone)]
pub(super) struct Members {
    /// Sorted by [`compare`], without equals.
    pub(super) values: Vec<Bson>,
    pub(super) patterns: Vec<Pattern>,
    pub(super) has_null: bool,
}

impl Members {
    pub(super) fn new(mut values: Vec<Bson>, patterns: Vec<Pattern>) -> Self {
        let has_null = values.iter().any(|v| matches!(v, Bson::Null));
        values.sort_by(compare);
        values.dedup_by(|a, b| compare(a, b).is_eq());
        Self {
            values,
            patterns,
            has_null,
        }
    }

    fn contain(&self, value: &Bson) -> Result<bool> {
        if self
            .values
            .binary_search_by(|member| compare(member, value))
            .is_ok()
        {
            return Ok(true);
        }
        for pattern in &self.patterns {
            if pattern.matches(value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Node {
    /// Whether the document matches; `position` gets the array position of the last path condition
    /// that matched inside an array.
    pub(super) fn matches(&self, doc: &Document, position: &mut Option<usize>) -> Result<bool> {
        match self {
            Self::And(nodes) => {
                for node in nodes {
                    if !node.matches(doc, position)? {
                        *position = None;
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(nodes) => {
                for node in nodes {
                    if node.matches(doc, position)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Nor(nodes) => {
                for node in nodes {
                    if node.matches(doc, &mut None)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Not(node) => Ok(!node.matches(doc, &mut None)?),
            Self::Path(node) => node.matches(doc, position),
            Self::Expr(expr) => Ok(is_truthy(expr.0.eval(doc, &expr.1)?.as_ref())),
            Self::Schema(schema) => Ok(schema.is_valid(doc)),
            Self::Sample(rate) => Ok(random_unit() < *rate),
            Self::Constant(answer) => Ok(*answer),
        }
    }

    /// Whether a single value matches, paths left aside: conditions of `$elemMatch` on values.
    fn matches_value(&self, value: &Bson) -> Result<bool> {
        match self {
            Self::And(nodes) => all(nodes, |node| node.matches_value(value)),
            Self::Or(nodes) => Ok(!all(nodes, |node| Ok(!node.matches_value(value)?))?),
            Self::Nor(nodes) => all(nodes, |node| Ok(!node.matches_value(value)?)),
            Self::Not(node) => Ok(!node.matches_value(value)?),
            Self::Path(node) => node.predicate.matches_single(value, &mut None),
            Self::Constant(answer) => Ok(*answer),
            // Parsing puts none of these below a path.
            Self::Expr(_) | Self::Schema(_) | Self::Sample(_) => Ok(false),
        }
    }
}

fn all(nodes: &[Node], mut test: impl FnMut(&Node) -> Result<bool>) -> Result<bool> {
    for node in nodes {
        if !test(node)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Uniform in `[0, 1)`.
fn random_unit() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

impl PathNode {
    fn matches(&self, doc: &Document, position: &mut Option<usize>) -> Result<bool> {
        let mut outcome = Ok(false);
        let _ = walk_parts(doc, &self.parts, &mut |reached| {
            outcome = self.predicate.matches_reached(reached, position);
            if matches!(outcome, Ok(false)) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        outcome
    }

    /// [`Self::matches`] where the path is one field, whose value is at hand.
    pub(super) fn matches_field(&self, value: Option<&Bson>) -> Result<bool> {
        let reached = match value {
            Some(value) => Reached::Value {
                value,
                position: None,
                expand: true,
            },
            None => Reached::Missing { position: None },
        };
        self.predicate.matches_reached(reached, &mut None)
    }
}

impl Predicate {
    /// Arrays are looked into first, element by element; then they count as themselves.
    fn matches_reached(&self, reached: Reached<'_>, position: &mut Option<usize>) -> Result<bool> {
        let (value, outer, expand) = match reached {
            Reached::Missing { position: outer } => {
                let matched = self.matches_missing();
                if matched && outer.is_some() {
                    *position = outer;
                }
                return Ok(matched);
            }
            Reached::Value {
                value,
                position,
                expand,
            } => (value, position, expand),
        };
        if let Bson::Array(items) = value
            && expand
            && self.looks_into_arrays()
        {
            for (i, item) in items.iter().enumerate() {
                if self.matches_single(item, &mut None)? {
                    *position = outer.or(Some(i));
                    return Ok(true);
                }
            }
        }
        let mut inner = None;
        let matched = self.matches_single(value, &mut inner)?;
        if matched && let Some(found) = outer.or(inner) {
            *position = Some(found);
        }
        Ok(matched)
    }

    fn looks_into_arrays(&self) -> bool {
        !matches!(
            self,
            Self::Size(_) | Self::ElemMatchDocument(_) | Self::ElemMatchValue(_)
        )
    }

    fn matches_missing(&self) -> bool {
        match self {
            Self::Eq(operand) => matches!(operand, Bson::Null),
            Self::Order(order, operand) => match operand {
                Bson::Null => matches!(order, Order::Gte | Order::Lte),
                Bson::MinKey => matches!(order, Order::Gt | Order::Gte),
                Bson::MaxKey => matches!(order, Order::Lt | Order::Lte),
                _ => false,
            },
            Self::In(members) => members.has_null,
            _ => false,
        }
    }

    fn matches_single(&self, value: &Bson, position: &mut Option<usize>) -> Result<bool> {
        Ok(match self {
            Self::Eq(operand) => same_bracket(value, operand) && compare(value, operand).is_eq(),
            Self::Order(order, operand) => order.holds(value, operand),
            Self::In(members) => return members.contain(value),
            Self::Regex(pattern) => return pattern.matches(value),
            Self::Mod { divisor, remainder } => whole_part(value)
                .is_some_and(|n| n.checked_rem(*divisor).unwrap_or(0) == *remainder),
            Self::Exists => true,
            Self::Type(types) => types.contains(value),
            Self::Bits(test) => test.matches(value),
            Self::Size(size) => {
                matches!(value, Bson::Array(items) if items.len() as i64 == *size)
            }
            Self::ElemMatchDocument(node) => {
                return first_element(value, position, |item| match item {
                    Bson::Document(inner) => node.matches(inner, &mut None),
                    Bson::Array(inner) => node.matches(&indexed(inner), &mut None),
                    _ => Ok(false),
                });
            }
            Self::ElemMatchValue(node) => {
                return first_element(value, position, |item| node.matches_value(item));
            }
        })
    }
}

impl Order {
    fn holds(self, value: &Bson, operand: &Bson) -> bool {
        if canonical_rank(value) != canonical_rank(operand) {
            return match self {
                Self::Lt | Self::Lte => matches!(operand, Bson::MaxKey),
                Self::Gt | Self::Gte => matches!(operand, Bson::MinKey),
            };
        }
        if let (Some(a), Some(b)) = (Number::from_bson(value), Number::from_bson(operand))
            && (a.is_nan() || b.is_nan())
        {
            // NaN is within reach of NaN only.
            return a.is_nan() && b.is_nan() && matches!(self, Self::Gte | Self::Lte);
        }
        let order = compare(value, operand);
        match self {
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
        }
    }
}

fn first_element(
    value: &Bson,
    position: &mut Option<usize>,
    mut test: impl FnMut(&Bson) -> Result<bool>,
) -> Result<bool> {
    let Bson::Array(items) = value else {
        return Ok(false);
    };
    for (i, item) in items.iter().enumerate() {
        if test(item)? {
            *position = Some(i);
            return Ok(true);
        }
    }
    Ok(false)
}

/// An array as a document with its positions as names, which `$elemMatch` sees in nested arrays.
fn indexed(items: &[Bson]) -> Document {
    items
        .iter()
        .enumerate()
        .map(|(i, item)| (i.to_string(), item.clone()))
        .collect()
}

/// A number without its fraction, where it fits in 64 bits: what `$mod` divides.
pub(super) fn whole_part(value: &Bson) -> Option<i64> {
    match Number::from_bson(value)? {
        Number::Double(n) => exact_i64(&Bson::Double(n.trunc())),
        Number::Decimal(n) => n.truncate().to_i64_exact(),
        _ => exact_i64(value),
    }
}
