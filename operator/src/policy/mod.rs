//! The policy controller: writes to an `LsmPolicy`'s status how many of its nodes are ready, and
//! how its Tetragon DaemonSet stands.
//!
//! ## Flow
//! From the stores: the policy, its Nodes with their reports and hook profiles, the
//! TracingPolicies, and the DaemonSet that the policy names → [`spec_change`]: how a new or changed
//! spec reaches the nodes → [`status::status`], a pure function → one server-side apply of the
//! status where something but times differs → Events where Ready or `ChangesHeld` changed → the
//! nodes that may get the taint now are queued.
//!
//! ## Guarantees
//! - A policy is evaluated at most once a second, and not before the watch has shown our last
//!   write ([`rate_limit`]).
//! - An invalid spec gets a status too, with its generation as observed.
//! - The size of the status does not grow with the cluster.
//! - The status is written with the policy's resourceVersion, so a write from an old observation is
//!   refused.
//!
//! ## Errors
//! An error names the policy. The policy is retried with backoff, or at once when it changes. A
//! conflict is no error: the policy is looked at again within a second.

mod apply;
pub mod census;
pub mod permits;
pub mod rate_limit;
#[cfg(test)]
mod scenarios;
pub mod spec_change;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube_runtime::controller::Action;
use kube_runtime::reflector::ObjectRef;
use lsm_ready_crds::conditions::Finding;
use lsm_ready_crds::selection::{InvalidSpec, Labels, MinReady, Selection};
use lsm_ready_crds::{LsmPolicy, LsmPolicySpec, LsmPolicyStatus};
use lsm_ready_tetragon::agent;
use lsm_ready_tetragon::forecast::{KnownNode, Nodes};

use crate::agents::AgentSurvey;
use crate::agents::catalogue::Catalogue;
use crate::context::Context;
use crate::policy::apply::Outcome;
use crate::policy::census::{Parsed, Standing};
use crate::policy::spec_change::Next;
use crate::policy::status::held::Breaking;
use crate::policy::status::{Evaluation, Observation};
use crate::tetragon;
use crate::tracing_policies::condition;
use crate::tracing_policies::requirement::Requirement;
use crate::tracing_policies::snapshot::Snapshot;
use crate::watch::key::DaemonSetKey;
use crate::watch::store::NodeRecord;

pub use apply::Error;
pub(crate) use apply::status_patch;

/// What a forecast reads of a Node that the policy selects. There can be thousands.
struct SelectedNode {
    name: String,
    /// Those that a TracingPolicy selects by.
    labels: Labels,
    record: NodeRecord,
}

pub async fn reconcile(policy: Arc<LsmPolicy>, ctx: Arc<Context>) -> Result<Action, Error> {
    // 1. Wait if the policy was evaluated less than a second ago, or is older than our last write.
    let (now, uid) = ((ctx.now)(), policy.uid().unwrap_or_default());
    let version = policy.metadata.resource_version.as_deref();
    if let Err(wait) = ctx.rate_limit.allow(&uid, version, (ctx.instant)()) {
        return Ok(Action::requeue(wait));
    }
    // The controller took the policy from the store before its turn began. What has changed since
    // has not queued it again.
    ctx.queues.policy_begins(&policy.name_any());
    let policy = ctx.stores.policies.get(&ObjectRef::from_obj(&*policy)).unwrap_or(policy);
    // The status of a policy whose newest version cannot be parsed is written by `not_in_force`.
    let is_unparsable = ctx.stores.unparsable_policies.has(&policy.name_any());
    if policy.metadata.deletion_timestamp.is_some() || is_unparsable {
        ctx.forget_if_gone_policy(&policy);
        return Ok(Action::await_change());
    }
    // 2. Collect what is known.
    let observation = {
        let _turn = ctx.evaluations.lock().await;
        observe(&policy, &ctx).unwrap_or_else(Observation::Invalid)
    };
    // 3. Compute the status and the metrics.
    let breaking = Breaking {
        limit: ctx.breaker.limit(),
        holding: ctx.breaker.holding(),
        released_by: ctx.released_by(),
    };
    let status = status::status(&policy, &observation, &breaking, &Time(now));
    publish(&policy.name_any(), &status, &ctx);
    // 4. Write the status where it differs.
    let applied = apply::apply(&policy, status, &ctx).await;
    ctx.rate_limit.ended(&uid, (ctx.instant)());
    ctx.forget_if_gone_policy(&policy);
    match applied? {
        Outcome::Conflict => {
            return Ok(Action::requeue(ctx.backoffs.policy_conflicts.failed(&uid)));
        }
        Outcome::Done => ctx.backoffs.policy_conflicts.reset(&uid),
    }
    // 5. Let the taint go on.
    let again_in = permit(&policy, &observation, &ctx);
    Ok(again_in.map_or_else(Action::await_change, Action::requeue))
}

