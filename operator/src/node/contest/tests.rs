//! How often a Node is written that others keep changing.

use std::collections::BTreeMap;

use lsm_ready_crds::names::{BPF_LABEL, NODE_CONDITION};
use serde_json::json;

use super::*;
use crate::context::moment;

fn at(second: u64) -> Instant {
    moment::tests::second(second).instant
}

fn node(version: u64, label: &str, message: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "n1", "uid": "u1", "resourceVersion": version.to_string(),
            "labels": {BPF_LABEL: label}},
        "status": {"conditions": [
            {"type": NODE_CONDITION, "status": "True", "reason": "R", "message": message}]},
    }))
    .unwrap()
}

/// The plan that sets the label and the condition of [`node`] again.
fn plan(label: &str, message: &str) -> Plan {
    let condition = condition(&node(1, label, message)).cloned();
    let labels = BTreeMap::from([(BPF_LABEL.to_owned(), Some(label.to_owned()))]);
    Plan { labels, condition, ..Plan::default() }
}

/// We wrote the node as it is here.
fn wrote(contests: &Contests, node: &Node, now: Instant) {
    contests.wrote(node, &Plan::default(), node.resource_version().as_deref(), now);
}

/// Each second a kubelet changes the condition ten times. Returns when we wrote, and how many
/// Events there were.
fn fought(seconds: u64) -> (Vec<u64>, usize) {
    let contests = Contests::default();
    let (mut writes, mut events, mut version) = (Vec::new(), 0, 1);
    wrote(&contests, &node(version, "true", "ours"), at(0));
    for tenth in 0..seconds * 10 {
        version += 1;
        let theirs = node(version, "true", &format!("theirs {tenth}"));
        let answer = contests.look(&theirs, &plan("true", "ours"), at(tenth / 10));
        events += usize::from(answer.announce.is_some());
        if answer.wait.is_none() {
            version += 1;
            wrote(&contests, &node(version, "true", "ours"), at(tenth / 10));
            writes.push(tenth / 10);
        }
    }
    (writes, events)
}

/// A kubelet claims again and again that its node was ready in this boot. Each correction is a loss
/// with another time.
#[test]
fn a_loss_that_is_claimed_again_and_again_is_met_with_waits() {
    let contests = Contests::default();
    let ours = |second: u64| format!("boot b, lost ready at 2026-01-01T00:00:{second:02}Z: why");
    let (mut writes, mut version) = (0, 1);
    wrote(&contests, &node(version, "false", &ours(0)), at(0));
    for second in 0..60 {
        version += 1;
        let theirs = node(version, "false", "boot b: a lie");
        let answer = contests.look(&theirs, &plan("false", &ours(second)), at(second));
        if answer.wait.is_none() {
            version += 1;
            wrote(&contests, &node(version, "false", &ours(second)), at(second));
            writes += 1;
        }
    }
    assert!(writes <= 7, "{writes} writes in a minute");
}

#[test]
fn the_wait_doubles_up_to_five_minutes() {
    let (writes, events) = fought(3600);
    assert_eq!(writes[..9], [0, 1, 3, 7, 15, 31, 63, 127, 255]);
    assert!(writes[9..].windows(2).all(|pair| pair[1] - pair[0] == 300), "{writes:?}");
    assert_eq!(events, 1, "one an hour");
    assert_eq!(fought(7200).1, 2);
}

