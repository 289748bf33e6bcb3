//! When changes of nodes are held. Pure.
//!
//! In: for each node, what it shows and what was found out now ([`NodeState`]), one node at a time
//! in any order, and the time. Out: whether the changes of a node are held.
//!
//! ```text
//!             losses > share, and at least the minimum
//!   closed ────────────────────────────────────────────▶ open
//!     ▲                                                   │
//!     └───────────────────────────────────────────────────┘
//!       losses ≤ share (nodes recovered, rebooted or are gone), or released by a person
//! ```
//!
//! | the breaker is | losses are the nodes that lose ready now, and those that lost it |
//! |---|---|
//! | closed | in the last 60 s |
//! | open | since 60 s before it opened |
//! | for one new probe version | with this version, at any time |
//!
//! The share is that of the losses and the ready nodes; for a version, of the nodes that report
//! with it.
//!
//! ## Guarantees
//! - At most the share of the nodes loses ready, whatever the order in which nodes are looked at: a
//!   node counts before it is decided whether it is held.
//! - Only nodes that lose ready in the boot in which they were shown ready are held.
//! - A node counts once. The work for each node is constant but for a logarithm.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

/// While the breaker is closed, losses older than this do not count.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// When there are too many losses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    /// The share of the nodes, from 1 to 100. With 100 nothing is ever held.
    pub percent: u8,
    /// Fewer losses than this are never too many.
    pub min_nodes: usize,
}

impl Default for Limit {
    fn default() -> Self {
        Self { percent: 30, min_nodes: 3 }
    }
}

impl Limit {
    /// Whether that many nodes of so many are too many.
    pub const fn is_exceeded(self, nodes: usize, of: usize) -> bool {
        nodes >= self.min_nodes
            && nodes.saturating_mul(100) > of.saturating_mul(self.percent as usize)
    }
}

/// What a node shows, compared with what was found out now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum NodeState {
    /// The node has nothing to lose: it was not shown ready in its present boot.
    #[default]
    NeverReady,
    /// The node is ready, and nothing is lost.
    Ready {
        /// Version of the probe that reports.
        version: Option<String>,
    },
    /// The node is shown ready in this boot and is not any more. Nothing was written yet.
    Losing {
        /// A code of docs/reasons.md, or `Other`.
        reason: &'static str,
        /// The version of the probe, if the node was ready with another version.
        new_version: Option<String>,
    },
    /// The node lost ready in this boot and has not recovered.
    Lost {
        at: Timestamp,
        /// The version of the probe, if the node was ready with another version.
        new_version: Option<String>,
    },
}

impl NodeState {
    const fn version(&self) -> Option<&String> {
        match self {
            Self::NeverReady => None,
            Self::Ready { version } => version.as_ref(),
            Self::Losing { new_version, .. } | Self::Lost { new_version, .. } => {
                new_version.as_ref()
            }
        }
    }
}

/// What was decided about a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// The node's labels, taints and condition keep their values.
    pub is_held: bool,
    /// The breaker opened or closed, for all nodes or for those of one probe version.
    pub has_switched: bool,
}

/// Why changes are held, for people.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Holding {
    /// Nodes whose changes are held.
    pub held: usize,
    /// Losses of all nodes, where these are too many.
    pub of_all: Option<Losses>,
    /// Losses of the nodes of each probe version, where these are too many.
    pub of_versions: BTreeMap<String, Losses>,
    /// How many of the held nodes have each reason.
    pub reasons: BTreeMap<&'static str, usize>,
}

/// So many nodes lose or lost ready, of so many.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Losses {
    pub nodes: usize,
    pub of: usize,
}

/// Nodes that report with one probe version.
#[derive(Debug, Default)]
struct Counts {
    ready: usize,
    /// Nodes that lose or lost ready with this version, after another version had shown it.
    losses: usize,
}

