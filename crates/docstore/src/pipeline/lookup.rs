//! `$lookup` and `$unionWith`: documents of other collections.

use std::cell::RefCell;

use bson::{Bson, Document, doc};

use super::{
    Pipeline, bind_variables, conjunction,
    memory::{Budget, stored_bytes},
    options::{check_known, object, string},
    parse::{MAX_SUB_PIPELINES, parse as parse_pipeline},
    parse_variables,
    stage::{Context, Documents},
    unwind,
};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{Expr, Vars, parse::split_path, types},
    storage::documents::is_plain_id,
};

/// A parsed `$lookup`.
#[derive(Debug)]
pub(super) struct Lookup {
    /// `None` where the pipeline brings its own `$documents`.
    from: Option<String>,
    fields: Option<(Vec<String>, String)>,
    variables: Vec<(String, Expr)>,
    pipeline: Option<SubPipeline>,
    into: Vec<String>,
}

/// A pipeline that may see variables: it is parsed again with their values.
#[derive(Debug)]
struct SubPipeline {
    stages: Vec<Bson>,
    depth: usize,
}

/// Checks a sub-pipeline and refuses sinks in it.
pub(super) fn check_sub_pipeline(
    stage: &str,
    stages: &[Bson],
    vars: &Vars,
    depth: usize,
    code: i32,
) -> Result<Pipeline> {
    if depth >= MAX_SUB_PIPELINES {
        return Err(CommandError::location(
            5_858_200,
            "Maximum number of nested sub-pipelines exceeded. Limit is 20",
        ));
    }
    let pipeline = parse_pipeline(stages, vars, depth + 1)?;
    if pipeline.sink().is_some() {
        return Err(CommandError::location(
            code,
            format!("$out or $merge is not allowed within a {stage}'s sub-pipeline"),
        ));
    }
    if pipeline.change_stream().is_some() || pipeline.special().is_some() {
        bail!(
            CommandNotSupported,
            "a {stage}'s sub-pipeline must start from documents"
        );
    }
    Ok(pipeline)
}

/// The name of another collection; another database's is refused.
fn collection<'b>(stage: &str, options: &'b Document, name: &str) -> Result<&'b str> {
    match options.get(name) {
        Some(Bson::Document(_)) => {
            bail!(
                CommandNotSupported,
                "{stage} from another database ('{name}' as an object) is not supported"
            )
        }
        _ => string(stage, options, name),
    }
}

impl Lookup {
    pub(super) fn parse(argument: &Bson, vars: &Vars, depth: usize) -> Result<Self> {
        let Bson::Document(options) = argument else {
            bail!(
                FailedToParse,
                "the $lookup stage specification must be an object, but found {}",
                types::name(Some(argument))
            );
        };
        check_known(
            "$lookup",
            options,
            &[
                "from",
                "localField",
                "foreignField",
                "as",
                "let",
                "pipeline",
            ],
            9,
        )?;
        let into = split_path(string("$lookup", options, "as")?)?;
        let fields = match (
            options.contains_key("localField"),
            options.contains_key("foreignField"),
        ) {
            (false, false) => None,
            (true, true) => {
                let foreign = string("$lookup", options, "foreignField")?;
                split_path(foreign)?;
                Some((
                    split_path(string("$lookup", options, "localField")?)?,
                    foreign.to_owned(),
                ))
            }
            _ => bail!(
                FailedToParse,
                "$lookup requires either 'pipeline' or both 'localField' and 'foreignField' to be specified"
            ),
        };
        let variables = match options.get("let") {
            None => Vec::new(),
            Some(Bson::Document(definitions)) => parse_variables(definitions)?,
            other => bail!(
                FailedToParse,
                "$lookup argument 'let: ...' must be an object, is type {}",
                types::name(other)
            ),
        };
        let pipeline = match options.get("pipeline") {
            None if fields.is_none() => bail!(
                FailedToParse,
                "$lookup requires either 'pipeline' or both 'localField' and 'foreignField' to be specified"
            ),
            None if !variables.is_empty() => bail!(
                FailedToParse,
                "$lookup with a 'let' argument must also specify 'pipeline'"
            ),
            None => None,
            Some(Bson::Array(stages)) => {
                let mut known = vars.clone();
                for (name, _) in &variables {
                    known.user.insert(name.as_str(), Bson::Null);
                }
                let parsed = check_sub_pipeline("$lookup", stages, &known, depth, 51047)?;
                if !options.contains_key("from") && !parsed.starts_with_documents() {
                    bail!(FailedToParse, "must specify 'from' field for a $lookup");
                }
                Some(SubPipeline {
                    stages: stages.clone(),
                    depth: depth + 1,
                })
            }
            other => bail!(
                TypeMismatch,
                "'pipeline' option must be specified as an array, found {}",
                types::name(other)
            ),
        };
        let from = if options.contains_key("from") || pipeline.is_none() {
            Some(collection("$lookup", options, "from")?.to_owned())
        } else {
            None
        };
        Ok(Self {
            from,
            fields,
            variables,
            pipeline,
            into,
        })
    }

