//! Agents that found no LSM BPF when they started, on nodes that were repaired since: which of them to restart now.
//!
//! Tetragon looks once, when it starts, in every release (`pkg/bpf/detect_linux.go`), and policies that failed to load are not
//! tried again. So an agent that was started while its node could not deny stays without LSM BPF on a node that can.
//!
//! In: the DaemonSet, its agents, when each node was repaired, what its agent says, what was tried before, and the gate. Out:
//! at most one agent to evict.
//!
//! ## Guarantees
//! An agent is stale only where an earlier report of the node's present boot showed that it could not deny, and a later one
//! that it can ([`LsmNodeStatus::denied_since`]), and the agent's container started before that. It is not stale where it
//! started in a span in which the node could deny ([`LsmNodeStatus::denied_before`]), unless it reports policies in an error
//! state since the repair. All times of nodes are of the node's own clock. One agent at a time, only when every node's agent is
//! there, new and ready, and each at most once for one repair.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use lsm_ready_crds::LsmNodeStatus;
use lsm_ready_crds::node::Span;
use lsm_ready_tetragon::image::{LSM_HOOKS_SINCE, Version};
use lsm_ready_tetragon::plan::{NoNeed, Plan};

use super::gate::Gate;
use super::rollout::Counts;
use super::rollout::agents::Agent;
use super::rollout::budget::budget;
use crate::watch::store::{Stores, boot_id};

/// The repairs of nodes in their present boot, by name.
pub type Repaired = BTreeMap<String, Repair>;

/// When the newest answer was that reports policies in an error state, by node.
pub type Errors = BTreeMap<String, Timestamp>;

/// A repair.
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
    /// The repairs, and the nodes whose agents report errors, after which the pods were looked at and none was found stale
    /// any more.
    pub settled: Option<(Repaired, BTreeSet<String>)>,
    /// What was tried: a pod's UID, and the repair that it was evicted for.
    pub tried: BTreeMap<String, Timestamp>,
    /// Why they are not restarted, where that is refused.
    pub refused: Option<String>,
}

/// What to do about stale agents.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Restart {
    /// None is stale, or each was tried.
    Settled,
    /// Some are; not before the gate opens, or an agent is back.
    Later,
    /// Evict it.
    Evict {
        /// The agent.
        agent: Box<Agent>,
        /// Since when its node can deny.
        since: Timestamp,
    },
}

/// The nodes of the cluster that were repaired.
pub fn repaired(stores: &Stores) -> Repaired {
    let repair = |node: &Node| repair(stores.record(node).facts().report, boot_id(node));
    stores.nodes.state().iter().filter_map(|node| Some((node.name_any(), repair(node)?))).collect()
}

/// The node's newest repair, where an earlier report of this boot showed that it could not deny.
fn repair(report: Option<&LsmNodeStatus>, boot_id: &str) -> Option<Repair> {
    let report = report.filter(|report| !boot_id.is_empty() && report.boot_id == boot_id)?;
    let since = report
        .denied_since
        .as_ref()
        .filter(|_| report.evidence == lsm_ready_crds::Evidence::Denied)?
        .0;
    Some(Repair { since, before: report.denied_before.clone() })
}

/// Whether a restart can help those agents, by the plan and their release: they see securityfs, and know LSM policies.
pub fn can_be_helped(plan: &Plan, release: Option<Version>) -> bool {
    let sees = matches!(
        plan,
        Plan::Keep { .. } | Plan::NotNeeded(NoNeed::AlreadyMounted(_) | NoNeed::MountsItself(_))
    );
    sees && release.is_none_or(|release| release >= LSM_HOOKS_SINCE)
}

impl Repair {
    /// Whether an agent that was started then has met a kernel that could not deny, or says that it has.
    fn leaves_stale(&self, started: Timestamp, errors: Option<Timestamp>) -> bool {
        let could = || self.before.iter().any(|span| span.has(&Time(started)));
        let says_so = || errors.is_some_and(|as_of| as_of > self.since);
        started < self.since && (!could() || says_so())
    }
}

/// What to do about the stale ones of those agents.
pub fn restart(
    (daemon_set, container): (&DaemonSet, &str),
    agents: &[Agent],
    (repaired, errors): (&Repaired, &Errors),
    stale: &Stale,
    gate: &Gate,
) -> Restart {
    let since = |agent: &Agent| {
        let repair = repaired.get(&agent.node)?;
        let is_stale =
            repair.leaves_stale(agent.started(container)?, errors.get(&agent.node).copied());
        (is_stale && stale.tried.get(&agent.uid) != Some(&repair.since)).then_some(repair.since)
    };
    let mut found: Vec<(&Agent, Timestamp)> = agents
        .iter()
        .filter_map(|agent| Some((agent, since(agent)?)))
        .filter(|(agent, _)| agent.gone_by.is_none())
        .collect();
    found.sort_by(|(a, _), (b, _)| (&a.node, &a.pod).cmp(&(&b.node, &b.pod)));
    let Some((agent, since)) = found.first() else {
        return Restart::Settled;
    };
    if gate.lets_one() && may_spare_one(daemon_set, agents) {
        Restart::Evict { agent: Box::new((*agent).clone()), since: *since }
    } else {
        Restart::Later
    }
}

/// Every node has an agent that is new, ready and not leaving, and the DaemonSet's own budget allows one to be away. The
/// pods are asked as well, as the counts lag behind an eviction.
fn may_spare_one(daemon_set: &DaemonSet, agents: &[Agent]) -> bool {
    let Some(counts) = Counts::present(daemon_set).filter(|counts| counts.complete()) else {
        return false;
    };
    let all_ready = agents.iter().all(|agent| agent.ready && agent.gone_by.is_none());
    let all_there = i32::try_from(agents.len()).is_ok_and(|agents| agents >= counts.desired);
    // OnDelete has no budget, and one agent less of a surge is one that is away all the same: one is the least either way.
    all_ready && all_there && budget(daemon_set).is_none_or(|budget| budget.agents >= 1)
}

#[cfg(test)]
mod tests;
