//! Updates by aggregation pipeline: the stages that make one document of one.

use std::sync::Arc;

use bson::{Bson, Document};

use crate::{
    bail,
    error::{Code, CommandError, Result},
    expr::Vars,
    pipeline::{Pipeline, Source},
    query::expression_vars,
    spill::Memory,
};

/// What one document may take while it is worked on.
const MEMORY_BYTES: usize = 64 << 20;

/// A parsed pipeline with the variables it may read.
#[derive(Debug, Clone)]
pub(super) struct UpdatePipeline {
    pipeline: Arc<Pipeline>,
    vars: Vars,
}

/// These stages reach no collection.
struct NoCollections;

impl Source for NoCollections {
    fn find(
        &self,
        _database: &str,
        collection: &str,
        _filter: &Document,
        _vars: &Vars,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + '_>> {
        bail!(
            InvalidOptions,
            "an update pipeline cannot read collection '{collection}'"
        )
    }
}

impl UpdatePipeline {
    pub(super) fn parse(stages: &[Bson], vars: &Document) -> Result<Self> {
        for stage in stages {
            let name = match stage {
                Bson::Document(stage) => stage.keys().next(),
                _ => bail!(
                    TypeMismatch,
                    "Each element of the 'pipeline' array must be an object"
                ),
            };
            let Some(name) = name else {
                return Err(CommandError::location(
                    40323,
                    "A pipeline stage specification object must contain exactly one field.",
                ));
            };
            if !matches!(
                name.as_str(),
                "$set" | "$addFields" | "$unset" | "$project" | "$replaceRoot" | "$replaceWith"
            ) {
                bail!(
                    InvalidOptions,
                    "{name} is not allowed to be used within an update"
                );
            }
        }
        let vars = expression_vars(vars);
        let pipeline = Arc::new(Pipeline::parse(stages, &vars)?);
        Ok(Self { pipeline, vars })
    }

    /// The document that becomes of `doc`.
    pub(super) fn run(&self, doc: Document) -> Result<Document> {
        let input = Box::new(std::iter::once(Ok(doc)));
        let memory = Memory {
            limit_bytes: MEMORY_BYTES,
            disk: None,
        };
        let mut output = self
            .pipeline
            .run(input, "", &NoCollections, &self.vars, &memory);
        output.next().unwrap_or_else(|| {
            Err(CommandError::new(
                Code::InternalError,
                "an update pipeline gave no document",
            ))
        })
    }
}
