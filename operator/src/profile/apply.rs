//! Deletes the planned hook profiles. No other module of the operator writes hook profiles.

use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use lsm_ready_crds::LsmHookProfile;
use tracing::info;

use crate::context::Context;
use crate::profile::plan::Deletion;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("deleting LsmHookProfile {0}: {1}")]
    Delete(String, #[source] Box<kube::Error>),
}

impl Error {
    /// The value of the metrics' label `outcome`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Delete(..) => "delete",
        }
    }
}

/// Deletes each profile as it was seen. Profiles that are gone or have changed are left to the next
/// sweep. An error does not stop the other deletions; the first error is returned.
pub(super) async fn apply(deletions: &[Deletion], ctx: &Context) -> Result<(), Error> {
    let api = Api::<LsmHookProfile>::all(ctx.client.clone());
    let (mut deleted, mut failed) = (0_usize, None);
    for Deletion { name, uid, resource_version, why, .. } in deletions {
        let seen = Preconditions {
            uid: Some(uid.clone()),
            resource_version: Some(resource_version.clone()),
        };
        match api.delete(name, &DeleteParams::default().preconditions(seen)).await {
            Ok(_) => {
                ctx.metrics.wrote("LsmHookProfile");
                ctx.metrics.hook_profile_deleted(why.word());
                deleted += 1;
            }
            // It is gone, or it has changed.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => {
                failed = failed.or_else(|| Some(Error::Delete(name.clone(), Box::new(error))));
            }
        }
    }
    if let (Some(first), 1..) = (deletions.first(), deleted) {
        let Deletion { name, why, node, .. } = first;
        info!(deleted, first = name, why = why.word(), node, "deleted hook profiles");
    }
    failed.map_or(Ok(()), Err)
}
