//! How far a DaemonSet has come in giving every node an agent of its present pod template, and what holds it up.
//!
//! In: the DaemonSet, and what its pods say where they were looked at ([`look`]). Out: the condition
//! `TetragonRolledOut`; Unknown while agents are being replaced, which ends by itself, and False where somebody has to
//! act.

pub mod agents;
pub mod blame;
pub mod budget;
pub mod held;
pub mod look;
pub mod unready;

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use kube::ResourceExt;
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::State;
use lsm_ready_crds::conditions::{Finding, TETRAGON_ROLLED_OUT};

use crate::watch::key::DaemonSetKey;
use agents::Kind;
use budget::{budget, on_delete};
use held::{Group, Held};
use look::Seen;

/// How far it has come, by the DaemonSet's own counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counts {
    /// Nodes that should have an agent.
    pub desired: i32,
    /// Nodes whose agent is of the present template.
    pub updated: i32,
    /// Nodes whose agent is available.
    pub available: i32,
}

impl Counts {
    /// The counts in that status.
    pub fn of(status: &DaemonSetStatus) -> Self {
        Self {
            desired: status.desired_number_scheduled,
            updated: status.updated_number_scheduled.unwrap_or_default(),
            available: status.number_available.unwrap_or_default(),
        }
    }

    /// The counts, where they are of the DaemonSet's present generation.
    pub fn present(daemon_set: &DaemonSet) -> Option<Self> {
        let status = daemon_set.status.as_ref()?;
        let seen = status.observed_generation.unwrap_or_default();
        (seen >= daemon_set.metadata.generation.unwrap_or_default()).then(|| Self::of(status))
    }

    /// Every agent is there and new.
    pub const fn complete(self) -> bool {
        self.updated >= self.desired && self.available >= self.desired
    }
}

/// The condition.
pub fn rollout(daemon_set: &DaemonSet, seen: Option<&Seen>) -> Finding {
    let key = DaemonSetKey::of(daemon_set);
    let found = |status: State, reason: ConditionReason, message: String| {
        Finding::new(TETRAGON_ROLLED_OUT, status, reason, message)
    };
    // The counts are of the generation that the DaemonSet controller has seen.
    let Some(counts) = Counts::present(daemon_set) else {
        let message = format!("the change of DaemonSet {key} has not been taken up yet");
        return found(State::Unknown, ConditionReason::RollingOut, message);
    };
    let Counts { desired, updated, available } = counts;
    if desired == 0 {
        let message = format!(
            "DaemonSet {key} selects no node: compare its nodeSelector and tolerations with the nodes"
        );
        return found(State::NotReady, ConditionReason::NoAgents, message);
    }
    let held = seen.and_then(Seen::held);
    if updated < desired && on_delete(daemon_set) && held.is_none_or(|held| held.worst().is_none())
    {
        return found(
            State::NotReady,
            ConditionReason::OnDelete,
            delete_pods(daemon_set, updated, desired),
        );
    }
    if counts.complete() {
        let message =
            format!("all {desired} agents run the present pod template and are available");
        return found(State::Ready, ConditionReason::RolledOut, message);
    }
    if let Some((reason, message)) = held.and_then(|held| held_up(daemon_set, counts, held)) {
        return found(State::NotReady, reason, message);
    }
    let hint = seen.map(|seen| hint(&key, seen)).unwrap_or_default();
    if updated < desired {
        let message = format!(
            "{updated} of {desired} agents run the present pod template, {available} are available{hint}"
        );
        return found(State::Unknown, ConditionReason::RollingOut, message);
    }
    let message = format!(
        "all {desired} agents run the present pod template, {available} are available{hint}"
    );
    found(State::Unknown, ConditionReason::NotAvailable, message)
}

