//! The policy controller: makes an `LsmPolicy`'s status say how its nodes and its Tetragon stand.
//!
//! ## Flow
//! policy, Nodes, reports, profiles, Tetragon's own policies and what is known of the named DaemonSet from the stores → [`status::status`], a pure
//! function → one server-side apply of the status where something but time differs → an Event where Ready flipped.
//!
//! ## Guarantees
//! At most one evaluation a second of each policy. A spec that means nothing still gets a status, with its generation
//! observed. The status' size does not grow with the cluster.

mod apply;
pub mod rate_limit;
#[cfg(test)]
mod scenarios;
pub mod status;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube_runtime::controller::Action;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::selection::{InvalidSpec, MinReady, Selection};
use lsm_ready_tetragon::agent;
use lsm_ready_tetragon::forecast::{KnownNode, Nodes};

use crate::agents::AgentSurvey;
use crate::agents::catalogue::Catalogue;
use crate::context::Context;
use crate::policy::status::{Observation, Tally};
use crate::tetragon;
use crate::tracing_policies::condition;
use crate::tracing_policies::requirement::{Requirement, Verdicts};
use crate::watch::key::DaemonSetKey;
use crate::watch::store::NodeRecord;

pub use apply::Error;

/// One look at a policy.
///
/// # Errors
/// When its status cannot be written.
pub async fn reconcile(policy: Arc<LsmPolicy>, ctx: Arc<Context>) -> Result<Action, Error> {
    if policy.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    // 1. Not more than once a second.
    let now = (ctx.now)();
    if let Err(wait) = ctx.pace.step(&policy.uid().unwrap_or_default(), now) {
        return Ok(Action::requeue(wait));
    }
    // 2. What is known.
    let observation = observe(&policy, &ctx).unwrap_or_else(Observation::Invalid);
    // 3. What it means.
    let status = status::status(&policy, &observation, &Time(now));
    publish(&policy.name_any(), &status, &ctx);
    // 4. Write it where it differs.
    apply::apply(&policy, status, &ctx).await?;
    Ok(Action::await_change())
}

/// Counts the verdicts of the selected nodes and what their agents say, and looks at the named DaemonSet.
pub(crate) fn observe(policy: &LsmPolicy, ctx: &Context) -> Result<Observation, InvalidSpec> {
    let selection = Selection::of(&policy.spec)?;
    let min_ready = MinReady::parse(&policy.spec.min_ready)?;
    if let Some(window) =
        policy.spec.tetragon.as_ref().and_then(|tetragon| tetragon.window.as_ref())
    {
        window.schedule()?;
    }
    let tetragons = ctx.stores.tracing_policies.snapshot();
    let demand = Requirement::of(&policy.spec, &tetragons)?;
    let nodes =
        ctx.stores.nodes.state().into_iter().filter(|node| selection.selects(node.labels()));
    let nodes: Vec<(Arc<Node>, NodeRecord)> =
        nodes.map(|node| (node.clone(), ctx.stores.record(&node))).collect();
    let catalogue = Catalogue::of(&tetragons);
    let mut survey = AgentSurvey::start(policy, &tetragons, &catalogue, ctx)?;
    let (mut tally, mut verdicts) = (Tally::default(), Verdicts::of(&demand));
    for (node, record) in &nodes {
        let verdict = verdicts.verdict(node.labels(), record.facts());
        if let Some(survey) = &mut survey {
            survey.add(node, verdict.state, ctx);
        }
        tally.add(&node.name_any(), verdict);
    }
    let agents = survey.map(|survey| survey.finding(policy));
    let key = DaemonSetKey::named_by(&policy.spec);
    let daemon_set = key.as_ref().and_then(|key| ctx.stores.daemon_sets.get(&key.object_ref()));
    let container =
        policy.spec.tetragon.as_ref().map(|tetragon| tetragon.daemon_set.container.as_str());
    let version =
        daemon_set.as_deref().zip(container).and_then(|(found, name)| agent::version(found, name));
    let loadable = condition::finding(&policy.spec, &tetragons, version, || {
        Nodes::of(nodes.iter().map(known))
    })?;
    let tetragon =
        key.map(|key| Box::new(tetragon::findings(policy, &key, daemon_set.as_deref(), ctx)));
    Ok(Observation::Evaluated { tally, min_ready, loadable, tetragon, agents })
}

/// A node as the forecast takes it.
fn known((node, record): &(Arc<Node>, NodeRecord)) -> KnownNode<'_> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    KnownNode { name, labels: Some(node.labels()), facts: record.facts() }
}

fn publish(name: &str, status: &lsm_ready_crds::LsmPolicyStatus, ctx: &Context) {
    let nodes = &status.nodes;
    let counts =
        [("ready", nodes.ready), ("not-ready", nodes.not_ready), ("unknown", nodes.unknown)];
    ctx.metrics.policy_nodes(name, counts);
}
