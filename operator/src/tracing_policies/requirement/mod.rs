//! What a policy requires of a node, with what the TracingPolicies that it selects ask for. Pure.
//!
//! In: the spec, and what is known of Tetragon's policies. Out: the requirement for a node with given labels, and verdicts
//! by it. Where it is not known what is asked for, ready becomes unknown ([`downgrade_if_incomplete`]).

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

/// What a policy requires of nodes.
#[derive(Clone, Debug)]
pub struct Demand {
    /// Its own, and that of the policies that ask the same of every node.
    everywhere: Require,
    /// Those that are for some nodes, or ask for something that depends on the kernel.
    somewhere: Vec<Arc<TracingPolicy>>,
    /// Why that may not be all.
    unread: Option<String>,
}

impl Demand {
    /// What that spec requires.
    ///
    /// # Errors
    /// When its selector of TracingPolicies is none.
    pub fn of(spec: &LsmPolicySpec, known: &Snapshot) -> Result<Self, InvalidSpec> {
        let mut demand =
            Self { everywhere: spec.require.clone(), somewhere: Vec::new(), unread: None };
        let Some(selector) = tracing_policies(spec)? else {
            return Ok(demand);
        };
        demand.unread = known.unread();
        for (name, entry) in known.objects().filter(|(_, entry)| selector.matches(entry.labels())) {
            match entry {
                Entry::Read(policy)
                    if policy.has_node_selector() || policy.required_hooks.depend_on_kernel() =>
                {
                    demand.somewhere.push(policy.clone());
                }
                Entry::Read(policy) => policy.required_hooks.add_to(&mut demand.everywhere, None),
                Entry::Unreadable { error, .. } => {
                    demand.unread.get_or_insert_with(|| {
                        format!("TracingPolicy {name} cannot be read: {error}")
                    });
                }
            }
        }
        Ok(demand)
    }

    /// Which of those that are for some nodes are for one with these labels.
    fn narrowed(&self, labels: &Labels) -> Vec<usize> {
        (0..self.somewhere.len())
            .filter(|index| self.somewhere[*index].selects_node(labels))
            .collect()
    }

    fn with(&self, narrowed: &[usize], profile: Option<&LsmHookProfileSpec>) -> Cow<'_, Require> {
        let mut require = Cow::Borrowed(&self.everywhere);
        for index in narrowed {
            self.somewhere[*index].required_hooks.add_to(require.to_mut(), profile);
        }
        require
    }

    /// What the facts of one node mean for it.
    pub fn verdict(&self, labels: &Labels, facts: Facts<'_>) -> Verdict {
        let require = self.with(&self.narrowed(labels), facts.profile);
        downgrade_if_incomplete(verdict(&require, facts), self.unread.as_deref())
    }
}

/// The verdicts of many nodes: what is wrong with the hooks is found once for each profile.
#[derive(Debug)]
pub struct Verdicts<'a> {
    demand: &'a Demand,
    known: HashMap<(Vec<usize>, Option<String>), Known<'a>>,
}

/// What is asked of the nodes of one profile, and what is wrong with the hooks there.
#[derive(Debug)]
struct Known<'a> {
    require: Cow<'a, Require>,
    hooks: Option<Verdict>,
}

impl<'a> Verdicts<'a> {
    /// By that demand.
    pub fn by(demand: &'a Demand) -> Self {
        Self { demand, known: HashMap::new() }
    }

    /// As [`Demand::verdict`].
    pub fn verdict(&mut self, labels: &Labels, facts: Facts<'_>) -> Verdict {
        let narrowed = self.demand.narrowed(labels);
        let digest = facts.profile.and(facts.report).and_then(|report| report.hook_profile.clone());
        let known = self.known.entry((narrowed, digest)).or_insert_with_key(|(narrowed, _)| {
            let require = self.demand.with(narrowed, facts.profile);
            let hooks = hooks(&require, facts.profile);
            Known { require, hooks }
        });
        let verdict = verdict_with_hooks(&known.require, facts, || known.hooks.clone());
        downgrade_if_incomplete(verdict, self.demand.unread.as_deref())
    }
}

#[cfg(test)]
mod tests;
