//! What one agent's answer says about the policies that are for its node. Pure.
//!
//! In: the catalogue, what is for the node, which policies the `LsmPolicy` is about, and the answer. Out: findings.
//!
//! ## From gRPC
//! Each policy is compared on its own.
//!
//! | the agent lists it as | finding |
//! |---|---|
//! | not at all | `Missing` |
//! | load_error, error | `Failed` |
//! | disabled | `Disabled` |
//! | partially_enabled | `Partial` |
//! | skipped | `Skipped`: the agent and we read its nodeSelector in different ways |
//! | loading, unloading | `Loading` |
//! | enabled, without an action that denies | `NoEnforcingAction`, or `Observing` where nobody expects it to deny |
//! | enabled, mode enforce | `Denying` |
//! | enabled, mode monitor or monitor_only | `MonitorMode` |
//! | enabled, no mode | `Denying` before Tetragon 1.4, which has no modes; else `ModeUnknown` |
//!
//! ## From metrics
//! They name policies and count states, and do not say which policy is in which state. A state is held against the
//! policies in question where more policies are in it than there are others that it could be. Otherwise it is
//! `Unclear`. They show no mode: see `enabled, no mode` above.

use std::collections::BTreeSet;

use crate::tetragon_client::{Answer, Mode, PolicyName, PolicyState, PolicyStatus, Source};

use super::catalogue::{Catalogue, Listed};
use crate::tracing_policies::expectation::{Place, Wish};

/// What is found of a policy on a node; the first ones are told first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Found {
    /// The agent reports an error.
    Failed,
    /// The agent does not have it.
    Missing,
    /// Somebody switched it off.
    Disabled,
    /// Some of its hooks are not attached.
    Partial,
    /// The agent skips it.
    Skipped,
    /// It only reports.
    MonitorMode,
    /// It has no action that denies.
    NoEnforcingAction,
    /// It is being loaded or unloaded.
    Loading,
    /// Its state is not clear.
    Unclear,
    /// It is enabled, and its mode is not known.
    ModeUnknown,
    /// It only observes, and is not expected to deny.
    Observing,
    /// It is enabled and enforces.
    Denying,
}

impl Found {
    /// Whether the policy does there what is expected of it.
    pub const fn is_fine(self) -> bool {
        matches!(self, Self::Observing | Self::Denying)
    }

    /// Whether an agent that is still starting gives the same picture.
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Missing | Self::Unclear | Self::ModeUnknown)
    }
}

/// A finding.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding<'a> {
    /// What was found.
    pub found: Found,
    /// Of which policy; none where the agent's metrics do not say.
    pub policy: Option<&'a PolicyName>,
    /// What the agent says about it.
    pub said: Option<&'a PolicyStatus>,
}

/// What an answer is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The policies in the cluster.
    pub catalogue: &'a Catalogue<'a>,
    /// Which of them the `LsmPolicy` is about, in the catalogue's order.
    pub judged: &'a [bool],
    /// They were chosen by `spec.require.tracingPolicies`, so that each is expected to deny.
    pub chosen: bool,
    /// The agents' release has modes. Releases before 1.4 have none: there an enabled policy enforces.
    pub has_modes: bool,
}

impl<'a> Scope<'a> {
    /// The policies in question on a node with these places.
    pub fn here(self, places: &'a [Place]) -> impl Iterator<Item = (&'a Listed<'a>, Place)> {
        let policies = self.catalogue.policies().iter().zip(self.judged).zip(places);
        policies
            .filter(|((_, judged), place)| **judged && **place != Place::Elsewhere)
            .map(|((p, _), place)| (p, *place))
    }

