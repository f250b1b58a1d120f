//! Aggregation pipelines over documents. Collections are reached only through [`Source`].

use bson::{Bson, Document};

use crate::{error::Result, expr::Vars};

/// How a pipeline reaches other collections of the store.
pub trait Source {
    /// All documents of `collection` in `database` that match `filter` (which may use an index).
    fn find(
        &self,
        database: &str,
        collection: &str,
        filter: &Document,
        vars: &Vars,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + '_>>;
}

/// What a pipeline ends in beside its documents.
#[derive(Debug, Clone)]
pub enum Sink {
    /// `$out`: replace that collection by the result.
    Out {
        /// Database.
        database: String,
        /// Collection.
        collection: String,
    },
    /// `$merge`, parsed and checked.
    Merge {
        /// Database.
        database: String,
        /// Collection.
        collection: String,
        /// The `on` fields (default `_id`).
        on: Vec<String>,
        /// `replace | keepExisting | merge | fail` or a pipeline (array).
        when_matched: Bson,
        /// `insert | discard | fail`.
        when_not_matched: String,
        /// `let` variables of the stage, as expressions.
        let_vars: Document,
    },
}

/// A parsed pipeline.
#[derive(Debug)]
pub struct Pipeline {}

impl Pipeline {
    /// Parses the stages. `$changeStream` is reported by [`Self::change_stream`] and handled by the
    /// command layer. Unknown stages are 40324.
    pub fn parse(_stages: &[Bson], _vars: &Vars) -> Result<Self> {
        todo!()
    }

    /// The filter that the storage may apply before the first stage runs (leading `$match`es,
    /// merged), and what sort/limit may be pushed down with it: `(filter, sort, skip, limit)`.
    /// The pushed stages are removed from the pipeline.
    pub fn take_pushdown(&mut self) -> (Document, Option<Document>, u64, Option<u64>) {
        todo!()
    }

    /// `$out` or `$merge` where the pipeline ends in one.
    pub fn sink(&self) -> Option<&Sink> {
        todo!()
    }

    /// The `$changeStream` stage's options where the pipeline starts with one; the remaining stages
    /// are then run on each event.
    pub fn change_stream(&self) -> Option<&Document> {
        todo!()
    }

    /// Runs the stages over `input`, lazily where a stage allows it. Blocking stages ($group,
    /// $sort, $facet…) keep at most `memory_bytes` and fail with 292 QueryExceededMemoryLimitNoDiskUseAllowed
    /// beyond it.
    pub fn run<'a>(
        &'a self,
        _input: Box<dyn Iterator<Item = Result<Document>> + 'a>,
        _database: &'a str,
        _source: &'a dyn Source,
        _vars: &'a Vars,
        _memory_bytes: usize,
    ) -> Box<dyn Iterator<Item = Result<Document>> + 'a> {
        todo!()
    }
}
