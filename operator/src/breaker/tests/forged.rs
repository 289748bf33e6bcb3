//! What others write to Nodes, while the breaker is open, before it opens, and while no operator
//! runs. Whatever they write, no node is held at ready that our own evidence does not show.

use k8s_openapi::api::core::v1::{Node, Taint};
use kube::ResourceExt;
use lsm_ready_crds::names::{BPF_LABEL, NODE_CONDITION, TAINT_KEYS, policy_label};
use serde_json::json;

use super::fleet::{Fleet, report};

const NODES: usize = 10;
const ENFORCE: &str = "enforce";

/// When somebody else writes.
#[derive(Clone, Copy, Debug)]
enum When {
    /// The breaker is open.
    Open,
    /// The breaker is closed; the operator sees the write when it has opened.
    BeforeItOpens,
    /// The breaker is open, and no operator runs.
    WhileNobodyRuns,
}

const ALWAYS: [When; 3] = [When::Open, When::BeforeItOpens, When::WhileNobodyRuns];

/// What the victim was before the others lost ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Victim {
    /// Not ready since its boot.
    NeverReady,
    /// It lost ready in this boot, before the breaker opened.
    LostReady,
    /// It can deny, and lacks a hook of the policy.
    LacksHook,
}

/// A fleet with nine nodes that lose ready, and the victim, to which `forge` is written.
fn fleet(victim: Victim, when: When, forge: fn(&mut Node)) -> (Fleet, String) {
    let mut fleet = Fleet::ready(NODES);
    let name = fleet.names()[0].clone();
    let attached = report("1", "Attached", "BpfNotInLsmList", "0.1.0");
    match victim {
        Victim::NeverReady => {
            fleet.reboot(&name, "2");
            fleet.reconcile(&name);
            let attached = report("2", "Attached", "BpfNotInLsmList", "0.1.0");
            fleet.reports.insert(name.clone(), attached);
        }
        Victim::LostReady => drop(fleet.reports.insert(name.clone(), attached)),
        Victim::LacksHook => {
            let mut without = report("1", "Denied", "CanaryDenied", "0.1.0");
            without.hook_profile = None;
            fleet.reports.insert(name.clone(), without);
        }
    }
    fleet.settle();
    fleet.pass(300);
    let break_others = |fleet: &mut Fleet| {
        for other in fleet.names().into_iter().filter(|other| *other != name) {
            let attached = report("1", "Attached", "BpfNotInLsmList", "0.1.0");
            fleet.reports.insert(other.clone(), attached);
            fleet.reconcile(&other);
        }
        assert!(fleet.machine.is_open());
    };
    match when {
        When::Open => {
            break_others(&mut fleet);
            forge(fleet.nodes.get_mut(&name).unwrap());
        }
        When::BeforeItOpens => {
            forge(fleet.nodes.get_mut(&name).unwrap());
            break_others(&mut fleet);
        }
        When::WhileNobodyRuns => {
            break_others(&mut fleet);
            let opened = fleet.now;
            forge(fleet.nodes.get_mut(&name).unwrap());
            fleet.restart(Some(opened));
        }
    }
    (fleet, name)
}

/// What the victim shows after the operator has looked at it, with the breaker still open.
fn shown(victim: Victim, when: When, forge: fn(&mut Node)) -> Shown {
    let (mut fleet, name) = fleet(victim, when, forge);
    let held = fleet.shows()[0];
    fleet.reconcile(&name);
    fleet.reconcile(&name);
    assert!(fleet.machine.is_open(), "{when:?}");
    assert!(held >= 6, "{when:?}: the others stay as they are, {held}");
    Shown::of(&fleet.nodes[&name])
}

#[derive(Debug, Eq, PartialEq)]
struct Shown {
    bpf: String,
    policy: String,
    condition: String,
    is_tainted: bool,
}

impl Shown {
    fn of(node: &Node) -> Self {
        let label = |key: &str| node.labels().get(key).cloned().unwrap_or_default();
        Self {
            bpf: label(BPF_LABEL),
            policy: label(&policy_label(ENFORCE)),
            condition: crate::node::judge::condition(node).unwrap().status.clone(),
            is_tainted: node.spec.iter().flat_map(|s| s.taints.iter().flatten()).count() > 0,
        }
    }

