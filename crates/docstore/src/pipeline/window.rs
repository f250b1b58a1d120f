//! `$setWindowFields`: accumulators over windows of sorted partitions, ranks and `$shift`.

use std::collections::HashMap;

use bson::{Bson, Document};

use super::{
    accumulator::{Accumulator, State, is_known},
    memory::Budget,
    options::{check_known, object, whole},
    stage::Documents,
    unwind,
};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{Expr, Vars, number::Number, parse::split_path, sort_key::SortPattern, types},
    value::encode_key,
};

/// A parsed `$setWindowFields`.
#[derive(Debug)]
pub(super) struct WindowFields {
    partition: Option<Expr>,
    order: Option<SortPattern>,
    /// The field and direction of a sort by one field, for ranges.
    range_key: Option<String>,
    outputs: Vec<Output>,
}

#[derive(Debug)]
struct Output {
    path: Vec<String>,
    function: Function,
}

#[derive(Debug)]
enum Function {
    Rank {
        dense: bool,
    },
    DocumentNumber,
    Shift {
        output: Expr,
        by: i64,
        default: Bson,
    },
    Accumulate(Accumulator, Window),
}

/// The documents around one that count; `None` is unbounded.
#[derive(Debug, Clone, Copy)]
enum Window {
    Documents(Option<i64>, Option<i64>),
    /// Distances from the sort key's value, in its unit (dates: milliseconds).
    Range {
        lower: Option<f64>,
        upper: Option<f64>,
        dates: bool,
    },
}

fn failed<T>(message: impl Into<String>) -> Result<T> {
    Err(CommandError::new(
        crate::error::Code::FailedToParse,
        message,
    ))
}

impl WindowFields {
    pub(super) fn parse(argument: &Bson) -> Result<Self> {
        let options = object("$setWindowFields", argument, 9)?;
        check_known(
            "$setWindowFields",
            options,
            &["partitionBy", "sortBy", "output"],
            40415,
        )?;
        let partition = options.get("partitionBy").map(Expr::parse).transpose()?;
        let (order, range_key) = match options.get("sortBy") {
            None => (None, None),
            Some(Bson::Document(keys)) => {
                let single = match (keys.len(), keys.iter().next()) {
                    (1, Some((key, direction))) if whole(direction) == Some(1) => Some(key.clone()),
                    _ => None,
                };
                (Some(SortPattern::parse(keys)?), single)
            }
            other => bail!(
                TypeMismatch,
                "BSON field '$setWindowFields.sortBy' is the wrong type '{}', expected type 'object'",
                types::name(other)
            ),
        };
        let Some(Bson::Document(fields)) = options.get("output") else {
            return Err(CommandError::location(
                40414,
                "BSON field '$setWindowFields.output' is missing but a required field",
            ));
        };
        let mut parsed = Self {
            partition,
            order,
            range_key,
            outputs: Vec::with_capacity(fields.len()),
        };
        for (path, specification) in fields {
            let function = parsed.parse_function(path, specification)?;
            parsed.outputs.push(Output {
                path: split_path(path)?,
                function,
            });
        }
        Ok(parsed)
    }

    fn parse_function(&self, path: &str, specification: &Bson) -> Result<Function> {
        let Bson::Document(specification) = specification else {
            return failed(format!("The field '{path}' must be an object"));
        };
        let (mut function, mut window) = (None, None);
        for (key, value) in specification {
            if key == "window" {
                window = Some(value);
            } else if function.is_some() {
                return failed(format!(
                    "Cannot specify two functions in window function spec: '{path}'"
                ));
            } else {
                function = Some((key.as_str(), value));
            }
        }
        let Some((name, argument)) = function else {
            return failed(format!("Expected a $-prefixed window function in '{path}'"));
        };
        let ranking = matches!(name, "$rank" | "$denseRank" | "$documentNumber" | "$shift");
        if ranking && window.is_some() {
            return failed(format!("'window' field is not allowed in {name}"));
        }
        if ranking && self.order.is_none() {
            return Err(CommandError::location(
                5_371_602,
                format!("{name} must be specified with a top level sortBy expression"),
            ));
        }
        match name {
            "$rank" => Ok(Function::Rank { dense: false }),
            "$denseRank" => Ok(Function::Rank { dense: true }),
            "$documentNumber" => Ok(Function::DocumentNumber),
            "$shift" => parse_shift(argument),
            accumulator if is_known(accumulator) => {
                let accumulator = Accumulator::parse_operator("value", accumulator, argument)?;
                Ok(Function::Accumulate(
                    accumulator,
                    self.parse_window(window)?,
                ))
            }
            _ => failed(format!("Unrecognized window function, {name}")),
        }
    }

