//! Which keys each event puts into which queue.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::context::fixture::{Fixture, node, policy, report};

fn daemon_set(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "uid": name, "generation": 1, "labels": labels},
        "spec": {"selector": {}, "template": {}}})
}

/// Two Nodes, two policies of which `b` names the DaemonSet `tetragon`, and a labelled DaemonSet nobody names.
fn cluster() -> Fixture {
    Fixture::new()
        .with::<Node>(node("n1"))
        .with::<Node>(node("n2"))
        .with::<LsmPolicy>(policy("a", &json!({})))
        .with::<LsmPolicy>(policy("b", &json!({"tetragon": {}})))
        .with::<DaemonSet>(daemon_set("tetragon", &json!({})))
        .with::<DaemonSet>(daemon_set("left", &json!({names::DAEMON_SET_LABEL: "mounted"})))
        .with::<DaemonSet>(daemon_set("foreign", &json!({})))
}

/// The queued keys after these events, as `node/n1` and the like.
fn queued(events: impl FnOnce(&Routes)) -> BTreeSet<String> {
    let Fixture { ctx, mut receivers, .. } = cluster();
    events(&Routes::new(ctx.stores.clone(), ctx.queues.clone(), ctx.metrics.clone()));
    let mut keys = BTreeSet::new();
    while let Ok(key) = receivers.nodes.try_recv() {
        keys.insert(format!("node/{}", key.name));
    }
    while let Ok(key) = receivers.policies.try_recv() {
        keys.insert(format!("policy/{}", key.name));
    }
    while let Ok(key) = receivers.daemon_sets.try_recv() {
        keys.insert(format!("ds/{}", key.name));
    }
    keys
}

fn keys(names: &str) -> BTreeSet<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

fn apply<K: serde::de::DeserializeOwned>(object: Value) -> Event<K> {
    Event::Apply(serde_json::from_value(object).unwrap())
}

#[tokio::test]
async fn a_node_queues_itself_and_the_policies() {
    assert_eq!(queued(|routes| routes.node(&apply(node("n1")))), keys("node/n1 policy/a policy/b"));
}

#[tokio::test]
async fn a_heartbeat_queues_nothing() {
    let Fixture { ctx, mut receivers, .. } = cluster();
    let routes = Routes::new(ctx.stores.clone(), ctx.queues.clone(), ctx.metrics.clone());
    routes.node(&apply(node("n1")));
    while receivers.nodes.try_recv().is_ok() {}
    let mut beat = node("n1");
    beat["metadata"]["resourceVersion"] = json!("9");
    routes.node(&apply(beat));
    assert!(receivers.nodes.try_recv().is_err());
}

#[tokio::test]
async fn a_report_queues_its_node_also_when_it_goes() {
    let report = || serde_json::from_value(report("n2", "Denied", "CanaryDenied")).unwrap();
    let wanted = keys("node/n2 policy/a policy/b");
    assert_eq!(queued(|routes| routes.report(&Event::Apply(report()))), wanted);
    assert_eq!(queued(|routes| routes.report(&Event::Delete(report()))), wanted);
}

#[tokio::test]
async fn a_repaired_node_queues_the_daemon_sets_that_may_have_a_stale_agent() {
    let mut repaired = report("n2", "Denied", "CanaryDenied");
    repaired["status"]["deniedSince"] = json!("2026-01-01T00:00:00Z");
    let repaired = serde_json::from_value(repaired).unwrap();
    let wanted = keys("node/n2 policy/a policy/b ds/tetragon ds/left");
    assert_eq!(queued(|routes| routes.report(&Event::Apply(repaired))), wanted);
}