    fn not_ready() -> Self {
        let text = str::to_owned;
        let (bpf, policy, condition) = (text("false"), text("not-ready"), text("False"));
        Self { bpf, policy, condition, is_tainted: true }
    }
}

fn set(node: &mut Node, key: &str, value: &str) {
    node.metadata.labels.get_or_insert_default().insert(key.to_owned(), value.to_owned());
}

fn set_condition(node: &mut Node, status: &str, message: &str) {
    let conditions = node.status.get_or_insert_default().conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != NODE_CONDITION);
    let condition = json!({"type": NODE_CONDITION, "status": status, "reason": "CanaryDenied",
        "message": message});
    conditions.push(serde_json::from_value(condition).unwrap());
}

fn boot(node: &Node) -> String {
    crate::watch::store::boot_id(node).to_owned()
}

/// Each of these forgeries is corrected at once, whenever it comes.
fn are_corrected(forgeries: &[fn(&mut Node)]) {
    for victim in [Victim::NeverReady, Victim::LostReady] {
        for when in ALWAYS {
            for (number, forge) in forgeries.iter().enumerate() {
                let shown = shown(victim, when, *forge);
                assert_eq!(shown, Shown::not_ready(), "{victim:?} {when:?} {number}");
            }
        }
    }
}

#[test]
fn labels_that_the_condition_does_not_confirm_are_corrected_while_the_breaker_is_open() {
    let forgeries: [fn(&mut Node); 3] = [
        |node| set(node, BPF_LABEL, "true"),
        |node| set(node, &policy_label(ENFORCE), "ready"),
        |node| {
            set(node, BPF_LABEL, "true");
            set(node, &policy_label(ENFORCE), "ready");
        },
    ];
    are_corrected(&forgeries);
}

#[test]
fn a_condition_that_the_label_does_not_confirm_is_corrected_while_the_breaker_is_open() {
    let forgeries: [fn(&mut Node); 4] = [
        |node| set_condition(node, "True", "a lie"),
        |node| set_condition(node, "True", &format!("boot {}, probe 0.1.0: a lie", boot(node))),
        |node| set_condition(node, "True", "boot 0, probe 0.1.0: of another boot"),
        |node| {
            let condition = crate::node::judge::condition(node).cloned().unwrap();
            set_condition(node, "True", &condition.message.unwrap());
        },
    ];
    are_corrected(&forgeries);
}

/// The condition is True, so it does not contradict the label. Its message does.
#[test]
fn a_policys_label_is_corrected_on_a_node_that_can_deny_and_is_not_ready_for_the_policy() {
    for when in ALWAYS {
        let shown = shown(Victim::LacksHook, when, |node| {
            set(node, &policy_label(ENFORCE), "ready");
            node.spec.get_or_insert_default().taints = None;
        });
        let expected = Shown {
            bpf: "true".into(),
            policy: "unknown".into(),
            condition: "True".into(),
            is_tainted: true,
        };
        assert_eq!(shown, expected, "{when:?}");
    }
}

/// The victim is held itself: it loses LSM BPF, and was not ready for the policy before.
#[test]
fn on_a_held_node_only_what_was_ready_is_held() {
    let (mut fleet, name) = fleet(Victim::LacksHook, When::Open, |_| {});
    fleet.reports.remove(&name);
    fleet.reconcile(&name);
    let held = Shown::of(&fleet.nodes[&name]);
    assert_eq!((held.bpf.as_str(), held.policy.as_str()), ("true", "unknown"));
    for when in [When::Open, When::WhileNobodyRuns] {
        let node = fleet.nodes.get_mut(&name).unwrap();
        set(node, &policy_label(ENFORCE), "ready");
        node.spec.as_mut().unwrap().taints = None;
        if let When::WhileNobodyRuns = when {
            let opened = fleet.now;
            fleet.restart(Some(opened));
        }
        fleet.reconcile(&name);
        fleet.reconcile(&name);
        assert_eq!(Shown::of(&fleet.nodes[&name]), held, "{when:?}: label and taint are back");
    }
}

