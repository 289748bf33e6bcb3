//! The condition `TetragonRolledOut`: whether every node has an agent of the DaemonSet's present
//! pod template, and what holds the rollout up.
//!
//! In: the DaemonSet, and the newest survey of its pods ([`pods`]). Out: the condition. It is
//! Unknown while agents are being replaced, which ends without help, and False where somebody has
//! to act.

pub mod agents;
pub mod blame;
pub mod blockers;
pub mod budget;
pub mod downtime;
pub mod missing;
pub mod pods;
pub mod progress;

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt;
use lsm_ready_crds::conditions::{Finding, TETRAGON_ROLLED_OUT};
use lsm_ready_crds::{ConditionReason, State};

use crate::watch::key::DaemonSetKey;
use agents::ProblemKind;
use blockers::{Blockers, Group};
use pods::SurveyResult;
use progress::{Counts, Progress};

/// The condition.
pub fn rollout(
    daemon_set: &DaemonSet,
    progress: &Progress,
    survey: Option<&SurveyResult>,
) -> Finding {
    let key = DaemonSetKey::of(daemon_set);
    // Counts of an older generation say nothing about the present pod template.
    let Some(counts) = progress.counts else {
        return not_observed(&key);
    };
    if counts.desired == 0 {
        return no_agents(&key);
    }
    let blockers = survey.and_then(SurveyResult::blockers);
    let is_blocked = blockers.is_some_and(|blockers| blockers.worst().is_some());
    if counts.updated < counts.desired && progress.on_delete() && !is_blocked {
        return not_ready(ConditionReason::OnDelete, delete_pods(daemon_set, counts));
    }
    if counts.is_complete() {
        return complete(counts);
    }
    blockers
        .and_then(|blockers| blocked(&key, progress, counts, blockers))
        .unwrap_or_else(|| going_on(&key, counts, survey))
}

fn not_observed(key: &DaemonSetKey) -> Finding {
    let message =
        format!("the DaemonSet controller has not processed the change of DaemonSet {key} yet");
    unknown(ConditionReason::RollingOut, message)
}

fn no_agents(key: &DaemonSetKey) -> Finding {
    let message = format!(
        "DaemonSet {key} selects no node: compare its nodeSelector and tolerations with the nodes"
    );
    not_ready(ConditionReason::NoAgents, message)
}

fn complete(counts: Counts) -> Finding {
    let message =
        format!("all {} agents run the present pod template and are available", counts.desired);
    Finding::new(TETRAGON_ROLLED_OUT, State::Ready, ConditionReason::RolledOut, message)
}

fn not_ready(reason: ConditionReason, message: String) -> Finding {
    Finding::new(TETRAGON_ROLLED_OUT, State::NotReady, reason, message)
}

fn unknown(reason: ConditionReason, message: String) -> Finding {
    Finding::new(TETRAGON_ROLLED_OUT, State::Unknown, reason, message)
}

/// `1 of 3 agents run the present pod template, 2 are available`
fn so_far(Counts { desired, updated, available }: Counts) -> String {
    let updated = if updated < desired {
        format!("{updated} of {desired}")
    } else {
        format!("all {desired}")
    };
    format!("{updated} agents run the present pod template, {available} are available")
}

/// The rollout goes on without help, as far as is known.
fn going_on(key: &DaemonSetKey, counts: Counts, survey: Option<&SurveyResult>) -> Finding {
    let reason = if counts.updated < counts.desired {
        ConditionReason::RollingOut
    } else {
        ConditionReason::NotAvailable
    };
    let hint = survey.map(|survey| hint(key, survey)).unwrap_or_default();
    unknown(reason, format!("{}{hint}", so_far(counts)))
}

/// The rollout stands still until somebody acts: the cause, and what to do.
fn blocked(
    key: &DaemonSetKey,
    progress: &Progress,
    counts: Counts,
    blockers: &Blockers,
) -> Option<Finding> {
    let Some((kind, group)) = blockers.worst() else {
        return budget_exhausted(key, progress, counts, blockers);
    };
    let message = format!(
        "{}; {} {}: {}. {}",
        so_far(counts),
        group.count,
        what(kind),
        group.words(),
        remedy(kind, group, key)
    );
    Some(not_ready(reason(kind), message))
}