#[tokio::test]
async fn a_kernel_without_securityfs_queues_the_daemon_sets_when_that_is_news() {
    let report = |securityfs: &str| -> LsmNode {
        let mut report = report("n2", "Denied", "CanaryDenied");
        report["status"]["securityfs"] = json!(securityfs);
        serde_json::from_value(report).unwrap()
    };
    let (lacks, has) = (|| report("NotInKernel"), || report("Mounted"));
    let (silent, told) =
        (keys("node/n2 policy/a policy/b"), keys("node/n2 policy/a policy/b ds/tetragon ds/left"));
    assert_eq!(queued(|routes| routes.report(&Event::Apply(has()))), silent);
    assert_eq!(queued(|routes| routes.report(&Event::Apply(lacks()))), told);
    // What is queued last, after an event that was drained.
    for (before, event, wanted) in [
        (Event::Apply(lacks()), Event::Apply(lacks()), &silent),
        (Event::Apply(lacks()), Event::Apply(has()), &told),
        (Event::InitApply(lacks()), Event::Apply(has()), &told),
        (Event::InitApply(lacks()), Event::Delete(lacks()), &told),
    ] {
        let Fixture { ctx, mut receivers, .. } = cluster();
        let routes = Routes::new(ctx.stores.clone(), ctx.queues.clone(), ctx.metrics.clone());
        routes.report(&before);
        while receivers.daemon_sets.try_recv().is_ok() {}
        routes.report(&event);
        let queued = receivers.daemon_sets.try_recv().is_ok();
        assert_eq!(queued, wanted == &told, "{before:?}, then {event:?}");
    }
}

#[tokio::test]
async fn a_policy_that_goes_queues_everything_it_may_have_touched() {
    let gone = serde_json::from_value(policy("b", &json!({"tetragon": {}}))).unwrap();
    let wanted = keys("node/n1 node/n2 policy/a policy/b ds/tetragon ds/left");
    assert_eq!(queued(|routes| routes.policy(&Event::Delete(gone))), wanted);
}

#[tokio::test]
async fn a_policys_own_status_queues_only_itself() {
    let Fixture { ctx, mut receivers, .. } = cluster();
    let routes = Routes::new(ctx.stores.clone(), ctx.queues.clone(), ctx.metrics.clone());
    routes.policy(&apply(policy("a", &json!({}))));
    while receivers.nodes.try_recv().is_ok() {}
    while receivers.policies.try_recv().is_ok() {}
    routes.policy(&apply(policy("a", &json!({}))));
    assert!(receivers.nodes.try_recv().is_err());
    assert_eq!(receivers.policies.try_recv().unwrap().name, "a");
    assert!(receivers.policies.try_recv().is_err());
}

#[tokio::test]
async fn only_daemon_sets_that_concern_us_are_queued() {
    let table = [
        (daemon_set("tetragon", &json!({})), "ds/tetragon policy/b"),
        (daemon_set("left", &json!({names::DAEMON_SET_LABEL: "mounted"})), "ds/left"),
        (daemon_set("foreign", &json!({})), ""),
    ];
    for (object, wanted) in table {
        assert_eq!(queued(|routes| routes.daemon_set(&apply(object))), keys(wanted));
    }
}

#[tokio::test]
async fn tetragons_policies_queue_the_nodes_only_where_a_policy_requires_them() {
    assert_eq!(queued(Routes::tracing_policies), keys("policy/a policy/b"));
    let requires = policy("c", &json!({"require": {"tracingPolicies": {}}}));
    let Fixture { ctx, mut receivers, .. } = cluster().with::<LsmPolicy>(requires);
    Routes::new(ctx.stores.clone(), ctx.queues.clone(), ctx.metrics.clone()).tracing_policies();
    assert_eq!(receivers.nodes.try_recv().map(|_| ()), Ok(()));
}

#[tokio::test]
async fn after_a_new_list_everything_is_looked_at_again() {
    assert_eq!(
        queued(|routes| routes.node(&Event::InitDone)),
        keys("node/n1 node/n2 policy/a policy/b")
    );
    assert_eq!(
        queued(|routes| routes.daemon_set(&Event::InitDone)),
        keys("ds/tetragon ds/left policy/a policy/b")
    );
}
