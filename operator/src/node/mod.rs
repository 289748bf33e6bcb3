//! The node controller: writes what a node's probe has proved to the Node's labels, taints and
//! condition.
//!
//! ## Flow
//! From the stores: the Node, its report and hook profile, all LsmPolicies and TracingPolicies →
//! [`judge`](judge::judge): verdicts, and what the Node loses → the circuit breaker
//! ([`crate::breaker`]) → [`plan`](plan::plan) → a wait, if others keep changing our fields
//! ([`contest`]) → one patch of the Node's status with condition and labels, and one of the Node
//! where taints differ. Nothing is sent where nothing differs, before the watch has shown the last
//! write, or where the Node was written too often.
//!
//! ## Guarantees
//! - The labels and taints of a deleted policy are removed without a finalizer, also after a
//!   restart: the plan follows from the policies that exist.
//! - A label changes only on new evidence or a new boot, never because a probe is silent.
//! - Where many nodes lose ready in one boot, those beyond the breaker's share keep what they show.
//! - Each patch has the Node's UID and resourceVersion. So a new Node with an old name never gets
//!   the old Node's evidence, a patch never creates a Node, and a write from an old observation is
//!   refused. The labels are written before the condition, which says in which boot they were set,
//!   or together with it.
//!
//! ## Errors
//! An error says which write to which Node failed. The Node is retried with backoff, or at once
//! when it changes. A conflict is no error: the Node is looked at again when the watch has shown
//! what changed, or within a second.

mod apply;
mod candidates;
pub mod contest;
pub mod fleet;
pub mod header;
pub mod judge;
pub mod owed_taints;
pub mod plan;
pub mod required;
#[cfg(test)]
mod scenarios;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube_runtime::controller::Action;
use tracing::debug;

use crate::breaker::memory::Memory;
use crate::breaker::{Start, open_since};
use crate::context::Context;
use crate::node::apply::Outcome;
use crate::node::judge::{Judged, PolicyVerdict, judge};
use crate::node::plan::{Moves, Plan};
use crate::node::required::AllRequired;
use crate::policy::spec_change;
use crate::watch::packed_node::PackedNode;

pub use apply::Error;

/// Reconciles a Node as the store holds it.
pub async fn reconcile_packed(node: Arc<PackedNode>, ctx: Arc<Context>) -> Result<Action, Error> {
    // The controller took the Node from the store before its turn began. What has changed since has
    // not queued it again.
    ctx.queues.node_begins(&node.name_any());
    let node = ctx.stores.nodes.packed(&node.name_any()).unwrap_or(node);
    reconcile(Arc::new(node.node()), ctx).await
}

pub async fn reconcile(node: Arc<Node>, ctx: Arc<Context>) -> Result<Action, Error> {
    let (now, uid) = ((ctx.now)(), node.uid().unwrap_or_default());
    if let Some(wait) = ctx.contests.unseen(&node, (ctx.instant)()) {
        return Ok(Action::requeue(wait));
    }
    // 1. Collect what is known.
    let required = ctx.required();
    let record = ctx.stores.record(&node);
    let labels = record.labels(&node);
    // 2. Find out what the Node loses, and whether it may.
    let up_to = ctx.fleet.judged_up_to(&uid);
    let judged = judge(&node, &labels, record.facts(), required.selecting(&labels), up_to, now);
    let is_held = hold(&node, judged.as_ref(), &required, &ctx);
    // 3. Decide what has to change.
    let unread = ctx.stores.unread_policies();
    let plan = plan(&node, judged.as_ref(), is_held, &ctx).unless_unread(&unread, &node);
    debug!(node = node.name_any(), is_held, ?plan, "planned");
    // 4. Wait where others keep changing what we write.
    if let Some(wait) = contested(&node, &plan, &ctx).await {
        return Ok(Action::requeue(wait));
    }
    // 5. Write what differs.
    if plan.condition.is_some() && plan.has_our_taint() {
        ctx.owed_taints.insert(&uid);
    }
    match apply::apply(&node, &plan, &ctx).await? {
        Outcome::Conflict => return Ok(Action::requeue(after_conflict(&node, &ctx))),
        Outcome::Done => ctx.backoffs.node_conflicts.reset(&uid),
    }
    ctx.owed_taints.remove(&uid);
    if !is_held {
        ctx.fleet.judged(&uid, required.last_arrival);
    }
    // 6. Reconcile again when the report becomes stale.
    Ok(plan.stale_in.map_or_else(Action::await_change, |wait| {
        Action::requeue(wait.max(Duration::from_secs(1)))
    }))
}

