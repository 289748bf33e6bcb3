//! What one agent says about its policies. The size is bounded, whatever the agent sends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::tetragon_client::state::{Mode, PolicyState, StateCounts};
use crate::tetragon_client::text::sanitize;

/// Maximum number of policies named in an answer.
pub const MAX_POLICIES: usize = 1024;
/// Maximum number of failed hooks kept for one policy.
pub const MAX_HOOKS: usize = 3;
/// Maximum length of an error or a hook, in characters.
pub const MAX_TEXT: usize = 300;
/// Maximum size of all errors and hooks of one answer, in bytes. The first policies in order keep
/// theirs.
pub const MAX_TEXTS: usize = 32 << 10;
/// Maximum length of a name in Kubernetes, in characters.
const MAX_NAME: usize = 253;
/// Maximum length of the name of a namespace, in characters.
const MAX_NAMESPACE: usize = 63;

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Source {
    /// `ListTracingPolicies`.
    Grpc,
    /// The agent's metrics.
    Metrics,
}

impl Source {
    /// The value of the metric's label `how`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Metrics => "metrics",
        }
    }
}

/// Namespace and name of a policy.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PolicyName {
    /// `None` for a TracingPolicy, which belongs to the whole cluster.
    pub namespace: Option<String>,
    pub name: String,
}

impl PolicyName {
    /// A name from an agent, which gives an empty namespace for a TracingPolicy. The text is
    /// sanitized and shortened to the length that Kubernetes allows.
    pub fn sanitized(namespace: &str, name: &str) -> Self {
        let namespace =
            Some(sanitize(namespace, MAX_NAMESPACE)).filter(|namespace| !namespace.is_empty());
        Self { namespace, name: sanitize(name, MAX_NAME) }
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

/// A policy that the agent did not get from Kubernetes: from a file in `--tracing-policy-dir`
/// (domain `static`), from `tetra tracingpolicy add` (`grpc`), or from another domain.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LocalName {
    pub domain: String,
    /// A policy in the cluster may have the same name; it is another policy.
    pub policy: PolicyName,
}

/// One policy as an agent lists it. The greater of two is the worse one.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PolicyStatus {
    pub state: PolicyState,
    /// `None` if the agent gives no mode: before Tetragon 1.4, and for a policy that is not enabled
    /// or has nothing in the kernel.
    pub mode: Option<Mode>,
    /// The agent's text about an error state, sanitized and shortened to [`MAX_TEXT`].
    pub error: String,
    /// The first [`MAX_HOOKS`] hooks that were not attached (after Tetragon 1.8.0-pre.0; for
    /// kprobes and uprobes only).
    pub failed_hooks: Vec<HookError>,
}

impl PolicyStatus {
    pub const fn new(state: PolicyState, mode: Option<Mode>) -> Self {
        Self { state, mode, error: String::new(), failed_hooks: Vec::new() }
    }
}

/// A hook that was not attached, or not everywhere.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HookError {
    /// The place in the policy and the hooked function, for example `kprobes[0] sys_write`.
    pub hook: String,
    /// The cause in a few words.
    pub error: &'static str,
}

/// What one agent says. It contains no numbers that change without a cause, so two equal answers
/// mean that nothing happened.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Answer {
    pub source: Source,
    /// From gRPC: the policies from Kubernetes, the first [`MAX_POLICIES`] in order. Agents up to
    /// 1.8.0-pre.0 do not say where a policy comes from; all their policies are here.
    pub policies: BTreeMap<PolicyName, PolicyStatus>,
    /// From gRPC: the other policies, the first [`MAX_POLICIES`] in order. They say nothing about
    /// the policies in the cluster.
    pub local: BTreeMap<LocalName, PolicyStatus>,
    /// From the metrics: the policies that the agent knows, in any state and from any source, the
    /// first [`MAX_POLICIES`] in order. `None` if there are policies and the metrics do not name
    /// them.
    pub named: Option<BTreeSet<PolicyName>>,
    /// Number of policies that the agent listed and that had no room here.
    pub omitted: u64,
    /// Number of policies in each state, including the local and the omitted ones.
    pub counts: StateCounts,
}

/// How often the actions of a policy were carried out since it was loaded.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Actions {
    /// Signals sent, return values overridden, enforcers notified, values in user space set.
    pub enforced: u64,
    /// The same actions, left out because the policy is in monitor mode.
    pub monitored: u64,
}

/// The counters of each policy from Kubernetes. Agents serve them by gRPC since Tetragon 1.6, and
/// in the metrics after 1.8.0-pre.0. The metrics have only counters that are not zero, and those of
/// local policies as well.
pub type ActionsByPolicy = BTreeMap<PolicyName, Actions>;

impl Answer {
    /// The answer of an agent without policies.
    pub fn empty(source: Source) -> Self {
        let named = (source == Source::Metrics).then(BTreeSet::new);
        Self {
            source,
            policies: BTreeMap::new(),
            local: BTreeMap::new(),
            named,
            omitted: 0,
            counts: StateCounts::default(),
        }
    }

    /// Whether the next answer will be the same if nothing changes. An agent that loads or unloads
    /// a policy will soon answer differently; its metrics name such a policy and do not count it.
    /// An agent without policies may still be starting: its metrics are all zero for about 15
    /// seconds before it loads its policies.
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
        let empty = || Answer::empty(Source::Metrics);
        let with = |state| Answer {
            counts: [(PolicyState::Enabled, 1), (state, 1)].into_iter().collect(),
            ..empty()
        };
        assert!(!empty().is_settled());
        for state in PolicyState::ALL {
            let expected = !matches!(state, PolicyState::Loading | PolicyState::Unloading);
            assert_eq!(with(state).is_settled(), expected, "{state:?}");
        }
        let named = |names: &[&str]| {
            Some(names.iter().map(|name| PolicyName::sanitized("", name)).collect())
        };
        let enabled = || with(PolicyState::Enabled);
        assert!(Answer { named: named(&["a", "b"]), ..enabled() }.is_settled());
        assert!(!Answer { named: named(&["a", "b", "loading"]), ..enabled() }.is_settled());
    }

    #[test]
    fn names_are_sanitized_and_shortened() {
        let name = PolicyName::sanitized("a\u{7}b", &"x".repeat(300));
        assert_eq!(name.namespace.as_deref(), Some("a b"));
        assert_eq!(name.name.chars().count(), MAX_NAME);
        assert_eq!(PolicyName::sanitized("", "p").to_string(), "p");
        assert_eq!(PolicyName::sanitized("n", "p").to_string(), "n/p");
    }
}
