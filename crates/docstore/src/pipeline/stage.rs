//! The stages and how each runs over a stream of documents.

use bson::{Bson, Document};

use super::{
    Pipeline, Source,
    bucket::BucketAuto,
    graph_lookup::GraphLookup,
    group::Group,
    lookup::{Lookup, UnionWith},
    memory::{Budget, stored_bytes},
    projector::Projector,
    sort::{Sort, sort_by_key},
    unwind::Unwind,
    window::WindowFields,
};
use crate::{
    error::{CommandError, Result},
    expr::{Expr, Vars, types},
    query::Filter,
    spill::{Memory, Rows},
    storage::catalog::decode,
    value::{compare, encode_key},
    wire::writer::encode,
};

/// A stream of documents.
pub(crate) type Documents<'a> = Box<dyn Iterator<Item = Result<Document>> + 'a>;

/// What stages need beside their input.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) database: &'a str,
    pub(super) source: &'a dyn Source,
    pub(super) vars: &'a Vars,
    pub(super) memory: &'a Memory,
}

/// A parsed stage.
#[derive(Debug)]
pub(super) enum Stage {
    /// The filter, parsed and as written.
    Match(Filter, Document),
    Project(Projector),
    Group(Group),
    /// Groups in the order of their `_id`.
    Bucket(Group),
    BucketAuto(BucketAuto),
    /// Groups, the greatest `count` first.
    SortByCount(Group),
    Sort(Sort),
    Skip(u64),
    Limit(u64),
    Unwind(Unwind),
    Count(String),
    Lookup(Lookup),
    GraphLookup(GraphLookup),
    Facet(Vec<(String, Pipeline)>),
    ReplaceRoot(Expr),
    Redact(Expr),
    Sample(usize),
    UnionWith(UnionWith),
    Documents(Expr),
    WindowFields(WindowFields),
}

/// A stage that reads all of its input when its first document is asked for.
fn blocking<'a>(work: impl FnOnce() -> Result<Vec<Document>> + 'a) -> Documents<'a> {
    deferred(move || {
        let documents = work()?;
        Ok(Box::new(documents.into_iter().map(Ok)) as Documents<'a>)
    })
}

/// A stream that is made when its first document is asked for.
fn deferred<'a>(make: impl FnOnce() -> Result<Documents<'a>> + 'a) -> Documents<'a> {
    Box::new(std::iter::once_with(make).flat_map(|made| match made {
        Ok(documents) => documents,
        Err(error) => Box::new(std::iter::once(Err(error))),
    }))
}

impl Stage {
    pub(super) fn run<'a>(&'a self, input: Documents<'a>, context: Context<'a>) -> Documents<'a> {
        let Context { vars, memory, .. } = context;
        match self {
            Self::Match(filter, _) => Box::new(input.filter_map(|document| match document {
                Ok(document) => match filter.matches(&document) {
                    Ok(true) => Some(Ok(document)),
                    Ok(false) => None,
                    Err(error) => Some(Err(error)),
                },
                Err(error) => Some(Err(error)),
            })),
            Self::Project(projector) => {
                Box::new(input.map(|document| projector.apply(document?, vars)))
            }
            Self::Group(group) => deferred(move || group.run(input, vars, memory)),
            Self::Bucket(group) => blocking(move || {
                let mut groups: Vec<Document> =
                    group.run(input, vars, memory)?.collect::<Result<_>>()?;
                groups.sort_by(|a, b| compare(field(a, "_id"), field(b, "_id")));
                Ok(groups)
            }),
            Self::SortByCount(group) => deferred(move || {
                let groups = group.run(input, vars, memory)?;
                sort_by_key("$sortByCount", groups, None, memory, |group, key| {
                    encode_key(field(group, "count"), true, key);
                    Ok(())
                })
            }),
            Self::BucketAuto(bucket) => deferred(move || bucket.run(input, vars, memory)),
            Self::Sort(sort) => deferred(move || sort.run(input, memory)),
            Self::Skip(count) => skip(input, *count),
            Self::Limit(count) => {
                Box::new(input.take(usize::try_from(*count).unwrap_or(usize::MAX)))
            }
            Self::Unwind(unwind) => Box::new(input.flat_map(|document| match document {
                Ok(document) => Box::new(unwind.run(document).map(Ok)) as Documents<'a>,
                Err(error) => Box::new(std::iter::once(Err(error))),
            })),
            Self::Count(name) => blocking(move || {
                let mut count: i64 = 0;
                for document in input {
                    document?;
                    count += 1;
                }
                let total = i32::try_from(count).map_or(Bson::Int64(count), Bson::Int32);
                let mut document = Document::new();
                document.insert(name.as_str(), total);
                Ok(if count == 0 {
                    Vec::new()
                } else {
                    vec![document]
                })
            }),
            Self::Lookup(lookup) => lookup.run(input, context),
            Self::GraphLookup(lookup) => lookup.run(input, context),
            Self::Facet(facets) => blocking(move || facet(facets, input, context)),
            Self::ReplaceRoot(root) => {
                Box::new(input.map(|document| replace_root(root, &document?, vars)))
            }
            Self::Redact(expression) => {
                let vars = redact_variables(vars);
                Box::new(input.filter_map(move |document| {
                    let whole = match document {
                        Ok(document) => Bson::Document(document),
                        Err(error) => return Some(Err(error)),
                    };
                    let Bson::Document(root) = &whole else {
                        return None;
                    };
                    match redact(expression, root, &whole, &vars) {
                        Ok(Some(Bson::Document(kept))) => Some(Ok(kept)),
                        Ok(_) => None,
                        Err(error) => Some(Err(error)),
                    }
                }))
            }
            Self::Sample(size) => deferred(move || sample(input, *size, memory)),
            Self::UnionWith(union) => {
                Box::new(input.chain(deferred(move || union.documents(context))))
            }
            Self::Documents(list) => blocking(move || documents(list, vars)),
            Self::WindowFields(window) => deferred(move || window.run(input, vars, memory)),
        }
    }
}

