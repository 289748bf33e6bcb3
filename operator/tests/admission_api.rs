//! The admission policies on a real API server: a probe writes its own LsmNode only, and the operator changes nothing of
//! Nodes and DaemonSets but what is ours.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod real_api;

use e2e::api::ApiServer;
use kube::Client;
use lsm_ready_crds::names::TAINT_KEYS;
use real_api::{OPERATOR, PROBE, call, create_node, done, enforced, on_node, unbound};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const NODES: &str = "/api/v1/nodes";
const LSM_NODES: &str = "/apis/lsmready.io/v1alpha1/lsmnodes";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets";
const OURS: &str = "lsmready.node-restriction.kubernetes.io";

static SERVER: OnceCell<ApiServer> = OnceCell::const_new();

async fn server() -> &'static ApiServer {
    SERVER
        .get_or_init(async || {
            let server = real_api::start("admission_api", "default").await;
            prepare(&server).await;
            server
        })
        .await
}

async fn prepare(server: &ApiServer) {
    for node in ["node-a", "node-b", "node-c"] {
        create_node(server, node).await;
    }
    let admin = server.client().await.unwrap();
    done(&admin, "APPLY", &format!("{LSM_NODES}/node-b"), &lsm_node("node-b")).await;
    done(&admin, "POST", DAEMON_SETS, &daemon_set()).await;
    let operator = unbound(server, OPERATOR).await;
    let probe = unbound(server, PROBE).await;
    enforced(&probe, "POST", LSM_NODES, &lsm_node("node-z")).await;
    let label = json!({"metadata": {"labels": {"zone": "b"}}});
    enforced(&operator, "MERGE", &format!("{NODES}/node-a"), &label).await;
    enforced(&operator, "MERGE", &format!("{DAEMON_SETS}/tetragon"), &label).await;
}

fn lsm_node(name: &str) -> Value {
    json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode", "metadata": {"name": name}})
}

/// As Tetragon's chart shapes it: two containers, and mounts of other volumes.
fn daemon_set() -> Value {
    let labels = json!({"app.kubernetes.io/name": "tetragon"});
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "tetragon", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels, "annotations": {"checksum": "1"}},
            "spec": {
                "hostNetwork": true,
                "containers": [
                    {"name": "export-stdout", "image": "hubble:1", "command": ["tail"],
                        "volumeMounts": [{"name": "logs", "mountPath": "/var/run/cilium/tetragon"}]},
                    {"name": "tetragon", "image": "tetragon:v1.3.0", "securityContext": {"privileged": true},
                        "volumeMounts": [
                            {"name": "bpf-maps", "mountPath": "/sys/fs/bpf", "mountPropagation": "Bidirectional"},
                            {"name": "logs", "mountPath": "/var/run/cilium/tetragon"}]},
                ],
                "volumes": [
                    {"name": "logs", "hostPath": {"path": "/var/run/cilium/tetragon", "type": "DirectoryOrCreate"}},
                    {"name": "bpf-maps", "hostPath": {"path": "/sys/fs/bpf", "type": "DirectoryOrCreate"}},
                ],
            },
        }},
    })
}

/// Asserts that the request was refused by an admission policy, with that in its message.
async fn refused(client: &Client, verb: &str, path: &str, body: &Value, part: &str) {
    let answer = call(client, verb, path, body).await;
    assert_eq!(answer.code, 403, "{verb} {path} {body} was not refused: {}", answer.message);
    let by_policy =
        answer.message.contains("ValidatingAdmissionPolicy") && answer.message.contains(part);
    assert!(by_policy, "{verb} {path} {body}: wanted {part:?}, got {}", answer.message);
}

