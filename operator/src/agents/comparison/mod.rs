//! Compares one agent's answer with the TracingPolicies for its node. Pure.
//!
//! In: the catalogue, which policies are for the node, which policies the `LsmPolicy` is about, and
//! the answer. Out: the effect of each policy.
//!
//! ## From gRPC
//! Each policy is compared on its own.
//!
//! | the agent lists the policy as | effect |
//! |---|---|
//! | not at all | `Missing` |
//! | load_error, error | `LoadErrors` |
//! | disabled | `Disabled` |
//! | partially_enabled | `PartiallyEnabled` |
//! | skipped | `Skipped`: the agent and lsm-ready disagree about the nodeSelector |
//! | loading, unloading | `Loading` |
//! | enabled, no action that denies | `Observes` if it need not deny, else `NoEnforcingAction` |
//! | enabled, mode enforce | `Denies` |
//! | enabled, mode monitor or monitor_only | `MonitorMode` |
//! | enabled, no mode | `Denies` before Tetragon 1.4, which has no modes, else `ModeUnknown` |
//!
//! ## From metrics
//! Metrics name policies and count states. They do not say which policy is in which state. A state
//! counts as the state of a policy in question only if more policies are in that state than there
//! are other policies. Otherwise the effect is `StateUnclear`. Metrics show no mode: see "enabled,
//! no mode" above.

use std::collections::BTreeSet;

use super::catalogue::{Catalogue, CataloguedPolicy};
use super::effect::{Effect, Problem};
use crate::tetragon_client::{Answer, Mode, PolicyName, PolicyState, PolicyStatus, Source};
use crate::tracing_policies::expectation::{Expectation, Placement};

/// What answers are compared with.
#[derive(Debug)]
pub struct Comparison<'a> {
    pub catalogue: &'a Catalogue<'a>,
    /// Whether the `LsmPolicy` is about each policy, in the order of the catalogue.
    pub is_in_question: Vec<bool>,
    /// The policies were selected by `spec.require.tracingPolicies`, so each is expected to deny.
    pub are_selected: bool,
    /// The agents' release has modes. In releases before 1.4 an enabled policy enforces.
    pub has_modes: bool,
}

/// The effect of one policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyEffect<'a> {
    pub effect: Effect,
    /// `None` if the metrics do not name the policy.
    pub policy: Option<&'a PolicyName>,
    /// The agent's entry for the policy.
    pub status: Option<&'a PolicyStatus>,
}

