//! The condition `TracingPoliciesLoadable`: whether the selected nodes will take Tetragon's policies. Pure.
//!
//! In: the spec, what is known of Tetragon's policies, and the selected nodes. Out: a finding, or none where the policy has
//! nothing to do with Tetragon. It looks at the policies that `spec.require.tracingPolicies` selects; without that, and
//! with `spec.tetragon`, at all that have LSM hooks.
//!
//! It is a forecast, and holds up nothing by itself: where a policy requires TracingPolicies, what they ask for is part
//! of each node's verdict, and so of NodesReady.

use std::cmp::Reverse;

use kube::core::SelectorExt;
use lsm_ready_crds::LsmPolicySpec;
use lsm_ready_crds::conditions::{Finding, Status, TRACING_POLICIES_LOADABLE};
use lsm_ready_crds::selection::{InvalidSpec, tracing_policies};
use lsm_ready_crds::verdict::State;
use lsm_ready_tetragon::loadable::{Forecast, HookForecast, Nodes, Others, forecast};
use lsm_ready_tetragon::tracing_policy::{Name, TracingPolicy};

use crate::tracing_policies::known::{Entry, Snapshot, Trouble};

/// Reasons of `TracingPoliciesLoadable`.
pub mod reason {
    /// Every policy loads on every selected node that it is for.
    pub const ALL_LOADABLE: &str = "AllLoadable";
    /// Some policy was shown not to load on some node.
    pub const NOT_LOADABLE: &str = "NotLoadable";
    /// Too little is known of some nodes.
    pub const LOADABILITY_UNKNOWN: &str = "LoadabilityUnknown";
    /// The policy selects no TracingPolicy, so nothing is asked for.
    pub const NONE_SELECTED: &str = "NoneSelected";
    /// A TracingPolicy cannot be read.
    pub const INVALID_TRACING_POLICY: &str = "InvalidTracingPolicy";
    /// The operator may not read TracingPolicies.
    pub const TRACING_POLICIES_FORBIDDEN: &str = "TracingPoliciesForbidden";
    /// The API server does not give TracingPolicies, or has not yet.
    pub const TRACING_POLICIES_UNREAD: &str = "TracingPoliciesUnread";
    /// All of them, for the documentation's test.
    pub const ALL: [&str; 7] = [
        ALL_LOADABLE,
        NOT_LOADABLE,
        LOADABILITY_UNKNOWN,
        NONE_SELECTED,
        INVALID_TRACING_POLICY,
        TRACING_POLICIES_FORBIDDEN,
        TRACING_POLICIES_UNREAD,
    ];
}

/// So many policies are told of.
const MOST_POLICIES: usize = 3;
/// So many hooks of each.
const MOST_HOOKS: usize = 3;
/// Longest sentence that is repeated, in characters.
const LONGEST: usize = 240;

/// The condition, where there is one.
///
/// # Errors
/// When the selector of TracingPolicies is none.
pub fn finding<'a>(
    spec: &LsmPolicySpec,
    known: &Snapshot,
    nodes: impl FnOnce() -> Nodes<'a>,
) -> Result<Option<Finding>, InvalidSpec> {
    let selector = tracing_policies(spec)?;
    let required = selector.is_some();
    if !required && (spec.tetragon.is_none() || known.is_absent()) {
        return Ok(None);
    }
    let meant = |entry: &Entry| selector.as_ref().is_none_or(|selector| selector.matches(entry.labels()));
    let (mut read, mut unreadable) = (Vec::new(), Vec::new());
    for (name, entry) in known.objects().filter(|(_, entry)| meant(entry)) {
        match entry {
            Entry::Read(policy) if !policy.asks.is_empty() => read.push(policy.as_ref()),
            Entry::Read(_) => {}
            Entry::Unreadable { error, .. } => unreadable.push((name, error.as_str())),
        }
    }
    let selected = known.objects().any(|(_, entry)| meant(entry));
    let nothing = read.is_empty() && unreadable.is_empty() && known.unread().is_none() && known.trouble().is_none();
    if nothing && !(required && !selected) {
        let message = "the TracingPolicies ask for no LSM hook";
        let found = Finding::new(TRACING_POLICIES_LOADABLE, true, reason::ALL_LOADABLE, message);
        return Ok(required.then_some(found));
    }
    let (status, reason, message) = judge(&read, &unreadable, known, nodes);
    Ok(Some(Finding::new(TRACING_POLICIES_LOADABLE, status, reason, message)))
}

