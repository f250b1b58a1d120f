//! Updates: operator documents, replacements and aggregation pipelines applied to one document.
//! No I/O.

use bson::{Bson, Document};

use crate::{error::Result, query::Filter};

/// A parsed update.
#[derive(Debug, Clone)]
pub struct Update {}

/// What an update is applied with.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyContext {
    /// The array position that the filter matched, for `$`.
    pub position: Option<usize>,
    /// Whether the document is being inserted by an upsert (`$setOnInsert` counts).
    pub inserting: bool,
}

impl Update {
    /// Parses `u` of an update statement: a document with operators, a replacement, or a pipeline
    /// (array). `array_filters` as sent; `vars` are `let` variables for pipelines.
    pub fn parse(_u: &Bson, _array_filters: &[Document], _vars: &Document) -> Result<Self> {
        todo!()
    }

    /// Whether this is a whole-document replacement (not allowed with `multi`).
    pub fn is_replacement(&self) -> bool {
        todo!()
    }

    /// Applies to `doc`; true where something changed. `_id` may not change (66 ImmutableField).
    pub fn apply(&self, _doc: &mut Document, _ctx: ApplyContext) -> Result<bool> {
        todo!()
    }

    /// The document that an upsert inserts: the filter's equality fields, then the update; `_id`
    /// from either, else a new ObjectId; `_id` comes first.
    pub fn upsert_document(&self, _filter: &Filter) -> Result<Document> {
        todo!()
    }
}
