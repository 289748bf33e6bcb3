//! The condition `TracingPoliciesLoadable`: whether the selected nodes will take Tetragon's policies. Pure.
//!
//! In: the spec, what is known of Tetragon's policies, and the selected nodes. Out: a finding, or none where the policy has
//! nothing to do with Tetragon. It looks at the policies that `spec.require.tracingPolicies` selects; without that, and
//! with `spec.tetragon`, at all that have LSM hooks.
//!
//! It is a forecast, and holds up nothing by itself: where a policy requires TracingPolicies, what they ask for is part
//! of each node's verdict, and so of NodesReady.

use lsm_ready_crds::ConditionReason;
use std::cmp::Reverse;

use kube::core::{Selector, SelectorExt};
use lsm_ready_crds::LsmPolicySpec;
use lsm_ready_crds::State;
use lsm_ready_crds::conditions::{Finding, TRACING_POLICIES_LOADABLE};
use lsm_ready_crds::selection::{InvalidSpec, tracing_policies};
use lsm_ready_tetragon::forecast::{Forecast, HookForecast, Nodes};
use lsm_ready_tetragon::image::Version;
use lsm_ready_tetragon::tracing_policy::{Name, TracingPolicy};
use lsm_ready_tetragon::verdict::{JudgedPolicy, PolicyVerdict, TargetVersion, judge};

use crate::tracing_policies::snapshot::{Entry, Snapshot, Trouble};
use lsm_ready_crds::text::truncate;

/// So many policies are told of.
const MOST_POLICIES: usize = 3;
/// So many hooks of each.
const MOST_HOOKS: usize = 3;
/// Longest sentence that is repeated, in characters.
const LONGEST: usize = 240;

/// The condition, where there is one. `version` is that of the agents, where it is known.
///
/// # Errors
/// When the selector of TracingPolicies is none.
pub fn finding<'a>(
    spec: &LsmPolicySpec,
    known: &Snapshot,
    version: Option<Version>,
    nodes: impl FnOnce() -> Nodes<'a>,
) -> Result<Option<Finding>, InvalidSpec> {
    let selector = tracing_policies(spec)?;
    let required = selector.is_some();
    if !required && (spec.tetragon.is_none() || known.is_absent()) {
        return Ok(None);
    }
    let meant = Meant::by(selector.as_ref(), known);
    let asks_nothing = meant.asking.is_empty() && meant.unreadable.is_empty();
    if asks_nothing && !required && known.unread().is_none() && known.trouble().is_none() {
        return Ok(None);
    }
    let (status, reason, message) = judged(&meant, known, &nodes(), TargetVersion::of(version));
    Ok(Some(Finding::new(TRACING_POLICIES_LOADABLE, status, reason, message)))
}

/// The TracingPolicies that a policy is about.
struct Meant<'a> {
    /// How many there are, also without hooks.
    count: usize,
    /// Those with LSM hooks.
    asking: Vec<&'a TracingPolicy>,
    /// Those that cannot be read, with why.
    unreadable: Vec<(&'a Name, &'a str)>,
}

impl<'a> Meant<'a> {
    /// Those that the selector fits; all, where there is none.
    fn by(selector: Option<&Selector>, known: &'a Snapshot) -> Self {
        let mut meant = Self { count: 0, asking: Vec::new(), unreadable: Vec::new() };
        let fits = |entry: &Entry| selector.is_none_or(|selector| selector.matches(entry.labels()));
        for (name, entry) in known.objects().filter(|(_, entry)| fits(entry)) {
            meant.count += 1;
            match entry {
                Entry::Read(policy) if policy.required_hooks.is_empty() => {}
                Entry::Read(policy) => meant.asking.push(policy),
                Entry::Unreadable { error, .. } => meant.unreadable.push((name, error)),
            }
        }
        meant
    }
}

/// A policy that was judged.
struct Told<'a> {
    policy: &'a TracingPolicy,
    judged: JudgedPolicy,
}

/// What is shown not to load comes before what is not known.
fn judged(
    meant: &Meant<'_>,
    known: &Snapshot,
    nodes: &Nodes<'_>,
    target: TargetVersion,
) -> (State, ConditionReason, String) {
    let told = |policy: &&'_ TracingPolicy| judge(policy, nodes, target);
    let mut all: Vec<Told<'_>> =
        meant.asking.iter().map(|policy| Told { policy, judged: told(policy) }).collect();
    all.sort_by_key(|told| {
        let JudgedPolicy { verdict, forecast, .. } = &told.judged;
        (
            Reverse(*verdict),
            Reverse(forecast.not_loadable),
            Reverse(forecast.unknown),
            &told.policy.name,
        )
    });
    let count = |verdict| all.iter().filter(|told| told.judged.verdict == verdict).count();
    let of = all.len();
    let failing = count(PolicyVerdict::NotLoadable);
    if failing > 0 {
        let message = format!(
            "{failing} of {of} TracingPolicies do not load: {}",
            worst(&all, failing, nodes)
        );
        return (State::NotReady, ConditionReason::NotLoadable, message);
    }
    if let Some((reason, message)) = not_known(meant, known) {
        return (State::Unknown, reason, message);
    }
    let unknown = count(PolicyVerdict::Unknown);
    if nodes.is_empty() {
        return (
            State::Unknown,
            ConditionReason::LoadabilityUnknown,
            "no node is selected".to_owned(),
        );
    }
    if unknown > 0 {
        let worst = worst(&all, unknown, nodes);
        let message =
            format!("whether {unknown} of {of} TracingPolicies load cannot be judged: {worst}");
        return (State::Unknown, ConditionReason::LoadabilityUnknown, message);
    }
    loads(&all, nodes)
}

