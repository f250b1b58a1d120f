//! The expression tree and its evaluation: paths, variables, and the values that calls are given.

use std::{borrow::Cow, ops::Index};

use bson::{Bson, Document};

use super::{Vars, control::Lazy, operators::Operator, types};
use crate::error::{CommandError, Result};

/// What an expression gives; `None` is a missing field.
pub(crate) type Value<'e> = Option<Cow<'e, Bson>>;

/// A parsed expression.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// A value as it stands.
    Const(Bson),
    /// `$$REMOVE`.
    Missing,
    /// An optional named argument that was not given.
    Absent,
    /// `$a.b`, from `$$CURRENT`.
    Field(Vec<String>),
    /// `$$name.a.b`.
    Variable(String, Vec<String>),
    /// `{a: …, b: …}`; missing values are left out.
    Object(Vec<(String, Node)>),
    /// `[…]`; missing values become null.
    Array(Vec<Node>),
    /// An operator whose arguments are all evaluated first.
    Call(&'static Operator, Vec<Node>),
    /// An operator that evaluates its arguments itself.
    Lazy(Box<Lazy>),
}

/// A variable bound by `$let`, `$map` and the like; inner scopes point at outer ones.
#[derive(Debug)]
pub(crate) struct Scope<'e> {
    pub(crate) name: &'e str,
    pub(crate) value: Option<&'e Bson>,
    pub(crate) parent: Option<&'e Scope<'e>>,
}

/// What an expression can see while it is evaluated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Env<'e> {
    root: &'e Document,
    vars: &'e Vars,
    scope: Option<&'e Scope<'e>>,
    /// Whether a scope binds `CURRENT`, so that paths need to look for it.
    rebound: bool,
}

impl<'e> Env<'e> {
    pub(crate) fn new(root: &'e Document, vars: &'e Vars) -> Self {
        Self {
            root,
            vars,
            scope: None,
            rebound: false,
        }
    }

    /// The innermost scope, to chain a new one to.
    pub(crate) fn scope(&self) -> Option<&'e Scope<'e>> {
        self.scope
    }

    /// The same surroundings with `scope` as the innermost.
    pub(crate) fn within<'s>(&self, scope: &'s Scope<'s>) -> Env<'s>
    where
        'e: 's,
    {
        Env {
            root: self.root,
            vars: self.vars,
            scope: Some(scope),
            rebound: self.rebound || scope.name == "CURRENT",
        }
    }

    fn field(&self, path: &[String]) -> Result<Value<'e>> {
        if self.rebound {
            return self.variable("CURRENT", path);
        }
        Ok(get_path(self.root, path))
    }

    fn variable(&self, name: &str, path: &[String]) -> Result<Value<'e>> {
        let mut scope = self.scope;
        while let Some(Scope {
            name: bound,
            value,
            parent,
        }) = scope
        {
            if *bound == name {
                return Ok(value.and_then(|value| get_in(value, path)));
            }
            scope = *parent;
        }
        match name {
            "ROOT" | "CURRENT" if path.is_empty() => {
                Ok(Some(Cow::Owned(Bson::Document(self.root.clone()))))
            }
            "ROOT" | "CURRENT" => Ok(get_path(self.root, path)),
            "NOW" => {
                if let Some(now) = self.vars.now {
                    return Ok(path.is_empty().then_some(Cow::Owned(Bson::DateTime(now))));
                }
                // Filters get all their variables in one document.
                match self.vars.user.get("NOW") {
                    Some(now) => Ok(get_in(now, path)),
                    None => Err(CommandError::location(
                        51144,
                        "Builtin variable '$$NOW' is not available",
                    )),
                }
            }
            _ => match self.vars.user.get(name) {
                // A variable that was bound to a missing field.
                Some(Bson::Undefined) => Ok(None),
                Some(value) => Ok(get_in(value, path)),
                None if name == "CLUSTER_TIME" => Err(CommandError::location(
                    51144,
                    "Builtin variable '$$CLUSTER_TIME' is not available",
                )),
                None => Err(CommandError::location(
                    17276,
                    format!("Use of undefined variable: {name}"),
                )),
            },
        }
    }
}

/// The value at `path` of a document; arrays on the way give the array of what their documents
/// have there.
pub(crate) fn get_path<'e>(document: &'e Document, path: &[String]) -> Value<'e> {
    let (first, rest) = path.split_first()?;
    get_in(document.get(first)?, rest)
}

