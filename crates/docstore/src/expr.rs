//! Aggregation expressions: parsed once, evaluated against documents. No I/O.
//!
//! `parse` turns BSON into a tree of `node::Node`s, looking operators up in `operators`;
//! evaluation borrows from the document wherever it can. What is not implemented is refused at
//! parse time with MongoDB's code, never answered wrongly.

use std::borrow::Cow;

use bson::{Bson, Document};

use crate::error::Result;

mod arithmetic;
mod arrays;
mod control;
mod conversion;
mod date_format;
mod date_math;
mod date_parse;
mod dates;
pub mod decimal;
mod logic;
pub(crate) mod node;
pub mod number;
mod objects;
mod operators;
pub(crate) mod parse;
mod powers;
pub(crate) mod ranked;
mod regexes;
mod sets;
pub mod sort_key;
pub(crate) mod statistics;
mod strings;
pub mod types;
mod zone;

#[cfg(test)]
mod tests;

use node::{Env, Node, Scope};

/// A parsed expression.
#[derive(Debug, Clone)]
pub struct Expr {
    node: Node,
}

/// Variables an expression may read: `$$ROOT`, `$$NOW`, `let` variables and so on.
#[derive(Debug, Clone, Default)]
pub struct Vars {
    /// User variables by name (without `$$`).
    pub user: Document,
    /// `$$NOW`, fixed for a command.
    pub now: Option<bson::DateTime>,
}

impl Vars {
    /// The variables as a filter's `$expr` takes them: the user's, and `$$NOW` beside them.
    pub fn for_filters(&self) -> Document {
        let mut variables = self.user.clone();
        if let Some(now) = self.now {
            variables.insert("NOW", now);
        }
        variables
    }
}

impl Expr {
    /// Parses an expression; unknown operators are MongoDB's 168 InvalidPipelineOperator.
    pub fn parse(value: &Bson) -> Result<Self> {
        Ok(Self {
            node: parse::parse(value, 0)?,
        })
    }

    /// Parses a document as an object expression: a `$operator` as only field is an operator.
    pub fn parse_document(document: &Document) -> Result<Self> {
        Ok(Self {
            node: parse::parse_document(document, 0)?,
        })
    }

    /// Evaluates with `$$ROOT` and `$$CURRENT` = `root`. `None` is "missing" (a field not set).
    pub fn eval(&self, root: &Document, vars: &Vars) -> Result<Option<Bson>> {
        Ok(self.eval_ref(root, vars)?.map(Cow::into_owned))
    }

    /// As [`Self::eval`], borrowing the value from the document or the expression where it is there
    /// as it stands.
    pub fn eval_ref<'e>(
        &'e self,
        root: &'e Document,
        vars: &'e Vars,
    ) -> Result<Option<Cow<'e, Bson>>> {
        self.node.eval(&Env::new(root, vars))
    }

    /// Evaluates with `$$CURRENT` at a part of `$$ROOT`.
    pub fn eval_at(&self, root: &Document, current: &Bson, vars: &Vars) -> Result<Option<Bson>> {
        let scope = Scope {
            name: "CURRENT",
            value: Some(current),
            parent: None,
        };
        let env = Env::new(root, vars);
        let value = self.node.eval(&env.within(&scope))?;
        Ok(value.map(Cow::into_owned))
    }

    /// Whether the expression evaluates to something MongoDB takes for true.
    pub fn is_true(&self, root: &Document, vars: &Vars) -> Result<bool> {
        Ok(is_truthy(self.eval_ref(root, vars)?.as_deref()))
    }

    /// The value where the expression is a constant.
    pub fn constant(&self) -> Option<&Bson> {
        match &self.node {
            Node::Const(value) => Some(value),
            _ => None,
        }
    }
}

/// MongoDB's truth: false for false, null, missing, undefined and numeric zero.
pub fn is_truthy(value: Option<&Bson>) -> bool {
    match value {
        None | Some(Bson::Null | Bson::Undefined) => false,
        Some(Bson::Boolean(b)) => *b,
        Some(Bson::Int32(n)) => *n != 0,
        Some(Bson::Int64(n)) => *n != 0,
        Some(Bson::Double(n)) => *n != 0.0,
        Some(Bson::Decimal128(d)) => !decimal::from_bson(d).is_zero(),
        Some(_) => true,
    }
}
