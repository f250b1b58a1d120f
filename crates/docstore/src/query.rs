//! Filters: parsed once, matched against many documents. Also gives the planner the bounds that a
//! filter puts on a path. No I/O.

mod bits;
mod bounds;
mod node;
mod parse;
mod pattern;
mod raw;

#[cfg(test)]
mod tests;

use bson::{Bson, Document, RawDocument};

pub(crate) use self::pattern::Pattern;
use self::{node::Node, parse::Place, raw::Needs};
use crate::{error::Result, expr::Vars};

/// A parsed filter document.
#[derive(Debug, Clone)]
pub struct Filter {
    root: Node,
    needs: Needs,
}

/// What a filter's top-level conjunction demands of one path, for the planner. Each bound alone
/// takes in all matching documents, and more: the filter has to be checked as well. Where arrays
/// are indexed, two bounds may be met by two elements, so they may not be intersected.
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
    /// `vars` are `let` variables visible to `$expr`, and `NOW` beside them.
    pub fn parse(filter: &Document, vars: &Document) -> Result<Self> {
        Ok(Self::from_node(parse::parse_document(
            filter,
            Place::top(vars),
        )?))
    }

    fn from_node(root: Node) -> Self {
        let needs = Needs::of(&root);
        Self { root, needs }
    }

    /// Whether `doc` matches. Evaluation can fail through `$expr` and a regular expression that
    /// takes too many steps.
    pub fn matches(&self, doc: &Document) -> Result<bool> {
        self.root.matches(doc, &mut None)
    }

    /// As [`Self::matches`], decoding only the top-level fields that the filter looks at.
    pub fn matches_raw(&self, doc: &RawDocument) -> Result<bool> {
        raw::matches_raw(&self.root, &self.needs, doc)
    }

    /// As [`Self::matches`]; `Some(index)` gives the array position for the positional `$` of
    /// updates and projections: outer None = no match, inner None = matched without an array.
    pub fn matches_position(&self, doc: &Document) -> Result<Option<Option<usize>>> {
        let mut position = None;
        Ok(self.root.matches(doc, &mut position)?.then_some(position))
    }

    /// The bounds that every matching document meets on `path`; empty where there are none. `path`
    /// is spelled as in the filter. Null, as a value of `Eq` or `In`, also stands for missing.
    pub fn bounds(&self, path: &str) -> Vec<Bound> {
        let mut out = Vec::new();
        bounds::collect_bounds(&self.root, path, &mut out);
        out
    }

    /// The fields that equality conditions (incl. inside `$and`, single `$in`/`$all`/`$or`) fix:
    /// what an upsert starts from. Errors where two conditions set the same path (NotSingleValueField).
    pub fn upsert_fields(&self) -> Result<Vec<(String, Bson)>> {
        let mut out = Vec::new();
        bounds::collect_equalities(&self.root, &mut out)?;
        Ok(out)
    }

    /// The top-level fields that matching looks at; `None` where it may be any.
    pub(crate) fn fields(&self) -> Option<Vec<String>> {
        match &self.needs {
            Needs::OneField(field) => Some(vec![field.clone()]),
            Needs::Fields(fields) => Some(fields.clone()),
            Needs::Whole => None,
        }
    }

    /// True where every document matches.
    pub fn is_empty(&self) -> bool {
        matches!(&self.root, Node::And(nodes) if nodes.is_empty())
    }
}

/// Whether a document consists of operators on a field rather than being a value.
pub(crate) fn holds_operators(doc: &Document) -> bool {
    parse::holds_operators(doc)
}

/// What expressions read, of the variables that come with a filter, projection or update: `NOW`
/// among them is `$$NOW`, which is the present where it is not given.
pub(crate) fn expression_vars(vars: &Document) -> Vars {
    let mut user = vars.clone();
    let now = match user.remove("NOW") {
        Some(Bson::DateTime(now)) => now,
        _ => bson::DateTime::now(),
    };
    Vars {
        user,
        now: Some(now),
    }
}
