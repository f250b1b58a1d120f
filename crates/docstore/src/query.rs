//! Filters: parsed once, matched against many documents. Also gives the planner the bounds that a
//! filter puts on a path. No I/O.

use bson::{Bson, Document};

use crate::error::Result;

/// A parsed filter document.
#[derive(Debug, Clone)]
pub struct Filter {}

/// What a filter's top-level conjunction demands of one path, for the planner.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// Equal to this value (null also means missing).
    Eq(Bson),
    /// One of these.
    In(Vec<Bson>),
    /// A range within one type bracket: (value, inclusive).
    Range {
        /// Lower end, if any.
        lower: Option<(Bson, bool)>,
        /// Upper end, if any.
        upper: Option<(Bson, bool)>,
    },
    /// `{$exists: true}`.
    Exists,
}

impl Filter {
    /// Parses a filter. Errors are MongoDB's (2 BadValue, 9 FailedToParse…) and name the operator.
    /// `vars` are `let` variables visible to `$expr`.
    pub fn parse(_filter: &Document, _vars: &Document) -> Result<Self> {
        todo!()
    }

    /// Whether `doc` matches. Evaluation can fail only through `$expr` and `$jsonSchema`.
    pub fn matches(&self, _doc: &Document) -> Result<bool> {
        todo!()
    }

    /// As [`Self::matches`]; `Some(index)` gives the array position for the positional `$` of
    /// updates and projections: outer None = no match, inner None = matched without an array.
    pub fn matches_position(&self, _doc: &Document) -> Result<Option<Option<usize>>> {
        todo!()
    }

    /// The bounds that every matching document meets on `path`; empty where there are none.
    pub fn bounds(&self, _path: &str) -> Vec<Bound> {
        todo!()
    }

    /// The fields that equality conditions (incl. inside `$and`, single `$in`/`$all`/`$or`) fix:
    /// what an upsert starts from. Errors where two conditions set the same path (NotSingleValueField).
    pub fn upsert_fields(&self) -> Result<Vec<(String, Bson)>> {
        todo!()
    }

    /// True where every document matches.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}
