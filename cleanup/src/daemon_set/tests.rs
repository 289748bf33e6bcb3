//! Which parts of a DaemonSet are removed. That the API server applies the patches so is tested on
//! a real one.

use serde_json::{Value, json};

use super::*;

fn volume(source: &Value) -> Value {
    let mut volume = source.clone();
    volume["name"] = json!("lsm-ready-securityfs");
    volume
}

fn host() -> Value {
    volume(&json!({"hostPath": {"path": "/sys/kernel/security", "type": "Directory"}}))
}

fn entry(manager: &str, operation: &str, with_volume: bool) -> Value {
    let fields = if with_volume {
        json!({"f:spec": {"f:template": {"f:spec": {"f:volumes": {
            "k:{\"name\":\"lsm-ready-securityfs\"}": {".": {}, "f:name": {}}}}}}})
    } else {
        json!({"f:metadata": {"f:labels": {"f:a": {}}}})
    };
    json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn object(labels: &Value, volume: &Value, entries: &[Value]) -> DaemonSet {
    let mount = json!({"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security",
        "readOnly": true});
    let own = json!({"name": "own", "mountPath": "/own"});
    let object = json!({
        "metadata": {"name": "tetragon", "namespace": "kube-system", "uid": "u",
            "resourceVersion": "7", "labels": labels, "managedFields": entries,
            "annotations": {"lsmready.io/apply": "hold"}},
        "spec": {"selector": {}, "template": {"spec": {
            "volumes": [volume, {"name": "own", "emptyDir": {}}],
            "containers": [{"name": "tetragon", "volumeMounts": [own, mount]}, {"name": "other"}],
        }}},
    });
    serde_json::from_value(object).unwrap()
}

fn removes_mount(patch: Option<&Value>) -> bool {
    let Some(pod) = patch.and_then(|patch| patch.pointer("/spec/template/spec")) else {
        return false;
    };
    let wanted = json!({
        "volumes": [{"name": "lsm-ready-securityfs", "$patch": "delete"}],
        "containers": [{"name": "tetragon",
            "volumeMounts": [{"mountPath": "/sys/kernel/security", "$patch": "delete"}]}],
    });
    assert_eq!(pod, &wanted);
    true
}

#[test]
fn label_volume_mount_and_managed_fields_are_removed_together() {
    let entries = [entry("helm", "Update", false), entry("lsm-ready", "Apply", true)];
    let labels = json!({"lsmready.io/securityfs": "mounted", "app": "tetragon"});
    let patch = patch(&object(&labels, &host(), &entries)).unwrap();
    let wanted = json!({"uid": "u", "resourceVersion": "7",
        "labels": {"lsmready.io/securityfs": null}, "managedFields": [entries[0]]});
    assert_eq!(patch["metadata"], wanted);
    assert!(removes_mount(Some(&patch)));
}

#[test]
fn the_mount_is_ours_by_label_or_by_our_apply_and_by_its_shape() {
    let (none, ours) = (json!({}), json!({"lsmready.io/securityfs": "mounted"}));
    let empty_dir = volume(&json!({"emptyDir": {}}));
    let elsewhere = volume(&json!({"hostPath": {"path": "/etc"}}));
    let applied = entry("lsm-ready", "Apply", true);
    let theirs = entry("argocd-controller", "Apply", true);
    let updated = entry("helm", "Update", true);
    for (labels, volume, entries, expected) in [
        (&ours, &host(), vec![], true),
        (&none, &host(), vec![applied.clone()], true),
        (&ours, &host(), vec![applied.clone(), updated], true),
        (&none, &host(), vec![], false),
        (&ours, &empty_dir, vec![applied.clone()], false),
        (&ours, &elsewhere, vec![applied.clone()], false),
        (&ours, &host(), vec![applied, theirs], false),
    ] {
        let object = object(labels, volume, &entries);
        assert_eq!(removes_mount(patch(&object).as_ref()), expected, "{object:?}");
    }
}

#[test]
fn a_daemon_set_without_anything_of_ours_is_not_changed() {
    let entries = [entry("helm", "Update", false), entry("other", "Apply", true)];
    assert_eq!(patch(&object(&json!({"app": "x"}), &host(), &entries)), None);
}

/// The mark of a mount that was taken back is a label alone.
#[test]
fn a_mark_is_removed_without_touching_the_pod_template() {
    let mut object =
        object(&json!({"lsmready.io/securityfs": "taken-back-0123"}), &json!({"name": "x"}), &[]);
    object.metadata.managed_fields = None;
    let patch = patch(&object).unwrap();
    assert_eq!(patch["metadata"]["labels"], json!({"lsmready.io/securityfs": null}));
    assert!(patch.get("spec").is_none());
}
