//! What has to change at a Node. Pure.
//!
//! In: the Node, what was found out about it ([`Judged`]), what may move, and the time. Out: the
//! labels, taints and condition that differ from the wanted ones.
//!
//! While the Node is held, what it is shown ready for stays: these labels, no taint of these
//! policies, and the condition. What others wrote is corrected all the same: a label that the
//! condition does not confirm, and a taint that is missing ([`judge`] says what is believed).
//! Labels and taints of policies that are gone are removed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use lsm_ready_crds::names::{
    BPF_LABEL, NODE_CONDITION, NODE_LABEL_PREFIX, TAINT_KEYS, policy_label,
};
use lsm_ready_crds::policy::{TaintEffect, TaintKey};
use lsm_ready_crds::selection::{LINUX, Labels, OS_LABEL};
use lsm_ready_crds::{ConditionReason, State};

use crate::node::header::{Header, PastLoss, Says};
use crate::node::judge::{self, Freshness, Judged, Loss, PolicyVerdict, READY};

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
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.taints.is_none() && self.condition.is_none()
    }

    /// Whether the new list of taints has one of ours.
    pub fn has_our_taint(&self) -> bool {
        let mut taints = self.taints.iter().flatten();
        taints.any(|taint| TAINT_KEYS.contains(&taint.key.as_str()))
    }

    /// Adds another part of the same plan.
    pub fn add(&mut self, part: &Self) {
        self.labels.extend(part.labels.clone());
        self.taints = part.taints.clone().or(self.taints.take());
        self.condition = part.condition.clone().or(self.condition.take());
    }

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

/// What may change at a Node.
pub struct Moves<'a> {
    /// The circuit breaker holds what the Node shows.
    pub is_held: bool,
    /// A loss of LSM BPF in this boot that this process saw.
    pub remembered: Option<PastLoss>,
    /// Whether the taint of a policy that is new or was changed may be added now.
    pub may_taint: &'a dyn Fn(&PolicyVerdict<'_>) -> bool,
}

pub fn plan(node: &Node, judged: &Judged<'_>, moves: &Moves<'_>, now: Timestamp) -> Plan {
    let wanted = wanted_labels(judged, moves);
    Plan {
        labels: label_changes(node.labels(), &wanted),
        taints: taint_changes(node, &wanted_taints(node, judged, moves)),
        condition: condition_change(node, judged, moves, now),
        stale_in: judged.freshness.stale_in(),
    }
}

/// Removes our labels and taints from a Node that does not run Linux.
pub fn without_ours(node: &Node) -> Plan {
    Plan {
        labels: label_changes(node.labels(), &Labels::new()),
        taints: taint_changes(node, &BTreeMap::new()),
        ..Plan::default()
    }
}

/// The values of a policy's label, for the states Ready, NotReady and Unknown.
const POLICY_VALUES: [&str; 3] = [READY, "not-ready", "unknown"];

/// The value of a policy's label.
pub const fn policy_value(state: State) -> &'static str {
    value(POLICY_VALUES, state)
}

