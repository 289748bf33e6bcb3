//! The node controller: writes what a node's probe has proved to the Node's labels, taints and
//! condition.
//!
//! ## Flow
//! From the stores: the Node, its report and hook profile, all LsmPolicies and TracingPolicies →
//! [`plan`](plan::plan), a pure function → at most one patch of the Node and one of its status,
//! each only where something differs.
//!
//! ## Guarantees
//! - The labels and taints of a deleted policy are removed without a finalizer, also after a
//!   restart: the plan follows from the policies that exist, and the controller remembers nothing.
//! - A label changes only on new evidence or a new boot, never because a probe is silent.
//! - Each patch has the Node's UID. So a new Node with an old name never gets the old Node's
//!   evidence, and a patch never creates a Node.
//!
//! ## Errors
//! An error says which write to which Node failed. The Node is retried with backoff, or at once
//! when it changes.

mod apply;
pub mod plan;
pub mod required;
#[cfg(test)]
mod scenarios;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube_runtime::controller::Action;
use tracing::debug;

use crate::context::Context;

pub use apply::Error;

pub async fn reconcile(node: Arc<Node>, ctx: Arc<Context>) -> Result<Action, Error> {
    // 1. Collect what is known.
    let required =
        ctx.required.all(ctx.stores.policies.state(), ctx.stores.tracing_policies.snapshot());
    let record = ctx.stores.record(&node);
    // 2. Decide what has to change.
    let unread = ctx.stores.unread_policies();
    let plan =
        plan::plan(&node, record.facts(), &required, (ctx.now)()).unless_unread(&unread, &node);
    debug!(node = node.name_any(), ?plan, "planned");
    // 3. Write what differs.
    apply::apply(&node, &plan, &ctx).await?;
    // 4. Reconcile again when the report becomes stale.
    Ok(plan.stale_in.map_or_else(Action::await_change, |wait| {
        Action::requeue(wait.max(Duration::from_secs(1)))
    }))
}
