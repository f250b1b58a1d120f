//! Aggregation expressions: parsed once, evaluated against documents. No I/O.

use bson::{Bson, Document};

use crate::error::Result;

/// A parsed expression.
#[derive(Debug, Clone)]
pub struct Expr {}

/// Variables an expression may read: `$$ROOT`, `$$NOW`, `let` variables and so on.
#[derive(Debug, Clone, Default)]
pub struct Vars {
    /// User variables by name (without `$$`).
    pub user: Document,
    /// `$$NOW`, fixed for a command.
    pub now: Option<bson::DateTime>,
}

impl Expr {
    /// Parses an expression; unknown operators are MongoDB's 168 InvalidPipelineOperator.
    pub fn parse(_value: &Bson) -> Result<Self> {
        todo!()
    }

    /// Evaluates with `$$ROOT` and `$$CURRENT` = `root`. `None` is "missing" (a field not set).
    pub fn eval(&self, _root: &Document, _vars: &Vars) -> Result<Option<Bson>> {
        todo!()
    }
}

/// MongoDB's truth: false for false, null, missing, undefined and numeric zero.
pub fn is_truthy(_value: Option<&Bson>) -> bool {
    todo!()
}