#[tokio::test]
async fn a_probe_reports_for_its_own_node() {
    let probe = on_node(server().await, PROBE, "node-a").await;
    let node = done(&probe, "GET", &format!("{NODES}/node-a"), &Value::Null).await;
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "node-a", "uid": node["metadata"]["uid"]});
    let mut report = lsm_node("node-a");
    report["metadata"]["ownerReferences"] = json!([owner]);
    done(&probe, "APPLY", &format!("{LSM_NODES}/node-a"), &report).await;
    done(&probe, "APPLY", &format!("{LSM_NODES}/node-a"), &report).await;
    report["status"] = json!({"evidence": "Denied", "bootID": "1"});
    done(&probe, "APPLY", &format!("{LSM_NODES}/node-a/status"), &report).await;
    done(
        &probe,
        "MERGE",
        &format!("{LSM_NODES}/node-a/status"),
        &json!({"status": {"evidence": "None"}}),
    )
    .await;
}

#[tokio::test]
async fn a_probe_does_not_report_for_another_node() {
    let probe = on_node(server().await, PROBE, "node-a").await;
    let part =
        "the probe of node node-a may not write LsmNode node-b: a node reports for itself only";
    let status = json!({"status": {"evidence": "Denied"}});
    refused(&probe, "APPLY", &format!("{LSM_NODES}/node-b"), &lsm_node("node-b"), part).await;
    refused(&probe, "MERGE", &format!("{LSM_NODES}/node-b/status"), &status, part).await;
    let part = "the probe of node node-a may not write LsmNode node-c";
    refused(&probe, "POST", LSM_NODES, &lsm_node("node-c"), part).await;
    refused(&probe, "APPLY", &format!("{LSM_NODES}/node-c"), &lsm_node("node-c"), part).await;
}

#[tokio::test]
async fn a_probes_token_that_names_no_node_is_worth_nothing() {
    let probe = unbound(server().await, PROBE).await;
    let part = "the probe's token names no node";
    refused(&probe, "POST", LSM_NODES, &lsm_node("node-c"), part).await;
    refused(&probe, "MERGE", &format!("{LSM_NODES}/node-b/status"), &json!({"status": {}}), part)
        .await;
}

#[tokio::test]
async fn a_report_cannot_be_kept_from_being_deleted() {
    let probe = on_node(server().await, PROBE, "node-c").await;
    let part = "the probe may set only the Node of the same name as the owner of an LsmNode";
    let owner = |kind: &str, name: &str| json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": "1"}]);
    for metadata in [
        json!({"ownerReferences": owner("Node", "node-b")}),
        json!({"ownerReferences": owner("Namespace", "node-c")}),
        json!({"finalizers": ["example.com/forever"]}),
    ] {
        let mut report = lsm_node("node-c");
        report["metadata"]["ownerReferences"] = metadata["ownerReferences"].clone();
        report["metadata"]["finalizers"] = metadata["finalizers"].clone();
        refused(&probe, "APPLY", &format!("{LSM_NODES}/node-c"), &report, part).await;
    }
}

#[tokio::test]
async fn what_others_put_on_a_report_does_not_silence_the_probe() {
    let server = server().await;
    let admin = server.client().await.unwrap();
    let mut report = lsm_node("node-d");
    report["metadata"]["finalizers"] = json!(["example.com/theirs"]);
    report["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": "1"}]);
    done(&admin, "POST", LSM_NODES, &report).await;
    let probe = on_node(server, PROBE, "node-d").await;
    let status = json!({"status": {"evidence": "Denied"}});
    done(&probe, "MERGE", &format!("{LSM_NODES}/node-d/status"), &status).await;
}

