//! What an object says, whatever way it is written. In: a JSON value. Out: the same without what
//! has no meaning: nulls, empty texts, lists and objects, the point in `1.0`, and the ways to write
//! one second.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub fn meaning(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), meaning(value)));
            Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(meaning).collect()),
        Value::Number(number) => number.as_f64().map_or(Value::Null, |number| json!(number)),
        Value::String(text) => match text.parse::<Timestamp>() {
            // Times count in whole seconds, as in Kubernetes' own objects.
            Ok(time) => json!(time.as_nanosecond().div_euclid(1_000_000_000)),
            Err(_) => value.clone(),
        },
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

/// A field with this value may be left out. `false` and `0` are the defaults of their fields.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