/// A probe reports something else each tenth of a second. Returns when we wrote, in tenths.
fn flipping(tenths: u64, reports: impl Fn(u64) -> (&'static str, String)) -> Vec<u64> {
    let contests = Contests::default();
    let (mut shown, mut version, mut writes) = (node(1, "false", "first"), 1, Vec::new());
    wrote(&contests, &shown, at(0));
    for tenth in 1..tenths {
        let (label, message) = reports(tenth);
        let wanted = plan(label, &message);
        if shown == node(version, label, &message) {
            continue;
        }
        if contests.look(&shown, &wanted, at(tenth / 10)).wait.is_none() {
            version += 1;
            shown = node(version, label, &message);
            wrote(&contests, &shown, at(tenth / 10));
            writes.push(tenth);
        }
    }
    writes
}

/// What we write follows from what the node says, so it could cause a write for each of its own.
#[test]
fn a_node_that_reports_something_else_again_and_again_is_written_less_and_less() {
    let writes = flipping(600, |tenth| ("false", format!("why {tenth}")));
    assert_eq!(writes[..19], (1..20).collect::<Vec<_>>(), "at once");
    assert!(writes.len() <= 40, "{} writes in a minute", writes.len());
    assert!(writes[20..].windows(2).all(|pair| pair[1] - pair[0] == 30), "{writes:?}");
}

#[test]
fn a_node_that_reports_something_else_again_and_again_loses_ready_at_once() {
    let states = |tenth: u64| if tenth.is_multiple_of(2) { "true" } else { "false" };
    let writes = flipping(600, |tenth| (states(tenth), "ours".into()));
    assert!(writes.len() <= 80, "{} writes in a minute", writes.len());
    for gained in writes.iter().filter(|tenth| *tenth % 2 == 0) {
        assert!(writes.contains(&(gained + 1)), "the loss after {gained} is written at once");
    }
}

#[test]
fn what_we_want_to_change_is_not_delayed() {
    let contests = Contests::default();
    for second in 0..10 {
        let version = second * 2;
        wrote(&contests, &node(version + 10, "true", "ours"), at(second));
        let theirs = node(version + 11, "true", "theirs");
        let answer = contests.look(&theirs, &plan("true", "ours"), at(second));
        assert_eq!(answer.wait.is_some(), second > 0);
        let loss = contests.look(&theirs, &plan("false", "ours"), at(second));
        assert_eq!(loss.wait, None, "the evidence changed");
    }
}

#[test]
fn our_own_writes_and_late_watches_are_no_changes_by_others() {
    let contests = Contests::default();
    for version in (10..40).step_by(2) {
        wrote(&contests, &node(version, "true", "ours"), at(0));
        let late = node(version - 1, "false", "before");
        let answer = contests.look(&late, &plan("true", "ours"), at(0));
        assert_eq!(answer, Answer::default(), "the watch is late");
        let next = contests.look(&node(version, "true", "ours"), &plan("false", "new"), at(0));
        assert_eq!(next, Answer::default(), "we want something else");
    }
}

#[test]
fn a_node_that_is_older_than_our_last_write_waits_for_the_watch() {
    let contests = Contests::default();
    let unseen = |version, second| contests.unseen(&node(version, "true", "old"), at(second));
    assert_eq!(unseen(7, 0), None, "nothing was written");
    wrote(&contests, &node(9, "true", "ours"), at(0));
    assert_eq!(unseen(7, 1), Some(Duration::from_secs(14)));
    assert_eq!(unseen(9, 1), None);
}

/// What others add beside ours is a change of ours too, so that it is met with waits.
#[test]
fn a_second_condition_and_a_value_of_a_taint_are_changes_by_others() {
    let ours = node(1, "true", "ours");
    let mut twice = ours.clone();
    let conditions = twice.status.as_mut().unwrap().conditions.as_mut().unwrap();
    conditions.push(conditions[0].clone());
    let tainted = |value: Option<&str>| {
        let taint = json!({"key": TAINT_KEYS[0], "effect": "NoSchedule", "value": value});
        let mut node = ours.clone();
        node.spec = serde_json::from_value(json!({"taints": [taint]})).ok();
        node
    };
    for (before, after) in [(&ours, &twice), (&tainted(None), &tainted(Some("x")))] {
        let contests = Contests::default();
        let mut after = after.clone();
        wrote(&contests, before, at(0));
        after.metadata.resource_version = Some("2".into());
        assert!(contests.look(&after, &plan("true", "ours"), at(1)).is_new);
    }
}

#[test]
fn a_node_that_rested_is_written_at_once_again() {
    let contests = Contests::default();
    let pause = |version, second| {
        contests.look(&node(version, "false", "ours"), &plan("false", "new"), at(second)).wait
    };
    for version in 1..=20 {
        assert_eq!(pause(version, 0), None);
        wrote(&contests, &node(version, "false", "ours"), at(0));
    }
    assert_eq!(pause(20, 0), Some(SUSTAINED));
    assert_eq!(pause(20, 3), None);
    assert_eq!(pause(20, 60), None);
}

#[test]
fn after_ten_quiet_minutes_the_contest_is_over() {
    let contests = Contests::default();
    let changed = |version: u64, second| {
        wrote(&contests, &node(version, "true", "ours"), at(second));
        contests.look(&node(version + 1, "true", "theirs"), &plan("true", "ours"), at(second))
    };
    for round in 0..5 {
        changed(10 + round * 2, 0);
    }
    assert_eq!(changed(30, 599).wait, Some(Duration::from_secs(16)));
    assert_eq!(changed(40, 1200).wait, None);
}

#[test]
fn a_node_that_is_gone_is_forgotten() {
    let contests = Contests::default();
    wrote(&contests, &node(1, "true", "ours"), at(0));
    contests.retain(|uid| uid == "u1");
    assert_eq!(contests.0.lock().len(), 1);
    contests.forget("u1");
    assert_eq!(contests.0.lock().len(), 0);
}
