//! Nodes: the operator changes our labels, our taint and our condition only.

use lsm_ready_crds::names::TAINT_KEYS;
use serde_json::{Value, json};

use super::{NODES, refused, server};
use crate::server::{OPERATOR, create_node, done, unbound};

const OURS: &str = "lsmready.node-restriction.kubernetes.io";
/// A part of the message of each refusal.
const REFUSAL: &str = "of a Node the lsm-ready operator may change only";

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

/// Patches of the Node, each against one rule.
fn refused_patches() -> Vec<Value> {
    let label = |key: &str, value: Value| json!({"metadata": {"labels": {key: value}}});
    let taints = |taints: Value| json!({"spec": {"taints": taints}});
    let foreign = json!({"key": "example.com/foreign", "effect": "NoSchedule"});
    vec![
        label("zone", json!("b")),
        label("zone", Value::Null),
        label("example.com/new", json!("b")),
        label(&format!("x.{OURS}/bpf"), json!("true")),
        json!({"metadata": {"annotations": {"note": "y"}}}),
        json!({"metadata": {"annotations": null}}),
        json!({"metadata": {"finalizers": ["example.com/x"]}}),
        taints(json!([])),
        taints(json!([foreign, {"key": "example.com/other", "effect": "NoSchedule"}])),
        taints(json!([{"key": "example.com/foreign", "effect": "NoExecute"}])),
        taints(json!([foreign, {"key": "lsmready.io/not-ready", "effect": "NoExecute"}])),
        json!({"spec": {"unschedulable": true}}),
        json!({"spec": {"providerID": "x://y"}}),
    ]
}

/// Patches of the Node's status, each against one rule.
fn refused_status_patches() -> Vec<Value> {
    let condition = |name: &str, status: &str| json!({"status": {"conditions": [{"type": name, "status": status}]}});
    vec![
        json!({"metadata": {"labels": {"zone": "b"}}}),
        condition("Ready", "False"),
        condition("Other", "True"),
        json!({"status": {"capacity": {"cpu": "400"}}}),
        json!({"status": {"nodeInfo": {"bootID": "2"}}}),
    ]
}

#[tokio::test]
async fn the_operator_changes_nothing_else_of_nodes() {
    let operator = unbound(server().await, OPERATOR).await;
    let node = format!("{NODES}/node-b");
    for patch in refused_patches() {
        refused(&operator, "MERGE", &node, &patch, REFUSAL).await;
    }
    for patch in refused_status_patches() {
        refused(&operator, "STRATEGIC", &format!("{node}/status"), &patch, REFUSAL).await;
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
        refused(&operator, "MERGE", &path, &with(key, "NoExecute"), REFUSAL).await;
    }
    done(&operator, "MERGE", &path, &json!({"spec": {"taints": foreign}})).await;
    for key in [
        "lsmready.io/other",
        "readiness.k8s.io/other",
        "startup-taint.cluster-autoscaler.kubernetes.io/other",
    ] {
        refused(&operator, "MERGE", &path, &with(key, "NoSchedule"), REFUSAL).await;
    }
}

/// What no manager owns is protected too.
#[tokio::test]
async fn the_operator_removes_nothing_that_nobody_owns() {
    let server = server().await;
    create_node(server, "node-unowned").await;
    let admin = server.client().await.unwrap();
    let operator = unbound(server, OPERATOR).await;
    let path = format!("{NODES}/node-unowned");
    let status = format!("{path}/status");
    done(&admin, "MERGE", &path, &json!({"spec": {"unschedulable": true}})).await;
    let unowned = json!({"metadata": {"managedFields": [{}]}});
    let node = done(&admin, "MERGE", &path, &unowned).await;
    assert_eq!(node["metadata"]["managedFields"], Value::Null);
    for patch in [
        json!({"metadata": {"labels": {"zone": null}}}),
        json!({"metadata": {"annotations": null}}),
        json!({"spec": {"unschedulable": null}}),
    ] {
        refused(&operator, "MERGE", &path, &patch, REFUSAL).await;
    }
    let without_capacity = json!({"status": {"capacity": null}});
    refused(&operator, "MERGE", &status, &without_capacity, REFUSAL).await;
    // Its own writes pass.
    let label = json!({"metadata": {"labels": {format!("{OURS}/bpf"): "false"}}});
    done(&operator, "MERGE", &path, &label).await;
}

/// A manager that is forgotten loses what it owns by server-side apply.
#[tokio::test]
async fn the_operator_makes_a_node_forget_no_manager() {
    let server = server().await;
    create_node(server, "node-managers").await;
    let operator = unbound(server, OPERATOR).await;
    let admin = server.client().await.unwrap();
    let path = format!("{NODES}/node-managers");
    let labels = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"labels": {"example.com/theirs": "x"}}});
    done(&admin, "APPLY", &path, &labels).await;
    let managers = |node: &Value| node["metadata"]["managedFields"].as_array().unwrap().clone();
    let all = managers(&done(&admin, "GET", &path, &Value::Null).await);
    let mut without = all.clone();
    without.retain(|entry| entry["manager"] != "test");
    let mut less = all.clone();
    for entry in less.iter_mut().filter(|entry| entry["manager"] == "test") {
        let labels = &mut entry["fieldsV1"]["f:metadata"]["f:labels"];
        labels.as_object_mut().unwrap().remove("f:example.com/theirs");
    }
    for list in [json!([{}]), json!(without), json!(less)] {
        let change = json!({"metadata": {"managedFields": list}});
        refused(&operator, "MERGE", &path, &change, REFUSAL).await;
    }
    // Our own fields may change hands: somebody else has set one of them before.
    let ours = "lsmready.node-restriction.kubernetes.io/bpf";
    let theirs =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"labels": {ours: "true"}}});
    done(&admin, "APPLY", &path, &theirs).await;
    let taken = json!({"metadata": {"labels": {ours: "false"}}});
    let node = done(&operator, "MERGE", &path, &taken).await;
    assert_eq!(node["metadata"]["labels"][ours], "false");
    let status = json!({"status": {"conditions": [
        {"type": "lsmready.io/LsmBpfReady", "status": "True"}]}});
    done(&admin, "STRATEGIC", &format!("{path}/status"), &status).await;
    let own = json!({"status": {"conditions": [
        {"type": "lsmready.io/LsmBpfReady", "status": "False"}]}});
    done(&operator, "STRATEGIC", &format!("{path}/status"), &own).await;
}