/// Why it does not go on before somebody acts, and what to do.
fn held_up(
    daemon_set: &DaemonSet,
    counts: Counts,
    held: &Held,
) -> Option<(ConditionReason, String)> {
    let key = DaemonSetKey::of(daemon_set);
    let Counts { desired, updated, available } = counts;
    let so_far = format!(
        "{updated} of {desired} agents run the present pod template, {available} are available"
    );
    if let Some((kind, group)) = held.worst() {
        let Group { count, .. } = group;
        let (reason, what, way_out) = words(kind, group, &key);
        return Some((reason, format!("{so_far}; {count} {what}: {}. {way_out}", group.words())));
    }
    let group = held.group(Kind::Unavailable).filter(|_| updated < desired)?;
    let budget = budget(daemon_set)?;
    let unavailable = i32::try_from(group.count).unwrap_or(i32::MAX);
    (unavailable >= budget.agents).then(|| {
        let message = format!(
            "{so_far}; no more are replaced, as {unavailable} that are not available use up {}: {} of the DaemonSet: {}. \
             Bring them back (kubectl -n {} describe pod tells more), delete Nodes that are gone for good, or raise {}",
            budget.field,
            budget.says,
            group.words(),
            key.namespace,
            budget.field
        );
        (ConditionReason::BudgetExhausted, message)
    })
}

/// The reason, what it is about the agents, and the way out.
fn words(kind: Kind, group: &Group, key: &DaemonSetKey) -> (ConditionReason, &'static str, String) {
    let first = group.sample.first();
    match kind {
        Kind::ImagePull => (
            ConditionReason::ImagePull,
            "cannot get their image",
            format!(
                "Correct the image of DaemonSet {key}, or let these nodes reach its registry (imagePullSecrets, a mirror)"
            ),
        ),
        Kind::ContainerCreateFailed => {
            let pod = first.map(|trouble| trouble.pod.as_str()).unwrap_or_default();
            let command = format!("kubectl -n {} describe pod {pod}", key.namespace);
            (
                ConditionReason::ContainerCreateFailed,
                "cannot be created",
                format!("There is no log; `{command}` shows the Events"),
            )
        }
        Kind::CrashLooping => {
            let pod = first.map(|trouble| trouble.pod.as_str()).unwrap_or_default();
            let container =
                first.and_then(|trouble| trouble.container.as_deref()).unwrap_or_default();
            let command =
                format!("kubectl -n {} logs {pod} -c {container} --previous", key.namespace);
            (
                ConditionReason::CrashLooping,
                "do not stay up",
                format!("`{command}` and `kubectl describe pod` tell more"),
            )
        }
        Kind::Unschedulable | Kind::Unavailable => (
            ConditionReason::Unschedulable,
            "have no place on their nodes",
            format!(
                "Make room on these nodes, give the agents a higher priorityClassName, or leave these nodes out by the \
                 nodeSelector or tolerations of DaemonSet {key}"
            ),
        ),
    }
}

/// What more is known while it may go on by itself.
fn hint(key: &DaemonSetKey, seen: &Seen) -> String {
    let namespace = &key.namespace;
    match seen {
        Seen::Agents(held) => held.group(Kind::Unavailable).map_or_else(String::new, |group| {
            format!("; {}. Events tell more: kubectl -n {namespace} describe pod", group.words())
        }),
        Seen::Forbidden => format!(
            "; which agents hold it up is not known, as the operator may not list pods in namespace {namespace}: bind it \
             the ClusterRole lsm-ready-agents there (config/rbac/agents.yaml)"
        ),
        Seen::Failed => "; the agents' pods could not be listed, which is tried again".to_owned(),
    }
}

fn delete_pods(daemon_set: &DaemonSet, updated: i32, desired: i32) -> String {
    let labels = daemon_set.spec.as_ref().and_then(|spec| spec.selector.match_labels.as_ref());
    let selector: Vec<String> =
        labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    format!(
        "{updated} of {desired} agents run the present pod template; the update strategy is OnDelete, so delete the \
         others' pods, a few at a time: kubectl -n {} get pods -l {}",
        daemon_set.namespace().unwrap_or_default(),
        selector.join(",")
    )
}

#[cfg(test)]
mod tests;
