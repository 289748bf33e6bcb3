//! Counts of nodes: all of them, and by reason, kernel, pool and zone.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use lsm_ready_crds::{Evidence, State};

use crate::fleet::{Fleet, NodeRow};

/// Numbers of nodes by state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    pub ready: usize,
    pub not_ready: usize,
    pub unknown: usize,
}

impl Tally {
    /// The states in the order in which they are shown.
    pub const STATES: [State; 3] = [State::Ready, State::NotReady, State::Unknown];

    pub const fn total(self) -> usize {
        self.ready + self.not_ready + self.unknown
    }

    pub const fn of(self, state: State) -> usize {
        match state {
            State::Ready => self.ready,
            State::NotReady => self.not_ready,
            State::Unknown => self.unknown,
        }
    }

    const fn count(&mut self, state: State) {
        match state {
            State::Ready => self.ready += 1,
            State::NotReady => self.not_ready += 1,
            State::Unknown => self.unknown += 1,
        }
    }

    pub const fn plus(self, other: Self) -> Self {
        Self {
            ready: self.ready + other.ready,
            not_ready: self.not_ready + other.not_ready,
            unknown: self.unknown + other.unknown,
        }
    }
}

/// Nodes that have something in common.
#[derive(Debug)]
pub struct Group<'a> {
    /// What they have in common. Empty where it is not known.
    pub name: &'a str,
    pub tally: Tally,
    /// The first three of them, in the order of the report.
    pub sample: Vec<&'a str>,
}

/// The counts of a fleet.
#[derive(Debug)]
pub struct Summary<'a> {
    /// The nodes in the order of the report: those that are not ready, the unknown ones, the ready
    /// ones, and each by name.
    pub nodes: Vec<&'a NodeRow>,
    pub all: Tally,
    /// Reasons of nodes that are not ready come first, then those of unknown nodes.
    pub reasons: Vec<Group<'a>>,
    /// Like [`Self::pools`] and [`Self::zones`], the largest group first.
    pub kernels: Vec<Group<'a>>,
    pub pools: Vec<Group<'a>>,
    pub zones: Vec<Group<'a>>,
}

impl<'a> Summary<'a> {
    pub fn of(fleet: &'a Fleet) -> Self {
        let mut nodes: Vec<&NodeRow> = fleet.nodes.iter().collect();
        nodes.sort_by(|one, other| order(one).cmp(&order(other)));
        let mut all = Tally::default();
        for node in &nodes {
            all.count(node.verdict.state);
        }
        let mut reasons = group(&nodes, |node| &node.verdict.reason);
        reasons.sort_by_key(|group| {
            let Tally { not_ready, unknown, ready } = group.tally;
            Reverse((not_ready, unknown, ready))
        });
        let kernels = group(&nodes, |node| &node.kernel);
        let pools = group(&nodes, |node| node.labels.pool.as_deref().unwrap_or_default());
        let zones = group(&nodes, |node| node.labels.zone.as_deref().unwrap_or_default());
        Self { nodes, all, reasons, kernels, pools, zones }
    }
}

/// The evidence of the present boot. A report of another boot shows nothing.
pub fn evidence(node: &NodeRow) -> Evidence {
    if node.rungs.is_empty() { Evidence::None } else { node.evidence }
}

fn order(node: &NodeRow) -> (u8, &str) {
    let rank = match node.verdict.state {
        State::NotReady => 0,
        State::Unknown => 1,
        State::Ready => 2,
    };
    (rank, &node.name)
}

/// Whether some node has a name for this. In a cluster without pools no node has one.
pub fn has_names(groups: &[Group]) -> bool {
    groups.iter().any(|group| !group.name.is_empty())
}

/// The groups by the text that `name` finds, the largest first.
fn group<'a>(nodes: &[&'a NodeRow], name: impl Fn(&'a NodeRow) -> &'a str) -> Vec<Group<'a>> {
    const SAMPLE: usize = 3;
    let mut groups = BTreeMap::new();
    for node in nodes {
        let name = name(node);
        let group =
            groups.entry(name).or_insert(Group { name, tally: Tally::default(), sample: vec![] });
        group.tally.count(node.verdict.state);
        if group.sample.len() < SAMPLE {
            group.sample.push(&node.name);
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| Reverse(group.tally.total()));
    groups
}