const fn value([ready, not_ready, unknown]: [&'static str; 3], state: State) -> &'static str {
    match state {
        State::Ready => ready,
        State::NotReady => not_ready,
        State::Unknown => unknown,
    }
}

fn wanted_labels(judged: &Judged<'_>, moves: &Moves<'_>) -> Labels {
    let of_policies = judged.policies.iter().map(|policy| Label {
        key: policy.label(),
        state: policy.verdict.state,
        values: POLICY_VALUES,
        is_shown: judged.shown_for(policy) == Says::Ready,
    });
    let of_bpf = Label {
        key: BPF_LABEL.to_owned(),
        state: judged.bpf.state,
        values: ["true", "false", "unknown"],
        is_shown: judged.is_bpf_shown(),
    };
    let wanted = |label: Label| {
        let held = judged.present.get(&label.key).filter(|_| moves.is_held);
        let held = held.and_then(|present| label.held(present));
        let wanted = held.unwrap_or_else(|| value(label.values, label.state));
        (label.key, wanted.to_owned())
    };
    of_policies.chain([of_bpf]).map(wanted).collect()
}

/// A label of ours.
struct Label {
    key: String,
    state: State,
    /// For the states Ready, NotReady and Unknown.
    values: [&'static str; 3],
    /// The condition confirms that the Node is ready.
    is_shown: bool,
}

impl Label {
    /// The present value, where it may stay.
    fn held(&self, present: &str) -> Option<&'static str> {
        let [ready, ..] = self.values;
        let known = self.values.into_iter().find(|value| *value == present)?;
        (self.state != State::Ready && (known != ready || self.is_shown)).then_some(known)
    }
}

/// What the Node will show for a policy.
fn says(judged: &Judged<'_>, policy: &PolicyVerdict<'_>, moves: &Moves<'_>) -> Says {
    if policy.is_ready() {
        Says::Ready
    } else if moves.is_held {
        judged.shown_for(policy)
    } else {
        Says::NotReady
    }
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
/// the strongest effect applies. A taint that may not be added yet stays as it is.
fn wanted_taints(
    node: &Node,
    judged: &Judged<'_>,
    moves: &Moves<'_>,
) -> BTreeMap<TaintKey, TaintEffect> {
    let mut wanted = BTreeMap::new();
    for unready in judged.policies.iter().filter(|policy| !policy.is_ready()) {
        let Some(taint) = &unready.required.policy.spec.taint else {
            continue;
        };
        let may_add = match says(judged, unready, moves) {
            // It is held. A taint of this policy is not ours.
            Says::Ready => continue,
            // Its verdict may be part of what is held.
            Says::NotJudged => false,
            Says::NotReady => (moves.may_taint)(unready),
        };
        let present = present_effect(node, taint.key);
        let stays = present.map(|effect| effect.min(taint.effect));
        let Some(effect) = Some(taint.effect).filter(|_| may_add).or(stays) else {
            continue;
        };
        let strongest = wanted.entry(taint.key).or_insert(effect);
        *strongest = effect.max(*strongest);
    }
    wanted
}

/// The effect of the Node's taint with that key, if it has one.
pub fn present_effect(node: &Node, key: TaintKey) -> Option<TaintEffect> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let effects = taints.iter().filter(|taint| taint.key == key.as_str());
    effects.filter_map(|taint| TaintEffect::of(&taint.effect)).max()
}

/// The new list of taints, where one of ours has to be added, removed or changed. Other taints
/// stay.
fn taint_changes(node: &Node, wanted: &BTreeMap<TaintKey, TaintEffect>) -> Option<Vec<Taint>> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let (ours, foreign): (Vec<&Taint>, Vec<&Taint>) =
        taints.iter().partition(|taint| TAINT_KEYS.contains(&taint.key.as_str()));
    let mut present: Vec<(&str, &str, &str)> = ours
        .iter()
        .map(|taint| (taint.key.as_str(), taint.effect.as_str(), value_of(taint)))
        .collect();
    // Ours have no value: with one, a toleration with the operator Equal would not match any more.
    let mut wanted: Vec<(&str, &str, &str)> =
        wanted.iter().map(|(key, effect)| (key.as_str(), effect.as_str(), "")).collect();
    // The order of taints has no meaning.
    present.sort_unstable();
    wanted.sort_unstable();
    if present == wanted {
        return None;
    }
    let ours = wanted.into_iter().map(|(key, effect, _)| Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        ..Taint::default()
    });
    Some(foreign.into_iter().cloned().chain(ours).collect())
}

/// The value of a taint, which can also be absent.
pub fn value_of(taint: &Taint) -> &str {
    taint.value.as_deref().unwrap_or_default()
}

/// What our condition should say.
struct Wanted {
    status: &'static str,
    reason: String,
    message: String,
}

