//! `$firstN`, `$lastN`, `$maxN` and `$minN` over an array.

use bson::Bson;

use super::{node::Arguments, number::Number, types};
use crate::{
    error::{CommandError, Result},
    value::compare,
};

type Answer = Result<Option<Bson>>;

/// Checks an `n`: a whole number of at least one.
pub(crate) fn count(n: Option<&Bson>) -> Result<usize> {
    let Some(number) = n.and_then(Number::from_bson) else {
        return Err(CommandError::location(
            5_787_902,
            format!(
                "Value for 'n' must be of integral type, but found {}",
                types::name(n)
            ),
        ));
    };
    let Some(whole) = number.to_whole() else {
        return Err(CommandError::location(
            5_787_903,
            "Value for 'n' must be of integral type, but has a fraction",
        ));
    };
    match usize::try_from(whole) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(CommandError::location(
            5_787_908,
            format!("'n' must be greater than 0, found {whole}"),
        )),
    }
}

/// The array and `n`.
fn input(arguments: &mut Arguments<'_>) -> Result<(Vec<Bson>, usize)> {
    let n = count(arguments.get(1))?;
    match arguments.take(0) {
        Some(Bson::Array(items)) => Ok((items, n)),
        _ => arguments.fail(5_788_200, "Input must be an array"),
    }
}

pub(super) fn first_n(mut arguments: Arguments<'_>) -> Answer {
    let (mut items, n) = input(&mut arguments)?;
    items.truncate(n);
    Ok(Some(Bson::Array(items)))
}

pub(super) fn last_n(mut arguments: Arguments<'_>) -> Answer {
    let (mut items, n) = input(&mut arguments)?;
    let start = items.len().saturating_sub(n);
    Ok(Some(Bson::Array(items.split_off(start))))
}

pub(super) fn max_n(arguments: Arguments<'_>) -> Answer {
    ranked(arguments, true)
}

pub(super) fn min_n(arguments: Arguments<'_>) -> Answer {
    ranked(arguments, false)
}

fn ranked(mut arguments: Arguments<'_>, greatest: bool) -> Answer {
    let (mut items, n) = input(&mut arguments)?;
    items.retain(|item| !types::is_nullish(Some(item)));
    items.sort_by(|a, b| {
        if greatest {
            compare(b, a)
        } else {
            compare(a, b)
        }
    });
    items.truncate(n);
    Ok(Some(Bson::Array(items)))
}
