//! After the patches nothing of ours is left, and nothing of others has changed.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

const OURS: [&str; 4] = [
    "lsmready.node-restriction.kubernetes.io/bpf",
    "lsmready.node-restriction.kubernetes.io/policy.enforce",
    "lsmready.node-restriction.kubernetes.io/of-a-later-version",
    "lsmready.io/label-of-a-later-version",
];
const FOREIGN: [&str; 3] =
    ["kubernetes.io/os", "node-restriction.kubernetes.io/lsmready", "example.com/lsmready.io"];
const OUR_TAINTS: [&str; 4] = [
    "lsmready.io/not-ready",
    "readiness.k8s.io/lsmready.io-not-ready",
    "startup-taint.cluster-autoscaler.kubernetes.io/lsmready",
    "lsmready.io/of-a-later-version",
];
const FOREIGN_TAINTS: [&str; 3] = [
    "node.kubernetes.io/unreachable",
    "readiness.k8s.io/other",
    "startup-taint.cluster-autoscaler.kubernetes.io/other",
];
const OUR_CONDITIONS: [&str; 3] =
    ["lsmready.io/LsmBpfReady", "LsmBpfReady", "lsmready.io/OfALaterVersion"];
const FOREIGN_CONDITIONS: [&str; 3] = ["Ready", "MemoryPressure", "example.com/LsmBpfReady"];

fn some(names: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(names, 0..=names.len()).prop_shuffle()
}

fn node(labels: &[&str], taints: &[&str], conditions: &[&str]) -> Value {
    let labels: Map<_, _> = labels.iter().map(|key| ((*key).to_owned(), json!("v"))).collect();
    let taint = |key: &&str| json!({"key": key, "effect": "NoSchedule"});
    let condition = |type_: &&str| json!({"type": type_, "status": "True"});
    json!({
        "metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "labels": labels,
            "annotations": {"lsmready.io/note": "of a person"}},
        "spec": {"podCIDR": "10.0.0.0/24", "taints": taints.iter().map(taint).collect::<Vec<_>>()},
        "status": {"conditions": conditions.iter().map(condition).collect::<Vec<_>>()},
    })
}

fn parsed(node: &Value) -> Node {
    serde_json::from_value(node.clone()).unwrap()
}

/// As the API server applies a merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let (Some(patch), true) = (patch.as_object(), target.is_object()) else {
        *target = patch.clone();
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// As the API server applies both patches.
fn cleaned(node: &Value, names: Names) -> Value {
    let mut cleaned = node.clone();
    if let Some(patch) = metadata_patch(&parsed(node), names) {
        assert_eq!(patch["metadata"]["uid"], "u");
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        merge(&mut cleaned, &patch);
    }
    if let Some(patch) = status_patch(&parsed(node), names) {
        assert_eq!(patch["metadata"], json!({"uid": "u", "resourceVersion": "7"}));
        let deleted: Vec<&Value> = patch["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .inspect(|condition| assert_eq!(condition["$patch"], "delete"))
            .map(|condition| &condition["type"])
            .collect();
        let conditions = cleaned["status"]["conditions"].as_array_mut().unwrap();
        conditions.retain(|condition| !deleted.contains(&&condition["type"]));
    }
    cleaned
}

proptest! {
    #[test]
    fn nothing_of_ours_is_left_and_nothing_of_others_changes(
        ours in (some(&OURS), some(&OUR_TAINTS), some(&OUR_CONDITIONS)),
        foreign in (some(&FOREIGN), some(&FOREIGN_TAINTS), some(&FOREIGN_CONDITIONS)),
        ours_first in any::<bool>(),
    ) {
        let join = |ours: &[&'static str], foreign: &[&'static str]| {
            let (first, last) = if ours_first { (ours, foreign) } else { (foreign, ours) };
            [first, last].concat()
        };
        let before = node(
            &join(&ours.0, &foreign.0),
            &join(&ours.1, &foreign.1),
            &join(&ours.2, &foreign.2),
        );
        let after = cleaned(&before, Names::OfAnyVersion);
        prop_assert_eq!(&after, &node(&foreign.0, &foreign.1, &foreign.2));
        // It is idempotent: there is no second patch.
        let after = parsed(&after);
        prop_assert_eq!(metadata_patch(&after, Names::OfAnyVersion), None);
        prop_assert_eq!(status_patch(&after, Names::OfAnyVersion), None);
    }
}

/// A taint is in the spec, which a write to the status does not change; a finalizer is left alone.
#[test]
fn one_patch_is_enough_where_neither_a_taint_nor_a_finalizer_is_ours() {
    let names = Names::OfThisVersion;
    let (labels, conditions) = (&OURS[..1], &OUR_CONDITIONS[..1]);
    for (taints, finalizer, labels, conditions, is_one) in [
        (&FOREIGN_TAINTS[..], false, labels, conditions, true),
        (&OUR_TAINTS[..1], false, labels, conditions, false),
        (&[], true, labels, conditions, false),
        (&[], false, &[][..], conditions, false),
        (&[], false, labels, &[][..], false),
    ] {
        let mut before = node(labels, taints, conditions);
        if finalizer {
            before["metadata"]["finalizers"] = json!(["lsmready.io/x"]);
        }
        let before = parsed(&before);
        let whole = whole_patch(&before, names);
        assert_eq!(whole.is_some(), is_one, "{before:?}");
        if let Some(whole) = whole {
            assert_eq!(whole["metadata"], metadata_patch(&before, names).unwrap()["metadata"]);
            assert_eq!(whole["status"], status_patch(&before, names).unwrap()["status"]);
        }
    }
}

/// The operator's admission policy would refuse the whole patch otherwise.
#[test]
fn the_operator_removes_the_names_of_its_own_version_only() {
    let before = node(&OURS, &OUR_TAINTS, &OUR_CONDITIONS);
    let after = cleaned(&before, Names::OfThisVersion);
    let wanted = node(&OURS[3..], &OUR_TAINTS[3..], &OUR_CONDITIONS[1..]);
    assert_eq!(after, wanted);
}

#[test]
fn a_finalizer_of_ours_is_removed() {
    let mut before = node(&[], &[], &[]);
    before["metadata"]["finalizers"] = json!(["lsmready.io/x", "example.com/y"]);
    let patch = metadata_patch(&parsed(&before), Names::OfThisVersion).unwrap();
    assert_eq!(patch["metadata"]["finalizers"], json!(["example.com/y"]));
}
