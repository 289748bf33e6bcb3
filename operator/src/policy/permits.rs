//! Which nodes may get the taint of a policy that is new or was changed.
//!
//! In: what the policy controller decides ([`super::spec_change`]). Out: the answer for one node.
//! Nothing is lost in a restart: the policy controller decides again, and until then no taint of
//! such a policy is added.

use std::collections::{BTreeSet, HashMap};

use kube::ResourceExt;
use lsm_ready_crds::LsmPolicy;
use parking_lot::Mutex;

/// The permits, by the policy's UID.
#[derive(Debug, Default)]
pub struct Permits(Mutex<HashMap<String, Permit>>);

#[derive(Debug)]
struct Permit {
    generation: Option<i64>,
    /// None: all nodes.
    nodes: Option<BTreeSet<String>>,
}

impl Permits {
    /// Replaces the permit of a policy's present generation. Returns whether it changed.
    pub fn set(&self, policy: &LsmPolicy, nodes: Option<BTreeSet<String>>) -> bool {
        let generation = policy.metadata.generation;
        let uid = policy.uid().unwrap_or_default();
        let mut permits = self.0.lock();
        let is_known = permits
            .get(&uid)
            .is_some_and(|known| known.generation == generation && known.nodes == nodes);
        permits.insert(uid, Permit { generation, nodes });
        !is_known
    }

    /// Removes the permit, because the policy does not change any more.
    pub fn remove(&self, policy: &LsmPolicy) {
        self.0.lock().remove(&policy.uid().unwrap_or_default());
    }

    /// Whether that node may get the taint of the policy's present generation.
    pub fn has(&self, policy: &LsmPolicy, node: &str) -> bool {
        let permits = self.0.lock();
        let permit = permits.get(&policy.uid().unwrap_or_default());
        permit.filter(|permit| permit.generation == policy.metadata.generation).is_some_and(
            |permit| permit.nodes.as_ref().is_none_or(|permitted| permitted.contains(node)),
        )
    }

    /// Keeps the policies that exist.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|uid, _| exists(uid));
    }
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::LsmPolicySpec;

    use super::*;

    fn policy(generation: i64) -> LsmPolicy {
        let mut policy = LsmPolicy::new("p", LsmPolicySpec::default());
        policy.metadata.uid = Some("u".into());
        policy.metadata.generation = Some(generation);
        policy
    }

    #[test]
    fn a_permit_is_for_one_generation_and_is_forgotten_with_the_policy() {
        let permits = Permits::default();
        assert!(!permits.has(&policy(1), "n1"), "nothing was decided yet");
        assert!(permits.set(&policy(1), Some(BTreeSet::from(["n1".to_owned()]))));
        assert!(!permits.set(&policy(1), Some(BTreeSet::from(["n1".to_owned()]))), "the same");
        assert!(permits.has(&policy(1), "n1") && !permits.has(&policy(1), "n2"));
        assert!(!permits.has(&policy(2), "n1"), "the policy was changed again");
        assert!(permits.set(&policy(2), None));
        assert!(permits.has(&policy(2), "n2"));
        permits.retain(|uid| uid == "u");
        assert!(permits.has(&policy(2), "n2"));
        permits.retain(|_| false);
        assert!(!permits.has(&policy(2), "n2"));
    }
}