/// How long to wait after a refused write. After a single one only until the watch shows the change
/// that caused it, which is a matter of milliseconds ([`crate::watch::triggers`]), or not at all if
/// it has shown that. After several in a row somebody else writes the Node all the time.
fn after_conflict(node: &Node, ctx: &Context) -> Duration {
    let (uid, conflicts) = (node.uid().unwrap_or_default(), &ctx.backoffs.node_conflicts);
    let wait = conflicts.failed(&uid);
    let known = ctx.stores.nodes.packed(&node.name_any());
    let is_shown = known.is_some_and(|known| known.resource_version() != node.resource_version());
    if is_shown && conflicts.has_failed_once(&uid) { Duration::ZERO } else { wait }
}

/// Tells the circuit breaker what the Node shows. Returns whether its changes are held.
fn hold(node: &Node, judged: Option<&Judged<'_>>, required: &AllRequired, ctx: &Context) -> bool {
    let uid = node.uid().unwrap_or_default();
    ctx.metrics.nodes(&ctx.fleet.note(&uid, judged.map(Judged::found)));
    ctx.release_held_changes(required.released_by.is_some());
    let is_held = ctx.hold(&uid, judged, |memory| start(required, memory, ctx));
    ctx.forget_if_gone(node);
    is_held
}

/// All Nodes, for the breaker's first decision after this process became the leader. It may have led
/// before, and remember losses.
fn start(required: &AllRequired, memory: &Memory, ctx: &Context) -> Start {
    let now = (ctx.now)();
    let state = |node: Node| {
        let record = ctx.stores.record(&node);
        let labels = record.labels(&node);
        let uid = node.uid().unwrap_or_default();
        let up_to = ctx.fleet.judged_up_to(&uid);
        let judged = judge(&node, &labels, record.facts(), required.selecting(&labels), up_to, now);
        let state = memory.state(&uid, judged.as_ref(), now);
        (uid, state)
    };
    let policies = ctx.stores.policies.state();
    Start {
        nodes: ctx.stores.nodes.iter().map(state).collect(),
        open_since: open_since(policies.iter().map(|policy| &**policy))
            .into_iter()
            .chain(ctx.notes.open_since())
            .min(),
    }
}

fn plan(node: &Node, judged: Option<&Judged<'_>>, is_held: bool, ctx: &Context) -> Plan {
    let Some(judged) = judged else {
        return plan::without_ours(node);
    };
    let (name, now) = (node.name_any(), (ctx.now)());
    let is_owed = ctx.owed_taints.has(&node.uid().unwrap_or_default());
    let may_taint = |policy: &PolicyVerdict<'_>| {
        !policy.required.is_changing
            || ctx.permits.has(&policy.required.policy, &name)
            || (!is_held && (is_own_loss(node, judged, policy, now) || is_owed))
    };
    let remembered = ctx.breaker.loss(&node.uid().unwrap_or_default(), judged.boot);
    plan::plan(node, judged, &Moves { is_held, remembered, may_taint: &may_taint }, now)
}

/// Whether the Node is not ready for a reason of its own, and not because the policy is new or was
/// changed: it joined after that, or loses LSM BPF now.
fn is_own_loss(
    node: &Node,
    judged: &Judged<'_>,
    policy: &PolicyVerdict<'_>,
    now: Timestamp,
) -> bool {
    let change = spec_change::current(&policy.required.policy);
    let joined = node.creation_timestamp().is_some_and(|created| {
        change.is_some_and(|change| spec_change::joined_after(change, created.0, now))
    });
    joined || judged.loss.as_ref().is_some_and(|loss| loss.is_of_bpf)
}

/// Counts a change of our fields by others. Returns how long to wait before they are written again.
async fn contested(node: &Node, plan: &Plan, ctx: &Context) -> Option<Duration> {
    if plan.is_empty() {
        return None;
    }
    let answer = ctx.contests.look(node, plan, (ctx.instant)());
    if answer.is_new {
        ctx.metrics.contested();
    }
    if let Some(changes) = answer.announce {
        apply::announce_contest(node, changes, ctx).await;
    }
    answer.wait
}
