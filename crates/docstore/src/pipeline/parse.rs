//! Stage documents to [`Stage`]s: names, shapes, and where in a pipeline each may stand.

use bson::{Bson, Document, doc};

use super::{
    Pipeline,
    bucket::{BucketAuto, parse_bucket},
    graph_lookup::GraphLookup,
    group::Group,
    lookup::{Lookup, UnionWith, check_sub_pipeline},
    options::whole,
    projector::Projector,
    sink::{parse_merge, parse_out},
    sort::Sort,
    stage::Stage,
    unwind::Unwind,
    window::WindowFields,
};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{Expr, Vars, types},
    query::Filter,
};

/// Levels that `$lookup`, `$unionWith` and `$facet` may nest.
pub(super) const MAX_SUB_PIPELINES: usize = 20;

/// Stages that a pipeline may have.
const MAX_STAGES: usize = 1000;

/// First stages that report on the server; the caller brings their documents.
const SPECIAL: [&str; 4] = [
    "$collStats",
    "$indexStats",
    "$currentOp",
    "$listLocalSessions",
];

/// MongoDB's stages that this store does not have.
const UNSUPPORTED: [&str; 13] = [
    "$listSessions",
    "$listSearchIndexes",
    "$densify",
    "$fill",
    "$geoNear",
    "$planCacheStats",
    "$querySettings",
    "$listSampledQueries",
    "$search",
    "$searchMeta",
    "$vectorSearch",
    "$shardedDataDistribution",
    "$changeStreamSplitLargeEvent",
];

/// Parses a pipeline that is `depth` sub-pipelines deep.
pub(super) fn parse(stages: &[Bson], vars: &Vars, depth: usize) -> Result<Pipeline> {
    if stages.len() > MAX_STAGES {
        return Err(CommandError::location(
            7_749_501,
            format!("Pipeline length must be no longer than {MAX_STAGES} stages."),
        ));
    }
    let mut pipeline = Pipeline {
        stages: Vec::with_capacity(stages.len()),
        sink: None,
        change_stream: None,
        special: None,
    };
    let filter_vars = vars.for_filters();
    for (position, stage) in stages.iter().enumerate() {
        let Bson::Document(stage) = stage else {
            bail!(
                TypeMismatch,
                "Each element of the 'pipeline' array must be an object"
            );
        };
        let mut entries = stage.iter();
        let (Some((name, argument)), None) = (entries.next(), entries.next()) else {
            return Err(CommandError::location(
                40323,
                "A pipeline stage specification object must contain exactly one field.",
            ));
        };
        let is_last = position + 1 == stages.len();
        let only_first = SPECIAL.contains(&name.as_str())
            || matches!(name.as_str(), "$changeStream" | "$documents");
        if only_first && position > 0 {
            return Err(CommandError::location(
                40602,
                format!("{name} is only valid as the first stage in a pipeline."),
            ));
        }
        match name.as_str() {
            "$out" | "$merge" => {
                if !is_last {
                    return Err(CommandError::location(
                        40601,
                        format!("{name} can only be the final stage in the pipeline"),
                    ));
                }
                pipeline.sink = Some(if name == "$out" {
                    parse_out(argument)?
                } else {
                    parse_merge(argument)?
                });
            }
            "$changeStream" => pipeline.change_stream = Some(parse_change_stream(argument)?),
            special if SPECIAL.contains(&special) => {
                pipeline.special = Some((name.clone(), argument.clone()));
            }
            _ => pipeline
                .stages
                .extend(parse_stage(name, argument, vars, &filter_vars, depth)?),
        }
    }
    fuse_limits(&mut pipeline.stages);
    Ok(pipeline)
}

/// Tells a sort how many documents are asked of it.
fn fuse_limits(stages: &mut [Stage]) {
    for index in 1..stages.len() {
        let (before, after) = stages.split_at_mut(index);
        if let (Some(Stage::Sort(sort)), Some(Stage::Limit(limit))) =
            (before.last_mut(), after.first())
        {
            sort.limit = Some(*limit);
        }
    }
}

fn parse_change_stream(argument: &Bson) -> Result<Document> {
    match argument {
        Bson::Document(options) => Ok(options.clone()),
        other => Err(CommandError::location(
            50808,
            format!(
                "$changeStream stage expects a document as argument, found {}",
                types::name(Some(other))
            ),
        )),
    }
}

