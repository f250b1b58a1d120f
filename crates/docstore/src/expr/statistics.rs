//! Sums, averages, extremes, deviations and percentiles: as expressions over a list or an array,
//! and the running state that `$group` shares with them.

use std::borrow::Cow;

use bson::Bson;

use super::{
    node::Arguments,
    number::{Number, Sum},
    types,
};
use crate::{
    bail,
    error::{CommandError, Result},
    value::compare,
};

type Answer = Result<Option<Bson>>;

/// Calls `visit` for each argument, or for each element of a single argument that is an array.
fn each(arguments: &Arguments<'_>, mut visit: impl FnMut(&Bson)) {
    if arguments.len() == 1
        && let Some(Bson::Array(items)) = arguments.get(0)
    {
        items.iter().for_each(visit);
    } else {
        arguments
            .values
            .iter()
            .flatten()
            .for_each(|value| visit(value));
    }
}

pub(super) fn sum(arguments: Arguments<'_>) -> Answer {
    let mut total = Sum::default();
    each(&arguments, |value| {
        if let Some(number) = Number::from_bson(value) {
            total.add(number);
        }
    });
    Ok(Some(total.total().to_bson()))
}

pub(super) fn average(arguments: Arguments<'_>) -> Answer {
    let (mut total, mut count) = (Sum::default(), 0);
    each(&arguments, |value| {
        if let Some(number) = Number::from_bson(value) {
            total.add(number);
            count += 1;
        }
    });
    Ok(Some(if count == 0 {
        Bson::Null
    } else {
        total.average(count).to_bson()
    }))
}

pub(super) fn minimum(arguments: Arguments<'_>) -> Answer {
    extreme(&arguments, false)
}

pub(super) fn maximum(arguments: Arguments<'_>) -> Answer {
    extreme(&arguments, true)
}

fn extreme(arguments: &Arguments<'_>, greatest: bool) -> Answer {
    let mut best: Option<Cow<'_, Bson>> = None;
    each(arguments, |value| {
        if types::is_nullish(Some(value)) {
            return;
        }
        let better = best.as_ref().is_none_or(|best| {
            let order = compare(value, best);
            if greatest {
                order.is_gt()
            } else {
                order.is_lt()
            }
        });
        if better {
            best = Some(Cow::Owned(value.clone()));
        }
    });
    Ok(Some(best.map_or(Bson::Null, Cow::into_owned)))
}

/// Running mean and spread (Welford's method).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Spread {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value - self.mean);
    }

    /// Everything that the spread knows, to be taken up by [`Self::absorb`].
    pub(crate) fn to_state(self) -> Bson {
        Bson::Array(vec![
            Bson::Int64(self.count as i64),
            Bson::Double(self.mean),
            Bson::Double(self.squares),
        ])
    }

    /// Adds the numbers behind a spread that [`Self::to_state`] told.
    pub(crate) fn absorb(&mut self, state: &Bson) {
        let Bson::Array(parts) = state else { return };
        let [
            Bson::Int64(count),
            Bson::Double(mean),
            Bson::Double(squares),
        ] = parts.as_slice()
        else {
            return;
        };
        let (own, other) = (self.count as f64, *count as f64);
        let all = own + other;
        if *count == 0 {
            return;
        }
        let delta = mean - self.mean;
        self.mean += delta * other / all;
        self.squares += squares + delta * delta * own * other / all;
        self.count += *count as u64;
    }

    /// The standard deviation; null where there are too few numbers.
    pub(crate) fn deviation(&self, sample: bool) -> Bson {
        let divisor = if sample {
            self.count.saturating_sub(1)
        } else {
            self.count
        };
        if divisor == 0 {
            return Bson::Null;
        }
        let deviation = (self.squares / divisor as f64).sqrt();
        if deviation.is_finite() {
            Bson::Double(deviation)
        } else {
            Bson::Null
        }
    }
}

pub(super) fn deviation(arguments: Arguments<'_>) -> Answer {
    let mut spread = Spread::default();
    each(&arguments, |value| {
        if let Some(number) = Number::from_bson(value) {
            spread.add(number.to_f64());
        }
    });
    Ok(Some(spread.deviation(arguments.name == "$stdDevSamp")))
}

pub(super) fn median(arguments: Arguments<'_>) -> Answer {
    check_method(arguments.get(1))?;
    let mut numbers = percentile_input(arguments.get(0));
    Ok(Some(percentile_of(&mut numbers, 0.5)))
}

pub(super) fn percentile(arguments: Arguments<'_>) -> Answer {
    check_method(arguments.get(2))?;
    let wanted = check_percentiles(arguments.get(1))?;
    let mut numbers = percentile_input(arguments.get(0));
    let values = wanted.into_iter().map(|p| percentile_of(&mut numbers, p));
    Ok(Some(Bson::Array(values.collect())))
}

pub(crate) fn check_method(method: Option<&Bson>) -> Result<()> {
    match method {
        Some(Bson::String(method)) if method == "approximate" => Ok(()),
        _ => bail!(
            BadValue,
            "Currently only 'approximate' can be used as percentile 'method'"
        ),
    }
}

/// Reads `p`: a non-empty array of numbers within 0 and 1.
pub(crate) fn check_percentiles(p: Option<&Bson>) -> Result<Vec<f64>> {
    let Some(Bson::Array(items)) =
        p.filter(|p| !matches!(p, Bson::Array(items) if items.is_empty()))
    else {
        return Err(CommandError::location(
            7_750_300,
            "The $percentile 'p' field must be a non-empty array of numbers",
        ));
    };
    items
        .iter()
        .map(|item| {
            Number::from_bson(item)
                .map(Number::to_f64)
                .filter(|p| (0.0..=1.0).contains(p))
                .ok_or_else(|| {
                    CommandError::location(
                        7_750_303,
                        "The $percentile 'p' field must be an array of numbers from [0.0, 1.0]",
                    )
                })
        })
        .collect()
}

fn percentile_input(value: Option<&Bson>) -> Vec<f64> {
    let number = |value: &Bson| {
        Number::from_bson(value)
            .map(Number::to_f64)
            .filter(|n| !n.is_nan())
    };
    match value {
        Some(Bson::Array(items)) => items.iter().filter_map(number).collect(),
        Some(value) => number(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The exact discrete percentile, which MongoDB's "approximate" comes close to.
pub(crate) fn percentile_of(numbers: &mut [f64], p: f64) -> Bson {
    if numbers.is_empty() {
        return Bson::Null;
    }
    numbers.sort_by(f64::total_cmp);
    let rank = (p * numbers.len() as f64).ceil() as usize;
    Bson::Double(numbers[rank.saturating_sub(1).min(numbers.len() - 1)])
}
