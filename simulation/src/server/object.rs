//! One version of an object.

use std::ops::Deref;
use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::Value;

/// One version of an object. Its text is made once, when the first answer or watch needs it.
#[derive(Debug, Default)]
pub struct Object {
    value: Value,
    text: OnceLock<Bytes>,
}

impl Object {
    #[must_use]
    pub const fn new(value: Value) -> Self {
        Self { value, text: OnceLock::new() }
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.text.get_or_init(|| json(&self.value)).clone()
    }
}

impl Deref for Object {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

/// The text of a value.
#[must_use]
pub fn json(value: &Value) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
