//! What the controllers read of an object, as something that can be hashed.

use std::hash::{Hash, Hasher};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lsm_ready_crds::{LsmPolicy, names};

use crate::breaker::is_release;
use crate::node::judge;
use crate::policy::spec_change::{self, is_changing};
use crate::watch::store::boot_id;

/// What some controller reads of a Node.
pub(super) struct RelevantInNode<'a>(pub &'a Node);

impl Hash for RelevantInNode<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self(node) = self;
        let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
        let taints: Vec<_> = taints.map(|it| (&it.key, &it.value, &it.effect)).collect();
        let status = node.status.as_ref();
        let addresses = status.iter().flat_map(|status| status.addresses.iter().flatten());
        let addresses: Vec<_> = addresses.map(|it| (&it.type_, &it.address)).collect();
        let conditions = judge::conditions(node).map(|it| (&it.status, &it.reason, &it.message));
        let conditions: Vec<_> = conditions.collect();
        (node.labels(), taints, boot_id(node), addresses, conditions).hash(hasher);
    }
}

/// The spec, whether it has reached the nodes, and whether held changes are released.
pub(super) fn relevant_in_policy(policy: &LsmPolicy) -> impl Hash {
    // Since when it reaches the nodes matters for its taint only.
    let has_change = policy.spec.taint.is_some() && spec_change::current(policy).is_some();
    (policy.metadata.generation, has_change, is_changing(policy), is_release(policy))
}

/// What of a policy every node may follow: its spec, and the release of held changes.
pub(super) fn for_all_nodes(policy: &LsmPolicy) -> impl Hash {
    (policy.metadata.generation, is_release(policy))
}

pub(super) fn relevant_in_daemon_set(daemon_set: &DaemonSet) -> impl Hash {
    let status = daemon_set.status.as_ref().map(|status| format!("{status:?}"));
    let owner = daemon_set.annotations().get(names::APPLY_ANNOTATION).cloned();
    (daemon_set.metadata.generation, daemon_set.labels().clone(), owner, status)
}
