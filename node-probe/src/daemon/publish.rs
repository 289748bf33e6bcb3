//! Hook profiles in the cluster. In: a profile. Out: whether the cluster has it under its name.
//!
//! # Guarantees
//! A report never names an object whose content does not match its name. If the API server refuses
//! profiles (an older CRD, different RBAC), the report has no profile but still shows the evidence.

use kube::api::PostParams;
use kube::{Api, Client};
use lsm_ready_crds::LsmHookProfile;
use lsm_ready_crds::names::PROBE_FIELD_MANAGER;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use tracing::{info, warn};

use super::hooks::{Hooks, Known};
use super::write::{Error, failed};

/// Makes sure that the cluster has the known profile, and creates it if it is missing. Returns
/// whether the cluster has it.
pub async fn ensure(client: &Client, hooks: &mut Hooks) -> Result<bool, Error> {
    match hooks.known() {
        None => Ok(false),
        Some(Known::Made(profile)) => publish(client, profile).await,
        Some(Known::Published(digest)) => {
            let is_there = is_genuine(client, digest).await?;
            if !is_there {
                warn!(
                    profile = digest,
                    "the hook profile no longer exists: the hooks will be tried again"
                );
                hooks.forget();
            }
            Ok(is_there)
        }
    }
}

/// Whether the cluster has a profile of that name whose content matches its name.
pub async fn is_genuine(client: &Client, digest: &str) -> Result<bool, Error> {
    Ok(get(client, digest).await?.is_some_and(|profile| profile.is_genuine()))
}

async fn get(client: &Client, digest: &str) -> Result<Option<LsmHookProfile>, Error> {
    let api: Api<LsmHookProfile> = Api::all(client.clone());
    let answer = api.get_opt(digest).await;
    none_if_refused(digest, answer, "get the LsmHookProfile").map(Option::flatten)
}

/// Creates the profile unless a node with the same kernel already has.
async fn publish(client: &Client, profile: &LsmHookProfileSpec) -> Result<bool, Error> {
    let digest = profile.digest();
    let present = match get(client, &digest).await? {
        Some(present) => Some(present),
        None if create(client, &digest, profile).await? => return Ok(true),
        // Another node created it in between, or the API server refused.
        None => get(client, &digest).await?,
    };
    let is_genuine = present.as_ref().is_some_and(LsmHookProfile::is_genuine);
    if present.is_some() && !is_genuine {
        warn!(
            profile = digest,
            "the content of this LsmHookProfile does not match its name: the report names no \
             profile"
        );
    }
    Ok(is_genuine)
}

/// Whether the profile was created.
async fn create(
    client: &Client,
    digest: &str,
    profile: &LsmHookProfileSpec,
) -> Result<bool, Error> {
    let api: Api<LsmHookProfile> = Api::all(client.clone());
    let params =
        PostParams { field_manager: Some(PROBE_FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let answer = api.create(&params, &LsmHookProfile::new(digest, profile.clone())).await;
    if matches!(&answer, Err(kube::Error::Api(status)) if status.code == 409) {
        return Ok(false);
    }
    let created = none_if_refused(digest, answer, "create the LsmHookProfile")?.is_some();
    if created {
        info!(profile = digest, "the hook profile is published");
    }
    Ok(created)
}

/// The answer, or `None` if the API server refused the request for good. A refusal is logged and
/// does not stop the daemon.
fn none_if_refused<T>(
    digest: &str,
    answer: kube::Result<T>,
    doing: &'static str,
) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(kube::Error::Api(status))
            if (400..500).contains(&status.code) && status.code != 429 =>
        {
            warn!(profile = digest, error = %status.message, "cannot {doing}");
            Ok(None)
        }
        Err(error) => Err(failed(doing, digest)(error)),
    }
}