/// As [`get_path`], starting at any value.
pub(crate) fn get_in<'e>(value: &'e Bson, path: &[String]) -> Value<'e> {
    let mut value = value;
    let mut path = path;
    while let Some((first, rest)) = path.split_first() {
        match value {
            Bson::Document(document) => {
                value = document.get(first)?;
                path = rest;
            }
            Bson::Array(items) => {
                let found = items.iter().filter_map(|item| match item {
                    Bson::Document(inner) => get_path(inner, path).map(Cow::into_owned),
                    _ => None,
                });
                return Some(Cow::Owned(Bson::Array(found.collect())));
            }
            _ => return None,
        }
    }
    Some(Cow::Borrowed(value))
}

impl Node {
    /// Evaluates; the value may borrow from the tree, the document or the variables.
    pub(crate) fn eval<'e>(&'e self, env: &Env<'e>) -> Result<Value<'e>> {
        match self {
            Self::Const(value) => Ok(Some(Cow::Borrowed(value))),
            Self::Missing | Self::Absent => Ok(None),
            Self::Field(path) => env.field(path),
            Self::Variable(name, path) => env.variable(name, path),
            Self::Object(fields) => {
                let mut document = Document::new();
                for (name, node) in fields {
                    if let Some(value) = node.eval(env)? {
                        document.insert(name.as_str(), value.into_owned());
                    }
                }
                Ok(Some(Cow::Owned(Bson::Document(document))))
            }
            Self::Array(items) => {
                let values = items.iter().map(|item| item.eval_or_null(env));
                Ok(Some(Cow::Owned(Bson::Array(
                    values.collect::<Result<_>>()?,
                ))))
            }
            Self::Call(operator, nodes) => {
                let mut values = Vec::with_capacity(nodes.len());
                let mut given = 0_u64;
                for (index, node) in nodes.iter().enumerate() {
                    if !matches!(node, Self::Absent) {
                        given |= 1 << index.min(63);
                    }
                    values.push(node.eval(env)?);
                }
                let arguments = Arguments {
                    name: operator.name,
                    values,
                    given,
                };
                Ok((operator.function)(arguments)?.map(Cow::Owned))
            }
            Self::Lazy(lazy) => lazy.eval(env),
        }
    }

    /// Evaluates to a value of its own; missing is null.
    pub(crate) fn eval_or_null(&self, env: &Env<'_>) -> Result<Bson> {
        Ok(self.eval(env)?.map_or(Bson::Null, Cow::into_owned))
    }
}

/// The evaluated arguments of a call.
#[derive(Debug)]
pub(crate) struct Arguments<'e> {
    /// The operator, for messages.
    pub(crate) name: &'static str,
    pub(crate) values: Vec<Value<'e>>,
    given: u64,
}

impl<'e> Arguments<'e> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The argument; `None` where it is missing.
    pub(crate) fn get(&self, index: usize) -> Option<&Bson> {
        self.values.get(index)?.as_deref()
    }

    /// Whether the argument was written down at all, whatever it evaluates to.
    pub(crate) fn given(&self, index: usize) -> bool {
        index < self.values.len() && self.given & (1 << index.min(63)) != 0
    }

    /// Whether the argument is null, undefined or missing.
    pub(crate) fn nullish(&self, index: usize) -> bool {
        types::is_nullish(self.get(index))
    }

    /// Whether any argument is null, undefined or missing.
    pub(crate) fn any_nullish(&self) -> bool {
        (0..self.len()).any(|index| self.nullish(index))
    }

    /// The argument's type, for messages.
    pub(crate) fn type_name(&self, index: usize) -> &'static str {
        types::name(self.get(index))
    }

    /// Takes an argument out, leaving it missing.
    pub(crate) fn take(&mut self, index: usize) -> Option<Bson> {
        self.values.get_mut(index)?.take().map(Cow::into_owned)
    }

    /// An error that MongoDB knows by number.
    pub(crate) fn fail<T>(&self, code: i32, message: impl Into<String>) -> Result<T> {
        Err(CommandError::location(code, message))
    }
}

impl Index<usize> for Arguments<'_> {
    type Output = Bson;

    /// The argument; missing is null.
    fn index(&self, index: usize) -> &Bson {
        static NULL: Bson = Bson::Null;
        self.get(index).unwrap_or(&NULL)
    }
}
