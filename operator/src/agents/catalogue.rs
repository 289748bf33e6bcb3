//! The TracingPolicies in the cluster, and which of them are for which node: what answers of agents are compared with.
//!
//! In: what is known of Tetragon's policies, and a node's labels. Out: a [`Place`] for each policy, in the catalogue's
//! order. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::tetragon_client::{Answer, PolicyName, Source};
use lsm_ready_crds::selection::Labels;
use lsm_ready_tetragon::tracing_policy::Name;

use crate::tracing_policies::expectation::{Place, Wish};
use crate::tracing_policies::snapshot::Snapshot;

/// Most policies that are kept of one answer beside those in the cluster.
pub const MOST_OTHERS: usize = 64;

/// The policies, in the order of their names.
#[derive(Debug)]
pub struct Catalogue<'a> {
    policies: Vec<Listed<'a>>,
    digest: u64,
}

/// One policy.
#[derive(Debug)]
pub struct Listed<'a> {
    /// Its name, as agents give it.
    pub name: PolicyName,
    /// Its labels, by which an `LsmPolicy` selects it.
    pub labels: &'a Labels,
    /// What it asks for.
    pub wish: &'a Wish,
}

impl<'a> Catalogue<'a> {
    /// The policies of that snapshot.
    pub fn of(known: &'a Snapshot) -> Self {
        let policy =
            |(name, object): (&Name, &'a crate::tracing_policies::snapshot::Object)| Listed {
                name: PolicyName { namespace: name.namespace.clone(), name: name.name.clone() },
                labels: object.entry.labels(),
                wish: &object.wish,
            };
        let mut policies: Vec<_> = known.with_wishes().map(policy).collect();
        policies.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut hasher = DefaultHasher::new();
        for Listed { name, wish, .. } in &policies {
            (name, &wish.revision).hash(&mut hasher);
        }
        Self { policies, digest: hasher.finish() }
    }

    /// Every policy.
    pub fn policies(&self) -> &[Listed<'a>] {
        &self.policies
    }

    /// Whether that policy is in the cluster.
    pub fn has(&self, name: &PolicyName) -> bool {
        self.policies.binary_search_by(|policy| policy.name.cmp(name)).is_ok()
    }

    /// Where each policy is, as seen from a node with these labels.
    pub fn places(&self, node: &Labels) -> Vec<Place> {
        self.policies.iter().map(|policy| policy.wish.place(node)).collect()
    }

    /// The question to the agent of a node with these places. It changes when a policy is added, changed or removed,
    /// and when a policy begins or ceases to be for the node.
    pub fn question(&self, places: &[Place]) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.digest, places).hash(&mut hasher);
        hasher.finish()
    }

    /// Leaves out of an answer all but the policies in the cluster and a few others: agents list what they like, and their
    /// answers are kept. Names that are left out of the metrics count as omitted.
    pub fn trim(&self, answer: &mut Answer) {
        let mut room = MOST_OTHERS;
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

    /// Whether that answer has every policy that is for the node, with nothing in progress. An agent that has only just
    /// started gives answers that are not complete.
    pub fn is_complete(&self, places: &[Place], answer: &Answer) -> bool {
        let mut here = self.policies.iter().zip(places).filter(|(_, place)| **place == Place::Here);
        let is_there = |name: &PolicyName| match answer.source {
            Source::Grpc => answer.policies.contains_key(name),
            Source::Metrics => answer.named.as_ref().is_none_or(|named| named.contains(name)),
        };
        let nothing_at_all = answer.counts.total() == 0 && here.clone().next().is_some();
        !nothing_at_all
            && answer.counts.in_progress() == 0
            && (answer.omitted > 0 || here.all(|(policy, _)| is_there(&policy.name)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use crate::tetragon_client::{LocalName, PolicyState, PolicyStatus};
    use serde_json::json;

    use super::*;
    use crate::tracing_policies::snapshot::tests::{object, with_wishes};

    fn name(name: &str) -> PolicyName {
        PolicyName { namespace: None, name: name.into() }
    }

    #[test]
    fn an_agent_cannot_fill_the_memory_with_policies_that_the_cluster_has_not() {
        let spec = json!({"lsmhooks": [{"hook": "file_open"}]});
        let known = with_wishes([object(&json!({"metadata": {"name": "zz"}, "spec": spec}))]);
        let catalogue = Catalogue::of(&known);
        let many = || (0..1000).map(|n| name(&format!("p{n:04}"))).chain([name("zz")]);
        let enabled = PolicyStatus {
            state: PolicyState::Enabled,
            mode: None,
            error: String::new(),
            failed_hooks: Vec::new(),
        };
        let policies: BTreeMap<_, _> = many().map(|name| (name, enabled.clone())).collect();
        let local = policies
            .clone()
            .into_iter()
            .map(|(policy, said)| (LocalName { domain: "d".into(), policy }, said));
        let mut listed = Answer {
            policies: policies.clone(),
            local: local.collect(),
            ..Answer::empty(Source::Grpc)
        };
        catalogue.trim(&mut listed);
        assert!(listed.policies.contains_key(&name("zz")));
        assert_eq!(
            (listed.policies.len() + listed.local.len(), listed.omitted),
            (MOST_OTHERS + 1, 0)
        );

        let mut counted =
            Answer { named: Some(many().collect()), ..Answer::empty(Source::Metrics) };
        catalogue.trim(&mut counted);
        assert!(counted.named.as_ref().is_some_and(|named| named.contains(&name("zz"))));
        assert_eq!(
            (counted.named.as_ref().map(BTreeSet::len), counted.omitted),
            (Some(MOST_OTHERS + 1), 936)
        );
        let trimmed = counted.clone();
        catalogue.trim(&mut counted);
        assert_eq!(counted, trimmed, "an answer of an ordinary size is left as it is");
    }
}
