//! The condition: reasons, messages, and a property.

use ConditionReason as R;
use State::{NotReady as False, Ready as True, Unknown};
use lsm_ready_crds::LsmNodeStatus;
use lsm_ready_crds::fixture;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::verdict::Facts;
use lsm_ready_tetragon::forecast::KnownNode;
use lsm_ready_tetragon::tracing_policy::KINDS;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tracing_policies::snapshot::channel;
use crate::tracing_policies::snapshot::tests::{
    entry, failed, listed, policy, unreadable, without_room,
};

const BOOT: &str = "b00t";

/// Requires the TracingPolicies of tier `enforce`.
fn requires() -> LsmPolicySpec {
    let selector = json!({"matchLabels": {"tier": "enforce"}});
    serde_json::from_value(json!({"require": {"tracingPolicies": selector}})).unwrap()
}

fn names_tetragon() -> LsmPolicySpec {
    serde_json::from_value(json!({"tetragon": {}})).unwrap()
}

fn profile() -> LsmHookProfileSpec {
    serde_json::from_value(
        json!({"kernel": "6.12 x86_64", "hooks": ["file_open"], "sleepableHooks": []}),
    )
    .unwrap()
}

fn report() -> LsmNodeStatus {
    let mut report = fixture::denied(BOOT);
    report.hook_profile = Some("d".to_owned());
    report.checks.push(fixture::kernel_reads(State::Ready));
    report
}

/// The selected nodes: how many have a hook profile, and how many do not.
#[derive(Clone, Copy)]
struct Selection {
    with_profile: usize,
    without_profile: usize,
}

const NO_NODES: Selection = Selection { with_profile: 0, without_profile: 0 };
const TWO: Selection = Selection { with_profile: 2, without_profile: 0 };
const TWO_AND_UNKNOWN: Selection = Selection { with_profile: 2, without_profile: 1 };

fn found(spec: &LsmPolicySpec, snapshot: &Snapshot, selection: Selection) -> Option<Finding> {
    let Selection { with_profile, without_profile } = selection;
    let (report, profile) = (report(), profile());
    let names: Vec<String> =
        (0..with_profile + without_profile).map(|number| format!("n{number:04}")).collect();
    let nodes = || {
        Nodes::of(names.iter().enumerate().map(|(number, name)| KnownNode {
            name,
            labels: None,
            facts: Facts {
                boot_id: BOOT,
                report: Some(&report),
                profile: (number < with_profile).then_some(&profile),
            },
        }))
    };
    finding(spec, snapshot, None, nodes).unwrap()
}

/// A policy that every kernel can load.
fn open(name: &str, tier: &str) -> (Name, Entry) {
    entry(name, tier, &["file_open"], &Value::Null)
}

/// A policy with a hook that no kernel has.
fn typo(name: &str, tier: &str) -> (Name, Entry) {
    entry(name, tier, &["file_open", "file_opn"], &Value::Null)
}

fn hookless() -> (Name, Entry) {
    entry("k", "enforce", &[], &Value::Null)
}

/// Neither CRD is installed.
fn absent() -> Snapshot {
    let (reader, writer) = channel();
    writer.absent(0);
    writer.absent(1);
    Snapshot::clone(&reader.snapshot())
}

fn forbidden() -> Snapshot {
    failed(ReadError::Forbidden(KINDS[0].1))
}

/// Checks one row.
fn check(
    what: &str,
    spec: &LsmPolicySpec,
    snapshot: &Snapshot,
    selection: Selection,
    expected: Option<(State, ConditionReason)>,
) {
    let found = found(spec, snapshot, selection);
    let reason = found.as_ref().map(|found| (found.status, found.reason));
    assert_eq!(reason, expected, "{what}: {found:?}");
}

#[test]
fn required_policies_are_judged_on_the_selected_nodes() {
    let one_bad = || listed([open("a", "enforce"), typo("b", "enforce")]);
    let other_bad = || listed([open("a", "enforce"), typo("b", "x")]);
    for (what, snapshot, selection, status, reason) in [
        ("all load", listed([open("a", "enforce")]), TWO, True, R::AllLoadable),
        ("one does not", one_bad(), TWO_AND_UNKNOWN, False, R::NotLoadable),
        ("that one is not selected", other_bad(), TWO, True, R::AllLoadable),
        (
            "no profile",
            listed([open("a", "enforce")]),
            TWO_AND_UNKNOWN,
            Unknown,
            R::LoadabilityUnknown,
        ),
        ("no nodes", listed([open("a", "enforce")]), NO_NODES, Unknown, R::LoadabilityUnknown),
        ("none selected", listed([open("a", "x")]), TWO, Unknown, R::NoneSelected),
        ("no CRD", absent(), TWO, Unknown, R::NoneSelected),
        ("no hooks", listed([hookless()]), TWO, True, R::AllLoadable),
    ] {
        check(what, &requires(), &snapshot, selection, Some((status, reason)));
    }
}

#[test]
fn required_policies_that_cannot_be_read_make_the_condition_unknown() {
    let with_unreadable = |policy| listed([policy, unreadable("u", "enforce")]);
    let error = failed(ReadError::Failed(KINDS[0].1, "500".into()));
    for (what, snapshot, status, reason) in [
        ("unreadable", with_unreadable(open("a", "enforce")), Unknown, R::InvalidTracingPolicy),
        ("another cannot load", with_unreadable(typo("a", "enforce")), False, R::NotLoadable),
        ("forbidden", forbidden(), Unknown, R::TracingPoliciesForbidden),
        ("an error", error, Unknown, R::TracingPoliciesUnread),
        ("not listed yet", Snapshot::default(), Unknown, R::TracingPoliciesUnread),
        ("no room for it", without_room(0), Unknown, R::TracingPoliciesUnread),
        ("no room in another namespace", without_room(1), Unknown, R::NoneSelected),
    ] {
        check(what, &requires(), &snapshot, TWO, Some((status, reason)));
    }
}