    fn parse_window(&self, window: Option<&Bson>) -> Result<Window> {
        let Some(window) = window else {
            return Ok(Window::Documents(None, None));
        };
        let Bson::Document(options) = window else {
            return failed("'window' field must be an object");
        };
        check_known("'window'", options, &["documents", "range", "unit"], 9)?;
        match (options.get("documents"), options.get("range")) {
            (Some(bounds), None) if !options.contains_key("unit") => {
                let (lower, upper) = bounds_of(bounds)?;
                let position = |bound: Bound| match bound {
                    Bound::Unbounded => Ok(None),
                    Bound::Current => Ok(Some(0)),
                    Bound::At(number) => match number.to_whole() {
                        Some(n) => Ok(Some(n)),
                        None => failed("Numeric document-based bounds must be an integer"),
                    },
                };
                let (lower, upper) = (position(lower)?, position(upper)?);
                let bounded = !matches!((lower, upper), (None, None));
                if bounded && self.order.is_none() {
                    return Err(CommandError::location(
                        5_339_901,
                        "Document-based bounds require a sortBy",
                    ));
                }
                if let (Some(lower), Some(upper)) = (lower, upper)
                    && lower > upper
                {
                    return Err(CommandError::location(
                        5_339_900,
                        format!("Lower bound must not exceed upper bound: [{lower}, {upper}]"),
                    ));
                }
                Ok(Window::Documents(lower, upper))
            }
            (None, Some(bounds)) => {
                if self.range_key.is_none() {
                    return Err(CommandError::location(
                        5_339_902,
                        "Range-based bounds require sortBy a single, ascending field",
                    ));
                }
                let unit = unit_millis(options.get("unit"))?;
                let (lower, upper) = bounds_of(bounds)?;
                let distance = |bound: Bound| match bound {
                    Bound::Unbounded => None,
                    Bound::Current => Some(0.0),
                    Bound::At(number) => Some(number.to_f64() * unit.unwrap_or(1.0)),
                };
                Ok(Window::Range {
                    lower: distance(lower),
                    upper: distance(upper),
                    dates: unit.is_some(),
                })
            }
            _ => failed("Window bounds can specify either 'documents' or 'range'"),
        }
    }

    /// Reads all documents; partitions come in the order in which they were met.
    pub(super) fn run(
        &self,
        input: Documents<'_>,
        vars: &Vars,
        memory_bytes: usize,
    ) -> Result<Vec<Document>> {
        let mut budget = Budget::new("$setWindowFields", memory_bytes);
        let mut by_key: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut partitions: Vec<Vec<(Vec<Bson>, Document)>> = Vec::new();
        for document in input {
            let document = document?;
            budget.add_document(&document)?;
            let id = match &self.partition {
                Some(partition) => partition.eval(&document, vars)?.unwrap_or(Bson::Null),
                None => Bson::Null,
            };
            if matches!(id, Bson::Array(_)) {
                bail!(
                    TypeMismatch,
                    "An expression used to partition cannot evaluate to value of type array"
                );
            }
            let mut encoded = Vec::new();
            encode_key(&id, false, &mut encoded);
            let index = *by_key.entry(encoded).or_insert_with(|| {
                partitions.push(Vec::new());
                partitions.len() - 1
            });
            let key = match &self.order {
                Some(order) => order.key(&document)?,
                None => Vec::new(),
            };
            partitions[index].push((key, document));
        }
        let mut done = Vec::new();
        for mut partition in partitions {
            if let Some(order) = &self.order {
                partition.sort_by(|a, b| order.compare(&a.0, &b.0));
            }
            let mut columns = Vec::with_capacity(self.outputs.len());
            for output in &self.outputs {
                columns.push(self.column(&output.function, &partition, vars, &mut budget)?);
            }
            for (row, (_, mut document)) in partition.into_iter().enumerate() {
                for (output, column) in self.outputs.iter().zip(&mut columns) {
                    let value = std::mem::replace(&mut column[row], Bson::Null);
                    unwind::set(&mut document, &output.path, value);
                }
                done.push(document);
            }
        }
        Ok(done)
    }

