//! `$bucket` and `$bucketAuto`.

use bson::{Bson, Document, doc};

use super::{
    accumulator::Accumulator,
    group::{Group, Key},
    memory::{Budget, document_bytes, value_bytes},
    options::{check_known, object, whole},
    stage::Documents,
};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{Expr, Vars},
    value::{canonical_rank, compare},
};

/// The accumulators of `output`, by default a count.
fn output(options: &Document, code: i32) -> Result<Vec<Accumulator>> {
    match options.get("output") {
        None => Ok(vec![Accumulator::parse(
            "count",
            &Bson::Document(doc! { "$sum": 1 }),
        )?]),
        Some(Bson::Document(fields)) => fields
            .iter()
            .map(|(field, value)| Accumulator::parse(field, value))
            .collect(),
        Some(_) => Err(CommandError::location(
            code,
            "The 'output' field must be an object",
        )),
    }
}

/// Checks that documents are grouped by an expression, not by a constant.
fn group_by(options: &Document, stage: &str, code: i32) -> Result<Expr> {
    let value = options.get("groupBy");
    let computed = match value {
        Some(Bson::String(path)) => path.starts_with('$'),
        Some(Bson::Document(_)) => true,
        _ => false,
    };
    match value {
        Some(value) if computed => Expr::parse(value),
        _ => Err(CommandError::location(
            code,
            format!(
                "The {stage} 'groupBy' field must be defined as a $-prefixed path or an expression"
            ),
        )),
    }
}

fn constant(value: &Bson, code: i32, what: &str) -> Result<Bson> {
    match Expr::parse(value)?.constant() {
        Some(value) => Ok(value.clone()),
        None => Err(CommandError::location(
            code,
            format!("The $bucket {what} must be constant"),
        )),
    }
}

/// Parses `$bucket`.
pub(super) fn parse_bucket(argument: &Bson) -> Result<Group> {
    let options = object("$bucket", argument, 40201)?;
    check_known(
        "$bucket",
        options,
        &["groupBy", "boundaries", "default", "output"],
        40197,
    )?;
    if !options.contains_key("groupBy") || !options.contains_key("boundaries") {
        return Err(CommandError::location(
            40198,
            "$bucket requires 'groupBy' and 'boundaries' to be specified.",
        ));
    }
    let expression = group_by(options, "$bucket", 40202)?;
    let Some(Bson::Array(items)) = options.get("boundaries") else {
        return Err(CommandError::location(
            40200,
            "The $bucket 'boundaries' field must be an array",
        ));
    };
    let boundaries: Vec<Bson> = items
        .iter()
        .map(|item| constant(item, 40191, "'boundaries' field"))
        .collect::<Result<_>>()?;
    if boundaries.len() < 2 {
        return Err(CommandError::location(
            40192,
            "The $bucket 'boundaries' field must have at least 2 values",
        ));
    }
    for pair in boundaries.windows(2) {
        if canonical_rank(&pair[0]) != canonical_rank(&pair[1]) {
            return Err(CommandError::location(
                40193,
                "All values in the 'boundaries' option to $bucket must have the same type",
            ));
        }
        if compare(&pair[0], &pair[1]).is_ge() {
            return Err(CommandError::location(
                40194,
                "The 'boundaries' option to $bucket must be sorted in ascending order",
            ));
        }
    }
    let default = match options.get("default") {
        None => None,
        Some(value) => Some(constant(value, 40195, "'default' field")?),
    };
    if let Some(default) = &default {
        let first = &boundaries[0];
        let last = &boundaries[boundaries.len() - 1];
        if compare(default, first).is_ge() && compare(default, last).is_lt() {
            return Err(CommandError::location(
                40199,
                "The $bucket 'default' field must be less than the lowest boundary or greater \
                 than or equal to the highest boundary.",
            ));
        }
    }
    Ok(Group {
        key: Key::Bucket {
            expression,
            boundaries,
            default,
        },
        accumulators: output(options, 40196)?,
    })
}

/// A parsed `$bucketAuto`.
#[derive(Debug)]
pub(super) struct BucketAuto {
    expression: Expr,
    buckets: usize,
    group: Group,
}

impl BucketAuto {
    pub(super) fn parse(argument: &Bson) -> Result<Self> {
        let options = object("$bucketAuto", argument, 40240)?;
        check_known(
            "$bucketAuto",
            options,
            &["groupBy", "buckets", "output", "granularity"],
            40245,
        )?;
        if options.contains_key("granularity") {
            bail!(
                CommandNotSupported,
                "$bucketAuto's 'granularity' is not supported"
            );
        }
        if !options.contains_key("groupBy") || !options.contains_key("buckets") {
            return Err(CommandError::location(
                40246,
                "$bucketAuto requires 'groupBy' and 'buckets' to be specified",
            ));
        }
        let buckets = match options
            .get("buckets")
            .and_then(whole)
            .and_then(|n| i32::try_from(n).ok())
        {
            Some(buckets) if buckets > 0 => buckets as usize,
            Some(buckets) => {
                return Err(CommandError::location(
                    40243,
                    format!(
                        "The $bucketAuto 'buckets' field must be greater than 0, but found: {buckets}"
                    ),
                ));
            }
            None => {
                return Err(CommandError::location(
                    40241,
                    "The $bucketAuto 'buckets' field must be a numeric value representable as a \
                     32-bit integer",
                ));
            }
        };
        let expression = group_by(options, "$bucketAuto", 40239)?;
        Ok(Self {
            group: Group {
                key: Key::Expression(expression.clone()),
                accumulators: output(options, 40244)?,
            },
            expression,
            buckets,
        })
    }

    pub(super) fn run(
        &self,
        input: Documents<'_>,
        vars: &Vars,
        memory_bytes: usize,
    ) -> Result<Vec<Document>> {
        let mut budget = Budget::new("$bucketAuto", memory_bytes);
        let mut entries = Vec::new();
        for document in input {
            let document = document?;
            let key = self.expression.eval(&document, vars)?.unwrap_or(Bson::Null);
            budget.add(document_bytes(&document) + value_bytes(&key))?;
            entries.push((key, document));
        }
        entries.sort_by(|a, b| compare(&a.0, &b.0));
        let size = ((entries.len() as f64 / self.buckets as f64).round() as usize).max(1);
        let mut found = Vec::new();
        let mut start = 0;
        while start < entries.len() {
            let mut end = if found.len() + 1 == self.buckets {
                entries.len()
            } else {
                (start + size).min(entries.len())
            };
            // Equal values stay together.
            while end < entries.len() && compare(&entries[end].0, &entries[end - 1].0).is_eq() {
                end += 1;
            }
            let last = entries.get(end).unwrap_or(&entries[entries.len() - 1]);
            let id =
                Bson::Document(doc! { "min": entries[start].0.clone(), "max": last.0.clone() });
            let mut states = self.group.start(&id, vars)?;
            for (_, document) in &entries[start..end] {
                for (accumulator, state) in self.group.accumulators.iter().zip(&mut states) {
                    accumulator.add(state, document, vars, &mut budget)?;
                }
            }
            found.push(self.group.finish(id, states));
            start = end;
        }
        Ok(found)
    }
}
