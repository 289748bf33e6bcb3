//! What has to be removed from any object's metadata. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::ours::is_finalizer;

/// The preconditions of a patch: this object, as it was read.
pub fn preconditions(metadata: &ObjectMeta) -> Value {
    json!({"uid": metadata.uid, "resourceVersion": metadata.resource_version})
}

/// The finalizers of others, where one of ours is there.
pub fn finalizers(metadata: &ObjectMeta) -> Option<Vec<&String>> {
    let all = metadata.finalizers.as_ref()?;
    let foreign: Vec<&String> = all.iter().filter(|name| !is_finalizer(name)).collect();
    (foreign.len() < all.len()).then_some(foreign)
}

/// A merge patch that removes our finalizers.
pub fn release(metadata: &ObjectMeta) -> Option<Value> {
    Some(with_finalizers(metadata, &json!(finalizers(metadata)?)))
}

/// A JSON patch that removes that finalizer. Its preconditions are the UID and the finalizer
/// itself: it also fits when something else of the object has changed meanwhile, for example
/// because its deletion began.
pub fn remove_finalizer(metadata: &ObjectMeta, finalizer: &str) -> Option<Value> {
    let position = metadata.finalizers.as_ref()?.iter().position(|name| name == finalizer)?;
    let path = format!("/metadata/finalizers/{position}");
    Some(json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata.uid},
        {"op": "test", "path": path, "value": finalizer},
        {"op": "remove", "path": path},
    ]))
}

/// A merge patch that adds our finalizer. None where it is there, and where it is too late for it:
/// an object that is being deleted gets no new finalizers.
pub fn hold(metadata: &ObjectMeta, finalizer: &str) -> Option<Value> {
    let all = metadata.finalizers.iter().flatten();
    let is_held = all.clone().any(|name| name == finalizer);
    if is_held || metadata.deletion_timestamp.is_some() {
        return None;
    }
    let all: Vec<&str> = all.map(String::as_str).chain([finalizer]).collect();
    Some(with_finalizers(metadata, &json!(all)))
}

/// A merge patch that removes every finalizer. For objects of our own kinds, which nobody needs
/// without lsm-ready.
pub fn release_all(metadata: &ObjectMeta) -> Option<Value> {
    let any = metadata.finalizers.as_ref().is_some_and(|all| !all.is_empty());
    any.then(|| with_finalizers(metadata, &Value::Null))
}

fn with_finalizers(metadata: &ObjectMeta, finalizers: &Value) -> Value {
    let mut patch = json!({ "metadata": preconditions(metadata) });
    patch["metadata"]["finalizers"] = finalizers.clone();
    patch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metadata(finalizers: &[&str]) -> ObjectMeta {
        let finalizers = finalizers.iter().map(|name| (*name).to_owned()).collect();
        ObjectMeta {
            uid: Some("u".into()),
            resource_version: Some("7".into()),
            finalizers: Some(finalizers),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn only_our_finalizers_are_removed() {
        let patch = release(&metadata(&["a.io/x", "lsmready.io/cleanup", "b.io/y"]));
        let wanted = json!({"metadata": {"uid": "u", "resourceVersion": "7",
            "finalizers": ["a.io/x", "b.io/y"]}});
        assert_eq!(patch, Some(wanted));
        assert_eq!(release(&metadata(&["a.io/x"])), None);
        assert_eq!(release(&metadata(&[])), None);
    }

    #[test]
    fn one_finalizer_is_removed_by_its_position_and_value() {
        let patch =
            remove_finalizer(&metadata(&["a.io/x", "lsmready.io/cleanup"]), "lsmready.io/cleanup");
        let wanted = json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "test", "path": "/metadata/finalizers/1", "value": "lsmready.io/cleanup"},
            {"op": "remove", "path": "/metadata/finalizers/1"},
        ]);
        assert_eq!(patch, Some(wanted));
        assert_eq!(remove_finalizer(&metadata(&["a.io/x"]), "lsmready.io/cleanup"), None);
    }

    #[test]
    fn an_object_that_is_being_deleted_is_not_held() {
        let mut object = metadata(&["a.io/x"]);
        assert!(hold(&object, "lsmready.io/cleanup").is_some());
        object.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
        assert_eq!(hold(&object, "lsmready.io/cleanup"), None);
    }

    proptest! {
        #[test]
        fn holding_and_releasing_gives_back_what_was_there(
            names in prop::collection::vec("[a-z]{1,4}\\.io/[a-z]{1,4}", 0..4),
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let object = metadata(&names);
            let held = hold(&object, "lsmready.io/cleanup").unwrap();
            let held: Vec<String> =
                serde_json::from_value(held["metadata"]["finalizers"].clone()).unwrap();
            let held = ObjectMeta { finalizers: Some(held), ..object };
            prop_assert_eq!(hold(&held, "lsmready.io/cleanup"), None);
            let released = release(&held).unwrap();
            prop_assert_eq!(&released["metadata"]["finalizers"], &json!(names));
        }
    }
}
