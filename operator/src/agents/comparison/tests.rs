//! The truth table: states, modes, sources of answers, and placements of policies.

use std::collections::BTreeMap;

use crate::tetragon_client::StateCounts;
use serde_json::{Value, json};

use super::*;
use crate::tracing_policies::snapshot::Snapshot;
use crate::tracing_policies::snapshot::tests::{object, with_expectations};
use lsm_ready_crds::selection::Labels;

/// TracingPolicies in the cluster.
fn cluster(policies: &[(&str, Value)]) -> Snapshot {
    with_expectations(
        policies
            .iter()
            .map(|(name, spec)| object(&json!({"metadata": {"name": name}, "spec": spec}))),
    )
}

fn denies() -> Value {
    json!({"lsmhooks": [{"hook": "file_open",
        "selectors": [{"matchActions": [{"action": "Sigkill"}]}]}]})
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

/// Overrides the return value of a hook whose value the kernel ignores.
fn overrides_nothing() -> Value {
    let action = json!({"action": "Override", "argError": -1});
    json!({"lsmhooks": [{"hook": "task_free", "selectors": [{"matchActions": [action]}]}]})
}

/// Only the macro has an action that denies, so the agent sets the mode monitor_only.
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
        (name(policy), PolicyStatus::new(*state, *mode))
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

/// Settings of a row.
#[derive(Clone, Copy, Debug)]
struct With {
    /// The policies are selected by spec.require.tracingPolicies.
    are_selected: bool,
    has_modes: bool,
}

const USUAL: With = With { are_selected: false, has_modes: true };
const BEFORE_1_4: With = With { are_selected: false, has_modes: false };
const SELECTED: With = With { are_selected: true, has_modes: true };

fn effects(cluster: &Snapshot, with: With, answer: &Answer) -> Vec<(Option<String>, Effect)> {
    let catalogue = Catalogue::of(cluster);
    let placements = catalogue.placements(&Labels::from([("zone".to_owned(), "a".to_owned())]));
    let comparison = Comparison {
        catalogue: &catalogue,
        is_in_question: vec![true; placements.len()],
        are_selected: with.are_selected,
        has_modes: with.has_modes,
    };
    let effects = comparison.effects(&placements, answer);
    effects.into_iter().map(|found| (found.policy.map(ToString::to_string), found.effect)).collect()
}

/// The effect of the policy `p`.
fn p(effect: Effect) -> (Option<String>, Effect) {
    (Some("p".to_owned()), effect)
}

#[test]
fn each_state_by_grpc_has_its_effect() {
    let cluster = cluster(&[("p", denies())]);
    let table: BTreeMap<PolicyState, Effect> = [
        (PolicyState::Enabled, Effect::Denies),
        (PolicyState::Disabled, Effect::Problem(Problem::Disabled)),
        (PolicyState::LoadError, Effect::Problem(Problem::LoadErrors)),
        (PolicyState::Error, Effect::Problem(Problem::LoadErrors)),
        (PolicyState::Loading, Effect::Problem(Problem::Loading)),
        (PolicyState::Unloading, Effect::Problem(Problem::Loading)),
        (PolicyState::Skipped, Effect::Problem(Problem::Skipped)),
        (PolicyState::PartiallyEnabled, Effect::Problem(Problem::PartiallyEnabled)),
        (PolicyState::Unclear, Effect::Problem(Problem::StateUnclear)),
    ]
    .into();
    for state in PolicyState::ALL {
        for mode in [Mode::Enforce, Mode::Monitor, Mode::MonitorOnly] {
            // Only the mode of an enabled policy counts.
            let expected = if state == PolicyState::Enabled && mode != Mode::Enforce {
                Effect::Problem(Problem::MonitorMode)
            } else {
                table[&state]
            };
            let answer = grpc(&[("p", state, Some(mode))]);
            assert_eq!(effects(&cluster, USUAL, &answer), [p(expected)], "{state:?} {mode:?}");
        }
    }
}

#[test]
fn each_mode_and_kind_of_policy_by_grpc_has_its_effect() {
    use Effect::{Denies, Observes};
    const MODE_UNKNOWN: Effect = Effect::Problem(Problem::ModeUnknown);
    const MONITOR_MODE: Effect = Effect::Problem(Problem::MonitorMode);
    const NO_ENFORCING_ACTION: Effect = Effect::Problem(Problem::NoEnforcingAction);
    let (enforce, monitor) = (Some(Mode::Enforce), Some(Mode::Monitor));
    let table = [
        (denies(), USUAL, enforce, Denies),
        (denies(), USUAL, monitor, MONITOR_MODE),
        (denies(), USUAL, Some(Mode::Unclear), MODE_UNKNOWN),
        (denies(), USUAL, None, MODE_UNKNOWN),
        (denies(), BEFORE_1_4, None, Denies),
        (denies(), BEFORE_1_4, monitor, MONITOR_MODE),
        // The agent's mode counts more than the policy's option.
        (monitors(), USUAL, enforce, Denies),
        (monitors(), USUAL, monitor, MONITOR_MODE),
        (monitors(), USUAL, None, MONITOR_MODE),
        // Releases before 1.4 ignore the option.
        (monitors(), BEFORE_1_4, None, Denies),
        (only_reports(), USUAL, enforce, NO_ENFORCING_ACTION),
        (only_reports(), USUAL, Some(Mode::MonitorOnly), NO_ENFORCING_ACTION),
        (only_reports(), BEFORE_1_4, None, NO_ENFORCING_ACTION),
        (overrides_nothing(), USUAL, enforce, NO_ENFORCING_ACTION),
        (denies_by_macro(), USUAL, Some(Mode::MonitorOnly), MONITOR_MODE),
        (denies_by_macro(), USUAL, None, MONITOR_MODE),
        (observes(), USUAL, enforce, Observes),
        (observes(), USUAL, monitor, Observes),
        (observes(), SELECTED, enforce, NO_ENFORCING_ACTION),
    ];
    for (spec, with, mode, expected) in table {
        let cluster = cluster(&[("p", spec.clone())]);
        let answer = grpc(&[("p", PolicyState::Enabled, mode)]);
        assert_eq!(effects(&cluster, with, &answer), [p(expected)], "{spec} {with:?} {mode:?}");
    }
}

#[test]
fn a_policy_that_only_agent_or_cluster_has_is_found_by_grpc() {
    let here = cluster(&[("p", denies())]);
    assert_eq!(effects(&here, USUAL, &grpc(&[])), [p(Effect::Problem(Problem::Missing))]);
    assert_eq!(
        effects(&here, USUAL, &Answer { omitted: 1, ..grpc(&[]) }),
        [p(Effect::Problem(Problem::StateUnclear))]
    );
    // The policy is for another node: the agent's entry has no effect.
    let there = cluster(&[("p", elsewhere())]);
    for answer in [
        grpc(&[]),
        grpc(&[("p", PolicyState::Skipped, None)]),
        grpc(&[("p", PolicyState::LoadError, None)]),
    ] {
        assert_eq!(effects(&there, USUAL, &answer), [], "{answer:?}");
    }
    // Not in the cluster.
    let nothing = cluster(&[]);
    assert_eq!(effects(&nothing, USUAL, &grpc(&[("p", PolicyState::LoadError, None)])), []);
    // A policy of the same name from a file is another policy.
    let local = crate::tetragon_client::LocalName { domain: "static".into(), policy: name("p") };
    let enabled = grpc(&[("p", PolicyState::Enabled, Some(Mode::Enforce))])
        .policies
        .remove(&name("p"))
        .unwrap();
    let answer = Answer { local: BTreeMap::from([(local, enabled)]), ..grpc(&[]) };
    assert_eq!(effects(&here, USUAL, &answer), [p(Effect::Problem(Problem::Missing))]);
}

#[test]
fn each_state_by_metrics_has_its_effect() {
    let cluster = cluster(&[("p", denies())]);
    let unnamed = |effect| vec![(None, effect)];
    let table = [
        (PolicyState::Disabled, unnamed(Effect::Problem(Problem::Disabled))),
        (PolicyState::LoadError, unnamed(Effect::Problem(Problem::LoadErrors))),
        (PolicyState::Error, unnamed(Effect::Problem(Problem::LoadErrors))),
        (PolicyState::Skipped, unnamed(Effect::Problem(Problem::Skipped))),
        (PolicyState::PartiallyEnabled, unnamed(Effect::Problem(Problem::PartiallyEnabled))),
        (PolicyState::Unclear, unnamed(Effect::Problem(Problem::StateUnclear))),
        (PolicyState::Loading, unnamed(Effect::Problem(Problem::Loading))),
        (PolicyState::Enabled, vec![p(Effect::Problem(Problem::ModeUnknown))]),
    ];
    for (state, expected) in table {
        assert_eq!(
            effects(&cluster, USUAL, &metrics(&["p"], &[(state, 1)])),
            expected,
            "{state:?}"
        );
    }
}

#[test]
fn metrics_never_show_that_a_policy_of_a_release_with_modes_enforces() {
    let enabled = metrics(&["p"], &[(PolicyState::Enabled, 1)]);
    let table = [
        (denies(), USUAL, Effect::Problem(Problem::ModeUnknown)),
        (denies(), BEFORE_1_4, Effect::Denies),
        (monitors(), USUAL, Effect::Problem(Problem::MonitorMode)),
        (only_reports(), USUAL, Effect::Problem(Problem::NoEnforcingAction)),
        (observes(), USUAL, Effect::Observes),
    ];
    for (spec, with, expected) in table {
        assert_eq!(
            effects(&cluster(&[("p", spec.clone())]), with, &enabled),
            [p(expected)],
            "{spec} {with:?}"
        );
    }
}

#[test]
fn metrics_show_policies_that_are_missing_or_in_no_state() {
    let two = cluster(&[("p", denies()), ("q", denies())]);
    let missing = |name: &str| (Some(name.to_owned()), Effect::Problem(Problem::Missing));
    assert_eq!(
        effects(&two, USUAL, &metrics(&["p"], &[(PolicyState::Enabled, 1)])),
        [missing("q")]
    );
    assert_eq!(effects(&two, USUAL, &metrics(&[], &[])), [missing("p"), missing("q")]);
    // Named and not counted: the policy is loading or unloading.
    assert_eq!(
        effects(&two, USUAL, &metrics(&["p", "q"], &[(PolicyState::Enabled, 1)])),
        [(None, Effect::Problem(Problem::Loading))]
    );
    // Without names only the numbers are compared.
    let counted = |counts: &[(PolicyState, u64)]| Answer { named: None, ..metrics(&[], counts) };
    assert_eq!(
        effects(&two, USUAL, &counted(&[(PolicyState::Enabled, 1)])),
        [(None, Effect::Problem(Problem::Missing))]
    );
    assert_eq!(
        effects(&two, USUAL, &counted(&[(PolicyState::Enabled, 2)])),
        [(None, Effect::Problem(Problem::ModeUnknown))]
    );
}

#[test]
fn a_state_in_metrics_counts_only_if_no_other_policy_can_be_in_it() {
    let two = cluster(&[("p", denies()), ("there", elsewhere())]);
    let answer = |named: &[&str], counts: &[(PolicyState, u64)]| {
        effects(&two, BEFORE_1_4, &metrics(named, counts))
    };
    let fine = || vec![p(Effect::Denies)];
    // The skipped policy is the one for other nodes.
    assert_eq!(
        answer(&["p", "there"], &[(PolicyState::Enabled, 1), (PolicyState::Skipped, 1)]),
        fine()
    );
    assert_eq!(
        answer(&["p", "there"], &[(PolicyState::Skipped, 2)]),
        [(None, Effect::Problem(Problem::Skipped))]
    );
    assert_eq!(
        answer(&["p", "there"], &[(PolicyState::Skipped, 1), (PolicyState::LoadError, 1)]),
        [(None, Effect::Problem(Problem::LoadErrors))]
    );
    // A policy that is not in the cluster may be the one that failed.
    assert_eq!(
        answer(&["file", "p"], &[(PolicyState::Enabled, 1), (PolicyState::LoadError, 1)]),
        [(None, Effect::Problem(Problem::StateUnclear))]
    );
    assert_eq!(
        answer(&["file", "p"], &[(PolicyState::LoadError, 2)]),
        [(None, Effect::Problem(Problem::LoadErrors))]
    );
    // The failed policy may be one of the omitted names.
    let omitted = Answer {
        omitted: 9,
        ..metrics(&["p"], &[(PolicyState::Enabled, 9), (PolicyState::LoadError, 1)])
    };
    assert_eq!(
        effects(&two, BEFORE_1_4, &omitted),
        [(None, Effect::Problem(Problem::StateUnclear))]
    );
    // Two policies have one name.
    assert_eq!(
        answer(&["p"], &[(PolicyState::Enabled, 1), (PolicyState::LoadError, 1)]),
        [(None, Effect::Problem(Problem::StateUnclear))]
    );
}
