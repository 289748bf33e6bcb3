//! Deletes what the plan says: the only place that writes hook profiles.

use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use lsm_ready_crds::LsmHookProfile;
use tracing::info;

use crate::context::Context;
use crate::profile::plan::Deletion;

/// Why a profile could not be deleted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused it, or could not be reached.
    #[error("deleting LsmHookProfile {0}: {1}")]
    Delete(String, #[source] Box<kube::Error>),
}

impl Error {
    /// A short word for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Delete(..) => "delete",
        }
    }
}

/// Deletes each as it was seen. One that is gone or changed meanwhile is left to the next look; one that cannot be deleted
/// does not keep the others, and the first such error is returned.
pub(super) async fn apply(deletions: &[Deletion], ctx: &Context) -> Result<(), Error> {
    let api = Api::<LsmHookProfile>::all(ctx.client.clone());
    let mut failed = None;
    for Deletion { name, uid, resource_version } in deletions {
        let seen = Preconditions {
            uid: Some(uid.clone()),
            resource_version: Some(resource_version.clone()),
        };
        match api.delete(name, &DeleteParams::default().preconditions(seen)).await {
            Ok(_) => {
                ctx.metrics.wrote("LsmHookProfile");
                info!(profile = name, "a hook profile that no node names is deleted");
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => {
                failed = failed.or_else(|| Some(Error::Delete(name.clone(), Box::new(error))));
            }
        }
    }
    failed.map_or(Ok(()), Err)
}
