//! The TracingPolicies in the cluster, and which of them are for which node. Answers of agents are
//! compared with them.
//!
//! In: the snapshot of TracingPolicies, and a node's labels. Out: a [`Placement`] for each policy,
//! in the order of the catalogue. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use lsm_ready_crds::selection::Labels;

use crate::tetragon_client::{Answer, PolicyName, Source};
use crate::tracing_policies::expectation::{Expectation, Placement};
use crate::tracing_policies::snapshot::Snapshot;

/// Maximum number of policies kept of one answer beside those in the cluster.
pub const MAX_OTHERS: usize = 64;

/// The policies, ordered by name.
#[derive(Debug)]
pub struct Catalogue<'a> {
    policies: Vec<CataloguedPolicy<'a>>,
    digest: u64,
}

/// One policy.
#[derive(Debug)]
pub struct CataloguedPolicy<'a> {
    pub name: PolicyName,
    /// An `LsmPolicy` selects the policy by these labels.
    pub labels: &'a Labels,
    pub expectation: &'a Expectation,
}

impl<'a> Catalogue<'a> {
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let policies = snapshot.objects().map(|(name, object)| CataloguedPolicy {
            name: PolicyName { namespace: name.namespace.clone(), name: name.name.clone() },
            labels: object.entry.labels(),
            expectation: &object.expectation,
        });
        let mut policies: Vec<_> = policies.collect();
        policies.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut hasher = DefaultHasher::new();
        for CataloguedPolicy { name, expectation, .. } in &policies {
            (name, &expectation.revision).hash(&mut hasher);
        }
        Self { policies, digest: hasher.finish() }
    }

    pub fn policies(&self) -> &[CataloguedPolicy<'a>] {
        &self.policies
    }

    /// Whether that policy is in the cluster.
    pub fn has(&self, name: &PolicyName) -> bool {
        self.policies.binary_search_by(|policy| policy.name.cmp(name)).is_ok()
    }

    /// Whether each policy is for a node with these labels.
    pub fn placements(&self, node: &Labels) -> Vec<Placement> {
        self.policies.iter().map(|policy| policy.expectation.placement(node)).collect()
    }

    /// A digest of the policies for a node with these placements. It changes when a policy is
    /// added, changed or removed, and when a policy starts or stops being for the node.
    pub fn digest(&self, placements: &[Placement]) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.digest, placements).hash(&mut hasher);
        hasher.finish()
    }

    /// Removes from an answer all but the policies in the cluster and a few others, because answers
    /// are kept and an agent can list anything. Removed names of the metrics count as omitted.
    pub fn trim(&self, answer: &mut Answer) {
        let mut room = MAX_OTHERS;
        let mut fits = || {
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        };
        answer.policies.retain(|name, _| self.has(name) || fits());
        answer.local.retain(|_, _| fits());
        if let Some(named) = &mut answer.named {
            let before = named.len();
            named.retain(|name| self.has(name) || fits());
            answer.omitted = answer.omitted.saturating_add((before - named.len()) as u64);
        }
    }

    /// Whether the answer has every policy for the node, and none in progress. The answer of a
    /// starting agent is not complete.
    pub fn is_complete(&self, placements: &[Placement], answer: &Answer) -> bool {
        let mut here =
            self.policies.iter().zip(placements).filter(|(_, place)| **place == Placement::Here);
        let is_listed = |name: &PolicyName| match answer.source {
            Source::Grpc => answer.policies.contains_key(name),
            Source::Metrics => answer.named.as_ref().is_none_or(|named| named.contains(name)),
        };
        let has_no_policies = answer.counts.total() == 0 && here.clone().next().is_some();
        !has_no_policies
            && answer.counts.in_progress() == 0
            && (answer.omitted > 0 || here.all(|(policy, _)| is_listed(&policy.name)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use crate::tetragon_client::{LocalName, PolicyState, PolicyStatus};
    use serde_json::json;

    use super::*;
    use crate::tracing_policies::snapshot::tests::{object, with_expectations};

    fn name(name: &str) -> PolicyName {
        PolicyName { namespace: None, name: name.into() }
    }

    #[test]
    fn an_agent_cannot_fill_the_memory_with_policies_that_are_not_in_the_cluster() {
        let spec = json!({"lsmhooks": [{"hook": "file_open"}]});
        let snapshot =
            with_expectations([object(&json!({"metadata": {"name": "zz"}, "spec": spec}))]);
        let catalogue = Catalogue::of(&snapshot);
        let many = || (0..1000).map(|n| name(&format!("p{n:04}"))).chain([name("zz")]);
        let enabled = PolicyStatus::new(PolicyState::Enabled, None);
        let policies: BTreeMap<_, _> = many().map(|name| (name, enabled.clone())).collect();
        let local = policies
            .clone()
            .into_iter()
            .map(|(policy, status)| (LocalName { domain: "d".into(), policy }, status));
        let mut listed = Answer {
            policies: policies.clone(),
            local: local.collect(),
            ..Answer::empty(Source::Grpc)
        };
        catalogue.trim(&mut listed);
        assert!(listed.policies.contains_key(&name("zz")));
        assert_eq!(
            (listed.policies.len() + listed.local.len(), listed.omitted),
            (MAX_OTHERS + 1, 0)
        );

        let mut counted =
            Answer { named: Some(many().collect()), ..Answer::empty(Source::Metrics) };
        catalogue.trim(&mut counted);
        assert!(counted.named.as_ref().is_some_and(|named| named.contains(&name("zz"))));
        assert_eq!(
            (counted.named.as_ref().map(BTreeSet::len), counted.omitted),
            (Some(MAX_OTHERS + 1), 936)
        );
        let trimmed = counted.clone();
        catalogue.trim(&mut counted);
        assert_eq!(counted, trimmed, "an answer of usual size is not changed");
    }
}
