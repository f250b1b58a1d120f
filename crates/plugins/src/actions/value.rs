//! A client's object as values that schemas are held against: by the walk that Python's dict is made by, so
//! that what is checked is what the action gets.

use serde_json::{Map, Number, Value};

use crate::body::Sink;

/// Builds values.
pub(super) struct Values;

impl Sink for Values {
    type Value = Value;
    type Key = String;
    type Array = Vec<Value>;
    type Object = Map<String, Value>;

    fn null(&mut self) -> Value {
        Value::Null
    }

    fn boolean(&mut self, value: bool) -> Value {
        value.into()
    }

    fn integer(&mut self, value: i64) -> Result<Value, String> {
        Ok(value.into())
    }

    /// As a float, the largest where none is near: it is an integer, and on its side of every limit.
    fn big_integer(&mut self, digits: &str) -> Result<Value, String> {
        if let Ok(value) = digits.parse::<u64>() {
            return Ok(value.into());
        }
        let value = digits.parse::<f64>().map_err(|error| error.to_string())?;
        self.float(value.clamp(f64::MIN, f64::MAX))
    }

    fn float(&mut self, value: f64) -> Result<Value, String> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| "a float that is none".to_owned())
    }

    fn string(&mut self, value: &str) -> Result<Value, String> {
        Ok(value.into())
    }

    fn key(&mut self, value: &str) -> Result<String, String> {
        Ok(value.to_owned())
    }

    fn array(&mut self) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }

    fn push(&mut self, array: &mut Vec<Value>, value: Value) -> Result<(), String> {
        array.push(value);
        Ok(())
    }

    fn end_array(&mut self, array: Vec<Value>) -> Value {
        array.into()
    }

    fn object(&mut self) -> Result<Map<String, Value>, String> {
        Ok(Map::new())
    }

    fn insert(
        &mut self,
        object: &mut Map<String, Value>,
        key: String,
        value: Value,
    ) -> Result<(), String> {
        object.insert(key, value);
        Ok(())
    }

    fn end_object(&mut self, object: Map<String, Value>) -> Value {
        object.into()
    }
}
