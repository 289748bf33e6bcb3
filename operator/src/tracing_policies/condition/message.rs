//! The messages of `TracingPoliciesLoadable`: the state, the cause, and what to do. Pure.
//!
//! A message names at most three policies, and three hooks for each, so its size does not depend on
//! the size of the cluster.

use lsm_ready_crds::State;
use lsm_ready_crds::first_n::MAX_ITEMS;
use lsm_ready_crds::text::truncate;
use lsm_ready_tetragon::forecast::{Forecast, HookForecast, Nodes};
use lsm_ready_tetragon::tracing_policy::Name;
use lsm_ready_tetragon::verdict::JudgedPolicy;

use super::{Judged, JudgedPolicies, UnreadablePolicy};
use crate::tracing_policies::snapshot::{ReadError, Snapshot};

/// Maximum length of a cited sentence, in characters.
const MAX_SENTENCE: usize = 240;
/// Maximum length of an API server's error, in characters.
const MAX_ERROR: usize = 480;

pub(super) fn not_loadable(all: &JudgedPolicies<'_, '_>, failing: usize) -> String {
    format!(
        "{failing} of {} TracingPolicies do not load: {}",
        all.policies.len(),
        worst(all, failing)
    )
}

pub(super) fn unknown(all: &JudgedPolicies<'_, '_>, unknown: usize) -> String {
    format!(
        "it is unknown whether {unknown} of {} TracingPolicies load: {}",
        all.policies.len(),
        worst(all, unknown)
    )
}

pub(super) fn no_nodes() -> String {
    "no node is selected: compare spec.nodeSelector with `kubectl get nodes --show-labels`"
        .to_owned()
}

pub(super) fn all_loadable(all: &JudgedPolicies<'_, '_>) -> String {
    let count = all.policies.len();
    if count == 0 {
        return "the TracingPolicies use no LSM hook".to_owned();
    }
    format!(
        "{count} of {count} TracingPolicies with LSM hooks load on the nodes that they are for, \
         out of {} selected",
        all.nodes.len()
    )
}

pub(super) fn some_deny_nothing(all: &JudgedPolicies<'_, '_>, inert: usize) -> String {
    format!("{}; {inert} of them deny nothing: {}", all_loadable(all), worst(all, inert))
}

pub(super) fn read_error(error: &ReadError) -> String {
    truncate(&error.to_string(), MAX_ERROR)
}

pub(super) fn none_selected(snapshot: &Snapshot) -> String {
    if snapshot.is_absent() {
        return "there are no TracingPolicies, so nothing is required: Tetragon's CRDs are not \
                installed"
            .to_owned();
    }
    format!(
        "spec.require.tracingPolicies selects none of the {} TracingPolicies, so nothing is \
         required. Compare it with `kubectl get tracingpolicies,tracingpoliciesnamespaced -A \
         --show-labels`",
        snapshot.objects().count()
    )
}

pub(super) fn unreadable(policies: &[UnreadablePolicy<'_>]) -> String {
    let named: Vec<String> = policies
        .iter()
        .take(MAX_ITEMS)
        .map(|policy| format!("{}: {}", policy.name, truncate(policy.error, MAX_SENTENCE)))
        .collect();
    format!("{} TracingPolicies cannot be read: {}", policies.len(), named.join("; "))
}

/// The worst policies out of the first `count`.
fn worst(all: &JudgedPolicies<'_, '_>, count: usize) -> String {
    let named: Vec<String> = all
        .policies
        .iter()
        .take(count.min(MAX_ITEMS))
        .map(|judged| policy(judged, all.nodes))
        .collect();
    let more = match count.saturating_sub(MAX_ITEMS) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more}; `kubectl lsm-ready preflight` shows every policy", named.join("; "))
}

fn policy(judged: &Judged<'_>, nodes: &Nodes<'_>) -> String {
    let name = &judged.policy.name;
    let JudgedPolicy { cause, forecast, .. } = &judged.result;
    if cause.is_empty() {
        on_nodes(name, forecast, nodes)
    } else {
        format!("{name}: {}", truncate(cause, MAX_SENTENCE))
    }
}

/// The worst hooks of a policy.
fn on_nodes(name: &Name, forecast: &Forecast, nodes: &Nodes<'_>) -> String {
    let mut hooks: Vec<&HookForecast> =
        forecast.hooks.iter().filter(|hook| !hook.others.is_empty()).collect();
    hooks.sort_by_key(|hook| {
        let is_unknown = hook.others[0].state == State::Unknown;
        (is_unknown, hook.loadable, hook.requirement.hook.as_str())
    });
    let named: Vec<String> =
        hooks.iter().take(MAX_ITEMS).map(|forecast| hook(forecast, nodes)).collect();
    let more = match hooks.len().saturating_sub(MAX_ITEMS) {
        0 => String::new(),
        more => format!("; and {more} more hooks"),
    };
    let Forecast { loadable, nodes, .. } = forecast;
    format!("{name} loads on {loadable} of {nodes} nodes ({}{more})", named.join("; "))
}

fn hook(forecast: &HookForecast, nodes: &Nodes<'_>) -> String {
    let others = &forecast.others[0];
    let message = nodes.explain(&forecast.requirement, others).message;
    format!(
        "{}: {} on {}, for example {}: {}",
        forecast.requirement.hook,
        others.reason,
        others.count,
        others.sample.join(" "),
        truncate(&message, MAX_SENTENCE)
    )
}