/// Without evidence of their own, policies that come while nodes are held change nothing that acts.
#[test]
fn a_policy_that_comes_while_nodes_are_held_taints_none_of_them_and_nobody_can_claim_it() {
    let mut fleet = Fleet::ready(NODES);
    fleet.report_everywhere("None", "MissingCapability", "0.1.0");
    fleet.settle();
    let [bpf, ..] = fleet.shows();
    fleet.add_policy("late", &json!({"taint": {"effect": "NoSchedule"}}));
    fleet.settle();
    assert_eq!(fleet.shows()[2], NODES - bpf, "only the nodes that were lost before");
    let late = policy_label("late");
    for name in fleet.names() {
        set(fleet.nodes.get_mut(&name).unwrap(), &late, "ready");
    }
    let opened = fleet.now;
    fleet.restart(Some(opened));
    fleet.settle();
    let claims = fleet.nodes.values().filter(|node| node.labels()[&late] == "ready").count();
    assert_eq!((claims, fleet.shows()[2]), (0, NODES - bpf));
}

#[test]
fn a_taint_that_others_remove_from_a_lost_node_is_back_while_the_breaker_is_open() {
    for when in ALWAYS {
        let shown = shown(Victim::LostReady, when, |node| {
            node.spec.as_mut().unwrap().taints = None;
        });
        assert_eq!(shown, Shown::not_ready(), "{when:?}");
    }
}

#[test]
fn a_taint_that_others_add_to_a_held_node_goes() {
    let mut fleet = Fleet::ready(NODES);
    fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
    fleet.settle();
    let before = fleet.shows();
    let held: Vec<String> = fleet.names();
    let is_held = |fleet: &Fleet, name: &String| fleet.nodes[name].labels()[BPF_LABEL] == "true";
    let name = held.into_iter().find(|name| is_held(&fleet, name)).unwrap();
    let taint =
        Taint { key: TAINT_KEYS[0].into(), effect: "NoSchedule".into(), ..Taint::default() };
    fleet.nodes.get_mut(&name).unwrap().spec.get_or_insert_default().taints = Some(vec![taint]);
    fleet.settle();
    assert_eq!(fleet.shows(), before);
}

/// Whoever takes our label or our condition from a held node ends its holding. Then the node shows
/// what its probe reports.
#[test]
fn a_held_node_whose_label_or_condition_others_change_is_not_held_any_more() {
    let changes: [fn(&mut Node); 4] = [
        |node| set(node, BPF_LABEL, "false"),
        |node| drop(node.metadata.labels.as_mut().unwrap().remove(BPF_LABEL)),
        |node| set_condition(node, "False", "boot 1, probe 0.1.0: a lie"),
        |node| node.status.as_mut().unwrap().conditions = None,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut fleet = Fleet::ready(NODES);
        fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
        fleet.settle();
        let names = fleet.names();
        let is_held = |name: &&String| fleet.nodes[*name].labels()[BPF_LABEL] == "true";
        let name = names.iter().find(is_held).unwrap();
        let before = fleet.shows()[0];
        change(fleet.nodes.get_mut(name).unwrap());
        fleet.settle();
        assert_eq!(Shown::of(&fleet.nodes[name]), Shown::not_ready(), "{number}");
        assert_eq!(fleet.shows()[0], before - 1, "{number}: no other node moves");
    }
}

/// Somebody sets the label of a policy on a held node, and the policy comes after that.
#[test]
fn a_label_that_is_older_than_its_policy_is_not_held() {
    let mut fleet = Fleet::ready(NODES);
    fleet.report_everywhere("Attached", "BpfNotInLsmList", "0.1.0");
    fleet.settle();
    let held: Vec<String> =
        fleet.names().into_iter().filter(|name| fleet.is_shown_ready(name)).collect();
    let label = policy_label("late");
    set(fleet.nodes.get_mut(&held[0]).unwrap(), &label, "ready");
    fleet.add_policy("late", &json!({}));
    fleet.new_policies = vec!["late".to_owned()];
    fleet.settle();
    let shown = |fleet: &Fleet| fleet.nodes[&held[0]].labels()[&label].clone();
    assert_eq!(shown(&fleet), "not-ready");
    // The condition says so from now on, also after a restart.
    fleet.new_policies.clear();
    set(fleet.nodes.get_mut(&held[0]).unwrap(), &label, "ready");
    fleet.settle();
    assert_eq!(shown(&fleet), "not-ready");
    assert!(fleet.is_shown_ready(&held[0]), "the rest is held");
}

