//! The condition `TracingPoliciesLoadable`: whether the selected nodes can load Tetragon's
//! policies. Pure.
//!
//! In: the spec, the snapshot of TracingPolicies, and the selected nodes. Out: a finding, or none
//! if the `LsmPolicy` has nothing to do with Tetragon. The condition is about the policies that
//! `spec.require.tracingPolicies` selects. Without that, and with `spec.tetragon`, it is about all
//! policies that have LSM hooks.
//!
//! The condition is a forecast and blocks nothing. If an `LsmPolicy` requires TracingPolicies,
//! their requirement is part of each node's verdict, and so of NodesReady.

mod message;

use std::cmp::Reverse;

use kube::core::{Selector, SelectorExt};
use lsm_ready_crds::conditions::{Finding, TRACING_POLICIES_LOADABLE};
use lsm_ready_crds::selection::{InvalidSpec, tracing_policies};
use lsm_ready_crds::{ConditionReason, LsmPolicySpec, State};
use lsm_ready_tetragon::forecast::Nodes;
use lsm_ready_tetragon::image::Version;
use lsm_ready_tetragon::tracing_policy::{Name, TracingPolicy};
use lsm_ready_tetragon::verdict::{JudgedPolicy, PolicyVerdict, TargetVersion, judge};

use crate::tracing_policies::requirement::{counts, namespaced_count};
use crate::tracing_policies::snapshot::{Entry, ReadError, Snapshot};

/// The condition, if there is one. `version` is that of the agents, if it is known.
pub fn finding<'a>(
    spec: &LsmPolicySpec,
    snapshot: &Snapshot,
    version: Option<Version>,
    nodes: impl FnOnce() -> Nodes<'a>,
) -> Result<Option<Finding>, InvalidSpec> {
    let selector = tracing_policies(spec)?;
    let is_required = selector.is_some();
    if !is_required && (spec.tetragon.is_none() || snapshot.is_absent()) {
        return Ok(None);
    }
    let selected = Selected::by(selector.as_ref(), spec, snapshot);
    let has_no_hooks = selected.with_hooks.is_empty() && selected.unreadable.is_empty();
    let is_known =
        snapshot.unlisted().is_none() && snapshot.error().is_none() && selected.left_out.is_none();
    if has_no_hooks && !is_required && is_known {
        return Ok(None);
    }
    Ok(Some(judged(&selected, snapshot, &nodes(), TargetVersion::of(version))))
}

/// The TracingPolicies that an `LsmPolicy` is about.
struct Selected<'a> {
    /// Number of policies, with or without LSM hooks.
    count: usize,
    with_hooks: Vec<&'a TracingPolicy>,
    unreadable: Vec<UnreadablePolicy<'a>>,
    /// Why some are not known.
    left_out: Option<String>,
}

struct UnreadablePolicy<'a> {
    name: &'a Name,
    error: &'a str,
}

impl<'a> Selected<'a> {
    /// The policies that count and match the selector; all policies without one.
    fn by(selector: Option<&Selector>, spec: &LsmPolicySpec, snapshot: &'a Snapshot) -> Self {
        let left_out = snapshot.left_out(selector.is_none() || namespaced_count(spec));
        let mut selected =
            Self { count: 0, with_hooks: Vec::new(), unreadable: Vec::new(), left_out };
        for (name, object) in snapshot.objects() {
            let labels = object.entry.labels();
            let is_required = |selector: &Selector| counts(spec, name) && selector.matches(labels);
            if selector.is_some_and(|selector| !is_required(selector)) {
                continue;
            }
            selected.count += 1;
            match &object.entry {
                Entry::Read(policy) if policy.required_hooks.is_empty() => {}
                Entry::Read(policy) => selected.with_hooks.push(policy),
                Entry::Unreadable { error, .. } => {
                    selected.unreadable.push(UnreadablePolicy { name, error });
                }
            }
        }
        selected
    }
}

/// A policy with its verdict.
struct Judged<'a> {
    policy: &'a TracingPolicy,
    result: JudgedPolicy,
}

/// All policies with LSM hooks, the worst first.
struct JudgedPolicies<'a, 'n> {
    policies: Vec<Judged<'a>>,
    nodes: &'a Nodes<'n>,
}

impl<'a, 'n> JudgedPolicies<'a, 'n> {
    fn of(selected: &Selected<'a>, nodes: &'a Nodes<'n>, target: TargetVersion) -> Self {
        let judged =
            |policy: &&'a TracingPolicy| Judged { policy, result: judge(policy, nodes, target) };
        let mut policies: Vec<Judged<'a>> = selected.with_hooks.iter().map(judged).collect();
        policies.sort_by_key(|Judged { policy, result }| {
            let JudgedPolicy { verdict, forecast, .. } = result;
            (
                Reverse(*verdict),
                Reverse(forecast.not_loadable),
                Reverse(forecast.unknown),
                &policy.name,
            )
        });
        Self { policies, nodes }
    }

    fn count(&self, verdict: PolicyVerdict) -> usize {
        self.policies.iter().filter(|judged| judged.result.verdict == verdict).count()
    }
}

/// The condition. A policy that cannot load counts more than missing knowledge.
fn judged<'a>(
    selected: &Selected<'a>,
    snapshot: &Snapshot,
    nodes: &'a Nodes<'_>,
    target: TargetVersion,
) -> Finding {
    let all = JudgedPolicies::of(selected, nodes, target);
    let failing = all.count(PolicyVerdict::NotLoadable);
    if failing > 0 {
        let message = message::not_loadable(&all, failing);
        return new(State::NotReady, ConditionReason::NotLoadable, message);
    }
    if let Some(unknown) = unknown_policies(selected, snapshot) {
        return unknown;
    }
    let unknown = all.count(PolicyVerdict::Unknown);
    if nodes.is_empty() || unknown > 0 {
        let message =
            if nodes.is_empty() { message::no_nodes() } else { message::unknown(&all, unknown) };
        return new(State::Unknown, ConditionReason::LoadabilityUnknown, message);
    }
    let inert = all.count(PolicyVerdict::DeniesNothing);
    if inert > 0 {
        let message = message::some_deny_nothing(&all, inert);
        return new(State::Ready, ConditionReason::SomeDenyNothing, message);
    }
    new(State::Ready, ConditionReason::AllLoadable, message::all_loadable(&all))
}

/// The condition if it is unknown what the policies require, or if no policy is selected.
fn unknown_policies(selected: &Selected<'_>, snapshot: &Snapshot) -> Option<Finding> {
    let unknown = |reason, message| Some(new(State::Unknown, reason, message));
    if let Some(error) = snapshot.error() {
        let reason = match error {
            ReadError::Forbidden(_) => ConditionReason::TracingPoliciesForbidden,
            ReadError::Failed(..) => ConditionReason::TracingPoliciesUnread,
        };
        return unknown(reason, message::read_error(error));
    }
    if let Some(unread) = snapshot.unlisted().or_else(|| selected.left_out.clone()) {
        return unknown(ConditionReason::TracingPoliciesUnread, unread);
    }
    if !selected.unreadable.is_empty() {
        let message = message::unreadable(&selected.unreadable);
        return unknown(ConditionReason::InvalidTracingPolicy, message);
    }
    if selected.count > 0 {
        return None;
    }
    unknown(ConditionReason::NoneSelected, message::none_selected(snapshot))
}

fn new(state: State, reason: ConditionReason, message: String) -> Finding {
    Finding::new(TRACING_POLICIES_LOADABLE, state, reason, message)
}

#[cfg(test)]
mod tests;
