//! What has to change at a Node: a pure function of the Node, its evidence and the policies, ours and Tetragon's.

use lsm_ready_crds::{ConditionReason, State};
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use lsm_ready_crds::names::{
    BPF_LABEL, NODE_CONDITION, NODE_LABEL_PREFIX, TAINT_KEYS, policy_label,
};
use lsm_ready_crds::policy::{Require, TaintEffect, TaintKey};
use lsm_ready_crds::selection::Labels;
use lsm_ready_crds::verdict::{Facts, Verdict};
use lsm_ready_crds::{LsmNodeStatus, LsmPolicy, names, verdict};

use crate::node::required::Required;
use crate::watch::store::boot_id;

/// What has to change. Nothing where everything is as wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Labels to set, or with no value to remove.
    pub labels: BTreeMap<String, Option<String>>,
    /// The whole new list of taints, where ours differs.
    pub taints: Option<Vec<Taint>>,
    /// Our condition, where it differs in more than time.
    pub condition: Option<NodeCondition>,
    /// After how long the report will be stale, if nothing is heard.
    pub stale_in: Option<Duration>,
}

/// What has to change at this Node.
pub fn plan(node: &Node, facts: Facts<'_>, required: &[Required], now: Timestamp) -> Plan {
    if is_foreign(node.labels()) && facts.report.is_none() {
        return give_back(node);
    }
    let bpf = verdict(&Require::default(), facts);
    let policies = verdicts(node.labels(), facts, required);
    let silence = Silence::of(facts.report, boot_id(node), now);
    Plan {
        labels: label_changes(node.labels(), &wanted_labels(&bpf, &policies)),
        taints: taint_change(node, &wanted_taints(&policies)),
        condition: condition_change(node, &bpf, &silence, now),
        stale_in: silence.stale_in,
    }
}

/// A Node that runs another operating system: LSM BPF is no question there.
fn is_foreign(labels: &Labels) -> bool {
    labels.get("kubernetes.io/os").is_some_and(|os| os != "linux")
}

fn give_back(node: &Node) -> Plan {
    Plan {
        labels: label_changes(node.labels(), &Labels::new()),
        taints: taint_change(node, &BTreeMap::new()),
        ..Plan::default()
    }
}

/// The policies that select the Node, each with its verdict.
fn verdicts<'a>(
    labels: &Labels,
    facts: Facts<'_>,
    required: &'a [Required],
) -> Vec<(&'a LsmPolicy, Verdict)> {
    required
        .iter()
        .filter(|required| required.selection.selects(labels))
        .map(|required| (required.policy.as_ref(), required.demand.verdict(labels, facts)))
        .collect()
}

fn wanted_labels(bpf: &Verdict, policies: &[(&LsmPolicy, Verdict)]) -> Labels {
    let value = match bpf.state {
        State::Ready => "true",
        State::NotReady => "false",
        State::Unknown => "unknown",
    };
    let mut wanted = Labels::from([(BPF_LABEL.to_owned(), value.to_owned())]);
    for (policy, verdict) in policies {
        let value = match verdict.state {
            State::Ready => "ready",
            State::NotReady => "not-ready",
            State::Unknown => "unknown",
        };
        wanted.insert(policy_label(&policy.name_any()), value.to_owned());
    }
    wanted
}

/// The labels under our prefix that differ from the wanted ones.
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

/// The taints that policies ask for whose verdict is not ready. Of several effects with one key, the
/// strongest applies.
fn wanted_taints(policies: &[(&LsmPolicy, Verdict)]) -> BTreeMap<TaintKey, TaintEffect> {
    let mut wanted = BTreeMap::new();
    for (policy, verdict) in policies {
        let Some(taint) = policy.spec.taint.as_ref().filter(|_| verdict.state != State::Ready)
        else {
            continue;
        };
        let effect = wanted.entry(taint.key).or_insert(taint.effect);
        *effect = taint.effect.max(*effect);
    }
    wanted
}

/// The new list of taints, if one of ours has to be added, removed or changed. Other taints keep their
/// place.
fn taint_change(node: &Node, wanted: &BTreeMap<TaintKey, TaintEffect>) -> Option<Vec<Taint>> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let is_ours = |taint: &&Taint| TAINT_KEYS.contains(&taint.key.as_str());
    let mut present: Vec<(&str, &str)> = taints
        .iter()
        .filter(is_ours)
        .map(|taint| (taint.key.as_str(), taint.effect.as_str()))
        .collect();
    let mut wanted: Vec<(&str, &str)> =
        wanted.iter().map(|(key, effect)| (key.as_str(), effect.as_str())).collect();
    present.sort_unstable();
    wanted.sort_unstable();
    if present == wanted {
        return None;
    }
    let foreign = taints.iter().filter(|taint| !is_ours(taint)).cloned();
    let ours = wanted.into_iter().map(|(key, effect)| Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        ..Taint::default()
    });
    Some(foreign.chain(ours).collect())
}

/// Whether the probe is silent, and if not, when it would be.
#[derive(Debug, Default)]
struct Silence {
    since: Option<Timestamp>,
    stale_in: Option<Duration>,
}

impl Silence {
    /// Silence is only measured for reports of the present boot: others say nothing anyway.
    fn of(report: Option<&LsmNodeStatus>, boot_id: &str, now: Timestamp) -> Self {
        let Some(heard) = report
            .filter(|report| report.boot_id == boot_id)
            .and_then(|r| r.observed_time.as_ref())
        else {
            return Self::default();
        };
        let age = now.as_second().saturating_sub(heard.0.as_second());
        let left = names::STALE_AFTER_SECONDS.saturating_sub(age);
        match u64::try_from(left) {
            Ok(seconds) if seconds > 0 => {
                Self { since: None, stale_in: Some(Duration::from_secs(seconds)) }
            }
            _ => Self { since: Some(heard.0), stale_in: None },
        }
    }
}

/// Our NodeCondition, if it differs from the present one in more than time.
fn condition_change(
    node: &Node,
    bpf: &Verdict,
    silence: &Silence,
    now: Timestamp,
) -> Option<NodeCondition> {
    let (status, reason, message) = match silence.since {
        Some(since) => (
            "Unknown",
            ConditionReason::ProbeSilent.code().to_owned(),
            format!(
                "the probe was last heard at {since}; labels stay as they are, since evidence holds for the whole boot; \
                 look at the lsm-ready probe's pod on this node. Last word: {}",
                sentence(bpf)
            ),
        ),
        None => (condition_status(bpf.state), bpf.reason.clone(), sentence(bpf)),
    };
    let present = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let present = present.into_iter().find(|condition| condition.type_ == NODE_CONDITION);
    let since = match present {
        Some(present) if present.status == status => {
            if present.reason.as_ref() == Some(&reason)
                && present.message.as_ref() == Some(&message)
            {
                return None;
            }
            present.last_transition_time.clone()
        }
        _ => Some(Time(now)),
    };
    Some(NodeCondition {
        type_: NODE_CONDITION.to_owned(),
        status: status.to_owned(),
        reason: Some(reason),
        message: Some(message),
        last_transition_time: since,
        last_heartbeat_time: Some(Time(now)),
    })
}

fn condition_status(state: State) -> &'static str {
    match state {
        State::Ready => "True",
        State::NotReady => "False",
        State::Unknown => "Unknown",
    }
}

fn sentence(verdict: &Verdict) -> String {
    if verdict.fix.is_empty() {
        verdict.message.clone()
    } else {
        format!("{}. Fix: {}", verdict.message, verdict.fix)
    }
}

#[cfg(test)]
mod tests;
