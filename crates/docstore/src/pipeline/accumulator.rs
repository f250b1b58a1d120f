//! Accumulators of `$group`, `$bucket`, `$bucketAuto` and `$setWindowFields`.

use std::{borrow::Cow, collections::HashSet};

use bson::{Bson, Document};

use super::{
    memory::{Budget, held_bytes, stored_bytes},
    state::State,
    values::Values,
};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{
        Expr, Vars,
        number::{Number, Sum},
        ranked,
        sort_key::SortPattern,
        statistics::{Spread, check_method, check_percentiles, percentile_of},
        types,
    },
    value::{compare, encode_key},
};

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sum,
    Average,
    Min,
    Max,
    Push,
    AddToSet,
    First,
    Last,
    FirstN,
    LastN,
    MinN,
    MaxN,
    Top,
    Bottom,
    TopN,
    BottomN,
    MergeObjects,
    DeviationPopulation,
    DeviationSample,
    Median,
    Percentile,
}

/// A parsed accumulator with the field that it fills.
#[derive(Debug, Clone)]
pub(super) struct Accumulator {
    pub(super) field: String,
    kind: Kind,
    input: Expr,
    n: Option<Expr>,
    order: Option<SortPattern>,
    percentiles: Vec<f64>,
}

/// Whether `name` is an accumulator.
pub(super) fn is_known(name: &str) -> bool {
    kind(name).is_some() || name == "$count"
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "$sum" => Kind::Sum,
        "$avg" => Kind::Average,
        "$min" => Kind::Min,
        "$max" => Kind::Max,
        "$push" => Kind::Push,
        "$addToSet" => Kind::AddToSet,
        "$first" => Kind::First,
        "$last" => Kind::Last,
        "$firstN" => Kind::FirstN,
        "$lastN" => Kind::LastN,
        "$minN" => Kind::MinN,
        "$maxN" => Kind::MaxN,
        "$top" => Kind::Top,
        "$bottom" => Kind::Bottom,
        "$topN" => Kind::TopN,
        "$bottomN" => Kind::BottomN,
        "$mergeObjects" => Kind::MergeObjects,
        "$stdDevPop" => Kind::DeviationPopulation,
        "$stdDevSamp" => Kind::DeviationSample,
        "$median" => Kind::Median,
        "$percentile" => Kind::Percentile,
        _ => return None,
    })
}

impl Accumulator {
    /// Parses `field: {$operator: argument}`.
    pub(super) fn parse(field: &str, specification: &Bson) -> Result<Self> {
        if field.contains('.') {
            return Err(CommandError::location(
                40235,
                format!("The field name '{field}' cannot contain '.'"),
            ));
        }
        if field.starts_with('$') {
            return Err(CommandError::location(
                40236,
                format!("The field name '{field}' cannot be an operator name"),
            ));
        }
        let Bson::Document(document) = specification else {
            return Err(CommandError::location(
                40234,
                format!("The field '{field}' must be an accumulator object"),
            ));
        };
        let mut entries = document.iter();
        let (Some((name, argument)), None) = (entries.next(), entries.next()) else {
            return Err(CommandError::location(
                40238,
                format!("The field '{field}' must specify one accumulator"),
            ));
        };
        Self::parse_operator(field, name, argument)
    }

