//! The series of preferred numbers that `$bucketAuto` may round the ends of its buckets to.

use bson::Bson;

use crate::{
    error::{CommandError, Result},
    expr::{number::Number, types},
};

/// A series.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Granularity {
    /// These numbers times every power of ten.
    Preferred(Vec<f64>),
    /// 1, 2, 4, 8…
    PowersOfTwo,
}

/// Renard's series of 80 numbers. Those of fewer are every second, fourth… of it.
const R80: [f64; 80] = [
    1.00, 1.03, 1.06, 1.09, 1.12, 1.15, 1.18, 1.22, 1.25, 1.28, 1.32, 1.36, 1.40, 1.45, 1.50, 1.55,
    1.60, 1.65, 1.70, 1.75, 1.80, 1.85, 1.90, 1.95, 2.00, 2.06, 2.12, 2.18, 2.24, 2.30, 2.36, 2.43,
    2.50, 2.58, 2.65, 2.72, 2.80, 2.90, 3.00, 3.07, 3.15, 3.25, 3.35, 3.45, 3.55, 3.65, 3.75, 3.87,
    4.00, 4.12, 4.25, 4.37, 4.50, 4.62, 4.75, 4.87, 5.00, 5.15, 5.30, 5.45, 5.60, 5.80, 6.00, 6.15,
    6.30, 6.50, 6.70, 6.90, 7.10, 7.30, 7.50, 7.75, 8.00, 8.25, 8.50, 8.75, 9.00, 9.25, 9.50, 9.75,
];

/// The series of 24 numbers for electronic parts, which is older than the rule of the finer ones.
const E24: [f64; 24] = [
    1.0, 1.1, 1.2, 1.3, 1.5, 1.6, 1.8, 2.0, 2.2, 2.4, 2.7, 3.0, 3.3, 3.6, 3.9, 4.3, 4.7, 5.1, 5.6,
    6.2, 6.8, 7.5, 8.2, 9.1,
];

fn every(series: &[f64], step: usize) -> Vec<f64> {
    series.iter().copied().step_by(step).collect()
}

/// `count` numbers, each the same factor above the one before, with two decimals.
fn geometric(count: u32) -> Vec<f64> {
    (0..count)
        .map(|n| {
            let exact = 10_f64.powf(f64::from(n) / f64::from(count));
            let rounded = (exact * 100.0).round() / 100.0;
            // The standard's own exception.
            if rounded == 9.19 { 9.20 } else { rounded }
        })
        .collect()
}

impl Granularity {
    pub(super) fn parse(name: &Bson) -> Result<Self> {
        let Bson::String(name) = name else {
            return Err(CommandError::location(
                40261,
                format!(
                    "The $bucketAuto 'granularity' field must be a string, but found type: {}",
                    types::name(Some(name))
                ),
            ));
        };
        Ok(Self::Preferred(match name.as_str() {
            "R5" => every(&R80, 16),
            "R10" => every(&R80, 8),
            "R20" => every(&R80, 4),
            "R40" => every(&R80, 2),
            "R80" => R80.to_vec(),
            "1-2-5" => vec![1.0, 2.0, 5.0],
            "E6" => every(&E24, 4),
            "E12" => every(&E24, 2),
            "E24" => E24.to_vec(),
            "E48" => geometric(48),
            "E96" => geometric(96),
            "E192" => geometric(192),
            "POWERSOF2" => return Ok(Self::PowersOfTwo),
            _ => {
                return Err(CommandError::location(
                    40257,
                    format!("Unknown rounding granularity '{name}'"),
                ));
            }
        }))
    }

    /// Only numbers from zero on can be rounded.
    pub(super) fn check(&self, value: &Bson) -> Result<()> {
        let Some(number) = Number::from_bson(value).map(Number::to_f64) else {
            return Err(CommandError::location(
                40258,
                format!(
                    "$bucketAuto can specify a 'granularity' with numeric boundaries only, but found \
                     a value with type: {}",
                    types::name(Some(value))
                ),
            ));
        };
        if number.is_nan() {
            return Err(CommandError::location(
                40259,
                "$bucketAuto can specify a 'granularity' with numeric boundaries only, but found a \
                 NaN",
            ));
        }
        if number < 0.0 {
            return Err(CommandError::location(
                40260,
                "$bucketAuto can specify a 'granularity' with non-negative numbers only",
            ));
        }
        Ok(())
    }

    /// The least number of the series that is greater.
    pub(super) fn above(&self, value: &Bson) -> Bson {
        self.round(value, true)
    }

    /// The greatest number of the series that is less.
    pub(super) fn below(&self, value: &Bson) -> Bson {
        self.round(value, false)
    }

    fn round(&self, value: &Bson, up: bool) -> Bson {
        let number = Number::from_bson(value).map_or(0.0, Number::to_f64);
        // Nothing lies between zero and the numbers of the series, which come as near as one likes.
        if number == 0.0 || !number.is_finite() {
            return Bson::Double(number);
        }
        let rounded = match self {
            Self::PowersOfTwo if up => (number.log2().floor() + 1.0).exp2(),
            Self::PowersOfTwo => (number.log2().ceil() - 1.0).exp2(),
            Self::Preferred(series) => preferred(series, number, up),
        };
        match value {
            Bson::Decimal128(_) => {
                Number::Decimal(crate::expr::decimal::from_f64(rounded)).to_bson()
            }
            _ => Bson::Double(rounded),
        }
    }
}

fn preferred(series: &[f64], number: f64, up: bool) -> f64 {
    let power = number.log10().floor() as i32;
    // The neighbours lie in this power of ten or in those next to it.
    let near = (power - 1..=power + 1).flat_map(|power| {
        series.iter().map(move |step| {
            if power < 0 {
                step / 10_f64.powi(-power)
            } else {
                step * 10_f64.powi(power)
            }
        })
    });
    if up {
        near.filter(|step| *step > number)
            .fold(f64::INFINITY, f64::min)
    } else {
        near.filter(|step| *step < number).fold(0.0, f64::max)
    }
}