    /// The top-level field of its input that decides what it finds, where there is only one.
    pub(super) fn only_field(&self) -> Option<String> {
        match (&self.fields, &self.pipeline) {
            (Some((local, _)), None) => local.first().cloned(),
            _ => None,
        }
    }

    /// Adds what is found to each document.
    pub(super) fn run<'a>(&'a self, input: Documents<'a>, context: Context<'a>) -> Documents<'a> {
        let cached: RefCell<Option<Vec<Bson>>> = RefCell::new(None);
        Box::new(input.map(move |document| {
            let mut document = document?;
            // Without fields and variables the answer is the same for every document.
            let same = self.fields.is_none() && self.variables.is_empty();
            let known = if same { cached.borrow().clone() } else { None };
            let found = match known {
                Some(found) => found,
                None => {
                    let found = self.find(&document, context)?;
                    if same {
                        *cached.borrow_mut() = Some(found.clone());
                    }
                    found
                }
            };
            unwind::set(&mut document, &self.into, Bson::Array(found));
            Ok(document)
        }))
    }

    fn find(&self, document: &Document, context: Context<'_>) -> Result<Vec<Bson>> {
        if let (Some(from), Some((local, foreign)), None) =
            (&self.from, &self.fields, &self.pipeline)
            && foreign == "_id"
            && let Some(id) = plain_id(document, local)
        {
            let found = context.source.find_by_id(context.database, from, id)?;
            return Ok(found.into_iter().map(Bson::Document).collect());
        }
        let mut filters = Vec::new();
        if let Some((local, foreign)) = &self.fields {
            filters.push(equality(document, local, foreign));
        }
        let bound;
        let mut vars = context.vars;
        let mut parsed = None;
        if let Some(sub) = &self.pipeline {
            bound = bind_variables(&self.variables, document, context.vars)?;
            vars = &bound;
            let mut pipeline = parse_pipeline(&sub.stages, vars, sub.depth)?;
            filters.push(pipeline.take_match());
            parsed = Some(pipeline);
        }
        filters.retain(|filter| !filter.is_empty());
        let input: Documents<'_> = match &self.from {
            Some(from) => {
                context
                    .source
                    .find(context.database, from, &conjunction(filters), vars)?
            }
            None => Box::new(std::iter::empty()),
        };
        let output = match &parsed {
            Some(pipeline) => pipeline.run(
                input,
                context.database,
                context.source,
                vars,
                context.memory,
            ),
            None => input,
        };
        let mut budget = Budget::new(context.memory.limit_bytes);
        let mut found = Vec::new();
        for document in output {
            let document = document?;
            budget.add(stored_bytes(&document));
            budget.check(4568, "what one $lookup found")?;
            found.push(Bson::Document(document));
        }
        Ok(found)
    }
}

