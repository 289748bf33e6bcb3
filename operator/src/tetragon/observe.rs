//! What the controller knows about one DaemonSet at one moment.
//!
//! In: the DaemonSet, the stores and the time. Out: an [`Observation`], from which everything else
//! follows: what to write, and what the policies' conditions say. Needs no client.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Container;
use lsm_ready_tetragon::agent::agent;
use lsm_ready_tetragon::plan::Wish as MountRequest;
use lsm_ready_tetragon::plan::{Plan, plan, pod};
use lsm_ready_tetragon::privilege::is_confined_by_default;
use lsm_ready_tetragon::refusal::Refusal;

use super::gate::{Gate, gate};
use super::merge::PolicyRequests;
use super::nodes::NodeFacts;
use crate::watch::key::DaemonSetKey;
use crate::watch::store::Stores;

/// One DaemonSet, what the policies ask of it, and what follows from both.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// The DaemonSet as the watch last showed it.
    pub daemon_set: &'a DaemonSet,
    /// Its namespace and name.
    pub key: DaemonSetKey,
    /// What each policy asks for.
    pub requests: PolicyRequests,
    /// The requests of all policies, merged.
    pub request: MountRequest,
    /// What is known about the nodes of its agents.
    pub nodes: NodeFacts,
    /// What should be changed.
    pub plan: Plan,
    /// Whether agents may be restarted for that plan now.
    pub gate: Gate,
    /// The time of the observation.
    pub now: Timestamp,
}

/// Reads the policies and the nodes from the stores.
pub fn observe<'a>(daemon_set: &'a DaemonSet, stores: &Stores, now: Timestamp) -> Observation<'a> {
    let policies = stores.policies.state();
    let requests =
        PolicyRequests::of(&DaemonSetKey::of(daemon_set), policies.iter().map(AsRef::as_ref));
    Observation::new(daemon_set, requests, NodeFacts::of(daemon_set, stores), now)
}

impl<'a> Observation<'a> {
    /// Plans the mount and judges the gate. A pure function.
    pub fn new(
        daemon_set: &'a DaemonSet,
        requests: PolicyRequests,
        nodes: NodeFacts,
        now: Timestamp,
    ) -> Self {
        let request = MountRequest {
            without_securityfs: nodes.without_securityfs.clone(),
            ..requests.merged()
        };
        let plan = unless_confined(plan(daemon_set, &request), daemon_set, &request, &nodes);
        let gate = gate(&requests.limits(), daemon_set, now).before(&plan);
        let key = DaemonSetKey::of(daemon_set);
        Self { daemon_set, key, requests, request, nodes, plan, gate, now }
    }

    /// The agent's container, where the pod template has one.
    pub fn container(&self) -> Option<&'a Container> {
        agent(pod(self.daemon_set)?, &self.request.container).ok()
    }

    /// On which nodes AppArmor keeps the agents from securityfs, in words. None where it does so on
    /// no node.
    pub fn confined_on(&self) -> Option<String> {
        confined_container(self.daemon_set, &self.request)?;
        self.nodes.app_armor.words()
    }
}

/// The plan. Where AppArmor confines every agent, a mount would help none of them and restart them
/// all, so it is refused.
fn unless_confined(
    plan: Plan,
    daemon_set: &DaemonSet,
    request: &MountRequest,
    nodes: &NodeFacts,
) -> Plan {
    let adds_mount = matches!(plan, Plan::Patch { .. } | Plan::Suggest { .. });
    if !nodes.app_armor_everywhere || !adds_mount {
        return plan;
    }
    match (confined_container(daemon_set, request), nodes.app_armor.words()) {
        (Some(container), Some(nodes)) => {
            Plan::Refused(Refusal::AppArmorActive { container: container.name.clone(), nodes })
        }
        (None, _) | (_, None) => plan,
    }
}

/// The agent's container, where runtimes confine it by their default AppArmor profile.
fn confined_container<'a>(
    daemon_set: &'a DaemonSet,
    request: &MountRequest,
) -> Option<&'a Container> {
    let template = &daemon_set.spec.as_ref()?.template;
    let pod = pod(daemon_set)?;
    let container = agent(pod, &request.container).ok()?;
    is_confined_by_default(template, pod, container).then_some(container)
}
