//! The truth table: states, modes, ways of asking, and where a policy is.

use std::collections::BTreeMap;

use crate::tetragon_client::StateCounts;
use serde_json::{Value, json};

use super::*;
use crate::tracing_policies::snapshot::Snapshot;
use crate::tracing_policies::snapshot::tests::{object, with_wishes};
use lsm_ready_crds::selection::Labels;

const DENIES: &str = r#"{"lsmhooks": [{"hook": "file_open", "selectors": [{"matchActions": [{"action": "Sigkill"}]}]}]}"#;

/// A cluster with these policies.
fn cluster(policies: &[(&str, Value)]) -> Snapshot {
    with_wishes(
        policies
            .iter()
            .map(|(name, spec)| object(&json!({"metadata": {"name": name}, "spec": spec}))),
    )
}

fn denies() -> Value {
    serde_json::from_str(DENIES).unwrap()
}

fn monitors() -> Value {
    let mut spec = denies();
    spec["options"] = json!([{"name": "policy-mode", "value": "monitor"}]);
    spec
}

fn elsewhere() -> Value {
    let mut spec = denies();
    spec["nodeSelector"] = json!({"matchLabels": {"zone": "b"}});
    spec
}

fn only_reports() -> Value {
    json!({"lsmhooks": [{"hook": "file_open"}]})
}

/// Its action makes a call fail whose value the kernel ignores.
fn overrides_nothing() -> Value {
    let action = json!({"action": "Override", "argError": -1});
    json!({"lsmhooks": [{"hook": "task_free", "selectors": [{"matchActions": [action]}]}]})
}

/// Only its macro has an action that denies, so the agent sets the mode monitor_only.
fn denies_by_macro() -> Value {
    json!({"lsmhooks": [{"hook": "file_open", "selectors": [{"macros": ["kill"]}]}],
        "selectorsMacros": {"kill": {"matchActions": [{"action": "Sigkill"}]}}})
}

fn observes() -> Value {
    json!({"kprobes": [{"call": "sys_write", "syscall": true}]})
}

fn name(name: &str) -> PolicyName {
    PolicyName { namespace: None, name: name.into() }
}

fn grpc(policies: &[(&str, PolicyState, Option<Mode>)]) -> Answer {
    let answer = |(policy, state, mode): &(&str, PolicyState, Option<Mode>)| {
        (
            name(policy),
            PolicyStatus {
                state: *state,
                mode: *mode,
                error: String::new(),
                failed_hooks: Vec::new(),
            },
        )
    };
    let counts: StateCounts = policies.iter().map(|(_, state, _)| (*state, 1)).collect();
    Answer {
        policies: policies.iter().map(answer).collect(),
        counts,
        ..Answer::empty(Source::Grpc)
    }
}

fn metrics(named: &[&str], counts: &[(PolicyState, u64)]) -> Answer {
    let named = Some(named.iter().map(|policy| name(policy)).collect());
    Answer { named, counts: counts.iter().copied().collect(), ..Answer::empty(Source::Metrics) }
}

/// Settings of a row: chosen by spec.require.tracingPolicies; the release has modes.
#[derive(Clone, Copy, Debug)]
struct With {
    chosen: bool,
    has_modes: bool,
}

const USUAL: With = With { chosen: false, has_modes: true };
const BEFORE_1_4: With = With { chosen: false, has_modes: false };
const CHOSEN: With = With { chosen: true, has_modes: true };

fn found(cluster: &Snapshot, with: With, answer: &Answer) -> Vec<(Option<String>, Found)> {
    let catalogue = Catalogue::of(cluster);
    let places = catalogue.places(&Labels::from([("zone".to_owned(), "a".to_owned())]));
    let judged = vec![true; places.len()];
    let scope = Scope {
        catalogue: &catalogue,
        judged: &judged,
        chosen: with.chosen,
        has_modes: with.has_modes,
    };
    let findings = scope.findings(&places, answer);
    findings
        .into_iter()
        .map(|finding| (finding.policy.map(ToString::to_string), finding.found))
        .collect()
}

