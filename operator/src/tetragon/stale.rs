//! Agents that found no LSM BPF when they started, on nodes that were repaired since: which of them to restart now.
//!
//! Tetragon looks once, when it starts (`pkg/bpf/detect_linux.go`), and policies that failed to load are not tried again.
//! So an agent that was started before its node was repaired stays without LSM BPF on a node that has it.
//!
//! In: the DaemonSet, its agents, since when each node can deny, what was tried before, and the gate. Out: at most one
//! agent to evict.
//!
//! ## Guarantees
//! Stale is an agent only where an earlier report of the node's present boot showed that it could not deny, and a later one
//! that it can ([`LsmNodeStatus::denied_since`]), and the agent's container started before that: never for a report that
//! was only renewed, nor for one that a boot began with. Both times are of the node's own clock. One agent at a time, only
//! when every node's agent is there, new and ready, and each at most once for one repair.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lsm_ready_crds::LsmNodeStatus;
use lsm_ready_tetragon::plan::Plan;

use super::gate::Gate;
use super::rollout::Counts;
use super::rollout::agents::Agent;
use super::rollout::budget::budget;
use crate::stores::{Stores, boot_id};

/// Since when nodes that were repaired in their present boot can deny, by name.
pub type Repaired = BTreeMap<String, Timestamp>;

/// What is remembered about stale agents of one DaemonSet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stale {
    /// The repairs after which the pods were looked at and none was found stale any more.
    pub settled: Option<Repaired>,
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
#[must_use]
pub fn repaired(stores: &Stores) -> Repaired {
    let since = |node: &Node| repair(stores.record(node).facts().report, boot_id(node));
    stores.nodes.state().iter().filter_map(|node| Some((node.name_any(), since(node)?))).collect()
}

/// Since when a node can deny, where an earlier report of this boot showed that it could not.
fn repair(report: Option<&LsmNodeStatus>, boot_id: &str) -> Option<Timestamp> {
    let report = report.filter(|report| !boot_id.is_empty() && report.boot_id == boot_id)?;
    report.denied_since.as_ref().filter(|_| report.evidence == lsm_ready_crds::Evidence::Denied).map(|time| time.0)
}

/// Whether the plan says that these agents look once and need the host's list for it: a release before v1.4.0, an unknown
/// one or an unprivileged one, with our mount in place. Agents of other releases are left alone.
#[must_use]
pub fn looks_once(plan: &Plan) -> bool {
    matches!(plan, Plan::Keep { still_needed: Some(_), .. })
}

/// What to do about the stale ones of those agents.
#[must_use]
pub fn restart(
    (daemon_set, container): (&DaemonSet, &str),
    agents: &[Agent],
    repaired: &Repaired,
    stale: &Stale,
    gate: &Gate,
) -> Restart {
    let since = |agent: &Agent| {
        let since = *repaired.get(&agent.node)?;
        (agent.started(container)? < since && stale.tried.get(&agent.uid) != Some(&since)).then_some(since)
    };
    let mut found: Vec<(&Agent, Timestamp)> = agents
        .iter()
        .filter_map(|agent| Some((agent, since(agent)?)))
        .filter(|(agent, _)| agent.gone_by.is_none())
        .collect();
    found.sort_by(|(a, _), (b, _)| (&a.node, &a.pod).cmp(&(&b.node, &b.pod)));
    let Some((agent, since)) = found.first() else { return Restart::Settled };
    if gate.lets_one() && may_spare_one(daemon_set, agents) {
        Restart::Evict { agent: Box::new((*agent).clone()), since: *since }
    } else {
        Restart::Later
    }
}

/// Every node has an agent that is new, ready and not leaving, and the DaemonSet's own budget allows one to be away. The
/// pods are asked as well, as the counts lag behind an eviction.
fn may_spare_one(daemon_set: &DaemonSet, agents: &[Agent]) -> bool {
    let Some(counts) = Counts::present(daemon_set).filter(|counts| counts.complete()) else { return false };
    let all_ready = agents.iter().all(|agent| agent.ready && agent.gone_by.is_none());
    let all_there = i32::try_from(agents.len()).is_ok_and(|agents| agents >= counts.desired);
    // OnDelete has no budget, and one agent less of a surge is one that is away all the same: one is the least either way.
    all_ready && all_there && budget(daemon_set).is_none_or(|budget| budget.agents >= 1)
}

#[cfg(test)]
mod tests;
