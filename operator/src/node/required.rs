//! What all policies require of nodes, computed once for many Nodes.
//!
//! In: the LsmPolicies and what is known about the TracingPolicies. Out: for each LsmPolicy, which
//! nodes it selects and what it requires of them. The result is cached until one of the inputs
//! changes: one changed TracingPolicy makes the operator reconcile every Node, and each of them
//! needs the same result.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kube::ResourceExt;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::selection::{Labels, Selection};
use parking_lot::Mutex;

use crate::breaker;
use crate::node::candidates::Candidates;
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
    /// This process counts the policies that come. 0 for those that an operator had evaluated
    /// before this process saw them.
    pub arrival: u64,
}

/// What all policies say to all nodes.
#[derive(Debug, Default)]
pub struct AllRequired {
    /// The policies with a valid spec.
    pub policies: Vec<Required>,
    candidates: Candidates,
    /// The arrival of the newest of them.
    pub last_arrival: u64,
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
            let policy = policy.clone();
            Some(Required { policy, selection, requirement, is_changing, arrival: 0 })
        };
        let required: Vec<_> = policies.iter().filter(lives).filter_map(required).collect();
        Self {
            candidates: Candidates::of(required.iter().map(|required| &required.selection)),
            policies: required,
            released_by: policies
                .iter()
                .filter(|policy| breaker::is_release(policy))
                .map(|policy| policy.name_any())
                .min(),
            last_arrival: 0,
        }
    }

    fn count(&mut self, arrivals: &mut Arrivals) {
        for required in &mut self.policies {
            required.arrival = arrivals.of(&required.policy);
        }
        self.last_arrival = self.policies.iter().map(|it| it.arrival).max().unwrap_or(0);
    }

    /// The policies that select a Node with these labels.
    pub fn selecting<'a>(&'a self, labels: &Labels) -> impl Iterator<Item = &'a Required> {
        self.places_of(labels).into_iter().map(|place| &self.policies[place])
    }

    fn places_of(&self, labels: &Labels) -> Vec<usize> {
        let mut places = self.candidates.of_node(labels);
        places.retain(|place| self.policies[*place].selection.selects(labels));
        places
    }

    /// The policies that a Node concerns: those that select it by one of these labels, which it had
    /// one after the other, and those that name a DaemonSet, which can run on any node.
    pub fn concerned(&self, labels: &[Cow<'_, Labels>]) -> impl Iterator<Item = &LsmPolicy> {
        let all = self.policies.iter().enumerate();
        let named = all.filter(|(_, required)| required.policy.spec.tetragon.is_some());
        let selecting = labels.iter().flat_map(|labels| self.places_of(labels));
        let places: BTreeSet<usize> = named.map(|(place, _)| place).chain(selecting).collect();
        places.into_iter().map(|place| &*self.policies[place].policy)
    }
}

/// The last result, with the inputs that it was computed from.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    cached: Option<Cached>,
    arrivals: Arrivals,
}

/// In which order the policies have come, by UID.
#[derive(Debug, Default)]
struct Arrivals {
    known: HashMap<String, u64>,
    last: u64,
}

impl Arrivals {
    fn of(&mut self, policy: &LsmPolicy) -> u64 {
        let uid = policy.uid().unwrap_or_default();
        if let Some(known) = self.known.get(&uid) {
            return *known;
        }
        let status = policy.status.as_ref();
        let is_evaluated = status.and_then(|status| status.observed_generation).is_some();
        self.last += u64::from(!is_evaluated);
        let arrival = if is_evaluated { 0 } else { self.last };
        self.known.insert(uid, arrival);
        arrival
    }
}

#[derive(Debug)]
struct Cached {
    policies: Vec<Arc<LsmPolicy>>,
    tetragons: Arc<Snapshot>,
    required: Arc<AllRequired>,
}

impl Cache {
    /// Keeps the order of the policies that exist, by UID.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().arrivals.known.retain(|uid, _| exists(uid));
    }

    /// Like [`AllRequired::of`], from the cache where the inputs are the same.
    pub fn all(&self, policies: Vec<Arc<LsmPolicy>>, tetragons: Arc<Snapshot>) -> Arc<AllRequired> {
        let Inner { cached, arrivals } = &mut *self.0.lock();
        if let Some(known) = cached.as_ref().filter(|known| known.is_of(&policies, &tetragons)) {
            return known.required.clone();
        }
        let mut required = AllRequired::of(&policies, &tetragons);
        required.count(arrivals);
        let required = Arc::new(required);
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
    fn policies_are_counted_in_the_order_in_which_they_come() {
        let with_uid = |name: &str, is_observed: bool| {
            let mut policy = LsmPolicy::clone(&policy(name));
            policy.metadata.uid = Some(format!("uid-{name}"));
            let observed = json!({"observedGeneration": 1});
            policy.status = is_observed.then(|| serde_json::from_value(observed).unwrap());
            Arc::new(policy)
        };
        let cached = Cache::default();
        let arrivals = |policies: &[Arc<LsmPolicy>]| {
            let all = cached.all(policies.to_vec(), Arc::default());
            (all.policies.iter().map(|it| it.arrival).collect::<Vec<_>>(), all.last_arrival)
        };
        let (old, a, b) = (with_uid("old", true), with_uid("a", false), with_uid("b", false));
        assert_eq!(arrivals(&[old.clone(), a.clone()]), (vec![0, 1], 1));
        let evaluated = with_uid("a", true);
        assert_eq!(arrivals(&[old.clone(), evaluated, b]), (vec![0, 1, 2], 2));
        assert_eq!(arrivals(std::slice::from_ref(&old)), (vec![0], 0));
        assert_eq!(arrivals(&[old.clone(), a.clone()]), (vec![0, 1], 1), "seen out of order");
        cached.retain(|uid| uid == "uid-old");
        assert_eq!(arrivals(&[old, a]), (vec![0, 3], 3), "it was deleted and came again");
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