#[test]
fn each_state_by_grpc() {
    let cluster = cluster(&[("p", denies())]);
    let table: BTreeMap<PolicyState, Found> = [
        (PolicyState::Enabled, Found::Denying),
        (PolicyState::Disabled, Found::Disabled),
        (PolicyState::LoadError, Found::Failed),
        (PolicyState::Error, Found::Failed),
        (PolicyState::Loading, Found::Loading),
        (PolicyState::Unloading, Found::Loading),
        (PolicyState::Skipped, Found::Skipped),
        (PolicyState::PartiallyEnabled, Found::Partial),
        (PolicyState::Unclear, Found::Unclear),
    ]
    .into();
    for state in PolicyState::ALL {
        for mode in [Mode::Enforce, Mode::Monitor, Mode::MonitorOnly] {
            // Only an enabled policy's mode says something.
            let expected = if state == PolicyState::Enabled && mode != Mode::Enforce {
                Found::MonitorMode
            } else {
                table[&state]
            };
            let answer = grpc(&[("p", state, Some(mode))]);
            assert_eq!(
                found(&cluster, USUAL, &answer),
                [(Some("p".into()), expected)],
                "{state:?} {mode:?}"
            );
        }
    }
}

#[test]
fn each_mode_and_kind_of_policy_by_grpc() {
    use Found::{Denying, ModeUnknown, MonitorMode, NoEnforcingAction, Observing};
    let (enforce, monitor) = (Some(Mode::Enforce), Some(Mode::Monitor));
    let table = [
        (denies(), USUAL, enforce, Denying),
        (denies(), USUAL, monitor, MonitorMode),
        (denies(), USUAL, Some(Mode::Unclear), ModeUnknown),
        (denies(), USUAL, None, ModeUnknown),
        (denies(), BEFORE_1_4, None, Denying),
        (denies(), BEFORE_1_4, monitor, MonitorMode),
        // What the agent says counts more than what the policy asks for.
        (monitors(), USUAL, enforce, Denying),
        (monitors(), USUAL, monitor, MonitorMode),
        (monitors(), USUAL, None, MonitorMode),
        // Releases before 1.4 pass over the option.
        (monitors(), BEFORE_1_4, None, Denying),
        (only_reports(), USUAL, enforce, NoEnforcingAction),
        (only_reports(), USUAL, Some(Mode::MonitorOnly), NoEnforcingAction),
        (only_reports(), BEFORE_1_4, None, NoEnforcingAction),
        (overrides_nothing(), USUAL, enforce, NoEnforcingAction),
        (denies_by_macro(), USUAL, Some(Mode::MonitorOnly), MonitorMode),
        (denies_by_macro(), USUAL, None, MonitorMode),
        (observes(), USUAL, enforce, Observing),
        (observes(), USUAL, monitor, Observing),
        (observes(), CHOSEN, enforce, NoEnforcingAction),
    ];
    for (spec, with, mode, expected) in table {
        let cluster = cluster(&[("p", spec.clone())]);
        let answer = grpc(&[("p", PolicyState::Enabled, mode)]);
        assert_eq!(
            found(&cluster, with, &answer),
            [(Some("p".into()), expected)],
            "{spec} {with:?} {mode:?}"
        );
    }
}

#[test]
fn a_policy_that_only_one_side_has_by_grpc() {
    let p = || Some("p".to_owned());
    let here = cluster(&[("p", denies())]);
    assert_eq!(found(&here, USUAL, &grpc(&[])), [(p(), Found::Missing)]);
    assert_eq!(found(&here, USUAL, &Answer { omitted: 1, ..grpc(&[]) }), [(p(), Found::Unclear)]);
    // For another node: whatever the agent has is no finding.
    let there = cluster(&[("p", elsewhere())]);
    for answer in [
        grpc(&[]),
        grpc(&[("p", PolicyState::Skipped, None)]),
        grpc(&[("p", PolicyState::LoadError, None)]),
    ] {
        assert_eq!(found(&there, USUAL, &answer), [], "{answer:?}");
    }
    // Not in the cluster.
    let nothing = cluster(&[]);
    assert_eq!(found(&nothing, USUAL, &grpc(&[("p", PolicyState::LoadError, None)])), []);
    // A policy of the same name from a file is another policy.
    let local = crate::tetragon_client::LocalName { domain: "static".into(), policy: name("p") };
    let enabled = grpc(&[("p", PolicyState::Enabled, Some(Mode::Enforce))])
        .policies
        .remove(&name("p"))
        .unwrap();
    let answer = Answer { local: BTreeMap::from([(local, enabled)]), ..grpc(&[]) };
    assert_eq!(found(&here, USUAL, &answer), [(p(), Found::Missing)]);
}

