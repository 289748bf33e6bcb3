//! Forgetting objects that are gone.
//!
//! In: the stores, after a deletion or a fresh list. Out: every map that is keyed by an object
//! holds only objects that exist.
//!
//! ## Guarantees
//! A fresh list counts as much as a Delete event: an object that was deleted while its watch was
//! broken has no event of its own. A reconcile that is still running can add an entry just after
//! its object was deleted. The code that adds the entry therefore looks at the store afterwards,
//! and removes the entry if the object is gone.
//!
//! ## What is not here
//! The triggers forget their own maps ([`crate::watch::triggers`]). What is known of Tetragon's
//! agents, and of hook profiles that no report names, is compared with the stores at each round.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube_runtime::reflector::{Lookup, ObjectRef, Store};
use lsm_ready_crds::LsmPolicy;

use super::Context;

impl Context {
    pub fn forget_gone_nodes(&self) {
        let uids = uids(&self.stores.nodes.0);
        let exists = |uid: &str| uids.contains(uid);
        self.backoffs.nodes.retain(exists);
        self.backoffs.node_conflicts.retain(exists);
        self.contests.retain(exists);
        self.owed_taints.retain(exists);
        self.queues.retain_nodes(|name| self.stores.nodes.packed(name).is_some());
        self.metrics.nodes(&self.fleet.retain(exists));
        self.retain_in_breaker(exists);
    }

    /// Forgets a Node that was deleted while it was looked at, after it had been forgotten.
    pub fn forget_if_gone(&self, node: &Node) {
        let stored = self.stores.nodes.packed(&node.name_any());
        let uid = ResourceExt::uid(node).unwrap_or_default();
        if stored.and_then(|stored| ResourceExt::uid(&*stored)).as_ref() == Some(&uid) {
            return;
        }
        let others = |known: &str| known != uid;
        self.contests.forget(&uid);
        self.owed_taints.remove(&uid);
        self.metrics.nodes(&self.fleet.retain(others));
        self.retain_in_breaker(others);
    }

    pub fn forget_gone_policies(&self) {
        let uids = uids(&self.stores.policies);
        self.backoffs.policies.retain(|uid| uids.contains(uid));
        self.backoffs.policy_conflicts.retain(|uid| uids.contains(uid));
        self.permits.retain(|uid| uids.contains(uid));
        self.required.retain(|uid| uids.contains(uid));
        self.census.retain(|uid| uids.contains(uid));
        self.rate_limit.retain(|uid| uids.contains(uid));
        let exists = |name: &str| self.stores.policies.get(&ObjectRef::new(name)).is_some();
        self.queues.retain_policies(exists);
        self.metrics.retain_policies(exists);
    }

    /// Forgets a policy that was deleted while it was evaluated, after it had been forgotten.
    pub fn forget_if_gone_policy(&self, policy: &LsmPolicy) {
        if self.stores.policies.get(&ObjectRef::from_obj(policy)).is_none() {
            let uid = ResourceExt::uid(policy).unwrap_or_default();
            self.census.retain(|known| known != uid);
            self.rate_limit.retain(|known| known != uid);
        }
    }

    pub fn forget_gone_daemon_sets(&self) {
        let uids = uids(&self.stores.daemon_sets);
        self.backoffs.daemon_sets.retain(|uid| uids.contains(uid));
        self.tetragon.retain(|key| self.stores.daemon_sets.get(&key.object_ref()).is_some());
    }

    pub fn forget_gone_profiles(&self) {
        let profiles = &self.stores.profiles;
        let exists = |digest: &str| profiles.get(&ObjectRef::new(digest)).is_some();
        self.stores.contents.retain_profiles(exists);
    }
}

fn uids<K>(store: &Store<K>) -> HashSet<String>
where
    K: ResourceExt + Lookup<DynamicType = ()> + Clone + 'static,
{
    store.state().iter().filter_map(|object| ResourceExt::uid(&**object)).collect()
}