fn budget_exhausted(
    key: &DaemonSetKey,
    progress: &Progress,
    counts: Counts,
    blockers: &Blockers,
) -> Option<Finding> {
    let unavailable =
        blockers.group(ProblemKind::Unavailable).filter(|_| counts.updated < counts.desired)?;
    let budget = progress.budget.as_ref()?;
    if i32::try_from(unavailable.count).unwrap_or(i32::MAX) < budget.agents {
        return None;
    }
    let message = format!(
        "{}; no more agents are replaced, because the {} unavailable agents use up the DaemonSet's \
         {field}: {}: {}. Bring them back (details: kubectl -n {} describe pod), delete Nodes that \
         are gone for good, or raise {field}",
        so_far(counts),
        unavailable.count,
        budget.says,
        unavailable.words(),
        key.namespace,
        field = budget.field,
    );
    Some(not_ready(ConditionReason::BudgetExhausted, message))
}

const fn reason(kind: ProblemKind) -> ConditionReason {
    match kind {
        ProblemKind::ImagePull => ConditionReason::ImagePull,
        ProblemKind::ContainerCreateFailed => ConditionReason::ContainerCreateFailed,
        ProblemKind::CrashLooping => ConditionReason::CrashLooping,
        ProblemKind::Unschedulable | ProblemKind::Unavailable => ConditionReason::Unschedulable,
    }
}

/// What is wrong with the agents: `3 cannot get their image`.
const fn what(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::ImagePull => "cannot get their image",
        ProblemKind::ContainerCreateFailed => "cannot be created",
        ProblemKind::CrashLooping => "do not stay up",
        ProblemKind::Unschedulable | ProblemKind::Unavailable => "do not fit on their nodes",
    }
}

/// What to do.
fn remedy(kind: ProblemKind, group: &Group, key: &DaemonSetKey) -> String {
    let namespace = &key.namespace;
    let first = group.sample.first();
    let pod = first.map(|problem| problem.pod.as_str()).unwrap_or_default();
    let container = first.and_then(|problem| problem.container.as_deref()).unwrap_or_default();
    match kind {
        ProblemKind::ImagePull => format!(
            "Correct the image of DaemonSet {key}, or let these nodes reach its registry \
             (imagePullSecrets, a mirror)"
        ),
        ProblemKind::ContainerCreateFailed => {
            format!("There is no log; `kubectl -n {namespace} describe pod {pod}` shows the Events")
        }
        ProblemKind::CrashLooping => format!(
            "See `kubectl -n {namespace} logs {pod} -c {container} --previous` and `kubectl -n \
             {namespace} describe pod {pod}`"
        ),
        ProblemKind::Unschedulable | ProblemKind::Unavailable => format!(
            "Make room on these nodes, give the agents a higher priorityClassName, or exclude \
             these nodes by the nodeSelector or tolerations of DaemonSet {key}"
        ),
    }
}

/// What else is known while the rollout may go on without help.
fn hint(key: &DaemonSetKey, survey: &SurveyResult) -> String {
    let namespace = &key.namespace;
    match survey {
        SurveyResult::Blockers(blockers) => {
            blockers.group(ProblemKind::Unavailable).map_or_else(String::new, |group| {
                format!("; {}. For details: kubectl -n {namespace} describe pod", group.words())
            })
        }
        SurveyResult::Forbidden => format!(
            "; which agents hold it up is not known, because the operator may not list pods in \
             namespace {namespace}: bind the ClusterRole lsm-ready-agents to it there \
             (config/rbac/agents.yaml)"
        ),
        SurveyResult::Failed => {
            "; the agents' pods could not be listed, lsm-ready tries again".to_owned()
        }
    }
}

fn delete_pods(daemon_set: &DaemonSet, counts: Counts) -> String {
    let labels = daemon_set.spec.as_ref().and_then(|spec| spec.selector.match_labels.as_ref());
    let selector: Vec<String> =
        labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    format!(
        "{} of {} agents run the present pod template, and the update strategy is OnDelete: delete \
         the other pods, a few at a time: kubectl -n {} get pods -l {}",
        counts.updated,
        counts.desired,
        daemon_set.namespace().unwrap_or_default(),
        selector.join(",")
    )
}

#[cfg(test)]
mod tests;
