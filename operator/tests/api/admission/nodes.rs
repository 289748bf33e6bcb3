//! Nodes: the operator changes our labels, our taint and our condition only.

use lsm_ready_crds::names::TAINT_KEYS;
use serde_json::{Value, json};

use super::{NODES, refused, server};
use crate::server::{OPERATOR, create_node, done, unbound};

const OURS: &str = "lsmready.node-restriction.kubernetes.io";

#[tokio::test]
async fn the_operators_own_writes_to_nodes_pass() {
    let operator = unbound(server().await, OPERATOR).await;
    let (path, status) = (format!("{NODES}/node-a"), format!("{NODES}/node-a/status"));
    let label = |value: Value| {
        let labels = json!({format!("{OURS}/bpf"): value, format!("{OURS}/policy.x"): value});
        json!({"metadata": {"labels": labels}})
    };
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
        let condition = json!({"type": "lsmready.io/LsmBpfReady", "status": value,
            "reason": "CanaryDenied", "message": "shown"});
        let node =
            done(&operator, "STRATEGIC", &status, &json!({"status": {"conditions": [condition]}}))
                .await;
        assert_eq!(node["status"]["conditions"].as_array().unwrap().len(), 2);
    }
}

/// Patches of the Node, and a part of each refusal.
fn refused_patches() -> Vec<(Value, &'static str)> {
    let label = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    let taints = |taints: Value| json!({"spec": {"taints": taints}});
    let foreign = json!({"key": "example.com/foreign", "effect": "NoSchedule"});
    let of = "may change only";
    let labels = "may change only Node labels under";
    vec![
        (label("zone", json!("b")), labels),
        (label("zone", Value::Null), labels),
        (label("example.com/new", json!("b")), labels),
        (label(&format!("x.{OURS}/bpf"), json!("true")), labels),
        (
            json!({"metadata": {"annotations": {"note": "y"}}}),
            "metadata the lsm-ready operator may change only",
        ),
        (json!({"metadata": {"annotations": null}}), of),
        (json!({"metadata": {"finalizers": ["example.com/x"]}}), of),
        (taints(json!([])), "may change only the taints lsmready.io/not-ready"),
        (
            taints(json!([foreign, {"key": "example.com/other", "effect": "NoSchedule"}])),
            "may change only the taints",
        ),
        (
            taints(json!([{"key": "example.com/foreign", "effect": "NoExecute"}])),
            "may change only the taints",
        ),
        (
            taints(json!([foreign, {"key": "lsmready.io/not-ready", "effect": "NoExecute"}])),
            "with the effects",
        ),
        (
            json!({"spec": {"unschedulable": true}}),
            "spec the lsm-ready operator may change only taints",
        ),
        (
            json!({"spec": {"providerID": "x://y"}}),
            "spec the lsm-ready operator may change only taints",
        ),
    ]
}

/// Patches of the Node's status, and a part of each refusal.
fn refused_status_patches() -> Vec<(Value, &'static str)> {
    let label = json!({"metadata": {"labels": {"zone": "b"}}});
    vec![
        (label, "may change only Node labels under"),
        (
            json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
            "only the Node condition",
        ),
        (
            json!({"status": {"conditions": [{"type": "Other", "status": "True"}]}}),
            "only the Node condition",
        ),
        (
            json!({"status": {"capacity": {"cpu": "400"}}}),
            "status the lsm-ready operator may change only conditions",
        ),
        (json!({"status": {"nodeInfo": {"bootID": "2"}}}), "may change only conditions"),
    ]
}

#[tokio::test]
async fn the_operator_changes_nothing_else_of_nodes() {
    let operator = unbound(server().await, OPERATOR).await;
    let node = format!("{NODES}/node-b");
    for (patch, part) in refused_patches() {
        refused(&operator, "MERGE", &node, &patch, part).await;
    }
    for (patch, part) in refused_status_patches() {
        refused(&operator, "STRATEGIC", &format!("{node}/status"), &patch, part).await;
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
