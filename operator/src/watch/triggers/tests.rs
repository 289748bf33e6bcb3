//! Which keys each event puts into which queue.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::context::fixture::{Fixture, node, policy, report};

fn daemon_set(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "uid": name, "generation": 1,
            "labels": labels},
        "spec": {"selector": {}, "template": {}}})
}

/// Two Nodes, two policies of which `b` names the DaemonSet `tetragon`, and a DaemonSet `left` that
/// carries our label although no policy names it.
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
fn queued(events: impl FnOnce(&Triggers)) -> BTreeSet<String> {
    let Fixture { ctx, mut receivers, .. } = cluster();
    events(&Triggers::new(ctx.clone()));
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
    assert_eq!(
        queued(|triggers| triggers.node(&apply(node("n1")), None)),
        keys("node/n1 policy/a policy/b")
    );
}

/// Of three policies that select by a label, those that select the Node now or did so before.
#[tokio::test]
async fn a_changed_label_queues_the_policies_that_selected_the_node_before_and_after() {
    let zoned = |zone: &str| {
        let mut node = node("n3");
        node["metadata"]["labels"]["zone"] = json!(zone);
        node
    };
    let selector = |zone: &str| json!({"nodeSelector": {"matchLabels": {"zone": zone}}});
    let Fixture { ctx, mut receivers, .. } = Fixture::new()
        .with::<Node>(zoned("new"))
        .with::<LsmPolicy>(policy("old", &selector("old")))
        .with::<LsmPolicy>(policy("new", &selector("new")))
        .with::<LsmPolicy>(policy("other", &selector("other")));
    let before = PackedNode::of(&serde_json::from_value(zoned("old")).unwrap());
    Triggers::new(ctx.clone()).node(&apply(zoned("new")), Some(&before));
    let mut queued = BTreeSet::new();
    while let Ok(key) = receivers.policies.try_recv() {
        queued.insert(key.name);
    }
    assert_eq!(queued, keys("old new"));
}

/// The first time, and not again and again where somebody writes the Node all the time.
#[tokio::test]
async fn a_heartbeat_queues_a_node_whose_last_write_it_refused() {
    let Fixture { ctx, mut receivers, .. } = cluster();
    let triggers = Triggers::new(ctx.clone());
    let beat = |version: &str| {
        let mut beat = node("n1");
        beat["metadata"]["resourceVersion"] = json!(version);
        apply(beat)
    };
    triggers.node(&beat("8"), None);
    for (conflicts, is_queued) in [(0, false), (1, true), (2, false)] {
        while receivers.nodes.try_recv().is_ok() {}
        (0..conflicts.min(1)).for_each(|_| {
            ctx.backoffs.node_conflicts.failed("uid-n1");
        });
        triggers.node(&beat("9"), None);
        assert_eq!(receivers.nodes.try_recv().is_ok(), is_queued, "{conflicts} conflicts");
    }
}

#[tokio::test]
async fn a_heartbeat_queues_nothing() {
    let Fixture { ctx, mut receivers, .. } = cluster();
    let triggers = Triggers::new(ctx.clone());
    triggers.node(&apply(node("n1")), None);
    while receivers.nodes.try_recv().is_ok() {}
    let mut beat = node("n1");
    beat["metadata"]["resourceVersion"] = json!("9");
    triggers.node(&apply(beat), None);
    assert!(receivers.nodes.try_recv().is_err());
}

#[tokio::test]
async fn a_report_queues_its_node_and_so_does_its_deletion() {
    let report = || serde_json::from_value(report("n2", "Denied", "CanaryDenied")).unwrap();
    let wanted = keys("node/n2 policy/a policy/b");
    assert_eq!(queued(|triggers| triggers.report(&Event::Apply(report()))), wanted);
    assert_eq!(queued(|triggers| triggers.report(&Event::Delete(report()))), wanted);
}

/// The controller finds no Node of that name, so its turn does not begin.
#[tokio::test]
async fn a_report_without_a_node_does_not_keep_the_node_from_the_queue() {
    let fixture = cluster();
    let triggers = Triggers::new(fixture.ctx.clone());
    let early = serde_json::from_value(report("n9", "Denied", "CanaryDenied")).unwrap();
    triggers.report(&Event::Apply(early));
    let Fixture { mut receivers, .. } = fixture.with::<Node>(node("n9"));
    while receivers.nodes.try_recv().is_ok() {}
    triggers.node(&Event::InitDone, None);
    let mut queued = BTreeSet::new();
    while let Ok(key) = receivers.nodes.try_recv() {
        queued.insert(key.name);
    }
    assert!(queued.contains("n9"), "{queued:?}");
}

#[tokio::test]
async fn a_repaired_node_queues_the_daemon_sets_that_may_have_a_stale_agent() {
    let mut repaired = report("n2", "Denied", "CanaryDenied");
    repaired["status"]["deniedSince"] = json!("2026-01-01T00:00:00Z");
    let repaired = serde_json::from_value(repaired).unwrap();
    let wanted = keys("node/n2 policy/a policy/b ds/tetragon ds/left");
    assert_eq!(queued(|triggers| triggers.report(&Event::Apply(repaired))), wanted);
}

