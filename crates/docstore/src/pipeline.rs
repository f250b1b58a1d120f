//! Aggregation pipelines over documents. Collections are reached only through [`Source`].
//!
//! Stages are parsed whole before the first document is read; what is not implemented is refused
//! there by name. Streaming stages are lazy; blocking ones keep a bounded amount of memory.

use bson::{Bson, Document};

use crate::{
    error::{CommandError, Result},
    expr::{Expr, Vars},
    spill::Memory,
};

mod accumulator;
mod bucket;
mod granularity;
mod graph_lookup;
mod group;
mod lookup;
mod memory;
mod needs;
mod options;
mod parse;
pub mod projector;
mod sink;
mod sort;
mod stage;
mod state;
mod unwind;
mod values;
mod window;

#[cfg(test)]
mod tests;

use stage::{Context, Stage};

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

    /// The document with that `_id`, which is of a type that no two documents share it
    /// ([`is_plain_id`](crate::storage::documents::is_plain_id)).
    fn find_by_id(&self, database: &str, collection: &str, id: &Bson) -> Result<Option<Document>> {
        let filter = bson::doc! { "_id": { "$eq": id.clone() } };
        let vars = Vars::default();
        let mut found = self.find(database, collection, &filter, &vars)?;
        found.next().transpose()
    }
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
pub struct Pipeline {
    stages: Vec<Stage>,
    sink: Option<Sink>,
    change_stream: Option<Document>,
    special: Option<(String, Bson)>,
}

impl Pipeline {
    /// Parses the stages. `$changeStream` is reported by [`Self::change_stream`] and handled by the
    /// command layer. Unknown stages are 40324. A sink without a database of its own has an empty
    /// one: the caller's.
    pub fn parse(stages: &[Bson], vars: &Vars) -> Result<Self> {
        parse::parse(stages, vars, 0)
    }

    /// The filter that the storage may apply before the first stage runs (leading `$match`es,
    /// merged), and what sort/limit may be pushed down with it: `(filter, sort, skip, limit)`.
    /// The pushed stages are removed from the pipeline. The skip comes before the limit; a limit of 0 lets nothing pass.
    pub fn take_pushdown(&mut self) -> (Document, Option<Document>, u64, Option<u64>) {
        let filter = self.take_match();
        if self.change_stream.is_some() || self.special.is_some() {
            return (filter, None, 0, None);
        }
        let mut sort = None;
        if let Some(Stage::Sort(first)) = self.stages.first() {
            sort = Some(first.document().clone());
            self.stages.remove(0);
        }
        let (mut skip, mut limit): (u64, Option<u64>) = (0, None);
        loop {
            match self.stages.first() {
                Some(Stage::Skip(count)) => {
                    skip = skip.saturating_add(*count);
                    limit = limit.map(|limit| limit.saturating_sub(*count));
                }
                Some(Stage::Limit(count)) => {
                    limit = Some(limit.map_or(*count, |limit| limit.min(*count)));
                }
                _ => break,
            }
            self.stages.remove(0);
        }
        (filter, sort, skip, limit)
    }

    /// Takes only the leading `$match`es, as one filter.
    pub(crate) fn take_match(&mut self) -> Document {
        let mut filters = Vec::new();
        if self.change_stream.is_none() && self.special.is_none() {
            while let Some(Stage::Match(_, filter)) = self.stages.first() {
                if !filter.is_empty() {
                    filters.push(filter.clone());
                }
                self.stages.remove(0);
            }
        }
        conjunction(filters)
    }

    /// `$out` or `$merge` where the pipeline ends in one.
    pub fn sink(&self) -> Option<&Sink> {
        self.sink.as_ref()
    }

    /// The `$changeStream` stage's options where the pipeline starts with one; the remaining stages
    /// are then run on each event.
    pub fn change_stream(&self) -> Option<&Document> {
        self.change_stream.as_ref()
    }

    /// A first stage that reports on the server rather than on documents, with its argument:
    /// `$collStats`, `$indexStats`, `$currentOp` or `$listLocalSessions`. The caller gives its documents as the input of
    /// [`Self::run`].
    pub fn special(&self) -> Option<(&str, &Bson)> {
        self.special
            .as_ref()
            .map(|(name, argument)| (name.as_str(), argument))
    }

    /// Whether the pipeline starts with `$documents` and so needs no collection; its input is then
    /// ignored.
    pub fn starts_with_documents(&self) -> bool {
        matches!(self.stages.first(), Some(Stage::Documents(_)))
    }

    /// Where the pipeline only counts its input: makes its result of the number.
    pub(crate) fn as_count(&self) -> Option<impl Fn(u64) -> Option<Document> + use<>> {
        let [stage] = self.stages.as_slice() else {
            return None;
        };
        if self.special.is_some() || self.change_stream.is_some() {
            return None;
        }
        let (id, field) = match stage {
            Stage::Count(field) => (None, field.clone()),
            Stage::Group(group) => {
                let (id, field) = group.as_count()?;
                (Some(id), field)
            }
            _ => return None,
        };
        Some(move |count: u64| {
            if count == 0 {
                return None;
            }
            let mut document = Document::new();
            if let Some(id) = &id {
                document.insert("_id", id.clone());
            }
            let total = match i32::try_from(count) {
                Ok(count) => Bson::Int32(count),
                Err(_) => Bson::Int64(i64::try_from(count).unwrap_or(i64::MAX)),
            };
            document.insert(field.as_str(), total);
            Some(document)
        })
    }

    /// Whether nothing is left to run: the input's documents pass as they are.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty() && self.special.is_none() && self.change_stream.is_none()
    }

    /// Runs the stages over `input`, lazily where a stage allows it. Blocking stages ($group,
    /// $sort, $facet…) keep as much as `memory` says each; beyond it they go to its disk or, without
    /// one, fail with 292 QueryExceededMemoryLimitNoDiskUseAllowed.
    pub fn run<'a>(
        &'a self,
        input: Box<dyn Iterator<Item = Result<Document>> + 'a>,
        database: &'a str,
        source: &'a dyn Source,
        vars: &'a Vars,
        memory: &'a Memory,
    ) -> Box<dyn Iterator<Item = Result<Document>> + 'a> {
        let context = Context {
            database,
            source,
            vars,
            memory,
        };
        self.stages
            .iter()
            .fold(input, |documents, stage| stage.run(documents, context))
    }
}

/// One filter that demands all of `filters`.
fn conjunction(mut filters: Vec<Document>) -> Document {
    match filters.len() {
        0 => Document::new(),
        1 => filters.remove(0),
        _ => {
            let all: Vec<Bson> = filters.into_iter().map(Bson::Document).collect();
            bson::doc! { "$and": all }
        }
    }
}

/// Evaluates `let` definitions against a document, over the variables that are there already.
pub fn bind_variables(
    definitions: &[(String, Expr)],
    document: &Document,
    vars: &Vars,
) -> Result<Vars> {
    let mut bound = vars.clone();
    for (name, expression) in definitions {
        match expression.eval(document, vars)? {
            Some(value) => bound.user.insert(name.as_str(), value),
            None => bound.user.insert(name.as_str(), Bson::Undefined),
        };
    }
    Ok(bound)
}

/// Parses `let` definitions: `{name: expression, …}`.
pub fn parse_variables(definitions: &Document) -> Result<Vec<(String, Expr)>> {
    definitions
        .iter()
        .map(|(name, value)| {
            crate::expr::parse::check_user_variable(name)?;
            Ok((name.clone(), Expr::parse(value)?))
        })
        .collect::<Result<_, CommandError>>()
}
