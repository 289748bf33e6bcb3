//! Whatever changes, the counts are those of judging every node anew.

use k8s_openapi::api::core::v1::Node;
use kube_runtime::watcher::Event;
use lsm_ready_crds::LsmNode;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::context::fixture::{Fixture, node, policy, report};

/// A change of one node.
#[derive(Clone, Copy, Debug)]
enum Change {
    Node {
        pool: bool,
        label: bool,
        taint: bool,
    },
    NodeGone,
    Report(usize),
    ReportGone,
    /// All nodes are listed again, without this one.
    Listed,
}

const REPORTS: [(&str, &str); 4] = [
    ("Denied", "CanaryDenied"),
    ("Attached", "BpfNotInLsmList"),
    ("Loaded", "AttachRefused"),
    ("Attached", "ReasonOfAnotherVersion"),
];
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const LABEL: &str = "lsmready.node-restriction.kubernetes.io/policy.p";

fn changes() -> impl Strategy<Value = (usize, Change)> {
    let change = prop_oneof![
        4 => (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(pool, label, taint)| Change::Node { pool, label, taint }),
        1 => Just(Change::NodeGone),
        4 => (0..REPORTS.len()).prop_map(Change::Report),
        1 => Just(Change::ReportGone),
        1 => Just(Change::Listed),
    ];
    (0..NAMES.len(), change)
}

fn node_with(name: &str, pool: bool, label: bool, taint: bool) -> Value {
    let mut node = node(name);
    if pool {
        node["metadata"]["labels"]["pool"] = json!("p");
    }
    if label {
        node["metadata"]["labels"][LABEL] = json!("ready");
    }
    if taint {
        node["spec"]["taints"] = json!([{"key": "lsmready.io/not-ready", "effect": "NoSchedule"}]);
    }
    node
}

fn apply(fixture: Fixture, name: &str, change: Change) -> Fixture {
    match change {
        Change::Node { pool, label, taint } => {
            fixture.with::<Node>(node_with(name, pool, label, taint))
        }
        Change::Report(which) => {
            fixture.with::<LsmNode>(report(name, REPORTS[which].0, REPORTS[which].1))
        }
        Change::NodeGone => fixture.with_event::<Node>(node(name), Event::Delete),
        Change::ReportGone => fixture.with_event::<LsmNode>(report(name, "", ""), Event::Delete),
        Change::Listed => {
            let others = NAMES.into_iter().filter(|other| *other != name);
            let nodes: Vec<Value> =
                others.map(|other| node_with(other, true, false, false)).collect();
            fixture.with_list::<Node>(&nodes)
        }
    }
}

fn standing(census: &Census, policy: &LsmPolicy, ctx: &Context) -> Standing {
    let selection = Selection::of(&policy.spec).unwrap();
    let snapshot = ctx.stores.tracing_policies.snapshot();
    let requirement = Requirement::of(&policy.spec, &snapshot).unwrap();
    let parsed =
        Parsed { selection: &selection, requirement: &requirement, tracing_policies: &snapshot };
    census.standing(policy, parsed, ctx)
}

proptest! {
    #[test]
    fn the_counts_are_those_of_judging_every_node_anew(
        steps in prop::collection::vec((changes(), any::<bool>()), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let spec = json!({"nodeSelector": {"matchLabels": {"pool": "p"}},
            "taint": {"effect": "NoSchedule"}});
        let policy: LsmPolicy = serde_json::from_value(policy("p", &spec)).unwrap();
        let census = Census::default();
        let mut fixture = Fixture::new();
        for ((place, change), is_counted) in steps {
            fixture = apply(fixture, NAMES[place], change);
            if is_counted {
                let kept = standing(&census, &policy, &fixture.ctx);
                prop_assert_eq!(kept, standing(&Census::default(), &policy, &fixture.ctx));
            }
        }
    }
}

#[tokio::test]
async fn a_changed_spec_is_counted_anew() {
    let fixture = Fixture::new().with::<Node>(node("a")).with::<LsmNode>(report(
        "a",
        "Attached",
        "BpfNotInLsmList",
    ));
    let census = Census::default();
    for (spec, ready) in [
        (json!({}), 0),
        (json!({"require": {"evidence": "Attached"}}), 1),
        (json!({"nodeSelector": {"matchLabels": {"pool": "none"}}}), 0),
    ] {
        let policy: LsmPolicy = serde_json::from_value(policy("p", &spec)).unwrap();
        let Standing { tally, progress } = standing(&census, &policy, &fixture.ctx);
        assert_eq!(tally.counts().ready, ready, "{spec}");
        assert_eq!(progress.selected, tally.selected());
    }
}

#[tokio::test]
async fn nodes_that_are_gone_take_no_place_for_ever() {
    let policy: LsmPolicy = serde_json::from_value(policy("p", &json!({}))).unwrap();
    let census = Census::default();
    let mut fixture = Fixture::new();
    for round in 0..4 {
        let nodes: Vec<Value> =
            (0..100).map(|number| node(&format!("n{round}-{number}"))).collect();
        fixture = fixture.with_list::<Node>(&nodes);
        assert_eq!(standing(&census, &policy, &fixture.ctx).tally.selected(), 100);
    }
    assert!(census.0.lock().places.len() <= 300);
    census.retain(|_| false);
    assert_eq!(census.0.lock().places.len(), 0);
}
