//! The policy controller: makes an `LsmPolicy`'s status say how its nodes and its Tetragon stand.
//!
//! ## Flow
//! policy, Nodes, reports, profiles and what is known of the named DaemonSet from the stores → [`status::status`], a pure
//! function → one server-side apply of the status where something but time differs → an Event where Ready flipped.
//!
//! ## Guarantees
//! At most one evaluation a second of each policy. A spec that means nothing still gets a status, with its generation
//! observed. The status' size does not grow with the cluster.

mod apply;
pub mod pace;
#[cfg(test)]
mod scenarios;
pub mod status;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube_runtime::controller::Action;
use lsm_ready_crds::selection::{InvalidSpec, MinReady, Selection};
use lsm_ready_crds::{LsmPolicy, verdict};

use crate::context::Context;
use crate::key::DaemonSetKey;
use crate::policy::status::{Observation, Tally};
use crate::tetragon;

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

/// Counts the verdicts of the selected nodes and looks at the named DaemonSet.
fn observe(policy: &LsmPolicy, ctx: &Context) -> Result<Observation, InvalidSpec> {
    let selection = Selection::of(&policy.spec)?;
    let min_ready = MinReady::parse(&policy.spec.min_ready)?;
    if let Some(window) = policy.spec.tetragon.as_ref().and_then(|tetragon| tetragon.window.as_ref()) {
        window.schedule()?;
    }
    let mut tally = Tally::default();
    for node in ctx.stores.nodes.state().iter().filter(|node| selection.selects(node.labels())) {
        let record = ctx.stores.record(node);
        tally.add(&node.name_any(), verdict(&policy.spec.require, record.facts()));
    }
    let tetragon = DaemonSetKey::named_by(&policy.spec).map(|key| {
        let daemon_set = ctx.stores.daemon_sets.get(&key.object_ref());
        Box::new(tetragon::findings(policy, &key, daemon_set.as_deref(), ctx))
    });
    Ok(Observation::Evaluated { tally, min_ready, tetragon })
}

fn publish(name: &str, status: &lsm_ready_crds::LsmPolicyStatus, ctx: &Context) {
    let nodes = &status.nodes;
    let counts = [("ready", nodes.ready), ("not-ready", nodes.not_ready), ("unknown", nodes.unknown)];
    ctx.metrics.policy_nodes(name, counts);
}