    /// Parses the operator apart from its field.
    pub(super) fn parse_operator(field: &str, name: &str, argument: &Bson) -> Result<Self> {
        if name == "$accumulator" {
            bail!(
                CommandNotSupported,
                "$accumulator needs server-side JavaScript, which this store does not run"
            );
        }
        if name == "$count" {
            if !matches!(argument, Bson::Document(empty) if empty.is_empty()) {
                bail!(TypeMismatch, "$count takes no arguments, i.e. $count:{{}}");
            }
            return Ok(Self::plain(field, Kind::Sum, Expr::parse(&Bson::Int32(1))?));
        }
        let Some(kind) = kind(name) else {
            return Err(CommandError::location(
                15952,
                format!("unknown group operator '{name}'"),
            ));
        };
        match kind {
            Kind::FirstN | Kind::LastN | Kind::MinN | Kind::MaxN => {
                let options = named(name, argument, &["input", "n"])?;
                let mut accumulator = Self::plain(field, kind, required(name, options, "input")?);
                accumulator.n = Some(required(name, options, "n")?);
                Ok(accumulator)
            }
            Kind::Top | Kind::Bottom | Kind::TopN | Kind::BottomN => {
                let many = matches!(kind, Kind::TopN | Kind::BottomN);
                let known: &[&str] = if many {
                    &["sortBy", "output", "n"]
                } else {
                    &["sortBy", "output"]
                };
                let options = named(name, argument, known)?;
                let mut accumulator = Self::plain(field, kind, required(name, options, "output")?);
                if many {
                    accumulator.n = Some(required(name, options, "n")?);
                }
                let Some(Bson::Document(order)) = options.get("sortBy") else {
                    return Err(CommandError::location(
                        5_788_002,
                        format!("{name} needs 'sortBy' to be an object"),
                    ));
                };
                accumulator.order = Some(SortPattern::parse(order)?);
                Ok(accumulator)
            }
            Kind::Median | Kind::Percentile => {
                let options = named(name, argument, &["input", "method", "p"])?;
                check_method(options.get("method"))?;
                let mut accumulator = Self::plain(field, kind, required(name, options, "input")?);
                if kind == Kind::Percentile {
                    let p = match options.get("p") {
                        Some(p) => Expr::parse(p)?.eval(&Document::new(), &Vars::default())?,
                        None => None,
                    };
                    accumulator.percentiles = check_percentiles(p.as_ref())?;
                }
                Ok(accumulator)
            }
            _ => {
                let argument = match argument {
                    Bson::Array(items) if items.len() == 1 => &items[0],
                    Bson::Array(_) => {
                        return Err(CommandError::location(
                            40237,
                            format!("The {name} accumulator is a unary operator"),
                        ));
                    }
                    other => other,
                };
                Ok(Self::plain(field, kind, Expr::parse(argument)?))
            }
        }
    }

    fn plain(field: &str, kind: Kind, input: Expr) -> Self {
        Self {
            field: field.to_owned(),
            kind,
            input,
            n: None,
            order: None,
            percentiles: Vec::new(),
        }
    }

    /// Whether it counts documents.
    pub(super) fn is_count(&self) -> bool {
        self.kind == Kind::Sum && self.input.constant() == Some(&Bson::Int32(1))
    }

    /// An empty state for the group `id`.
    pub(super) fn start(&self, id: &Bson, vars: &Vars) -> Result<State> {
        let empty = Document::new();
        let n = match &self.n {
            None => 1,
            Some(n) => {
                let root = match id {
                    Bson::Document(document) => document,
                    _ => &empty,
                };
                ranked::count(n.eval(root, vars)?.as_ref())?
            }
        };
        Ok(match self.kind {
            Kind::Sum | Kind::Average => State::Sum(Sum::default(), 0),
            Kind::Min | Kind::Max | Kind::First | Kind::Last => State::Single(None),
            Kind::AddToSet => State::Set(HashSet::new(), Values::default()),
            Kind::Push => State::Pushed(Values::default()),
            Kind::FirstN | Kind::LastN | Kind::MinN | Kind::MaxN => State::Many(n, Vec::new()),
            Kind::Top | Kind::Bottom | Kind::TopN | Kind::BottomN => State::Ranked(n, Vec::new()),
            Kind::MergeObjects => State::Merged(Document::new()),
            Kind::DeviationPopulation | Kind::DeviationSample => State::Spread(Spread::default()),
            Kind::Median | Kind::Percentile => State::Numbers(Vec::new()),
        })
    }

