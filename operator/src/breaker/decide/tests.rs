//! Tables and properties of the circuit breaker.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const REASON: &str = "BpfNotInLsmList";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_226_200 + second).unwrap()
}

fn ready() -> NodeState {
    NodeState::Ready { version: Some("1".into()) }
}

fn losing() -> NodeState {
    NodeState::Losing { reason: REASON, new_version: None }
}

fn losing_with(version: &str) -> NodeState {
    NodeState::Losing { reason: REASON, new_version: Some(version.into()) }
}

fn lost(second: i64) -> NodeState {
    NodeState::Lost { at: at(second), new_version: None }
}

/// A breaker with that many ready nodes.
fn fleet(count: usize) -> Machine {
    let mut machine = Machine::new(Limit::default());
    let nodes = (0..count).map(|node| (node.to_string(), ready()));
    machine.restore(nodes, None, at(0));
    machine
}

/// Has these nodes lose ready, one after the other. Returns how many were not held. These are lost.
fn lose(machine: &mut Machine, nodes: std::ops::Range<usize>, second: i64) -> usize {
    let mut moved = 0;
    for node in nodes.map(|node| node.to_string()) {
        if !machine.observe(&node, losing(), at(second)).is_held {
            machine.observe(&node, lost(second), at(second));
            moved += 1;
        }
    }
    moved
}

#[test]
fn at_most_the_share_is_lost_and_one_or_two_nodes_always_move() {
    for (count, moved) in
        [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2), (6, 2), (9, 2), (10, 3), (20, 6), (1000, 300)]
    {
        assert_eq!(lose(&mut fleet(count), 0..count, 1), moved, "of {count} nodes");
    }
}

#[test]
fn losses_of_more_than_a_minute_ago_do_not_count() {
    let mut machine = fleet(100);
    assert_eq!(lose(&mut machine, 0..30, 0), 30);
    assert_eq!(lose(&mut machine, 30..51, 61), 21, "30 % of the 70 nodes that are left");
    assert_eq!(lose(&mut machine, 51..52, 62), 0);
    assert!(machine.is_open());
}

#[test]
fn the_breaker_closes_when_the_losses_fall_to_the_share() {
    let mut machine = fleet(10);
    assert_eq!(lose(&mut machine, 0..10, 0), 3);
    assert_eq!(machine.holding().unwrap().held, 7);
    // An hour later the lost nodes still count.
    for node in 3..9 {
        let decision = machine.observe(&node.to_string(), ready(), at(3600));
        assert!(!decision.has_switched && machine.is_open(), "node {node}");
    }
    let last = machine.observe("9", ready(), at(3600));
    assert!(last.has_switched && !machine.is_open());
    assert_eq!(machine.holding(), None);
}

#[test]
fn nodes_that_reboot_or_are_gone_are_no_losses() {
    let mut machine = fleet(10);
    lose(&mut machine, 0..10, 0);
    for node in 0..5 {
        machine.observe(&node.to_string(), NodeState::NeverReady, at(1));
    }
    assert!(machine.is_open(), "all five others are held");
    assert!(machine.retain(|node| ["8", "9"].contains(&node), at(2)), "it closes");
    assert_eq!(machine.remembered(), 2, "the nodes that are gone are forgotten");
}

#[test]
fn a_person_can_release_what_is_held() {
    let mut machine = fleet(10);
    lose(&mut machine, 0..10, 0);
    assert!(machine.release(true, at(5)));
    assert!(!machine.is_held("9") && !machine.observe("9", losing(), at(6)).is_held);
    assert!(!machine.release(true, at(6)), "nothing switched");
    assert!(machine.release(false, at(7)), "without the annotation the losses count again");
    assert!(machine.is_held("9"));
}

#[test]
fn a_new_probe_version_loses_few_nodes_however_slowly_it_comes() {
    let mut machine = fleet(100);
    let mut moved = 0;
    for node in 0..100 {
        let (name, second) = (node.to_string(), i64::from(node) * 60);
        if !machine.observe(&name, losing_with("2"), at(second)).is_held {
            let lost = NodeState::Lost { at: at(second), new_version: Some("2".into()) };
            machine.observe(&name, lost, at(second));
            moved += 1;
        }
    }
    assert_eq!(moved, 2);
    let holding = machine.holding().unwrap();
    assert_eq!(holding.of_versions, BTreeMap::from([("2".into(), Losses { nodes: 100, of: 100 })]));
    assert_eq!(holding.reasons, BTreeMap::from([(REASON, 98)]));
}

