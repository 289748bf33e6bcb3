//! Says in the status of an `LsmPolicy` that its newest version is not in force: it cannot be
//! parsed, or there are too many policies.
//!
//! ## Flow
//! [`unparsable`](crate::watch::unparsable) and [`policy_bound`](crate::watch::policy_bound) note
//! the policies → the live object → [`status::status`], a pure function → one server-side apply
//! where something but times differs.
//!
//! ## Guarantees
//! - The policy's spec is not parsed: name, UID, versions and the conditions are read one by one.
//! - The write has the UID and resourceVersion that were read, and is left out if the policy has a
//!   newer generation than the one that was noted.
//! - The policy controller does not write the status of such a policy.
//! - At most ten policies a second are looked at, so that a flood of policies is no flood of
//!   writes.
//!
//! ## Errors
//! An error is logged and counted, and tried again after five seconds.

#[cfg(test)]
mod scenarios;
mod status;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::names::FIELD_MANAGER;
use lsm_ready_crds::text::truncate;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::context::Context;
use crate::policy::status_patch;
use crate::watch::guard::MAX_ERROR;

use self::status::Cause;

/// Time between two policies.
const PAUSE: Duration = Duration::from_millis(100);
/// Time after a failure.
const RETRY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error("writing to the status of LsmPolicy {0} that it is not in force: {1}")]
pub struct Error(String, #[source] Box<kube::Error>);

/// A policy whose newest version is not in force.
#[derive(Clone, Debug)]
struct NotInForce {
    metadata: ObjectMeta,
    cause: Cause,
}

/// What was reported of each policy, by name.
pub type Reported = BTreeMap<String, (Option<String>, Option<i64>, Cause)>;

/// Reports until `stop` ends.
pub async fn reports(ctx: &Context, stop: impl Future) {
    let reports = async {
        let mut reported = Reported::new();
        loop {
            let all_is_well = round(ctx, &mut reported).await;
            tokio::select! {
                biased;
                () = ctx.stores.unparsable_policies.changed() => {}
                () = ctx.stores.excess_policies.changed() => {}
                () = sleep(RETRY), if !all_is_well => {}
            }
        }
    };
    tokio::select! {
        biased;
        _ = stop => {}
        () = reports => {}
    }
}

/// Looks once at each policy that is not in force. Returns whether no write failed.
pub async fn round(ctx: &Context, reported: &mut Reported) -> bool {
    let all = not_in_force(ctx);
    ctx.metrics.policies_not_in_force(all.len());
    let is_among = |name: &String| all.iter().any(|one| one.metadata.name.as_ref() == Some(name));
    reported.retain(|name, _| is_among(name));
    let mut all_is_well = true;
    for policy in all {
        let name = policy.metadata.name.clone().unwrap_or_default();
        let seen = (policy.metadata.uid.clone(), policy.metadata.generation, policy.cause.clone());
        if reported.get(&name) == Some(&seen) {
            continue;
        }
        match report(&name, &policy, ctx).await {
            Ok(()) => {
                ctx.metrics.reconciled("not-in-force", "ok");
                reported.insert(name, seen);
            }
            Err(error) => {
                ctx.metrics.reconciled("not-in-force", "status");
                let error = truncate(&error.to_string(), MAX_ERROR);
                warn!(controller = "not-in-force", error, "trying again");
                all_is_well = false;
            }
        }
        sleep(PAUSE).await;
    }
    all_is_well
}

fn not_in_force(ctx: &Context) -> Vec<NotInForce> {
    let unparsable = ctx.stores.unparsable_policies.all().into_iter().map(|found| NotInForce {
        metadata: *found.invalid.metadata,
        cause: Cause::Unparsable { error: found.invalid.error, is_held: found.is_held },
    });
    let excess = ctx.stores.excess_policies.all().into_iter();
    let excess = excess.map(|metadata| NotInForce { metadata, cause: Cause::TooMany });
    unparsable.chain(excess).collect()
}

async fn report(name: &str, policy: &NotInForce, ctx: &Context) -> Result<(), Error> {
    let failed = |error: kube::Error| Error(name.to_owned(), Box::new(error));
    let resource = ApiResource::erase::<LsmPolicy>(&());
    let api: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &resource);
    let Some(live) = api.get_opt(name).await.map_err(failed)? else {
        return Ok(());
    };
    let NotInForce { metadata, cause } = policy;
    if live.metadata.uid != metadata.uid || live.metadata.generation != metadata.generation {
        return Ok(());
    }
    let Some(status) = status::status(&live, cause, &Time((ctx.now)())) else {
        return Ok(());
    };
    let patch = status_patch(&live.metadata, &status);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(name, &params, &Patch::Apply(patch)).await.map_err(failed)?;
    ctx.metrics.wrote("LsmPolicy/status");
    // What was counted of it before is not kept up any more.
    ctx.metrics.forget_policy(name);
    info!(policy = name, "reported that the policy is not in force");
    Ok(())
}
