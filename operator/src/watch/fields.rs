//! Reads only the fields of an object that are wanted.
//!
//! In: an object as the API server sent it, and which of its fields are wanted. Out: those fields as
//! a JSON value. The others are skipped while they are read, so that they take no memory: a Node has
//! 12 kB and more, and its controllers read a twentieth of that.
//!
//! What is skipped is not looked at either. So an object with an invalid field that no controller
//! reads can be parsed.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Which fields of a value are wanted.
#[derive(Clone, Copy, Debug)]
pub enum Fields {
    All,
    /// These fields of an object, or of each object in a list.
    Only(&'static [(&'static str, Fields)]),
}

/// The metadata that identifies an object and its version, and its labels.
pub const IDENTITY_AND_LABELS: Fields = Fields::Only(&[
    ("name", Fields::All),
    ("namespace", Fields::All),
    ("uid", Fields::All),
    ("resourceVersion", Fields::All),
    ("generation", Fields::All),
    ("creationTimestamp", Fields::All),
    ("deletionTimestamp", Fields::All),
    ("labels", Fields::All),
]);

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Self::All => Value::deserialize(deserializer),
            Self::Only(fields) => deserializer.deserialize_any(Wanted(fields)),
        }
    }
}

struct Wanted(&'static [(&'static str, Fields)]);

impl<'de> Visitor<'de> for Wanted {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(found) = map.next_key_seed(Key(self.0))? {
            match found {
                Some((name, fields)) => {
                    object.insert((*name).to_owned(), map.next_value_seed(*fields)?);
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element_seed(Fields::Only(self.0))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    // What is neither an object nor a list is left to whoever parses the value.

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// Looks a key up among the wanted ones, and copies none.
struct Key(&'static [(&'static str, Fields)]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static (&'static str, Fields)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static (&'static str, Fields)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(name, _)| *name == key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const FIELDS: Fields = Fields::Only(&[
        ("metadata", IDENTITY_AND_LABELS),
        ("items", Fields::Only(&[("name", Fields::All)])),
    ]);

    fn read(text: &str) -> serde_json::Result<Value> {
        FIELDS.deserialize(&mut serde_json::Deserializer::from_str(text))
    }

    #[test]
    fn other_fields_are_left_out_also_in_lists() {
        let object = json!({"metadata": {"name": "a", "labels": {"x": "y"}, "managedFields": [{}]},
            "items": [{"name": "i", "other": 1}, {"other": {"name": "no"}}, 7], "status": {"a": 1}});
        let expected = json!({"metadata": {"name": "a", "labels": {"x": "y"}},
            "items": [{"name": "i"}, {}, 7]});
        assert_eq!(read(&object.to_string()).unwrap(), expected);
    }

    #[test]
    fn a_field_of_another_type_is_left_to_the_parser() {
        for odd in ["null", "true", "7", "-7", "7.5", "\"text\""] {
            let read = read(&format!(r#"{{"metadata": {odd}}}"#)).unwrap();
            assert_eq!(read["metadata"].to_string(), odd);
        }
    }

    #[test]
    fn what_is_no_json_is_an_error_also_in_a_field_that_is_left_out() {
        assert!(read(r#"{"status": {"a": }}"#).is_err());
        assert!(read(r#"{"status": "a"#).is_err());
    }

    proptest! {
        /// With every field wanted, the value is that of serde_json.
        #[test]
        fn all_fields_are_the_whole_value(text in "\\PC{0,20}", number: i64) {
            let object = json!({"a": [text, number], "b": {"c": null}});
            let read = Fields::All.deserialize(&object).unwrap();
            prop_assert_eq!(read, object);
        }
    }
}