    /// The values of one output for a sorted partition.
    fn column(
        &self,
        function: &Function,
        rows: &[(Vec<Bson>, Document)],
        vars: &Vars,
        budget: &mut Budget,
    ) -> Result<Vec<Bson>> {
        let count = rows.len();
        match function {
            Function::DocumentNumber => Ok((1..=count).map(|n| Bson::Int64(n as i64)).collect()),
            Function::Rank { dense } => {
                let (mut rank, mut values) = (0, Vec::with_capacity(count));
                for (index, (key, _)) in rows.iter().enumerate() {
                    let tied = index > 0
                        && self
                            .order
                            .as_ref()
                            .is_some_and(|order| order.compare(&rows[index - 1].0, key).is_eq());
                    if !tied {
                        rank = if *dense { rank + 1 } else { index as i64 + 1 };
                    }
                    values.push(Bson::Int64(rank));
                }
                Ok(values)
            }
            Function::Shift {
                output,
                by,
                default,
            } => (0..count)
                .map(|index| {
                    let from = (index as i64)
                        .checked_add(*by)
                        .and_then(|n| usize::try_from(n).ok());
                    match from.and_then(|from| rows.get(from)) {
                        Some((_, document)) => {
                            Ok(output.eval(document, vars)?.unwrap_or(Bson::Null))
                        }
                        None => Ok(default.clone()),
                    }
                })
                .collect(),
            Function::Accumulate(accumulator, window) => {
                let spans = self.spans(*window, rows)?;
                accumulate(accumulator, &spans, rows, vars, budget)
            }
        }
    }

    /// The rows `start..end` of each row's window.
    fn spans(&self, window: Window, rows: &[(Vec<Bson>, Document)]) -> Result<Vec<(usize, usize)>> {
        let count = rows.len();
        let clamp = |position: i64| usize::try_from(position.max(0)).unwrap_or(0).min(count);
        match window {
            Window::Documents(lower, upper) => Ok((0..count as i64)
                .map(|row| {
                    let start = lower.map_or(0, |lower| clamp(row.saturating_add(lower)));
                    let end = upper.map_or(count, |upper| {
                        clamp(row.saturating_add(upper).saturating_add(1))
                    });
                    (start, end.max(start))
                })
                .collect()),
            Window::Range {
                lower,
                upper,
                dates,
            } => {
                let mut keys = Vec::with_capacity(count);
                for (key, _) in rows {
                    keys.push(range_value(key.first(), dates)?);
                }
                Ok(keys
                    .iter()
                    .map(|key| {
                        let start = lower.map_or(0, |lower| {
                            keys.partition_point(|other| *other < key + lower)
                        });
                        let end = upper.map_or(count, |upper| {
                            keys.partition_point(|other| *other <= key + upper)
                        });
                        (start, end.max(start))
                    })
                    .collect())
            }
        }
    }
}