#[test]
fn a_bad_probe_version_holds_only_its_own_nodes() {
    let mut machine = fleet(100);
    for node in 0..3 {
        machine.observe(&node.to_string(), losing_with("2"), at(0));
    }
    assert!(machine.is_held("2"));
    assert!(!machine.observe("50", losing(), at(1)).is_held, "three nodes hold nobody else");
    let rolled_back = machine.observe("2", ready(), at(2));
    assert!(rolled_back.has_switched && !machine.is_open());
}

#[test]
fn a_restart_finds_the_breaker_open_whatever_the_order_of_nodes() {
    let state = |node: usize| match node {
        0..30 => lost(0),
        30..35 => losing(),
        _ => ready(),
    };
    for is_reversed in [false, true] {
        let mut nodes: Vec<_> = (0..100).map(|node| (node.to_string(), state(node))).collect();
        if is_reversed {
            nodes.reverse();
        }
        let mut machine = Machine::new(Limit::default());
        machine.restore(nodes.clone(), Some(at(1)), at(7200));
        assert!(machine.is_held("30"), "two hours later");
        let mut without_status = Machine::new(Limit::default());
        without_status.restore(nodes, None, at(30));
        assert!(without_status.is_held("30"), "before a policy could say so");
    }
}

#[test]
fn a_clock_that_jumps_forgets_losses_but_never_counts_them_for_ever() {
    let mut machine = fleet(100);
    lose(&mut machine, 0..30, 3600);
    machine.observe("99", ready(), at(0));
    assert_eq!(machine.losses().nodes, 0, "these losses are in the future");
}

#[test]
fn a_clock_that_is_set_back_does_not_close_the_breaker() {
    let mut machine = fleet(100);
    assert_eq!(lose(&mut machine, 0..40, 3600), 30);
    for second in [0, 1800, 7200] {
        assert!(machine.observe("35", losing(), at(second)).is_held, "at {second} s");
    }
    // The same for a new process whose clock is behind that of the last one.
    let state = |node: usize| if node < 30 { lost(3600) } else { losing() };
    let mut machine = Machine::new(Limit::default());
    let nodes: Vec<_> = (0..40).map(|node| (node.to_string(), state(node))).collect();
    machine.restore(nodes, Some(at(3600)), at(0));
    assert!(machine.observe("35", losing(), at(1)).is_held);
}

/// What happens to a node of the property below.
#[derive(Clone, Debug)]
enum Happens {
    Breaks(usize),
    Recovers(usize),
    Reboots(usize),
    Restart,
    Seconds(i64),
}

fn happens(nodes: usize) -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => (0..nodes).prop_map(Happens::Breaks),
        2 => (0..nodes).prop_map(Happens::Recovers),
        1 => (0..nodes).prop_map(Happens::Reboots),
        1 => Just(Happens::Restart),
        1 => (0i64..40).prop_map(Happens::Seconds),
    ]
}

/// What the nodes of the property show and are.
struct Model {
    machine: Machine,
    shown: Vec<NodeState>,
    is_broken: Vec<bool>,
    now: i64,
}

impl Model {
    fn new(count: usize) -> Self {
        let (shown, is_broken) = (vec![ready(); count], vec![false; count]);
        Self { machine: fleet(count), shown, is_broken, now: 0 }
    }

    /// What a reconcile finds out about a node.
    fn found(&self, node: usize) -> NodeState {
        match &self.shown[node] {
            NodeState::Ready { .. } if self.is_broken[node] => losing(),
            NodeState::NeverReady | NodeState::Lost { .. } if !self.is_broken[node] => ready(),
            shown => shown.clone(),
        }
    }

