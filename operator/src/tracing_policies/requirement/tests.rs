//! Tables and properties of what is required of a node.

use lsm_ready_crds::LsmNodeStatus;
use lsm_ready_crds::State;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_tetragon::tracing_policy::KINDS;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tracing_policies::snapshot::Trouble;
use crate::tracing_policies::snapshot::tests::{entry, listed, policy, troubled, unreadable};

const BOOT: &str = "b00t";

fn spec(require: &Value) -> LsmPolicySpec {
    serde_json::from_value(json!({ "require": require })).unwrap()
}

fn enforce() -> LsmPolicySpec {
    spec(&json!({"tracingPolicies": {"matchLabels": {"tier": "enforce"}}}))
}

fn zone(zone: &str) -> Labels {
    Labels::from([("zone".to_owned(), zone.to_owned())])
}

fn profile() -> LsmHookProfileSpec {
    serde_json::from_value(json!({"kernel": "k", "hooks": ["file_open"], "sleepableHooks": []}))
        .unwrap()
}

fn report(evidence: &str) -> LsmNodeStatus {
    serde_json::from_value(
        json!({"bootID": BOOT, "evidence": evidence, "reason": "CanaryDenied", "hookProfile": "d",
        "checks": [{"name": "KernelReads", "outcome": "Pass"}]}),
    )
    .unwrap()
}

/// The verdict on a node that can do what `profile` says.
fn judge(
    spec: &LsmPolicySpec,
    known: &Snapshot,
    evidence: &str,
    labels: &Labels,
) -> (State, String) {
    let (report, profile) = (report(evidence), profile());
    let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
    let demand = Demand::of(spec, known).unwrap();
    let verdict = demand.verdict(labels, facts);
    assert_eq!(Verdicts::by(&demand).verdict(labels, facts), verdict);
    (verdict.state, verdict.reason)
}

fn is(state: State, reason: &str) -> (State, String) {
    (state, reason.to_owned())
}

#[test]
fn selected_policies_become_part_of_what_is_required() {
    let none = Value::Null;
    let good = entry("good", "enforce", &["file_open"], &none);
    let typo = |tier: &str| entry("typo", tier, &["file_opn"], &none);
    let left = entry("left", "enforce", &["file_opn"], &json!({"matchLabels": {"zone": "left"}}));
    let ready = is(State::Ready, "CanaryDenied");
    let lacking = is(State::NotReady, "HookNotInKernel");
    let unread = is(State::Unknown, "TracingPoliciesUnknown");
    let forbidden = troubled(Trouble::Forbidden(KINDS[0].1));
    let table = [
        ("it can", enforce(), listed([good.clone(), typo("observe")]), "Denied", ready.clone()),
        (
            "it cannot",
            enforce(),
            listed([good.clone(), typo("enforce")]),
            "Denied",
            lacking.clone(),
        ),
        ("nobody asks", spec(&json!({})), listed([typo("enforce")]), "Denied", ready.clone()),
        ("none is selected", enforce(), listed([]), "Denied", ready.clone()),
        ("for these nodes", enforce(), listed([left]), "Denied", lacking.clone()),
        ("not listed yet", enforce(), Snapshot::default(), "Denied", unread.clone()),
        (
            "nobody asks, and nothing is known",
            spec(&json!({})),
            Snapshot::default(),
            "Denied",
            ready,
        ),
        ("forbidden", enforce(), forbidden.clone(), "Denied", unread.clone()),
        (
            "what is shown comes first",
            enforce(),
            forbidden,
            "Attached",
            is(State::NotReady, "CanaryDenied"),
        ),
        (
            "unreadable",
            enforce(),
            listed([good.clone(), unreadable("u", "enforce")]),
            "Denied",
            unread,
        ),
        (
            "unreadable and another that lacks",
            enforce(),
            listed([typo("enforce"), unreadable("u", "enforce")]),
            "Denied",
            lacking,
        ),
        (
            "unreadable but not selected",
            enforce(),
            listed([good, unreadable("u", "observe")]),
            "Denied",
            is(State::Ready, "CanaryDenied"),
        ),
    ];
    for (what, spec, known, evidence, wanted) in table {
        assert_eq!(judge(&spec, &known, evidence, &zone("left")), wanted, "{what}");
    }
}

#[test]
fn a_policy_that_tetragon_refuses_asks_all_the_same() {
    let spec = json!({"lsmhooks": [{"hook": "file_opn"}], "kprobes": [{"call": "a"}]});
    let refused = listed([policy("p", "enforce", &spec)]);
    assert_eq!(
        judge(&enforce(), &refused, "Denied", &zone("left")),
        is(State::NotReady, "HookNotInKernel")
    );
}

#[test]
fn hashes_ask_for_nothing_before_linux_5_11() {
    let hash = json!([{"matchActions": [{"action": "Post", "imaHash": true}]}]);
    let known = listed([policy(
        "p",
        "enforce",
        &json!({"lsmhooks": [{"hook": "file_open", "selectors": hash}]}),
    )]);
    let demand = Demand::of(&enforce(), &known).unwrap();
    let report = report("Denied");
    for (kernel, state) in [("5.10.0 x86_64", State::Ready), ("6.12 x86_64", State::NotReady)] {
        let profile = LsmHookProfileSpec { kernel: kernel.into(), ..profile() };
        let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
        let verdict = demand.verdict(&Labels::new(), facts);
        assert_eq!(verdict.state, state, "{kernel}");
        assert_eq!(Verdicts::by(&demand).verdict(&Labels::new(), facts), verdict);
    }
}

#[test]
fn a_policy_for_other_nodes_asks_nothing_of_these() {
    let left = entry("left", "enforce", &["file_opn"], &json!({"matchLabels": {"zone": "left"}}));
    assert_eq!(
        judge(&enforce(), &listed([left]), "Denied", &zone("right")),
        is(State::Ready, "CanaryDenied")
    );
}

#[test]
fn a_selector_that_is_none_is_refused() {
    let near = json!({"tracingPolicies": {"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}});
    assert!(matches!(Demand::of(&spec(&near), &listed([])), Err(InvalidSpec::TracingPolicies(_))));
}

proptest! {
    /// To find the hooks' verdict once a profile changes no verdict, whatever the nodes and their order.
    #[test]
    fn the_verdicts_of_many_are_those_of_each(
        policies in prop::collection::vec(("enforce|observe", "file_open|task_alloc|other", prop::option::of("left|right")), 0..5),
        nodes in prop::collection::vec(("Denied|Attached", "left|right", any::<bool>()), 0..12),
    ) {
        let known = listed(policies.iter().enumerate().map(|(number, (tier, hook, only))| {
            let selector = only.as_ref().map_or(Value::Null, |only| json!({"matchLabels": {"zone": only}}));
            entry(&format!("p{number}"), tier, &[hook], &selector)
        }));
        let demand = Demand::of(&enforce(), &known).unwrap();
        let mut verdicts = Verdicts::by(&demand);
        let profile = profile();
        for (evidence, place, has_profile) in &nodes {
            let report = report(evidence);
            let facts = Facts { boot_id: BOOT, report: Some(&report), profile: has_profile.then_some(&profile) };
            prop_assert_eq!(verdicts.verdict(&zone(place), facts), demand.verdict(&zone(place), facts));
        }
    }
}
