//! What happens to a fleet when something goes wrong everywhere.

use kube::ResourceExt;
use lsm_ready_crds::names::BPF_LABEL;
use serde_json::{Value, json};

use super::fleet::{Fleet, report};
use crate::tracing_policies::snapshot::tests::{entry, listed};

const NODES: usize = 100;
/// 30 nodes lose ready, and the rest keeps what it shows.
const SHARE_LOST: [usize; 4] = [70, 70, 30, 70];

#[test]
fn a_probe_that_reports_attached_everywhere_moves_at_most_the_share() {
    let mut fleet = Fleet::ready(NODES);
    fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
    fleet.settle();
    assert_eq!(fleet.shows(), SHARE_LOST);
    assert_eq!(fleet.machine.holding().unwrap().reasons["BpfNotInLsmList"], 70);
    fleet.pass(24 * 3600);
    fleet.settle();
    assert_eq!(fleet.shows(), SHARE_LOST, "a day later");
}

#[test]
fn probes_that_cannot_try_any_more_move_at_most_the_share() {
    let mut fleet = Fleet::ready(NODES);
    fleet.report_everywhere("None", "MissingCapability", "0.1.0");
    fleet.settle();
    assert_eq!(fleet.shows(), SHARE_LOST);
}

#[test]
fn deleted_reports_move_at_most_the_share_and_come_back() {
    let mut fleet = Fleet::ready(NODES);
    fleet.reports.clear();
    fleet.settle();
    assert_eq!(fleet.shows(), SHARE_LOST);
    fleet.report_everywhere("Denied", "CanaryDenied", "0.1.0");
    fleet.settle();
    assert_eq!(fleet.shows(), [NODES, NODES, 0, NODES], "gains are never held");
    assert_eq!(fleet.machine.holding(), None);
}

#[test]
fn missing_hook_profiles_move_at_most_the_share() {
    let mut fleet = Fleet::ready(NODES);
    fleet.profile = None;
    fleet.settle();
    assert_eq!(fleet.shows(), [NODES, 70, 30, NODES]);
    fleet.profile =
        serde_json::from_value(json!({"kernel": "k", "hooks": ["another"], "sleepableHooks": []}))
            .unwrap();
    fleet.settle();
    assert_eq!(fleet.policy(), 70, "a false profile");
}

#[test]
fn a_tracing_policy_with_an_unknown_hook_moves_at_most_the_share() {
    let mut fleet = Fleet::ready(NODES);
    fleet.set_policy(&json!({"taint": {"effect": "NoSchedule"},
        "require": {"tracingPolicies": {}}}));
    fleet.tracing_policies = listed([entry("p", "enforce", &["file_open"], &Value::Null)]);
    fleet.settle();
    assert_eq!(fleet.policy(), NODES);
    fleet.tracing_policies = listed([entry("p", "enforce", &["file_opn"], &Value::Null)]);
    fleet.settle();
    assert_eq!(fleet.shows(), [NODES, 70, 30, NODES]);
}

#[test]
fn a_broken_probe_that_is_rolled_out_slowly_loses_two_nodes() {
    let mut fleet = Fleet::ready(NODES);
    for ten in fleet.names().chunks(10) {
        for name in ten {
            fleet.reports.insert(name.clone(), report("1", "Attached", "BpfNotInLsmList", "0.1.1"));
        }
        fleet.settle();
        fleet.pass(300);
    }
    assert_eq!(fleet.shows(), [98, 98, 2, 98]);
    fleet.restart(None);
    fleet.settle();
    assert_eq!(fleet.shows(), [98, 98, 2, 98], "also after a restart");
    fleet.report_everywhere("Denied", "CanaryDenied", "0.1.0");
    fleet.settle();
    assert_eq!(fleet.shows(), [NODES, NODES, 0, NODES], "the old probe is back");
}

#[test]
fn a_good_probe_that_is_rolled_out_changes_nothing() {
    let mut fleet = Fleet::ready(NODES);
    fleet.report_everywhere("Denied", "CanaryDenied", "0.1.1");
    fleet.settle();
    assert_eq!(fleet.shows(), [NODES, NODES, 0, NODES]);
    assert_eq!(fleet.machine.holding(), None);
}

