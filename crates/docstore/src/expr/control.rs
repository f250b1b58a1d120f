//! Operators that decide which of their arguments are evaluated, or that bind variables.

use std::borrow::Cow;

use bson::{Bson, Document};

use super::{
    conversion, is_truthy,
    node::{Env, Node, Scope, Value},
    regexes::RegexCall,
    sort_key::SortPattern,
    types,
};
use crate::{
    error::{CommandError, Result},
    value::compare,
};

mod reading;

pub(super) use reading::parse;

/// A parsed operator of this module.
#[derive(Debug, Clone)]
pub(crate) enum Lazy {
    And(Vec<Node>),
    Or(Vec<Node>),
    Cond {
        condition: Node,
        then: Node,
        otherwise: Node,
    },
    IfNull(Vec<Node>),
    Switch {
        branches: Vec<(Node, Node)>,
        default: Option<Node>,
    },
    Let {
        variables: Vec<(String, Node)>,
        body: Node,
    },
    Map {
        input: Node,
        variable: String,
        body: Node,
    },
    Filter {
        input: Node,
        variable: String,
        condition: Node,
        limit: Option<Node>,
    },
    Reduce {
        input: Node,
        initial: Node,
        body: Node,
    },
    SortArray {
        input: Node,
        order: ArrayOrder,
    },
    GetField {
        field: Node,
        input: Node,
    },
    Convert {
        input: Node,
        to: Node,
        on_error: Option<Node>,
        on_null: Option<Node>,
    },
    Regex(RegexCall),
    Rand,
}

/// How `$sortArray` orders.
#[derive(Debug, Clone)]
pub(crate) enum ArrayOrder {
    /// By whole elements.
    Whole { descending: bool },
    /// By fields of elements.
    Fields(SortPattern),
}

impl Lazy {
    pub(crate) fn eval<'e>(&'e self, env: &Env<'e>) -> Result<Value<'e>> {
        match self {
            Self::And(nodes) => {
                for node in nodes {
                    if !is_truthy(node.eval(env)?.as_deref()) {
                        return owned(false);
                    }
                }
                owned(true)
            }
            Self::Or(nodes) => {
                for node in nodes {
                    if is_truthy(node.eval(env)?.as_deref()) {
                        return owned(true);
                    }
                }
                owned(false)
            }
            Self::Cond {
                condition,
                then,
                otherwise,
            } => {
                let holds = is_truthy(condition.eval(env)?.as_deref());
                if holds { then } else { otherwise }.eval(env)
            }
            Self::IfNull(nodes) => {
                let mut last = None;
                for node in nodes {
                    last = node.eval(env)?;
                    if !types::is_nullish(last.as_deref()) {
                        break;
                    }
                }
                Ok(last)
            }
            Self::Switch { branches, default } => {
                for (case, then) in branches {
                    if is_truthy(case.eval(env)?.as_deref()) {
                        return then.eval(env);
                    }
                }
                match default {
                    Some(default) => default.eval(env),
                    None => Err(CommandError::location(
                        40066,
                        "$switch could not find a matching branch for an input, and no default \
                         was specified.",
                    )),
                }
            }
            Self::Let { variables, body } => {
                let mut values = Vec::with_capacity(variables.len());
                for (name, node) in variables {
                    values.push((name.as_str(), node.eval(env)?.map(Cow::into_owned)));
                }
                let value = bind(env, &values, body)?;
                Ok(value.map(Cow::Owned))
            }
            Self::Map {
                input,
                variable,
                body,
            } => {
                let input = input.eval(env)?;
                let Some(items) = array_or_null(&input, 16883, "$map")? else {
                    return owned(Bson::Null);
                };
                let mut mapped = Vec::with_capacity(items.len());
                for item in items {
                    let value = with_variable(env, variable, item, body)?;
                    mapped.push(value.unwrap_or(Bson::Null));
                }
                owned(mapped)
            }
            Self::Filter {
                input,
                variable,
                condition,
                limit,
            } => {
                let input = input.eval(env)?;
                let Some(items) = array_or_null(&input, 28651, "$filter")? else {
                    return owned(Bson::Null);
                };
                let limit = match limit {
                    Some(limit) => filter_limit(limit.eval(env)?.as_deref())?,
                    None => usize::MAX,
                };
                let mut kept = Vec::new();
                for item in items {
                    if kept.len() >= limit {
                        break;
                    }
                    if is_truthy(with_variable(env, variable, item, condition)?.as_ref()) {
                        kept.push(item.clone());
                    }
                }
                owned(kept)
            }
            Self::Reduce {
                input,
                initial,
                body,
            } => {
                let input = input.eval(env)?;
                let Some(items) = array_or_null(&input, 40080, "$reduce")? else {
                    return owned(Bson::Null);
                };
                let mut value = initial.eval(env)?.map(Cow::into_owned);
                for item in items {
                    let this = Scope {
                        name: "this",
                        value: Some(item),
                        parent: env.scope(),
                    };
                    let outer = env.within(&this);
                    let so_far = Scope {
                        name: "value",
                        value: value.as_ref(),
                        parent: outer.scope(),
                    };
                    let next = body.eval(&outer.within(&so_far))?.map(Cow::into_owned);
                    value = next;
                }
                Ok(value.map(Cow::Owned))
            }
            Self::SortArray { input, order } => {
                let input = input.eval(env)?;
                let Some(items) = array_or_null(&input, 2_942_504, "$sortArray")? else {
                    return owned(Bson::Null);
                };
                owned(sort_items(items, order)?)
            }
            Self::GetField { field, input } => get_field(field, input, env),
            Self::Convert {
                input,
                to,
                on_error,
                on_null,
            } => {
                let input = input.eval(env)?;
                let to = to.eval(env)?;
                let optional = |node: &'e Option<Node>| match node {
                    Some(node) => node.eval(env),
                    None => owned(Bson::Null),
                };
                if types::is_nullish(input.as_deref()) {
                    return optional(on_null);
                }
                let Some(to) = to.filter(|to| !types::is_nullish(Some(to))) else {
                    return owned(Bson::Null);
                };
                let target = conversion::Target::from_bson(&to)?;
                let value = input.map_or(Bson::Null, Cow::into_owned);
                match conversion::convert(&value, target) {
                    Ok(value) => owned(value),
                    Err(_) if on_error.is_some() => optional(on_error),
                    Err(error) => Err(error),
                }
            }
            Self::Regex(call) => call.eval(env),
            Self::Rand => owned(random_fraction()),
        }
    }
}

