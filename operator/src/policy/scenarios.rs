//! Scenarios: the requests that the policy controller sends, one by one.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube_runtime::controller::Action;
use lsm_ready_crds::{LsmNode, LsmPolicy};
use serde_json::{Value, json};

use super::reconcile;
use crate::context::Context;
use crate::context::fixture::{Exchange, Fixture, node, policy, report};
use crate::context::moment::tests::second;

const PATCH: &str = concat!(
    "PATCH /apis/lsmready.io/v1alpha1/lsmpolicies/enforce/status",
    "?&force=true&fieldManager=lsm-ready"
);

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message,
        "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:10:00Z"})
}

fn status() -> Value {
    let message = "1 of 2 selected nodes are ready, 1 required";
    json!({
        "observedGeneration": 1,
        "conditions": [condition("Ready", "True", "EnforcementReady", message),
            condition("NodesReady", "True", "EnoughNodesReady", message)],
        "nodes": {"summary": "1/2", "selected": 2, "ready": 1, "notReady": 1, "unknown": 0},
        "reasons": [{"reason": "BpfNotInLsmList", "count": 1, "sample": ["n2"],
            "fix": lsm_ready_crds::Reason::BpfNotInLsmList.remedy()}],
    })
}

fn body(status: &Value) -> Value {
    json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
        "metadata": {"name": "enforce", "uid": "uid-enforce", "resourceVersion": "5"},
        "status": status})
}

const ENFORCE: &str = "lsmready.node-restriction.kubernetes.io/policy.enforce";

fn labelled(name: &str, value: &str) -> Value {
    let mut node = node(name);
    node["metadata"]["labels"][ENFORCE] = json!(value);
    node
}

fn two_nodes() -> Fixture {
    Fixture::new()
        .with::<Node>(labelled("n1", "ready"))
        .with::<Node>(labelled("n2", "not-ready"))
        .with::<LsmNode>(report("n1", "Denied", "CanaryDenied"))
        .with::<LsmNode>(report("n2", "Attached", "BpfNotInLsmList"))
}

fn half() -> Value {
    policy("enforce", &json!({"minReady": "50%"}))
}

fn parsed(policy: Value) -> Arc<LsmPolicy> {
    Arc::new(serde_json::from_value(policy).unwrap())
}

#[tokio::test]
async fn a_changed_status_is_applied_and_published_as_one_event() {
    let mut unready = half();
    unready["status"] = status();
    unready["status"]["conditions"][0]["status"] = json!("False");
    let (ctx, played) =
        two_nodes().plays(vec![Exchange::new(PATCH, body(&status()), half()), Exchange::event()]);
    reconcile(parsed(unready), ctx).await.unwrap();
    played.await.unwrap();
}

#[tokio::test]
async fn nothing_is_sent_where_the_status_is_right() {
    let mut settled = half();
    settled["status"] = status();
    let (ctx, played) = two_nodes().plays(Vec::new());
    reconcile(parsed(settled), ctx).await.unwrap();
    played.await.unwrap();
}

/// The controller takes the policy from the store, and its turn begins after that.
#[tokio::test]
async fn a_policy_that_changed_before_its_turn_began_is_read_again() {
    let mut settled = half();
    settled["status"] = status();
    settled["metadata"]["resourceVersion"] = json!("4");
    let (ctx, played) = two_nodes()
        .with::<LsmPolicy>(half())
        .plays(vec![Exchange::new(PATCH, body(&status()), half()), Exchange::event()]);
    reconcile(parsed(settled), ctx).await.unwrap();
    played.await.unwrap();
}

#[tokio::test]
async fn a_second_reconcile_within_a_second_waits() {
    let mut settled = half();
    settled["status"] = status();
    let (ctx, played) = two_nodes().with::<LsmPolicy>(settled.clone()).plays(Vec::new());
    reconcile(parsed(settled.clone()), ctx.clone()).await.unwrap();
    let action = reconcile(parsed(settled), ctx).await.unwrap();
    assert_eq!(action, Action::requeue(Duration::from_secs(1)));
    played.await.unwrap();
}

/// The watch has not shown our last write a second after it: a write would only be refused.
#[tokio::test]
async fn a_policy_that_is_older_than_our_last_write_is_not_written() {
    let mut written = half();
    written["metadata"]["resourceVersion"] = json!("6");
    let (ctx, played) = two_nodes()
        .with::<LsmPolicy>(half())
        .plays(vec![Exchange::new(PATCH, body(&status()), written), Exchange::event()]);
    reconcile(parsed(half()), ctx.clone()).await.unwrap();
    let later = Context { instant: || second(2).instant, ..Arc::into_inner(ctx).unwrap() };
    let action = reconcile(parsed(half()), Arc::new(later)).await.unwrap();
    assert_eq!(action, Action::requeue(Duration::from_secs(13)));
    played.await.unwrap();
}

#[tokio::test]
async fn a_refused_status_is_an_error_that_names_the_policy() {
    let (ctx, played) =
        two_nodes().plays(vec![Exchange::refused(PATCH, body(&status()), 422, "Invalid")]);
    let error = reconcile(parsed(half()), ctx).await.unwrap_err();
    assert!(error.to_string().contains("LsmPolicy enforce"), "{error}");
    played.await.unwrap();
}

#[tokio::test]
async fn after_a_conflict_the_policy_is_looked_at_again_within_a_second() {
    let (ctx, played) =
        two_nodes().plays(vec![Exchange::refused(PATCH, body(&status()), 409, "Conflict")]);
    let action = reconcile(parsed(half()), ctx.clone()).await.unwrap();
    assert_ne!(action, Action::await_change());
    let metrics = ctx.metrics.encode().unwrap();
    assert!(metrics.contains(r#"lsm_ready_conflicts_total{kind="LsmPolicy"} 1"#), "{metrics}");
    drop(ctx);
    played.await.unwrap();
}

/// Ten nodes need the taint of a new policy: one gets it at once.
#[tokio::test]
async fn a_new_policy_taints_one_tenth_of_the_nodes_first() {
    let mut fixture = Fixture::new();
    for number in 0..10 {
        fixture = fixture.with::<Node>(labelled(&format!("n{number}"), "unknown"));
    }
    let tainting = policy("enforce", &json!({"taint": {"effect": "NoSchedule"}}));
    let fixture = fixture.with::<LsmPolicy>(tainting.clone());
    let (ctx, played) = fixture.plays(vec![Exchange::any(PATCH, tainting.clone())]);
    let policy = parsed(tainting);
    reconcile(policy.clone(), ctx.clone()).await.unwrap();
    let tainted = (0..10).filter(|number| ctx.permits.has(&policy, &format!("n{number}")));
    assert_eq!(tainted.collect::<Vec<_>>(), [0]);
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test]
async fn a_policy_that_is_deleted_during_its_reconcile_leaves_no_series() {
    let mut settled = half();
    settled["status"] = status();
    for is_deleted in [false, true] {
        let stored = if is_deleted { policy("another", &json!({})) } else { settled.clone() };
        let (ctx, played) = two_nodes().with::<LsmPolicy>(stored).plays(Vec::new());
        reconcile(parsed(settled.clone()), ctx.clone()).await.unwrap();
        let metrics = ctx.metrics.encode().unwrap();
        assert_eq!(metrics.contains("enforce"), !is_deleted, "{metrics}");
        drop(ctx);
        played.await.unwrap();
    }
}
