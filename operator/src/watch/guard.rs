//! An object as the API server sent it: parsed and trimmed, or the reason why it cannot be parsed.
//!
//! One object that cannot be parsed must not make a whole list unreadable, so parsing fails for
//! that object alone. Its name, UID and versions are read in any case. Objects are trimmed while
//! they are parsed, so that a page of a list is held only in its trimmed form.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use lsm_ready_crds::text::printable;
use serde::de::DeserializeSeed;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::follow::Followed;
use super::kept::Kept;
use super::messages;

/// Maximum length of the text that says why an object cannot be parsed, in characters. The parser
/// repeats values of the object, which may have a megabyte.
pub const MAX_ERROR: usize = 512;

/// One object, trimmed.
#[derive(Clone, Debug)]
pub struct Guard<K>(pub Result<K, Invalid>);

/// An object that cannot be parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Invalid {
    /// Name, namespace, UID, versions and times, where these could be read. Nothing else.
    pub metadata: Metadata,
    /// Why it cannot be parsed.
    pub error: String,
}

/// The metadata that identifies an object and its version.
pub type Metadata = Box<ObjectMeta>;

impl<K: Kept> Guard<K> {
    /// Of an object of which only the fields that are wanted were read.
    pub fn of(mut object: K) -> Self {
        object.trim();
        Self(within_bounds(object))
    }
}

impl<'de, K: Kept> Deserialize<'de> for Guard<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = K::FIELDS.deserialize(deserializer)?;
        Ok(K::deserialize(&object).map_or_else(
            |error| {
                let error = printable(&error.to_string(), MAX_ERROR);
                Self(Err(Invalid { metadata: identity(&object), error }))
            },
            Self::of,
        ))
    }
}

/// The object, or an error if it is larger than objects of its kind may be.
fn within_bounds<K: Kept>(object: K) -> Result<K, Invalid> {
    let bytes = object.bytes();
    match K::MAX_BYTES {
        Some(most) if bytes > most => Err(Invalid {
            metadata: identity(&serde_json::to_value(&object).unwrap_or_default()),
            error: format!(
                "the object has {bytes} bytes that the operator would have to keep, and may have \
                 {most}"
            ),
        }),
        Some(_) | None => Ok(object),
    }
}

/// Each field is read for itself, so that no field can hide another.
fn identity(object: &Value) -> Metadata {
    let metadata = &object["metadata"];
    let text = |field: &str| metadata[field].as_str().map(str::to_owned);
    let time = |field: &str| serde_json::from_value(metadata[field].clone()).ok();
    Box::new(ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        generation: metadata["generation"].as_i64(),
        creation_timestamp: time("creationTimestamp"),
        deletion_timestamp: time("deletionTimestamp"),
        ..ObjectMeta::default()
    })
}

impl<K: Kept> Followed for Guard<K> {
    const PAGE: u32 = K::PAGE;
    const EVENT: Option<messages::Event<Self>> = K::EVENT;
}

impl<K: Resource> Resource for Guard<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &*invalid.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|invalid| &mut *invalid.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use lsm_ready_crds::LsmPolicy;
    use serde_json::json;

    use super::*;

    fn invalid<K: Kept>(object: Value) -> Invalid {
        serde_json::from_value::<Guard<K>>(object).unwrap().0.unwrap_err()
    }

    #[test]
    fn an_invalid_object_has_a_name_and_a_short_error() {
        let found = invalid::<LsmPolicy>(json!({
            "metadata": {"name": "n1", "uid": "u", "resourceVersion": "7", "generation": 3},
            "spec": {"require": "x".repeat(1_400_000)},
        }));
        let metadata = &found.metadata;
        assert_eq!(metadata.name.as_deref(), Some("n1"));
        assert_eq!(metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(metadata.generation, Some(3));
        assert_eq!(found.error.chars().count(), MAX_ERROR);
    }

    /// The error repeats values of the object, and is logged and shown in statuses.
    #[test]
    fn an_error_is_printable() {
        let found = invalid::<LsmPolicy>(json!({"metadata": {"name": "p"},
            "spec": {"taint": {"effect": "a\u{1b}[2J\u{202e}\n\u{e0041}\u{fe0f}"}}}));
        assert_eq!(found.error, printable(&found.error, MAX_ERROR));
        assert!(found.error.contains("[2J"), "{}", found.error);
    }

    #[test]
    fn invalid_metadata_does_not_hide_the_name() {
        let found = invalid::<Node>(json!({"metadata": {"name": "n1", "labels": 7}}));
        assert_eq!(found.metadata.name.as_deref(), Some("n1"));
    }

    #[test]
    fn an_object_of_too_many_bytes_is_invalid() {
        let policy = |hooks: usize| {
            json!({"metadata": {"name": "p"},
            "spec": {"require": {"hooks": vec!["x".repeat(64); hooks]}}})
        };
        assert!(serde_json::from_value::<Guard<LsmPolicy>>(policy(100)).unwrap().0.is_ok());
        let found = invalid::<LsmPolicy>(policy(10_000));
        assert!(found.error.contains("bytes"), "{}", found.error);
        assert_eq!(found.metadata.name.as_deref(), Some("p"));
    }

    #[test]
    fn objects_are_trimmed_while_they_are_parsed() {
        let node = json!({"metadata": {"name": "n", "annotations": {"a": "b"},
            "managedFields": [{"manager": "m"}]}});
        let node = serde_json::from_value::<Guard<Node>>(node).unwrap().0.unwrap();
        assert_eq!((node.metadata.annotations, node.metadata.managed_fields), (None, None));
    }
}
