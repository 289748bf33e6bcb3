//! Between two checks: whether the LsmNode and the hook profile are still as this daemon left them.
//!
//! In: what the daemon has left in the cluster, and the objects' metadata now. Out: what has
//! changed, if anything.
//!
//! A look is a GET of metadata from the API server's cache. It needs no right beyond `get`, which a
//! watch would, and a dead connection cannot hide a change for longer than the deadline of a
//! request. docs/adr/0038-the-probe-looks.md has the costs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::GetParams;
use kube::{Api, Client};
use lsm_ready_crds::{LsmNode, LsmNodeStatus};

use super::hooks::ProfileState;
use super::publish;
use super::write::{Error, if_found, within};

/// The LsmNode as this daemon has left it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Left {
    uid: Option<String>,
    resource_version: Option<String>,
    /// What the daemon wrote. It holds the history of the boot, also if somebody deletes the
    /// object.
    pub status: LsmNodeStatus,
}

impl Left {
    pub fn of(object: LsmNode) -> Self {
        Self {
            uid: object.metadata.uid,
            resource_version: object.metadata.resource_version,
            status: object.status.unwrap_or_default(),
        }
    }

    /// Whether somebody else has deleted or written the object since. An older version is not a
    /// change: it comes from a cache that is behind.
    pub fn differs(&self, found: Option<&ObjectMeta>) -> bool {
        let Some(found) = found else {
            return true;
        };
        let number = |object: Option<&String>| object?.parse::<u64>().ok();
        let (now, then) = (found.resource_version.as_ref(), self.resource_version.as_ref());
        let is_behind = number(now).zip(number(then)).is_some_and(|(now, then)| now < then);
        found.uid != self.uid || now != then && !is_behind
    }
}

/// Whether the LsmNode was changed or deleted.
pub async fn report_differs(client: &Client, name: &str, left: &Left) -> Result<bool, Error> {
    let api: Api<LsmNode> = Api::all(client.clone());
    let params = GetParams::any();
    let get = api.get_metadata_with(name, &params);
    let found = if_found(within("look at the LsmNode", name, get).await)?;
    Ok(left.differs(found.as_ref().map(|object| &object.metadata)))
}

/// Whether the profile was deleted, or is another object now.
pub async fn profile_differs(client: &Client, hooks: &ProfileState) -> Result<bool, Error> {
    let Some(digest) = hooks.watched() else {
        return Ok(false);
    };
    Ok(hooks.differs(publish::uid(client, &digest).await?.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(uid: &str, version: &str) -> ObjectMeta {
        ObjectMeta {
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn a_deleted_a_new_and_a_changed_object_are_noticed_and_an_old_cache_is_not() {
        let left = Left {
            uid: Some("u".to_owned()),
            resource_version: Some("100".to_owned()),
            ..Left::default()
        };
        for (found, differs) in [
            (None, true),
            (Some(meta("u", "100")), false),
            (Some(meta("u", "101")), true),
            (Some(meta("u", "99")), false),
            (Some(meta("v", "99")), true),
            (Some(meta("u", "x")), true),
        ] {
            assert_eq!(left.differs(found.as_ref()), differs, "{found:?}");
        }
    }
}
