//! What is required of a node: tables and a property.

use lsm_ready_crds::LsmNodeStatus;
use lsm_ready_crds::State;
use lsm_ready_crds::fixture;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_tetragon::tracing_policy::hook_requirements::MAX_HOOKS;
use lsm_ready_tetragon::tracing_policy::{KINDS, Name};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tracing_policies::snapshot::ReadError;
use crate::tracing_policies::snapshot::tests::{
    entry, failed, listed, policy, unreadable, without_room,
};

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
    let reason = if evidence == "Denied" { "CanaryDenied" } else { "BpfNotInLsmList" };
    let mut report = fixture::report(BOOT, fixture::evidence(evidence), reason);
    report.hook_profile = Some("d".to_owned());
    report.checks.push(fixture::kernel_reads(State::Ready));
    report
}

/// The verdict on a node with `profile`.
fn judge(
    spec: &LsmPolicySpec,
    snapshot: &Snapshot,
    evidence: &str,
    labels: &Labels,
) -> (State, String) {
    let (report, profile) = (report(evidence), profile());
    let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
    let requirement = Requirement::of(spec, snapshot).unwrap();
    let verdict = requirement.verdict(labels, facts);
    assert_eq!(requirement.verdict(labels, facts), verdict, "the cache changes nothing");
    (verdict.state, verdict.reason)
}

fn is(state: State, reason: &str) -> (State, String) {
    (state, reason.to_owned())
}

/// The verdict with these TracingPolicies on a node in zone `left` with evidence `Denied`.
fn denied(spec: &LsmPolicySpec, snapshot: &Snapshot) -> (State, String) {
    judge(spec, snapshot, "Denied", &zone("left"))
}

fn good() -> (Name, Entry) {
    entry("good", "enforce", &["file_open"], &Value::Null)
}

/// A policy with a hook that no kernel has.
fn typo(tier: &str) -> (Name, Entry) {
    entry("typo", tier, &["file_opn"], &Value::Null)
}

#[test]
fn selected_policies_become_part_of_the_requirement() {
    let left = entry("left", "enforce", &["file_opn"], &json!({"matchLabels": {"zone": "left"}}));
    let nothing_required = spec(&json!({}));
    let ready = is(State::Ready, "CanaryDenied");
    let no_hook = is(State::NotReady, "HookNotInKernel");
    for (what, spec, snapshot, expected) in [
        ("another is not selected", enforce(), listed([good(), typo("observe")]), &ready),
        ("one cannot load", enforce(), listed([good(), typo("enforce")]), &no_hook),
        ("nothing is required", nothing_required, listed([typo("enforce")]), &ready),
        ("none is selected", enforce(), listed([]), &ready),
        ("one for this zone cannot load", enforce(), listed([left]), &no_hook),
    ] {
        assert_eq!(denied(&spec, &snapshot), *expected, "{what}");
    }
}

#[test]
fn with_unknown_policies_a_ready_node_is_unknown() {
    let not_selected = || unreadable("u", "observe");
    let selected = || unreadable("u", "enforce");
    let nothing_required = spec(&json!({}));
    let forbidden = failed(ReadError::Forbidden(KINDS[0].1));
    let ready = is(State::Ready, "CanaryDenied");
    let no_hook = is(State::NotReady, "HookNotInKernel");
    let unknown = is(State::Unknown, "TracingPoliciesUnknown");
    for (what, spec, snapshot, expected) in [
        ("not listed yet", enforce(), Snapshot::default(), &unknown),
        ("nothing is required", nothing_required, Snapshot::default(), &ready),
        ("forbidden", enforce(), forbidden.clone(), &unknown),
        ("one is unreadable", enforce(), listed([good(), selected()]), &unknown),
        ("another cannot load", enforce(), listed([typo("enforce"), selected()]), &no_hook),
        ("the unreadable one is not selected", enforce(), listed([good(), not_selected()]), &ready),
    ] {
        assert_eq!(denied(&spec, &snapshot), *expected, "{what}");
    }
    // Evidence that is not enough counts more.
    let attached = judge(&enforce(), &forbidden, "Attached", &zone("left"));
    assert_eq!(attached, is(State::NotReady, "BpfNotInLsmList"));
}