/// Forged labels are no losses: they neither open the breaker nor keep it open.
#[test]
fn labels_that_others_set_on_nodes_that_were_never_ready_do_not_open_the_breaker() {
    let mut fleet = Fleet::ready(NODES);
    for name in &fleet.names()[..6] {
        fleet.reboot(name, "2");
        fleet.reconcile(name);
        fleet.reports.insert(name.clone(), report("2", "Attached", "BpfNotInLsmList", "0.1.0"));
    }
    fleet.settle();
    for name in &fleet.names()[..6] {
        set(fleet.nodes.get_mut(name).unwrap(), BPF_LABEL, "true");
    }
    fleet.settle();
    assert_eq!(fleet.machine.holding(), None);
    assert_eq!(fleet.shows(), [4, 4, 6, 4]);
}

/// Somebody overwrites the condition in which the operator keeps a node's loss.
#[test]
fn a_loss_whose_condition_others_overwrite_counts_all_the_same_and_is_written_again() {
    let lies: [fn(&mut Node); 3] = [
        |node| set_condition(node, "True", "a lie"),
        |node| set_condition(node, "False", &format!("boot {}, probe 0.1.0: a lie", boot(node))),
        |node| node.status.as_mut().unwrap().conditions = None,
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let mut fleet = Fleet::ready(5);
        let names = fleet.names();
        for name in &names {
            let attached = report("1", "Attached", "BpfNotInLsmList", "0.1.0");
            fleet.reports.insert(name.clone(), attached);
            fleet.reconcile(name);
            fleet.reconcile(name);
            lie(fleet.nodes.get_mut(&names[0]).unwrap());
            fleet.reconcile(&names[0]);
        }
        assert_eq!(fleet.shows(), [3, 3, 2, 3], "{number}: two of five nodes");
        fleet.restart(None);
        fleet.settle();
        assert_eq!(fleet.shows(), [3, 3, 2, 3], "{number}: the condition tells of it again");
        fleet.report_everywhere("Denied", "CanaryDenied", "0.1.0");
        fleet.settle();
        assert_eq!((fleet.shows(), fleet.memory.remembered()), ([5, 5, 0, 5], 0), "{number}");
    }
}

/// The label of a loss is written, and the condition is as before.
#[test]
fn a_loss_that_was_written_in_part_counts_and_is_written_whole() {
    let mut fleet = Fleet::ready(NODES);
    let names = fleet.names();
    for name in &names[..3] {
        fleet.reports.insert(name.clone(), report("1", "Attached", "BpfNotInLsmList", "0.1.0"));
        let conditions = fleet.nodes[name].status.clone();
        fleet.reconcile(name);
        // Somebody puts the condition back.
        fleet.nodes.get_mut(name).unwrap().status = conditions;
    }
    fleet.restart(None);
    for name in &names[3..] {
        fleet.reports.insert(name.clone(), report("1", "Attached", "BpfNotInLsmList", "0.1.0"));
    }
    fleet.settle();
    assert_eq!(fleet.shows(), [7, 7, 3, 7], "three of ten nodes");
}

/// The process remembers the loss that it wrote to the Node: to the second, as it was written.
#[test]
fn a_loss_that_was_written_is_not_written_again() {
    let mut fleet = Fleet::ready(NODES);
    let name = fleet.names().remove(0);
    fleet.reports.insert(name.clone(), report("1", "Attached", "BpfNotInLsmList", "0.1.0"));
    fleet.reconcile(&name);
    let written = fleet.nodes[&name].clone();
    fleet.reconcile(&name);
    assert_eq!(fleet.nodes[&name], written);
}
