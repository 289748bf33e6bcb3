//! What all policies require of nodes, computed once for many Nodes.
//!
//! In: the LsmPolicies and what is known about the TracingPolicies. Out: for each LsmPolicy, which
//! nodes it selects and what it requires of them. The result is cached until one of the inputs
//! changes: one changed TracingPolicy makes the operator reconcile every Node, and each of them
//! needs the same result.

use std::borrow::Cow;
use std::sync::Arc;

use kube::ResourceExt;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::selection::{Labels, Selection};
use parking_lot::Mutex;

use crate::breaker;
use crate::policy::spec_change::is_changing;
use crate::tracing_policies::requirement::Requirement;
use crate::tracing_policies::snapshot::Snapshot;

/// A policy and what it requires.
#[derive(Clone, Debug)]
pub struct Required {
    pub policy: Arc<LsmPolicy>,
    pub selection: Selection,
    pub requirement: Requirement,
    /// The policy is new or was changed, and not every node has what it asks for.
    pub is_changing: bool,
}

/// What all policies say to all nodes.
#[derive(Debug, Default)]
pub struct AllRequired {
    /// The policies with a valid spec.
    pub policies: Vec<Required>,
    /// Name of a policy by which a person releases held changes.
    pub released_by: Option<String>,
}

impl AllRequired {
    /// What these policies require. A policy that is being deleted or is invalid requires nothing.
    pub fn of(policies: &[Arc<LsmPolicy>], tetragons: &Snapshot) -> Self {
        let lives = |policy: &&Arc<LsmPolicy>| policy.metadata.deletion_timestamp.is_none();
        let required = |policy: &Arc<LsmPolicy>| {
            let selection = Selection::of(&policy.spec).ok()?;
            let requirement = Requirement::of(&policy.spec, tetragons).ok()?;
            let is_changing = is_changing(policy);
            Some(Required { policy: policy.clone(), selection, requirement, is_changing })
        };
        Self {
            policies: policies.iter().filter(lives).filter_map(required).collect(),
            released_by: policies
                .iter()
                .filter(|policy| breaker::is_release(policy))
                .map(|policy| policy.name_any())
                .min(),
        }
    }
}

impl AllRequired {
    /// The policies that a Node concerns: those that select it by one of these labels, which it had
    /// one after the other, and those that name a DaemonSet, which can run on any node.
    pub fn concerned<'a>(
        &'a self,
        labels: &'a [Cow<'_, Labels>],
    ) -> impl Iterator<Item = &'a LsmPolicy> {
        let concerns = |required: &&Required| {
            let mut labels = labels.iter();
            required.policy.spec.tetragon.is_some()
                || labels.any(|labels| required.selection.selects(labels))
        };
        self.policies.iter().filter(concerns).map(|required| &*required.policy)
    }
}

/// The last result, with the inputs that it was computed from.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Option<Cached>>);

#[derive(Debug)]
struct Cached {
    policies: Vec<Arc<LsmPolicy>>,
    tetragons: Arc<Snapshot>,
    required: Arc<AllRequired>,
}

impl Cache {
    /// Like [`AllRequired::of`], from the cache where the inputs are the same.
    pub fn all(&self, policies: Vec<Arc<LsmPolicy>>, tetragons: Arc<Snapshot>) -> Arc<AllRequired> {
        let mut cached = self.0.lock();
        if let Some(known) = cached.as_ref().filter(|known| known.is_of(&policies, &tetragons)) {
            return known.required.clone();
        }
        let required = Arc::new(AllRequired::of(&policies, &tetragons));
        *cached = Some(Cached { policies, tetragons, required: required.clone() });
        required
    }
}

impl Cached {
    /// Whether the result was computed from these objects. Pointers identify them: the objects are
    /// held here, so no new object can have the address of an old one.
    fn is_of(&self, policies: &[Arc<LsmPolicy>], tetragons: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.tetragons, tetragons)
            && self.policies.len() == policies.len()
            && self.policies.iter().zip(policies).all(|(known, policy)| Arc::ptr_eq(known, policy))
    }
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::LsmPolicySpec;
    use serde_json::json;

    use super::*;

    fn policy(name: &str) -> Arc<LsmPolicy> {
        Arc::new(LsmPolicy::new(name, LsmPolicySpec::default()))
    }

    #[test]
    fn the_result_is_cached_until_a_policy_or_tracing_policy_changes() {
        let cached = Cache::default();
        let (a, known) = (policy("a"), Arc::new(Snapshot::default()));
        let first = cached.all(vec![a.clone()], known.clone());
        assert!(Arc::ptr_eq(&first, &cached.all(vec![a.clone()], known.clone())));
        for (policies, tetragons) in [
            (vec![a.clone(), policy("b")], known.clone()),
            (vec![policy("a")], known.clone()),
            (Vec::new(), known.clone()),
            (vec![a.clone()], Arc::new(Snapshot::default())),
        ] {
            let before = cached.all(vec![a.clone()], known.clone());
            let after = cached.all(policies.clone(), tetragons);
            assert!(!Arc::ptr_eq(&before, &after));
            assert_eq!(after.policies.len(), policies.len());
        }
    }

    #[test]
    fn a_policy_that_is_being_deleted_or_is_invalid_requires_nothing() {
        let mut deleted = LsmPolicy::clone(&policy("a"));
        deleted.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let mut invalid = LsmPolicy::clone(&policy("b"));
        let selector = json!({"matchExpressions": [{"key": "a", "operator": "Like"}]});
        invalid.spec.node_selector = serde_json::from_value(selector).unwrap();
        let required = AllRequired::of(&[deleted.into(), invalid.into()], &Snapshot::default());
        assert!(required.policies.is_empty());
    }

    #[test]
    fn any_policy_can_release_held_changes() {
        let mut releasing = LsmPolicy::clone(&policy("b"));
        releasing.annotations_mut().insert("lsmready.io/breaker".into(), "release".into());
        let all = |policies: &[Arc<LsmPolicy>]| AllRequired::of(policies, &Snapshot::default());
        assert_eq!(all(&[policy("a"), releasing.clone().into()]).released_by, Some("b".into()));
        releasing.annotations_mut().insert("lsmready.io/breaker".into(), "realease".into());
        assert_eq!(all(&[releasing.into()]).released_by, None);
    }
}
