//! The TracingPolicies in the cluster, and which of them are for which node: what answers of agents are compared with.
//!
//! In: what is known of Tetragon's policies, and a node's labels. Out: a [`Place`] for each policy, in the catalogue's
//! order. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use lsm_ready_agents::{Answer, How, PolicyName};
use lsm_ready_crds::selection::Labels;
use lsm_ready_tetragon::tracing_policy::Name;

use crate::tracing_policies::known::Snapshot;
use crate::tracing_policies::wish::{Place, Wish};

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
    #[must_use]
    pub fn of(known: &'a Snapshot) -> Self {
        let policy = |(name, object): (&Name, &'a crate::tracing_policies::known::Object)| Listed {
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
    #[must_use]
    pub fn policies(&self) -> &[Listed<'a>] {
        &self.policies
    }

    /// Whether that policy is in the cluster.
    #[must_use]
    pub fn has(&self, name: &PolicyName) -> bool {
        self.policies.binary_search_by(|policy| policy.name.cmp(name)).is_ok()
    }

    /// Where each policy is, as seen from a node with these labels.
    #[must_use]
    pub fn places(&self, node: &Labels) -> Vec<Place> {
        self.policies.iter().map(|policy| policy.wish.place(node)).collect()
    }

    /// The question to the agent of a node with these places. It changes when a policy is added, changed or removed,
    /// and when a policy begins or ceases to be for the node.
    #[must_use]
    pub fn question(&self, places: &[Place]) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.digest, places).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether that answer has every policy that is for the node, with nothing in progress. An agent that has only just
    /// started gives answers that are not complete.
    #[must_use]
    pub fn is_complete(&self, places: &[Place], answer: &Answer) -> bool {
        let mut here = self.policies.iter().zip(places).filter(|(_, place)| **place == Place::Here);
        let is_there = |name: &PolicyName| match answer.how {
            How::Grpc => answer.policies.contains_key(name),
            How::Metrics => answer.named.as_ref().is_none_or(|named| named.contains(name)),
        };
        let nothing_at_all = answer.counts.total() == 0 && here.clone().next().is_some();
        !nothing_at_all
            && answer.counts.in_progress() == 0
            && (answer.omitted > 0 || here.all(|(policy, _)| is_there(&policy.name)))
    }
}
