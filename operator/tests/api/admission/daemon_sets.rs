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
    let patched = done(&operator, "APPLY", &by_operator(&path), &securityfs()).await;
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
    let restored = done(&operator, "APPLY", &by_operator(&path), &back).await;
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

fn label(value: &str) -> Value {
    let mut patch = securityfs();
    patch["metadata"]["labels"]["lsmready.io/securityfs"] = json!(value);
    patch
}

/// The path with which the operator applies: with its field manager, and without force.
fn by_operator(path: &str) -> String {
    format!("{path}?fieldManager=lsm-ready")
}

/// Patches, and a part of each refusal.
fn refused_patches() -> Vec<(Value, &'static str)> {
    let pod = "/spec/template/spec";
    let at = |rest: &str, value: Value| with(&format!("{pod}{rest}"), value);
    let container = "of a container the lsm-ready operator may change only";
    let (volume, mount) = (
        "may add only the volume lsm-ready-securityfs, a hostPath",
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
        (label("x"), "may change only the label"),
        (label("taken-back-x"), "may change only the label"),
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

/// A DaemonSet with that name, changed as the test needs it.
async fn created(name: &str, change: impl FnOnce(&mut Value)) -> String {
    let admin = server().await.client().await.unwrap();
    let mut object = named(daemon_set(), name);
    change(&mut object);
    done(&admin, "POST", DAEMON_SETS, &object).await;
    format!("{DAEMON_SETS}/{name}")
}

fn volumes(object: &mut Value) -> &mut Vec<Value> {
    object["spec"]["template"]["spec"]["volumes"].as_array_mut().unwrap()
}

/// The same volume, by the operator's own patch: a strategic merge patch that names no owner.
fn taken(volume: &Value) -> Value {
    let mut patch = securityfs();
    patch["spec"]["template"]["spec"]["volumes"] = json!([volume]);
    patch
}

#[tokio::test]
async fn a_volume_of_others_with_our_name_is_left_alone() {
    let operator = unbound(server().await, OPERATOR).await;
    let host = json!({"path": "/sys/kernel/security", "type": "Directory"});
    for (name, theirs, label) in [
        ("empty-dir", json!({"emptyDir": {}}), None),
        ("empty-dir-labelled", json!({"emptyDir": {}}), Some("mounted")),
        ("other-path", json!({"hostPath": {"path": "/etc", "type": "Directory"}}), Some("mounted")),
        ("same-shape", json!({"hostPath": host}), None),
        ("after-take-back", json!({"hostPath": host}), Some("taken-back-0123456789abcdef0123")),
    ] {
        let mut volume = theirs.clone();
        volume["name"] = json!("lsm-ready-securityfs");
        let path = created(name, |object| {
            volumes(object).push(volume.clone());
            if let Some(label) = label {
                object["metadata"]["labels"]["lsmready.io/securityfs"] = json!(label);
            }
        })
        .await;
        let remove = json!({"metadata": {"labels": {"lsmready.io/securityfs": null}},
            "spec": {"template": {"spec": {"volumes": [
                {"$patch": "delete", "name": "lsm-ready-securityfs"}]}}}});
        let part = "may remove only a volume that is its own";
        refused(&operator, "STRATEGIC", &path, &remove, part).await;
        let ours = json!({"name": "lsm-ready-securityfs", "hostPath": host, "emptyDir": null});
        if theirs["hostPath"] != host {
            let part = "may not change a volume that has this name";
            refused(&operator, "STRATEGIC", &path, &taken(&ours), part).await;
        }
    }
}

#[tokio::test]
async fn only_tetragons_agents_and_daemon_sets_of_consenting_owners_get_the_mount() {
    let operator = unbound(server().await, OPERATOR).await;
    let image = |object: &mut Value, image: &str| {
        object["spec"]["template"]["spec"]["containers"][1]["image"] = json!(image);
    };
    let part = "mounts securityfs only in a container with Tetragon's image";
    let labels = |object: &mut Value| {
        object["metadata"]["labels"] = json!({});
        let other = json!({"app.kubernetes.io/name": "other"});
        object["spec"]["selector"]["matchLabels"] = other.clone();
        object["spec"]["template"]["metadata"]["labels"] = other;
    };
    for (name, other_image) in [
        ("image-other", "registry/other:v1"),
        ("image-operator", "quay.io/cilium/tetragon-operator:v1.3.0"),
        ("image-path", "tetragon/busybox"),
        ("image-suffix", "registry/mytetragon:v1"),
    ] {
        let path = created(name, |object| image(object, other_image)).await;
        refused(&operator, "APPLY", &path, &securityfs(), part).await;
    }
    let path = created("labels-other", labels).await;
    refused(&operator, "APPLY", &path, &securityfs(), part).await;
    // The volume alone is not added either, and no other container of Tetragon gets the mount.
    let mut alone = securityfs();
    alone["spec"]["template"]["spec"]["containers"] = Value::Null;
    refused(&operator, "APPLY", &path, &alone, part).await;
    let mut exporter = securityfs();
    exporter["spec"]["template"]["spec"]["containers"][0]["name"] = json!("export-stdout");
    let path = created("other-container", |_| {}).await;
    refused(&operator, "APPLY", &path, &exporter, part).await;
    for (name, agents) in [
        ("image-registry", "registry:5000/mirror/quay.io/cilium/tetragon@sha256:aa"),
        ("image-build", "quay.io/cilium/tetragon-ci:8f3ac1e"),
    ] {
        let path = created(name, |object| image(object, agents)).await;
        done(&operator, "APPLY", &by_operator(&path), &securityfs()).await;
    }
    let path = created("consenting", |object| {
        labels(object);
        image(object, "registry/other:v1");
        object["metadata"]["annotations"] = json!({"lsmready.io/securityfs": "allow"});
    })
    .await;
    done(&operator, "APPLY", &by_operator(&path), &securityfs()).await;
    // An owner who takes the consent back keeps the mount until it is removed.
    let admin = server().await.client().await.unwrap();
    let back = json!({"metadata": {"annotations": {"lsmready.io/securityfs": null}}});
    done(&admin, "MERGE", &path, &back).await;
    let nothing = json!({"apiVersion": "apps/v1", "kind": "DaemonSet"});
    done(&operator, "APPLY", &by_operator(&path), &nothing).await;
    refused(&operator, "APPLY", &path, &securityfs(), part).await;
}

#[tokio::test]
async fn the_operator_makes_a_daemon_set_forget_no_manager() {
    let operator = unbound(server().await, OPERATOR).await;
    let path = created("managers", |_| {}).await;
    let forget = json!({"metadata": {"managedFields": [{}]}});
    let part = "may not make a DaemonSet forget which manager";
    refused(&operator, "MERGE", &path, &forget, part).await;
}