#[test]
fn a_reboot_of_all_nodes_is_never_held() {
    let mut fleet = Fleet::ready(NODES);
    for node in fleet.nodes.values_mut() {
        node.status.as_mut().unwrap().node_info.as_mut().unwrap().boot_id = "2".into();
    }
    fleet.settle();
    assert_eq!(fleet.shows(), [0, 0, NODES, 0], "no node is ready in a boot without evidence");
    fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
    fleet.settle();
    assert_eq!(fleet.shows(), [0, 0, NODES, 0]);
    assert_eq!(fleet.machine.holding(), None);
}

#[test]
fn a_held_node_that_reboots_moves() {
    let mut fleet = Fleet::ready(10);
    fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
    fleet.settle();
    let held: Vec<String> = fleet.names();
    let is_held = |fleet: &Fleet, name: &str| fleet.nodes[name].labels()[BPF_LABEL] == "true";
    let name = held.into_iter().find(|name| is_held(&fleet, name)).unwrap();
    let node = fleet.nodes.get_mut(&name).unwrap();
    node.status.as_mut().unwrap().node_info.as_mut().unwrap().boot_id = "2".into();
    fleet.reconcile(&name);
    assert!(!is_held(&fleet, &name));
}

#[test]
fn a_restart_in_the_middle_loses_no_further_node() {
    let mut fleet = Fleet::ready(NODES);
    fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
    let names = fleet.names();
    for name in &names[..40] {
        fleet.reconcile(name);
    }
    let opened = fleet.now;
    for _ in 0..5 {
        fleet.restart(None);
        fleet.settle();
        assert_eq!(fleet.shows(), SHARE_LOST);
        fleet.pass(10);
    }
    fleet.pass(3600);
    // The policies say since when the breaker is open. Most nodes recover meanwhile.
    for name in &names[31..] {
        fleet.reports.insert(name.clone(), report("1", "Denied", "CanaryDenied", "0.1.0"));
    }
    fleet.restart(Some(opened));
    fleet.settle();
    assert_eq!(fleet.bpf(), 70, "31 of 100 nodes are lost: the last one is held");
}

#[test]
fn a_restart_before_the_first_reconcile_moves_nothing() {
    let mut fleet = Fleet::ready(NODES);
    fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
    fleet.restart(None);
    fleet.settle();
    assert_eq!(fleet.shows(), [NODES, NODES, 0, NODES]);
}

#[test]
fn small_clusters_move_freely_up_to_two_nodes() {
    for (count, ready) in [(1, 0), (2, 0), (3, 1), (4, 2)] {
        let mut fleet = Fleet::ready(count);
        fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
        fleet.settle();
        assert_eq!(fleet.bpf(), ready, "of {count} nodes");
    }
}

#[test]
fn a_release_lets_every_node_move() {
    let mut fleet = Fleet::ready(NODES);
    fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
    fleet.settle();
    let now = fleet.now;
    assert!(fleet.machine.release(true, now));
    fleet.settle();
    assert_eq!(fleet.shows(), [0, 0, NODES, 0]);
    fleet.pass(120);
    let later = fleet.now;
    assert!(!fleet.machine.release(false, later), "nothing is lost any more");
}

#[test]
fn a_policy_that_a_person_changes_moves_its_labels() {
    let mut fleet = Fleet::ready(NODES);
    fleet.set_policy(&json!({"require": {"hooks": ["file_opn"]}}));
    let policy = std::sync::Arc::make_mut(&mut fleet.policies[0]);
    policy.metadata.generation = Some(2);
    fleet.settle();
    assert_eq!(fleet.shows(), [NODES, 0, 0, NODES]);
    assert_eq!(fleet.machine.holding(), None);
}

#[test]
fn policies_that_are_deleted_while_nodes_are_held_leave_nothing() {
    let mut fleet = Fleet::ready(NODES);
    fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
    fleet.settle();
    fleet.policies.clear();
    fleet.settle();
    assert_eq!(fleet.shows(), [70, 0, 0, 70]);
}