fn parse_stage(
    name: &str,
    argument: &Bson,
    vars: &Vars,
    filter_vars: &Document,
    depth: usize,
) -> Result<Vec<Stage>> {
    let stage = match name {
        "$match" => {
            let Bson::Document(filter) = argument else {
                return Err(CommandError::location(
                    15959,
                    "the match filter must be an expression in an object",
                ));
            };
            Stage::Match(Filter::parse(filter, filter_vars)?, filter.clone())
        }
        "$project" => match argument {
            Bson::Document(specification) => Stage::Project(Projector::project(specification)?),
            _ => {
                return Err(CommandError::location(
                    15969,
                    "$project specification must be an object",
                ));
            }
        },
        "$addFields" | "$set" => match argument {
            Bson::Document(specification) => Stage::Project(Projector::add_fields(specification)?),
            other => {
                return Err(CommandError::location(
                    40272,
                    format!(
                        "{name} specification stage must be an object, got {}",
                        types::name(Some(other))
                    ),
                ));
            }
        },
        "$unset" => Stage::Project(Projector::unset(argument)?),
        "$group" => Stage::Group(Group::parse(argument)?),
        "$bucket" => Stage::Bucket(parse_bucket(argument)?),
        "$bucketAuto" => Stage::BucketAuto(BucketAuto::parse(argument)?),
        "$sortByCount" => {
            let computed = match argument {
                Bson::String(path) => path.starts_with('$'),
                Bson::Document(document) => document
                    .keys()
                    .next()
                    .is_some_and(|key| key.starts_with('$')),
                _ => false,
            };
            if !computed {
                return Err(CommandError::location(
                    40148,
                    "the sortByCount field must be defined as a $-prefixed path or an expression \
                     inside an object",
                ));
            }
            let group = doc! { "_id": argument.clone(), "count": { "$sum": 1 } };
            Stage::SortByCount(Group::parse(&Bson::Document(group))?)
        }
        "$sort" => match argument {
            Bson::Document(keys) => Stage::Sort(Sort::parse(keys)?),
            _ => {
                return Err(CommandError::location(
                    15973,
                    "the $sort key specification must be an object",
                ));
            }
        },
        "$skip" => match whole(argument).and_then(|count| u64::try_from(count).ok()) {
            Some(count) => Stage::Skip(count),
            None => {
                return Err(CommandError::location(
                    5_107_200,
                    format!(
                        "invalid argument to $skip stage: Expected a non-negative number in: $skip: {argument}"
                    ),
                ));
            }
        },
        "$limit" => match whole(argument).and_then(|count| u64::try_from(count).ok()) {
            Some(0) => return Err(CommandError::location(15958, "the limit must be positive")),
            Some(count) => Stage::Limit(count),
            None => {
                return Err(CommandError::location(
                    5_107_201,
                    format!(
                        "invalid argument to $limit stage: Expected a non-negative number in: $limit: {argument}"
                    ),
                ));
            }
        },
        "$unwind" => Stage::Unwind(Unwind::parse(argument)?),
        "$count" => Stage::Count(count_field(argument)?),
        "$lookup" => Stage::Lookup(Lookup::parse(argument, vars, depth)?),
        "$graphLookup" => Stage::GraphLookup(GraphLookup::parse(argument, filter_vars)?),
        "$facet" => Stage::Facet(parse_facet(argument, vars, depth)?),
        "$replaceRoot" => Stage::ReplaceRoot(parse_new_root(argument)?),
        "$replaceWith" => Stage::ReplaceRoot(Expr::parse(argument)?),
        "$redact" => Stage::Redact(Expr::parse(argument)?),
        "$sample" => Stage::Sample(sample_size(argument)?),
        "$unionWith" => Stage::UnionWith(UnionWith::parse(argument, vars, depth)?),
        "$documents" => Stage::Documents(Expr::parse(argument)?),
        "$setWindowFields" => Stage::WindowFields(WindowFields::parse(argument)?),
        unsupported if UNSUPPORTED.contains(&unsupported) => {
            return Err(CommandError::location(
                40324,
                format!(
                    "Unrecognized pipeline stage name: '{unsupported}' (this store does not support it)"
                ),
            ));
        }
        unknown => {
            return Err(CommandError::location(
                40324,
                format!("Unrecognized pipeline stage name: '{unknown}'"),
            ));
        }
    };
    Ok(vec![stage])
}

