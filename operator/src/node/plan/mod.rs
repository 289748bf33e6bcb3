//! What has to change at a Node. Pure.
//!
//! In: the Node, what is known about it, what the policies require, and the time. Out: the labels,
//! taints and condition that differ from the wanted ones.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use lsm_ready_crds::names::{
    BPF_LABEL, NODE_CONDITION, NODE_LABEL_PREFIX, STALE_AFTER_SECONDS, TAINT_KEYS, policy_label,
};
use lsm_ready_crds::policy::{Require, TaintEffect, TaintKey};
use lsm_ready_crds::selection::Labels;
use lsm_ready_crds::verdict::{Facts, Verdict};
use lsm_ready_crds::{ConditionReason, LsmPolicy, State, verdict};

use crate::node::required::Required;

/// What has to change. Empty where everything is as wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Labels to set. A label without a value is to be removed.
    pub labels: BTreeMap<String, Option<String>>,
    /// The whole new list of taints, where one of ours differs.
    pub taints: Option<Vec<Taint>>,
    /// Our condition, where it differs in more than its times.
    pub condition: Option<NodeCondition>,
    /// Time until the report becomes stale, if the probe does not renew it.
    pub stale_in: Option<Duration>,
}

impl Plan {
    /// Removes neither the labels of these policies nor a taint: it is unknown what they ask for.
    pub fn unless_unread(mut self, unread: &[String], node: &Node) -> Self {
        if unread.is_empty() {
            return self;
        }
        for policy in unread {
            self.labels.remove(&policy_label(policy));
        }
        if let Some(taints) = &mut self.taints {
            let present = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
            let ours = present.filter(|taint| TAINT_KEYS.contains(&taint.key.as_str()));
            let kept = ours.filter(|taint| !taints.iter().any(|other| other.key == taint.key));
            taints.extend(kept.cloned().collect::<Vec<_>>());
            let is_unchanged = node.spec.as_ref().is_some_and(|spec| {
                let present = spec.taints.as_deref().unwrap_or_default();
                present.len() == taints.len() && present.iter().all(|taint| taints.contains(taint))
            });
            if is_unchanged {
                self.taints = None;
            }
        }
        self
    }
}

/// The verdict of a policy that selects the Node.
struct PolicyVerdict<'a> {
    policy: &'a LsmPolicy,
    verdict: Verdict,
}

pub fn plan(node: &Node, facts: Facts<'_>, required: &[Required], now: Timestamp) -> Plan {
    if is_not_linux(node.labels()) && facts.report.is_none() {
        return without_ours(node);
    }
    let bpf = verdict(&Require::default(), facts);
    let policies = policy_verdicts(node.labels(), facts, required);
    let freshness = Freshness::of(facts, now);
    Plan {
        labels: label_changes(node.labels(), &wanted_labels(&bpf, &policies)),
        taints: taint_changes(node, &wanted_taints(&policies)),
        condition: condition_change(node, wanted_condition(&bpf, freshness), now),
        stale_in: freshness.stale_in(),
    }
}

/// LSM BPF does not exist on other operating systems.
fn is_not_linux(labels: &Labels) -> bool {
    labels.get("kubernetes.io/os").is_some_and(|os| os != "linux")
}

/// Removes our labels and taints.
fn without_ours(node: &Node) -> Plan {
    Plan {
        labels: label_changes(node.labels(), &Labels::new()),
        taints: taint_changes(node, &BTreeMap::new()),
        ..Plan::default()
    }
}

fn policy_verdicts<'a>(
    labels: &Labels,
    facts: Facts<'_>,
    required: &'a [Required],
) -> Vec<PolicyVerdict<'a>> {
    required
        .iter()
        .filter(|required| required.selection.selects(labels))
        .map(|required| PolicyVerdict {
            policy: &required.policy,
            verdict: required.requirement.verdict(labels, facts),
        })
        .collect()
}

