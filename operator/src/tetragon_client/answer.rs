//! What one agent says about its policies, with a size that is bounded whatever the agent sends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::tetragon_client::state::{Counts, Mode, State};
use crate::tetragon_client::text::clean;

/// Most policies that an answer names.
pub const MAX_POLICIES: usize = 1024;
/// Most failed hooks that are kept of one policy.
pub const MAX_HOOKS: usize = 3;
/// Longest text about an error or a hook, in characters.
pub const MAX_TEXT: usize = 300;
/// Most bytes of errors and hooks in one answer. The first policies in order keep theirs.
pub const MAX_TEXTS: usize = 32 << 10;
/// Longest name in Kubernetes, in characters.
const MAX_NAME: usize = 253;
/// Longest name of a namespace, in characters.
const MAX_NAMESPACE: usize = 63;

/// How an agent was asked.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum How {
    /// `ListTracingPolicies`.
    Grpc,
    /// The agent's metrics.
    Metrics,
}

impl How {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Metrics => "metrics",
        }
    }
}

/// The namespace, of a TracingPolicyNamespaced, and the name of a policy.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PolicyName {
    /// None for a TracingPolicy, which belongs to the whole cluster.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl PolicyName {
    /// The name as an agent gives it: with an empty namespace for a TracingPolicy. Text is cleaned and cut to what
    /// Kubernetes allows.
    pub fn given(namespace: &str, name: &str) -> Self {
        let namespace =
            Some(clean(namespace, MAX_NAMESPACE)).filter(|namespace| !namespace.is_empty());
        Self { namespace, name: clean(name, MAX_NAME) }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A policy that the agent did not get from Kubernetes: from a file in `--tracing-policy-dir` (domain `static`), by
/// `tetra tracingpolicy add` (`grpc`), or from somebody else's domain.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LocalName {
    /// Where it came from.
    pub domain: String,
    /// It may be the name of a policy in the cluster as well: these are two policies.
    pub policy: PolicyName,
}

/// One policy as one agent lists it. The greater of two is the worse one.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PolicyAnswer {
    /// Its state.
    pub state: State,
    /// Its mode. None where the agent gives none: before Tetragon 1.4, and for a policy that is not enabled or has
    /// nothing in the kernel.
    pub mode: Option<Mode>,
    /// Why it is in an error state, in the agent's words, cleaned and cut to [`MAX_TEXT`].
    pub error: String,
    /// The first [`MAX_HOOKS`] hooks that were not attached (after Tetragon 1.8.0-pre.0; for kprobes and uprobes only).
    pub failed_hooks: Vec<HookError>,
}

/// A hook that was not attached, or not everywhere.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HookError {
    /// The place in the policy and what is hooked there, for example `kprobes[0] sys_write`.
    pub hook: String,
    /// Why, in a few words.
    pub error: &'static str,
}

/// What one agent says. It holds no numbers that change without a cause, so equal answers mean that nothing happened.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Answer {
    /// How it was asked.
    pub how: How,
    /// From gRPC: each policy from Kubernetes, the first [`MAX_POLICIES`] in order. Agents up to 1.8.0-pre.0 do not say
    /// where a policy comes from, and all of theirs are here.
    pub policies: BTreeMap<PolicyName, PolicyAnswer>,
    /// From gRPC: the others, the first [`MAX_POLICIES`] in order. They say nothing about the policies in the cluster.
    pub local: BTreeMap<LocalName, PolicyAnswer>,
    /// From the metrics: the policies that the agent knows, in whatever state and from wherever, the first
    /// [`MAX_POLICIES`] in order. None where there are policies and the metrics do not name them.
    pub named: Option<BTreeSet<PolicyName>>,
    /// Policies that the agent listed and that had no room here.
    pub omitted: u64,
    /// How many policies are in which state, with those in `local` and those that had no room.
    pub counts: Counts,
}

/// How often the actions of a policy were carried out since it was loaded.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Actions {
    /// Signals sent, return values overridden, enforcers notified, values in user space set.
    pub enforced: u64,
    /// The same actions, left out because the policy is in monitor mode.
    pub monitored: u64,
}

/// The counters of each policy from Kubernetes, where the agent serves them: by gRPC since Tetragon 1.6, in the metrics
/// after 1.8.0-pre.0. From the metrics only counters that are not zero, and those of local policies as well.
pub type ActionsByPolicy = BTreeMap<PolicyName, Actions>;

impl Answer {
    /// The answer of an agent without policies.
    pub fn none(how: How) -> Self {
        let named = (how == How::Metrics).then(BTreeSet::new);
        Self {
            how,
            policies: BTreeMap::new(),
            local: BTreeMap::new(),
            named,
            omitted: 0,
            counts: Counts::default(),
        }
    }

    /// Whether the answer will stay as it is. An agent that loads or unloads a policy will soon say something else; in
    /// metrics such a policy is named and not counted. An agent without policies may still be starting: it serves metrics
    /// that are all zero for about 15 seconds before it loads its policies.
    pub fn is_settled(&self) -> bool {
        let total = self.counts.total();
        let named = self.named.as_ref().map_or(0, |named| named.len() as u64);
        total > 0 && self.counts.in_progress() == 0 && named <= total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_policies_or_with_one_in_progress_is_not_settled() {
        let none = || Answer::none(How::Metrics);
        let with = |state| Answer {
            counts: [(State::Enabled, 1), (state, 1)].into_iter().collect(),
            ..none()
        };
        assert!(!none().is_settled());
        for state in State::ALL {
            let expected = !matches!(state, State::Loading | State::Unloading);
            assert_eq!(with(state).is_settled(), expected, "{state:?}");
        }
        let named =
            |names: &[&str]| Some(names.iter().map(|name| PolicyName::given("", name)).collect());
        assert!(Answer { named: named(&["a", "b"]), ..with(State::Enabled) }.is_settled());
        assert!(
            !Answer { named: named(&["a", "b", "loading"]), ..with(State::Enabled) }.is_settled()
        );
    }

    #[test]
    fn names_are_cleaned_and_cut() {
        let name = PolicyName::given("a\u{7}b", &"x".repeat(300));
        assert_eq!(name.namespace.as_deref(), Some("a b"));
        assert_eq!(name.name.chars().count(), MAX_NAME);
        assert_eq!(PolicyName::given("", "p").to_string(), "p");
        assert_eq!(PolicyName::given("n", "p").to_string(), "n/p");
    }
}
