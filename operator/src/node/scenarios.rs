//! Scenarios: the requests that the node controller sends, one by one.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube_runtime::controller::Action;
use lsm_ready_crds::{LsmNode, LsmPolicy};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{after_conflict, reconcile, reconcile_packed, start};
use crate::breaker::decide::NodeState;
use crate::breaker::memory::Memory;
use crate::context::Context;
use crate::context::fixture::{Exchange, Fixture, node, policy, report, settled_policy};
use crate::watch::packed_node::PackedNode;

const PATCH: &str = "PATCH /api/v1/nodes/n1?&fieldManager=lsm-ready";
const PATCH_STATUS: &str = "PATCH /api/v1/nodes/n1/status?&fieldManager=lsm-ready";
const BPF: &str = "lsmready.node-restriction.kubernetes.io/bpf";
const ENFORCE: &str = "lsmready.node-restriction.kubernetes.io/policy.enforce";

fn condition(status: &str, reason: &str) -> Value {
    let now = "2026-01-01T00:10:00Z";
    let message = if status == "True" { "Denied: shown in boot b00t" } else { "because" };
    let message = format!("boot b00t, probe {}: {message}", env!("CARGO_PKG_VERSION"));
    json!({"metadata": {"uid": "uid-n1", "resourceVersion": "7"}, "status": {"conditions": [{
        "type": "lsmready.io/LsmBpfReady", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now, "lastHeartbeatTime": now}]}})
}

/// The patch of the status that sets labels and the condition.
fn labels_and_condition(labels: Value, status: &str, reason: &str) -> Value {
    let mut patch = condition(status, reason);
    patch["metadata"]["labels"] = labels;
    patch
}

fn parsed(node: &Value) -> Arc<Node> {
    Arc::new(serde_json::from_value(node.clone()).unwrap())
}

#[tokio::test]
async fn a_proved_node_gets_labels_and_a_condition_by_one_write() {
    let patch =
        labels_and_condition(json!({BPF: "true", ENFORCE: "ready"}), "True", "CanaryDenied");
    let (ctx, played) = Fixture::new()
        .with::<LsmNode>(report("n1", "Denied", "CanaryDenied"))
        .with::<LsmPolicy>(policy("enforce", &json!({"taint": {"effect": "NoSchedule"}})))
        .plays(vec![Exchange::new(PATCH_STATUS, patch, node("n1"))]);
    reconcile(parsed(&node("n1")), ctx).await.unwrap();
    played.await.unwrap();
}

/// The controller takes the Node from the store, and its turn begins after that.
#[tokio::test]
async fn a_node_that_changed_before_its_turn_began_is_read_again() {
    let mut before = node("n1");
    before["metadata"]["resourceVersion"] = json!("6");
    let before = PackedNode::of(&serde_json::from_value(before).unwrap());
    let patch = labels_and_condition(json!({BPF: "true"}), "True", "CanaryDenied");
    let (ctx, played) = Fixture::new()
        .with::<LsmNode>(report("n1", "Denied", "CanaryDenied"))
        .with::<Node>(node("n1"))
        .plays(vec![Exchange::new(PATCH_STATUS, patch, node("n1"))]);
    reconcile_packed(Arc::new(before), ctx).await.unwrap();
    played.await.unwrap();
}

/// A process that leads again looks at all Nodes before it decides about the first.
#[tokio::test]
async fn a_process_that_leads_again_knows_losses_whose_condition_others_overwrote() {
    let memory = Memory::default();
    let starts_with = |shown: Value| {
        let mut node = node("n1");
        node["metadata"]["labels"][BPF] = json!("true");
        node["status"]["conditions"] = shown["status"]["conditions"].clone();
        let fixture = Fixture::new()
            .with::<LsmNode>(report("n1", "Attached", "BpfNotInLsmList"))
            .with::<Node>(node);
        let mut nodes = start(&fixture.ctx.required(), &memory, &fixture.ctx).nodes;
        nodes.pop().unwrap().1
    };
    let state = starts_with(condition("True", "CanaryDenied"));
    assert!(matches!(state, NodeState::Losing { .. }), "{state:?}");
    let state = starts_with(json!({"status": {"conditions": []}}));
    assert!(matches!(state, NodeState::Lost { .. }), "{state:?}");
}

