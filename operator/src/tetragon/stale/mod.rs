//! Which stale agent to restart now: an agent that found no LSM BPF when it started, on a node that
//! was repaired since.
//!
//! Tetragon looks for LSM BPF once, when it starts, in every release (`pkg/bpf/detect_linux.go`),
//! and does not try policies again that failed to load. So an agent that was started while its node
//! could not deny stays without LSM BPF on a node that can.
//!
//! In: the DaemonSet and its agents, when each node was repaired, what its agent reports, what was
//! tried before, and the gate. Out: at most one agent to evict.
//!
//! ## Guarantees
//! An agent is stale only if all of this holds: an earlier report of the node's present boot showed
//! that the node could not deny, a later report shows that it can
//! ([`LsmNodeStatus::denied_since`]), and the agent's container started before that. It is not
//! stale if it started in a span in which the node could deny ([`LsmNodeStatus::denied_before`]),
//! unless it reports policies in an error state since the repair. All times of a node are from the
//! node's own clock. One agent is restarted at a time, only when every node has a new and ready
//! agent, and each agent at most once for one repair.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use lsm_ready_crds::node::Span;
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::verdict::{Facts, outcome};
use lsm_ready_crds::{LsmNodeStatus, State};
use lsm_ready_tetragon::image::{LSM_HOOKS_SINCE, Version};
use lsm_ready_tetragon::plan::{NoNeed, Plan};

use super::gate::Gate;
use super::rollout::agents::Agent;
use super::rollout::progress::Progress;
use crate::watch::store::{Stores, boot_id};

/// The repairs of nodes in their present boot, by the node's name.
pub type Repairs = BTreeMap<String, Repair>;

/// Time of the newest answer that reports policies in an error state, by the node's name.
pub type LoadErrors = BTreeMap<String, Timestamp>;

/// What is known of the nodes in their present boot.
#[derive(Clone, Debug, Default)]
pub struct NodeHistory {
    /// The repairs of nodes.
    pub repairs: Repairs,
    /// What the agents report.
    pub load_errors: LoadErrors,
}

/// A node could not deny, and can now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Repair {
    /// Since when the node can deny.
    pub since: Timestamp,
    /// Earlier spans of the same boot in which it could.
    pub before: Vec<Span>,
}

/// What is remembered about stale agents of one DaemonSet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stale {
    /// The repairs for which no stale agent is left.
    settled: Option<Settled>,
    /// What was tried: a pod's UID, and the repair that it was evicted for.
    tried: BTreeMap<String, Timestamp>,
    /// Why stale agents are not restarted, where the API server refuses it.
    pub refused: Option<String>,
}

/// The pods were read at these repairs, while agents on these nodes reported errors, and none was
/// stale.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Settled {
    repairs: Repairs,
    with_errors: BTreeSet<String>,
}

/// The agents of one DaemonSet, and what is known of their nodes.
#[derive(Clone, Copy, Debug)]
pub struct Fleet<'a> {
    /// The rollout of the DaemonSet.
    pub rollout: &'a Progress,
    /// Name of the agent's container.
    pub container: &'a str,
    /// Its agents.
    pub agents: &'a [Agent],
    /// What is known of their nodes.
    pub nodes: &'a NodeHistory,
    /// Whether agents may be restarted.
    pub gate: &'a Gate,
}

/// What to do about stale agents.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Restart {
    /// No agent is stale, or each was tried.
    Settled,
    /// Some agent is stale, but none may be restarted before the gate opens or another agent is
    /// back.
    Later,
    /// Evict this agent.
    Evict {
        /// The agent.
        agent: Box<Agent>,
        /// Since when its node can deny.
        since: Timestamp,
    },
}

/// The nodes of the cluster that were repaired.
pub fn repairs(stores: &Stores) -> Repairs {
    let repair = |node: &Node| repair(stores.record(node).facts().report, boot_id(node));
    stores.nodes.iter().filter_map(|node| Some((node.name_any(), repair(&node)?))).collect()
}

/// The node's newest repair, where an earlier report of this boot showed that it could not deny.
fn repair(report: Option<&LsmNodeStatus>, boot_id: &str) -> Option<Repair> {
    let outcome = outcome(&Require::default(), Facts { boot_id, report, profile: None });
    let report = report.filter(|_| outcome.state == State::Ready)?;
    let since = report.denied_since.as_ref()?.0;
    Some(Repair { since, before: report.denied_before.clone() })
}