    /// The findings for one node.
    pub fn findings(self, places: &'a [Place], answer: &'a Answer) -> Vec<Finding<'a>> {
        match answer.source {
            Source::Grpc => self.listed(places, answer),
            Source::Metrics => self.counted(places, answer),
        }
    }

    fn listed(self, places: &'a [Place], answer: &'a Answer) -> Vec<Finding<'a>> {
        let finding = |(policy, place): (&'a Listed<'a>, Place)| {
            let said = answer.policies.get(&policy.name);
            let found = match (said, place) {
                (None, Place::Unclear) => Found::Unclear,
                (None, _) if answer.omitted > 0 => Found::Unclear,
                _ => self.found(policy.wish, said),
            };
            Finding { found, policy: Some(&policy.name), said }
        };
        self.here(places).map(finding).collect()
    }

    /// What the agent's entry for a policy that is for its node means.
    fn found(self, wish: &Wish, said: Option<&PolicyStatus>) -> Found {
        let Some(said) = said else {
            return Found::Missing;
        };
        match said.state {
            PolicyState::LoadError | PolicyState::Error => Found::Failed,
            PolicyState::Disabled => Found::Disabled,
            PolicyState::PartiallyEnabled => Found::Partial,
            PolicyState::Skipped => Found::Skipped,
            PolicyState::Loading | PolicyState::Unloading => Found::Loading,
            PolicyState::Unclear => Found::Unclear,
            PolicyState::Enabled => self.enabled(wish, said.mode),
        }
    }

    /// What an enabled policy does. The agent's mode is what counts: `tetra tracingpolicy set-mode` overrules the policy's
    /// own option.
    fn enabled(self, wish: &Wish, mode: Option<Mode>) -> Found {
        if !wish.denies {
            let expected = self.chosen || wish.has_lsm_hooks;
            return if expected { Found::NoEnforcingAction } else { Found::Observing };
        }
        match mode {
            Some(Mode::Enforce) => Found::Denying,
            Some(Mode::Monitor | Mode::MonitorOnly) => Found::MonitorMode,
            None if !self.has_modes => Found::Denying,
            None if wish.monitors => Found::MonitorMode,
            Some(Mode::Unclear) | None => Found::ModeUnknown,
        }
    }

    fn counted(self, places: &'a [Place], answer: &'a Answer) -> Vec<Finding<'a>> {
        let unnamed = |found| Finding { found, policy: None, said: None };
        let Some(named) = &answer.named else {
            return self.only_counted(places, answer).into_iter().map(unnamed).collect();
        };
        let mut findings: Vec<_> = self
            .here(places)
            .filter(|(policy, _)| !named.contains(&policy.name))
            .map(|(policy, place)| {
                let unclear = answer.omitted > 0 || place == Place::Unclear;
                let found = if unclear { Found::Unclear } else { Found::Missing };
                Finding { found, policy: Some(&policy.name), said: None }
            })
            .collect();
        let here: BTreeSet<&PolicyName> =
            self.here(places).map(|(policy, _)| &policy.name).collect();
        let skipped = usize::try_from(answer.counts.of(PolicyState::Skipped)).unwrap_or(usize::MAX);
        let elsewhere =
            self.elsewhere(places).filter(|policy| named.contains(&policy.name)).count();
        // Policies from files may have the names of others, so that more are counted than named.
        let again = answer.counts.total().saturating_sub(named.len() as u64);
        let again = again.max(answer.omitted);
        let others =
            named.iter().filter(|name| !here.contains(name)).count() - elsewhere.min(skipped);
        let others = others.saturating_add(usize::try_from(again).unwrap_or(usize::MAX));
        let states = Self::states(elsewhere, answer);
        findings.extend(held_against(&states, others, answer).into_iter().map(unnamed));
        if findings.is_empty() {
            let enabled = |(policy, _): (&'a Listed<'a>, Place)| Finding {
                found: self.enabled(policy.wish, None),
                policy: Some(&policy.name),
                said: None,
            };
            findings.extend(self.here(places).map(enabled));
        }
        findings
    }

    /// The policies that are for other nodes.
    fn elsewhere(self, places: &'a [Place]) -> impl Iterator<Item = &'a Listed<'a>> {
        let policies = self.catalogue.policies().iter().zip(places);
        policies.filter(|(_, place)| **place == Place::Elsewhere).map(|(policy, _)| policy)
    }

    /// Source many policies are in which state that is not fine. Skipped is fine for policies that are for other nodes.
    fn states(elsewhere: usize, answer: &Answer) -> [(Found, u64); 5] {
        let counts = &answer.counts;
        [
            (Found::Failed, counts.errors()),
            (Found::Disabled, counts.of(PolicyState::Disabled)),
            (Found::Partial, counts.of(PolicyState::PartiallyEnabled)),
            (Found::Skipped, counts.of(PolicyState::Skipped).saturating_sub(elsewhere as u64)),
            (Found::Unclear, counts.of(PolicyState::Unclear)),
        ]
    }

    /// Where the metrics name no policy at all.
    fn only_counted(self, places: &'a [Place], answer: &Answer) -> Vec<Found> {
        let here = places.iter().filter(|place| **place == Place::Here).count() as u64;
        let mut found =
            held_against(&Self::states(self.elsewhere(places).count(), answer), 0, answer);
        if answer.counts.total() < here {
            found.push(Found::Missing);
        }
        if found.is_empty() && self.here(places).next().is_some() {
            found.push(Found::ModeUnknown);
        }
        found
    }
}

/// Which of these states at least one of the policies in question is in, where `others` policies are not in question.
fn held_against(states: &[(Found, u64)], others: usize, answer: &Answer) -> Vec<Found> {
    let present: Vec<Found> =
        states.iter().filter(|(_, count)| *count > 0).map(|(found, _)| *found).collect();
    let total = states.iter().fold(0u64, |sum, (_, count)| sum.saturating_add(*count));
    // The gauge leaves out policies that are loading or unloading.
    let named =
        (answer.named.as_ref().map_or(0, BTreeSet::len) as u64).saturating_add(answer.omitted);
    let in_progress = answer.counts.in_progress().max(named.saturating_sub(answer.counts.total()));
    let mut found = match total {
        0 => Vec::new(),
        total if total > others as u64 => present,
        _ => vec![Found::Unclear],
    };
    if in_progress > 0 {
        found.push(Found::Loading);
    }
    found
}

#[cfg(test)]
mod tests;
