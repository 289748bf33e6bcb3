//! What to write: a pure function of the LsmNode that is there and of what it should say.
//!
//! In: the LsmNode, if there is one, and a [`Desired`]. Out: a [`Plan`], empty if nothing but the
//! time differs.

mod history;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{Resource, ResourceExt};
use lsm_ready_crds::node::LsmNodeContent;
use lsm_ready_crds::{LsmNode, LsmNodeStatus};

use history::{denied_before, denied_since, refused_since};

/// The Node that the LsmNode belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    pub name: String,
    /// A Node that was deleted and created again under the same name has another uid.
    pub uid: String,
}

/// What the LsmNode should say.
#[derive(Clone, Copy, Debug)]
pub struct Desired<'a> {
    pub node: &'a Identity,
    /// What the check has found.
    pub found: &'a LsmNodeStatus,
    /// What this daemon wrote last. The history of the boot goes on from there, also if somebody
    /// has deleted or changed the object since. `None` before the first write.
    pub last: Option<&'a LsmNodeStatus>,
    pub now: Timestamp,
    /// The age at which an unchanged status is written again.
    pub renew_after: Duration,
}

/// Writes, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Create this object.
    pub create: Option<LsmNode>,
    /// Set these owners.
    pub own: Option<Owners>,
    /// Apply this status.
    pub status: Option<LsmNodeStatus>,
}

/// The owners to set on an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Owners {
    pub owners: Vec<OwnerReference>,
    /// The version of the object that was read: the write fails if the object has changed since.
    pub resource_version: Option<String>,
}

impl Plan {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// What is written, in words.
    pub fn describe(&self) -> String {
        let object = self.create.as_ref().map(|_| "object");
        let owner = self.own.as_ref().map(|_| "owner");
        let status = self.status.as_ref().map(|_| "status");
        [object, owner, status].into_iter().flatten().collect::<Vec<_>>().join("+")
    }
}

/// The writes after which the LsmNode says what is desired.
pub fn plan(present: Option<&LsmNode>, desired: &Desired<'_>) -> Plan {
    let Desired { node, found, last, now, .. } = *desired;
    let written = present.and_then(|present| present.status.as_ref());
    let before = last.or(written);
    let status = LsmNodeStatus {
        observed_time: Some(Time(now)),
        denied_since: denied_since(before, found, now),
        refused_since: refused_since(before, found, now),
        denied_before: denied_before(before, found),
        ..found.clone()
    };
    let owner = owner(node);
    let Some(present) = present else {
        let mut create = LsmNode::new(&node.name, LsmNodeContent::default());
        create.meta_mut().owner_references = Some(vec![owner]);
        return Plan { create: Some(create), own: None, status: Some(status) };
    };
    let owners = owners(present.owner_references(), owner);
    let is_owned = present.owner_references() == owners;
    Plan {
        create: None,
        own: (!is_owned).then(|| Owners { owners, resource_version: present.resource_version() }),
        status: is_due(written, &status, desired).then_some(status),
    }
}

/// Whether the status differs in more than its time, or was written a renewal period ago. A time in
/// the future counts as due too: the clock was set back since.
fn is_due(written: Option<&LsmNodeStatus>, status: &LsmNodeStatus, desired: &Desired<'_>) -> bool {
    let undated = |status: &LsmNodeStatus| LsmNodeStatus { observed_time: None, ..status.clone() };
    let Some(written) = written.filter(|written| undated(written) == undated(status)) else {
        return true;
    };
    let Some(Time(then)) = &written.observed_time else {
        return true;
    };
    Duration::try_from(desired.now.duration_since(*then))
        .map_or(true, |age| age >= desired.renew_after)
}

/// The owners there should be. Owners that others have set are kept, but the only Node among them
/// is ours.
fn owners(present: &[OwnerReference], ours: OwnerReference) -> Vec<OwnerReference> {
    if present.contains(&ours) && present.iter().filter(|owner| is_node(owner)).count() == 1 {
        return present.to_vec();
    }
    present.iter().filter(|owner| !is_node(owner)).cloned().chain([ours]).collect()
}

fn is_node(owner: &OwnerReference) -> bool {
    owner.api_version == "v1" && owner.kind == "Node"
}

/// The Node as owner. No blockOwnerDeletion, because setting it needs the right to set finalizers
/// on Nodes.
fn owner(node: &Identity) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.name.clone(),
        uid: node.uid.clone(),
        controller: None,
        block_owner_deletion: None,
    }
}
