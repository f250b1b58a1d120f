//! Values against the JSON Schemas of plugins: what does not fit, and where.

mod unions;

use jsonschema::Validator;
use serde::Serialize;
use serde_json::Value;

pub(crate) use self::unions::cheap_to_refuse;

/// Something that a schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Misfit {
    /// Where, as a JSON Pointer; empty for the value as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// The first thing of a value that does not fit: what else does not is not looked for.
pub(crate) fn first_misfit(validator: &Validator, value: &Value) -> Option<Misfit> {
    let error = validator.validate(value).err()?;
    Some(Misfit {
        path: error.instance_path().to_string(),
        message: error.to_string(),
    })
}

/// What of a value does not fit, so much of it at most.
pub fn misfits(validator: &Validator, value: &Value, most: usize) -> Vec<Misfit> {
    let errors = validator.iter_errors(value).take(most);
    errors
        .map(|error| Misfit {
            path: error.instance_path().to_string(),
            message: error.to_string(),
        })
        .collect()
}

/// What of a value does not fit the schema that a plugin's manifest has under `key`. One that is no
/// schema allows everything, which the log tells.
pub fn check(plugin: &str, key: &str, schema: &Value, value: &Value, most: usize) -> Vec<Misfit> {
    match jsonschema::validator_for(schema) {
        Ok(validator) => misfits(&validator, value, most),
        Err(error) => {
            tracing::warn!(plugin.name = plugin, key, %error, "plugin.schema_odd");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_named_up_to_a_number() {
        let schema = json!({"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}});
        let value = json!({"a": "x", "b": 1});
        let found = check("shop", "config_schema", &schema, &value, 9);
        let paths: Vec<_> = found.iter().map(|misfit| &*misfit.path).collect();
        assert_eq!(paths, ["/a", "/b"]);
        assert_eq!(check("shop", "x", &schema, &value, 1).len(), 1);
        assert_eq!(check("shop", "x", &schema, &json!({"a": 1}), 9), []);
    }

    #[test]
    fn what_is_no_schema_allows_everything() {
        let odd = json!({"type": "nothing of the kind"});
        assert_eq!(check("shop", "config_schema", &odd, &json!(1), 9), []);
    }
}
