//! Unit tests of pipelines, over collections in memory.

use std::collections::HashMap;

use bson::{Bson, DateTime, Document, bson, doc};

use super::{Pipeline, Source};
use crate::{
    error::{CommandError, Result},
    expr::Vars,
    query::Filter,
    spill::Memory as StageMemory,
};

mod groups;
mod joins;
mod names;
mod needs;
mod properties;
mod shapes;
mod spilled;
mod windows;

/// Collections of documents by name.
#[derive(Default)]
struct Memory {
    collections: HashMap<&'static str, Vec<Document>>,
}

impl Source for Memory {
    fn find(
        &self,
        _database: &str,
        collection: &str,
        filter: &Document,
        vars: &Vars,
    ) -> Result<Box<dyn Iterator<Item = Result<Document>> + '_>> {
        let filter = Filter::parse(filter, &vars.for_filters())?;
        let mut found = Vec::new();
        for document in self.collections.get(collection).into_iter().flatten() {
            if filter.matches(document)? {
                found.push(Ok(document.clone()));
            }
        }
        Ok(Box::new(found.into_iter()))
    }
}

/// A megabyte and no disk.
fn megabyte() -> StageMemory {
    StageMemory {
        limit_bytes: 1 << 20,
        disk: None,
    }
}

fn vars() -> Vars {
    Vars {
        user: Document::new(),
        now: Some(DateTime::from_millis(0)),
    }
}

fn stages(pipeline: Bson) -> Vec<Bson> {
    match pipeline {
        Bson::Array(stages) => stages,
        stage => vec![stage],
    }
}

fn try_run(input: Vec<Document>, pipeline: Bson, source: &Memory) -> Result<Vec<Document>> {
    try_run_within(input, pipeline, source, &megabyte())
}

fn try_run_within(
    input: Vec<Document>,
    pipeline: Bson,
    source: &Memory,
    memory: &StageMemory,
) -> Result<Vec<Document>> {
    let vars = vars();
    let pipeline = Pipeline::parse(&stages(pipeline), &vars)?;
    let input = Box::new(input.into_iter().map(Ok));
    pipeline.run(input, "db", source, &vars, memory).collect()
}

/// Runs stages over documents.
#[track_caller]
fn run(input: Bson, pipeline: Bson) -> Bson {
    let input = stages(input).into_iter().map(|document| match document {
        Bson::Document(document) => document,
        other => panic!("{other} is no document"),
    });
    let output = try_run(input.collect(), pipeline, &Memory::default()).expect("a result");
    Bson::Array(output.into_iter().map(Bson::Document).collect())
}

fn parse_error(pipeline: Bson) -> CommandError {
    Pipeline::parse(&stages(pipeline), &vars()).expect_err("refused")
}

#[track_caller]
fn refuses(stage: Bson, code: i32) {
    let error = parse_error(bson!([stage.clone()]));
    assert_eq!(error.code, code, "{stage}: {error}");
}