fn field<'d>(document: &'d Document, name: &str) -> &'d Bson {
    static NULL: Bson = Bson::Null;
    document.get(name).unwrap_or(&NULL)
}

/// Skips documents, but never an error.
fn skip(input: Documents<'_>, count: u64) -> Documents<'_> {
    let mut left = count;
    Box::new(input.filter(move |document| {
        if left > 0 && document.is_ok() {
            left -= 1;
            return false;
        }
        true
    }))
}

fn facet(
    facets: &[(String, Pipeline)],
    input: Documents<'_>,
    context: Context<'_>,
) -> Result<Vec<Document>> {
    let mut rows = Rows::new("$facet", context.memory);
    for document in input {
        rows.push(&encode(&document?)?)?;
    }
    let mut budget = Budget::new(context.memory.limit_bytes);
    let mut result = Document::new();
    for (name, pipeline) in facets {
        let rows = &mut rows;
        let output = pipeline.run(
            Box::new((0..rows.len()).map(|index| decode(rows.get(index)?))),
            context.database,
            context.source,
            context.vars,
            context.memory,
        );
        let mut values = Vec::new();
        for document in output {
            let document = document?;
            budget.add(stored_bytes(&document));
            budget.check(4_031_700, "the document constructed by $facet")?;
            values.push(Bson::Document(document));
        }
        result.insert(name.as_str(), values);
    }
    Ok(vec![result])
}

fn replace_root(root: &Expr, document: &Document, vars: &Vars) -> Result<Document> {
    match root.eval(document, vars)? {
        Some(Bson::Document(document)) => Ok(document),
        other => Err(CommandError::location(
            40228,
            format!(
                "'newRoot' expression must evaluate to an object, but resulting value was: {}. \
                 Type of resulting value: '{}'",
                other
                    .as_ref()
                    .map_or_else(|| "MISSING".to_owned(), Bson::to_string),
                types::name(other.as_ref())
            ),
        )),
    }
}

/// Asks at each level of a document whether to keep, prune or look inside it.
fn redact(expression: &Expr, root: &Document, current: &Bson, vars: &Vars) -> Result<Option<Bson>> {
    match current {
        Bson::Document(document) => {
            let decision = expression.eval_at(root, current, vars)?;
            match &decision {
                Some(Bson::String(decision)) if decision == "keep" => Ok(Some(current.clone())),
                Some(Bson::String(decision)) if decision == "prune" => Ok(None),
                Some(Bson::String(decision)) if decision == "descend" => {
                    let mut kept = Document::new();
                    for (name, value) in document {
                        if let Some(value) = redact(expression, root, value, vars)? {
                            kept.insert(name.as_str(), value);
                        }
                    }
                    Ok(Some(Bson::Document(kept)))
                }
                other => Err(CommandError::location(
                    17053,
                    format!(
                        "$redact's expression should not return anything aside from the variables \
                         $$KEEP, $$DESCEND, and $$PRUNE, but returned {}",
                        other
                            .as_ref()
                            .map_or_else(|| "nothing".to_owned(), Bson::to_string)
                    ),
                )),
            }
        }
        Bson::Array(items) => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                kept.extend(redact(expression, root, item, vars)?);
            }
            Ok(Some(Bson::Array(kept)))
        }
        other => Ok(Some(other.clone())),
    }
}

/// The variables that `$redact` decides with.
fn redact_variables(vars: &Vars) -> Vars {
    let mut vars = vars.clone();
    for (name, decision) in [("KEEP", "keep"), ("PRUNE", "prune"), ("DESCEND", "descend")] {
        vars.user.insert(name, decision);
    }
    vars
}

/// A random sample without repetition, in random order: the first of all in the order of random
/// keys.
fn sample<'a>(input: Documents<'_>, size: usize, memory: &Memory) -> Result<Documents<'a>> {
    sort_by_key("$sample", input, Some(size), memory, |_, key| {
        let start = key.len();
        key.resize(start + 16, 0);
        aws_lc_rs::rand::fill(&mut key[start..]).map_err(|_| {
            CommandError::new(
                crate::error::Code::InternalError,
                "the system gave no random numbers",
            )
        })
    })
}

fn documents(list: &Expr, vars: &Vars) -> Result<Vec<Document>> {
    let not_documents = |found: Option<&Bson>| {
        CommandError::location(
            5_858_203,
            format!(
                "an array of documents is expected by $documents, found {}",
                types::name(found)
            ),
        )
    };
    match list.eval(&Document::new(), vars)? {
        Some(Bson::Array(items)) => items
            .into_iter()
            .map(|item| match item {
                Bson::Document(document) => Ok(document),
                other => Err(not_documents(Some(&other))),
            })
            .collect(),
        other => Err(not_documents(other.as_ref())),
    }
}
