//! DaemonSets: the operator changes our label, our volume and its mount only.

use serde_json::{Value, json};

use super::{DAEMON_SETS, daemon_set, named, refused, server};
use crate::server::{OPERATOR, done, securityfs, unbound};

#[tokio::test]
async fn the_operator_mounts_securityfs_and_removes_it_again() {
    let server = server().await;
    let admin = server.client().await.unwrap();
    let path = format!("{DAEMON_SETS}/agent");
    let before = done(&admin, "POST", DAEMON_SETS, &named(daemon_set(), "agent")).await;
    let operator = unbound(server, OPERATOR).await;
    let patched = done(&operator, "APPLY", &path, &securityfs()).await;
    let names = |object: &Value, pointer: &str| {
        object
            .pointer(pointer)
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&patched, "/spec/template/spec/volumes").len(), 3);
    assert_eq!(names(&patched, "/spec/template/spec/containers"), ["export-stdout", "tetragon"]);
    let back = json!({"apiVersion": "apps/v1", "kind": "DaemonSet"});
    let restored = done(&operator, "APPLY", &path, &back).await;
    assert_eq!(restored["spec"]["template"], before["spec"]["template"]);
    assert_eq!(restored["metadata"]["labels"], before["metadata"]["labels"]);
}

/// [`securityfs`] with one more value at that JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut patch = securityfs();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match patch.pointer_mut(parent).unwrap() {
        Value::Array(list) => list.push(value),
        object => object[field] = value,
    }
    patch
}

/// Patches, and a part of each refusal.
fn refused_patches() -> Vec<(Value, &'static str)> {
    let pod = "/spec/template/spec";
    let at = |rest: &str, value: Value| with(&format!("{pod}{rest}"), value);
    let container = "of a container the lsm-ready operator may change only";
    let (volume, mount) = (
        "the volume lsm-ready-securityfs, a hostPath",
        "the mount of lsm-ready-securityfs, read-only",
    );
    let spec = "of a DaemonSet's spec";
    vec![
        (at("/containers/0/image", json!("evil:1")), container),
        (at("/containers/0/command", json!(["sh"])), container),
        (at("/containers/0/env", json!([{"name": "LD_PRELOAD", "value": "/x"}])), container),
        (at("/containers/0/securityContext", json!({"runAsUser": 1})), container),
        (at("/containers/-", json!({"name": "second", "image": "evil:1"})), container),
        (at("/initContainers", json!([{"name": "first", "image": "evil:1"}])), spec),
        (at("/hostPID", json!(true)), spec),
        (at("/serviceAccountName", json!("admin")), spec),
        (at("/volumes/-", json!({"name": "root", "hostPath": {"path": "/"}})), volume),
        (at("/volumes/0/hostPath/path", json!("/")), volume),
        (at("/volumes/0/hostPath/type", json!("")), volume),
        (
            at(
                "/volumes/-",
                json!({"name": "logs", "hostPath": {"path": "/", "type": "Directory"}}),
            ),
            volume,
        ),
        (at("/containers/0/volumeMounts/0/readOnly", json!(false)), mount),
        (at("/containers/0/volumeMounts/0/mountPath", json!("/etc")), mount),
        (at("/containers/0/volumeMounts/0/mountPropagation", json!("Bidirectional")), mount),
        (at("/containers/0/volumeMounts/0/subPath", json!("lsm")), mount),
        (at("/containers/0/volumeMounts/-", json!({"name": "logs", "mountPath": "/logs"})), mount),
        (with("/metadata/labels/team", json!("x")), "may change only the label"),
        (
            with("/metadata/annotations", json!({"x": "y"})),
            "metadata the lsm-ready operator may change only labels",
        ),
        (with("/spec/template/metadata", json!({"labels": {"x": "y"}})), spec),
        (with("/spec/minReadySeconds", json!(60)), spec),
        (with("/spec/updateStrategy", json!({"type": "OnDelete"})), spec),
    ]
}

#[tokio::test]
async fn the_operator_changes_nothing_else_of_daemon_sets() {
    let operator = unbound(server().await, OPERATOR).await;
    for (patch, part) in refused_patches() {
        refused(&operator, "APPLY", &format!("{DAEMON_SETS}/tetragon"), &patch, part).await;
    }
}
