//! Hook profiles in the cluster: the other place that talks to the API server. In: a profile. Out:
//! whether it stands there under its name.
//!
//! # Guarantees
//! An object whose content is not what its name says is never named by a report. A cluster that
//! refuses profiles (an older CRD, another RBAC) costs the profile and never the report of
//! evidence.

use kube::api::PostParams;
use kube::{Api, Client};
use lsm_ready_crds::LsmHookProfile;
use lsm_ready_crds::names::PROBE_FIELD_MANAGER;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use tracing::{info, warn};

use super::hooks::{Hooks, Known};
use super::write::{Error, failed};

/// Whether what is known of the hooks can be read in the cluster under its name; publishes it where
/// it is missing.
pub async fn stands(client: &Client, hooks: &mut Hooks) -> Result<bool, Error> {
    match hooks.known() {
        None => Ok(false),
        Some(Known::Made(profile)) => publish(client, profile).await,
        Some(Known::Published(digest)) => {
            let stands = is_there(client, digest).await?;
            if !stands {
                warn!(
                    profile = digest,
                    "the hook profile is there no longer: the hooks are tried again"
                );
                hooks.forget();
            }
            Ok(stands)
        }
    }
}

/// Whether there is a profile of that name that is what its name says.
pub async fn is_there(client: &Client, digest: &str) -> Result<bool, Error> {
    Ok(get(client, digest).await?.is_some_and(|profile| profile.is_genuine()))
}

async fn get(client: &Client, digest: &str) -> Result<Option<LsmHookProfile>, Error> {
    let api: Api<LsmHookProfile> = Api::all(client.clone());
    answered(digest, api.get_opt(digest).await, "get the LsmHookProfile").map(Option::flatten)
}

/// Creates the profile unless a node with the same kernel already has.
async fn publish(client: &Client, profile: &LsmHookProfileSpec) -> Result<bool, Error> {
    let digest = profile.digest();
    let present = get(client, &digest).await?;
    let present = match present {
        Some(present) => Some(present),
        None if create(client, &digest, profile).await? => return Ok(true),
        // Another node was quicker, or it was refused.
        None => get(client, &digest).await?,
    };
    let stands = present.as_ref().is_some_and(LsmHookProfile::is_genuine);
    if present.is_some() && !stands {
        warn!(
            profile = digest,
            "the LsmHookProfile of this name has another content: this node names no profile"
        );
    }
    Ok(stands)
}

/// Whether it was created.
async fn create(
    client: &Client,
    digest: &str,
    profile: &LsmHookProfileSpec,
) -> Result<bool, Error> {
    let api: Api<LsmHookProfile> = Api::all(client.clone());
    let params =
        PostParams { field_manager: Some(PROBE_FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let created = api.create(&params, &LsmHookProfile::new(digest, profile.clone())).await;
    if matches!(&created, Err(kube::Error::Api(status)) if status.code == 409) {
        return Ok(false);
    }
    let created = answered(digest, created, "create the LsmHookProfile")?.is_some();
    if created {
        info!(profile = digest, "the hook profile is published");
    }
    Ok(created)
}

/// The answer; none where the API server refused the request for good, which is told and does not
/// stop the agent.
fn answered<T>(
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
