//! `$bucket` and `$bucketAuto`.

use std::borrow::Cow;

use bson::{Bson, Document, doc};

use super::{
    accumulator::Accumulator,
    granularity::Granularity,
    group::{Group, Key},
    memory::Budget,
    needs::of_argument,
    options::{check_known, object, whole},
    stage::Documents,
};
use crate::{
    error::{CommandError, Result},
    expr::{Expr, Vars},
    spill::{Memory, Sorted, Sorter},
    storage::catalog::decode,
    value::{canonical_rank, compare, encode_key},
    wire::writer::encode,
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
        needs: of_argument(argument),
    })
}

/// A parsed `$bucketAuto`.
#[derive(Debug)]
pub(super) struct BucketAuto {
    expression: Expr,
    buckets: usize,
    granularity: Option<Granularity>,
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
                needs: None,
            },
            expression,
            buckets,
            granularity: options
                .get("granularity")
                .map(Granularity::parse)
                .transpose()?,
        })
    }

    /// Reads all of `input`; the buckets are filled one after the other.
    pub(super) fn run<'a>(
        &'a self,
        input: Documents<'_>,
        vars: &'a Vars,
        memory: &Memory,
    ) -> Result<Documents<'a>> {
        let mut sorter = Sorter::new("$bucketAuto", None, memory);
        let (mut key, mut count) = (Vec::new(), 0_usize);
        for document in input {
            let document = document?;
            let value = self.expression.eval_ref(&document, vars)?;
            let value = value.unwrap_or(Cow::Owned(Bson::Null));
            if let Some(granularity) = &self.granularity {
                granularity.check(&value)?;
            }
            key.clear();
            encode_key(&value, false, &mut key);
            sorter.push(&key, &encode(&document)?)?;
            count += 1;
        }
        let mut filling = Filling {
            bucket: self,
            vars,
            sorted: sorter.finish()?,
            size: ((count as f64 / self.buckets as f64).round() as usize).max(1),
            made: 0,
            least: None,
            budget: Budget::new(memory.limit_bytes),
        };
        Ok(Box::new(std::iter::from_fn(move || filling.next())))
    }
}

/// Buckets being filled from sorted documents.
struct Filling<'a> {
    bucket: &'a BucketAuto,
    vars: &'a Vars,
    sorted: Sorted,
    /// Documents that a bucket is meant to have.
    size: usize,
    made: usize,
    /// Where the next bucket begins, if the one before it says.
    least: Option<Bson>,
    budget: Budget,
}

impl Filling<'_> {
    fn next(&mut self) -> Option<Result<Document>> {
        if self.sorted.is_empty() {
            return None;
        }
        Some(self.fill())
    }

    fn fill(&mut self) -> Result<Document> {
        self.made += 1;
        let is_last = self.made >= self.bucket.buckets;
        let granularity = self.bucket.granularity.as_ref();
        self.budget.clear();
        let mut states = self.bucket.group.start(&Bson::Null, self.vars)?;
        let (mut least, mut greatest) = (self.least.take(), Bson::Null);
        let mut taken = 0;
        // The end of a full bucket: values below it, or equal to the last, still go in.
        let mut end: Option<Bson> = None;
        while let Some((_, bytes)) = self.sorted.front() {
            let document = decode(bytes)?;
            let value = self.bucket.expression.eval(&document, self.vars)?;
            let value = value.unwrap_or(Bson::Null);
            if taken >= self.size && !is_last {
                let belongs = match granularity {
                    None => compare(&value, &greatest).is_eq(),
                    Some(series) => {
                        let end = end.get_or_insert_with(|| series.above(&greatest));
                        compare(&value, end).is_lt()
                    }
                };
                if !belongs {
                    break;
                }
            }
            for (accumulator, state) in self.bucket.group.accumulators.iter().zip(&mut states) {
                accumulator.add(state, &document, self.vars, &mut self.budget)?;
            }
            self.budget
                .check(5_643_010, "what one bucket of $bucketAuto holds")?;
            least.get_or_insert_with(|| match granularity {
                None => value.clone(),
                Some(series) => series.below(&value),
            });
            greatest = value;
            taken += 1;
            self.sorted.pop()?;
        }
        let most = match (granularity, self.sorted.front()) {
            (Some(series), _) => {
                let end = end.unwrap_or_else(|| series.above(&greatest));
                self.least = Some(end.clone());
                end
            }
            (None, Some((_, bytes))) => {
                let document = decode(bytes)?;
                let next = self.bucket.expression.eval(&document, self.vars)?;
                next.unwrap_or(Bson::Null)
            }
            (None, None) => greatest,
        };
        let id = doc! { "min": least.unwrap_or(Bson::Null), "max": most };
        self.bucket.group.finish(Bson::Document(id), states)
    }
}
