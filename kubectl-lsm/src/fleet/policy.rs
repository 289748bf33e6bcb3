//! The rows of policies. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::core::Selector;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::policy::{NodeCounts, ReasonCount, Require};

use super::{ConditionRow, Counts, PolicyRow, ReasonRow, RequireRow, printed};

/// The rows, by name.
pub fn rows(policies: &[LsmPolicy]) -> Vec<PolicyRow> {
    let mut rows: Vec<PolicyRow> = policies.iter().map(row).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
}

fn row(policy: &LsmPolicy) -> PolicyRow {
    let spec = &policy.spec;
    let status = policy.status.clone().unwrap_or_default();
    PolicyRow {
        name: printed(&policy.name_any()),
        generation: policy.metadata.generation.unwrap_or(0),
        observed_generation: status.observed_generation,
        created_at: policy.creation_timestamp().map(|time| time.0),
        is_being_deleted: policy.metadata.deletion_timestamp.is_some(),
        node_selector: selector(policy),
        min_ready: printed(&match &spec.min_ready {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(text) => text.clone(),
        }),
        require: (&spec.require).into(),
        taint: spec
            .taint
            .as_ref()
            .map(|taint| format!("{}:{}", taint.key.as_str(), taint.effect.as_str())),
        daemon_set: spec
            .tetragon
            .as_ref()
            .map(|tetragon| printed(&tetragon.daemon_set.to_string())),
        counts: counts(&status.nodes),
        reasons: status.reasons.iter().map(reason).collect(),
        conditions: status.conditions.iter().map(condition).collect(),
    }
}

/// The selector as kubectl writes it.
fn selector(policy: &LsmPolicy) -> String {
    let Some(selector) = policy.spec.node_selector.clone() else {
        return "kubernetes.io/os=linux".to_owned();
    };
    match Selector::try_from(selector) {
        Ok(selector) => printed(&selector.to_string()),
        Err(error) => printed(&format!("invalid: {error}")),
    }
}

impl From<&Require> for RequireRow {
    fn from(require: &Require) -> Self {
        let names = |names: &[String]| names.iter().map(|name| printed(name)).collect();
        Self {
            evidence: require.evidence.into(),
            lsms: names(&require.lsms),
            hooks: names(&require.hooks),
            sleepable_hooks: names(&require.sleepable_hooks),
            kernel_reads: require.kernel_reads,
            tracing_policies: require.tracing_policies.is_some(),
        }
    }
}

const fn counts(counts: &NodeCounts) -> Counts {
    let NodeCounts { selected, ready, not_ready, unknown, summary: _ } = counts;
    Counts { selected: *selected, ready: *ready, not_ready: *not_ready, unknown: *unknown }
}

fn reason(reason: &ReasonCount) -> ReasonRow {
    ReasonRow {
        reason: printed(&reason.reason),
        count: reason.count,
        sample: reason.sample.iter().map(|name| printed(name)).collect(),
        fix: printed(&reason.fix),
    }
}

/// A condition with printable texts.
pub fn condition(condition: &Condition) -> ConditionRow {
    ConditionRow {
        type_: printed(&condition.type_),
        status: printed(&condition.status),
        reason: printed(&condition.reason),
        message: printed(&condition.message),
        last_transition_time: Some(condition.last_transition_time.0),
    }
}
