//! Deletes hook profiles: false ones at once, and those that no LsmNode names after a while, for
//! example after a kernel upgrade.
//!
//! ## Flow
//! When a profile was created or changed, and every minute: profiles and reports from the stores →
//! [`plan`](plan::plan), a pure function → a delete of each profile that may not stay → a metric,
//! and an Event where a profile was false.
//!
//! ## Guarantees
//! - Only the leader deletes, and only after every store has its first list.
//! - A profile whose name is not the digest of its content is deleted at once although it is named:
//!   nothing uses it, and the true profile needs the name.
//! - A genuine profile is deleted an hour after this process first saw it unused, or after five
//!   minutes where there are too many. So a new profile stays, and so does one that a rebooting
//!   node will name again.
//! - Each delete has the UID and resourceVersion that were seen. At most 50 are sent a second.
//!
//! ## Errors
//! An error is logged and counted, and the next sweep tries again. If a profile is deleted that a
//! node needs, the node's probe publishes it again. A profile with finalizers is deleted once; what
//! holds it is reported.

mod apply;
mod news;
pub mod plan;
#[cfg(test)]
mod scenarios;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::context::Context;
use plan::Unnamed;

pub use apply::Error;

/// Longest time between two sweeps.
const INTERVAL: Duration = Duration::from_mins(1);
/// Shortest time between two sweeps.
const PAUSE: Duration = Duration::from_secs(1);

/// What the sweeps remember from one to the next.
#[derive(Debug, Default)]
pub struct Memory {
    pub unnamed: Unnamed,
    /// When the last Event about a false profile was published.
    pub told: Option<Instant>,
}

/// Sweeps until `stop` ends.
pub async fn sweeps(ctx: &Context, stop: impl Future) {
    let sweeps = async {
        let mut memory = Memory::default();
        loop {
            let has_more = match sweep(ctx, &mut memory, (ctx.instant)()).await {
                Ok(has_more) => {
                    ctx.metrics.reconciled("profile", "ok");
                    has_more
                }
                Err(error) => {
                    warn!(controller = "profile", %error, "the next sweep tries again");
                    ctx.metrics.reconciled("profile", error.reason());
                    false
                }
            };
            sleep(PAUSE).await;
            if !has_more {
                tokio::select! {
                    biased;
                    () = ctx.profiles_changed.notified() => {}
                    () = sleep(INTERVAL) => {}
                }
            }
        }
    };
    tokio::select! {
        biased;
        _ = stop => {}
        () = sweeps => {}
    }
}

/// One sweep. Returns whether there is more to delete than one sweep may.
pub async fn sweep(ctx: &Context, memory: &mut Memory, now: Instant) -> Result<bool, Error> {
    // 1. Collect what is known.
    let profiles = ctx.stores.profiles.state();
    let reports = ctx.stores.reports.state();
    let named: BTreeSet<&str> = reports
        .iter()
        .filter_map(|report| report.status.as_ref()?.hook_profile.as_deref())
        .collect();
    // 2. Decide what to delete.
    let plan = plan::plan(&profiles, &named, &memory.unnamed, now);
    memory.unnamed = plan.unnamed;
    ctx.metrics.hook_profiles(&plan.counts);
    // 3. Delete it.
    let deleted = apply::apply(&plan.delete, ctx).await;
    // 4. Tell of false profiles.
    news::publish(&plan.delete, memory, now, ctx).await;
    deleted.map(|()| plan.has_more)
}
