//! Takes away the hook profiles that no LsmNode has named for an hour, as after an upgrade of the nodes' kernels.
//!
//! ## Flow
//! Every ten minutes: profiles and reports from the stores → [`plan`](plan::plan), a pure function → a delete of each
//! profile whose time is over.
//!
//! ## Guarantees
//! Only the leader does so, and only after every store has listed. A profile goes an hour after this process first saw
//! that nobody names it, so one that was just created, or that a rebooting node is about to name again, stays. The
//! delete bears the UID and resourceVersion that were seen. A profile that is not what its name says keeps the true one
//! of that name out and is believed by nobody: it goes although it is named.
//!
//! ## Errors
//! Logged and counted; the next look tries again. A node whose profile was taken away nevertheless publishes it again.

mod apply;
pub mod plan;
#[cfg(test)]
mod scenarios;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use crate::context::Context;
use plan::Unnamed;

pub use apply::Error;

/// How often it looks.
const EVERY: Duration = Duration::from_mins(10);

/// Looks again and again, until `stop`.
pub async fn sweeps(ctx: &Context, stop: impl Future) {
    let looks = async {
        let mut unnamed = Unnamed::default();
        loop {
            match sweep(ctx, &mut unnamed, (ctx.now)()).await {
                Ok(()) => ctx.metrics.reconciled("profile", "ok"),
                Err(error) => {
                    warn!(controller = "profile", %error, "trying again with the next look");
                    ctx.metrics.reconciled("profile", error.reason());
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = looks => {}
        _ = stop => {}
    }
}

/// One look; `unnamed` is what the look before has left.
///
/// # Errors
/// When a profile cannot be deleted.
pub async fn sweep(ctx: &Context, unnamed: &mut Unnamed, now: Timestamp) -> Result<(), Error> {
    // 1. What is known.
    let profiles = ctx.stores.profiles.state();
    let reports = ctx.stores.reports.state();
    let named: BTreeSet<&str> = reports
        .iter()
        .filter_map(|report| report.status.as_ref()?.hook_profile.as_deref())
        .collect();
    // 2. What it means.
    let plan = plan::plan(&profiles, &named, unnamed, now);
    *unnamed = plan.unnamed;
    // 3. Delete what is to go.
    apply::apply(&plan.delete, ctx).await
}