/// The breaker.
#[derive(Debug, Default)]
pub struct Machine {
    limit: Limit,
    nodes: HashMap<String, NodeState>,
    ready: usize,
    losing: usize,
    /// Nodes that lost ready in the window, by time.
    window: BTreeSet<(Timestamp, String)>,
    versions: HashMap<String, Counts>,
    reasons: BTreeMap<&'static str, usize>,
    /// Since when the breaker is open for all nodes.
    open_since: Option<Timestamp>,
    /// The probe versions for whose nodes it is open.
    open_versions: BTreeSet<String>,
    is_released: bool,
}

impl Machine {
    pub fn new(limit: Limit) -> Self {
        Self { limit, ..Self::default() }
    }

    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// Takes in all nodes after a start. `open_since` is what the policies say of the time before.
    pub fn restore(
        &mut self,
        nodes: impl IntoIterator<Item = (String, NodeState)>,
        open_since: Option<Timestamp>,
        now: Timestamp,
    ) {
        // A time in the future would forget losses.
        self.open_since = open_since.map(|since| since.min(now));
        for (node, state) in nodes {
            self.replace(&node, state);
        }
        self.update(now);
    }

    /// Takes in what one node shows now, and decides about it.
    pub fn observe(&mut self, node: &str, state: NodeState, now: Timestamp) -> Decision {
        let old = self.nodes.get(node).and_then(|old| old.version().cloned());
        let new = state.version().cloned();
        self.replace(node, state);
        let mut has_switched = self.update_all_nodes(now);
        for version in [old, new].into_iter().flatten() {
            has_switched |= self.update_version(&version);
        }
        Decision { is_held: self.is_held(node), has_switched }
    }

    /// Whether that node's changes are held.
    pub fn is_held(&self, node: &str) -> bool {
        match self.nodes.get(node) {
            Some(NodeState::Losing { new_version, .. }) => {
                let of_version = new_version.as_ref();
                self.open_since.is_some()
                    || of_version.is_some_and(|version| self.open_versions.contains(version))
            }
            Some(NodeState::NeverReady | NodeState::Ready { .. } | NodeState::Lost { .. })
            | None => false,
        }
    }

    /// While released, the breaker stays closed. Returns whether it switched.
    pub fn release(&mut self, is_released: bool, now: Timestamp) -> bool {
        if self.is_released == is_released {
            return false;
        }
        self.is_released = is_released;
        self.update(now)
    }

    /// Keeps the nodes that exist. Returns whether the breaker switched.
    pub fn retain(&mut self, exists: impl Fn(&str) -> bool, now: Timestamp) -> bool {
        let gone: Vec<String> = self.nodes.keys().filter(|node| !exists(node)).cloned().collect();
        for node in gone {
            self.replace(&node, NodeState::NeverReady);
            self.nodes.remove(&node);
        }
        self.update(now)
    }

    /// What is held and why. None while the breaker is closed.
    pub fn holding(&self) -> Option<Holding> {
        if !self.is_open() {
            return None;
        }
        let mut holding = Holding {
            of_all: self.open_since.is_some().then(|| self.losses()),
            ..Holding::default()
        };
        for version in &self.open_versions {
            let losses = self.losses_of(version);
            holding.of_versions.insert(version.clone(), losses);
        }
        for (node, state) in &self.nodes {
            if let NodeState::Losing { reason, .. } = state
                && self.is_held(node)
            {
                holding.held += 1;
                *holding.reasons.entry(*reason).or_default() += 1;
            }
        }
        Some(holding)
    }

    /// Whether changes of any nodes are held.
    pub fn is_open(&self) -> bool {
        self.open_since.is_some() || !self.open_versions.is_empty()
    }

    /// Since when the breaker is open for all nodes.
    pub const fn open_since(&self) -> Option<Timestamp> {
        self.open_since
    }

