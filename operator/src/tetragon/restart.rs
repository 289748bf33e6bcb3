//! Restarts stale agents, one at a time.
//!
//! ## Flow
//! a policy asks for it, a restart can help, and a node was repaired since the last look → the
//! agents' pods → which agent to restart ([`super::stale`]) → at most one eviction. It carries the
//! pod's UID and resourceVersion, and PodDisruptionBudgets apply to it.
//!
//! ## Guarantees
//! The pod that is evicted is as it was when it was judged. So a leader that was stopped for a
//! while evicts no agent that another leader has restarted, or that has changed since.
//!
//! ## Errors
//! An eviction that a PodDisruptionBudget forbids (429), that meets a changed pod (409), or that
//! gets no answer, is judged anew and retried. A missing right to evict is reported in
//! `TetragonRolledOut`, and the eviction is retried when a node is repaired or policies change.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PostParams;
use kube::core::Status;
use kube::{Api, ResourceExt};
use kube_runtime::events::Event;
use serde_json::json;
use tracing::{info, warn};

use super::events;
use super::observe::Observation;
use super::rollout::agents::Agent;
use super::rollout::pods;
use super::stale::{Fleet, LoadErrors, NodeHistory, Restart, Stale, repairs};
use super::state::DaemonSetState;
use crate::context::Context;
use crate::watch::key::DaemonSetKey;
use crate::watch::store::boot_id;

/// When to look again where nothing says a time.
const RETRY_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// Evicts a stale agent where that may be done now. Returns when to look again.
pub(super) async fn restart_stale_agent(
    observed: &Observation<'_>,
    state: &mut DaemonSetState,
    news: &mut Vec<Event>,
    ctx: &Context,
) -> Option<Timestamp> {
    let is_wanted = observed.restart_helps && observed.requests.limits().restart_stale;
    let Some(template) = observed.agent.as_ref().filter(|_| is_wanted) else {
        state.stale = Stale::default();
        return None;
    };
    let nodes =
        NodeHistory { repairs: repairs(&ctx.stores), load_errors: load_errors(&observed.key, ctx) };
    if state.stale.is_settled(&nodes) {
        return None;
    }
    // While the gate is closed, the pods need not be read.
    if !observed.gate.allows_one() {
        return observed.gate.opens_at();
    }
    let later = observed.now.time.checked_add(RETRY_AFTER).ok();
    let listed = pods::agents(observed.daemon_set, &ctx.client).await;
    let warn = |error: &_| warn!(daemon_set = %observed.key, %error, "stale agents not listed");
    let Ok(agents) = listed.inspect_err(warn) else { return later };
    let fleet = Fleet {
        rollout: &observed.rollout,
        container: &template.container,
        agents: &agents,
        nodes: &nodes,
        gate: &observed.gate,
    };
    match state.stale.next(&fleet) {
        Restart::Settled => {
            state.stale.settle(nodes);
            return None;
        }
        Restart::Later => {}
        Restart::Evict { agent, since } => {
            if evict(&agent, since, &observed.key, &mut state.stale, ctx).await {
                state.record_eviction(observed);
                news.push(events::restarted(&agent, since));
            }
        }
    }
    later
}

/// Since when agents report policies in an error state, by node. Empty where no policy lets agents
/// be asked.
fn load_errors(key: &DaemonSetKey, ctx: &Context) -> LoadErrors {
    let reported = |node: &Node| {
        let name = node.name_any();
        let errors = ctx.agents.load_errors(key, &name, boot_id(node))?;
        Some((name, errors.as_of))
    };
    ctx.stores.nodes.iter().filter_map(|node| reported(&node)).collect()
}

/// Evicts that agent's pod, and records the result. Returns whether it was evicted.
async fn evict(
    agent: &Agent,
    since: Timestamp,
    key: &DaemonSetKey,
    stale: &mut Stale,
    ctx: &Context,
) -> bool {
    let pod = &agent.pod;
    match send(agent, &key.namespace, ctx).await {
        Ok(_) => {
            stale.record(agent, since, None);
            ctx.metrics.wrote("Pod/eviction");
            info!(daemon_set = %key, pod, node = agent.node, %since, "stale agent evicted");
            return true;
        }
        // A PodDisruptionBudget forbids it, the API server limits its requests, or the pod has
        // changed since it was listed.
        Err(kube::Error::Api(status)) if [409, 429].contains(&status.code) => {
            info!(daemon_set = %key, pod, message = status.message, "stale agent not evicted yet");
        }
        Err(kube::Error::Api(status)) if [403, 404, 422].contains(&status.code) => {
            let refused = (status.code == 403).then(|| forbidden(&key.namespace, &status.message));
            stale.record(agent, since, refused);
            warn!(daemon_set = %key, pod, message = status.message, "stale agent not evicted");
        }
        Err(error) => warn!(daemon_set = %key, pod, %error, "stale agent not evicted"),
    }
    false
}

/// Requests the eviction of that very pod, as it was listed. kube's own `evict` (5.0) writes the
/// field of the delete options in another way than the API server reads it, so the preconditions
/// would be lost.
async fn send(agent: &Agent, namespace: &str, ctx: &Context) -> kube::Result<Status> {
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": agent.pod, "namespace": namespace},
        "deleteOptions":
            {"preconditions": {"uid": agent.uid, "resourceVersion": agent.version}},
    });
    let pods = Api::<Pod>::namespaced(ctx.client.clone(), namespace);
    pods.create_subresource("eviction", &agent.pod, &PostParams::default(), &eviction).await
}

fn forbidden(namespace: &str, message: &str) -> String {
    format!(
        "agents that found no LSM BPF when they started are not restarted, because the operator \
         may not evict pods in namespace {namespace}: bind the ClusterRole lsm-ready-restarting \
         to it there (config/rbac/patching), or set restartStaleAgents: false; the API server \
         says: {message}"
    )
}
