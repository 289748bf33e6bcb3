//! Reading the messages from JSON, as Protocol Buffers write it.

use prost::UnknownEnumValue;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::states::{HookState, Mode, State};

/// An enumeration, by its name or by its number: other releases have other names.
#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrNumber {
    Name(String),
    Number(i32),
}

fn enumeration<'de, D: Deserializer<'de>>(
    deserializer: D,
    by_name: impl Fn(&str) -> Option<i32>,
) -> Result<i32, D::Error> {
    match NameOrNumber::deserialize(deserializer)? {
        NameOrNumber::Number(number) => Ok(number),
        NameOrNumber::Name(name) => {
            by_name(&name).ok_or_else(|| D::Error::custom(format!("unknown name {name:?}")))
        }
    }
}

/// The number of a name. Numbers begin with 0.
fn named<T: TryFrom<i32, Error = UnknownEnumValue>>(
    name: &str,
    of: impl Fn(T) -> &'static str,
) -> Option<i32> {
    (0..)
        .map_while(|number| T::try_from(number).ok().map(|value| (number, value)))
        .find_map(|(number, value)| (of(value) == name).then_some(number))
}

/// `TP_STATE_…`.
pub fn state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    enumeration(deserializer, |name| named(name, State::name))
}

/// `TP_MODE_…`.
pub fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    enumeration(deserializer, |name| named(name, Mode::name))
}

/// `STATUS_…`.
pub fn hook_state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    enumeration(deserializer, |name| named(name, HookState::name))
}

/// A number of 64 bits, which Protocol Buffers write as a string.
pub fn long<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrNumber {
        Text(String),
        Number(u64),
    }
    match TextOrNumber::deserialize(deserializer)? {
        TextOrNumber::Number(number) => Ok(number),
        TextOrNumber::Text(text) => text.parse().map_err(D::Error::custom),
    }
}