/// Whether a restart can help agents of that plan and release: they see securityfs, and know LSM
/// policies.
pub fn can_help(plan: &Plan, release: Option<Version>) -> bool {
    let sees_securityfs = matches!(
        plan,
        Plan::Keep { .. } | Plan::NotNeeded(NoNeed::AlreadyMounted(_) | NoNeed::MountsItself(_))
    );
    sees_securityfs && release.is_none_or(|release| release >= LSM_HOOKS_SINCE)
}

impl Repair {
    /// Whether an agent that was started then met a kernel that could not deny, or reports that it
    /// did.
    fn leaves_stale(&self, started: Timestamp, errors: Option<Timestamp>) -> bool {
        let could_deny = self.before.iter().any(|span| span.has(&Time(started)));
        let reports_errors = errors.is_some_and(|as_of| as_of > self.since);
        started < self.since && (!could_deny || reports_errors)
    }
}

impl Stale {
    /// Nothing is left to do for these repairs.
    pub fn is_settled(&self, nodes: &NodeHistory) -> bool {
        let is_known = |settled: &Settled| {
            settled.repairs == nodes.repairs
                && settled.with_errors.iter().eq(nodes.load_errors.keys())
        };
        nodes.repairs.is_empty() || self.settled.as_ref().is_some_and(is_known)
    }

    /// Notes that no stale agent is left for these repairs.
    pub fn settle(&mut self, nodes: NodeHistory) {
        let with_errors = nodes.load_errors.into_keys().collect();
        self.settled = Some(Settled { repairs: nodes.repairs, with_errors });
    }

    /// Notes that the agent was evicted for that repair, or why it cannot be.
    pub fn record(&mut self, agent: &Agent, since: Timestamp, refused: Option<String>) {
        self.tried.insert(agent.uid.clone(), since);
        self.refused = refused;
    }

    /// What to do about the stale agents. Forgets what was tried with agents that are gone.
    pub fn next(&mut self, fleet: &Fleet<'_>) -> Restart {
        self.tried.retain(|uid, _| fleet.agents.iter().any(|agent| agent.uid == *uid));
        let first = fleet
            .agents
            .iter()
            .filter(|agent| agent.gone_by.is_none())
            .filter_map(|agent| Some((agent, self.untried(agent, fleet)?)))
            .min_by_key(|(agent, _)| (&agent.node, &agent.pod));
        let Some((agent, since)) = first else {
            return Restart::Settled;
        };
        if fleet.gate.allows_one() && may_spare_one(fleet) {
            Restart::Evict { agent: Box::new(agent.clone()), since }
        } else {
            Restart::Later
        }
    }

    /// The repair that makes the agent stale, where it was not evicted for that repair.
    fn untried(&self, agent: &Agent, fleet: &Fleet<'_>) -> Option<Timestamp> {
        let repair = fleet.nodes.repairs.get(&agent.node)?;
        let errors = fleet.nodes.load_errors.get(&agent.node).copied();
        let is_stale = repair.leaves_stale(agent.started(fleet.container)?, errors);
        let was_tried = self.tried.get(&agent.uid) == Some(&repair.since);
        (is_stale && !was_tried).then_some(repair.since)
    }
}

/// Whether one agent may be away: every node has a new and ready agent that stays, and the
/// DaemonSet's own budget allows it. The pods are checked as well, because the counts lag behind an
/// eviction.
fn may_spare_one(fleet: &Fleet<'_>) -> bool {
    let Some(counts) = fleet.rollout.counts.filter(|counts| counts.is_complete()) else {
        return false;
    };
    let all_ready = fleet.agents.iter().all(|agent| agent.ready && agent.gone_by.is_none());
    let all_there = i32::try_from(fleet.agents.len()).is_ok_and(|agents| agents >= counts.desired);
    // OnDelete has no budget. With a surge, one agent is away all the same. One is the least in
    // both cases.
    let budget_allows = fleet.rollout.budget.as_ref().is_none_or(|budget| budget.agents >= 1);
    all_ready && all_there && budget_allows
}

#[cfg(test)]
mod tests;
