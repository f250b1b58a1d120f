//! Projections of `find`, `findAndModify` and `$project`'s simple form.

use bson::Document;

use crate::{error::Result, query::Filter};

/// A parsed projection.
#[derive(Debug, Clone)]
pub struct Projection {}

impl Projection {
    /// Parses a `find` projection: inclusion or exclusion, `$slice`, `$elemMatch`, positional `$`,
    /// `$meta` refused, and aggregation expressions as values.
    pub fn parse(_projection: &Document, _vars: &Document) -> Result<Self> {
        todo!()
    }

    /// The projected document. `filter` is needed for positional `$` only.
    pub fn apply(&self, _doc: &Document, _filter: Option<&Filter>) -> Result<Document> {
        todo!()
    }
}
