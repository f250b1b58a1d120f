//! Unit tests of expressions: each operator with its edge cases and errors.

use bson::{Bson, DateTime, Document, bson, doc};

use super::{Expr, Vars, is_truthy};
use crate::error::CommandError;

mod arithmetic;
mod arrays;
mod control;
mod conversion;
mod dates;
mod names;
mod objects;
mod paths;
mod properties;
mod sort_keys;
mod strings;

/// Evaluates against `root`; `$$NOW` is the epoch.
fn eval(root: &Document, expression: &Bson) -> Result<Option<Bson>, CommandError> {
    let vars = Vars {
        user: doc! { "u": { "v": 7 } },
        now: Some(DateTime::from_millis(0)),
    };
    Expr::parse(expression)?.eval(root, &vars)
}

/// Asserts the value and its exact type.
#[track_caller]
fn gives(root: Document, expression: impl Into<Bson>, expected: impl Into<Bson>) {
    let (expression, expected) = (expression.into(), expected.into());
    match eval(&root, &expression) {
        Ok(Some(value)) => assert_eq!(value, expected, "{expression} over {root}"),
        other => panic!("{expression} over {root} gave {other:?}, expected {expected}"),
    }
}

/// Asserts that the value is missing.
#[track_caller]
fn missing(root: Document, expression: impl Into<Bson>) {
    let expression = expression.into();
    match eval(&root, &expression) {
        Ok(None) => {}
        other => panic!("{expression} over {root} gave {other:?}, expected nothing"),
    }
}

/// Asserts the error's code.
#[track_caller]
fn fails(root: Document, expression: impl Into<Bson>, code: i32) {
    let expression = expression.into();
    match eval(&root, &expression) {
        Err(error) => assert_eq!(error.code, code, "{expression}: {error}"),
        Ok(value) => panic!("{expression} over {root} gave {value:?}, expected error {code}"),
    }
}

fn date(text: &str) -> Bson {
    Bson::DateTime(DateTime::parse_rfc3339_str(text).expect("a date in the test"))
}

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse().expect("a decimal in the test"))
}

#[test]
fn truth_is_that_of_mongodb() {
    for value in [
        Bson::Null,
        Bson::Undefined,
        bson!(false),
        bson!(0),
        bson!(0_i64),
        bson!(-0.0),
    ] {
        assert!(!is_truthy(Some(&value)), "{value}");
    }
    assert!(!is_truthy(None));
    assert!(!is_truthy(Some(&decimal("0.00"))));
    for value in [
        bson!(""),
        bson!([]),
        bson!({}),
        bson!(f64::NAN),
        bson!(-1),
        decimal("NaN"),
    ] {
        assert!(is_truthy(Some(&value)), "{value}");
    }
}
