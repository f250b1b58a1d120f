//! Which numbers are kept exactly. JSON's have no bounds; beyond 64 bits a whole number would come back
//! as another one, so it is refused.

use serde_json::{Map, Value};

use super::Problem;

/// From here on a parsed number may have been a whole one that was rounded.
const LARGEST: f64 = 18_446_744_073_709_551_616.0;
const SMALLEST: f64 = -9_223_372_036_854_775_808.0;

/// The numbers that would not come back as they were written, at most so many.
pub(super) fn inexact(settings: &Map<String, Value>, most: usize) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, value) in settings {
        look(value, &pointer("", key), &mut problems);
    }
    problems.truncate(most);
    problems
}

fn look(value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Number(number) => {
            let rounded = number.is_f64()
                && number
                    .as_f64()
                    .is_some_and(|number| number >= LARGEST || number <= SMALLEST);
            if rounded {
                problems.push(Problem {
                    path: path.to_owned(),
                    message: "a number of more than 64 bits is not kept exactly; save it as a \
                              string"
                        .into(),
                });
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                look(item, &pointer(path, &index.to_string()), problems);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                look(field, &pointer(path, key), problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn pointer(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_64_bits_are_named() {
        let parse = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let kept = parse(
            r#"{"a": 18446744073709551615, "b": -9223372036854775808, "c": [0.5, -1e15],
                "d": {"e": 9007199254740993}}"#,
        );
        assert_eq!(inexact(&kept, 20), []);
        let refused = parse(
            r#"{"a": 18446744073709551616, "b/c": [{"d~": -9223372036854775809}], "e": 1e300,
                "f": 123456789012345678901234567890}"#,
        );
        let paths: Vec<_> = inexact(&refused, 20)
            .into_iter()
            .map(|problem| problem.path)
            .collect();
        assert_eq!(paths, ["/a", "/b~1c/0/d~0", "/e", "/f"]);
        assert_eq!(inexact(&refused, 2).len(), 2);
    }
}
