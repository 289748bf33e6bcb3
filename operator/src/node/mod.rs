//! The node controller: makes a Node's labels, taint and condition say what its probe has proved.
//!
//! ## Flow
//! Node, its report and hook profile, all policies and Tetragon's own from the stores → [`plan`](plan::plan), pure → at most
//! one patch of the Node and one of its status, each only where something differs.
//!
//! ## Guarantees
//! There is no finalizer: the wanted state is computed from what lives, so the labels and taints of a deleted policy go
//! by themselves, also after a restart. A label changes only on evidence or on a new boot, never because a probe is
//! silent. The Node's UID is part of each patch, so a Node made anew under the same name is never given another's
//! evidence, and a patch can never create a Node.
//!
//! ## Errors
//! Reported with what was being done; the Node is tried again with backoff, or at once when it changes.

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

/// One look at a Node.
///
/// # Errors
/// When a patch is refused or the API server cannot be reached.
pub async fn reconcile(node: Arc<Node>, ctx: Arc<Context>) -> Result<Action, Error> {
    // 1. What is known.
    let required =
        ctx.required.all(ctx.stores.policies.state(), ctx.stores.tracing_policies.snapshot());
    let record = ctx.stores.record(&node);
    // 2. What it means.
    let plan = plan::plan(&node, record.facts(), &required, (ctx.now)());
    debug!(node = node.name_any(), ?plan, "planned");
    // 3. Write what differs.
    apply::apply(&node, &plan, &ctx).await?;
    // 4. Look again when the report would have become stale.
    Ok(plan.stale_in.map_or_else(Action::await_change, |wait| {
        Action::requeue(wait.max(Duration::from_secs(1)))
    }))
}