fn count_field(argument: &Bson) -> Result<String> {
    let error = |code, message: &str| Err(CommandError::location(code, message));
    match argument {
        Bson::String(name) if name.is_empty() => {
            error(40157, "the count field must be a non-empty string")
        }
        Bson::String(name) if name.starts_with('$') => {
            error(40158, "the count field cannot be a $-prefixed path")
        }
        Bson::String(name) if name.contains('\0') => {
            error(40159, "the count field cannot contain a null byte")
        }
        Bson::String(name) if name.contains('.') => {
            error(40160, "the count field cannot contain '.'")
        }
        Bson::String(name) => Ok(name.clone()),
        _ => error(40156, "the count field must be a non-empty string"),
    }
}

fn parse_facet(argument: &Bson, vars: &Vars, depth: usize) -> Result<Vec<(String, Pipeline)>> {
    let Bson::Document(facets) = argument else {
        return Err(CommandError::location(
            40169,
            format!(
                "the $facet specification must be a non-empty object, but found {}",
                types::name(Some(argument))
            ),
        ));
    };
    if facets.is_empty() {
        return Err(CommandError::location(
            40169,
            "the $facet specification must be a non-empty object",
        ));
    }
    let mut parsed = Vec::with_capacity(facets.len());
    for (name, stages) in facets {
        if name.starts_with('$') || name.contains('.') {
            return Err(CommandError::location(
                40170,
                format!("invalid $facet field name '{name}'"),
            ));
        }
        let Bson::Array(stages) = stages else {
            return Err(CommandError::location(
                40170,
                format!(
                    "arguments to $facet must be arrays, {name} is type {}",
                    types::name(Some(stages))
                ),
            ));
        };
        for stage in stages {
            let inner = match stage {
                Bson::Document(stage) => stage.keys().next().map_or("", String::as_str),
                _ => "",
            };
            if SPECIAL.contains(&inner)
                || matches!(
                    inner,
                    "$out" | "$merge" | "$facet" | "$changeStream" | "$documents"
                )
            {
                return Err(CommandError::location(
                    40600,
                    format!("{inner} is not allowed to be used within a $facet stage"),
                ));
            }
        }
        parsed.push((
            name.clone(),
            check_sub_pipeline("$facet", stages, vars, depth, 40600)?,
        ));
    }
    Ok(parsed)
}

fn parse_new_root(argument: &Bson) -> Result<Expr> {
    let Bson::Document(options) = argument else {
        return Err(CommandError::location(
            40229,
            format!(
                "expected an object as specification for $replaceRoot stage, got {}",
                types::name(Some(argument))
            ),
        ));
    };
    if let Some(key) = options.keys().find(|key| *key != "newRoot") {
        return Err(CommandError::location(
            40230,
            format!(
                "unrecognized option to $replaceRoot stage: {key}, only valid option is 'newRoot'."
            ),
        ));
    }
    match options.get("newRoot") {
        Some(root) => Expr::parse(root),
        None => Err(CommandError::location(
            40231,
            "no newRoot specified for the $replaceRoot stage",
        )),
    }
}

fn sample_size(argument: &Bson) -> Result<usize> {
    let Bson::Document(options) = argument else {
        return Err(CommandError::location(
            28745,
            "the $sample stage specification must be an object",
        ));
    };
    if let Some(key) = options.keys().find(|key| *key != "size") {
        return Err(CommandError::location(
            28748,
            format!("unrecognized option to $sample: {key}"),
        ));
    }
    let Some(size) = options.get("size") else {
        return Err(CommandError::location(
            28749,
            "$sample stage must specify a size",
        ));
    };
    match crate::expr::number::Number::from_bson(size) {
        None => Err(CommandError::location(
            28746,
            "size argument to $sample must be a number",
        )),
        Some(number) => match usize::try_from(number.to_f64() as i64) {
            Ok(size) if size > 0 => Ok(size),
            _ => Err(CommandError::location(
                28747,
                "size argument to $sample must be a positive integer",
            )),
        },
    }
}