fn range_value(key: Option<&Bson>, dates: bool) -> Result<f64> {
    match key {
        Some(Bson::DateTime(when)) if dates => Ok(when.timestamp_millis() as f64),
        Some(value) if !dates && types::is_number(value) => {
            Ok(Number::from_bson(value).map_or(0.0, Number::to_f64))
        }
        other => Err(CommandError::location(
            if dates { 5_429_513 } else { 5_429_414 },
            format!(
                "Invalid range: Expected the sortBy field to be a {}, but it was {}",
                if dates { "Date" } else { "number" },
                types::name(other)
            ),
        )),
    }
}

fn accumulate(
    accumulator: &Accumulator,
    spans: &[(usize, usize)],
    rows: &[(Vec<Bson>, Document)],
    vars: &Vars,
    budget: &mut Budget,
) -> Result<Vec<Bson>> {
    let mut values = Vec::with_capacity(spans.len());
    let mut state: Option<(usize, usize, State)> = None;
    let mut previous: Option<((usize, usize), Bson)> = None;
    for &(start, end) in spans {
        if let Some((span, value)) = &previous
            && *span == (start, end)
        {
            values.push(value.clone());
            continue;
        }
        // A window that only grew is carried on; any other is computed anew.
        let (from, mut current) = match state.take() {
            Some((first, past, state)) if first == start && past <= end => (past, state),
            _ => (start, accumulator.start(&Bson::Null, vars)?),
        };
        for (_, document) in &rows[from..end] {
            accumulator.add(&mut current, document, vars, budget)?;
        }
        let value = accumulator.finish(current.clone());
        state = Some((start, end, current));
        previous = Some(((start, end), value.clone()));
        budget.add(super::memory::value_bytes(&value))?;
        values.push(value);
    }
    Ok(values)
}

fn parse_shift(argument: &Bson) -> Result<Function> {
    let Bson::Document(options) = argument else {
        return failed("Argument to $shift must be an object");
    };
    check_known("$shift", options, &["output", "by", "default"], 9)?;
    let (Some(output), Some(by)) = (options.get("output"), options.get("by")) else {
        return failed("$shift requires 'output' and 'by'");
    };
    let Some(by) = whole(by) else {
        return failed("'$shift:by' field must be an integer");
    };
    let default = match options.get("default") {
        None => Bson::Null,
        Some(default) => match Expr::parse(default)?.constant() {
            Some(default) => default.clone(),
            None => return failed("'$shift:default' expression must yield a constant value"),
        },
    };
    Ok(Function::Shift {
        output: Expr::parse(output)?,
        by,
        default,
    })
}

/// One end of a window.
enum Bound {
    Unbounded,
    Current,
    At(Number),
}

fn bounds_of(bounds: &Bson) -> Result<(Bound, Bound)> {
    let Bson::Array(items) = bounds else {
        return failed("Window bounds must be a 2-element array");
    };
    let [lower, upper] = items.as_slice() else {
        return failed("Window bounds must be a 2-element array");
    };
    let bound = |value: &Bson| match value {
        Bson::String(text) if text == "unbounded" => Ok(Bound::Unbounded),
        Bson::String(text) if text == "current" => Ok(Bound::Current),
        other => match Number::from_bson(other) {
            Some(number) => Ok(Bound::At(number)),
            None => failed("Window bounds must be 'unbounded', 'current', or a number."),
        },
    };
    Ok((bound(lower)?, bound(upper)?))
}

/// Milliseconds of a range's unit; units without a fixed length are refused.
fn unit_millis(unit: Option<&Bson>) -> Result<Option<f64>> {
    match unit {
        None => Ok(None),
        Some(Bson::String(unit)) => Ok(Some(match unit.as_str() {
            "millisecond" => 1.0,
            "second" => 1e3,
            "minute" => 6e4,
            "hour" => 3.6e6,
            "day" => 8.64e7,
            "week" => 6.048e8,
            "month" | "quarter" | "year" => {
                bail!(
                    CommandNotSupported,
                    "windows with a range in units of '{unit}' are not supported"
                )
            }
            _ => return failed(format!("unknown time unit value: {unit}")),
        })),
        Some(_) => failed("'unit' must be a string"),
    }
}