#[tokio::test]
async fn a_kernel_without_securityfs_queues_the_daemon_sets_when_that_changed() {
    let report = |securityfs: &str| -> LsmNode {
        let mut report = report("n2", "Denied", "CanaryDenied");
        report["status"]["securityfs"] = json!(securityfs);
        serde_json::from_value(report).unwrap()
    };
    let (lacks, has) = (|| report("NotInKernel"), || report("Mounted"));
    let (unchanged, changed) =
        (keys("node/n2 policy/a policy/b"), keys("node/n2 policy/a policy/b ds/tetragon ds/left"));
    assert_eq!(queued(|triggers| triggers.report(&Event::Apply(has()))), unchanged);
    assert_eq!(queued(|triggers| triggers.report(&Event::Apply(lacks()))), changed);
    // The keys that the second event queues, after the first.
    for (before, event, wanted) in [
        (Event::Apply(lacks()), Event::Apply(lacks()), &unchanged),
        (Event::Apply(lacks()), Event::Apply(has()), &changed),
        (Event::InitApply(lacks()), Event::Apply(has()), &changed),
        (Event::InitApply(lacks()), Event::Delete(lacks()), &changed),
    ] {
        let Fixture { ctx, mut receivers, .. } = cluster();
        let triggers = Triggers::new(ctx.clone());
        triggers.report(&before);
        while receivers.daemon_sets.try_recv().is_ok() {}
        triggers.report(&event);
        let queued = receivers.daemon_sets.try_recv().is_ok();
        assert_eq!(queued, wanted == &changed, "{before:?}, then {event:?}");
    }
}

#[tokio::test]
async fn a_deleted_policy_queues_everything_it_may_have_changed() {
    let gone = serde_json::from_value(policy("b", &json!({"tetragon": {}}))).unwrap();
    let wanted = keys("node/n1 node/n2 policy/a policy/b ds/tetragon ds/left");
    assert_eq!(queued(|triggers| triggers.policy(&Event::Delete(gone))), wanted);
}

#[tokio::test]
async fn a_policys_own_status_queues_only_itself() {
    let Fixture { ctx, mut receivers, .. } = cluster();
    let triggers = Triggers::new(ctx.clone());
    triggers.policy(&apply(policy("a", &json!({}))));
    while receivers.nodes.try_recv().is_ok() {}
    while receivers.policies.try_recv().is_ok() {}
    triggers.policy(&apply(policy("a", &json!({}))));
    assert!(receivers.nodes.try_recv().is_err());
    assert_eq!(receivers.policies.try_recv().unwrap().name, "a");
    assert!(receivers.policies.try_recv().is_err());
}

#[tokio::test]
async fn only_our_daemon_sets_are_queued() {
    let cases = [
        (daemon_set("tetragon", &json!({})), "ds/tetragon policy/b"),
        (daemon_set("left", &json!({names::DAEMON_SET_LABEL: "mounted"})), "ds/left"),
        (daemon_set("foreign", &json!({})), ""),
    ];
    for (object, wanted) in cases {
        assert_eq!(queued(|triggers| triggers.daemon_set(&apply(object))), keys(wanted));
    }
}

#[tokio::test]
async fn tracing_policies_queue_the_nodes_only_if_a_policy_requires_them() {
    assert_eq!(queued(Triggers::tracing_policies), keys("policy/a policy/b"));
    let requires = policy("c", &json!({"require": {"tracingPolicies": {}}}));
    let Fixture { ctx, mut receivers, .. } = cluster().with::<LsmPolicy>(requires);
    Triggers::new(ctx.clone()).tracing_policies();
    assert_eq!(receivers.nodes.try_recv().map(|_| ()), Ok(()));
}

#[tokio::test]
async fn a_fresh_list_queues_everything() {
    assert_eq!(
        queued(|triggers| triggers.node(&Event::InitDone, None)),
        keys("node/n1 node/n2 policy/a policy/b")
    );
    assert_eq!(
        queued(|triggers| triggers.daemon_set(&Event::InitDone)),
        keys("ds/tetragon ds/left policy/a policy/b")
    );
}

/// The first change after a list has to be compared with the list, not with an event before it.
#[tokio::test]
async fn a_change_back_to_the_state_before_a_list_is_queued() {
    let Fixture { ctx, mut receivers, .. } = cluster();
    let triggers = Triggers::new(ctx);
    let mut changed = node("n1");
    changed["metadata"]["labels"]["zone"] = json!("b");
    let listed = Event::InitApply(serde_json::from_value(changed).unwrap());
    for event in [apply(node("n1")), Event::Init, listed, Event::InitDone] {
        triggers.node(&event, None);
    }
    while receivers.nodes.try_recv().is_ok() {}
    triggers.node(&apply(node("n1")), None);
    assert_eq!(receivers.nodes.try_recv().unwrap().name, "n1");
}

/// A fresh list of reports has no event for the report that is gone or has changed meanwhile.
#[tokio::test]
async fn a_fresh_list_of_reports_queues_the_daemon_sets() {
    let wanted = keys("node/n1 node/n2 policy/a policy/b ds/tetragon ds/left");
    assert_eq!(queued(|triggers| triggers.report(&Event::InitDone)), wanted);
}