impl Comparison<'_> {
    /// The effects on a node with these placements.
    pub fn effects<'s>(
        &'s self,
        placements: &'s [Placement],
        answer: &'s Answer,
    ) -> Vec<PolicyEffect<'s>> {
        match answer.source {
            Source::Grpc => self.effects_by_grpc(placements, answer),
            Source::Metrics => {
                if let Some(named) = &answer.named {
                    return self.effects_by_metrics(placements, named, answer);
                }
                let problems = self.problems_by_counts(placements, answer);
                problems.into_iter().map(unnamed).collect()
            }
        }
    }

    /// The policies in question that may be for a node with these placements.
    fn here<'s>(
        &'s self,
        placements: &'s [Placement],
    ) -> impl Iterator<Item = (&'s CataloguedPolicy<'s>, Placement)> {
        let policies = self.catalogue.policies().iter().zip(&self.is_in_question).zip(placements);
        policies
            .filter(|((_, in_question), place)| **in_question && **place != Placement::Elsewhere)
            .map(|((policy, _), place)| (policy, *place))
    }

    /// The policies that are for other nodes.
    fn elsewhere<'s>(
        &'s self,
        placements: &'s [Placement],
    ) -> impl Iterator<Item = &'s CataloguedPolicy<'s>> {
        let policies = self.catalogue.policies().iter().zip(placements);
        policies.filter(|(_, place)| **place == Placement::Elsewhere).map(|(policy, _)| policy)
    }

    fn effects_by_grpc<'s>(
        &'s self,
        placements: &'s [Placement],
        answer: &'s Answer,
    ) -> Vec<PolicyEffect<'s>> {
        let effects = self.here(placements).map(|(policy, place)| {
            let status = answer.policies.get(&policy.name);
            let effect = match (status, place) {
                (None, Placement::Unclear) => Effect::Problem(Problem::StateUnclear),
                (None, _) if answer.omitted > 0 => Effect::Problem(Problem::StateUnclear),
                (None, _) => Effect::Problem(Problem::Missing),
                (Some(status), _) => self.effect_of_status(policy.expectation, status),
            };
            PolicyEffect { effect, policy: Some(&policy.name), status }
        });
        effects.collect()
    }

    fn effect_of_status(&self, expectation: &Expectation, status: &PolicyStatus) -> Effect {
        Effect::Problem(match status.state {
            PolicyState::Enabled => return self.effect_if_enabled(expectation, status.mode),
            PolicyState::LoadError | PolicyState::Error => Problem::LoadErrors,
            PolicyState::Disabled => Problem::Disabled,
            PolicyState::PartiallyEnabled => Problem::PartiallyEnabled,
            PolicyState::Skipped => Problem::Skipped,
            PolicyState::Loading | PolicyState::Unloading => Problem::Loading,
            PolicyState::Unclear => Problem::StateUnclear,
        })
    }

    /// The agent's mode counts more than the policy's option, because `tetra tracingpolicy
    /// set-mode` overrides the option.
    fn effect_if_enabled(&self, expectation: &Expectation, mode: Option<Mode>) -> Effect {
        if !expectation.denies {
            let must_deny = self.are_selected || expectation.has_lsm_hooks;
            return if must_deny {
                Effect::Problem(Problem::NoEnforcingAction)
            } else {
                Effect::Observes
            };
        }
        match mode {
            Some(Mode::Enforce) => Effect::Denies,
            Some(Mode::Monitor | Mode::MonitorOnly) => Effect::Problem(Problem::MonitorMode),
            None if !self.has_modes => Effect::Denies,
            None if expectation.monitors => Effect::Problem(Problem::MonitorMode),
            Some(Mode::Unclear) | None => Effect::Problem(Problem::ModeUnknown),
        }
    }

    /// Metrics with the names of policies.
    fn effects_by_metrics<'s>(
        &'s self,
        placements: &'s [Placement],
        named: &BTreeSet<PolicyName>,
        answer: &Answer,
    ) -> Vec<PolicyEffect<'s>> {
        let mut effects = self.not_named(placements, named, answer);
        let elsewhere =
            self.elsewhere(placements).filter(|policy| named.contains(&policy.name)).count();
        let others = self.others(placements, named, elsewhere, answer);
        let states = problem_counts(elsewhere, answer);
        effects.extend(problems_in_question(&states, others, answer).into_iter().map(unnamed));
        if effects.is_empty() {
            effects.extend(self.here(placements).map(|(policy, _)| PolicyEffect {
                effect: self.effect_if_enabled(policy.expectation, None),
                policy: Some(&policy.name),
                status: None,
            }));
        }
        effects
    }

    /// Policies for the node that the metrics do not name.
    fn not_named<'s>(
        &'s self,
        placements: &'s [Placement],
        named: &BTreeSet<PolicyName>,
        answer: &Answer,
    ) -> Vec<PolicyEffect<'s>> {
        self.here(placements)
            .filter(|(policy, _)| !named.contains(&policy.name))
            .map(|(policy, place)| {
                let is_unclear = answer.omitted > 0 || place == Placement::Unclear;
                let problem = if is_unclear { Problem::StateUnclear } else { Problem::Missing };
                let effect = Effect::Problem(problem);
                PolicyEffect { effect, policy: Some(&policy.name), status: None }
            })
            .collect()
    }

    /// How many policies of the agent are not in question, so that a counted state may be theirs.
    fn others(
        &self,
        placements: &[Placement],
        named: &BTreeSet<PolicyName>,
        elsewhere: usize,
        answer: &Answer,
    ) -> usize {
        let here: BTreeSet<&PolicyName> =
            self.here(placements).map(|(policy, _)| &policy.name).collect();
        let skipped = to_usize(answer.counts.of(PolicyState::Skipped));
        let not_here = named.iter().filter(|name| !here.contains(name)).count();
        // Two policies may have one name (one from a file), so more are counted than named.
        let duplicates = answer.counts.total().saturating_sub(named.len() as u64);
        let unnamed = to_usize(duplicates.max(answer.omitted));
        (not_here - elsewhere.min(skipped)).saturating_add(unnamed)
    }

    /// Metrics that name no policy at all.
    fn problems_by_counts(&self, placements: &[Placement], answer: &Answer) -> Vec<Problem> {
        let here = placements.iter().filter(|place| **place == Placement::Here).count() as u64;
        let states = problem_counts(self.elsewhere(placements).count(), answer);
        let mut problems = problems_in_question(&states, 0, answer);
        if answer.counts.total() < here {
            problems.push(Problem::Missing);
        }
        if problems.is_empty() && self.here(placements).next().is_some() {
            problems.push(Problem::ModeUnknown);
        }
        problems
    }
}

const fn unnamed<'s>(problem: Problem) -> PolicyEffect<'s> {
    PolicyEffect { effect: Effect::Problem(problem), policy: None, status: None }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// How many policies have each problem. Policies for other nodes may be skipped.
fn problem_counts(elsewhere: usize, answer: &Answer) -> [(Problem, u64); 5] {
    let counts = &answer.counts;
    let skipped = counts.of(PolicyState::Skipped).saturating_sub(elsewhere as u64);
    [
        (Problem::LoadErrors, counts.errors()),
        (Problem::Disabled, counts.of(PolicyState::Disabled)),
        (Problem::PartiallyEnabled, counts.of(PolicyState::PartiallyEnabled)),
        (Problem::Skipped, skipped),
        (Problem::StateUnclear, counts.of(PolicyState::Unclear)),
    ]
}

/// The problems that at least one policy in question has, if `others` policies are not in question.
fn problems_in_question(counts: &[(Problem, u64)], others: usize, answer: &Answer) -> Vec<Problem> {
    let total = counts.iter().fold(0u64, |sum, (_, count)| sum.saturating_add(*count));
    let mut problems = if total > others as u64 {
        counts.iter().filter(|(_, count)| *count > 0).map(|(problem, _)| *problem).collect()
    } else if total > 0 {
        vec![Problem::StateUnclear]
    } else {
        Vec::new()
    };
    // The gauge does not count policies that are being loaded or unloaded.
    let named = answer.named.as_ref().map_or(0, BTreeSet::len) as u64;
    let named = named.saturating_add(answer.omitted);
    let not_counted = named.saturating_sub(answer.counts.total());
    if answer.counts.in_progress().max(not_counted) > 0 {
        problems.push(Problem::Loading);
    }
    problems
}

#[cfg(test)]
mod tests;