#[test]
fn a_policy_that_tetragon_refuses_still_requires_its_hooks() {
    let spec = json!({"lsmhooks": [{"hook": "file_opn"}], "kprobes": [{"call": "a"}]});
    let refused = listed([policy("p", "enforce", &spec)]);
    assert_eq!(
        judge(&enforce(), &refused, "Denied", &zone("left")),
        is(State::NotReady, "HookNotInKernel")
    );
}

#[test]
fn hashes_require_nothing_before_linux_5_11() {
    let hash = json!([{"matchActions": [{"action": "Post", "imaHash": true}]}]);
    let snapshot = listed([policy(
        "p",
        "enforce",
        &json!({"lsmhooks": [{"hook": "file_open", "selectors": hash}]}),
    )]);
    let requirement = Requirement::of(&enforce(), &snapshot).unwrap();
    let mut report = report("Denied");
    for (kernel, state) in [("5.10.0 x86_64", State::Ready), ("6.12 x86_64", State::NotReady)] {
        let profile = LsmHookProfileSpec { kernel: kernel.into(), ..profile() };
        report.hook_profile = Some(profile.digest());
        let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
        let verdict = requirement.verdict(&Labels::new(), facts);
        assert_eq!(verdict.state, state, "{kernel}");
    }
}

#[test]
fn a_policy_for_other_nodes_requires_nothing() {
    let left = entry("left", "enforce", &["file_opn"], &json!({"matchLabels": {"zone": "left"}}));
    assert_eq!(
        judge(&enforce(), &listed([left]), "Denied", &zone("right")),
        is(State::Ready, "CanaryDenied")
    );
}

#[test]
fn an_invalid_selector_is_refused() {
    let expression = json!({"key": "a", "operator": "Near", "values": ["b"]});
    let near = spec(&json!({"tracingPolicies": {"matchExpressions": [expression]}}));
    let error = Requirement::of(&near, &listed([])).unwrap_err();
    assert!(matches!(error, InvalidSpec::TracingPolicies(_)));
}

proptest! {
    /// Judging the hooks once for each profile changes no verdict, for any nodes in any order.
    #[test]
    fn verdicts_for_many_nodes_equal_the_verdict_for_each(
        policies in prop::collection::vec(
            ("enforce|observe", "file_open|task_alloc|other", prop::option::of("left|right")),
            0..5,
        ),
        nodes in prop::collection::vec(("Denied|Attached", "left|right", any::<bool>()), 0..12),
    ) {
        let snapshot = listed(policies.iter().enumerate().map(|(number, (tier, hook, only))| {
            let zone = |only| json!({"matchLabels": {"zone": only}});
            let selector = only.as_ref().map_or(Value::Null, zone);
            entry(&format!("p{number}"), tier, &[hook], &selector)
        }));
        let requirement = Requirement::of(&enforce(), &snapshot).unwrap();
        let profile = profile();
        for (evidence, place, has_profile) in &nodes {
            let report = report(evidence);
            let profile = has_profile.then_some(&profile);
            let facts = Facts { boot_id: BOOT, report: Some(&report), profile };
            let alone = Requirement::of(&enforce(), &snapshot).unwrap();
            let expected = alone.verdict(&zone(place), facts);
            prop_assert_eq!(requirement.verdict(&zone(place), facts), expected);
        }
    }
}

/// A snapshot with a namespaced policy, which names a hook that no kernel has.
fn namespaced() -> Snapshot {
    let (_, entry) = typo("enforce");
    let name = Name { namespace: Some("tenant".to_owned()), name: "typo".to_owned() };
    listed([good(), (name, entry)])
}