/// All of them load.
fn loads(all: &[Told<'_>], nodes: &Nodes<'_>) -> (State, ConditionReason, String) {
    let of = all.len();
    if of == 0 {
        return (
            State::Ready,
            ConditionReason::AllLoadable,
            "the TracingPolicies ask for no LSM hook".to_owned(),
        );
    }
    let message = format!(
        "{of} of {of} TracingPolicies with LSM hooks load on those of the {} selected nodes that they are for",
        nodes.len()
    );
    let inert =
        all.iter().filter(|told| told.judged.verdict == PolicyVerdict::DeniesNothing).count();
    if inert == 0 {
        return (State::Ready, ConditionReason::AllLoadable, message);
    }
    let worst = worst(all, inert, nodes);
    (
        State::Ready,
        ConditionReason::SomeDenyNothing,
        format!("{message}; {inert} of them deny nothing: {worst}"),
    )
}

/// Why it is not known what is asked for, or whether that is what was meant.
fn not_known(meant: &Meant<'_>, known: &Snapshot) -> Option<(ConditionReason, String)> {
    if let Some(trouble) = known.trouble() {
        let reason = match trouble {
            Trouble::Forbidden(_) => ConditionReason::TracingPoliciesForbidden,
            Trouble::Unread(..) => ConditionReason::TracingPoliciesUnread,
        };
        return Some((reason, truncate(&trouble.to_string(), 2 * LONGEST)));
    }
    if let Some(pending) = known.unread() {
        return Some((ConditionReason::TracingPoliciesUnread, pending));
    }
    if !meant.unreadable.is_empty() {
        return Some((ConditionReason::InvalidTracingPolicy, cannot_be_read(&meant.unreadable)));
    }
    if meant.count > 0 {
        return None;
    }
    let message = if known.is_absent() {
        "Tetragon's CRDs are not installed, so there is no TracingPolicy and nothing is asked for"
            .to_owned()
    } else {
        let there = known.objects().count();
        format!(
            "spec.require.tracingPolicies selects none of the {there} TracingPolicies, so nothing is asked for; compare it \
             with `kubectl get tracingpolicies,tracingpoliciesnamespaced -A --show-labels`"
        )
    };
    Some((ConditionReason::NoneSelected, message))
}

/// The worst policies, of so many; each with its worst hooks.
fn worst(all: &[Told<'_>], of: usize, nodes: &Nodes<'_>) -> String {
    let told: Vec<String> =
        all.iter().take(of.min(MOST_POLICIES)).map(|told| policy(told, nodes)).collect();
    let more = of.saturating_sub(MOST_POLICIES);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}; `kubectl lsm-ready preflight` tells of each", told.join("; "))
}

fn policy(told: &Told<'_>, nodes: &Nodes<'_>) -> String {
    let name = &told.policy.name;
    let JudgedPolicy { cause: why, forecast, .. } = &told.judged;
    if why.is_empty() {
        on_nodes(name, forecast, nodes)
    } else {
        format!("{name}: {}", truncate(why, LONGEST))
    }
}

fn on_nodes(name: &Name, found: &Forecast, nodes: &Nodes<'_>) -> String {
    let mut hooks: Vec<&HookForecast> =
        found.hooks.iter().filter(|hook| !hook.others.is_empty()).collect();
    hooks.sort_by_key(|hook| {
        (hook.others[0].state == State::Unknown, hook.loadable, hook.requirement.hook.as_str())
    });
    let told: Vec<String> = hooks.iter().take(MOST_HOOKS).map(|found| hook(found, nodes)).collect();
    let more = if hooks.len() > MOST_HOOKS {
        format!(", and {} more hooks", hooks.len() - MOST_HOOKS)
    } else {
        String::new()
    };
    format!(
        "{name} loads on {} of {} nodes ({}{more})",
        found.loadable,
        found.nodes,
        told.join(", ")
    )
}

fn hook(found: &HookForecast, nodes: &Nodes<'_>) -> String {
    let others = &found.others[0];
    let message = nodes.explain(&found.requirement, others).message;
    let nodes = others.sample.join(" ");
    format!(
        "{} {} on {}, as {nodes}: {}",
        found.requirement.hook,
        others.reason,
        others.count,
        truncate(&message, LONGEST)
    )
}

fn cannot_be_read(unreadable: &[(&Name, &str)]) -> String {
    let told = unreadable
        .iter()
        .take(MOST_POLICIES)
        .map(|(name, error)| format!("{name}: {}", truncate(error, LONGEST)));
    format!(
        "{} TracingPolicies cannot be read: {}",
        unreadable.len(),
        told.collect::<Vec<_>>().join("; ")
    )
}

#[cfg(test)]
mod tests;