/// The value at a path without arrays, where it is one that a single document can have as `_id`.
fn plain_id<'d>(document: &'d Document, path: &[String]) -> Option<&'d Bson> {
    let (first, rest) = path.split_first()?;
    match document.get(first)? {
        value if rest.is_empty() => is_plain_id(value).then_some(value),
        Bson::Document(inner) => plain_id(inner, rest),
        _ => None,
    }
}

/// The filter for documents whose `foreign` field equals a value that `local` reaches.
fn equality(document: &Document, local: &[String], foreign: &str) -> Document {
    let mut values = Vec::new();
    reach(document, local, &mut values);
    // `$in` would take a regular expression for a pattern.
    if values
        .iter()
        .any(|value| matches!(value, Bson::RegularExpression(_)))
    {
        let any: Vec<Bson> = values
            .into_iter()
            .map(|value| Bson::Document(doc! { foreign: { "$eq": value } }))
            .collect();
        return doc! { "$or": any };
    }
    match values.len() {
        0 => doc! { foreign: { "$eq": Bson::Null } },
        1 => doc! { foreign: { "$eq": values.remove(0) } },
        _ => doc! { foreign: { "$in": values } },
    }
}

/// The values at a path: arrays along it and at its end are fanned out.
pub(super) fn reach(document: &Document, path: &[String], values: &mut Vec<Bson>) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if let Some(value) = document.get(first) {
        reach_in(value, rest, values);
    }
}

fn reach_in(value: &Bson, path: &[String], values: &mut Vec<Bson>) {
    match (value, path.split_first()) {
        (Bson::Array(items), None) => values.extend(items.iter().cloned()),
        (Bson::Undefined, None) => values.push(Bson::Null),
        (value, None) => values.push(value.clone()),
        (Bson::Document(document), Some(_)) => reach(document, path, values),
        (Bson::Array(items), Some((first, rest))) => {
            if let Some(item) = first
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get(index))
            {
                reach_in(item, rest, values);
            }
            for item in items {
                if let Bson::Document(document) = item {
                    reach(document, path, values);
                }
            }
        }
        _ => {}
    }
}

/// A parsed `$unionWith`.
#[derive(Debug)]
pub(super) struct UnionWith {
    from: Option<String>,
    pipeline: Pipeline,
    filter: Document,
}

impl UnionWith {
    pub(super) fn parse(argument: &Bson, vars: &Vars, depth: usize) -> Result<Self> {
        let (from, stages): (Option<String>, &[Bson]) = match argument {
            Bson::String(name) => (Some(name.clone()), &[]),
            other => {
                let options = object("$unionWith", other, 9)?;
                check_known("$unionWith", options, &["coll", "pipeline"], 9)?;
                let stages: &[Bson] = match options.get("pipeline") {
                    None => &[],
                    Some(Bson::Array(stages)) => stages,
                    other => bail!(
                        TypeMismatch,
                        "$unionWith's 'pipeline' must be an array, found {}",
                        types::name(other)
                    ),
                };
                let from = match options.get("coll") {
                    None => None,
                    Some(_) => Some(string("$unionWith", options, "coll")?.to_owned()),
                };
                (from, stages)
            }
        };
        let mut pipeline = check_sub_pipeline("$unionWith", stages, vars, depth, 31441)?;
        if from.is_none() && !pipeline.starts_with_documents() {
            bail!(
                FailedToParse,
                "$unionWith stage without explicit collection must have a pipeline with $documents as first stage"
            );
        }
        let filter = pipeline.take_match();
        Ok(Self {
            from,
            pipeline,
            filter,
        })
    }

    /// The other collection's documents.
    pub(super) fn documents<'a>(&'a self, context: Context<'a>) -> Result<Documents<'a>> {
        let input: Documents<'a> = match &self.from {
            Some(from) => {
                context
                    .source
                    .find(context.database, from, &self.filter, context.vars)?
            }
            None => Box::new(std::iter::empty()),
        };
        Ok(self.pipeline.run(
            input,
            context.database,
            context.source,
            context.vars,
            context.memory,
        ))
    }
}