    /// Takes one document in.
    pub(super) fn add(
        &self,
        state: &mut State,
        document: &Document,
        vars: &Vars,
        budget: &mut Budget,
    ) -> Result<()> {
        if let (State::Single(Some(_)), Kind::First) = (&*state, self.kind) {
            return Ok(());
        }
        let value = self.input.eval_ref(document, vars)?;
        match state {
            State::Sum(sum, count) => {
                if let Some(number) = value.as_deref().and_then(Number::from_bson) {
                    sum.add(number);
                    *count += 1;
                }
            }
            State::Single(kept) => {
                if self.prefers(kept.as_ref(), value.as_deref()) {
                    let value = value.map_or(Bson::Null, Cow::into_owned);
                    budget.add(held_bytes(&value));
                    budget.release(kept.as_ref().map_or(0, held_bytes));
                    *kept = Some(value);
                }
            }
            State::Pushed(values) => {
                if let Some(value) = value {
                    budget.add(values.push(value.into_owned())?);
                }
            }
            State::Many(n, items) => {
                let skip = match self.kind {
                    Kind::FirstN => items.len() >= *n,
                    Kind::MinN | Kind::MaxN => types::is_nullish(value.as_deref()),
                    _ => false,
                };
                if !skip {
                    let value = value.map_or(Bson::Null, Cow::into_owned);
                    budget.add(held_bytes(&value));
                    items.push(value);
                    self.shrink(*n, items, budget);
                }
            }
            State::Set(seen, values) => {
                if let Some(value) = value {
                    let mut key = Vec::new();
                    encode_key(&value, false, &mut key);
                    if !seen.contains(&key) {
                        budget.add(key.len() + size_of::<Vec<u8>>());
                        budget.add(values.push(value.into_owned())?);
                        seen.insert(key);
                    }
                }
            }
            State::Ranked(n, entries) => {
                let Some(order) = &self.order else {
                    return Ok(());
                };
                let value = value.map_or(Bson::Null, Cow::into_owned);
                let key = order.key(document)?;
                budget.add(held_bytes(&value) + key.iter().map(held_bytes).sum::<usize>());
                entries.push((key, value));
                if entries.len() > n.saturating_mul(2).saturating_add(64) {
                    self.rank(*n, entries, budget);
                }
            }
            State::Merged(merged) => match value.map(Cow::into_owned) {
                Some(Bson::Document(document)) => {
                    let before = stored_bytes(merged);
                    merged.extend(document);
                    // Fields of that many stored bytes take about ten times that when decoded.
                    budget.add(10 * stored_bytes(merged).saturating_sub(before));
                }
                None | Some(Bson::Null | Bson::Undefined) => {}
                Some(other) => {
                    return Err(CommandError::location(
                        40400,
                        format!(
                            "$mergeObjects requires object inputs, but input {other} is of type {}",
                            types::name(Some(&other))
                        ),
                    ));
                }
            },
            State::Spread(spread) => {
                if let Some(number) = value.as_deref().and_then(Number::from_bson) {
                    spread.add(number.to_f64());
                }
            }
            State::Numbers(numbers) => {
                let number = value
                    .as_deref()
                    .and_then(Number::from_bson)
                    .map(Number::to_f64);
                if let Some(number) = number.filter(|number| !number.is_nan()) {
                    budget.add(size_of::<f64>());
                    numbers.push(number);
                }
            }
        }
        Ok(())
    }

    /// Whether a value that comes after `kept` takes its place.
    pub(super) fn prefers(&self, kept: Option<&Bson>, value: Option<&Bson>) -> bool {
        match self.kind {
            Kind::First => kept.is_none(),
            Kind::Last => true,
            _ if types::is_nullish(value) => false,
            kind => match (kept, value) {
                (Some(kept), Some(value)) => {
                    let order = compare(value, kept);
                    if kind == Kind::Max {
                        order.is_gt()
                    } else {
                        order.is_lt()
                    }
                }
                _ => true,
            },
        }
    }

