//! Hook profiles in the cluster. In: a profile. Out: what the cluster has under its name.
//!
//! # Guarantees
//! A report never names an object whose content does not match its name. If the API server refuses
//! profiles (an older CRD, different RBAC), the report has no profile but still shows the evidence.

use kube::api::{GetParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use lsm_ready_crds::LsmHookProfile;
use lsm_ready_crds::names::PROBE_FIELD_MANAGER;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use tracing::{info, warn};

use super::hooks::{InCluster, ProfileState};
use super::write::{Error, if_found, within};

/// The label of a profile: the node whose probe published it. Admission compares the value with the
/// node of the probe's token.
const NODE_LABEL: &str = "lsmready.io/node";
/// Maximum length of a label's value.
const LABEL_VALUE_MAX: usize = 63;

/// Makes sure that the cluster has the known profile, and creates it if it is missing. Sends
/// nothing if the cluster has it.
pub async fn ensure(client: &Client, hooks: &mut ProfileState, node: &str) -> Result<(), Error> {
    if let Some(profile) = hooks.unpublished() {
        let cluster = publish(client, profile, node).await?;
        hooks.found_in_cluster(cluster);
    }
    Ok(())
}

/// The profile of that name.
pub async fn get(client: &Client, digest: &str) -> Result<Option<LsmHookProfile>, Error> {
    let api: Api<LsmHookProfile> = Api::all(client.clone());
    let answer = if_found(within("get the LsmHookProfile", digest, api.get(digest)).await);
    none_if_refused(digest, answer).map(Option::flatten)
}

/// The uid of the profile of that name, as the API server's cache has it.
pub async fn uid(client: &Client, digest: &str) -> Result<Option<String>, Error> {
    let api: Api<LsmHookProfile> = Api::all(client.clone());
    let params = GetParams::any();
    let get = api.get_metadata_with(digest, &params);
    let found = if_found(within("look at the LsmHookProfile", digest, get).await)?;
    Ok(found.map(|object| object.uid().unwrap_or_default()))
}

/// Creates the profile unless a node with the same kernel already has.
async fn publish(
    client: &Client,
    profile: &LsmHookProfileSpec,
    node: &str,
) -> Result<InCluster, Error> {
    let digest = profile.digest();
    let present = match get(client, &digest).await? {
        Some(present) => Some(present),
        None => match create(client, &digest, profile, node).await? {
            Created::Now(object) => Some(*object),
            Created::Before => get(client, &digest).await?,
            Created::KindMissing => None,
            Created::Refused => return Ok(InCluster::Refused),
        },
    };
    let cluster = present.as_ref().map_or(InCluster::Unknown, InCluster::of);
    if matches!(cluster, InCluster::False { .. }) {
        warn!(
            profile = digest,
            "the content of this LsmHookProfile does not match its name: the report names no \
             profile until somebody deletes it (the operator does)"
        );
    }
    Ok(cluster)
}

/// How an attempt to create the profile ended.
enum Created {
    Now(Box<LsmHookProfile>),
    /// Another node created it in between.
    Before,
    /// The cluster does not know the kind, for example because its CRD is being replaced.
    KindMissing,
    Refused,
}

async fn create(
    client: &Client,
    digest: &str,
    profile: &LsmHookProfileSpec,
    node: &str,
) -> Result<Created, Error> {
    let api: Api<LsmHookProfile> = Api::all(client.clone());
    let params =
        PostParams { field_manager: Some(PROBE_FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let object = object(digest, profile, node);
    let answer = within("create the LsmHookProfile", digest, api.create(&params, &object)).await;
    match answer.as_ref().err().and_then(Error::code) {
        Some(409) => return Ok(Created::Before),
        Some(404) => return Ok(Created::KindMissing),
        _ => {}
    }
    Ok(none_if_refused(digest, answer)?.map_or(Created::Refused, |object| {
        info!(profile = digest, "the hook profile is published");
        Created::Now(Box::new(object))
    }))
}

/// The object with the one label that a probe may set. A name that is too long for a label's value
/// is left out.
fn object(digest: &str, profile: &LsmHookProfileSpec, node: &str) -> LsmHookProfile {
    let mut object = LsmHookProfile::new(digest, profile.clone());
    if node.len() <= LABEL_VALUE_MAX {
        object.labels_mut().insert(NODE_LABEL.to_owned(), node.to_owned());
    }
    object
}

/// The answer, or `None` if the API server refused the request for good. A refusal is logged and
/// does not stop the daemon.
fn none_if_refused<T>(digest: &str, answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.code() {
            Some(code) if (400..500).contains(&code) && code != 429 => {
                warn!(profile = digest, %error, "the API server refuses this request");
                Ok(None)
            }
            _ => Err(error),
        },
    }
}