fn wanted_condition(judged: &Judged<'_>, header: &Header) -> Wanted {
    let bpf = &judged.bpf;
    let mut reason = bpf.reason.clone();
    let mut silence = String::new();
    if let Freshness::Silent(since) = judged.freshness {
        ConditionReason::ProbeSilent.code().clone_into(&mut reason);
        silence = format!(
            "the probe has not reported since {since}; status and labels stay, because evidence \
             holds for the whole boot; check the lsm-ready probe's pod on this node. Last report: "
        );
    }
    let fix = if bpf.fix.is_empty() { String::new() } else { format!(". Fix: {}", bpf.fix) };
    // Without the label's value: a kubelet could have its condition written again with each value.
    let os = if judged.ignores_os {
        format!(
            ". The label {OS_LABEL} is not {LINUX} and is ignored: the node's probe reports, so \
             the node runs Linux. Set the label to {LINUX}"
        )
    } else {
        String::new()
    };
    let message = format!("{header}{silence}{}{fix}{os}", bpf.message);
    Wanted { status: bpf.state.condition_status(), reason, message }
}

/// What the Node says about itself from now on, under a condition that will be True or not.
fn header(judged: &Judged<'_>, moves: &Moves<'_>, is_true: bool, now: Timestamp) -> Header {
    let held = judged.shown.as_ref().filter(|_| moves.is_held);
    let mut header = match held {
        Some(shown) => shown.clone().without_policies(),
        None => moved(judged, moves, now),
    };
    for policy in &judged.policies {
        header.note(&policy.required.policy.name_any(), says(judged, policy, moves), is_true);
    }
    header
}

/// The same for a Node that is not held, without policies.
fn moved(judged: &Judged<'_>, moves: &Moves<'_>, now: Timestamp) -> Header {
    let past = judged.shown.as_ref().and_then(|shown| shown.loss.clone());
    let loss = match &judged.loss {
        Some(Loss { is_of_bpf, new_version, .. }) => {
            Some(PastLoss::new(now, *is_of_bpf, new_version.clone()))
        }
        // What the condition tells may be somebody else's.
        None => moves.remembered.clone().or_else(|| past.filter(|_| !judged.has_recovered)),
    };
    let (boot, version) = (judged.boot.to_owned(), judged.version.clone());
    Header { boot, version, loss, ..Header::default() }
}

/// The condition as it is, with what it says about policies brought up to date. None where its
/// status is not what its message tells of.
fn held_condition(held: &NodeCondition, judged: &Judged<'_>, header: &Header) -> Option<Wanted> {
    let status = ["False", "Unknown", "True"].into_iter().find(|status| held.status == *status)?;
    let (_, text) = Header::split(held.message.as_deref()?, judged.boot)?;
    let reason = held.reason.clone().unwrap_or_default();
    (judged.is_true == (status == "True")).then(|| Wanted {
        status,
        reason,
        message: format!("{header}{text}"),
    })
}

/// Our NodeCondition, where it differs from the present one in more than its times.
fn condition_change(
    node: &Node,
    judged: &Judged<'_>,
    moves: &Moves<'_>,
    now: Timestamp,
) -> Option<NodeCondition> {
    let present = judge::condition(node);
    let is_ready = judged.bpf.state == State::Ready;
    let held = present.filter(|_| moves.is_held && (judged.is_true || !is_ready));
    let wanted = held
        .and_then(|held| held_condition(held, judged, &header(judged, moves, judged.is_true, now)))
        .unwrap_or_else(|| wanted_condition(judged, &header(judged, moves, is_ready, now)));
    let same_status = present.filter(|present| present.status == wanted.status);
    let is_one = judge::conditions(node).count() == 1;
    if same_status.filter(|_| is_one).is_some_and(|present| {
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
pub(crate) use tests::applied;
#[cfg(test)]
mod tests;
