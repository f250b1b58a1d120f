//! Where an action's input does not fit.

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use crate::schema::Misfit;

/// Longest message, in characters.
const MAX_MESSAGE: usize = 300;
/// Longest place, in bytes.
const MAX_PATH: usize = 1000;

/// The first thing that does not fit in a value that does not fit.
pub(super) fn misfit(validator: &Validator, value: &Value) -> Misfit {
    let Err(error) = validator.validate(value) else {
        return Misfit {
            path: String::new(),
            message: "it does not fit the schema".into(),
        };
    };
    let error = innermost(&error);
    let mut path = error.instance_path().to_string();
    let message = match error.kind() {
        ValidationErrorKind::Required { property } => {
            step(&mut path, property.as_str().unwrap_or_default());
            "it is missing".to_owned()
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            step(&mut path, unexpected.first().map_or("", |name| name));
            "it is not known here".to_owned()
        }
        ValidationErrorKind::Not { .. } => "it is nothing of what may stand here".to_owned(),
        // Without the value, which may be large and is the client's own.
        _ => error.masked().to_string(),
    };
    Misfit {
        path: cut(path, MAX_PATH),
        message: cut(message, MAX_MESSAGE),
    }
}

/// What is wrong within a union, where one of its types is what was meant: the one in which the value gets
/// furthest, or the only one whose kind it is.
fn innermost<'a, 'b>(error: &'a ValidationError<'b>) -> &'a ValidationError<'b> {
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) =
        error.kind()
    else {
        return error;
    };
    let depth = |error: &ValidationError<'_>| error.instance_path().as_str().matches('/').count();
    let here = depth(error);
    let found = context
        .iter()
        .filter_map(|branch| branch.first())
        .map(innermost);
    let meant: Vec<_> = found
        .filter(|found| depth(found) > here || !is_of_another_kind(found))
        .collect();
    match meant.as_slice() {
        [one] => one,
        several => {
            let furthest = several.iter().max_by_key(|found| depth(found));
            furthest
                .filter(|found| depth(found) > here)
                .map_or(error, |found| *found)
        }
    }
}

fn is_of_another_kind(error: &ValidationError<'_>) -> bool {
    matches!(
        error.kind(),
        ValidationErrorKind::Type { .. } | ValidationErrorKind::Constant { .. }
    )
}

fn step(path: &mut String, name: &str) {
    path.push('/');
    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}