#[tokio::test]
async fn a_taint_is_written_after_labels_and_condition() {
    let labels = json!({BPF: "false", ENFORCE: "not-ready"});
    let status = labels_and_condition(labels, "False", "BpfNotInLsmList");
    let (ctx, played) = Fixture::new()
        .with::<LsmNode>(report("n1", "Attached", "BpfNotInLsmList"))
        .with::<LsmPolicy>(settled_policy("enforce", &json!({"taint": {"effect": "NoSchedule"}})))
        .plays(vec![
            Exchange::new(PATCH_STATUS, status, node("n1")),
            Exchange::new(PATCH, taint(), node("n1")),
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

/// A proved node, whose label and condition the API server refuses.
fn write_refused(code: u16, reason: &str) -> (Arc<Context>, JoinHandle<()>) {
    let body = labels_and_condition(json!({BPF: "true"}), "True", "CanaryDenied");
    Fixture::new()
        .with::<LsmNode>(report("n1", "Denied", "CanaryDenied"))
        .plays(vec![Exchange::refused(PATCH_STATUS, body, code, reason)])
}

#[tokio::test]
async fn after_a_conflict_nothing_more_is_written_and_the_node_is_looked_at_again() {
    let (ctx, played) = write_refused(409, "Conflict");
    let action = reconcile(parsed(&node("n1")), ctx.clone()).await.unwrap();
    assert_ne!(action, Action::await_change());
    let metrics = ctx.metrics.encode().unwrap();
    assert!(metrics.contains(r#"lsm_ready_conflicts_total{kind="Node"} 1"#), "{metrics}");
    drop(ctx);
    played.await.unwrap();
}

/// The watch has shown the change that caused the conflict before the answer came.
#[tokio::test]
async fn after_a_single_conflict_a_node_that_has_changed_is_looked_at_at_once() {
    let ctx = Fixture::new().with::<Node>(node("n1")).ctx;
    let mut older = node("n1");
    older["metadata"]["resourceVersion"] = json!("6");
    let node = parsed(&older);
    assert_eq!(after_conflict(&node, &ctx), Duration::ZERO);
    assert!(after_conflict(&node, &ctx) > Duration::ZERO, "the second in a row");
}

#[tokio::test]
async fn after_a_single_conflict_a_node_as_it_was_waits_for_the_watch() {
    let ctx = Fixture::new().with::<Node>(node("n1")).ctx;
    assert!(after_conflict(&parsed(&node("n1")), &ctx) > Duration::ZERO);
}

#[tokio::test]
async fn a_refused_write_is_an_error_that_names_the_node() {
    let (ctx, played) = write_refused(403, "Forbidden");
    let error = reconcile(parsed(&node("n1")), ctx).await.unwrap_err();
    assert_eq!(error.reason(), "status");
    assert!(error.to_string().contains("node n1"), "{error}");
    played.await.unwrap();
}

#[tokio::test]
async fn the_taint_is_written_with_the_version_that_the_first_answer_gave() {
    let mut written = node("n1");
    written["metadata"]["resourceVersion"] = json!("8");
    let mut taint = taint();
    taint["metadata"]["resourceVersion"] = json!("8");
    let (ctx, played) = Fixture::new()
        .with::<LsmNode>(report("n1", "Attached", "BpfNotInLsmList"))
        .with::<LsmPolicy>(settled_policy("enforce", &json!({"taint": {"effect": "NoSchedule"}})))
        .plays(vec![Exchange::any(PATCH_STATUS, written), Exchange::new(PATCH, taint, node("n1"))]);
    reconcile(parsed(&node("n1")), ctx).await.unwrap();
    played.await.unwrap();
}

/// The patch that adds the policy's taint.
fn taint() -> Value {
    json!({
        "metadata": {"uid": "uid-n1", "resourceVersion": "7"},
        "spec": {"taints": [{"key": "lsmready.io/not-ready", "effect": "NoSchedule"}]},
    })
}

#[tokio::test]
async fn a_taint_that_could_not_be_written_is_owed() {
    let (ctx, played) = Fixture::new()
        .with::<LsmNode>(report("n1", "Attached", "BpfNotInLsmList"))
        .with::<LsmPolicy>(settled_policy("enforce", &json!({"taint": {"effect": "NoSchedule"}})))
        .with::<Node>(node("n1"))
        .plays(vec![
            Exchange::any(PATCH_STATUS, node("n1")),
            Exchange::refused(PATCH, taint(), 409, "Conflict"),
        ]);
    reconcile(parsed(&node("n1")), ctx.clone()).await.unwrap();
    assert!(ctx.owed_taints.has("uid-n1"));
    drop(ctx);
    played.await.unwrap();
}

/// The policy is new, so the taint would wait for its turn.
#[tokio::test]
async fn a_taint_that_is_owed_is_written_at_once() {
    let mut shown = node("n1");
    shown["metadata"]["labels"][BPF] = json!("false");
    shown["metadata"]["labels"][ENFORCE] = json!("not-ready");
    shown["status"]["conditions"] =
        condition("False", "BpfNotInLsmList")["status"]["conditions"].clone();
    for script in [vec![], vec![Exchange::new(PATCH, taint(), node("n1"))]] {
        let is_owed = !script.is_empty();
        let (ctx, played) = Fixture::new()
            .with::<LsmNode>(report("n1", "Attached", "BpfNotInLsmList"))
            .with::<LsmPolicy>(policy("enforce", &json!({"taint": {"effect": "NoSchedule"}})))
            .with::<Node>(shown.clone())
            .plays(script);
        if is_owed {
            ctx.owed_taints.insert("uid-n1");
        }
        reconcile(parsed(&shown), ctx.clone()).await.unwrap();
        assert!(!ctx.owed_taints.has("uid-n1"));
        drop(ctx);
        played.await.unwrap();
    }
}

/// The watch is late: it shows the Node as it was before the write.
#[tokio::test]
async fn nothing_is_written_twice_before_the_watch_has_shown_the_first_write() {
    let patch = labels_and_condition(json!({BPF: "true"}), "True", "CanaryDenied");
    let mut written = node("n1");
    written["metadata"]["resourceVersion"] = json!("8");
    let (ctx, played) = Fixture::new()
        .with::<Node>(node("n1"))
        .with::<LsmNode>(report("n1", "Denied", "CanaryDenied"))
        .plays(vec![Exchange::new(PATCH_STATUS, patch, written)]);
    reconcile(parsed(&node("n1")), ctx.clone()).await.unwrap();
    let action = reconcile(parsed(&node("n1")), ctx.clone()).await.unwrap();
    assert_eq!(action, Action::requeue(Duration::from_secs(15)), "the clock stands still");
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test]
async fn the_answer_to_a_write_may_be_its_metadata_alone() {
    let (ctx, played) = Fixture::new()
        .with::<LsmNode>(report("n1", "Denied", "CanaryDenied"))
        .plays(vec![Exchange::any(PATCH_STATUS, json!({"metadata": {"resourceVersion": "8"}}))]);
    reconcile(parsed(&node("n1")), ctx).await.unwrap();
    played.await.unwrap();
}

/// A Node that is shown ready in its present boot.
fn shown_ready(name: &str) -> Value {
    let mut node = node(name);
    node["metadata"]["labels"][BPF] = json!("true");
    node["status"]["conditions"] =
        condition("True", "CanaryDenied")["status"]["conditions"].clone();
    node
}

/// The operator has just started. It looks at all nodes before it moves the first one.
#[tokio::test]
async fn no_node_moves_where_all_have_lost_ready() {
    let mut fixture = Fixture::new().with::<LsmPolicy>(settled_policy("enforce", &json!({})));
    for name in ["n1", "n2", "n3", "n4"] {
        let lost = report(name, "Attached", "BpfNotInLsmList");
        fixture = fixture.with::<Node>(shown_ready(name)).with::<LsmNode>(lost);
    }
    let unlabelled = shown_ready("n1");
    // Whoever claims later that the node is ready for the policy is not believed.
    let mut not_judged = condition("True", "CanaryDenied");
    let condition = &mut not_judged["status"]["conditions"][0];
    let message = condition["message"].as_str().unwrap();
    condition["message"] = json!(message.replacen(": ", ", not judged for enforce: ", 1));
    not_judged["metadata"]["labels"] = json!({ENFORCE: "not-ready"});
    let script = vec![Exchange::new(PATCH_STATUS, not_judged, unlabelled.clone())];
    let (ctx, played) = fixture.plays(script);
    reconcile(parsed(&unlabelled), ctx.clone()).await.unwrap();
    assert_eq!(ctx.breaker.holding().unwrap().held, 4);
    let metrics = ctx.metrics.encode().unwrap();
    assert!(metrics.contains("lsm_ready_breaker_open 1"), "{metrics}");
    let losing = r#"lsm_ready_breaker_losing_nodes{reason="BpfNotInLsmList"} 4"#;
    assert!(metrics.contains(losing), "{metrics}");
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test]
async fn a_label_for_another_system_beside_a_report_changes_nothing() {
    let mut windows = shown_ready("n1");
    windows["metadata"]["labels"]["kubernetes.io/os"] = json!("windows");
    windows["metadata"]["labels"][ENFORCE] = json!("ready");
    let explicit = json!({"nodeSelector": {"matchExpressions": [
        {"key": "kubernetes.io/os", "operator": "NotIn", "values": ["windows"]}]}});
    for spec in [json!({}), explicit] {
        let (ctx, played) = Fixture::new()
            .with::<LsmNode>(report("n1", "Denied", "CanaryDenied"))
            .with::<LsmPolicy>(settled_policy("enforce", &spec))
            .plays(vec![Exchange::any(PATCH_STATUS, windows.clone())]);
        reconcile(parsed(&windows), ctx).await.unwrap();
        played.await.unwrap();
    }
}

#[tokio::test]
async fn what_another_writer_keeps_changing_is_written_after_a_wait() {
    let changed = |version: u32| {
        let mut node = shown_ready("n1");
        node["metadata"]["resourceVersion"] = json!(version.to_string());
        node["status"]["conditions"][0]["message"] = json!(format!("theirs {version}"));
        node
    };
    let ours = |version: u32| {
        let mut node = shown_ready("n1");
        node["metadata"]["resourceVersion"] = json!(version.to_string());
        Exchange::any(PATCH_STATUS, node)
    };
    let (ctx, played) = Fixture::new()
        .with::<Node>(node("n1"))
        .with::<LsmNode>(report("n1", "Denied", "CanaryDenied"))
        .plays(vec![ours(10), ours(12)]);
    for version in [9, 11] {
        reconcile(parsed(&changed(version)), ctx.clone()).await.unwrap();
    }
    let action = reconcile(parsed(&changed(13)), ctx.clone()).await.unwrap();
    assert_eq!(action, Action::requeue(Duration::from_secs(1)), "the clock stands still");
    let metrics = ctx.metrics.encode().unwrap();
    assert!(metrics.contains("lsm_ready_contested_changes_total 2"), "{metrics}");
    drop(ctx);
    played.await.unwrap();
}