    fn reconcile(&mut self, node: usize) {
        let found = self.found(node);
        let is_losing = found == losing();
        if self.machine.observe(&node.to_string(), found.clone(), at(self.now)).is_held {
            return;
        }
        if is_losing {
            self.shown[node] = lost(self.now);
        } else {
            self.shown[node] = found;
        }
        let now = at(self.now);
        self.machine.observe(&node.to_string(), self.shown[node].clone(), now);
    }

    /// Nodes that lost ready less than a minute ago and have not recovered, and these with those
    /// that show ready. A node that recovered counts as ready before this is written.
    fn losses(&self) -> Losses {
        let mut losses = Losses::default();
        for node in 0..self.shown.len() {
            match self.found(node) {
                NodeState::Lost { at: lost_at, .. }
                    if at(self.now).duration_since(lost_at) < WINDOW =>
                {
                    losses.nodes += 1;
                    losses.of += 1;
                }
                // A node that is losing still shows ready.
                NodeState::Ready { .. } | NodeState::Losing { .. } => losses.of += 1,
                NodeState::NeverReady | NodeState::Lost { .. } => {}
            }
        }
        losses
    }

    fn restart(&mut self) {
        let since = self.machine.open_since;
        // A recovery counts when it is written.
        let at_start = |node: usize| match &self.shown[node] {
            lost @ NodeState::Lost { .. } => lost.clone(),
            NodeState::NeverReady | NodeState::Ready { .. } | NodeState::Losing { .. } => {
                self.found(node)
            }
        };
        let nodes: Vec<_> =
            (0..self.shown.len()).map(|node| (node.to_string(), at_start(node))).collect();
        self.machine = Machine::new(Limit::default());
        self.machine.restore(nodes, since, at(self.now));
    }
}

proptest! {
    /// At no time more nodes have lost ready within a minute than the share, or two.
    #[test]
    fn no_history_loses_more_than_the_share_in_a_minute(
        count in 1usize..40,
        history in prop::collection::vec(happens(40), 0..120),
        seed: u64,
    ) {
        let mut model = Model::new(count);
        let mut random = fastrand::Rng::with_seed(seed);
        for event in history {
            match event {
                Happens::Breaks(node) => model.is_broken[node % count] = true,
                Happens::Recovers(node) => model.is_broken[node % count] = false,
                Happens::Reboots(node) => {
                    model.shown[node % count] = NodeState::NeverReady;
                    model.reconcile(node % count);
                }
                Happens::Restart => model.restart(),
                Happens::Seconds(seconds) => model.now += seconds,
            }
            // The reconciles come late and in any order.
            for _ in 0..random.usize(..3) {
                let node = random.usize(..count);
                let before = model.shown[node].clone();
                model.reconcile(node);
                let is_loss = before == ready() && model.shown[node] != before;
                let Losses { nodes, of } = model.losses();
                let is_allowed = !is_loss || nodes <= (of * 30 / 100).max(2);
                prop_assert!(is_allowed, "{nodes} of {of} nodes lost ready");
            }
        }
    }

    /// The counts are those of the nodes, whatever was observed before.
    #[test]
    fn counts_follow_the_nodes(
        states in prop::collection::vec((0usize..6, 0u8..6), 0..60),
    ) {
        let mut machine = fleet(6);
        let mut known = vec![ready(); 6];
        for (node, state) in states {
            let state = match state {
                0 => NodeState::NeverReady,
                1 => ready(),
                2 => losing(),
                3 => losing_with("2"),
                4 => NodeState::Lost { at: at(1), new_version: Some("2".into()) },
                _ => lost(1),
            };
            known[node] = state.clone();
            machine.observe(&node.to_string(), state, at(1));
        }
        let count = |is: fn(&NodeState) -> bool| known.iter().filter(|state| is(state)).count();
        let ready = count(|state| matches!(state, NodeState::Ready { .. }));
        let losses = count(|s| matches!(s, NodeState::Losing { .. } | NodeState::Lost { .. }));
        prop_assert_eq!(machine.losses(), Losses { nodes: losses, of: ready + losses });
        let of_version = count(|state| {
            !matches!(state, NodeState::Ready { .. }) && state.version().is_some()
        });
        prop_assert_eq!(machine.losses_of("2").nodes, of_version);
        machine.retain(|_| false, at(2));
        prop_assert_eq!(machine.remembered(), 0);
    }
}
