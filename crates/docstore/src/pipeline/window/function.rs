//! The functions of `$setWindowFields`, parsed.

use bson::Bson;

use super::{Order, bounds::Window, failed};
use crate::{
    error::{CommandError, Result},
    expr::{Expr, number::Number},
    pipeline::{
        accumulator::{Accumulator, is_known},
        options::{check_known, whole},
    },
};

/// What a row's field is computed by.
#[derive(Debug)]
pub(super) enum Function {
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
    Covariance {
        /// Gives the two numbers as an array.
        pair: Expr,
        sample: bool,
        window: Window,
    },
    Derivative(Slope),
    Integral(Slope),
    ExpMovingAvg {
        input: Expr,
        alpha: Number,
    },
    /// The last value that was there.
    Carry(Expr),
    /// Values that are missing lie on the line between their neighbours.
    LinearFill(Expr),
}

/// What `$derivative` and `$integral` take.
#[derive(Debug)]
pub(super) struct Slope {
    pub(super) input: Expr,
    /// Milliseconds of the unit of time, where the sort key is a date.
    pub(super) unit: Option<f64>,
    pub(super) window: Window,
}

impl Function {
    /// Parses `path: {$function: argument, window: {…}}`.
    pub(super) fn parse(path: &str, specification: &Bson, order: Option<&Order>) -> Result<Self> {
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
        check_place(name, window.is_some(), order)?;
        match name {
            "$rank" => Ok(Self::Rank { dense: false }),
            "$denseRank" => Ok(Self::Rank { dense: true }),
            "$documentNumber" => Ok(Self::DocumentNumber),
            "$shift" => parse_shift(argument),
            "$locf" => Ok(Self::Carry(Expr::parse(argument)?)),
            "$linearFill" => Ok(Self::LinearFill(Expr::parse(argument)?)),
            "$expMovingAvg" => parse_moving_average(argument),
            "$covariancePop" | "$covarianceSamp" => Ok(Self::Covariance {
                pair: Expr::parse(argument)?,
                sample: name == "$covarianceSamp",
                window: Window::parse(window, order)?,
            }),
            "$derivative" => Ok(Self::Derivative(parse_slope(
                name, argument, window, order,
            )?)),
            "$integral" => Ok(Self::Integral(parse_slope(name, argument, window, order)?)),
            accumulator if is_known(accumulator) => Ok(Self::Accumulate(
                Accumulator::parse_operator("value", accumulator, argument)?,
                Window::parse(window, order)?,
            )),
            _ => failed(format!("Unrecognized window function, {name}")),
        }
    }
}

/// Checks what a function needs of the stage around it.
fn check_place(name: &str, has_window: bool, order: Option<&Order>) -> Result<()> {
    let whole_partition = matches!(
        name,
        "$rank"
            | "$denseRank"
            | "$documentNumber"
            | "$shift"
            | "$locf"
            | "$linearFill"
            | "$expMovingAvg"
    );
    if whole_partition && has_window {
        return failed(format!("'window' field is not allowed in {name}"));
    }
    let ordered =
        (whole_partition && name != "$locf") || matches!(name, "$derivative" | "$integral");
    if ordered && order.is_none() {
        return Err(CommandError::location(
            5_371_602,
            format!("{name} must be specified with a top level sortBy expression"),
        ));
    }
    let on_axis = matches!(name, "$linearFill" | "$derivative" | "$integral");
    if on_axis && order.is_none_or(|order| !order.single) {
        return Err(CommandError::location(
            605_001,
            format!(
                "{name} must be specified with a top level sortBy expression with exactly one element"
            ),
        ));
    }
    Ok(())
}

fn parse_slope(
    name: &str,
    argument: &Bson,
    window: Option<&Bson>,
    order: Option<&Order>,
) -> Result<Slope> {
    let Bson::Document(options) = argument else {
        return failed(format!(
            "{name} expects an object, but got a value of another type: {argument}"
        ));
    };
    check_known(name, options, &["input", "unit"], 9)?;
    let Some(input) = options.get("input") else {
        return failed(format!("{name} requires an 'input' expression"));
    };
    if name == "$derivative" && window.is_none() {
        return failed("$derivative requires explicit window bounds");
    }
    let unit = match options.get("unit") {
        None => None,
        Some(Bson::String(unit)) => Some(match unit.as_str() {
            "millisecond" => 1.0,
            "second" => 1e3,
            "minute" => 6e4,
            "hour" => 3.6e6,
            "day" => 8.64e7,
            "week" => 6.048e8,
            _ => {
                return Err(CommandError::location(
                    5_490_710,
                    format!("unit must be 'week' or smaller, but is '{unit}'"),
                ));
            }
        }),
        Some(_) => {
            return Err(CommandError::location(5_490_711, "'unit' must be a string"));
        }
    };
    Ok(Slope {
        input: Expr::parse(input)?,
        unit,
        window: Window::parse(window, order)?,
    })
}

fn parse_moving_average(argument: &Bson) -> Result<Function> {
    let Bson::Document(options) = argument else {
        return failed("$expMovingAvg expects an object with 'input' and 'N' or 'alpha'");
    };
    check_known("$expMovingAvg", options, &["input", "N", "alpha"], 9)?;
    let Some(input) = options.get("input") else {
        return failed("$expMovingAvg requires an 'input' expression");
    };
    let alpha = match (options.get("N"), options.get("alpha")) {
        (Some(n), None) => match whole(n) {
            Some(n) if n > 0 => Number::Double(2.0 / (n as f64 + 1.0)),
            _ => return failed(format!("'N' must be a positive integer, but is {n}")),
        },
        (None, Some(alpha)) => match Number::from_bson(alpha) {
            Some(number) if number.to_f64() > 0.0 && number.to_f64() < 1.0 => number,
            _ => {
                return failed(format!(
                    "'alpha' must be between 0 and 1 (exclusive), but is {alpha}"
                ));
            }
        },
        _ => return failed("$expMovingAvg requires exactly one of 'N' and 'alpha'"),
    };
    Ok(Function::ExpMovingAvg {
        input: Expr::parse(input)?,
        alpha,
    })
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
