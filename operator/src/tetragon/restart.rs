//! Restarts stale agents, one at a time: reads the pods where a node was repaired, and evicts one.
//!
//! ## Flow
//! a policy says so, a restart can help, a node was repaired since the last look → the agents' pods → the plan
//! ([`super::stale`]) → at most one eviction, so that PodDisruptionBudgets are heard, with the pod's UID.
//!
//! ## Errors
//! A budget that is used up (429), or no answer, is tried again. No right to evict is told in `TetragonRolledOut`, and
//! tried again when a node is repaired or the policies change.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, Node, Pod};
use kube::api::PostParams;
use kube::core::Status;
use kube::{Api, ResourceExt};
use lsm_ready_tetragon::agent::agent;
use lsm_ready_tetragon::plan::{MountRequest, Plan, pod, release};
use serde_json::json;
use tracing::{info, warn};

use super::gate::Gate;
use super::memory::Remembered;
use super::rollout::agents::Agent;
use super::rollout::look;
use super::rollout::unready::Caused;
use super::stale::{Errors, Restart, can_be_helped, repaired, restart};
use super::{announce, stale::Stale};
use crate::context::Context;
use crate::watch::key::DaemonSetKey;
use crate::watch::store::boot_id;

/// How long until the next look where one is due and nothing tells when.
const AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// Restarts one where that is due; says when to look again.
pub(super) async fn stale_agents(
    daemon_set: &DaemonSet,
    (plan, wish, gate): (&Plan, &MountRequest, &Gate),
    mut remembered: Remembered,
    ctx: &Context,
) -> (Remembered, Option<Timestamp>) {
    let now = (ctx.now)();
    let later = now.checked_add(AGAIN).ok();
    let container = pod(daemon_set).and_then(|pod| agent(pod, &wish.container).ok());
    let helped = |container: &&Container| can_be_helped(plan, release(daemon_set, container));
    let Some(container) = container.filter(helped) else {
        return (Remembered { stale: Stale::default(), ..remembered }, None);
    };
    let (repaired, errors) = (repaired(&ctx.stores), errors(&DaemonSetKey::of(daemon_set), ctx));
    let known = (repaired.clone(), errors.keys().cloned().collect());
    if repaired.is_empty() || remembered.stale.settled.as_ref() == Some(&known) {
        return (remembered, None);
    }
    // A closed gate needs no look at the pods.
    if let Gate::Until { opens, .. } = gate {
        return (remembered, Some(*opens));
    }
    if !gate.lets_one() {
        return (remembered, None);
    }
    let agents = match look::agents(daemon_set, &ctx.client).await {
        Ok(agents) => agents,
        Err(error) => {
            warn!(daemon_set = %DaemonSetKey::of(daemon_set), %error, "agents that may be stale were not listed");
            return (remembered, later);
        }
    };
    remembered.stale.tried.retain(|uid, _| agents.iter().any(|agent| agent.uid == *uid));
    match restart(
        (daemon_set, &container.name),
        &agents,
        (&repaired, &errors),
        &remembered.stale,
        gate,
    ) {
        Restart::Settled => {
            remembered.stale.settled = Some(known);
            (remembered, None)
        }
        Restart::Later => (remembered, later),
        Restart::Evict { agent, since } => {
            (evict(daemon_set, &agent, since, remembered, ctx).await, later)
        }
    }
}

/// Since when agents report policies in an error state, by node. Empty where no policy has agents asked.
fn errors(key: &DaemonSetKey, ctx: &Context) -> Errors {
    let reported = |node: &Node| {
        let name = node.name_any();
        let errors = ctx.agents.load_errors(key, &name, boot_id(node))?;
        Some((name, errors.as_of))
    };
    ctx.stores.nodes.state().iter().filter_map(|node| reported(node)).collect()
}

/// Evicts that agent's pod, and remembers what came of it.
async fn evict(
    daemon_set: &DaemonSet,
    agent: &Agent,
    since: Timestamp,
    mut remembered: Remembered,
    ctx: &Context,
) -> Remembered {
    let (key, stale) = (DaemonSetKey::of(daemon_set), &mut remembered.stale);
    match send(agent, &key.namespace, ctx).await {
        Ok(_) => {
            stale.tried.insert(agent.uid.clone(), since);
            stale.refused = None;
            remembered.caused = Some(Caused::by_eviction(daemon_set, (ctx.now)()));
            ctx.metrics.wrote("Pod/eviction");
            info!(daemon_set = %key, pod = agent.pod, node = agent.node, %since, "stale agent evicted");
            announce::publish(&announce::restarted(agent, since), daemon_set, ctx).await;
        }
        // A PodDisruptionBudget, or the API server's own pace.
        Err(kube::Error::Api(status)) if status.code == 429 => {
            info!(daemon_set = %key, pod = agent.pod, message = status.message, "stale agent not evicted yet");
        }
        Err(kube::Error::Api(status)) if [403, 404, 409, 422].contains(&status.code) => {
            stale.tried.insert(agent.uid.clone(), since);
            stale.refused = (status.code == 403).then(|| refused(&key, &status.message));
            warn!(daemon_set = %key, pod = agent.pod, message = status.message, "stale agent not evicted");
        }
        Err(error) => warn!(daemon_set = %key, pod = agent.pod, %error, "stale agent not evicted"),
    }
    remembered
}

/// Asks for the eviction of that very pod. kube's own `evict` (5.0) writes the delete options' field in another way than
/// the API server reads it, so that the UID would be lost on the way.
async fn send(agent: &Agent, namespace: &str, ctx: &Context) -> kube::Result<Status> {
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": agent.pod, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": agent.uid}},
    });
    let pods = Api::<Pod>::namespaced(ctx.client.clone(), namespace);
    pods.create_subresource("eviction", &agent.pod, &PostParams::default(), &eviction).await
}

fn refused(key: &DaemonSetKey, said: &str) -> String {
    format!(
        "agents that found no LSM BPF when they started are not restarted, as the operator may not evict pods in namespace \
         {}: bind it the ClusterRole lsm-ready-restarting there (config/rbac/patching), or say restartStaleAgents: false; \
         the API server says: {said}",
        key.namespace
    )
}