fn owned<'e>(value: impl Into<Bson>) -> Result<Value<'e>> {
    Ok(Some(Cow::Owned(value.into())))
}

/// Evaluates `body` with all of `values` bound.
fn bind(env: &Env<'_>, values: &[(&str, Option<Bson>)], body: &Node) -> Result<Option<Bson>> {
    match values.split_first() {
        None => Ok(body.eval(env)?.map(Cow::into_owned)),
        Some(((name, value), rest)) => {
            let scope = Scope {
                name,
                value: value.as_ref(),
                parent: env.scope(),
            };
            bind(&env.within(&scope), rest, body)
        }
    }
}

fn with_variable(env: &Env<'_>, name: &str, value: &Bson, body: &Node) -> Result<Option<Bson>> {
    let scope = Scope {
        name,
        value: Some(value),
        parent: env.scope(),
    };
    Ok(body.eval(&env.within(&scope))?.map(Cow::into_owned))
}

/// The array, `None` for null, an error for anything else.
fn array_or_null<'v>(value: &'v Value<'_>, code: i32, name: &str) -> Result<Option<&'v [Bson]>> {
    match value.as_deref() {
        Some(Bson::Array(items)) => Ok(Some(items)),
        other if types::is_nullish(other) => Ok(None),
        other => Err(CommandError::location(
            code,
            format!(
                "input to {name} must be an array not {}",
                types::name(other)
            ),
        )),
    }
}

fn filter_limit(value: Option<&Bson>) -> Result<usize> {
    if types::is_nullish(value) {
        return Ok(usize::MAX);
    }
    let whole = value
        .and_then(super::number::Number::from_bson)
        .and_then(super::number::Number::to_whole)
        .and_then(|n| i32::try_from(n).ok());
    match whole {
        Some(n) if n > 0 => Ok(n as usize),
        Some(n) => Err(CommandError::location(
            327_392,
            format!("$filter: limit must be greater than 0, found {n}"),
        )),
        None => Err(CommandError::location(
            327_391,
            format!(
                "$filter: limit must be represented as a 32-bit integral value: found {}",
                types::name(value)
            ),
        )),
    }
}

fn sort_items(items: &[Bson], order: &ArrayOrder) -> Result<Vec<Bson>> {
    match order {
        ArrayOrder::Whole { descending } => {
            let mut sorted = items.to_vec();
            sorted.sort_by(|a, b| {
                let ordering = compare(a, b);
                if *descending {
                    ordering.reverse()
                } else {
                    ordering
                }
            });
            Ok(sorted)
        }
        ArrayOrder::Fields(pattern) => {
            let empty = Document::new();
            let mut keyed = Vec::with_capacity(items.len());
            for item in items {
                let document = match item {
                    Bson::Document(document) => document,
                    _ => &empty,
                };
                keyed.push((pattern.key(document)?, item));
            }
            keyed.sort_by(|a, b| pattern.compare(&a.0, &b.0));
            Ok(keyed.into_iter().map(|(_, item)| item.clone()).collect())
        }
    }
}

fn get_field<'e>(field: &'e Node, input: &'e Node, env: &Env<'e>) -> Result<Value<'e>> {
    let name = field.eval(env)?;
    let Some(Bson::String(name)) = name.as_deref() else {
        return Err(CommandError::location(
            3_041_704,
            format!(
                "$getField requires 'field' to evaluate to type String, but got {}",
                types::name(name.as_deref())
            ),
        ));
    };
    match input.eval(env)? {
        Some(Cow::Borrowed(Bson::Document(document))) => Ok(document.get(name).map(Cow::Borrowed)),
        Some(Cow::Owned(Bson::Document(mut document))) => Ok(document.remove(name).map(Cow::Owned)),
        None => Ok(None),
        Some(value) if types::is_nullish(Some(&value)) => owned(Bson::Null),
        Some(_) => Ok(None),
    }
}

/// A uniform number in [0, 1), from the operating system's generator.
fn random_fraction() -> f64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64,
        Err(_) => 0.0,
    }
}
