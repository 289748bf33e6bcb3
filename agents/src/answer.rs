//! What one agent says of its policies, counted and cut to a size that does not depend on how many it has.

use crate::api::TracingPolicyStatus;
use crate::text::clean;

/// Failed policies that are kept by name, the first in order; a status shows no more.
pub const FAILURES_KEPT: usize = 3;
/// Longest text of an error, in characters.
const ERROR_LENGTH: usize = 300;
/// Longest name of a policy, in characters: Kubernetes allows 253, and 63 for a namespace and the slash.
const NAME_LENGTH: usize = 317;

/// By what an agent was asked.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum How {
    /// `ListTracingPolicies`.
    Grpc,
    /// The gauge `tetragon_tracingpolicy_loaded`.
    Metrics,
}

impl How {
    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Metrics => "metrics",
        }
    }
}

/// The state of a policy on an agent (TracingPolicyState of sensors.proto).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Loaded and enabled.
    Enabled,
    /// Loaded, and switched off by somebody.
    Disabled,
    /// It could not be loaded.
    LoadError,
    /// It failed after it was loaded.
    Error,
    /// Loading or unloading.
    UnderWay,
    /// Unknown to the agent, or a state that this program does not know.
    Unclear,
}

impl State {
    /// The state by its number; `enabled` and `error` are the words of agents that have no state.
    fn of(policy: &TracingPolicyStatus) -> Self {
        match policy.state {
            1 => Self::Enabled,
            2 => Self::Disabled,
            3 => Self::LoadError,
            4 => Self::Error,
            5 | 6 => Self::UnderWay,
            0 if policy.enabled => Self::Enabled,
            0 if !policy.error.is_empty() => Self::LoadError,
            _ => Self::Unclear,
        }
    }

    /// The state by its name in the gauge: the number's name without `TP_STATE_`, in lower case.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "enabled" => Self::Enabled,
            "disabled" => Self::Disabled,
            "load_error" => Self::LoadError,
            "error" => Self::Error,
            "loading" | "unloading" => Self::UnderWay,
            _ => Self::Unclear,
        }
    }

    /// Tetragon's own word for a failed one.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::LoadError => "load_error",
            Self::Error => "error",
            Self::UnderWay => "loading or unloading",
            Self::Unclear => "unclear",
        }
    }
}

/// A policy that an agent has in an error state.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Failure {
    /// Its name, with `NAMESPACE/` in front where it has one.
    pub policy: String,
    /// `LoadError` or `Error`.
    pub state: State,
    /// The agent's own words, cleaned and shortened.
    pub error: String,
}

/// What one agent says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// By what it was asked.
    pub how: How,
    /// Policies that are loaded and enabled.
    pub enabled: u64,
    /// Policies that are loaded and switched off.
    pub disabled: u64,
    /// Policies in an error state.
    pub failed: u64,
    /// Policies that are loading or unloading.
    pub under_way: u64,
    /// Policies in a state that means nothing here.
    pub unclear: u64,
    /// The first [`FAILURES_KEPT`] of the failed ones by name; none from metrics, which name no policy.
    pub failures: Vec<Failure>,
}

impl Answer {
    /// An agent without policies.
    #[must_use]
    pub const fn none(how: How) -> Self {
        Self { how, enabled: 0, disabled: 0, failed: 0, under_way: 0, unclear: 0, failures: Vec::new() }
    }

    /// What the agent listed.
    #[must_use]
    pub fn listed(policies: &[TracingPolicyStatus]) -> Self {
        let mut answer = Self::none(How::Grpc);
        for policy in policies {
            let state = State::of(policy);
            answer.add(state, 1);
            if matches!(state, State::LoadError | State::Error) {
                answer.keep(failure(policy, state));
            }
        }
        answer
    }

    /// Counts that many more policies in a state. A count beyond what fits stays at the greatest.
    pub fn add(&mut self, state: State, count: u64) {
        let counted = match state {
            State::Enabled => &mut self.enabled,
            State::Disabled => &mut self.disabled,
            State::LoadError | State::Error => &mut self.failed,
            State::UnderWay => &mut self.under_way,
            State::Unclear => &mut self.unclear,
        };
        *counted = counted.saturating_add(count);
    }

    /// Agents list in any order, so the first by name are kept: equal policies, equal answer.
    fn keep(&mut self, failure: Failure) {
        let place = self.failures.partition_point(|kept| *kept < failure);
        self.failures.insert(place, failure);
        self.failures.truncate(FAILURES_KEPT);
    }

    /// Whether it will change by itself.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.under_way == 0
    }
}

fn failure(policy: &TracingPolicyStatus, state: State) -> Failure {
    let name = match policy.namespace.as_str() {
        "" => policy.name.clone(),
        namespace => format!("{namespace}/{}", policy.name),
    };
    Failure { policy: clean(&name, NAME_LENGTH), state, error: clean(&policy.error, ERROR_LENGTH) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(name: &str, state: i32) -> TracingPolicyStatus {
        TracingPolicyStatus { name: name.into(), state, ..TracingPolicyStatus::default() }
    }

    #[test]
    fn states_by_number_and_by_name() {
        let old = |enabled, error: &str| TracingPolicyStatus { enabled, error: error.into(), ..policy("p", 0) };
        let table = [
            (policy("p", 1), "enabled"),
            (policy("p", 2), "disabled"),
            (policy("p", 3), "load_error"),
            (policy("p", 4), "error"),
            (policy("p", 5), "loading"),
            (policy("p", 6), "unloading"),
            (policy("p", 0), "unknown"),
            (policy("p", 77), "skipped"),
            (policy("p", -1), ""),
            (old(true, ""), "enabled"),
            (old(false, "no"), "load_error"),
            // Who has a state is not believed to be enabled beside it.
            (TracingPolicyStatus { enabled: true, ..policy("p", 3) }, "load_error"),
            (TracingPolicyStatus { enabled: true, ..policy("p", 77) }, "skipped"),
        ];
        for (policy, name) in table {
            assert_eq!(State::of(&policy), State::named(name), "{policy:?}");
        }
    }

    #[test]
    fn failures_are_named_cleaned_and_few() {
        let mut policies: Vec<_> = (0..9).rev().map(|n| policy(&format!("p{n}"), 3)).collect();
        policies.push(TracingPolicyStatus {
            namespace: "a".into(),
            error: format!("no\n\u{1b}[1m{}", "x".repeat(1000)),
            ..policy("z", 4)
        });
        let answer = Answer::listed(&policies);
        assert_eq!(answer.failed, 10);
        let names: Vec<_> = answer.failures.iter().map(|failure| failure.policy.as_str()).collect();
        assert_eq!(names, ["a/z", "p0", "p1"]);
        let error = &answer.failures[0].error;
        assert!(error.starts_with("no [1mxxx") && error.ends_with('…'), "{error}");
        assert_eq!(error.chars().count(), ERROR_LENGTH);
    }

    proptest! {
        /// Every policy is counted once, and the order in which an agent lists them does not matter.
        #[test]
        fn every_policy_counts_once(listed in prop::collection::vec(("[a-e]", -2i32..9), 0..30)) {
            let policies: Vec<_> = listed.iter().map(|(name, state)| policy(name, *state)).collect();
            let answer = Answer::listed(&policies);
            let counted = answer.enabled + answer.disabled + answer.failed + answer.under_way + answer.unclear;
            prop_assert_eq!(counted, policies.len() as u64);
            let reversed: Vec<_> = policies.into_iter().rev().collect();
            prop_assert_eq!(Answer::listed(&reversed), answer);
        }
    }
}
