//! Which nodes will accept the hooks of which policy: a forecast from what the probes found, before
//! an agent tries.
//!
//! In: a policy, and what is known of each node. Out: a [`Forecast`]: for each hook that the policy
//! requires, on how many nodes its programs will load, and why not on the others.
//!
//! ## Guarantees
//! A node counts as loadable only if this boot's canary was denied there, the kernel lets programs
//! read its memory, and the hook profile has the hook. The forecast uses the same verdict as the
//! node's labels. The order of the nodes does not matter.
//!
//! ## Cost
//! Nodes that the verdict cannot distinguish form a class, which is judged once for each different
//! hook. [`Nodes::explain`] makes sentences only for the hooks that are printed. Each node's labels
//! are read once for each different set of keys in `nodeSelector`s. A `nodeSelector` is then
//! evaluated once for all nodes of a class with equal values.
//!
//! ## Limits
//! A forecast is about hooks only. The verdict on the policy's text is
//! [`crate::tracing_policy::TextVerdict`].

mod nodes;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use lsm_ready_crds::verdict::{Outcome, Verdict};
use lsm_ready_crds::{State, first_n};

use crate::tracing_policy::{HookRequirement, TracingPolicy};
use nodes::NodeSet;

pub use nodes::{KnownNode, Nodes};

/// On how many of its nodes a policy's hooks accept their programs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Number of nodes that the policy selects.
    pub nodes: usize,
    /// Number of those nodes on which all hooks accept their programs.
    pub loadable: usize,
    /// Number of those nodes on which some hook was shown not to.
    pub not_loadable: usize,
    /// Number of the remaining nodes.
    pub unknown: usize,
    /// The forecast for each hook.
    pub hooks: Vec<HookForecast>,
}

/// On how many nodes one hook accepts its programs.
#[derive(Clone, Debug, PartialEq)]
pub struct HookForecast {
    /// What the policy requires of the hook.
    pub requirement: HookRequirement,
    /// Number of nodes that accept the programs.
    pub loadable: usize,
    /// The other nodes by reason: shown failures before unknown states, then the most nodes first.
    pub others: Vec<NodesByReason>,
}

/// Nodes that do not accept a hook's programs, or are not known to, for one reason.
/// [`Nodes::explain`] has the sentences.
#[derive(Clone, Debug, PartialEq)]
pub struct NodesByReason {
    /// `NotReady` or `Unknown`.
    pub state: State,
    /// A code of docs/reasons.md.
    pub reason: String,
    /// Number of these nodes.
    pub count: usize,
    /// The first three of them by name.
    pub sample: Vec<String>,
    /// The class of one of them.
    class: usize,
}

impl Forecast {
    /// The worst state of the policy's nodes. `Unknown` if it selects none.
    #[must_use]
    pub const fn state(&self) -> State {
        if self.not_loadable > 0 {
            State::NotReady
        } else if self.unknown > 0 || self.nodes == 0 {
            State::Unknown
        } else {
            State::Ready
        }
    }
}

impl Nodes<'_> {
    /// The sentence and the fix for nodes that do not accept a hook. They are for all these nodes,
    /// so they are never a text of one node.
    #[must_use]
    pub fn explain(&self, requirement: &HookRequirement, others: &NodesByReason) -> Verdict {
        self.verdict(requirement, others.class).shared()
    }
}

/// The forecast for that policy on these nodes.
#[must_use]
pub fn forecast(policy: &TracingPolicy, nodes: &Nodes<'_>) -> Forecast {
    let selected = nodes.selected(policy);
    // The worst state of each class, over all hooks.
    let mut worst = vec![State::Ready; selected.len()];
    let hooks = policy
        .required_hooks
        .iter()
        .map(|requirement| {
            let states = nodes.states(requirement);
            for (worst, state) in worst.iter_mut().zip(states.iter()) {
                *worst = worst.worst(state.state);
            }
            forecast_hook(requirement, &states, &selected)
        })
        .collect();
    let count = |wanted| {
        let of_class = selected.iter().zip(&worst).filter(|(_, worst)| **worst == wanted);
        of_class.map(|(nodes, _)| nodes.count).sum()
    };
    Forecast {
        nodes: selected.iter().map(|nodes| nodes.count).sum(),
        loadable: count(State::Ready),
        not_loadable: count(State::NotReady),
        unknown: count(State::Unknown),
        hooks,
    }
}

fn forecast_hook(
    requirement: &HookRequirement,
    states: &[Outcome],
    selected: &[NodeSet<'_>],
) -> HookForecast {
    let mut loadable = 0;
    let mut by_reason: BTreeMap<&str, NodesByReason> = BTreeMap::new();
    for (class, (state, nodes)) in states.iter().zip(selected).enumerate() {
        if nodes.count == 0 {
            continue;
        }
        match state.state {
            State::Ready => loadable += nodes.count,
            State::NotReady | State::Unknown => by_reason
                .entry(&state.reason)
                .or_insert_with(|| NodesByReason::new(state, class))
                .add(nodes),
        }
    }
    let mut others: Vec<NodesByReason> = by_reason.into_values().collect();
    others.sort_by_key(|others| (others.state == State::Unknown, Reverse(others.count)));
    HookForecast { requirement: requirement.clone(), loadable, others }
}

impl NodesByReason {
    fn new(Outcome { state, reason }: &Outcome, class: usize) -> Self {
        Self { state: *state, reason: reason.clone(), count: 0, sample: Vec::new(), class }
    }

    fn add(&mut self, nodes: &NodeSet<'_>) {
        self.count += nodes.count;
        for node in &nodes.sample {
            first_n::insert(&mut self.sample, (*node).to_owned(), |a, b| a < b);
        }
    }
}

#[cfg(test)]
mod tests;
