//! One TracingPolicy as it is kept.
//!
//! It is made while the API server's answer is parsed, so that a page of a list is in memory only
//! in its kept form: a spec of a megabyte takes up to twenty times as much when it is parsed.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use lsm_ready_crds::text::printable;
use lsm_ready_tetragon::tracing_policy::TracingPolicy;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::bounded_value::{BoundedValue, MAX_ITEMS, MAX_VALUES};
use super::bounds;
use super::entry::Entry;
use super::expectation::Expectation;
use crate::watch::follow::Followed;
use crate::watch::guard::MAX_ERROR;
use crate::watch::stored::resource_as;

/// One object, with what agents are expected to do with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub entry: Entry,
    pub expectation: Expectation,
    /// The older objects are kept where there are too many.
    pub created: Option<Timestamp>,
    /// About how much memory it takes.
    pub bytes: usize,
}

impl From<Entry> for Object {
    /// An object without metadata and spec.
    fn from(entry: Entry) -> Self {
        let has_lsm_hooks =
            matches!(&entry, Entry::Read(policy) if !policy.required_hooks.is_empty());
        let bytes = bounds::kept_bytes(&entry, &Value::Null);
        Self { entry, expectation: Expectation::without_spec(has_lsm_hooks), created: None, bytes }
    }
}

impl Object {
    /// Reads an object of the API server.
    pub fn of(metadata: &ObjectMeta, spec: &Value) -> Self {
        let mut entry = read(metadata, spec);
        let checked = bounds::check_kept(bounds::kept_bytes(&entry, spec));
        let too_large = checked.err().filter(|_| matches!(entry, Entry::Read(_)));
        if let Some(error) = too_large {
            entry = unreadable(metadata, &error.to_string());
        }
        Self {
            expectation: Expectation::of(metadata, spec),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            bytes: bounds::kept_bytes(&entry, spec),
            entry,
        }
    }

    /// Reads an object whose spec may be cut. The first hooks of so many say enough. A
    /// `nodeSelector` that is cut is too large in any case.
    fn of_bounded(metadata: &ObjectMeta, spec: &BoundedValue) -> Self {
        let hooks = spec.value["lsmhooks"].as_array().map_or(0, Vec::len);
        if !spec.is_cut || hooks == MAX_ITEMS {
            return Self::of(metadata, &spec.value);
        }
        let error = format!(
            "spec: has more than {MAX_VALUES} values, or a list of more than {MAX_ITEMS}, and is \
             not read"
        );
        let entry = unreadable(metadata, &error);
        Self {
            expectation: Expectation::of_unread(metadata),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            bytes: bounds::kept_bytes(&entry, &Value::Null),
            entry,
        }
    }
}

fn read(metadata: &ObjectMeta, spec: &Value) -> Entry {
    let read =
        bounds::check(metadata, spec).and_then(|spec| TracingPolicy::from_cluster(metadata, &spec));
    match read {
        Ok(policy) => Entry::Read(policy.into()),
        Err(error) => unreadable(metadata, &error.to_string()),
    }
}

fn unreadable(metadata: &ObjectMeta, error: &str) -> Entry {
    let labels = metadata.labels.clone().unwrap_or_default();
    Entry::Unreadable { labels, error: printable(error, MAX_ERROR) }
}

/// An object as a watch gives it: read, with the metadata that identifies it.
#[derive(Clone, Debug)]
pub struct Seen {
    metadata: ObjectMeta,
    pub object: Object,
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            metadata: ObjectMeta,
            #[serde(default)]
            spec: BoundedValue,
        }
        let Raw { metadata, spec } = Raw::deserialize(deserializer)?;
        let object = Object::of_bounded(&metadata, &spec);
        let metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, object })
    }
}

resource_as!(Seen, DynamicObject, ApiResource);

impl Followed for Seen {
    /// A TracingPolicy has up to 1.5 MB.
    const PAGE: u32 = 10;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(spec: &Value) -> Seen {
        let metadata = json!({"name": "p", "uid": "u", "resourceVersion": "7",
            "labels": {"tier": "enforce"}, "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"large": "x".repeat(100_000)}});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn a_usual_policy_takes_few_kilobytes() {
        let hooks = json!([{"hook": "file_open", "selectors": [{"matchActions":
            [{"action": "Override", "argError": -1}]}]}]);
        let Seen { metadata, object } = seen(&json!({ "lsmhooks": hooks }));
        assert!(matches!(object.entry, Entry::Read(_)), "{object:?}");
        assert!((1024..4096).contains(&object.bytes), "{}", object.bytes);
        assert_eq!(metadata.annotations, None);
        assert_eq!(object.created.unwrap().to_string(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn the_largest_policy_that_is_judged_takes_less_than_half_a_megabyte() {
        let hooks: Vec<Value> =
            (0..510).map(|hook| json!({"hook": format!("h{hook:062}")})).collect();
        let values: Vec<String> = (0..240).map(|value| format!("{value:060}")).collect();
        let selector = json!({"matchExpressions": [
            {"key": "zone", "operator": "In", "values": values}]});
        let object = seen(&json!({"lsmhooks": hooks, "nodeSelector": selector})).object;
        assert!(matches!(object.entry, Entry::Read(_)), "{object:?}");
        assert!((200_000..bounds::MAX_KEPT_BYTES).contains(&object.bytes), "{}", object.bytes);
    }

    #[test]
    fn a_policy_that_would_take_more_is_an_error_that_says_so() {
        assert_eq!(bounds::check_kept(bounds::MAX_KEPT_BYTES), Ok(()));
        let error = bounds::check_kept(bounds::MAX_KEPT_BYTES + 1).unwrap_err().to_string();
        assert!(error.starts_with("spec: has 524289 bytes as it is kept"), "{error}");
    }

    #[test]
    fn a_large_node_selector_is_not_kept() {
        let values: Vec<String> = (0..5_000).map(|number| format!("zone-{number}")).collect();
        let selector = json!({"matchExpressions": [
            {"key": "zone", "operator": "In", "values": values}]});
        let object = seen(&json!({"lsmhooks": [], "nodeSelector": selector})).object;
        assert!(object.bytes < 4096, "{}", object.bytes);
        let Entry::Unreadable { error, .. } = &object.entry else { panic!("{object:?}") };
        assert!(error.starts_with("spec.nodeSelector: has "), "{error}");
    }
}
