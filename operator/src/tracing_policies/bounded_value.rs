//! A JSON value whose parsed form takes a bounded amount of memory. A parsed megabyte would take up
//! to forty.
//!
//! In: any JSON. Out: the value, and whether something is left out of it: what a list has after its
//! first [`MAX_ITEMS`] items, or everything if there are more than [`MAX_VALUES`] values.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Maximum number of values in a spec: objects, lists, texts, numbers and so on.
pub const MAX_VALUES: usize = 64 * 1024;
/// Maximum number of items of one list.
pub const MAX_ITEMS: usize = 8 * 1024;

/// The value, or what is kept of it.
#[derive(Debug, Default, PartialEq)]
pub struct BoundedValue {
    pub value: Value,
    /// Something is left out.
    pub is_cut: bool,
}

impl<'de> Deserialize<'de> for BoundedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (left, is_cut) = (Cell::new(MAX_VALUES + 1), Cell::new(false));
        let part = Part { left: &left, is_cut: &is_cut };
        let value = part.deserialize(deserializer)?;
        if left.get() == 0 {
            return Ok(Self { value: Value::Null, is_cut: true });
        }
        Ok(Self { value, is_cut: is_cut.get() })
    }
}

/// One value, with how many more may be parsed.
#[derive(Clone, Copy)]
struct Part<'a> {
    left: &'a Cell<usize>,
    is_cut: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.left.set(self.left.get().saturating_sub(1));
        if self.left.get() == 0 {
            IgnoredAny::deserialize(deserializer)?;
            return Ok(Value::Null);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while self.left.get() > 0
            && list.len() < MAX_ITEMS
            && let Some(item) = items.next_element_seed(self)?
        {
            list.push(item);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {
            self.is_cut.set(true);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while self.left.get() > 0
            && let Some(name) = fields.next_key::<String>()?
        {
            let value = fields.next_value_seed(self)?;
            map.insert(name, value);
        }
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn bounded(text: &str) -> BoundedValue {
        serde_json::from_str(text).unwrap()
    }

    fn list(items: usize) -> String {
        format!("[{}]", vec!["0"; items].join(","))
    }

    #[test]
    fn a_long_list_is_cut_and_what_follows_it_is_read() {
        let text = |items| format!(r#"{{"a": {}, "b": [1]}}"#, list(items));
        assert!(!bounded(&text(MAX_ITEMS)).is_cut);
        let BoundedValue { value, is_cut } = bounded(&text(MAX_ITEMS + 1));
        let items = value["a"].as_array().map(Vec::len);
        assert_eq!((is_cut, items, &value["b"]), (true, Some(MAX_ITEMS), &json!([1])));
    }

    #[test]
    fn of_too_many_values_nothing_is_kept() {
        let fields = |count: usize| {
            let fields: Vec<String> = (0..count).map(|field| format!("\"{field}\":{{}}")).collect();
            format!("{{{}}}", fields.join(","))
        };
        // The object with the fields is a value too.
        assert!(!bounded(&fields(MAX_VALUES - 1)).is_cut);
        assert_eq!(bounded(&fields(MAX_VALUES)), BoundedValue { value: Value::Null, is_cut: true });
        let lists = vec![list(MAX_ITEMS); 9].join(",");
        assert_eq!(bounded(&format!("[{lists}]")).value, Value::Null);
        let invalid = format!("[{lists}]]");
        assert!(serde_json::from_str::<BoundedValue>(&invalid).is_err(), "the rest is read too");
    }

    proptest! {
        #[test]
        fn a_small_value_is_parsed_as_any_other(
            text in "\\PC{0,9}", number in any::<i64>(), fraction in -1e9..1e9, many in 0_u64..9,
        ) {
            let value = json!({"a": [text, number, fraction, many, null, true], "b": {"c": {}}});
            let text = value.to_string();
            let value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(bounded(&text), BoundedValue { value, is_cut: false });
        }
    }
}