fn wanted_labels(bpf: &Verdict, policies: &[PolicyVerdict<'_>]) -> Labels {
    let bpf = match bpf.state {
        State::Ready => "true",
        State::NotReady => "false",
        State::Unknown => "unknown",
    };
    let of_policies = policies.iter().map(|PolicyVerdict { policy, verdict }| {
        let value = match verdict.state {
            State::Ready => "ready",
            State::NotReady => "not-ready",
            State::Unknown => "unknown",
        };
        (policy_label(&policy.name_any()), value.to_owned())
    });
    of_policies.chain([(BPF_LABEL.to_owned(), bpf.to_owned())]).collect()
}

/// The labels with our prefix that differ from the wanted ones.
fn label_changes(labels: &Labels, wanted: &Labels) -> BTreeMap<String, Option<String>> {
    let set = wanted
        .iter()
        .filter(|(key, value)| labels.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    let remove = labels
        .keys()
        .filter(|key| key.starts_with(NODE_LABEL_PREFIX) && !wanted.contains_key(*key))
        .map(|key| (key.clone(), None));
    set.chain(remove).collect()
}

/// The taints that policies ask for whose verdict is not ready. Where several policies use one key,
/// the strongest effect applies.
fn wanted_taints(policies: &[PolicyVerdict<'_>]) -> BTreeMap<TaintKey, TaintEffect> {
    let mut wanted = BTreeMap::new();
    let unready = policies.iter().filter(|policy| policy.verdict.state != State::Ready);
    for taint in unready.filter_map(|unready| unready.policy.spec.taint.as_ref()) {
        let effect = wanted.entry(taint.key).or_insert(taint.effect);
        *effect = taint.effect.max(*effect);
    }
    wanted
}

/// The new list of taints, where one of ours has to be added, removed or changed. Other taints
/// stay.
fn taint_changes(node: &Node, wanted: &BTreeMap<TaintKey, TaintEffect>) -> Option<Vec<Taint>> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let (ours, foreign): (Vec<&Taint>, Vec<&Taint>) =
        taints.iter().partition(|taint| TAINT_KEYS.contains(&taint.key.as_str()));
    let mut present: Vec<(&str, &str)> =
        ours.iter().map(|taint| (taint.key.as_str(), taint.effect.as_str())).collect();
    let mut wanted: Vec<(&str, &str)> =
        wanted.iter().map(|(key, effect)| (key.as_str(), effect.as_str())).collect();
    // The order of taints has no meaning.
    present.sort_unstable();
    wanted.sort_unstable();
    if present == wanted {
        return None;
    }
    let ours = wanted.into_iter().map(|(key, effect)| Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        ..Taint::default()
    });
    Some(foreign.into_iter().cloned().chain(ours).collect())
}

/// Whether the probe still renews its report.
#[derive(Clone, Copy)]
enum Freshness {
    /// There is no report of this boot that could become stale.
    NoReport,
    /// The report becomes stale after this time.
    Fresh(Duration),
    /// The probe has been silent since.
    Silent(Timestamp),
}

impl Freshness {
    fn of(facts: Facts<'_>, now: Timestamp) -> Self {
        let report = facts.report.filter(|report| report.boot_id == facts.boot_id);
        let Some(observed) = report.and_then(|report| report.observed_time.as_ref()) else {
            return Self::NoReport;
        };
        let age = now.as_second().saturating_sub(observed.0.as_second());
        match u64::try_from(STALE_AFTER_SECONDS.saturating_sub(age)) {
            Ok(seconds) if seconds > 0 => Self::Fresh(Duration::from_secs(seconds)),
            _ => Self::Silent(observed.0),
        }
    }

    fn stale_in(self) -> Option<Duration> {
        match self {
            Self::Fresh(left) => Some(left),
            Self::NoReport | Self::Silent(_) => None,
        }
    }
}

/// What our condition should say.
struct Wanted {
    status: &'static str,
    reason: String,
    message: String,
}

fn wanted_condition(bpf: &Verdict, freshness: Freshness) -> Wanted {
    let message = if bpf.fix.is_empty() {
        bpf.message.clone()
    } else {
        format!("{}. Fix: {}", bpf.message, bpf.fix)
    };
    match freshness {
        Freshness::Silent(since) => Wanted {
            status: State::Unknown.condition_status(),
            reason: ConditionReason::ProbeSilent.code().to_owned(),
            message: format!(
                "the probe has not reported since {since}; the labels stay, because evidence holds \
                 for the whole boot; check the lsm-ready probe's pod on this node. Last report: \
                 {message}"
            ),
        },
        Freshness::NoReport | Freshness::Fresh(_) => {
            Wanted { status: bpf.state.condition_status(), reason: bpf.reason.clone(), message }
        }
    }
}

/// Our NodeCondition, where it differs from the present one in more than its times.
fn condition_change(node: &Node, wanted: Wanted, now: Timestamp) -> Option<NodeCondition> {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let present = conditions.find(|condition| condition.type_ == NODE_CONDITION);
    let same_status = present.filter(|present| present.status == wanted.status);
    if same_status.is_some_and(|present| {
        present.reason.as_ref() == Some(&wanted.reason)
            && present.message.as_ref() == Some(&wanted.message)
    }) {
        return None;
    }
    let last_transition_time =
        same_status.map_or(Some(Time(now)), |present| present.last_transition_time.clone());
    Some(NodeCondition {
        type_: NODE_CONDITION.to_owned(),
        status: wanted.status.to_owned(),
        reason: Some(wanted.reason),
        message: Some(wanted.message),
        last_transition_time,
        last_heartbeat_time: Some(Time(now)),
    })
}

#[cfg(test)]
mod tests;