    /// Drops what cannot be among the first `n` any more.
    pub(super) fn shrink(&self, n: usize, items: &mut Vec<Bson>, budget: &mut Budget) {
        if items.len() <= n.saturating_mul(2).saturating_add(64) {
            return;
        }
        let before: usize = items.iter().map(held_bytes).sum();
        self.finish_many(n, items);
        budget.release(before - items.iter().map(held_bytes).sum::<usize>());
    }

    fn finish_many(&self, n: usize, items: &mut Vec<Bson>) {
        match self.kind {
            Kind::FirstN => items.truncate(n),
            Kind::LastN => {
                items.drain(..items.len().saturating_sub(n));
            }
            Kind::MinN => {
                items.sort_by(compare);
                items.truncate(n);
            }
            Kind::MaxN => {
                items.sort_by(|a, b| compare(b, a));
                items.truncate(n);
            }
            _ => {}
        }
    }

    /// Keeps the first (or last) `n` entries, in order.
    pub(super) fn rank(&self, n: usize, entries: &mut Vec<(Vec<Bson>, Bson)>, budget: &mut Budget) {
        if let Some(order) = &self.order {
            entries.sort_by(|a, b| order.compare(&a.0, &b.0));
        }
        let top = matches!(self.kind, Kind::Top | Kind::TopN);
        let surplus = entries.len().saturating_sub(n);
        let range = if top {
            entries.len() - surplus..entries.len()
        } else {
            0..surplus
        };
        for (key, value) in entries.drain(range) {
            budget.release(held_bytes(&value) + key.iter().map(held_bytes).sum::<usize>());
        }
    }

    /// The value of the group's field.
    pub(super) fn finish(&self, state: State) -> Result<Bson> {
        Ok(match state {
            State::Sum(sum, _) if self.kind == Kind::Sum => sum.total().to_bson(),
            State::Sum(_, 0) => Bson::Null,
            State::Sum(sum, count) => sum.average(count).to_bson(),
            State::Single(value) => value.unwrap_or(Bson::Null),
            State::Many(n, mut items) => {
                self.finish_many(n, &mut items);
                Bson::Array(items)
            }
            State::Pushed(values) | State::Set(_, values) => Bson::Array(values.decode()?),
            State::Ranked(n, mut entries) => {
                self.rank(n, &mut entries, &mut Budget::new(usize::MAX));
                let mut values = entries.into_iter().map(|(_, value)| value);
                match self.kind {
                    Kind::Top | Kind::Bottom => values.next().unwrap_or(Bson::Null),
                    _ => Bson::Array(values.collect()),
                }
            }
            State::Merged(document) => Bson::Document(document),
            State::Spread(spread) => spread.deviation(self.kind == Kind::DeviationSample),
            State::Numbers(mut numbers) => match self.kind {
                Kind::Median => percentile_of(&mut numbers, 0.5),
                _ => {
                    let values = self
                        .percentiles
                        .iter()
                        .map(|p| percentile_of(&mut numbers, *p));
                    Bson::Array(values.collect())
                }
            },
        })
    }
}

fn named<'b>(name: &str, argument: &'b Bson, known: &[&str]) -> Result<&'b Document> {
    let Bson::Document(options) = argument else {
        return Err(CommandError::location(
            5_787_900,
            format!("specification must be an object; found {name}: {argument}"),
        ));
    };
    match options.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(options),
        Some(key) => Err(CommandError::location(
            5_787_901,
            format!("Unknown argument for '{name}' operator: {key}"),
        )),
    }
}

fn required(name: &str, options: &Document, field: &str) -> Result<Expr> {
    match options.get(field) {
        Some(value) => Expr::parse(value),
        None => Err(CommandError::location(
            if field == "n" { 5_787_906 } else { 5_787_907 },
            format!("Missing value for '{field}' in {name}"),
        )),
    }
}
