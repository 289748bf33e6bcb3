//! Deletes the hook profiles that no LsmNode has named for an hour, for example after a kernel
//! upgrade.
//!
//! ## Flow
//! Every ten minutes: profiles and reports from the stores → [`plan`](plan::plan), a pure function
//! → a delete of each profile that has been unused for long enough.
//!
//! ## Guarantees
//! - Only the leader deletes, and only after every store has its first list.
//! - A profile is deleted an hour after this process first saw it unused. So a new profile stays,
//!   and so does one that a rebooting node will name again.
//! - Each delete has the UID and resourceVersion that were seen.
//! - A profile whose name is not the digest of its content is deleted although it is named: nothing
//!   uses it, and the true profile needs the name.
//!
//! ## Errors
//! An error is logged and counted, and the next sweep tries again. If a profile is deleted that a
//! node needs, the node's probe publishes it again.

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

const INTERVAL: Duration = Duration::from_mins(10);

/// Runs a sweep every ten minutes until `stop` ends.
pub async fn sweeps(ctx: &Context, stop: impl Future) {
    let sweeps = async {
        let mut unnamed = Unnamed::default();
        loop {
            match sweep(ctx, &mut unnamed, (ctx.now)()).await {
                Ok(()) => ctx.metrics.reconciled("profile", "ok"),
                Err(error) => {
                    warn!(controller = "profile", %error, "hook profiles not deleted; the next sweep tries again");
                    ctx.metrics.reconciled("profile", error.reason());
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::select! {
        () = sweeps => {}
        _ = stop => {}
    }
}

/// One sweep. `unnamed` carries what the sweeps remember from one to the next.
pub async fn sweep(ctx: &Context, unnamed: &mut Unnamed, now: Timestamp) -> Result<(), Error> {
    // 1. Collect what is known.
    let profiles = ctx.stores.profiles.state();
    let reports = ctx.stores.reports.state();
    let named: BTreeSet<&str> = reports
        .iter()
        .filter_map(|report| report.status.as_ref()?.hook_profile.as_deref())
        .collect();
    // 2. Decide what to delete.
    let plan = plan::plan(&profiles, &named, unnamed, now);
    *unnamed = plan.unnamed;
    // 3. Delete it.
    apply::apply(&plan.delete, ctx).await
}
