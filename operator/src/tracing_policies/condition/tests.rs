//! Tables and properties of the condition.

use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::LsmNodeStatus;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::verdict::Facts;
use lsm_ready_tetragon::forecast::KnownNode;
use lsm_ready_tetragon::tracing_policy::KINDS;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tracing_policies::snapshot::tests::{
    entry, listed, policy as policy_entry, troubled, unreadable,
};

const BOOT: &str = "b00t";

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
    serde_json::from_value(json!({"bootID": BOOT, "evidence": "Denied", "hookProfile": "d",
        "checks": [{"name": "KernelReads", "outcome": "Pass"}]}))
    .unwrap()
}

/// The condition with `with` nodes that have the profile and `without` that have none.
fn found(spec: &LsmPolicySpec, known: &Snapshot, with: usize, without: usize) -> Option<Finding> {
    let (report, profile) = (report(), profile());
    let names: Vec<String> = (0..with + without).map(|number| format!("n{number:04}")).collect();
    let nodes = || {
        Nodes::of(names.iter().enumerate().map(|(number, name)| KnownNode {
            name,
            labels: None,
            facts: Facts {
                boot_id: BOOT,
                report: Some(&report),
                profile: (number < with).then_some(&profile),
            },
        }))
    };
    finding(spec, known, None, nodes).unwrap()
}

fn open(name: &str, tier: &str) -> (Name, Entry) {
    entry(name, tier, &["file_open"], &Value::Null)
}

fn typo(name: &str, tier: &str) -> (Name, Entry) {
    entry(name, tier, &["file_open", "file_opn"], &Value::Null)
}

#[test]
fn table() {
    use State::{NotReady as False, Ready as True, Unknown};
    let hookless = entry("k", "enforce", &[], &Value::Null);
    let forbidden = troubled(Trouble::Forbidden(KINDS[0].1));
    let unread = troubled(Trouble::Unread(KINDS[0].1, "500".into()));
    let absent = {
        let (known, writer) = crate::tracing_policies::snapshot::known();
        writer.absent(0);
        writer.absent(1);
        Snapshot::clone(&known.snapshot())
    };
    let table = [
        (
            "all",
            requires(),
            listed([open("a", "enforce")]),
            (2, 0),
            Some((True, ConditionReason::AllLoadable)),
        ),
        (
            "one does not",
            requires(),
            listed([open("a", "enforce"), typo("b", "enforce")]),
            (2, 1),
            Some((False, ConditionReason::NotLoadable)),
        ),
        (
            "that one is not selected",
            requires(),
            listed([open("a", "enforce"), typo("b", "x")]),
            (2, 0),
            Some((True, ConditionReason::AllLoadable)),
        ),
        (
            "no profile",
            requires(),
            listed([open("a", "enforce")]),
            (2, 1),
            Some((Unknown, ConditionReason::LoadabilityUnknown)),
        ),
        (
            "no nodes",
            requires(),
            listed([open("a", "enforce")]),
            (0, 0),
            Some((Unknown, ConditionReason::LoadabilityUnknown)),
        ),
        (
            "none selected",
            requires(),
            listed([open("a", "x")]),
            (2, 0),
            Some((Unknown, ConditionReason::NoneSelected)),
        ),
        (
            "no CRD",
            requires(),
            absent.clone(),
            (2, 0),
            Some((Unknown, ConditionReason::NoneSelected)),
        ),
        (
            "no hooks",
            requires(),
            listed([hookless.clone()]),
            (2, 0),
            Some((True, ConditionReason::AllLoadable)),
        ),
        (
            "unreadable",
            requires(),
            listed([open("a", "enforce"), unreadable("u", "enforce")]),
            (2, 0),
            Some((Unknown, ConditionReason::InvalidTracingPolicy)),
        ),
        (
            "shown comes first",
            requires(),
            listed([typo("a", "enforce"), unreadable("u", "enforce")]),
            (2, 0),
            Some((False, ConditionReason::NotLoadable)),
        ),
        (
            "forbidden",
            requires(),
            forbidden.clone(),
            (2, 0),
            Some((Unknown, ConditionReason::TracingPoliciesForbidden)),
        ),
        (
            "an error",
            requires(),
            unread,
            (2, 0),
            Some((Unknown, ConditionReason::TracingPoliciesUnread)),
        ),
        (
            "not yet",
            requires(),
            Snapshot::default(),
            (2, 0),
            Some((Unknown, ConditionReason::TracingPoliciesUnread)),
        ),
        (
            "Tetragon, all of them",
            names_tetragon(),
            listed([typo("a", "x")]),
            (2, 0),
            Some((False, ConditionReason::NotLoadable)),
        ),
        ("Tetragon, no hooks", names_tetragon(), listed([hookless]), (2, 0), None),
        ("Tetragon, no CRD", names_tetragon(), absent, (2, 0), None),
        (
            "Tetragon, forbidden",
            names_tetragon(),
            forbidden,
            (2, 0),
            Some((Unknown, ConditionReason::TracingPoliciesForbidden)),
        ),
        ("neither", LsmPolicySpec::default(), listed([typo("a", "x")]), (2, 0), None),
    ];
    for (what, spec, known, (with, without), wanted) in table {
        let found = found(&spec, &known, with, without);
        let wanted = wanted.map(|(status, reason)| (status, reason.to_owned()));
        assert_eq!(
            found.as_ref().map(|found| (found.status, found.reason.clone())),
            wanted,
            "{what}: {found:?}"
        );
    }
}

