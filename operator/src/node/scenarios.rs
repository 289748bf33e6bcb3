//! Scenarios: the requests that the node controller sends, one by one.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use lsm_ready_crds::{LsmNode, LsmPolicy};
use serde_json::{Value, json};

use super::reconcile;
use crate::context::fixture::{Exchange, Fixture, node, policy, report};

const PATCH: &str = "PATCH /api/v1/nodes/n1?&fieldManager=lsm-ready";
const PATCH_STATUS: &str = "PATCH /api/v1/nodes/n1/status?&fieldManager=lsm-ready";
const BPF: &str = "lsmready.node-restriction.kubernetes.io/bpf";
const ENFORCE: &str = "lsmready.node-restriction.kubernetes.io/policy.enforce";

fn condition(status: &str, reason: &str) -> Value {
    let now = "2026-01-01T00:10:00Z";
    let message = if status == "True" { "Denied: shown in boot b00t" } else { "because" };
    let message = format!("boot b00t: {message}");
    json!({"metadata": {"uid": "uid-n1", "resourceVersion": "7"}, "status": {"conditions": [{
        "type": "lsmready.io/LsmBpfReady", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now, "lastHeartbeatTime": now}]}})
}

fn parsed(node: &Value) -> Arc<Node> {
    Arc::new(serde_json::from_value(node.clone()).unwrap())
}

#[tokio::test]
async fn a_proved_node_gets_labels_and_a_condition() {
    let (ctx, played) = Fixture::new()
        .with::<LsmNode>(report("n1", "Denied", "CanaryDenied"))
        .with::<LsmPolicy>(policy("enforce", &json!({"taint": {"effect": "NoSchedule"}})))
        .plays(vec![
            Exchange::new(
                PATCH,
                json!({"metadata": {"uid": "uid-n1", "resourceVersion": "7",
                    "labels": {BPF: "true", ENFORCE: "ready"}}}),
                node("n1"),
            ),
            Exchange::new(PATCH_STATUS, condition("True", "CanaryDenied"), node("n1")),
        ]);
    reconcile(parsed(&node("n1")), ctx).await.unwrap();
    played.await.unwrap();
}

#[tokio::test]
async fn a_taint_is_written_with_the_resource_version_that_was_seen() {
    let (ctx, played) = Fixture::new()
        .with::<LsmNode>(report("n1", "Attached", "BpfNotInLsmList"))
        .with::<LsmPolicy>(policy("enforce", &json!({"taint": {"effect": "NoSchedule"}})))
        .plays(vec![
            Exchange::new(
                PATCH,
                json!({
                    "metadata": {"uid": "uid-n1", "resourceVersion": "7",
                        "labels": {BPF: "false", ENFORCE: "not-ready"}},
                    "spec": {"taints": [{"key": "lsmready.io/not-ready", "effect": "NoSchedule"}]},
                }),
                node("n1"),
            ),
            Exchange::new(PATCH_STATUS, condition("False", "BpfNotInLsmList"), node("n1")),
        ]);
    reconcile(parsed(&node("n1")), ctx).await.unwrap();
    played.await.unwrap();
}

/// The operator remembers nothing, so the first reconcile removes what a deleted policy left.
#[tokio::test]
async fn a_policy_deleted_while_the_operator_was_down_loses_its_taint() {
    let foreign = json!({"key": "dedicated", "effect": "NoSchedule"});
    let mut left = node("n1");
    left["metadata"]["labels"][BPF] = json!("false");
    left["metadata"]["labels"][ENFORCE] = json!("not-ready");
    left["spec"]["taints"] = json!([
        foreign,
        {"key": "startup-taint.cluster-autoscaler.kubernetes.io/lsmready", "effect": "NoSchedule"},
    ]);
    left["status"]["conditions"] =
        condition("False", "BpfNotInLsmList")["status"]["conditions"].clone();
    let (ctx, played) = Fixture::new()
        .with::<LsmNode>(report("n1", "Attached", "BpfNotInLsmList"))
        .plays(vec![Exchange::new(
            PATCH,
            json!({
                "metadata": {"uid": "uid-n1", "resourceVersion": "7", "labels": {ENFORCE: null}},
                "spec": {"taints": [foreign]},
            }),
            node("n1"),
        )]);
    reconcile(parsed(&left), ctx).await.unwrap();
    played.await.unwrap();
}

#[tokio::test]
async fn nothing_is_sent_where_everything_is_as_wanted() {
    let mut settled = node("n1");
    settled["metadata"]["labels"][BPF] = json!("true");
    settled["status"]["conditions"] =
        condition("True", "CanaryDenied")["status"]["conditions"].clone();
    let (ctx, played) =
        Fixture::new().with::<LsmNode>(report("n1", "Denied", "CanaryDenied")).plays(Vec::new());
    reconcile(parsed(&settled), ctx).await.unwrap();
    played.await.unwrap();
}

#[tokio::test]
async fn a_conflict_is_an_error_and_nothing_more_is_written() {
    let (ctx, played) = Fixture::new()
        .with::<LsmNode>(report("n1", "Denied", "CanaryDenied"))
        .plays(vec![Exchange::refused(
            PATCH,
            json!({"metadata": {"uid": "uid-n1", "resourceVersion": "7",
                "labels": {BPF: "true"}}}),
            409,
            "Conflict",
        )]);
    let error = reconcile(parsed(&node("n1")), ctx).await.unwrap_err();
    assert_eq!(error.reason(), "patch");
    assert!(error.to_string().contains("node n1"), "{error}");
    played.await.unwrap();
}
