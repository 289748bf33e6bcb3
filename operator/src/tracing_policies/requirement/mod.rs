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
use lsm_ready_crds::policy::{NamespacedTracingPolicies, Require};
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::selection::{InvalidSpec, Labels, tracing_policies};
use lsm_ready_crds::verdict::{Facts, Verdict, downgrade_if_incomplete, hooks, verdict_with_hooks};
use lsm_ready_tetragon::tracing_policy::{Name, TracingPolicy};
use parking_lot::Mutex;

use crate::tracing_policies::snapshot::{Entry, Snapshot};

/// Whether a policy with that name counts for the spec. Somebody who may write in one namespace
/// must not change the state of nodes, unless the policy asks for that.
pub fn counts(spec: &LsmPolicySpec, name: &Name) -> bool {
    name.namespace.is_none() || namespaced_count(spec)
}

/// Whether policies in namespaces count for the spec.
pub fn namespaced_count(spec: &LsmPolicySpec) -> bool {
    match spec.require.namespaced_tracing_policies {
        NamespacedTracingPolicies::Ignore => false,
        NamespacedTracingPolicies::Require => true,
    }
}

/// What an `LsmPolicy` requires of nodes.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// Its own requirement, and that of TracingPolicies that require the same of every node.
    of_all_nodes: Require,
    /// TracingPolicies that are for some nodes, or whose requirement depends on the kernel.
    of_some_nodes: Vec<Arc<TracingPolicy>>,
    /// Why the requirement may be incomplete.
    incomplete: Option<String>,
    /// The verdicts on the hooks, made once for all nodes with equal policies and profile: a
    /// policy can name hundreds of hooks, and thousands of nodes share a profile.
    judged: Arc<Mutex<Judged>>,
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
            judged: Arc::default(),
        };
        let Some(selector) = tracing_policies(spec)? else {
            return Ok(requirement);
        };
        requirement.incomplete =
            snapshot.unlisted().or_else(|| snapshot.left_out(namespaced_count(spec)));
        for (name, object) in snapshot.objects() {
            if !counts(spec, name) || !selector.matches(object.entry.labels()) {
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
        let judged = self.judged(labels, facts);
        let verdict = verdict_with_hooks(&judged.require, facts, || judged.verdict.clone());
        downgrade_if_incomplete(verdict, self.incomplete.as_deref())
    }

    /// The requirement and the verdict on the hooks, from the cache where they are known.
    fn judged(&self, labels: &Labels, facts: Facts<'_>) -> Arc<JudgedHooks> {
        let key = HookKey {
            policies: self.policies_for(labels),
            profile_digest: facts
                .profile
                .and(facts.report)
                .and_then(|report| report.hook_profile.clone()),
        };
        let mut known = self.judged.lock();
        if let Some(judged) = known.by_key.get(&key) {
            return judged.clone();
        }
        let require = self.with(&key.policies, facts.profile).into_owned();
        let verdict = hooks(&require, facts.profile);
        let judged = Arc::new(JudgedHooks { require, verdict });
        known.insert(key, judged.clone());
        judged
    }
}

/// Maximum number of verdicts on hooks that are kept. A cluster has some dozens of kernels.
const MAX_JUDGED: usize = 256;
/// Maximum number of hooks and TracingPolicies that they name together: some megabytes.
const MAX_JUDGED_NAMES: usize = 32 * 1024;

/// The verdicts on hooks that were made before.
#[derive(Debug, Default)]
struct Judged {
    by_key: HashMap<HookKey, Arc<JudgedHooks>>,
    /// How many hooks and TracingPolicies they name.
    names: usize,
}

impl Judged {
    /// Keeps a verdict. Forgets all others where there are too many.
    fn insert(&mut self, key: HookKey, judged: Arc<JudgedHooks>) {
        let JudgedHooks { require, .. } = &*judged;
        let names = key.policies.len() + require.hooks.len() + require.sleepable_hooks.len();
        if self.by_key.len() >= MAX_JUDGED || self.names + names > MAX_JUDGED_NAMES {
            *self = Self::default();
        }
        self.names += names;
        self.by_key.insert(key, judged);
    }
}

/// What a verdict on hooks depends on.
#[derive(Debug, Eq, Hash, PartialEq)]
struct HookKey {
    policies: PolicyIndices,
    profile_digest: Option<String>,
}

/// The requirement of the nodes with one key, and the verdict on the hooks there.
#[derive(Debug)]
struct JudgedHooks {
    require: Require,
    verdict: Option<Verdict>,
}

#[cfg(test)]
mod tests;
