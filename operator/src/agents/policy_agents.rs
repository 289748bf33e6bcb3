//! The agents of one `LsmPolicy`: their DaemonSet, the ports at which they are asked, and the agent
//! of each node.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_tetragon::plan::pod;

use super::endpoints::{Ports, Unreachable, has_modes, ports};
use super::node_affinity::matches_node;
use super::polling::Trigger;
use super::target::Target;
use super::tls::ServerName;
use crate::context::Context;
use crate::tetragon_client::AskError;
use crate::watch::key::DaemonSetKey;
use crate::watch::store::boot_id;

/// The agents of one policy.
#[derive(Clone, Debug)]
pub struct PolicyAgents {
    pub key: DaemonSetKey,
    /// Name of the agent's container.
    pub container: String,
    pub reachable: Result<ReachableAgents, Unreachable>,
}

/// Agents that can be asked.
#[derive(Clone, Debug)]
pub struct ReachableAgents {
    ports: Ports,
    daemon_set: Arc<DaemonSet>,
}

impl PolicyAgents {
    /// The agents that the policy wants asked; `None` without `spec.tetragon.agents`.
    pub fn of(policy: &LsmPolicy, ctx: &Context) -> Option<Self> {
        let tetragon = policy.spec.tetragon.as_ref()?;
        let is_deleted = policy.metadata.deletion_timestamp.is_some();
        let agents = tetragon.agents.as_ref().filter(|_| !is_deleted)?;
        let key = DaemonSetKey::named_by(&policy.spec)?;
        let daemon_set = ctx.stores.daemon_sets.get(&key.object_ref());
        let ports = ports(&key.to_string(), daemon_set.as_deref(), tetragon, agents);
        let reachable = ports.and_then(|ports| {
            let tls = ports.tls().and_then(|name| ctx.agent_tls.tls(name));
            tls.transpose()?;
            let daemon_set = daemon_set.ok_or_else(|| Unreachable::NoDaemonSet(key.to_string()))?;
            Ok(ReachableAgents { ports, daemon_set })
        });
        Some(Self { container: tetragon.daemon_set.container.clone(), key, reachable })
    }

    /// Whether all agents have modes. During a rollout, some agents are of another release than the
    /// pod template, so modes are assumed.
    pub fn have_modes(&self) -> bool {
        self.reachable.as_ref().map_or(true, |agents| {
            has_modes(&agents.daemon_set, &self.container) || !agents.are_rolled_out()
        })
    }
}

impl ReachableAgents {
    /// The agent of that Node: `None` if the DaemonSet runs none there, an error if the Node has no
    /// usable address.
    pub fn target(&self, node: &Node) -> Option<Result<Target, AskError>> {
        let name = node.name_any();
        let pod = pod(&self.daemon_set)?;
        let has_agent = matches_node(pod, &name, node.labels());
        let daemon_set = DaemonSetKey::of(&self.daemon_set);
        let target = |address| Target { node: name, daemon_set, address };
        has_agent.then(|| self.ports.address_on(node).map(target).ok_or(AskError::NoAddress))
    }

    /// The present circumstances of a poll on that Node. `policies` is the digest of the policies
    /// for it.
    pub fn trigger(&self, node: &Node, policies: u64, ctx: &Context) -> Trigger {
        let evidence = ctx.stores.record(node).facts().report.map(|report| report.evidence);
        Trigger {
            boot_id: boot_id(node).to_owned(),
            evidence,
            generation: self.daemon_set.metadata.generation,
            policies,
            tls: self.ports.tls().map_or(0, |name| ctx.agent_tls.revision(name)),
        }
    }

    /// Whether every agent runs the present pod template.
    fn are_rolled_out(&self) -> bool {
        self.daemon_set.status.as_ref().is_some_and(|status| {
            status.observed_generation >= self.daemon_set.metadata.generation
                && status.updated_number_scheduled.unwrap_or_default()
                    >= status.desired_number_scheduled
        })
    }

    /// How many agents are not available.
    pub fn unavailable(&self) -> usize {
        let status = self.daemon_set.status.as_ref();
        let missing = status.map_or(0, |status| {
            status.desired_number_scheduled - status.number_available.unwrap_or_default()
        });
        usize::try_from(missing).unwrap_or_default()
    }

    /// The DaemonSet's counts as text. It changes when agents start or stop.
    pub fn counts(&self) -> String {
        let Some(status) = &self.daemon_set.status else {
            return String::new();
        };
        format!(
            "{:?} {} {:?} {:?} {}",
            self.daemon_set.metadata.generation,
            status.desired_number_scheduled,
            status.updated_number_scheduled,
            status.number_available,
            status.number_ready
        )
    }
}

/// The server names that policies set for TLS.
pub fn server_names(ctx: &Context) -> BTreeSet<ServerName> {
    let policies = ctx.stores.policies.state();
    let agents = policies.iter().filter(|policy| policy.metadata.deletion_timestamp.is_none());
    let agents = agents.filter_map(|policy| policy.spec.tetragon.as_ref()?.agents.as_ref());
    agents.filter_map(|agents| Some(agents.grpc_tls()?.server_name.clone())).collect()
}