#[test]
fn without_required_policies_all_with_hooks_are_judged_if_the_policy_names_tetragon() {
    let forbidden_reason = Some((Unknown, R::TracingPoliciesForbidden));
    for (what, spec, snapshot, expected) in [
        ("all of them", names_tetragon(), listed([typo("a", "x")]), Some((False, R::NotLoadable))),
        ("no hooks", names_tetragon(), listed([hookless()]), None),
        ("no CRD", names_tetragon(), absent(), None),
        ("forbidden", names_tetragon(), forbidden(), forbidden_reason),
        ("no Tetragon", LsmPolicySpec::default(), listed([typo("a", "x")]), None),
    ] {
        check(what, &spec, &snapshot, TWO, expected);
    }
}

/// A policy on file_open with these actions, and with more fields in its spec.
fn with(actions: &Value, more: &Value) -> (Name, Entry) {
    let mut spec =
        json!({"lsmhooks": [{"hook": "file_open", "selectors": [{"matchActions": actions}]}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    policy("a", "enforce", &spec)
}

#[test]
fn the_spec_of_a_policy_is_judged_too() {
    let denies = |more: &Value| with(&json!([{"action": "Sigkill"}]), more);
    let posts = with(&json!([{"action": "Post"}]), &json!({}));
    let stack = with(&json!([{"action": "Post", "kernelStackTrace": true}]), &json!({}));
    let monitors = denies(&json!({"options": [{"name": "policy-mode", "value": "monitor"}]}));
    let two_sections = denies(&json!({"kprobes": [{"call": "b"}]}));
    let args = json!([{"index": 0, "type": "file", "resolve": "f_mode"}]);
    let resolve = denies(&json!({"lsmhooks": [{"hook": "file_open", "args": args}]}));
    let new_field = denies(&json!({"sandbox": {}}));
    let field_of_main = denies(&json!({"nodeSelector": {}}));
    for (entry, status, reason, text) in [
        (denies(&json!({})), True, R::AllLoadable, "1 of 1 TracingPolicies"),
        (posts, True, R::SomeDenyNothing, "a: no selector has an enforcing"),
        (monitors, True, R::SomeDenyNothing, "policy-mode is monitor"),
        (two_sections, False, R::NotLoadable, "a: spec: has kprobes and lsmhooks"),
        (stack, False, R::NotLoadable, "kernelStackTrace: is not supported"),
        (resolve, Unknown, R::LoadabilityUnknown, "resolve: \"f_mode\""),
        (new_field, Unknown, R::LoadabilityUnknown, "spec.sandbox"),
        (field_of_main, True, R::AllLoadable, ""),
    ] {
        let found = found(&requires(), &listed([entry]), TWO).unwrap();
        assert_eq!((found.status, found.reason), (status, reason), "{}", found.message);
        assert!(found.message.contains(text), "{text}: {}", found.message);
    }
}

#[test]
fn the_release_of_the_agents_decides_if_releases_differ() {
    let options = json!({"options": [{"name": "policy-mode", "value": "off"}]});
    let snapshot = listed([with(&json!([{"action": "Sigkill"}]), &options)]);
    let of = |version: Option<&str>| {
        let (report, profile) = (report(), profile());
        let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
        let nodes = || Nodes::of([KnownNode { name: "n", labels: None, facts }]);
        let version = version.map(|version| Version::parse(version).unwrap());
        finding(&requires(), &snapshot, version, nodes).unwrap().unwrap().reason
    };
    assert_eq!(of(Some("v1.1.0")), R::NotLoadable, "this release has no lsmhooks");
    assert_eq!(of(Some("v1.3.0")), R::AllLoadable, "this release has no modes");
    assert_eq!(of(Some("v1.7.0")), R::NotLoadable);
    assert_eq!(of(Some("v1.99.0")), R::LoadabilityUnknown, "this release is unknown");
    assert_eq!(of(None), R::LoadabilityUnknown);
}

#[test]
fn the_message_has_policies_hooks_and_counts() {
    let snapshot = listed([open("a", "enforce"), typo("b", "enforce")]);
    let selection = Selection { with_profile: 3, without_profile: 1 };
    let message = found(&requires(), &snapshot, selection).unwrap().message;
    assert_eq!(
        message,
        "1 of 2 TracingPolicies do not load: b loads on 0 of 4 nodes (file_opn: HookNotInKernel \
         on 3, for example n0000 n0001 n0002: kernel 6.12 x86_64: file_opn is not a hook of this \
         kernel; did you mean file_open?; file_open: HookProfileMissing on 1, for example n0003: \
         the node has published no hook profile, so the required hooks cannot be judged); \
         `kubectl lsm-ready preflight` shows every policy"
    );
}

proptest! {
    #[test]
    fn the_message_is_bounded_for_any_number_of_nodes_and_policies(
        policies in 1usize..60,
        with_profile in 0usize..300,
        hook in "[a-z_]{1,64}",
    ) {
        let snapshot = listed((0..policies).map(|number| {
            let hooks: Vec<String> = (0..8).map(|more| format!("{hook:.60}{more}")).collect();
            let hooks: Vec<&str> = hooks.iter().map(String::as_str).collect();
            entry(&format!("{}{number:02}", "p".repeat(250)), "enforce", &hooks, &Value::Null)
        }));
        let selection = Selection { with_profile, without_profile: 1 };
        let found = found(&requires(), &snapshot, selection).unwrap();
        prop_assert!(found.message.len() < 8 * 1024, "{}", found.message.len());
    }
}