#[test]
fn namespaced_policies_count_only_where_the_policy_asks_for_them() {
    let ask =
        |value: &str| spec(&json!({"tracingPolicies": {}, "namespacedTracingPolicies": value}));
    assert_eq!(denied(&enforce(), &namespaced()), is(State::Ready, "CanaryDenied"));
    assert_eq!(denied(&ask("Ignore"), &namespaced()), is(State::Ready, "CanaryDenied"));
    assert_eq!(denied(&ask("Require"), &namespaced()), is(State::NotReady, "HookNotInKernel"));
}

#[test]
fn the_hooks_are_judged_once_for_all_nodes_with_a_profile() {
    let left = entry("left", "enforce", &["file_opn"], &json!({"matchLabels": {"zone": "left"}}));
    let requirement = Requirement::of(&enforce(), &listed([good(), left])).unwrap();
    let (report, profile) = (report("Denied"), profile());
    let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
    for node in 0..1000 {
        let labels = zone(if node % 2 == 0 { "left" } else { "right" });
        requirement.verdict(&labels, facts);
    }
    assert_eq!(requirement.judged.lock().by_key.len(), 2);
}

#[test]
fn a_policy_without_room_in_memory_is_unknown_and_not_without_requirements() {
    let namespaced = spec(&json!({"tracingPolicies": {"matchLabels": {"tier": "enforce"}},
        "namespacedTracingPolicies": "Require"}));
    let unknown = is(State::Unknown, "TracingPoliciesUnknown");
    let ready = is(State::Ready, "CanaryDenied");
    let nothing_required = spec(&json!({}));
    for (spec, kind, expected) in [
        (&enforce(), 0, &unknown),
        (&enforce(), 1, &ready),
        (&namespaced, 1, &unknown),
        (&nothing_required, 0, &ready),
    ] {
        assert_eq!(denied(spec, &without_room(kind)), *expected, "kind {kind}");
    }
    let why = without_room(0).left_out(false).unwrap();
    assert!(why.starts_with("1 of 1 tracingpolicies are not read: the oldest are, "), "{why}");
}

/// Each node has a TracingPolicy of its own, and each TracingPolicy hundreds of hooks.
#[test]
fn the_verdicts_that_are_kept_name_a_bounded_number_of_hooks() {
    let policies = (0..80).map(|number| {
        let names: Vec<String> = (0..500).map(|hook| format!("h{number}_{hook}")).collect();
        let hooks: Vec<&str> = names.iter().map(String::as_str).collect();
        let zone = json!({"matchLabels": {"zone": number.to_string()}});
        entry(&format!("p{number}"), "enforce", &hooks, &zone)
    });
    let requirement = Requirement::of(&enforce(), &listed(policies)).unwrap();
    let (report, profile) = (report("Denied"), profile());
    let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
    for number in 0..80 {
        let verdict = requirement.verdict(&zone(&number.to_string()), facts);
        assert_eq!(verdict.reason, "HookNotInKernel");
    }
    let known = requirement.judged.lock();
    assert!((1..80).contains(&known.by_key.len()), "{}", known.by_key.len());
    assert!(known.names <= MAX_JUDGED_NAMES, "{}", known.names);
}

/// All TracingPolicies together name more hooks than any kernel has.
#[test]
fn what_all_policies_require_together_is_bounded() {
    let policies = (0..20).map(|number| {
        let names: Vec<String> = (0..100).map(|hook| format!("h{number}_{hook}")).collect();
        let hooks: Vec<&str> = names.iter().map(String::as_str).collect();
        entry(&format!("p{number}"), "enforce", &hooks, &Value::Null)
    });
    let snapshot = listed(policies);
    let requirement = Requirement::of(&enforce(), &snapshot).unwrap();
    assert_eq!(requirement.of_all_nodes.hooks.len(), MAX_HOOKS);
    assert_eq!(denied(&enforce(), &snapshot), is(State::NotReady, "HookNotInKernel"));
}