/// Lets the nodes of this step get the taint of a new or changed policy. Returns when to look
/// again.
fn permit(policy: &LsmPolicy, observation: &Observation, ctx: &Context) -> Option<Duration> {
    let Observation::Valid(evaluation) = observation else {
        ctx.permits.remove(policy);
        return None;
    };
    let Next { change, permitted, again_in, .. } = &evaluation.next;
    if change.is_none() {
        ctx.permits.remove(policy);
        return None;
    }
    if ctx.permits.set(policy, permitted.clone()) {
        match permitted {
            Some(nodes) => nodes.iter().for_each(|node| ctx.queues.node(node)),
            None => ctx.queues.all_nodes(&ctx.stores.nodes),
        }
    }
    // The policy may have been deleted meanwhile, after its permit was forgotten.
    if ctx.stores.policies.get(&ObjectRef::from_obj(policy)).is_none() {
        ctx.permits.remove(policy);
    }
    again_in.map(|wait| wait.max(Duration::from_secs(1)))
}

/// Collects what the stores know about the policy's nodes and its DaemonSet.
pub(crate) fn observe(policy: &LsmPolicy, ctx: &Context) -> Result<Observation, InvalidSpec> {
    let spec = &policy.spec;
    let selection = Selection::of(spec)?;
    let min_ready = MinReady::parse(&spec.min_ready)?;
    check_window(spec)?;
    let tracing_policies = ctx.stores.tracing_policies.snapshot();
    let requirement = Requirement::of(spec, &tracing_policies)?;
    let catalogue = Catalogue::of(&tracing_policies);
    let mut survey = AgentSurvey::start(policy, &tracing_policies, &catalogue, ctx)?;
    // Few policies need each node by itself.
    let needs_nodes = spec.tetragon.is_some() || spec.require.tracing_policies.is_some();
    let nodes = if needs_nodes {
        let add = |node: &Node, labels: &Labels, record: &NodeRecord| {
            if let Some(survey) = &mut survey {
                survey.add(node, requirement.verdict(labels, record.facts()).state, ctx);
            }
        };
        selected_nodes(&selection, &tracing_policies, ctx, add)
    } else {
        Vec::new()
    };
    let agents = survey.map(|survey| survey.finding(policy));
    let key = DaemonSetKey::named_by(spec);
    let daemon_set = key.as_ref().and_then(|key| ctx.stores.daemon_sets.get(&key.object_ref()));
    let daemon_set = daemon_set.as_deref();
    let loadable = loadable_finding(spec, &nodes, &tracing_policies, daemon_set)?;
    let tetragon = key.map(|key| tetragon::findings(policy, &key, daemon_set, ctx));
    let parsed = Parsed {
        selection: &selection,
        requirement: &requirement,
        tracing_policies: &tracing_policies,
    };
    let Standing { tally, progress } = ctx.census.standing(policy, parsed, ctx);
    let next = spec_change::next(policy, &progress, ctx.breaker.limit(), (ctx.now)());
    let evaluation = Evaluation { tally, min_ready, loadable, tetragon, agents, next };
    Ok(Observation::Valid(Box::new(evaluation)))
}

fn check_window(spec: &LsmPolicySpec) -> Result<(), InvalidSpec> {
    if let Some(window) = spec.tetragon.as_ref().and_then(|tetragon| tetragon.window.as_ref()) {
        window.schedule()?;
    }
    Ok(())
}

/// The Nodes that are selected. `each` is called for each of them.
fn selected_nodes(
    selection: &Selection,
    tracing_policies: &Snapshot,
    ctx: &Context,
    mut each: impl FnMut(&Node, &Labels, &NodeRecord),
) -> Vec<SelectedNode> {
    let read = tracing_policies.selecting_labels();
    let mut selected = Vec::new();
    for node in ctx.stores.selected(selection) {
        let record = ctx.stores.record(&node);
        let labels = record.labels(&node);
        each(&node, &labels, &record);
        let labels = node.labels().iter().filter(|(key, _)| read.contains(*key));
        let labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
        selected.push(SelectedNode { name: node.name_any(), labels, record });
    }
    selected
}

/// The condition `TracingPoliciesLoadable`, where the policy has one.
fn loadable_finding(
    spec: &LsmPolicySpec,
    nodes: &[SelectedNode],
    tracing_policies: &Snapshot,
    daemon_set: Option<&DaemonSet>,
) -> Result<Option<Finding>, InvalidSpec> {
    let container = spec.tetragon.as_ref().map(|tetragon| &tetragon.daemon_set.container);
    let version = daemon_set.zip(container).and_then(|(found, name)| agent::version(found, name));
    condition::finding(spec, tracing_policies, version, || {
        Nodes::of(nodes.iter().map(SelectedNode::known))
    })
}

impl SelectedNode {
    /// The node as the forecast of `TracingPoliciesLoadable` needs it.
    fn known(&self) -> KnownNode<'_> {
        KnownNode { name: &self.name, labels: Some(&self.labels), facts: self.record.facts() }
    }
}

fn publish(name: &str, status: &LsmPolicyStatus, ctx: &Context) {
    ctx.metrics.policy(name, &status.nodes, &status.conditions);
    // The policy may have been deleted meanwhile, after its series were removed.
    if ctx.stores.policies.get(&ObjectRef::new(name)).is_none() {
        ctx.metrics.forget_policy(name);
    }
}