#[test]
fn each_state_by_metrics() {
    let cluster = cluster(&[("p", denies())]);
    let unnamed = |found| vec![(None, found)];
    let table = [
        (PolicyState::Disabled, unnamed(Found::Disabled)),
        (PolicyState::LoadError, unnamed(Found::Failed)),
        (PolicyState::Error, unnamed(Found::Failed)),
        (PolicyState::Skipped, unnamed(Found::Skipped)),
        (PolicyState::PartiallyEnabled, unnamed(Found::Partial)),
        (PolicyState::Unclear, unnamed(Found::Unclear)),
        (PolicyState::Loading, unnamed(Found::Loading)),
        (PolicyState::Enabled, vec![(Some("p".into()), Found::ModeUnknown)]),
    ];
    for (state, expected) in table {
        assert_eq!(found(&cluster, USUAL, &metrics(&["p"], &[(state, 1)])), expected, "{state:?}");
    }
}

#[test]
fn metrics_never_show_that_a_policy_of_a_release_with_modes_enforces() {
    let enabled = metrics(&["p"], &[(PolicyState::Enabled, 1)]);
    let p = |found| vec![(Some("p".to_owned()), found)];
    let table = [
        (denies(), USUAL, Found::ModeUnknown),
        (denies(), BEFORE_1_4, Found::Denying),
        (monitors(), USUAL, Found::MonitorMode),
        (only_reports(), USUAL, Found::NoEnforcingAction),
        (observes(), USUAL, Found::Observing),
    ];
    for (spec, with, expected) in table {
        assert_eq!(
            found(&cluster(&[("p", spec.clone())]), with, &enabled),
            p(expected),
            "{spec} {with:?}"
        );
    }
}

#[test]
fn metrics_name_what_is_missing_and_what_is_in_no_state() {
    let two = cluster(&[("p", denies()), ("q", denies())]);
    let missing = |name: &str| (Some(name.to_owned()), Found::Missing);
    assert_eq!(found(&two, USUAL, &metrics(&["p"], &[(PolicyState::Enabled, 1)])), [missing("q")]);
    assert_eq!(found(&two, USUAL, &metrics(&[], &[])), [missing("p"), missing("q")]);
    // Named and in no state of the gauge: it is loading or unloading.
    assert_eq!(
        found(&two, USUAL, &metrics(&["p", "q"], &[(PolicyState::Enabled, 1)])),
        [(None, Found::Loading)]
    );
    // Without names there is the number alone.
    let counted = |counts: &[(PolicyState, u64)]| Answer { named: None, ..metrics(&[], counts) };
    assert_eq!(
        found(&two, USUAL, &counted(&[(PolicyState::Enabled, 1)])),
        [(None, Found::Missing)]
    );
    assert_eq!(
        found(&two, USUAL, &counted(&[(PolicyState::Enabled, 2)])),
        [(None, Found::ModeUnknown)]
    );
}

#[test]
fn a_state_in_metrics_is_held_against_a_policy_only_where_it_can_be_no_other() {
    let two = cluster(&[("p", denies()), ("there", elsewhere())]);
    let answer = |named: &[&str], counts: &[(PolicyState, u64)]| {
        found(&two, BEFORE_1_4, &metrics(named, counts))
    };
    let fine = || vec![(Some("p".to_owned()), Found::Denying)];
    // The one that is skipped is the one for other nodes.
    assert_eq!(
        answer(&["p", "there"], &[(PolicyState::Enabled, 1), (PolicyState::Skipped, 1)]),
        fine()
    );
    assert_eq!(answer(&["p", "there"], &[(PolicyState::Skipped, 2)]), [(None, Found::Skipped)]);
    assert_eq!(
        answer(&["p", "there"], &[(PolicyState::Skipped, 1), (PolicyState::LoadError, 1)]),
        [(None, Found::Failed)]
    );
    // A policy that is not in the cluster may be the one that failed.
    assert_eq!(
        answer(&["file", "p"], &[(PolicyState::Enabled, 1), (PolicyState::LoadError, 1)]),
        [(None, Found::Unclear)]
    );
    assert_eq!(answer(&["file", "p"], &[(PolicyState::LoadError, 2)]), [(None, Found::Failed)]);
    // Names that were left out may be the ones.
    let omitted = Answer {
        omitted: 9,
        ..metrics(&["p"], &[(PolicyState::Enabled, 9), (PolicyState::LoadError, 1)])
    };
    assert_eq!(found(&two, BEFORE_1_4, &omitted), [(None, Found::Unclear)]);
    // Two policies of one name.
    assert_eq!(
        answer(&["p"], &[(PolicyState::Enabled, 1), (PolicyState::LoadError, 1)]),
        [(None, Found::Unclear)]
    );
}