/// A policy with that spec beside `lsmhooks` on file_open, which denies unless `actions` says otherwise.
fn with(name: &str, actions: &Value, more: &Value) -> (Name, Entry) {
    let mut spec =
        json!({"lsmhooks": [{"hook": "file_open", "selectors": [{"matchActions": actions}]}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    policy_entry(name, "enforce", &spec)
}

#[test]
fn the_text_of_a_policy_is_judged_too() {
    use State::{NotReady as False, Ready as True, Unknown};
    let denies = json!([{"action": "Sigkill"}]);
    let posts = json!([{"action": "Post"}]);
    let stack = json!([{"action": "Post", "kernelStackTrace": true}]);
    let monitor = json!({"options": [{"name": "policy-mode", "value": "monitor"}]});
    let resolve = json!({"lsmhooks": [{"hook": "file_open", "args": [{"index": 0, "type": "file", "resolve": "f_mode"}]}]});
    let table = [
        (
            "denies",
            with("a", &denies, &json!({})),
            True,
            ConditionReason::AllLoadable,
            "1 of 1 TracingPolicies",
        ),
        (
            "posts",
            with("a", &posts, &json!({})),
            True,
            ConditionReason::SomeDenyNothing,
            "a: no selector has an enforcing",
        ),
        (
            "monitors",
            with("a", &denies, &monitor),
            True,
            ConditionReason::SomeDenyNothing,
            "policy-mode is monitor",
        ),
        (
            "two sections",
            with("a", &denies, &json!({"kprobes": [{"call": "b"}]})),
            False,
            ConditionReason::NotLoadable,
            "a: spec: has kprobes and lsmhooks",
        ),
        (
            "a stack",
            with("a", &stack, &json!({})),
            False,
            ConditionReason::NotLoadable,
            "kernelStackTrace: is not supported",
        ),
        (
            "resolve",
            with("a", &denies, &resolve),
            Unknown,
            ConditionReason::LoadabilityUnknown,
            "resolve: \"f_mode\"",
        ),
        (
            "a new field",
            with("a", &denies, &json!({"sandbox": {}})),
            Unknown,
            ConditionReason::LoadabilityUnknown,
            "spec.sandbox",
        ),
        (
            "a field of main",
            with("a", &denies, &json!({"nodeSelector": {}})),
            True,
            ConditionReason::AllLoadable,
            "",
        ),
    ];
    for (what, entry, status, reason, said) in table {
        let found = found(&requires(), &listed([entry]), 2, 0).unwrap();
        assert_eq!((found.status, found.reason), (status, reason), "{what}: {}", found.message);
        assert!(found.message.contains(said), "{what}: {}", found.message);
    }
}

#[test]
fn the_release_of_the_agents_decides_where_releases_differ() {
    let known = listed([with(
        "a",
        &json!([{"action": "Sigkill"}]),
        &json!({"options": [{"name": "policy-mode", "value": "off"}]}),
    )]);
    let of = |version: Option<&str>| {
        let (report, profile) = (report(), profile());
        let facts = Facts { boot_id: BOOT, report: Some(&report), profile: Some(&profile) };
        let nodes = || Nodes::of([KnownNode { name: "n", labels: None, facts }]);
        let version = version.map(|version| Version::parse(version).unwrap());
        finding(&requires(), &known, version, nodes).unwrap().unwrap().reason
    };
    assert_eq!(of(Some("v1.1.0")), ConditionReason::NotLoadable, "no lsmhooks at all");
    assert_eq!(of(Some("v1.3.0")), ConditionReason::AllLoadable, "it has no modes");
    assert_eq!(of(Some("v1.7.0")), ConditionReason::NotLoadable);
    assert_eq!(
        of(Some("v1.99.0")),
        ConditionReason::LoadabilityUnknown,
        "a release that is not known here"
    );
    assert_eq!(of(None), ConditionReason::LoadabilityUnknown);
}

#[test]
fn the_message_has_policies_hooks_and_counts() {
    let message = found(&requires(), &listed([open("a", "enforce"), typo("b", "enforce")]), 3, 1)
        .unwrap()
        .message;
    assert_eq!(
        message,
        "1 of 2 TracingPolicies do not load: b loads on 0 of 4 nodes (file_opn HookNotInKernel on 3, as n0000 \
         n0001 n0002: kernel 6.12 x86_64: file_opn is not a hook of this kernel; did you mean file_open?, file_open \
         HookProfileMissing on 1, as n0003: the node has published no hook profile, so the required hooks cannot be judged); \
         `kubectl lsm-ready preflight` tells of each"
    );
}

proptest! {
    /// Its size does not grow with the cluster, nor with the policies.
    #[test]
    fn the_message_is_bounded(policies in 1usize..60, with in 0usize..300, hook in "[a-z_]{1,64}") {
        let known = listed((0..policies).map(|number| {
            let hooks: Vec<String> = (0..8).map(|more| format!("{hook:.60}{more}")).collect();
            let hooks: Vec<&str> = hooks.iter().map(String::as_str).collect();
            entry(&format!("{}{number:02}", "p".repeat(250)), "enforce", &hooks, &Value::Null)
        }));
        let found = found(&requires(), &known, with, 1).unwrap();
        prop_assert!(found.message.len() < 8 * 1024, "{}", found.message.len());
    }
}
