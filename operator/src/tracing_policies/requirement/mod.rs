//! What an `LsmPolicy` requires of a node, including what its selected TracingPolicies require.
//! Pure.
//!
//! In: the spec and the snapshot of TracingPolicies. Out: verdicts for nodes. If it is unknown what
//! the TracingPolicies require, Ready becomes Unknown ([`downgrade_if_incomplete`]).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use kube::core::SelectorExt;
use lsm_ready_crds::LsmPolicySpec;
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::selection::{InvalidSpec, Labels, tracing_policies};
use lsm_ready_crds::verdict::{
    Facts, Verdict, downgrade_if_incomplete, hooks, verdict, verdict_with_hooks,
};
use lsm_ready_tetragon::tracing_policy::TracingPolicy;

use crate::tracing_policies::snapshot::{Entry, Snapshot};

/// What an `LsmPolicy` requires of nodes.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// Its own requirement, and that of TracingPolicies that require the same of every node.
    of_all_nodes: Require,
    /// TracingPolicies that are for some nodes, or whose requirement depends on the kernel.
    of_some_nodes: Vec<Arc<TracingPolicy>>,
    /// Why the requirement may be incomplete.
    incomplete: Option<String>,
}

/// Indices into [`Requirement::of_some_nodes`].
type PolicyIndices = Vec<usize>;

impl Requirement {
    /// The requirement of that spec. Fails if its selector of TracingPolicies is invalid.
    pub fn of(spec: &LsmPolicySpec, snapshot: &Snapshot) -> Result<Self, InvalidSpec> {
        let mut requirement = Self {
            of_all_nodes: spec.require.clone(),
            of_some_nodes: Vec::new(),
            incomplete: None,
        };
        let Some(selector) = tracing_policies(spec)? else {
            return Ok(requirement);
        };
        requirement.incomplete = snapshot.unlisted();
        for (name, object) in snapshot.objects() {
            if !selector.matches(object.entry.labels()) {
                continue;
            }
            match &object.entry {
                Entry::Read(policy) => requirement.add(policy),
                Entry::Unreadable { error, .. } => {
                    requirement.incomplete.get_or_insert_with(|| {
                        format!("cannot read TracingPolicy {name}: {error}")
                    });
                }
            }
        }
        Ok(requirement)
    }

    fn add(&mut self, policy: &Arc<TracingPolicy>) {
        if policy.has_node_selector() || policy.required_hooks.depend_on_kernel() {
            self.of_some_nodes.push(policy.clone());
        } else {
            policy.required_hooks.add_to(&mut self.of_all_nodes, None);
        }
    }

    /// Which TracingPolicies for some nodes are for a node with these labels.
    fn policies_for(&self, labels: &Labels) -> PolicyIndices {
        (0..self.of_some_nodes.len())
            .filter(|index| self.of_some_nodes[*index].selects_node(labels))
            .collect()
    }

    /// The requirement with these TracingPolicies, on nodes with that profile.
    fn with(
        &self,
        policies: &PolicyIndices,
        profile: Option<&LsmHookProfileSpec>,
    ) -> Cow<'_, Require> {
        let mut require = Cow::Borrowed(&self.of_all_nodes);
        for index in policies {
            self.of_some_nodes[*index].required_hooks.add_to(require.to_mut(), profile);
        }
        require
    }

    /// The verdict for one node.
    pub fn verdict(&self, labels: &Labels, facts: Facts<'_>) -> Verdict {
        let require = self.with(&self.policies_for(labels), facts.profile);
        downgrade_if_incomplete(verdict(&require, facts), self.incomplete.as_deref())
    }
}

/// Verdicts for many nodes. The hooks are judged once for all nodes with equal policies and
/// profile.
#[derive(Debug)]
pub struct Verdicts<'a> {
    requirement: &'a Requirement,
    judged: HashMap<HookKey, JudgedHooks<'a>>,
}

#[derive(Debug, Eq, Hash, PartialEq)]
struct HookKey {
    policies: PolicyIndices,
    profile_digest: Option<String>,
}

/// The requirement of the nodes with one key, and the verdict on the hooks there.
#[derive(Debug)]
struct JudgedHooks<'a> {
    require: Cow<'a, Require>,
    verdict: Option<Verdict>,
}

impl<'a> Verdicts<'a> {
    pub fn of(requirement: &'a Requirement) -> Self {
        Self { requirement, judged: HashMap::new() }
    }

    /// The same verdict as [`Requirement::verdict`].
    pub fn verdict(&mut self, labels: &Labels, facts: Facts<'_>) -> Verdict {
        let key = HookKey {
            policies: self.requirement.policies_for(labels),
            profile_digest: facts
                .profile
                .and(facts.report)
                .and_then(|report| report.hook_profile.clone()),
        };
        let judged = self.judged.entry(key).or_insert_with_key(|key| {
            let require = self.requirement.with(&key.policies, facts.profile);
            let verdict = hooks(&require, facts.profile);
            JudgedHooks { require, verdict }
        });
        let verdict = verdict_with_hooks(&judged.require, facts, || judged.verdict.clone());
        downgrade_if_incomplete(verdict, self.requirement.incomplete.as_deref())
    }
}

#[cfg(test)]
mod tests;
