//! The windows of `$setWindowFields`: how they are written, and which rows each takes in.

use bson::Bson;

use super::{Order, failed};
use crate::{
    bail,
    error::{CommandError, Result},
    expr::{number::Number, types},
    pipeline::options::check_known,
};

/// The documents around one that count; `None` is unbounded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Window {
    Documents(Option<i64>, Option<i64>),
    /// Distances from the sort key's value, in its unit (dates: milliseconds).
    Range {
        lower: Option<f64>,
        upper: Option<f64>,
        dates: bool,
    },
}

impl Window {
    /// Parses `window`; all documents where it is not given.
    pub(super) fn parse(window: Option<&Bson>, order: Option<&Order>) -> Result<Self> {
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
                if bounded && order.is_none() {
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
                if order.is_none_or(|order| !order.single_ascending) {
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

    /// The rows `start..end` that belong to `row` of `count`. `keys` are the sort key's values, for
    /// ranges.
    pub(super) fn span(self, row: usize, count: usize, keys: &[f64]) -> (usize, usize) {
        let clamp = |position: i64| usize::try_from(position.max(0)).unwrap_or(0).min(count);
        let (start, end) = match self {
            Self::Documents(lower, upper) => {
                let row = row as i64;
                (
                    lower.map_or(0, |lower| clamp(row.saturating_add(lower))),
                    upper.map_or(count, |upper| {
                        clamp(row.saturating_add(upper).saturating_add(1))
                    }),
                )
            }
            Self::Range { lower, upper, .. } => {
                let key = keys[row];
                (
                    lower.map_or(0, |lower| {
                        keys.partition_point(|other| *other < key + lower)
                    }),
                    upper.map_or(count, |upper| {
                        keys.partition_point(|other| *other <= key + upper)
                    }),
                )
            }
        };
        (start, end.max(start))
    }
}

/// The number that a sort key stands for on the axis of ranges.
pub(super) fn range_value(key: Option<&Bson>, dates: bool) -> Result<f64> {
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