#[tokio::test]
async fn others_need_the_verb_override() {
    let server = server().await;
    let admin = server.client().await.unwrap();
    let path = format!("{LSM_NODES}/node-b/status");
    let status = json!({"status": {"evidence": "None", "message": "a drill"}});
    done(&admin, "MERGE", &path, &status).await;
    let bind = async |user: &str, verbs: &[&str]| {
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let role = json!({"metadata": {"name": user}, "rules": [
            {"apiGroups": ["lsmready.io"], "resources": ["lsmnodes/status"], "verbs": verbs}]});
        done(&admin, "POST", &format!("{rbac}/clusterroles"), &role).await;
        let binding = json!({"metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
        done(&admin, "POST", &format!("{rbac}/clusterrolebindings"), &binding).await;
        server.client_for(user, None).await.unwrap()
    };
    let patcher = bind("patcher", &["patch"]).await;
    refused(&patcher, "MERGE", &path, &status, "others need the verb \"override\"").await;
    let overrider = bind("overrider", &["patch", "override"]).await;
    done(&overrider, "MERGE", &path, &status).await;
}

#[tokio::test]
async fn the_operators_own_writes_to_nodes_pass() {
    let operator = unbound(server().await, OPERATOR).await;
    let (path, status) = (format!("{NODES}/node-a"), format!("{NODES}/node-a/status"));
    let label = |value: Value| json!({"metadata": {"labels": {format!("{OURS}/bpf"): value, format!("{OURS}/policy.x"): value}}});
    done(&operator, "MERGE", &path, &label(json!("true"))).await;
    done(&operator, "MERGE", &path, &label(Value::Null)).await;
    let foreign = done(&operator, "GET", &path, &Value::Null).await["spec"]["taints"].clone();
    for effect in ["NoSchedule", "PreferNoSchedule"] {
        let mut taints = foreign.clone();
        taints
            .as_array_mut()
            .unwrap()
            .push(json!({"key": "lsmready.io/not-ready", "effect": effect}));
        let metadata = done(&operator, "GET", &path, &Value::Null).await["metadata"].clone();
        let seen = json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
        done(&operator, "MERGE", &path, &json!({"metadata": seen, "spec": {"taints": taints}}))
            .await;
    }
    done(&operator, "MERGE", &path, &json!({"spec": {"taints": foreign}})).await;
    for value in ["True", "False"] {
        let condition = json!({"type": "lsmready.io/LsmBpfReady", "status": value, "reason": "CanaryDenied", "message": "shown"});
        let node =
            done(&operator, "STRATEGIC", &status, &json!({"status": {"conditions": [condition]}}))
                .await;
        assert_eq!(node["status"]["conditions"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn the_operator_changes_nothing_else_of_nodes() {
    let operator = unbound(server().await, OPERATOR).await;
    let (path, status) = (format!("{NODES}/node-b"), format!("{NODES}/node-b/status"));
    let label = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    let taints = |taints: Value| json!({"spec": {"taints": taints}});
    let foreign = json!({"key": "example.com/foreign", "effect": "NoSchedule"});
    let of = "may change only";
    let labels = "may change only Node labels under";
    let table = [
        (&path, label("zone", json!("b")), labels),
        (&path, label("zone", Value::Null), labels),
        (&path, label("example.com/new", json!("b")), labels),
        (&path, label(&format!("x.{OURS}/bpf"), json!("true")), labels),
        (&status, label("zone", json!("b")), labels),
        (
            &path,
            json!({"metadata": {"annotations": {"note": "y"}}}),
            "metadata the lsm-ready operator may change only",
        ),
        (&path, json!({"metadata": {"annotations": null}}), of),
        (&path, json!({"metadata": {"finalizers": ["example.com/x"]}}), of),
        (&path, taints(json!([])), "may change only the taints lsmready.io/not-ready"),
        (
            &path,
            taints(json!([foreign, {"key": "example.com/other", "effect": "NoSchedule"}])),
            "may change only the taints",
        ),
        (
            &path,
            taints(json!([{"key": "example.com/foreign", "effect": "NoExecute"}])),
            "may change only the taints",
        ),
        (
            &path,
            taints(json!([foreign, {"key": "lsmready.io/not-ready", "effect": "NoExecute"}])),
            "with the effects",
        ),
        (
            &path,
            json!({"spec": {"unschedulable": true}}),
            "spec the lsm-ready operator may change only taints",
        ),
        (
            &path,
            json!({"spec": {"providerID": "x://y"}}),
            "spec the lsm-ready operator may change only taints",
        ),
        (
            &status,
            json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
            "only the Node condition",
        ),
        (
            &status,
            json!({"status": {"conditions": [{"type": "Other", "status": "True"}]}}),
            "only the Node condition",
        ),
        (
            &status,
            json!({"status": {"capacity": {"cpu": "400"}}}),
            "status the lsm-ready operator may change only conditions",
        ),
        (&status, json!({"status": {"nodeInfo": {"bootID": "2"}}}), "may change only conditions"),
    ];
    for (path, patch, part) in table {
        let verb = if path == &status { "STRATEGIC" } else { "MERGE" };
        refused(&operator, verb, path, &patch, part).await;
    }
}

#[tokio::test]
async fn the_operator_sets_and_removes_exactly_its_own_taint_keys() {
    let server = server().await;
    create_node(server, "node-taints").await;
    let operator = unbound(server, OPERATOR).await;
    let path = format!("{NODES}/node-taints");
    let foreign = done(&operator, "GET", &path, &Value::Null).await["spec"]["taints"].clone();
    let with = |key: &str, effect: &str| {
        let mut taints = foreign.as_array().unwrap().clone();
        taints.push(json!({"key": key, "effect": effect}));
        json!({"spec": {"taints": taints}})
    };
    for key in TAINT_KEYS {
        done(&operator, "MERGE", &path, &with(key, "NoSchedule")).await;
        done(&operator, "MERGE", &path, &with(key, "PreferNoSchedule")).await;
        refused(&operator, "MERGE", &path, &with(key, "NoExecute"), "with the effects").await;
    }
    done(&operator, "MERGE", &path, &json!({"spec": {"taints": foreign}})).await;
    for key in [
        "lsmready.io/other",
        "readiness.k8s.io/other",
        "startup-taint.cluster-autoscaler.kubernetes.io/other",
    ] {
        let part = "may change only the taints";
        refused(&operator, "MERGE", &path, &with(key, "NoSchedule"), part).await;
    }
}

/// The operator's apply of the volume and its mount.
fn securityfs() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"labels": {"lsmready.io/securityfs": "managed"}},
    "spec": {"template": {"spec": {
        "containers": [{"name": "tetragon", "volumeMounts": [
            {"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true}]}],
        "volumes": [{"name": "lsm-ready-securityfs",
            "hostPath": {"path": "/sys/kernel/security", "type": "Directory"}}],
    }}}})
}

#[tokio::test]
async fn the_operator_mounts_securityfs_and_gives_it_back() {
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

fn named(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = json!(name);
    object
}

/// `securityfs()` with one thing more, at that place of the pod template's spec or of the DaemonSet.
fn with(pointer: &str, value: Value) -> Value {
    let mut patch = securityfs();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match patch.pointer_mut(parent).unwrap() {
        Value::Array(list) => list.push(value),
        object => object[field] = value,
    }
    patch
}

#[tokio::test]
async fn the_operator_changes_nothing_else_of_daemon_sets() {
    let operator = unbound(server().await, OPERATOR).await;
    let path = format!("{DAEMON_SETS}/tetragon");
    let pod = "/spec/template/spec";
    let at = |rest: &str, value: Value| with(&format!("{pod}{rest}"), value);
    let container = "of a container the lsm-ready operator may change only";
    let (volume, mount) = (
        "the volume lsm-ready-securityfs, a hostPath",
        "the mount of lsm-ready-securityfs, read-only",
    );
    let spec = "of a DaemonSet's spec";
    let table = [
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
    ];
    for (patch, part) in table {
        refused(&operator, "APPLY", &path, &patch, part).await;
    }
}

/// Even with every right that RBAC can give, the operator creates nothing and writes no DaemonSet's status.
#[tokio::test]
async fn more_rights_do_not_help_the_operator() {
    let server = server().await;
    let binding = json!({"metadata": {"name": "operator-is-admin"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": real_api::NAMESPACE}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    done(&server.client().await.unwrap(), "POST", bindings, &binding).await;
    let operator = unbound(server, OPERATOR).await;
    // The new right takes a moment to be known.
    enforced(&operator, "POST", DAEMON_SETS, &named(daemon_set(), "new")).await;
    let part = "may neither create DaemonSets nor write their status";
    refused(&operator, "POST", DAEMON_SETS, &named(daemon_set(), "new"), part).await;
    refused(
        &operator,
        "MERGE",
        &format!("{DAEMON_SETS}/tetragon/status"),
        &json!({"status": {}}),
        part,
    )
    .await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ghost"}});
    refused(&operator, "POST", NODES, &node, "may not create Nodes").await;
}
