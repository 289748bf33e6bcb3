//! How a new or changed policy reaches the nodes, as tables and histories.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_767_226_200 + i64::try_from(second).unwrap()).unwrap()
}

fn policy(generation: i64, rollout: &str) -> LsmPolicy {
    serde_json::from_value(json!({
        "apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
        "metadata": {"name": "p", "uid": "u", "generation": generation},
        "spec": {"taint": {"effect": "NoSchedule", "rollout": rollout}},
    }))
    .unwrap()
}

/// The policy with the status that its controller wrote.
fn observed(mut policy: LsmPolicy, change: Option<SpecChange>) -> LsmPolicy {
    let status = policy.status.get_or_insert_default();
    status.observed_generation = policy.metadata.generation;
    status.spec_change = change;
    policy
}

/// Every selected node needs the taint, and `tainted` of them have it.
fn progress(selected: usize, tainted: usize) -> Progress {
    let untainted = (tainted..selected).map(|node| format!("n{node:04}")).collect();
    Progress { selected, unlabelled: 0, tainted, untainted }
}

/// How many nodes have the taint after each minute, until every node has it.
fn history(selected: usize, mut tainted: usize, policy: &LsmPolicy) -> Vec<usize> {
    let mut policy = policy.clone();
    let mut counts = Vec::new();
    for minute in 0..30 {
        // The controller looks several times in each minute, also after a restart.
        for second in [0, 1, 30, 59] {
            let found = progress(selected, tainted);
            let next = next(&policy, &found, Limit::default(), at(minute * 60 + second));
            policy = observed(policy, next.change.clone());
            let permitted = match (&next.change, &next.permitted) {
                (Some(_), Some(nodes)) => nodes.len(),
                (Some(_), None) | (None, _) => found.untainted.len(),
            };
            tainted += permitted;
        }
        counts.push(tainted);
        if tainted == selected {
            break;
        }
    }
    counts
}

#[test]
fn a_new_taint_for_many_nodes_goes_on_by_tenths_with_a_minute_between() {
    let new = policy(1, "Staged");
    assert_eq!(history(100, 0, &new), [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
    assert_eq!(history(25, 0, &new), [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]);
    assert_eq!(history(3, 0, &new), [1, 1, 1, 2, 2, 2, 3]);
    assert_eq!(history(2, 0, &new), [2], "fewer than three nodes");
    assert_eq!(history(100, 0, &policy(1, "AllAtOnce")), [100]);
}

#[test]
fn a_change_that_taints_few_more_nodes_taints_them_at_once() {
    let edited = observed(policy(1, "Staged"), None);
    let edited = LsmPolicy { metadata: policy(2, "Staged").metadata, ..edited };
    assert_eq!(history(100, 70, &edited), [100], "30 % are the share");
    assert_eq!(history(100, 69, &edited)[0], 69 + 4, "31 % are more: a tenth of 31, rounded up");
}

#[test]
fn a_policy_that_has_reached_every_node_changes_no_more() {
    let settled = observed(policy(1, "Staged"), None);
    assert!(!is_changing(&settled));
    // Later losses are the circuit breaker's.
    let later = next(&settled, &progress(100, 0), Limit::default(), at(0));
    assert_eq!(later, Next::default());
    let unlabelled = Progress { selected: 1, unlabelled: 1, ..Progress::default() };
    let new = next(&policy(1, "Staged"), &unlabelled, Limit::default(), at(0));
    assert_eq!(new.change.as_ref().map(|change| change.generation), Some(1));
    assert!(is_changing(&observed(policy(1, "Staged"), new.change)));
    let done = next(&policy(1, "Staged"), &Progress::default(), Limit::default(), at(0));
    assert_eq!(done.change, None);
}

#[test]
fn a_node_that_cannot_be_written_keeps_no_change_open_for_ever() {
    let unlabelled = Progress { selected: 9, unlabelled: 1, ..Progress::default() };
    let first = next(&policy(1, "Staged"), &unlabelled, Limit::default(), at(0));
    let seen = observed(policy(1, "Staged"), first.change);
    let found = |second| next(&seen, &unlabelled, Limit::default(), at(second)).change.is_some();
    assert!(found(1199) && !found(1200));
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_the_taint_until_it_is_there_again() {
    let first = next(&policy(1, "Staged"), &progress(10, 0), Limit::default(), at(7_200));
    let seen = observed(policy(1, "Staged"), first.change);
    let later = next(&seen, &progress(10, 1), Limit::default(), at(0));
    let change = later.change.unwrap();
    assert_eq!(change.start_time.0, at(0), "the change begins again at the present time");
    assert!(later.permitted.unwrap().is_empty(), "the first tenth has the taint already");
    let seen = observed(policy(1, "Staged"), Some(change));
    let minute = next(&seen, &progress(10, 1), Limit::default(), at(60));
    assert_eq!(minute.permitted.unwrap().len(), 1, "the second tenth follows after a minute");
}

#[test]
fn an_edit_during_a_change_begins_again() {
    let first = next(&policy(1, "Staged"), &progress(100, 0), Limit::default(), at(0));
    let mut edited = observed(policy(1, "Staged"), first.change);
    edited.metadata.generation = Some(2);
    assert!(is_changing(&edited) && current(&edited).is_none());
    let second = next(&edited, &progress(100, 10), Limit::default(), at(60));
    let change = second.change.unwrap();
    assert_eq!((change.generation, change.tainted_before), (2, 10));
    assert_eq!(second.permitted.unwrap().len(), 9, "a tenth of the 90 nodes that are left");
}

/// Nodes are created by the API server's clock. Where ours is hours behind, none of them joined
/// after the change because of that.
#[test]
fn a_clock_that_is_behind_makes_no_old_node_a_new_one() {
    let change = SpecChange { generation: 1, start_time: Time(at(100)), tainted_before: 0 };
    for (created, now, joined) in [
        (99, 200, false),
        (100, 200, false),
        (101, 200, true),
        (200, 200, true),
        // Clocks are never quite the same.
        (260, 200, true),
        (261, 200, false),
        (7_200, 101, false),
    ] {
        assert_eq!(joined_after(&change, at(created), at(now)), joined, "created at {created}");
    }
}

proptest! {
    /// Whatever the numbers and the time, no step permits more nodes than its tenths, and the nodes
    /// come in the order of their names.
    #[test]
    fn no_step_permits_more_than_its_tenths(
        selected in 0usize..200,
        tainted in 0usize..200,
        before in 0i64..200,
        second in 0u64..1500,
    ) {
        let tainted = tainted.min(selected);
        let change = SpecChange { generation: 1, start_time: Time(at(0)), tainted_before: before };
        let seen = observed(policy(1, "Staged"), Some(change));
        let found = progress(selected, tainted);
        let next = next(&seen, &found, Limit::default(), at(second));
        let Some(permitted) = next.permitted else { return Ok(()); };
        let step = usize::try_from(second / 60).unwrap() + 1;
        prop_assert!(tainted + permitted.len() <= tainted.max(
            usize::try_from(before).unwrap().min(tainted) + (selected * step).div_ceil(10)));
        let first: Vec<_> = found.untainted.iter().take(permitted.len()).collect();
        prop_assert_eq!(first, permitted.iter().collect::<Vec<_>>());
    }
}