    /// How many nodes lose ready now, by reason. A reason stays with 0.
    pub const fn reasons(&self) -> &BTreeMap<&'static str, usize> {
        &self.reasons
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.nodes.len() + self.window.len() + self.versions.len()
    }

    fn losses(&self) -> Losses {
        let nodes = self.losing + self.window.len();
        Losses { nodes, of: self.ready + nodes }
    }

    fn losses_of(&self, version: &str) -> Losses {
        self.versions.get(version).map_or_else(Losses::default, |counts| Losses {
            nodes: counts.losses,
            of: counts.ready + counts.losses,
        })
    }

    /// Opens or closes for everything. Returns whether anything switched.
    fn update(&mut self, now: Timestamp) -> bool {
        let versions: Vec<String> =
            self.versions.keys().chain(&self.open_versions).cloned().collect();
        let mut has_switched = self.update_all_nodes(now);
        for version in versions {
            has_switched |= self.update_version(&version);
        }
        has_switched
    }

    /// Opens or closes for all nodes. Returns whether it did.
    fn update_all_nodes(&mut self, now: Timestamp) -> bool {
        self.forget_old_losses(now);
        let was_open = self.open_since.is_some();
        let is_open = self.is_exceeded(self.losses());
        self.open_since = is_open.then(|| self.open_since.unwrap_or(now));
        was_open != is_open
    }

    /// Opens or closes for the nodes of one probe version. Returns whether it did.
    fn update_version(&mut self, version: &str) -> bool {
        if self.is_exceeded(self.losses_of(version)) {
            self.open_versions.insert(version.to_owned())
        } else {
            self.open_versions.remove(version)
        }
    }

    const fn is_exceeded(&self, losses: Losses) -> bool {
        !self.is_released && self.limit.is_exceeded(losses.nodes, losses.of)
    }

    /// Drops what is outside of the window. While the breaker is open, the window stays.
    fn forget_old_losses(&mut self, now: Timestamp) {
        let first = self.open_since.unwrap_or(now).saturating_sub(WINDOW).unwrap_or(now);
        while self.window.first().is_some_and(|(at, _)| *at < first) {
            self.window.pop_first();
        }
        // A time in the future comes from another clock. It must not count for ever. While the
        // breaker is open, every loss counts anyway, and a clock that is set back must not close
        // it.
        if self.open_since.is_some() {
            return;
        }
        let last = now.saturating_add(WINDOW).unwrap_or(now);
        while self.window.last().is_some_and(|(at, _)| *at > last) {
            self.window.pop_last();
        }
    }

    /// Replaces what is known about a node, and all that is counted of it.
    fn replace(&mut self, node: &str, state: NodeState) {
        let old = self.nodes.get(node).cloned().unwrap_or_default();
        if old != state {
            self.uncount(node, &old);
            self.count(node, &state);
        }
        self.nodes.insert(node.to_owned(), state);
    }

    fn uncount(&mut self, node: &str, state: &NodeState) {
        match state {
            NodeState::NeverReady => {}
            NodeState::Ready { .. } => self.ready -= 1,
            NodeState::Losing { reason, .. } => {
                self.losing -= 1;
                self.reasons.entry(*reason).and_modify(|count| *count -= 1);
            }
            NodeState::Lost { at, .. } => drop(self.window.remove(&(*at, node.to_owned()))),
        }
        self.count_version(state, false);
    }

    fn count(&mut self, node: &str, state: &NodeState) {
        match state {
            NodeState::NeverReady => {}
            NodeState::Ready { .. } => self.ready += 1,
            NodeState::Losing { reason, .. } => {
                self.losing += 1;
                *self.reasons.entry(*reason).or_default() += 1;
            }
            NodeState::Lost { at, .. } => drop(self.window.insert((*at, node.to_owned()))),
        }
        self.count_version(state, true);
    }

    fn count_version(&mut self, state: &NodeState, is_added: bool) {
        let Some(version) = state.version() else {
            return;
        };
        let counts = self.versions.entry(version.clone()).or_default();
        let count = match state {
            NodeState::Ready { .. } => &mut counts.ready,
            NodeState::NeverReady | NodeState::Losing { .. } | NodeState::Lost { .. } => {
                &mut counts.losses
            }
        };
        *count = if is_added { *count + 1 } else { count.saturating_sub(1) };
        if counts.ready + counts.losses == 0 {
            self.versions.remove(version);
        }
    }
}

#[cfg(test)]
mod tests;
