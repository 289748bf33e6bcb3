//! Who is to be asked: the agents of the selected nodes of each policy that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::tetragon_client::{AskError, Endpoints};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::selection::Selection;
use lsm_ready_tetragon::plan::pod;

use super::catalogue::Catalogue;
use super::endpoints::{self, NotAskable, Way};
use super::node_affinity;
use super::polling::Occasion;
use super::tls::ServerName;
use crate::context::Context;
use crate::tracing_policies::expectation::Place;
use crate::watch::key::DaemonSetKey;
use crate::watch::store::boot_id;

/// One agent.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Target {
    /// Name of its Node.
    pub node: String,
    /// Its DaemonSet.
    pub daemon_set: DaemonSetKey,
    /// Where it is asked.
    pub at: At,
}

/// Where an agent is asked.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct At {
    /// Its gRPC.
    pub grpc: Option<SocketAddr>,
    /// Its metrics.
    pub metrics: Option<SocketAddr>,
    /// Its gRPC is asked over TLS, by this server name.
    pub tls: Option<ServerName>,
}

impl Target {
    /// The least target of that node and DaemonSet.
    pub fn first_of(node: &str, daemon_set: &DaemonSetKey) -> Self {
        Self { node: node.to_owned(), daemon_set: daemon_set.clone(), at: At::default() }
    }
}

impl At {
    /// As the client takes it.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints { grpc: self.grpc, metrics: self.metrics }
    }
}

/// What is wanted of one agent.
#[derive(Debug, Eq, PartialEq)]
pub struct Wanted {
    /// What is asked.
    pub occasion: Occasion,
    /// Which policies are for its node.
    pub places: Vec<Place>,
    /// The `LsmPolicies` that want to know.
    pub policies: Vec<String>,
}

/// The agents of one policy, and how they are asked.
#[derive(Clone, Debug)]
pub struct Agents {
    /// Their DaemonSet.
    pub key: DaemonSetKey,
    /// The agent's container.
    pub container: String,
    /// Source they are asked, and their DaemonSet, or why they are not.
    pub way: Result<(Way, std::sync::Arc<DaemonSet>), NotAskable>,
}

/// The agents that a policy wants asked, if it does.
pub fn agents(policy: &LsmPolicy, ctx: &Context) -> Option<Agents> {
    let own = policy.spec.tetragon.as_ref()?;
    let agents = own.agents.as_ref().filter(|_| policy.metadata.deletion_timestamp.is_none())?;
    let key = DaemonSetKey::named_by(&policy.spec)?;
    let daemon_set = ctx.stores.daemon_sets.get(&key.object_ref());
    let way = endpoints::way(&key.to_string(), daemon_set.as_deref(), own, agents);
    let way = way.and_then(|way| {
        let tls = way.tls().and_then(|name| ctx.agent_tls.tls(name));
        if let Some(Err(error)) = tls {
            return Err(NotAskable::TlsFiles(error));
        }
        Ok((way, daemon_set.ok_or_else(|| NotAskable::NoDaemonSet(key.to_string()))?))
    });
    Some(Agents { container: own.daemon_set.container.clone(), key, way })
}

/// The server names that policies want TLS for.
pub fn server_names(ctx: &Context) -> BTreeSet<ServerName> {
    let policies = ctx.stores.policies.state();
    let agents = policies.iter().filter(|policy| policy.metadata.deletion_timestamp.is_none());
    let agents = agents.filter_map(|policy| policy.spec.tetragon.as_ref()?.agents.as_ref());
    agents.filter_map(|agents| Some(agents.grpc_tls()?.server_name.clone())).collect()
}

/// Every agent that is to be asked.
pub fn wanted(catalogue: &Catalogue<'_>, ctx: &Context) -> BTreeMap<Target, Wanted> {
    let mut wanted = BTreeMap::new();
    for policy in ctx.stores.policies.state() {
        let Some(Agents { way: Ok((way, daemon_set)), .. }) = agents(&policy, ctx) else {
            continue;
        };
        let Ok(selection) = Selection::of(&policy.spec) else {
            continue;
        };
        for node in ctx.stores.nodes.state().iter().filter(|node| selection.selects(node.labels()))
        {
            let Some(Ok(target)) = target(&way, &daemon_set, node) else {
                continue;
            };
            let entry = wanted.entry(target).or_insert_with(|| {
                let places = catalogue.places(node.labels());
                let occasion = occasion(&way, &daemon_set, node, catalogue.question(&places), ctx);
                Wanted { occasion, places, policies: Vec::new() }
            });
            entry.policies.push(policy.name_any());
        }
    }
    wanted
}

/// The agent of that Node, if the DaemonSet has one there, or why it cannot be asked.
pub(super) fn target(
    way: &Way,
    daemon_set: &DaemonSet,
    node: &Node,
) -> Option<Result<Target, AskError>> {
    let name = node.name_any();
    let has_agent =
        pod(daemon_set).is_some_and(|pod| node_affinity::takes(pod, &name, node.labels()));
    let target = |at| Target { node: name, daemon_set: DaemonSetKey::of(daemon_set), at };
    has_agent.then(|| way.to(node).map(target).ok_or(AskError::NoAddress))
}

/// What is asked of the agent on that Node.
pub(super) fn occasion(
    way: &Way,
    daemon_set: &DaemonSet,
    node: &Node,
    question: u64,
    ctx: &Context,
) -> Occasion {
    let evidence = ctx.stores.record(node).facts().report.map(|report| report.evidence);
    Occasion {
        boot_id: boot_id(node).to_owned(),
        evidence,
        generation: daemon_set.metadata.generation,
        question,
        tls: way.tls().map_or(0, |name| ctx.agent_tls.revision(name)),
    }
}

/// Every agent is of the DaemonSet's present generation.
pub(super) fn is_rolled_out(daemon_set: &DaemonSet) -> bool {
    daemon_set.status.as_ref().is_some_and(|status| {
        status.observed_generation >= daemon_set.metadata.generation
            && status.updated_number_scheduled.unwrap_or_default()
                >= status.desired_number_scheduled
    })
}

/// Source many agents are not available.
pub(super) fn unavailable(daemon_set: &DaemonSet) -> usize {
    let counts = daemon_set.status.as_ref();
    let lacking = counts.map_or(0, |status| {
        status.desired_number_scheduled - status.number_available.unwrap_or_default()
    });
    usize::try_from(lacking).unwrap_or_default()
}