/// What is shown not to load comes before what is not known.
fn judge<'a>(
    read: &[&TracingPolicy],
    unreadable: &[(&Name, &str)],
    known: &Snapshot,
    nodes: impl FnOnce() -> Nodes<'a>,
) -> (Status, &'static str, String) {
    let nodes = nodes();
    let mut all: Vec<(&Name, Forecast)> = read.iter().map(|policy| (&policy.name, forecast(policy, &nodes))).collect();
    all.sort_by_key(|(name, forecast)| (Reverse(forecast.not_loadable), Reverse(forecast.unknown), *name));
    let failing = all.iter().filter(|(_, forecast)| forecast.state() == State::NotReady).count();
    let unknown = all.iter().filter(|(_, forecast)| forecast.unknown > 0).count();
    let of = all.len();
    if failing > 0 {
        let message = format!("{failing} of {of} TracingPolicies do not load on every node: {}", worst(&all, failing));
        return (Status::False, reason::NOT_LOADABLE, message);
    }
    if let Some(trouble) = known.trouble() {
        let reason = match trouble {
            Trouble::Forbidden(_) => reason::TRACING_POLICIES_FORBIDDEN,
            Trouble::Unread(..) => reason::TRACING_POLICIES_UNREAD,
        };
        return (Status::Unknown, reason, cut(&trouble.to_string(), 2 * LONGEST));
    }
    if let Some(pending) = known.unread() {
        return (Status::Unknown, reason::TRACING_POLICIES_UNREAD, pending);
    }
    if !unreadable.is_empty() {
        return (Status::Unknown, reason::INVALID_TRACING_POLICY, cannot_be_read(unreadable));
    }
    if of == 0 {
        let there = known.objects().count();
        let message = if known.is_absent() {
            "Tetragon's CRDs are not installed, so there is no TracingPolicy and nothing is asked for".to_owned()
        } else {
            format!(
                "spec.require.tracingPolicies selects none of the {there} TracingPolicies, so nothing is asked for; compare \
                 it with `kubectl get tracingpolicies,tracingpoliciesnamespaced -A --show-labels`"
            )
        };
        return (Status::Unknown, reason::NONE_SELECTED, message);
    }
    if unknown > 0 {
        let message = format!(
            "whether {unknown} of {of} TracingPolicies load is not known on some nodes: {}",
            worst(&all, unknown)
        );
        return (Status::Unknown, reason::LOADABILITY_UNKNOWN, message);
    }
    let message = format!("{of} TracingPolicies with LSM hooks load on all of {} selected nodes", nodes.len());
    if nodes.is_empty() {
        return (Status::Unknown, reason::LOADABILITY_UNKNOWN, "no node is selected".to_owned());
    }
    (Status::True, reason::ALL_LOADABLE, message)
}

/// The worst policies, of so many; each with its worst hooks.
fn worst(all: &[(&Name, Forecast)], of: usize) -> String {
    let told: Vec<String> = all.iter().take(of.min(MOST_POLICIES)).map(|(name, found)| policy(name, found)).collect();
    let more = of.saturating_sub(MOST_POLICIES);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}; `kubectl lsm preflight` tells of each", told.join("; "))
}

fn policy(name: &Name, found: &Forecast) -> String {
    let mut hooks: Vec<&HookForecast> = found.hooks.iter().filter(|hook| !hook.others.is_empty()).collect();
    hooks.sort_by_key(|hook| (hook.others[0].state == State::Unknown, hook.loadable, hook.ask.hook.as_str()));
    let told: Vec<String> = hooks.iter().take(MOST_HOOKS).map(|found| hook(found)).collect();
    let more =
        if hooks.len() > MOST_HOOKS { format!(", and {} more hooks", hooks.len() - MOST_HOOKS) } else { String::new() };
    format!("{name} loads on {} of {} nodes ({}{more})", found.loadable, found.nodes, told.join(", "))
}

fn hook(found: &HookForecast) -> String {
    let Others { reason, count, sample, message, .. } = &found.others[0];
    format!("{} {reason} on {count}, as {}: {}", found.ask.hook, sample.join(" "), cut(message, LONGEST))
}

fn cannot_be_read(unreadable: &[(&Name, &str)]) -> String {
    let told = unreadable.iter().take(MOST_POLICIES).map(|(name, error)| format!("{name}: {}", cut(error, LONGEST)));
    format!("{} TracingPolicies cannot be read: {}", unreadable.len(), told.collect::<Vec<_>>().join("; "))
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
